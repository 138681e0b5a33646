"""The drop folder: which files there are, in which order they came, and what of them is new.

Belongs here: file names, the order of arrival, and the shape of what is known of a file.
Does not belong here: what is in a file (``reader.py``), remembering it (``fingerprints.py``).

Files came in the order of their time of change, and of their names where that is equal. Where two
have the same row, the later one counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from analytics_assets.core.partitions import START
from analytics_assets.domains.clinic.layouts import (
    AB_TEST_DATA,
    APP_DATA,
    APPOINTMENTS_DATA,
    COOKIE_CATS,
    PUBLIC_NO_SHOWS,
    Layout,
)
from analytics_assets.domains.clinic.words import doctor_sql, moment_sql
from analytics_assets.warehouse.landing_folder import LandingFolder

DROPPED = LandingFolder("CLINIC_SOURCE", "clinic")
UNDATED = "all"


@dataclass(frozen=True)
class Feed:
    """One kind of file: ``<prefix>*.csv``, its layouts, and its columns as they are landed.

    ``key``: SQL expressions that together are the natural key of a row; ``key_name``: the column of
    its keyed hash. ``moment``: the column that dates a row.
    """

    name: str
    key_name: str
    prefix: str
    layouts: tuple[Layout, ...]
    columns: tuple[str, ...]
    key: tuple[str, ...]
    moment: str = ""

    @property
    def row_name(self) -> str:
        """SQL of the natural key as one text."""
        parts = ", ".join(f"coalesce({part}, '')" for part in self.key)
        return f"concat_ws(chr(31), {parts})"


APP_PROFILE = Feed(
    "app_profile",
    "patient_key",
    "app_data",
    (APP_DATA,),
    ("patient_id", "traffic_source", "device"),
    ("patient_id",),
)
APPOINTMENT = Feed(
    "appointment",
    "appointment_key",
    "appointments_data",
    (APPOINTMENTS_DATA, PUBLIC_NO_SHOWS),
    (
        "patient_id",
        "age",
        "gender",
        "doctor_name",
        "appointment_reason",
        "appointment_date",
        "appointment_status",
        "booked_at",
        "appointment_number",
    ),
    (
        "patient_id",
        f"lower({doctor_sql('doctor_name')})",
        "lower(appointment_reason)",
        f"cast({moment_sql('appointment_date')} as varchar)",
        "appointment_number",
    ),
    moment="appointment_date",
)
AB_EVENT = Feed(
    "ab_event",
    "event_key",
    "ab_test_data",
    (AB_TEST_DATA, COOKIE_CATS),
    ("patient_id", "group", "event_name", "event_datetime"),
    ("patient_id", "lower(event_name)", f"cast({moment_sql('event_datetime')} as varchar)"),
    moment="event_datetime",
)
FEEDS = (APP_PROFILE, APPOINTMENT, AB_EVENT)


@dataclass(frozen=True)
class Content:
    """What a file holds: the fingerprint of each day's rows and of the rows without a usable day.

    ``problem`` says why a file could not be read at all.
    """

    days: Mapping[str, str] = field(default_factory=dict)
    rejected: str = ""
    problem: str = ""


@dataclass(frozen=True)
class DropFile:
    """A file of a feed; ``state`` changes when its content may have."""

    path: Path
    state: str
    changed: int


def files_of(feed: Feed) -> list[DropFile]:
    """The feed's files, the first to come first; ``SourceError`` if the folder cannot be read."""
    found = []
    for path in DROPPED.files():
        name = path.name.lower()
        if name.startswith(feed.prefix) and name.endswith(".csv"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # taken away meanwhile: it is as if it had never been there
            state = f"{status.st_size}-{status.st_mtime_ns}"
            found.append(DropFile(path, state, status.st_mtime_ns))
    return sorted(found, key=lambda file: (file.changed, file.path.name))


def strange_files() -> list[Path]:
    """Files that are of no feed, by their names."""
    prefixes = tuple(feed.prefix for feed in FEEDS)
    return [
        path
        for path in DROPPED.files()
        if path.is_file() and not (path.name.lower().startswith(prefixes) and _is_csv(path))
    ]


def _is_csv(path: Path) -> bool:
    return path.name.lower().endswith(".csv")


def today() -> date:
    """The last day that rows may be of: there is no partition for a later one yet."""
    return date.today()


def is_due(day: str, last: date) -> bool:
    """Whether rows of this day are landed by now."""
    return day == UNDATED or START.isoformat() <= day <= last.isoformat()

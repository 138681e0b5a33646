"""The landing folders: which files hold which days, and whether they changed.

Belongs here: file names, missing folders and days, fingerprints of files.
Does not belong here: what is in a file (``sources.py``).

A file's name holds its day, or its first and last day: ``2025-01-31.jsonl``,
``export_2025-01-27_2025-01-31.jsonl.gz``. A day may have several files.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from analytics_assets.core.partitions import START
from analytics_assets.core.source import SourceError
from analytics_assets.landing.folder import LandingFolder
from analytics_assets.warehouse.notes import note, noted

_DAYS = re.compile(r"(?<!\d)(\d{4}-\d{2}-\d{2})(?:_(\d{4}-\d{2}-\d{2}))?(?!\d)")
_FORMATS = (".json", ".jsonl", ".ndjson", ".csv", ".json.gz", ".jsonl.gz", ".ndjson.gz", ".csv.gz")


MIXPANEL = LandingFolder("MIXPANEL_SOURCE", "mixpanel")
META_ADS = LandingFolder("META_ADS_SOURCE", "meta_ads")


@dataclass(frozen=True)
class Feed:
    """A folder below a landing folder that has a file a day.

    The vendor restates the last ``lookback`` days. ``required``: no day between the first and the
    last day of all required feeds may be absent.
    """

    landing: LandingFolder
    name: str
    lookback: int
    required: bool = True

    @property
    def folder(self) -> Path:
        return self.landing.path / self.name


@dataclass(frozen=True)
class DayFile:
    """A file and the first and last day that it holds."""

    path: Path
    first: date
    last: date


EVENTS = Feed(MIXPANEL, "events", lookback=5)
CURRENCY_FX = Feed(MIXPANEL, "currency_fx", lookback=5, required=False)
AD_PERFORMANCE = {
    axis: Feed(META_ADS, name, lookback=28)
    for axis, name in (
        ("all", "ad_performance_daily"),
        ("country", "ad_performance_daily_country"),
        ("region", "ad_performance_daily_region"),
        ("device", "ad_performance_daily_device"),
    )
}
_REQUIRED = [feed for feed in (EVENTS, *AD_PERFORMANCE.values()) if feed.required]


def files_in(folder: LandingFolder, name: str) -> list[Path]:
    """Data files below a landing folder by name; ``SourceError`` if they cannot be listed."""
    return [path for path in folder.files(name) if path.name.endswith(_FORMATS) and path.is_file()]


def day_files(feed: Feed) -> list[DayFile]:
    """The feed's files in order of name; ``SourceError`` for a name without a possible day."""
    return [_dated(path) for path in files_in(feed.landing, feed.name)]


def _dated(path: Path) -> DayFile:
    found = _DAYS.search(path.name)
    try:
        first, last = (date.fromisoformat(text) for text in _both(found)) if found else (None, None)
    except ValueError:
        first = last = None
    if first is None or last is None or not START <= first <= last:
        raise SourceError(
            "its name does not say which day it holds",
            str(path),
            "Name it <YYYY-MM-DD>.jsonl, or <first day>_<last day>.jsonl",
        )
    return DayFile(path, first, last)


def _both(found: re.Match[str]) -> tuple[str, str]:
    return found[1], found[2] or found[1]


def files_of(feed: Feed, day: date) -> list[DayFile]:
    """The files that hold a day, in order of name; ``SourceError`` if there is none."""
    found = [file for file in day_files(feed) if file.first <= day <= file.last]
    if not found:
        raise SourceError(
            f"there is no file of {day.isoformat()}",
            str(feed.folder),
            "Export that day again; an empty file says that nothing happened on it",
        )
    return found


def daily_inputs(feed: Feed) -> dict[str, dict[str, str]]:
    """Day -> file name -> fingerprint; a day that is missing in between has an entry, too.

    Files of the lookback window are read anew each time; older ones only where their size or time
    of change differs.
    """
    files = day_files(feed)
    newest = max((file.last for file in files), default=date.min)
    since = newest - timedelta(days=feed.lookback) if files else date.min
    digests = _digests(feed.folder, files, since)
    found: dict[str, dict[str, str]] = {
        day.isoformat(): {} for day in (_required_days() if feed.required else ())
    }
    for file in files:
        for day in _days(file.first, file.last):
            found.setdefault(day.isoformat(), {})[file.path.name] = digests[file.path.name]
    return {day: names or {"missing": feed.name} for day, names in found.items()}


def _required_days() -> list[date]:
    files = [file for feed in _REQUIRED for file in day_files(feed)]
    if not files:
        return []
    return list(_days(min(file.first for file in files), max(file.last for file in files)))


def _days(first: date, last: date) -> Iterator[date]:
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def _digests(folder: Path, files: Iterable[DayFile], since: date) -> dict[str, str]:
    """File name -> checksum of its content; what is known of older files is remembered on disk.

    Remembered is only what can be computed again: the note may be deleted at any time.
    """
    place = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    known = noted(place)
    found, digests = {}, {}
    for file in files:
        status = file.path.stat()
        state = f"{status.st_size}-{status.st_mtime_ns}"
        before = known.get(file.path.name, ["", ""])
        same = before[0] == state and file.last < since
        found[file.path.name] = before[1] if same else digest(file.path)
        digests[file.path.name] = [state, found[file.path.name]]
    if digests != known:
        note(place, digests)
    return found


def digest(path: Path) -> str:
    """Checksum of a file's content."""
    checksum = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            checksum.update(block)
    return checksum.hexdigest()[:16]

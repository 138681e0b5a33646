"""Which file of the landing folder holds which state and year.

Belongs here: file names, what may lie side by side, and what is refused by its name alone.
Does not belong here: what is in a file (``readers.py``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from analytics_assets.core.partitions import START
from analytics_assets.core.source import SourceError
from analytics_assets.domains.births.columns import STATES
from analytics_assets.landing.folder import OUT, LandingFolder, listed, no_file

LANDING = LandingFolder("SINASC_SOURCE", "sinasc")
NATIONAL = "BR"
# Births of mothers who live abroad, which are in no state's file.
ABROAD = "EX"
FACILITIES = re.compile(r"CNESDO\d*\.dbf", re.IGNORECASE)
_MONTHS = ("JAN", "FEV", "MAR", "ABR", "MAI", "JUN", "JUL", "AGO", "SET", "OUT", "NOV", "DEZ")
_FOLDER = "is a folder, not a file"
_FORMATS = r"\.(?:csv|csv\.gz|zip|parquet|dbc|dbf)"
_NAMES = (
    re.compile(r"DN(?P<state>[A-Z]{2})(?P<year>[0-9]{4})" + _FORMATS, re.IGNORECASE),
    re.compile(r"SINASC_(?P<year>[0-9]{4})" + _FORMATS, re.IGNORECASE),
    re.compile(
        r"SINASC_(?P<state>[A-Z]{2})_(?P<year>[0-9]{4})(?:_(?P<month>[A-Z]{3}))?" + _FORMATS,
        re.IGNORECASE,
    ),
)
_HOW_TO_NAME = (
    "Name it DN<UF><YYYY>.dbc, SINASC_<YYYY>.csv, SINASC_<UF>_<YYYY>.csv (also .zip, .csv.gz,"
    " .parquet, .dbf), or SINASC_<UF>_<YYYY>_<MON>.csv for a year to date; a file of several"
    " years has to be split by year"
)


@dataclass(frozen=True)
class LandedFile:
    """A file of the landing folder: its state (``BR`` for all), year and last month if to date."""

    path: Path
    state: str
    year: str
    month: int

    @property
    def parts(self) -> list[Path]:
        """What it is read from: itself, or the Parquet files of a folder, as PySUS writes them."""
        return sorted(self.path.glob("*.parquet")) if self.path.is_dir() else [self.path]

    @property
    def state_code(self) -> str:
        """IBGE code of its state; empty for a file that is of no single one."""
        return STATES.get(self.state, "")

    @property
    def fingerprint(self) -> str:
        """Changes when its content may have: size and time of change."""
        found = [part.stat() for part in self.parts]
        return f"{sum(s.st_size for s in found)}-{max((s.st_mtime_ns for s in found), default=0)}"


@dataclass(frozen=True)
class Folder:
    """What a landing folder holds: year -> files, year -> files set aside, file -> why refused."""

    files: Mapping[str, list[LandedFile]]
    replaced: Mapping[str, list[LandedFile]]
    refused: Mapping[Path, str]


def scan(folder: Path) -> Folder:
    """Look at the names in a landing folder; ``SourceError`` if there is no such folder."""
    files: dict[str, list[LandedFile]] = {}
    refused: dict[Path, str] = {}
    for path in listed(folder, LANDING.variable):
        found = _classify(path)
        if isinstance(found, LandedFile):
            files.setdefault(found.year, []).append(found)
        elif found:
            refused[path] = found
    replaced = {year: _drop_replaced(files[year]) for year in files}
    return Folder(files, replaced, refused)


def says_state_and_year(name: str) -> bool:
    """Whether a file of this name would be landed, if its year and state exist."""
    return any(pattern.fullmatch(name) for pattern in _NAMES)


def refuse_doubles(files: list[LandedFile]) -> None:
    """``SourceError`` naming the files if two of them hold the same births of a year."""
    by_state: dict[str, list[LandedFile]] = {}
    for file in files:
        by_state.setdefault(file.state, []).append(file)
    doubled = [own for own in by_state.values() if len(own) > 1]
    if NATIONAL in by_state and len(by_state) > 1:
        doubled.append([file for own in by_state.values() for file in own])
    if doubled:
        names = " and ".join(file.path.name for file in doubled[0])
        raise SourceError(
            f"{names} hold the same births of {doubled[0][0].year}",
            str(doubled[0][0].path.parent),
            "Keep one of them and move the other out of the folder",
        )


def _classify(path: Path) -> LandedFile | str:
    """The file that ``path`` is, or why it is refused; empty for what is none of our business."""
    match = next((m for m in (name.fullmatch(path.name) for name in _NAMES) if m), None)
    is_list = FACILITIES.fullmatch(path.name)
    if kind := _no_file(path):
        return f"it {kind}. {OUT}" if match or is_list or kind != _FOLDER else ""
    if is_list:
        return ""
    if match is None:
        return f"its name does not say which state and year it holds. {_HOW_TO_NAME}"
    parts = match.groupdict()
    state = (parts.get("state") or NATIONAL).upper()
    month = (parts.get("month") or "").upper()
    if state not in (NATIONAL, ABROAD) and state not in STATES:
        return f"{state} is not a state. {_HOW_TO_NAME}"
    if month and month not in _MONTHS:
        return f"{month} is not a month ({', '.join(_MONTHS)}). {_HOW_TO_NAME}"
    # A year without a partition would make every run fail, not only its own.
    if not START.year <= int(parts["year"]) <= date.today().year:
        return f"{parts['year']} is not a year from {START.year} until now. {_HOW_TO_NAME}"
    number = _MONTHS.index(month) + 1 if month else 12
    return LandedFile(path, state, parts["year"], number)


def _no_file(path: Path) -> str:
    """What is said of that which is neither a file nor a folder of Parquet files."""
    if not path.is_dir():
        return f"is {kind}, not a file" if (kind := no_file(path)) else ""
    parts = sorted(path.glob("*.parquet")) if path.suffix.lower() == ".parquet" else []
    bad = next((f"holds {part.name}, {kind}" for part in parts if (kind := no_file(part))), "")
    return bad if parts else _FOLDER


def _drop_replaced(files: list[LandedFile]) -> list[LandedFile]:
    """Take out, and return, year-to-date files that a later month of the same state repeats."""
    latest = {file.state: max(f.month for f in files if f.state == file.state) for file in files}
    old = [file for file in files if file.month < latest[file.state]]
    for file in old:
        files.remove(file)
    return old

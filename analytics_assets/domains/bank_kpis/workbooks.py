"""Reading a workbook of the regulator as text, month by month.

Belongs here: which sheet, columns and rows a workbook has, and which month a row is of.
Does not belong here: which files there are (``sources.py``), what an amount means (``sql/``).

Every row is of one month, whose first (or last) day its date is. So a date tells its month even
where a spreadsheet swapped day and month: 10/01/2024 and 2024-01-10 are both October 2024. Where a
period (202410) stands beside it, the period counts and the date has to agree with it.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow
from python_calamine import CalamineError, CalamineWorkbook

from analytics_assets.core.source import SourceError

ORIGIN = ("institution_code", "month", "periodo", "fecha", "date_problem")
PLACE = ("source_file", "source_sheet", "source_row", "unreadable_cells")
# How the regulator and those who copy from it write "no value".
NULLS = frozenset({"", "-", "--", "n.d.", "n.d", "nd", "n/d", "n.a.", "n.a", "na", "n/a", "nan"})
_HEADER_ROWS = 10
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
# Days that spreadsheets number from 1899-12-30: 1982 to 2064.
_SERIALS = range(30_000, 60_000)
_EPOCH = date(1899, 12, 30)


@dataclass(frozen=True)
class Layout:
    """The columns of one kind of workbook: header, as ``plain`` writes it -> column.

    A sheet that has the ``required`` columns, an institution and a period or date is it.
    ``ratios``: columns of percentages, among which a whole number of five digits is a date.
    """

    institution: tuple[str, ...]
    period: tuple[str, ...]
    date: tuple[str, ...]
    values: Mapping[str, str] = field(hash=False)
    required: tuple[str, ...]
    ratios: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The value columns, in order and once."""
        return tuple(dict.fromkeys(self.values.values()))


@dataclass(frozen=True)
class Workbook:
    """Rows of a workbook by month (``2018-12``), a fingerprint of each month, and what is odd."""

    months: Mapping[str, pyarrow.Table]
    fingerprints: Mapping[str, str]
    notes: Mapping[str, str]


def plain(header: Any) -> str:
    """A header without accents, capitals and superfluous blanks."""
    text = unicodedata.normalize("NFKD", str(header)).encode("ascii", "ignore").decode()
    return " ".join(text.replace("_", " ").lower().split())


def read(path: Path, layout: Layout) -> Workbook:
    """All rows of a workbook; raises ``SourceError`` for one that is not of this layout."""
    status = path.stat()
    return _read(path, status.st_size, status.st_mtime_ns, layout)


# A night's run asks for each month on its own, so a workbook is parsed once for all of them.
@lru_cache(maxsize=16)
def _read(path: Path, size: int, changed: int, layout: Layout) -> Workbook:
    try:
        with CalamineWorkbook.from_path(path) as workbook:
            sheets = {
                name: workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)
                for name in workbook.sheet_names
            }
    except (CalamineError, OSError) as error:
        raise SourceError(
            f"it cannot be read as an Excel workbook ({error})", str(path), "Fetch it again"
        ) from error
    for name, rows in sheets.items():
        header = _header(rows, layout)
        if header:
            return _rows(path, name, rows, *header, layout)
    wanted = [h for h, column in layout.values.items() if column in layout.required]
    raise SourceError(
        f"none of its sheets ({', '.join(sheets)}) has the columns {layout.institution[0]},"
        f" {(layout.period + layout.date)[0]}, {', '.join(wanted)}",
        str(path),
        "Give the sheet a header with these names in one of its first rows",
    )


@dataclass(frozen=True)
class _Places:
    """Where the columns of a sheet are, counted from 0."""

    institution: int
    period: int | None
    date: int | None
    values: Mapping[int, str]


def _header(rows: Sequence[Sequence[Any]], layout: Layout) -> tuple[int, _Places] | None:
    for number, row in enumerate(rows[:_HEADER_ROWS]):
        names = [plain(cell) for cell in row]

        def first(aliases: tuple[str, ...], names: list[str] = names) -> int | None:
            return next((names.index(alias) for alias in aliases if alias in names), None)

        values = {i: layout.values[name] for i, name in enumerate(names) if name in layout.values}
        institution, period, day = map(first, (layout.institution, layout.period, layout.date))
        complete = set(layout.required) <= set(values.values())
        if complete and institution is not None and (period, day) != (None, None):
            return number, _Places(institution, period, day, values)
    return None


def _rows(
    path: Path,
    sheet: str,
    rows: Sequence[Sequence[Any]],
    header: int,
    places: _Places,
    layout: Layout,
) -> Workbook:
    found: dict[str, list[dict[str, str | None]]] = {}
    notes: dict[str, str] = {}
    swapped, unnamed = 0, 0
    for number, row in enumerate(rows[header + 1 :], start=header + 2):
        code = institution_code(as_text(row[places.institution]))
        if code is None:
            unnamed += any(isinstance(row[i], int | float) for i in places.values)
            continue
        period = None if places.period is None else row[places.period]
        day = None if places.date is None else row[places.date]
        month, problem = month_of(period, day)
        if month is None:
            raise SourceError(
                f"row {number} of sheet {sheet}: {problem}",
                str(path),
                "Mend the cell: a row has to say which month it is of",
            )
        swapped += isinstance(day, date) and (day.year, day.month) != (month.year, month.month)
        own: dict[str, str | None] = dict.fromkeys(layout.columns)
        own.update({name: as_text(row[place]) for place, name in places.values.items()})
        unreadable = [
            f"{_letter(place)}{number} {name} = {own[name]}"
            for place, name in places.values.items()
            if not _readable(own[name], layout.ratios)
        ]
        found.setdefault(f"{month:%Y-%m}", []).append(
            {
                "institution_code": code,
                "month": str(month),
                "periodo": as_text(period),
                "fecha": as_text(day),
                "date_problem": problem,
                **own,
                "source_file": path.name,
                "source_sheet": sheet,
                "source_row": str(number),
                "unreadable_cells": "; ".join(unreadable) or None,
            }
        )
    if not found:
        raise SourceError(f"sheet {sheet} has a header but no rows", str(path), "Fetch it again")
    missing = [name for name in layout.columns if name not in places.values.values()]
    if missing:
        notes["columns missing"] = ", ".join(missing)
    if swapped:
        notes["dates with day and month swapped"] = str(swapped)
    if unnamed:
        notes["rows without an institution code, left out"] = str(unnamed)
    names = (*ORIGIN, *layout.columns, *PLACE)
    schema = pyarrow.schema([(name, pyarrow.string()) for name in names])
    return Workbook(
        {key: pyarrow.Table.from_pylist(own, schema) for key, own in sorted(found.items())},
        {key: _fingerprint(own) for key, own in found.items()},
        notes,
    )


def _fingerprint(rows: list[dict[str, str | None]]) -> str:
    """Tells whether a month changed; rows above it that came or went do not change it."""
    left_out = {"source_row", "unreadable_cells"}
    texts = sorted(repr([v for name, v in row.items() if name not in left_out]) for row in rows)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def as_text(cell: Any) -> str | None:
    """A cell as it reads, trimmed; 1, not 1.0, and dates as ISO has them; blank is ``None``."""
    if isinstance(cell, datetime):
        cell = cell.date()
    if isinstance(cell, float):
        cell = int(cell) if cell.is_integer() else format(Decimal(repr(cell)), "f")
    return str(cell).strip() or None if cell is not None else None


def _readable(text: str | None, ratio: bool) -> bool:
    if text is None or text.lower() in NULLS:
        return True
    if not _NUMBER.fullmatch(text):
        return False
    return not (ratio and text.isdigit() and int(text) in _SERIALS)


def institution_code(text: str | None) -> str | None:
    """``040059`` for a bank, however many zeros were lost, ``21`` for an aggregate."""
    if text is None or not re.fullmatch(r"\d{1,6}", text):
        return None
    number = int(text)
    return f"{number:06}" if 40_000 <= number < 50_000 else str(number)


def month_of(period: Any, day: Any) -> tuple[date | None, str | None]:
    """First day of a row's month, and what is wrong with its date.

    Without a period, a date that can be read as two months or none gives no month.
    """
    readings = sorted(set(_readings(day)))
    named = _period(as_text(period))
    if named is None:
        if len(readings) == 1:
            return readings[0], None
        return None, f"period {as_text(period)} and date {as_text(day)} do not tell a month"
    if as_text(day) is None or named in readings:
        return named, None
    return named, f"date {as_text(day)} is not in period {named:%Y%m}"


def _period(text: str | None) -> date | None:
    match = re.fullmatch(r"((?:19|20)\d\d)-?(0[1-9]|1[0-2])", text or "")
    return date(int(match[1]), int(match[2]), 1) if match else None


def _readings(day: Any) -> Iterator[date]:
    """The months whose first or last day a date may be, with day and month in either order."""
    text = as_text(day) or ""
    if text.isdigit() and int(text) in _SERIALS:
        text = str(_EPOCH + timedelta(days=int(text)))
    if match := re.match(r"(\d{4})-(\d{1,2})-(\d{1,2})(?!\d)", text):
        year, one, two = map(int, match.groups())
    elif match := re.match(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})(?!\d)", text):
        one, two, year = map(int, match.groups())
    else:
        return
    for month, number in ((one, two), (two, one)):
        if 1 <= month <= 12 and number in (1, monthrange(year, month)[1]):
            yield date(year, month, 1)


def _letter(place: int) -> str:
    """The name of a column in a spreadsheet: A, B, ..., AA."""
    letters = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        letters = chr(65 + rest) + letters
    return letters

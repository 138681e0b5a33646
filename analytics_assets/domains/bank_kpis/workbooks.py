"""Reading a workbook of the regulator as text, month by month.

Belongs here: which sheet, columns and rows a workbook has, and which month a row is of.
Does not belong here: which files there are (``sources.py``), reading cells (``sheets.py``), what an
amount means (``sql/``).

Every row is of one month, whose first (or last) day its date is. So a date tells its month even
where a spreadsheet swapped day and month: 10/01/2024 and 2024-01-10 are both October 2024. Where a
period (202410) stands beside it, the period counts, and any day of that month agrees with it.

Every row below a header is landed, rejected with a reason, or left out and counted.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow

from analytics_assets.core.source import SourceError
from analytics_assets.core.telling import word
from analytics_assets.domains.bank_kpis.error_cells import ERRORS, tells_errors
from analytics_assets.domains.bank_kpis.months import SERIALS, as_text, month_of
from analytics_assets.domains.bank_kpis.numbers import NULLS, decimal_mark, number
from analytics_assets.domains.bank_kpis.sheets import Sheet, sheets
from analytics_assets.domains.bank_kpis.units import Size, size_of
from analytics_assets.landing.folder import refuse_no_file
from analytics_assets.landing.reading import today

ORIGIN = (
    "institution_code", "month", "periodo", "fecha", "date_problem", "institution_problem", "unit",
)  # fmt: skip
PLACE = ("source_file", "source_sheet", "source_row", "unreadable_cells")
_HEADER_ROWS = 10
# What decimal(18, 6) does not hold.
_MOST = 1e12


@dataclass(frozen=True)
class Layout:
    """The columns of one kind of workbook: header, as ``plain`` writes it -> column.

    A sheet that has the ``required`` columns, an institution and a period or date is it.
    ``ratios``: columns of percentages, among which a whole number of five digits is a date;
    ``limit``: the largest number of the first required one that can be a ratio, 1 being 100 %, or
    the largest median (``typical``), where single ones can be anything.
    """

    institution: tuple[str, ...]
    period: tuple[str, ...]
    date: tuple[str, ...]
    values: Mapping[str, str] = field(hash=False)
    required: tuple[str, ...]
    ratios: bool = False
    limit: float = 1.0
    typical: bool = False
    named: tuple[str, ...] = ("banco", "nombre", "descripcion")

    @property
    def columns(self) -> tuple[str, ...]:
        """The value columns, in order and once."""
        return tuple(dict.fromkeys(self.values.values()))


@dataclass(frozen=True)
class Rejected:
    """A row that is in no table, why, and its cells as JSON."""

    sheet: str
    row: int
    reason: str
    record: str


@dataclass(frozen=True)
class Workbook:
    """Rows of a workbook by month (``2018-12``), a fingerprint of each month, and what is odd.

    ``offered`` = rows of the months + ``rejected`` + ``left_out``: totals and footnotes. ``names``:
    institution -> name beside its code; ``sizes``: of the ratios of a month that has any.
    """

    months: Mapping[str, pyarrow.Table]
    fingerprints: Mapping[str, str]
    notes: Mapping[str, str]
    offered: int = 0
    rejected: tuple[Rejected, ...] = ()
    left_out: tuple[Rejected, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, Size] = field(default_factory=dict)
    ratios: bool = False
    units: Mapping[str, str] = field(default_factory=dict)

    def unit(self, month: str) -> str | None:
        """What a month's ratios are: ``ratio`` or ``percent``; ``None`` if it has amounts."""
        return self.units.get(month, "ratio") if self.ratios else None

    def month(self, month: str) -> pyarrow.Table:
        """The rows of a month, with their unit."""
        rows = self.months[month]
        unit = pyarrow.array([self.unit(month)] * rows.num_rows, pyarrow.string())
        return rows.set_column(rows.column_names.index("unit"), "unit", unit)


def plain(header: Any) -> str:
    """A header without accents, capitals and superfluous blanks."""
    text = unicodedata.normalize("NFKD", str(header)).encode("ascii", "ignore").decode()
    return " ".join(text.replace("_", " ").lower().split())


def read(path: Path, layout: Layout) -> Workbook:
    """All rows of a workbook; raises ``SourceError`` for one that is not of this layout."""
    refuse_no_file(path)
    status = path.stat()
    changed = status.st_mtime_ns, status.st_ctime_ns
    found = _read(path, status.st_size, changed, layout, _last_month())
    if isinstance(found, SourceError):
        raise SourceError(*found.parts)
    return found


# A night's run asks for each month on its own, so a workbook is parsed once for all of them, and
# one that is refused, which may take minutes to find, is too.
@lru_cache(maxsize=16)
def _read(
    path: Path, size: int, changed: tuple[int, int], layout: Layout, last: date
) -> Workbook | SourceError:
    try:
        return _rows_of(path, sheets(path), layout, last)
    except SourceError as error:
        return error


def _rows_of(path: Path, found: Mapping[str, Sheet], layout: Layout, last: date) -> Workbook:
    fitting = {}
    for name, sheet in found.items():
        if header := _header(sheet.rows, layout, path, name):
            fitting[name] = header
    hidden = [name for name in fitting if not found[name].visible]
    taken = _Rows(path, layout, last)
    for name, header in fitting.items():
        if name not in hidden:
            taken.add(name, found[name].rows, *header, found[name].errors)
    if len(fitting) > len(hidden):
        if hidden:
            taken.notes["hidden sheets, left out"] = ", ".join(hidden)
        if not tells_errors(path):
            taken.notes["errors in cells"] = "count as blanks in this format; save it as .xlsx"
        return taken.workbook()
    wanted = [h for h, column in layout.values.items() if column in layout.required]
    aside = f" that is not hidden ({', '.join(hidden)} is)" if hidden else ""
    raise SourceError(
        f"none of its sheets ({', '.join(found)}){aside} has the columns {layout.institution[0]},"
        f" {(layout.period + layout.date)[0]}, {', '.join(wanted)}",
        str(path),
        "Give the sheet a header with these names in one of its first rows",
    )


def _last_month() -> date:
    """The month after that of the clock; what is later is a typing error."""
    now = today()
    return date(now.year + now.month // 12, now.month % 12 + 1, 1)


@dataclass(frozen=True)
class _Places:
    """Where the columns of a sheet are, counted from 0."""

    institution: int
    period: int | None
    date: int | None
    values: Mapping[int, str]
    name: int | None = None


def _header(
    rows: Sequence[Sequence[Any]], layout: Layout, path: Path, sheet: str
) -> tuple[int, _Places] | None:
    for position, row in enumerate(rows[:_HEADER_ROWS]):
        names = [plain(cell) for cell in row]

        def first(aliases: tuple[str, ...], names: list[str] = names) -> int | None:
            return next((names.index(alias) for alias in aliases if alias in names), None)

        values = {i: layout.values[name] for i, name in enumerate(names) if name in layout.values}
        institution, period, day = map(first, (layout.institution, layout.period, layout.date))
        complete = set(layout.required) <= set(values.values())
        if complete and institution is not None and (period, day) != (None, None):
            for column in set(values.values()):
                places = [i for i, name in values.items() if name == column]
                if len(places) > 1:
                    both = " and ".join(f"{_letter(i)} ({as_text(row[i])})" for i in places)
                    raise SourceError(
                        f"columns {both} of sheet {sheet} are both {column}",
                        str(path),
                        "Leave one of them in",
                    )
            return position, _Places(institution, period, day, values, first(layout.named))
    return None


class _Rows:
    """The rows of all sheets of a workbook that are read."""

    def __init__(self, path: Path, layout: Layout, last: date) -> None:
        self._path, self._layout, self._last = path, layout, last
        self._found: dict[str, list[dict[str, str | None]]] = {}
        self._rejected: list[Rejected] = []
        self._have: set[str] = set()
        self._sheets: list[str] = []
        self._offered = self._swapped = 0
        self._aside: list[Rejected] = []
        self._names: dict[str, str] = {}
        self.notes: dict[str, str] = {}

    def add(
        self,
        sheet: str,
        rows: Sequence[Sequence[Any]],
        header: int,
        places: _Places,
        errors: Mapping[str, str],
    ) -> None:
        """Take the rows of a sheet."""
        self._sheets.append(sheet)
        self._have.update(places.values.values())
        below = rows[header + 1 :]
        texts = [row[i] for row in below for i in places.values if isinstance(row[i], str)]
        mark = decimal_mark(texts)
        for position, row in enumerate(below, start=header + 2):
            named = any(f"{_letter(place)}{position}" in errors for place in places.values)
            if not named and not any(as_text(cell) for cell in row):
                continue
            self._offered += 1
            self._take(sheet, position, row, places, errors, mark)

    def _take(
        self,
        sheet: str,
        position: int,
        row: Sequence[Any],
        places: _Places,
        errors: Mapping[str, str],
        mark: str | None,
    ) -> None:
        named = as_text(row[places.institution])
        cells = {
            place: errors.get(f"{_letter(place)}{position}") or as_text(row[place])
            for place in places.values
        }
        period = None if places.period is None else row[places.period]
        day = None if places.date is None else row[places.date]
        month, problem = month_of(period, day)
        code = institution_code(named)
        empty = not any(cells.values())
        said = {"institution": named, "periodo": as_text(period), "fecha": as_text(day)}
        texts = {name: cells[place] for place, name in places.values.items() if cells[place]}
        record = json.dumps({**said, **texts}, ensure_ascii=False)
        if code is None and named is not None and plain(named).startswith(("total", "suma")):
            self._aside.append(Rejected(sheet, position, "a total, of no institution", record))
            return
        if empty and (month is None or code is None):
            self._aside.append(Rejected(sheet, position, "a note, without figures", record))
            return
        if month is None:
            raise SourceError(
                f"row {position} of sheet {sheet}: {problem}",
                str(self._path),
                "Mend the cell: a row has to say which month it is of",
            )
        if month > self._last:
            why = f"month {month:%Y-%m} is more than one month ahead"
            self._rejected.append(Rejected(sheet, position, why, record))
            return
        self._swapped += isinstance(day, date) and (day.year, day.month) != (
            month.year,
            month.month,
        )
        own: dict[str, str | None] = dict.fromkeys(self._layout.columns)
        unreadable = []
        for place, name in places.values.items():
            own[name], readable = _value(cells[place], mark, self._layout.ratios)
            if not readable:
                said_of_it = word(own[name] or "", ERRORS)
                unreadable.append(f"{_letter(place)}{position} {name} = {said_of_it}")
        if code:
            beside = None if places.name is None else as_text(row[places.name])
            after = re.sub(r"^\d+[\s:.-]*", "", named or "")
            if name := beside or after.lstrip("0"):
                self._names.setdefault(code, name)
        why_not = None if code else f"institution {word(named) if named else 'blank'} is no code"
        self._found.setdefault(f"{month:%Y-%m}", []).append(
            {
                "institution_code": code or "",
                "month": str(month),
                "periodo": as_text(period),
                "fecha": as_text(day),
                "date_problem": problem,
                "institution_problem": why_not,
                "unit": None,
                **own,
                "source_file": self._path.name,
                "source_sheet": sheet,
                "source_row": str(position),
                "unreadable_cells": "; ".join(unreadable) or None,
            }
        )

    def workbook(self) -> Workbook:
        """All of it."""
        if not self._found:
            sheets = ", ".join(self._sheets)
            why = "a header but no rows"
            if self._rejected:
                first = self._rejected[0]
                why = f"no row that can be landed, as row {first.row}: {first.reason}"
            raise SourceError(f"sheet {sheets} has {why}", str(self._path), "Mend it")
        layout = self._layout
        missing = [name for name in layout.columns if name not in self._have]
        landed = sum(map(len, self._found.values()))
        self.notes |= {
            name: said
            for name, said in {
                "columns missing": ", ".join(missing),
                "dates with day and month swapped": str(self._swapped or ""),
                "totals and notes, left out": ", ".join(
                    f"row {r.row} of sheet {r.sheet}" for r in self._aside[:10]
                ),
                "rows": f"{self._offered:,} offered = {landed:,} landed or repeated +"
                f" {len(self._rejected):,} rejected + {len(self._aside):,} left out",
            }.items()
            if said
        }
        names = (*ORIGIN, *layout.columns, *PLACE)
        schema = pyarrow.schema([(name, pyarrow.string()) for name in names])
        return Workbook(
            {k: pyarrow.Table.from_pylist(own, schema) for k, own in sorted(self._found.items())},
            {key: _fingerprint(own) for key, own in self._found.items()},
            self.notes,
            self._offered,
            tuple(self._rejected),
            tuple(self._aside),
            self._names,
            _sizes(self._found, layout) if layout.ratios else {},
            layout.ratios,
        )


def _sizes(found: Mapping[str, list[dict[str, str | None]]], layout: Layout) -> dict[str, Size]:
    column = layout.required[0]
    sizes = {m: size_of((r[column] for r in rows), layout.typical) for m, rows in found.items()}
    return {month: size for month, size in sizes.items() if size}


def _value(text: str | None, mark: str | None, ratio: bool) -> tuple[str | None, bool]:
    """A cell as a number or as it reads, and whether it could be read."""
    if text is None or text.lower() in NULLS:
        return text, True
    found = number(text, mark, ratio)
    serial = ratio and found is not None and found.isdigit() and int(found) in SERIALS
    if found is None or serial or abs(float(found.rstrip("%"))) >= _MOST:
        return text, False
    return found, True


def _fingerprint(rows: list[dict[str, str | None]]) -> str:
    """Tells whether a month changed; rows above it that came or went do not change it."""
    left_out = {"source_row", "unreadable_cells"}
    texts = sorted(repr([v for name, v in row.items() if name not in left_out]) for row in rows)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def institution_code(text: str | None) -> str | None:
    """``040059`` for a bank, however many zeros were lost, ``21`` for an aggregate; a name may
    follow it: ``040059 INVEX``."""
    match = re.fullmatch(r"(\d{1,6})(?:\s*[-:.]?\s+[^\W\d].*|\.0+)?", text or "")
    if not match or not int(match[1]):
        return None
    code = int(match[1])
    return f"{code:06}" if 40_000 <= code < 50_000 else str(code)


def _letter(place: int) -> str:
    """The name of a column in a spreadsheet: A, B, ..., AA."""
    letters = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        letters = chr(65 + rest) + letters
    return letters

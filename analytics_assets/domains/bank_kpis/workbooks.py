"""Reading a workbook of the regulator as text, month by month.

Belongs here: which sheets, columns and rows a workbook has, and which of them are left out.
Does not belong here: what a cell says (``cells.py``), which files there are (``sources.py``), what
an amount means (``sql/``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow
from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum

from analytics_assets.core.source import SourceError
from analytics_assets.domains.bank_kpis.cells import (
    as_number,
    as_text,
    errors_in,
    institution_code,
    letter,
    month_of,
    plain,
)

ORIGIN = ("institution_code", "month", "periodo", "fecha", "date_problem")
PLACE = ("source_file", "source_sheet", "source_row", "unreadable_cells", "unit_of_file")
_HEADER_ROWS = 10


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
    """Rows of a workbook by month (``2018-12``), a fingerprint of each month, why some months
    cannot be landed, and what is odd."""

    months: Mapping[str, pyarrow.Table]
    fingerprints: Mapping[str, str]
    refused: Mapping[str, str]
    notes: Mapping[str, str]


def read(path: Path, layout: Layout) -> Workbook:
    """All rows of a workbook; raises ``SourceError`` for one that is not of this layout."""
    status = path.stat()
    return _read(path, status.st_size, status.st_mtime_ns, layout)


# A night's run asks for each month on its own, so a workbook is parsed once for all of them.
@lru_cache(maxsize=16)
def _read(path: Path, size: int, changed: int, layout: Layout) -> Workbook:
    try:
        with CalamineWorkbook.from_path(path) as workbook:
            hidden = {
                sheet.name
                for sheet in workbook.sheets_metadata
                if sheet.visible != SheetVisibleEnum.Visible
            }
            sheets = {
                name: workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)
                for name in workbook.sheet_names
            }
            errors = errors_in(path)
    except (CalamineError, OSError) as error:
        raise SourceError(
            f"it cannot be read as an Excel workbook ({error})", str(path), "Fetch it again"
        ) from error
    found = _Rows(path, layout)
    for name, rows in sheets.items():
        header = _header(path, name, rows, layout)
        if header and name in hidden:
            found.hidden.append(name)
        elif header:
            found.add(name, rows, *header, errors.get(name, {}))
    if not found.sheets:
        wanted = [h for h, column in layout.values.items() if column in layout.required]
        only = f"; {', '.join(found.hidden)} is hidden" if found.hidden else ""
        raise SourceError(
            f"none of its sheets ({', '.join(sheets)}) has the columns {layout.institution[0]},"
            f" {(layout.period + layout.date)[0]}, {', '.join(wanted)}{only}",
            str(path),
            "Give the sheet a header with these names in one of its first rows",
        )
    return found.workbook()


@dataclass(frozen=True)
class _Places:
    """Where the columns of a sheet are, counted from 0."""

    institution: int
    period: int | None
    date: int | None
    values: Mapping[int, str]


def _header(
    path: Path, sheet: str, rows: Sequence[Sequence[Any]], layout: Layout
) -> tuple[int, _Places] | None:
    for number, row in enumerate(rows[:_HEADER_ROWS]):
        names = [plain(cell) for cell in row]

        def first(aliases: tuple[str, ...], names: list[str] = names) -> int | None:
            return next((names.index(alias) for alias in aliases if alias in names), None)

        values = {i: layout.values[name] for i, name in enumerate(names) if name in layout.values}
        institution, period, day = map(first, (layout.institution, layout.period, layout.date))
        complete = set(layout.required) <= set(values.values())
        if complete and institution is not None and (period, day) != (None, None):
            _refuse_twins(path, sheet, row, values)
            return number, _Places(institution, period, day, values)
    return None


def _refuse_twins(path: Path, sheet: str, header: Sequence[Any], values: Mapping[int, str]) -> None:
    for name in set(values.values()):
        twins = [str(header[place]).strip() for place, own in values.items() if own == name]
        if len(twins) > 1:
            raise SourceError(
                f"sheet {sheet} has more than one column of {name}: {', '.join(twins)}",
                str(path),
                "Take out the one that is not meant",
            )


class _Rows:
    """Collects the rows of the sheets of a workbook."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._path, self._layout = path, layout
        self.sheets: list[str] = []
        self.hidden: list[str] = []
        self._months: dict[str, list[dict[str, str | None]]] = {}
        self._refused: dict[str, str] = {}
        self._missing: set[str] = set()
        self._footnotes: list[str] = []
        self._swapped = 0

    def add(
        self,
        sheet: str,
        rows: Sequence[Sequence[Any]],
        header: int,
        places: _Places,
        errors: Mapping[tuple[int, str], str],
    ) -> None:
        """The rows of a sheet below its header; ``errors``: its cells that hold one."""
        self.sheets.append(sheet)
        self._missing |= set(self._layout.columns) - set(places.values.values())
        for number, row in enumerate(rows[header + 1 :], start=header + 2):
            cells = {
                place: errors.get((number, letter(place)), row[place]) for place in places.values
            }
            values = {place: as_number(cell, self._layout.ratios) for place, cell in cells.items()}
            self._add_row(sheet, number, row, places, values)

    def _add_row(
        self,
        sheet: str,
        number: int,
        row: Sequence[Any],
        places: _Places,
        values: Mapping[int, tuple[str | None, bool]],
    ) -> None:
        period = None if places.period is None else row[places.period]
        day = None if places.date is None else row[places.date]
        named = as_text(row[places.institution])
        code, (month, problem) = institution_code(named), month_of(period, day)
        if code is None and not any(text for text, _ in values.values()):
            return
        counted = any(text and text[-1:].isdigit() and good for text, good in values.values())
        if not counted and (code is None or month is None):
            self._footnotes.append(f"{sheet} row {number}")
            return
        if month is None:
            raise SourceError(
                f"row {number} of sheet {sheet}: {problem}",
                str(self._path),
                "Mend the cell: a row has to say which month it is of",
            )
        key = f"{month:%Y-%m}"
        if code is None:
            why = f"row {number} of sheet {sheet} has numbers of {named!r}, which is no code"
            self._refused.setdefault(key, f"{why} of an institution")
            self._months.setdefault(key, [])
            return
        self._swapped += isinstance(day, date) and (day.year, day.month) != (
            month.year,
            month.month,
        )
        own: dict[str, str | None] = dict.fromkeys(self._layout.columns)
        own.update({name: values[place][0] for place, name in places.values.items()})
        unreadable = [
            f"{letter(place)}{number} {name} = {own[name]}"
            for place, name in places.values.items()
            if not values[place][1]
        ]
        self._months.setdefault(key, []).append(
            {
                "institution_code": code,
                "month": str(month),
                "periodo": as_text(period),
                "fecha": as_text(day),
                "date_problem": problem,
                **own,
                "source_file": self._path.name,
                "source_sheet": sheet,
                "source_row": str(number),
                "unreadable_cells": "; ".join(unreadable) or None,
            }
        )

    def workbook(self) -> Workbook:
        """What was collected."""
        if not self._months:
            raise SourceError(
                f"sheet {', '.join(self.sheets)} has a header but no rows",
                str(self._path),
                "Fetch it again",
            )
        unit = self._unit()
        for rows in self._months.values():
            for row in rows:
                row["unit_of_file"] = unit
        names = (*ORIGIN, *self._layout.columns, *PLACE)
        schema = pyarrow.schema([(name, pyarrow.string()) for name in names])
        return Workbook(
            {k: pyarrow.Table.from_pylist(own, schema) for k, own in sorted(self._months.items())},
            {
                k: _fingerprint(own, self._refused.get(k, ""))
                for k, own in sorted(self._months.items())
            },
            self._refused,
            self._notes(),
        )

    def _unit(self) -> str | None:
        """What the ratios of the file are in as a whole, for months that are too few to say."""
        if not self._layout.ratios:
            return None
        numbers = [
            abs(float(row[name] or 0))
            for rows in self._months.values()
            for row in rows
            for name in self._layout.required
            if as_number(row[name], True)[1] and (row[name] or "")[-1:].isdigit()
        ]
        known = [number for number in numbers if number]
        return "ratio" if known and median(known) < 1 else "percent"

    def _notes(self) -> dict[str, str]:
        notes = {
            "columns missing": ", ".join(
                name for name in self._layout.columns if name in self._missing
            ),
            "hidden sheets, left out": ", ".join(self.hidden),
            "dates with day and month swapped": str(self._swapped or ""),
            "rows that are no institution's, left out": ", ".join(self._footnotes[:20]),
        }
        return {what: said for what, said in notes.items() if said}


def _fingerprint(rows: list[dict[str, str | None]], refused: str) -> str:
    """Tells whether a month changed; rows above it that came or went do not change it."""
    left_out = {"source_row", "unreadable_cells"}
    texts = sorted(repr([v for name, v in row.items() if name not in left_out]) for row in rows)
    return hashlib.sha256("\n".join([*texts, refused] if refused else texts).encode()).hexdigest()[
        :16
    ]

"""The cells of a workbook, as a child process reads them.

Belongs here: what a sheet is handed back as, and what no workbook is told by.
Does not belong here: what a cell means (``workbooks.py``), errors in cells (``error_cells.py``).

The child imports this module, which is quick to import. Of the largest published workbook (190,000
cells, 1.2 s) starting it takes 0.1 s and handing the cells back 0.25 s.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile

from analytics_assets.core.source import SourceError
from analytics_assets.core.telling import foreign
from analytics_assets.domains.bank_kpis.error_cells import error_cells
from analytics_assets.landing.confined import confined
from analytics_assets.landing.folder import refuse_no_file
from analytics_assets.landing.scratch import scratch_folder


@dataclass(frozen=True)
class Sheet:
    """A sheet from its first cell on; ``errors``: cell (``D3``) -> the error in it."""

    visible: bool
    rows: Sequence[Sequence[Any]]
    errors: dict[str, str]


def sheets(path: Path) -> dict[str, Sheet]:
    """The sheets of a workbook by name, in its order; ``SourceError`` for what is none."""
    refuse_no_file(path)
    with scratch_folder() as scratch:
        target = scratch / "rows"
        found = confined(write, path, target)
        with target.open(encoding="utf-8") as lines:
            # Line by line: the text of all rows beside their cells would take the memory twice.
            return {
                name: Sheet(
                    visible,
                    [json.loads(next(lines), object_hook=_cell) for _ in range(rows)],
                    errors,
                )
                for name, visible, rows, errors in found
            }


def write(path: Path, target: Path) -> list[tuple[str, bool, int, dict[str, str]]]:
    """In the child: name, visibility, number of rows and errors of each sheet; a row a line."""
    from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum

    found = []
    try:
        with (
            CalamineWorkbook.from_path(path) as workbook,
            target.open("w", encoding="utf-8") as file,
        ):
            errors = error_cells(path)
            for sheet in workbook.sheets_metadata:
                name, visible = sheet.name, sheet.visible == SheetVisibleEnum.Visible
                rows = workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)
                for row in rows:
                    file.write(json.dumps(row, default=_tagged) + "\n")
                found.append((name, visible, len(rows), errors.get(name, {})))
    except (CalamineError, BadZipFile, KeyError, ParseError) as error:
        raise SourceError(
            f"it cannot be read as an Excel workbook ({foreign(error)})",
            str(path),
            "Fetch it again",
        ) from error
    return found


_KINDS = {kind.__name__: kind for kind in (date, datetime, time)}


def _tagged(cell: date | time | timedelta) -> dict[str, Any]:
    """A cell that JSON has no word for; no other cell is an object."""
    if isinstance(cell, timedelta):
        return {"seconds": cell.total_seconds()}
    return {type(cell).__name__: cell.isoformat()}


def _cell(tagged: dict[str, Any]) -> Any:
    ((kind, value),) = tagged.items()
    return timedelta(seconds=value) if kind == "seconds" else _KINDS[kind].fromisoformat(value)

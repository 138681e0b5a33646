"""Cells of a workbook that the reader gives as blanks and that are none: errors (#REF!, #N/A), and
formulas whose result was not saved.

Belongs here: where they are, from the workbook's own XML.
Does not belong here: all other cells (``workbooks.py``). Only .xlsx and .xlsm are XML.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_LINK = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_ERROR = re.compile(rb"<(?:\w+:)?c\s([^>]*\bt=[\"']e[\"'][^>]*)>(.*?)</(?:\w+:)?c>", re.DOTALL)
_UNSAVED = re.compile(
    rb"<(?:\w+:)?c\s([^>]*[^/])><(?:\w+:)?f\b(?:[^>]*/>|[^<]*</(?:\w+:)?f>)</(?:\w+:)?c>"
)
_NO_RESULT = "formula without a saved result"
# What may stand there in words that are nobody's.
ERRORS = (
    _NO_RESULT,
    *["#REF!", "#DIV/0!", "#N/A", "#NAME?", "#NULL!", "#NUM!", "#VALUE!", "#ERROR"],
)
_PLACE = re.compile(rb"\br=[\"']([A-Z]+\d+)[\"']")
_SAID = re.compile(rb"<(?:\w+:)?v>([^<]*)<")


def tells_errors(path: Path) -> bool:
    """Whether errors can be told from blanks in a file of this format."""
    return path.suffix.lower() in (".xlsx", ".xlsm")


def error_cells(path: Path) -> dict[str, dict[str, str]]:
    """Sheet -> cell (``D3``) -> the error in it."""
    if not tells_errors(path):
        return {}
    found: dict[str, dict[str, str]] = {}
    with zipfile.ZipFile(path) as archive:
        links = {
            link.get("Id"): link.get("Target", "")
            for link in ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
        }
        for sheet in ElementTree.fromstring(archive.read("xl/workbook.xml")).iter(f"{_MAIN}sheet"):
            target = links.get(sheet.get(_LINK), "")
            part = target.lstrip("/") if target.startswith("/") else f"xl/{target}"
            if part in archive.namelist():
                found[sheet.get("name", "")] = _in_sheet(archive.read(part))
    return found


def _in_sheet(xml: bytes) -> dict[str, str]:
    cells = {}
    for match in _UNSAVED.finditer(xml):
        if place := _PLACE.search(match[1]):
            cells[place[1].decode()] = _NO_RESULT
    for match in _ERROR.finditer(xml):
        place, said = _PLACE.search(match[1]), _SAID.search(match[2])
        if place:
            cells[place[1].decode()] = said[1].decode() if said else "#ERROR"
    return cells

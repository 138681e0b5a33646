"""What one cell of a workbook says: a number, an institution, a month.

Belongs here: the spellings of each, and the cells of a file that hold an error.
Does not belong here: which cells there are (``workbooks.py``).

Every row is of one month, whose first (or last) day its date is. So a date tells its month even
where a spreadsheet swapped day and month: 10/01/2024 and 2024-01-10 are both October 2024. Where a
period (202410) stands beside it, the period counts and the date has to be a day of it.
"""

from __future__ import annotations

import re
import unicodedata
import zipfile
from calendar import monthrange
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

# How the regulator and those who copy from it write "no value".
NULLS = frozenset({"", "-", "--", "n.d.", "n.d", "nd", "n/d", "n.a.", "n.a", "na", "n/a", "nan"})
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_BLANKS = "\u00a0\u202f'\u2019"  # what groups digits, beside a blank, a comma or a point
_GROUPS = {mark: re.compile(rf"\d{{1,3}}([{mark}]\d{{3}})+") for mark in (",", ".", " ")}
# Days that spreadsheets number from 1899-12-30: 1982 to 2064.
_SERIALS = range(30_000, 60_000)
_EPOCH = date(1899, 12, 30)
_CELL = re.compile(r"([A-Z]+)(\d+)")


def plain(header: Any) -> str:
    """A header without accents, capitals and superfluous blanks."""
    text = unicodedata.normalize("NFKD", str(header)).encode("ascii", "ignore").decode()
    return " ".join(text.replace("_", " ").lower().split())


def as_text(cell: Any) -> str | None:
    """A cell as it reads, trimmed; 1, not 1.0, and dates as ISO has them; blank is ``None``."""
    if isinstance(cell, datetime):
        cell = cell.date()
    if isinstance(cell, float):
        cell = int(cell) if cell.is_integer() else format(Decimal(repr(cell)), "f")
    return str(cell).strip() or None if cell is not None else None


def as_number(cell: Any, ratio: bool) -> tuple[str | None, bool]:
    """A number as SQL reads it, and whether the cell could be read; else its text.

    1,500 and 1 500 and 1.500,00 are grouped by thousands; of a ratio a lone comma is a decimal
    one, 15.5% is 15.5, and a whole number of five digits is a date that lost its format.
    """
    text = as_text(cell)
    if text is None or text.lower() in NULLS:
        return text, True
    if ratio and text.isdigit() and int(text) in _SERIALS:
        return text, False
    if _PLAIN.fullmatch(text):
        return text, True
    found = _number(text.lstrip("$ ").rstrip(), ratio)
    return (text, False) if found is None else (found, True)


def _number(text: str, ratio: bool) -> str | None:
    negative = text.startswith("(") and text.endswith(")")
    text = text[1:-1].strip() if negative else text
    text = text[:-1].rstrip() if ratio and text.endswith("%") else text
    sign = "-" if negative else ""
    if text[:1] in "+-":
        sign, text = text[:1], text[1:].lstrip()
    for blank in _BLANKS:
        text = text.replace(blank, " ")
    whole, decimals = text, ""
    marks = [mark for mark in text if mark in ",."]
    if marks and not (marks.count(marks[-1]) > 1 or _is_group(text, marks, ratio)):
        whole, _, decimals = text.rpartition(marks[-1])
    for mark, groups in _GROUPS.items():
        if groups.fullmatch(whole):
            whole = whole.replace(mark, "")
    if not (whole + decimals).isdecimal() or not (whole + decimals).isascii():
        return None
    return f"{sign}{whole}" + (f".{decimals}" if decimals else "")


def _is_group(text: str, marks: list[str], ratio: bool) -> bool:
    """Whether a lone comma groups thousands: 1,500 of an amount."""
    return not ratio and marks == [","] and bool(_GROUPS[","].fullmatch(text))


def institution_code(text: str | None) -> str | None:
    """``040059`` for a bank, however many zeros were lost, ``21`` for an aggregate; a name may
    follow. ``None`` for what is no code, 0 among it."""
    match = re.fullmatch(r"(\d{1,6})(\.0)?([ -]+\D.*)?", text or "")
    number = int(match[1]) if match else 0
    if not number:
        return None
    return f"{number:06}" if 40_000 <= number < 50_000 else str(number)


def month_of(period: Any, day: Any) -> tuple[date | None, str | None]:
    """First day of a row's month, and what is wrong with its date.

    Without a period, a date that can be read as two months or none gives no month.
    """
    named = _period(as_text(period))
    if named is None:
        ends = {month for month, end in _readings(day) if end}
        if len(ends) == 1:
            return ends.pop(), None
        return None, f"period {as_text(period)} and date {as_text(day)} do not tell a month"
    if as_text(day) is None or named in {month for month, _ in _readings(day)}:
        return named, None
    return named, f"date {as_text(day)} is not in period {named:%Y%m}"


def _period(text: str | None) -> date | None:
    match = re.fullmatch(r"((?:19|20)\d\d)-?(0[1-9]|1[0-2])", text or "")
    return date(int(match[1]), int(match[2]), 1) if match else None


def _readings(day: Any) -> Iterator[tuple[date, bool]]:
    """The months that a date may be of, with day and month in either order, and whether it is the
    first or last day of it."""
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
        if 1 <= month <= 12 and 1 <= number <= (last := monthrange(year, month)[1]):
            yield date(year, month, 1), number in (1, last)


def letter(place: int) -> str:
    """The name of a column in a spreadsheet, counted from 0: A, B, ..., AA."""
    letters = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def errors_in(path: Path) -> dict[str, dict[tuple[int, str], str]]:
    """Sheet -> (row, column's letters) -> #REF! and the like, which the reader takes for blank.

    Of .xlsx and .xlsm; the older formats do not tell.
    """
    found: dict[str, dict[tuple[int, str], str]] = {}
    if not zipfile.is_zipfile(path):
        return found
    with zipfile.ZipFile(path) as book:
        for sheet, part in _parts(book).items():
            content = book.read(part)
            if b't="e"' not in content:
                continue
            own = found.setdefault(sheet, {})
            for cell in ElementTree.fromstring(content).iter():
                place = _CELL.fullmatch(cell.get("r", "")) if cell.get("t") == "e" else None
                if place:
                    said = "".join(cell.itertext()).strip()
                    own[int(place[2]), place[1]] = said or "an error"
    return found


def _parts(book: zipfile.ZipFile) -> dict[str, str]:
    """Sheet -> its file in the workbook."""
    try:
        sheets = ElementTree.fromstring(book.read("xl/workbook.xml"))
        links = ElementTree.fromstring(book.read("xl/_rels/workbook.xml.rels"))
    except KeyError:
        return {}
    targets = {link.get("Id"): link.get("Target", "") for link in links}
    named = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
    found = {
        sheet.get("name", ""): targets.get(sheet.get(named), "")
        for sheet in sheets.iter()
        if sheet.tag.endswith("}sheet")
    }
    parts = {
        name: target.lstrip("/") if target.startswith("/") else f"xl/{target}"
        for name, target in found.items()
    }
    return {name: part for name, part in parts.items() if part in book.NameToInfo}

"""Amounts and ratios in the spellings of spreadsheets: 1,500, 1 500, 14.445,00, 0,9%, (15).

Belongs here: from the text of a cell to a number as SQL reads it.
Does not belong here: which cells there are (``workbooks.py``), percentages or ratios (``sql/``).

Which mark is the decimal one is told by the texts of a sheet together: 14.445,00 and 13500,00 say
that it is the comma, and then 1,500 is one and a half. Where nothing says it, three digits after
one comma are thousands, as the regulator writes them, but not in ratios, which are never that high.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# How the regulator and those who copy from it write "no value".
NULLS = frozenset({"", "-", "--", "n.d.", "n.d", "nd", "n/d", "n.a.", "n.a", "na", "n/a", "nan"})
_BLANKS = re.compile(r"(?<=\d)[ \u00a0\u2009\u202f'](?=\d{3}(?!\d))")
_PLAIN = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_GROUPED = {
    ",": re.compile(r"[1-9]\d{0,2}(,\d{3})+(\.\d*)?"),
    ".": re.compile(r"[1-9]\d{0,2}(\.\d{3})+(,\d*)?"),
}
_COMMA = re.compile(r"\d*,\d+")


def bare(text: str) -> tuple[str, bool, bool]:
    """Digits and marks alone, whether it is negative, whether it is a percentage."""
    text = text.strip().replace("\u2212", "-")
    negative = False
    if text.startswith("(") and text.endswith(")"):
        negative, text = True, text[1:-1].strip()
    percent = text.endswith("%")
    text = text.rstrip("%").strip().removeprefix("$").strip()
    if text[:1] in ("+", "-"):
        if negative:  # two signs say nothing
            return "", False, percent
        negative, text = text[0] == "-", text[1:].strip()
    text = text.removeprefix("$").strip()
    return _BLANKS.sub("", text), negative, percent


def decimal_mark(texts: Iterable[str]) -> str | None:
    """The decimal mark that texts of one sheet tell; ``None`` where they tell none or both."""
    told: set[str] = set()
    for text in texts:
        digits = bare(text)[0]
        if ("," not in digits and "." not in digits) or not re.fullmatch(r"[\d.,]+", digits):
            continue
        comma, point = digits.count(","), digits.count(".")
        if comma and point:
            told.add(max(",.", key=digits.rfind))
        elif comma > 1 or point > 1:
            told.add("." if comma else ",")
        elif not _GROUPED["," if comma else "."].fullmatch(digits):
            told.add("," if comma else ".")
    return told.pop() if len(told) == 1 else None


def number(text: str, mark: str | None = None, ratio: bool = False) -> str | None:
    """The number that a text is, a percentage with its sign; ``None`` if it is none."""
    digits, negative, percent = bare(text)
    found: str | None = None
    if mark == "," or (mark is None and ratio and _COMMA.fullmatch(digits)):
        if _GROUPED["."].fullmatch(digits):
            found = digits.replace(".", "").replace(",", ".")
        elif _COMMA.fullmatch(digits):
            found = digits.replace(",", ".")
    elif _GROUPED[","].fullmatch(digits):
        found = digits.replace(",", "")
    elif mark is None and _COMMA.fullmatch(digits):
        found = digits.replace(",", ".")
    elif (
        mark is None and _GROUPED["."].fullmatch(digits) and digits.count(".") > 1 - ("," in digits)
    ):
        found = digits.replace(".", "").replace(",", ".")
    if found is None and _PLAIN.fullmatch(digits):
        found = digits
    if found is None:
        return None
    return f"{'-' if negative else ''}{found.rstrip('.')}{'%' if percent else ''}"

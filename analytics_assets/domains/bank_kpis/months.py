"""The month that a row of a workbook is of, from its period and its date.

Belongs here: what spreadsheets make of dates.
Does not belong here: which rows there are (``workbooks.py``).
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from analytics_assets.core.telling import word

# Days that spreadsheets number from 1899-12-30: 1982 to 2064.
SERIALS = range(30_000, 60_000)
_EPOCH = date(1899, 12, 30)


def as_text(cell: Any) -> str | None:
    """A cell as it reads, trimmed; 1, not 1.0, and dates as ISO has them; blank is ``None``."""
    if isinstance(cell, datetime):
        cell = cell.date()
    if isinstance(cell, float):
        cell = int(cell) if cell.is_integer() else format(Decimal(repr(cell)), "f")
    # PostgreSQL takes no NUL, and nobody means one.
    return str(cell).replace("\0", "").strip() or None if cell is not None else None


def month_of(period: Any, day: Any) -> tuple[date | None, str | None]:
    """First day of a row's month, and what is wrong with its date.

    Without a period, a date that can be read as two months or none gives no month.
    """
    named = _period(as_text(period))
    readings = sorted(set(_readings(day, any_day=named is not None)))
    if named is None:
        if len(readings) == 1:
            return readings[0], None
        return None, f"period {_told(period)} and date {_told(day)} do not tell a month"
    if as_text(day) is None or named in readings:
        return named, None
    return named, f"date {_told(day)} is not in period {named:%Y%m}"


def _told(cell: Any) -> str | None:
    text = as_text(cell)
    return None if text is None else word(text)


def _period(text: str | None) -> date | None:
    match = re.fullmatch(r"((?:19|20)\d\d)-?(0[1-9]|1[0-2])", text or "")
    return date(int(match[1]), int(match[2]), 1) if match else None


def _readings(day: Any, any_day: bool) -> Iterator[date]:
    """The months whose first or last day, or any, a date may be, day and month in either order."""
    text = as_text(day) or ""
    if text.isdigit() and int(text) in SERIALS:
        text = str(_EPOCH + timedelta(days=int(text)))
    if match := re.match(r"(\d{4})-(\d{1,2})-(\d{1,2})(?!\d)", text):
        year, one, two = map(int, match.groups())
    elif match := re.match(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})(?!\d)", text):
        one, two, year = map(int, match.groups())
    else:
        return
    for month, number_of in ((one, two), (two, one)):
        if not (year and 1 <= month <= 12):
            continue
        last = monthrange(year, month)[1]
        if number_of in (1, last) or (any_day and 1 <= number_of <= last):
            yield date(year, month, 1)

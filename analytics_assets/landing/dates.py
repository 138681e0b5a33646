"""The order of day and month in the dates of a file.

Belongs here: which of the two comes first, told by the file as a whole.
Does not belong here: how a date is read in that order, which column holds one.

A file is written by one program, so one order holds for all of it, and one day above 12 decides. To
decide value by value would read 03/04 and 13/04 of one file as dates of two orders. A typing error
beside many dates of the other order is no date, and decides nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from analytics_assets.core.source import SourceError

Order = Literal["", "day", "month"]
# As many dates of one order as this, for each of the other, make those typing errors.
_TYPED_RIGHT = 20
# Two numbers, of which either may be the month, and a year; a time of day may follow.
_SLASHED = r"^\s*([0-9]{1,2})[/.-]([0-9]{1,2})[/.-]([0-9]{4})([T ].*)?\s*$"


def date_order(session: Any, rows: str, text: str, path: Path, row: str = "") -> Order:
    """Whether the day or the month comes first in the dates that ``text`` (SQL) gives over
    ``rows`` (a table, or SQL in brackets); empty where no date depends on it.

    ``row``: SQL of the number by which a row is named. ``SourceError`` where both orders occur, but
    for a few typing errors, or nothing decides between them.
    """
    number = row or "cast(null as bigint)"
    parts = ", ".join(
        f"try_cast(regexp_extract({text}, '{_SLASHED}', {n}) as integer) as {name}"
        for n, name in ((1, "a"), (2, "b"))
    )
    found = session.execute(
        "select count(*) filter (where a > 12), count(*) filter (where b > 12),"
        " count(*) filter (where a <> b), min(file_row) filter (where a > 12),"
        " min(file_row) filter (where b > 12)"
        f" from (select {parts}, {number} as file_row from {rows})"
        " where a between 1 and 31 and b between 1 and 31 and least(a, b) <= 12"
    ).fetchone()
    day_first, month_first, differing, first, second = found
    if min(day_first, month_first) * _TYPED_RIGHT > max(day_first, month_first):
        named = f" (rows {first:,} and {second:,})" if row else ""
        raise SourceError(
            f"{day_first:,} of its dates have the day first and {month_first:,} the month{named}",
            str(path),
            "Write all of them as YYYY-MM-DD",
        )
    if differing and not day_first and not month_first:
        raise SourceError(
            f"its {differing:,} dates may have the day or the month first: none has a day above 12,"
            " which would decide",
            str(path),
            "Write them as YYYY-MM-DD",
        )
    if not differing:
        return ""
    return "day" if day_first > month_first else "month"

"""Dates as files write them.

Belongs here: the spellings that are read, and in which order a file has day and month.
Does not belong here: what becomes of a record without a date (``readers.py``).

DDMMYYYY (seven digits have lost a zero), YYYYMMDD, YYYY-MM-DD and D/M/YYYY; the last two also with
a time of 00:00:00. M/D/YYYY is told by a day above 12, of a file and never of one value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_TIME = "([ T]0?0:00(:00([.]0+)?)?Z?)?"
_APART = f"^([0-9]{{1,2}})[/.-]([0-9]{{1,2}})[/.-]([0-9]{{4}}){_TIME}$"
_ISO = f"^([0-9]{{4}}[/-][0-9]{{1,2}}[/-][0-9]{{1,2}}){_TIME}$"
# So few dates of the other order are typing errors: the same share of any rows is only warned of.
_ERRORS = 0.005


class UndecidedDates(ValueError):
    """Nothing, or as much as against it, tells the order of day and month; says what was found."""


def date_sql(text: str) -> str:
    """DuckDB expression: the date of a text, day first; NULL for what is none."""
    packed, shorter = (
        # Six times as quick as putting together an ISO date; of eight characters it takes digits
        # only.
        f"cast(try_strptime(lpad({digits}, 8, '0'), '%d%m%Y') as date)"
        for digits in (text, f"{text}[:-3]")
    )
    apart = f"regexp_replace(regexp_extract({text}, '{_APART}'), '{_APART}', '\\3-\\2-\\1')"
    return (
        f"case when length({text}) in (7, 8) and {text}[-5] between '0' and '9'"
        f" and {text}[5] between '0' and '9' then case when {text}[-4:-3] > '12' then {packed}"
        f" else cast(try_strptime({text}, '%Y%m%d') as date) end"
        f" when length({text}) = 10 and {text}[5] = '-' then try_cast({text} as date)"
        f" when length({text}) in (9, 10) and {text} like '%.0' then {shorter}"
        f" when length({text}) < 8 then null"
        f" else coalesce(try_cast(regexp_extract({text}, '{_ISO}', 1) as date),"
        f" try_cast({apart} as date)) end"
    )


def day_first_sql(text: str) -> str:
    """DuckDB expression: M/D/YYYY as D/M/YYYY, any other text as it is."""
    return f"regexp_replace({text}, '{_APART}', '\\2/\\1/\\3')"


def is_month_first(session: Any, rows: str, columns: Sequence[str]) -> bool:
    """Whether a file writes the month before the day; ``UndecidedDates``.

    ``rows``: its relation. The first of its ``columns`` that tells decides; one that holds a date
    that is not written apart, or the same number twice, cannot be misread.
    """
    misread = False
    for column in columns:
        day_first, month_first, either, packed = session.execute(
            "select count(*) filter (one > 12 and two <= 12),"
            " count(*) filter (one <= 12 and two > 12),"
            " count(*) filter (one <= 12 and two <= 12 and one <> two),"
            " count(*) filter (packed)"
            f" from (select try_cast(regexp_extract({column}, '{_APART}', 1) as integer) as one,"
            f" try_cast(regexp_extract({column}, '{_APART}', 2) as integer) as two,"
            f" regexp_full_match({column}, '[0-9]{{7,8}}') as packed from {rows})"
        ).fetchone()
        misread = misread or either > 0
        if not day_first and not month_first:
            if packed and either:
                return False  # the official layout has the day first
            continue
        if min(day_first, month_first) > _ERRORS * (day_first + month_first):
            raise UndecidedDates(
                f"{day_first:,} dates ({column}) have a day above 12 in the first place and"
                f" {month_first:,} in the second"
            )
        return bool(month_first > day_first)
    if misread:
        raise UndecidedDates(
            "its dates may have the day or the month in the first place: no day is above 12"
        )
    return False

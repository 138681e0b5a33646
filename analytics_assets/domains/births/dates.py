"""Dates as files write them.

Belongs here: the spellings that are read, quickly in those of the official files.
Does not belong here: which of day and month comes first in a file (``landing/dates.py``), what
becomes of a record without a date (``rejected.py``).

DDMMYYYY (seven digits have lost a zero), YYYYMMDD, YYYY-MM-DD and D/M/YYYY; the last two also with
a time of 00:00:00. M/D/YYYY is told by a day above 12, of a file and never of one value.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analytics_assets.landing.dates import date_order

_TIME = "([ T]0?0:00(:00([.]0+)?)?Z?)?"
_APART = f"^([0-9]{{1,2}})[/.-]([0-9]{{1,2}})[/.-]([0-9]{{4}}){_TIME}$"
_ISO = f"^([0-9]{{4}}[/-][0-9]{{1,2}}[/-][0-9]{{1,2}}){_TIME}$"


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


def is_month_first(session: Any, rows: str, path: Path) -> bool:
    """Whether the dates of birth of a file have the month first; ``SourceError`` if nothing tells.

    ``rows``: its relation, with ``source_row``.
    """
    apart = "(contains(DTNASC, '/') or contains(DTNASC, '-') or contains(DTNASC, '.'))"
    (found,) = session.execute(
        f"select count(*) from {rows} where {apart} and DTNASC[5] <> '-'"
    ).fetchone()
    if not found:
        return False  # the official layout, or ISO: the question costs a second in a national year
    # The official layout has the day first, and so have the other dates of a file that keeps to it.
    text = "case when regexp_full_match(DTNASC, '[0-9]{7,8}') then '13/01/2000' else DTNASC end"
    return date_order(session, rows, text, path, "source_row") == "month"

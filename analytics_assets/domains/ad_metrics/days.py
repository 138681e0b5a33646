"""The day of a row of Meta's, however it is written.

Belongs here: text -> day, as SQL. Does not belong here: which rows are refused (``landing.py``).
"""

from __future__ import annotations

from collections.abc import Sequence


def without_time(text: str) -> str:
    """SQL of the text of a moment without its time of day."""
    return rf"regexp_replace(trim({text}), '[T ]+[0-9]{{1,2}}:[0-9]{{2}}.*$', '')"


def day_sql(text: str) -> str:
    """SQL of the day that a text says: ISO dates with or without a time, and what else exports
    make of them.

    The day is the one that is written, without regard to a time zone: Meta's days are those of the
    account. Of the days that ``01/02/2025`` can be, the name of the file (``file_day``,
    ``file_end``) has to allow one; else it is no date.
    """
    day = without_time(text)
    slashed = f"regexp_replace({day}, '[.-]', '/', 'g')"
    number = f"try_cast({day} as bigint)"
    others = ", ".join(
        [
            *(_dates(slashed, ("%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y"))),
            *(_dates(day, ("%Y%m%d", "%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y"))),
            # Seconds or milliseconds since 1970, from 2001 to 2100.
            f"case when {number} between 1e9 and 4.1e9 then"
            f" cast(make_timestamp({number} * 1000000) as date) end",
            f"case when {number} between 1e12 and 4.1e12 then"
            f" cast(make_timestamp({number} * 1000) as date) end",
        ]
    )
    return (
        f"case when regexp_full_match({day}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}')"
        f" then try_cast({day} as date) else list_transform([list_distinct([{others}])],"
        " lambda days: coalesce("
        "case when len(list_filter(days, lambda d: d >= file_day and d < file_end)) = 1"
        " then list_filter(days, lambda d: d >= file_day and d < file_end)[1] end,"
        " case when len(days) = 1 then days[1] end))[1] end"
    )


def _dates(text: str, formats: Sequence[str]) -> list[str]:
    # Of two digits a year would be one of the first century.
    return [
        f"case when try_strptime({text}, '{one}') > timestamp '1000-01-01'"
        f" then cast(try_strptime({text}, '{one}') as date) end"
        for one in formats
    ]

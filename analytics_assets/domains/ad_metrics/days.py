"""The day of a row of Meta's, however it is written.

Belongs here: text -> day, as SQL. Does not belong here: which rows are refused (``landing.py``).
"""

from __future__ import annotations

# Of two orders of month and day both are tried; these are told from all others.
_CERTAIN = "['%Y/%m/%d', '%Y%m%d', '%b %d, %Y', '%B %d, %Y', '%d %b %Y', '%d %B %Y']"
_ORDERS = ("'%m/%d/%Y'", "'%d/%m/%Y'")


def without_time(text: str) -> str:
    """SQL of the text of a moment without its time of day."""
    return f"regexp_replace(trim({text}), '[T ]+[0-9]{{1,2}}:[0-9]{{2}}.*$', '')"


def day_sql(text: str) -> str:
    """SQL of the day that a text says: ISO dates with or without a time, and what else exports
    make of them.

    The day is the one that is written, without regard to a time zone: Meta's days are those of the
    account. Of the days that ``01/02/2025`` can be, the name of the file (``file_day``,
    ``file_end``) has to allow one; else it is no date. What is said once in it is planned once: a
    file of a day holds so few rows that planning is what costs.
    """
    found = ", ".join(f"try_strptime(slashed, {one})" for one in (_CERTAIN, *_ORDERS))
    # Seconds or milliseconds since 1970, from 2001 to 2100.
    number = "try_cast(slashed as bigint)"
    epoch = (
        f"make_timestamp(case when {number} between 1e9 and 4.1e9 then {number} * 1000000"
        f" when {number} between 1e12 and 4.1e12 then {number} * 1000 end)"
    )
    # A year of two digits would be one of the first century.
    dates = (
        f"list_distinct(list_transform(list_filter([{found}, {epoch}],"
        " lambda moment: moment > timestamp '1000-01-01'), lambda moment: moment::date))"
    )
    allowed = "list_filter(dates, lambda one: one >= file_day and one < file_end)"
    chosen = f"list_filter([{allowed}, dates], lambda alone: len(alone) = 1)[1][1]"
    return (
        f"list_transform([{without_time(text)}], lambda day:"
        " case when regexp_full_match(day, '[0-9]{4}-[0-9]{2}-[0-9]{2}') then try_cast(day as date)"
        " else list_transform([regexp_replace(day, '[.-]', '/', 'g')], lambda slashed:"
        f" list_transform([{dates}], lambda dates: {chosen})[1])[1] end)[1]"
    )

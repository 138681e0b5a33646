"""The words of time that a question may use, and how a coarser time is derived from a finer one.

Belongs here: day, week, month, quarter, season, year, year to date: their first day, their label,
the period before and that of a year before, and which axes of a table they can be read from.
Does not belong here: the axes that tables are declared with (``calendar.py``), choosing a table.

All SQL here is the same text in DuckDB and PostgreSQL. A period is a date inside a statement, its
first day, and becomes its label only where rows leave it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from analytics_assets.core.columns import Column, Type
from analytics_assets.core.refusals import no_such

_PART = re.compile(
    r"(?P<year>\d{4})(?:-Q(?P<quarter>[1-4])|-(?P<season>DJF|MAM|JJA|SON)"
    r"|-(?P<month>\d{2})(?:-(?P<day>\d{2}))?)?"
)
_SEASONS = {"DJF": -1, "MAM": 2, "JJA": 5, "SON": 8}  # months from January to the first one


@dataclass(frozen=True)
class Time:
    """A word of time: ``first``: SQL of its first day from ``{date}``; ``label``: SQL of how a
    first day ``{first}`` reads; ``step``, ``year``: SQL intervals to the next one and to that of a
    year later; ``months`` of one (0: it is counted in ``days``); ``axes``: those it is read from.
    """

    name: str
    axes: tuple[str, ...]
    first: str
    label: str
    type: Type
    step: str
    year: str
    description: str
    months: int = 0
    days: int = 0

    def column(self) -> Column:
        """The column of an answer."""
        return Column(self.name, self.type, self.description, nullable=False)

    def floor(self, day: date) -> date:
        """The first day of the period that holds a day."""
        if not self.months:
            return day - timedelta(days=day.weekday()) if self.days == 7 else day
        shift = 1 if self.name == "season" else 0
        number = day.year * 12 + day.month - 1 + shift
        return _month(number - number % self.months - shift)

    def following(self, first: date) -> date:
        """The first day of the next period."""
        if self.months:
            return _month(first.year * 12 + first.month - 1 + self.months)
        return first + timedelta(days=self.days)


def _month(number: int) -> date:
    return date(number // 12, number % 12 + 1, 1)


def _trunc(part: str) -> str:
    return f"cast(date_trunc('{part}', {{date}}) as date)"


_YEAR_LABEL = "cast(extract(year from {first}) as integer)"
_ALL_AXES = ("day", "month", "quarter", "year")
TIMES = {
    time.name: time
    for time in (
        Time("day", ("day",), "{date}", "{first}", "date", "interval '1 day'",
             "interval '1 year'", "The day.", days=1),
        # A week of the year before has the same days of the week.
        Time("week", ("day", "week"), _trunc("week"), "{first}", "date", "interval '7 day'",
             "interval '364 day'", "Monday of the ISO week.", days=7),
        Time("month", ("day", "month"), _trunc("month"), "left(cast({first} as varchar), 7)",
             "text", "interval '1 month'", "interval '1 year'", "Month, as 2024-05.", months=1),
        Time("quarter", ("day", "month", "quarter"), _trunc("quarter"),
             "concat(left(cast({first} as varchar), 4), '-Q',"
             " cast(extract(quarter from {first}) as integer))",
             "text", "interval '3 month'", "interval '1 year'", "Quarter, as 2024-Q2.", months=3),
        Time("season", ("day", "month"),
             "cast(date_trunc('quarter', {date} + interval '1 month') - interval '1 month'"
             " as date)",
             "concat(left(cast(cast({first} + interval '1 month' as date) as varchar), 4),"
             " case cast(extract(month from {first}) as integer)"
             " when 12 then '-DJF' when 3 then '-MAM' when 6 then '-JJA' else '-SON' end)",
             "text", "interval '3 month'", "interval '1 year'",
             "Season, as 2024-DJF: December to February, of the year of January.", months=3),
        Time("year", _ALL_AXES, _trunc("year"), _YEAR_LABEL, "integer", "interval '1 year'",
             "interval '1 year'", "Year.", months=12),
        Time("year_to_date", ("day", "month"), _trunc("year"), _YEAR_LABEL, "integer",
             "interval '1 year'", "interval '1 year'",
             "Year, each up to the month that the last one has come to.", months=12),
    )
}  # fmt: skip


def period(text: str) -> tuple[date, date]:
    """First and last day of a year, quarter, season, month or day as people write it (2024,
    2024-Q2, 2024-DJF, 2024-05, 2024-05-31); ``ValueError`` with a sentence for anything else."""
    found = _PART.fullmatch(text.strip())
    if not found:
        raise ValueError("write a time as 2024, 2024-Q2, 2024-DJF, 2024-05 or 2024-05-31")
    year = int(found["year"])
    try:
        if found["day"]:
            day = date(year, int(found["month"]), int(found["day"]))
            return day, day
        if found["month"]:
            first, months = date(year, int(found["month"]), 1), 1
        elif found["quarter"]:
            first, months = date(year, int(found["quarter"]) * 3 - 2, 1), 3
        elif found["season"]:
            first, months = _month(year * 12 + _SEASONS[found["season"]]), 3
        else:
            first, months = date(year, 1, 1), 12
        after = _month(first.year * 12 + first.month - 1 + months)
    except ValueError:
        raise ValueError("there is no such day") from None
    return first, after - timedelta(days=1)


def span(text: str) -> tuple[date, date]:
    """First and last day of ``A..B``, or of one period."""
    begins, dots, ends = text.partition("..")
    first, last = period(begins)[0], period(ends if dots else begins)[1]
    if last < first:
        raise ValueError("the range ends before it begins")
    return first, last


def aligned(axis: str, first: date, last: date) -> bool:
    """Whether a range holds whole periods of an axis, so that its rows can be told apart by it."""
    time = TIMES[axis]
    return time.floor(first) == first and time.floor(last + timedelta(days=1)) == last + timedelta(
        days=1
    )


def widened(axis: str, first: date, last: date) -> tuple[date, date]:
    """The least range of whole periods that holds this one."""
    time = TIMES[axis]
    return time.floor(first), time.following(time.floor(last)) - timedelta(days=1)


def one_time(words: Sequence[str]) -> Time | None:
    """The word of time among these, of which there may be several: the finest."""
    order = list(TIMES)
    found = sorted((word for word in words if word in TIMES), key=order.index)
    return TIMES[found[0]] if found else None


def known_time(word: str) -> Time:
    """The word; ``ValueError`` with the nearest for another."""
    if word not in TIMES:
        raise ValueError(no_such("time", word, list(TIMES)))
    return TIMES[word]

"""Periods: how time is cut into partitions, in Dagster and in SQL.

Belongs here: the partitions definitions, keys and windows that every table shares.
Does not belong here: which partitions a source has or which are behind (``automation``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property, lru_cache

import dagster as dg

# Never moved: moving the start of a definition makes Dagster forget what was materialised.
START = date(2000, 1, 1)


@dataclass(frozen=True)
class Period:
    """A partitioning: ``fmt`` (strftime) formats the first day of a partition into its key.

    ``fmt`` orders as text as time does, and means the same to Python and to DuckDB.
    """

    name: str
    cron: str
    fmt: str
    unit: str

    @cached_property
    def definition(self) -> dg.TimeWindowPartitionsDefinition | None:
        """The Dagster definition; the running period is included, for year-to-date files."""
        if self is UNPARTITIONED:
            return None
        # A week belongs to the Monday it starts on, so the first one starts before START.
        start = self.floor(START)
        return dg.TimeWindowPartitionsDefinition(
            start=start.strftime(self.fmt), cron_schedule=self.cron, fmt=self.fmt, end_offset=1
        )

    @property
    def only_key(self) -> str:
        """The one storage key of a table without partitions."""
        return "all"

    def floor(self, day: date) -> date:
        """The first day of the period that holds ``day``."""
        if self.unit == "year":
            return day.replace(month=1, day=1)
        if self.unit == "month":
            return day.replace(day=1)
        if self.unit == "week":
            return day - timedelta(days=day.weekday())
        return day

    def following(self, day: date) -> date:
        """The first day of the next period."""
        if self.unit == "year":
            return day.replace(year=day.year + 1, month=1, day=1)
        if self.unit == "month":
            return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        return self.floor(day) + timedelta(days=7 if self.unit == "week" else 1)

    def number(self, day: date) -> int:
        """The periods counted one by one: that of ``day`` is one more than the one before it."""
        if self.unit in ("year", "month"):
            return day.year if self.unit == "year" else day.year * 12 + day.month - 1
        return self.floor(day).toordinal() // (7 if self.unit == "week" else 1)

    def key(self, day: date) -> str:
        """The key of the partition that holds ``day``."""
        return self.only_key if self is UNPARTITIONED else self.floor(day).strftime(self.fmt)

    def window(self, key: str) -> tuple[date, date]:
        """First day, and first day after, of a partition; ``ValueError`` for a wrong key."""
        return _window(self, key)

    def keys_between(self, start: date, end: date) -> list[str]:
        """Keys of all partitions that overlap ``[start, end)``; none starts before ``START``'s."""
        if self is UNPARTITIONED:
            return [self.only_key]
        # The first week reaches back into a year that no definition has.
        keys, day = [], self.floor(max(start, START))
        while day < end:
            keys.append(day.strftime(self.fmt))
            day = self.following(day)
        return keys

    def key_sql(self, date_sql: str) -> str:
        """DuckDB expression of the key of a row whose date is ``date_sql``."""
        if self is UNPARTITIONED:
            return f"'{self.only_key}'"
        day = f"date_trunc('week', {date_sql})" if self.unit == "week" else date_sql
        return f"strftime({day}, '{self.fmt}')"

    def first_day_sql(self, date_sql: str) -> str:
        """Expression of the first day of a row's partition, the same text in PostgreSQL."""
        if self is UNPARTITIONED:
            return "cast(null as date)"
        return f"cast(date_trunc('{self.unit}', {date_sql}) as date)"

    def within_sql(self, date_sql: str, keys: Iterable[str]) -> str:
        """Condition that a row is in one of these partitions, the same text in PostgreSQL."""
        if self is UNPARTITIONED:
            return "true"
        windows = [
            (self.window(first)[0], self.window(last)[1]) for first, last in self.spans(keys)
        ]
        conditions = [
            f"({date_sql} >= date '{start}' and {date_sql} < date '{end}')"
            for start, end in windows
        ]
        return " or ".join(conditions) or "false"

    def spans(self, keys: Iterable[str]) -> list[tuple[str, str]]:
        """Keys as runs of neighbours: (first, last) of each, in order of time."""
        spans: list[tuple[str, str]] = []
        for key in sorted(keys):
            if spans and self.key(self.window(spans[-1][1])[1]) == key:
                spans[-1] = (spans[-1][0], key)
            else:
                spans.append((key, key))
        return spans


@lru_cache(maxsize=100_000)
def _window(period: Period, key: str) -> tuple[date, date]:
    # Asked for again and again while partitions are compared; parsing a date costs 8 us each time.
    if period is UNPARTITIONED:
        return date.min, date.max
    start = datetime.strptime(key, period.fmt).date()
    return start, period.following(start)


UNPARTITIONED = Period("unpartitioned", "", "", "all")
YEARLY = Period("yearly", "0 0 1 1 *", "%Y", "year")
MONTHLY = Period("monthly", "0 0 1 * *", "%Y-%m", "month")
WEEKLY = Period("weekly", "0 0 * * 1", "%Y-%m-%d", "week")
DAILY = Period("daily", "0 0 * * *", "%Y-%m-%d", "day")
PERIODS: Sequence[Period] = (YEARLY, MONTHLY, WEEKLY, DAILY, UNPARTITIONED)


def overlapping(
    period: Period,
    keys: Iterable[str],
    other: Period,
    other_keys: Iterable[str],
    reach: tuple[int, int] = (0, 0),
) -> set[str]:
    """Which of ``other_keys`` share a day with any of ``keys``, stretched by ``reach`` days."""
    if UNPARTITIONED in (period, other):
        return set(other_keys)
    wanted = {
        key for own in keys for key in other.keys_between(*shifted(period.window(own), reach))
    }
    return wanted & set(other_keys)


def shifted(window: tuple[date, date], days: tuple[int, int]) -> tuple[date, date]:
    """A window with its start and its end moved by these days."""
    return window[0] + timedelta(days=days[0]), window[1] + timedelta(days=days[1])

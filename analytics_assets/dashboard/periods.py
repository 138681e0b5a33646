"""Periods of an axis of time: where one begins and ends, and which there are.

Belongs here: year, quarter, month, week and day as steps from one day to another.
Does not belong here: partitions (``core/partitions.py``), words (``words.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from analytics_assets.core.partitions import PERIODS

_BY_UNIT = {period.unit: period for period in PERIODS}


def floor(day: date, unit: str) -> date:
    """The first day of the period that holds a day."""
    if unit == "quarter":
        return day.replace(month=day.month - (day.month - 1) % 3, day=1)
    return _BY_UNIT[unit].floor(day)


def following(day: date, unit: str) -> date:
    """The first day of the next period."""
    if unit == "quarter":
        return floor(floor(day, unit) + timedelta(days=95), unit)
    return _BY_UNIT[unit].following(floor(day, unit))


def last_day(day: date, unit: str) -> date:
    """The last day of the period that holds a day."""
    return following(day, unit) - timedelta(days=1)


def between(first: date, last: date, unit: str) -> Iterator[date]:
    """The first days of all periods from one to the other."""
    day = floor(first, unit)
    while day <= last:
        yield day
        day = following(day, unit)


def year_before(day: date) -> date:
    """The same day of the year before; of 29 February the 28th."""
    leap = day.month == 2 and day.day == 29
    return day.replace(year=day.year - 1, day=28 if leap else day.day)

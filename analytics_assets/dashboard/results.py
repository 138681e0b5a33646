"""What was found for a view: series of values by time or place, ready to be drawn and written.

Belongs here: points -> lines without gaps, means of seven days, indices, the greatest of many.
Does not belong here: asking for them (``asking.py``), drawing them (``figures.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from analytics_assets.dashboard import periods
from analytics_assets.dashboard.asking import Asking, Point
from analytics_assets.dashboard.choosing import MOST_LINES, SEVEN, Chosen
from analytics_assets.dashboard.declared import Display
from analytics_assets.dashboard.words import Language, month_name, period_text


@dataclass(frozen=True)
class Series:
    """A line, or all bars: values at the keys of ``Result.keys``; withheld ones are ``None``."""

    name: str
    values: tuple[float | None, ...]
    withheld: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Result:
    """Keys (days, months or codes) with their texts, and the series over them.

    ``total``: how many keys or lines there were, where only the greatest are here.
    """

    keys: tuple[Any, ...]
    texts: tuple[str, ...]
    series: tuple[Series, ...]
    total: int = 0
    unit: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def empty(self) -> bool:
        """Whether there is no value and nothing that is withheld."""
        return not any(v is not None for s in self.series for v in s.values) and not any(
            s.withheld for s in self.series
        )


async def find(
    asking: Asking,
    chosen: Chosen,
    language: Language,
    named: Any,
    display: Display,
    order: Callable[[Any], int] | None = None,
) -> Result:
    """Ask for a view; ``named`` makes a text of a column and its value; ``order``: of bars."""
    if not chosen.extent.version or chosen.number is None:
        return Result((), (), ())
    if chosen.by is not None:
        return await _by_axis(asking, chosen, named, display, order)
    return await _over_time(asking, chosen, language, named, display)


async def _by_axis(
    asking: Asking,
    chosen: Chosen,
    named: Any,
    display: Display,
    order: Callable[[Any], int] | None,
) -> Result:
    assert chosen.by
    assert chosen.number
    points = await asking.points(
        chosen.looks, chosen.number, chosen.by, None, chosen.fixed, chosen.days
    )
    points = [point for point in points if point.x is not None]
    column = chosen.by.column
    ordered = sorted(points, key=lambda p: (p.value is None, -(p.value or 0), str(p.text)))
    if order is not None:
        ordered.sort(key=lambda point: order(point.x))
    values = tuple(_scaled(point.value, display) for point in ordered)
    withheld = frozenset(n for n, point in enumerate(ordered) if point.withheld)
    return Result(
        tuple(point.x for point in ordered),
        tuple(named(column, point.x, point.text) for point in ordered),
        (Series("", values, withheld),),
        len(ordered),
    )


async def _over_time(
    asking: Asking, chosen: Chosen, language: Language, named: Any, display: Display
) -> Result:
    looks, number = chosen.looks, chosen.number
    assert number is not None
    fixed, total = dict(chosen.fixed), 0
    if chosen.split and len(fixed.get(chosen.split.column, ())) != 1:
        column = chosen.split.column
        wanted = fixed.get(column, ())
        if not wanted or len(wanted) > MOST_LINES:
            fixed[column], total = await _greatest(asking, chosen)
    first, last = chosen.days
    earlier = first - timedelta(days=SEVEN - 1) if first and chosen.mean else first
    points = await asking.points(looks, number, None, chosen.split, fixed, (earlier, last))
    points = [replace(point, value=_scaled(point.value, display)) for point in points]
    if not points and (fixed or not _counts(chosen)):
        return Result((), (), ())
    if chosen.chart == "seasons":
        return _seasons(points, language)
    unit = looks.time_name
    # Rows of a record lie on any day; an axis of time has one a period.
    begin = min((point.x for point in points), default=date.max)
    if chosen.extent.first and _counts(chosen):
        begin = max(chosen.extent.first, earlier) if earlier else chosen.extent.first
    end = max((point.x for point in points), default=date.min)
    if chosen.extent.last and _counts(chosen):
        end = min(chosen.extent.last, last) if last else chosen.extent.last
    days = tuple(periods.between(begin, end, unit))
    # Of a year that nobody has landed it is not known that nothing was counted.
    years = await asking.years(looks, chosen.extent) if _counts(chosen) else frozenset()
    lines = []
    for key, text, own in _by_series(points) or [(None, None, {})]:
        name = named(chosen.split.column, key, text) if chosen.split else ""
        lines.append(_line(name, days, own, years))
    if chosen.mean:
        lines = [_mean(line) for line in lines]
        kept = [n for n, day in enumerate(days) if first is None or day >= first]
        days, lines = tuple(days[n] for n in kept), [_only(line, kept) for line in lines]
    if chosen.index:
        lines = [_indexed(line) for line in lines]
    lines.sort(key=lambda line: -max((v for v in line.values if v is not None), default=0))
    return Result(
        days, tuple(period_text(day, unit, language) for day in days), tuple(lines), total
    )


def _counts(chosen: Chosen) -> bool:
    """Whether a time without a row means that nothing was counted then."""
    number, table = chosen.number, chosen.looks.promoted
    if number is None or not number.adds_up:
        return False
    measures = table.measures.additive if table.measures else ()
    return number.name in {m.name for m in measures} or number.sql == "count(*)"


async def _greatest(asking: Asking, chosen: Chosen) -> tuple[tuple[Any, ...], int]:
    """Of the last period, the values of ``split`` with the greatest numbers, and how many."""
    assert chosen.split
    assert chosen.number
    wanted = dict(chosen.fixed.items())
    end = chosen.days[1] or chosen.extent.last
    days = (periods.floor(end, chosen.looks.time_name), end) if end else (None, None)
    if chosen.looks.time_name == "day" and end:
        days = (end - timedelta(days=30), end) if chosen.number.adds_up else (end, end)
    points = await asking.points(chosen.looks, chosen.number, chosen.split, None, wanted, days)
    known = [point for point in points if point.x is not None]
    known.sort(key=lambda point: (point.value is None, -(point.value or 0)))
    total = len(known) if len(known) > MOST_LINES else 0
    return tuple(point.x for point in known[:MOST_LINES]), total


def _by_series(points: Sequence[Point]) -> list[tuple[Any, str | None, dict[Any, Point]]]:
    found: dict[Any, tuple[Any, str | None, dict[Any, Point]]] = {}
    for point in points:
        own = found.setdefault(point.series, (point.series, point.series_text, {}))
        own[2][point.x] = point
    return list(found.values())


def _line(
    name: str, days: Sequence[date], own: Mapping[Any, Point], counted: frozenset[int]
) -> Series:
    """Values at these times; 0 where a time of a counted year has none."""
    values = tuple(
        own[day].value if day in own else 0.0 if day.year in counted else None for day in days
    )
    withheld = frozenset(n for n, day in enumerate(days) if day in own and own[day].withheld)
    return Series(name, values, withheld)


def _mean(line: Series) -> Series:
    """The mean of a day and the six before it; ``None`` where one of them is not known."""
    values: list[float | None] = []
    for n in range(len(line.values)):
        known = [v for v in line.values[max(0, n - SEVEN + 1) : n + 1] if v is not None]
        values.append(sum(known) / SEVEN if len(known) == SEVEN else None)
    return replace(line, values=tuple(values), withheld=frozenset())


def _only(line: Series, kept: Sequence[int]) -> Series:
    place = {old: new for new, old in enumerate(kept)}
    return replace(
        line,
        values=tuple(line.values[n] for n in kept),
        withheld=frozenset(place[n] for n in line.withheld if n in place),
    )


def _indexed(line: Series) -> Series:
    first = next((value for value in line.values if value), None)
    if first is None:
        return replace(line, values=tuple(None for _ in line.values))
    return replace(line, values=tuple(None if v is None else 100 * v / first for v in line.values))


def _seasons(points: Sequence[Point], language: Language) -> Result:
    """Months from January to December, a line for each year."""
    years = sorted({point.x.year for point in points})
    lines = []
    for year in years:
        own = {point.x.month: point for point in points if point.x.year == year}
        values = tuple(own[m].value if m in own else None for m in range(1, 13))
        hidden = frozenset(m - 1 for m, point in own.items() if point.withheld)
        lines.append(Series(str(year), values, hidden))
    months = tuple(range(1, 13))
    return Result(months, tuple(month_name(m, language) for m in months), tuple(lines))


def _scaled(value: float | None, display: Display) -> float | None:
    return None if value is None else value * display.scale

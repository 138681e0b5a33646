"""The statements that a page asks production with, each in one snapshot.

Belongs here: SQL over the views that readers see.
Does not belong here: what is chosen (``choosing.py``), what is made of the rows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from analytics_assets.api.database import Database
from analytics_assets.api.errors import Problem
from analytics_assets.api.filters import filters_of, time_axis
from analytics_assets.api.listing import version_sql, view_of
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets.dashboard.looks import Axis, Looks, Number

MOST_POINTS = 20_000
_KEPT = 500


@dataclass(frozen=True)
class Extent:
    """What is promoted of a table: its version, empty for none, and its first and last time."""

    version: str
    first: date | None = None
    last: date | None = None


@dataclass(frozen=True)
class Point:
    """A value at a time or place, of a line; ``withheld``: readers may not see it."""

    x: Any
    text: str | None
    series: Any
    series_text: str | None
    value: float | None
    withheld: bool


@dataclass(frozen=True)
class Value:
    """A value of an axis, and its name."""

    key: Any
    text: str


class Kept:
    """Answers that hold until the table is promoted again; the oldest are forgotten."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Any, ...], Any] = OrderedDict()

    def get(self, key: tuple[Any, ...]) -> Any:
        """What is kept, or ``None``."""
        return self._kept.get(key)

    def put(self, key: tuple[Any, ...], value: Any) -> Any:
        """Keep it; returns it."""
        self._kept[key] = value
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return value


class Asking:
    """Questions to production about promoted tables; raise ``Problem`` where it fails."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._kept = Kept()

    async def extent(self, looks: Looks) -> Extent:
        """What there is of a table now."""
        table = looks.table
        sql = f"select {version_sql('%(key)s')} as version"
        try:
            (found,) = await self.database.read(sql, {"key": table.key})
        except Problem as problem:
            if problem.code != "not_promoted":
                raise
            return Extent("")
        key = (table.key, found.version)
        if not found.version:
            return Extent("")
        return self._kept.get(key) or self._kept.put(key, await self._extent(looks, found.version))

    async def _extent(self, looks: Looks, version: str) -> Extent:
        if looks.time is None:
            return Extent(version)
        view, time = view_of(looks.table), f"cast({looks.time} as date)"
        ends = [f"select {which}({time}) as day from {view}" for which in ("min", "max")]
        if axis := time_axis(looks.promoted):
            # No index knows a date that is computed from several columns.
            names = [quoted(column.name) for column in axis.columns]
            orders = (", ".join(names), ", ".join(f"{name} desc" for name in names))
            ends = [f"select {time} as day from {view} order by {by} limit 1" for by in orders]
        found = [await self.database.read(sql) for sql in ends]
        return Extent(version, *(rows[0].day if rows else None for rows in found))

    async def years(self, looks: Looks, extent: Extent) -> frozenset[int]:
        """The years of which the table has rows."""
        key = (looks.table.key, extent.version, "years")
        if (kept := self._kept.get(key)) is not None:
            return kept
        year = f"cast(date_part('year', cast({looks.time} as date)) as integer)"
        rows = await self.database.read(
            f"select distinct {year} as year from {view_of(looks.table)}"
        )
        return self._kept.put(key, frozenset(row.year for row in rows))

    async def values(
        self, looks: Looks, extent: Extent, axis: Axis, fixed: Mapping[str, Any]
    ) -> tuple[Value, ...]:
        """The values of an axis in the last year of the table, in order of their names.

        ``fixed``: column -> value of the axes whose values are different things.
        """
        key = (looks.table.key, extent.version, axis.column, tuple(sorted(fixed.items())))
        if (kept := self._kept.get(key)) is not None:
            return kept
        lately, values = _lately(looks, extent)
        sql, more = _equal({k: [v] for k, v in fixed.items()})
        rows = await self.database.read(
            f"select {quoted(axis.column)} as key, min({quoted(axis.label)}::text) as text"
            f" from {view_of(looks.table)} where {quoted(axis.column)} is not null"
            f"{lately}{sql} group by 1 order by 2, 1",
            values | more,
        )
        found = tuple(Value(row.key, row.text) for row in rows)
        return self._kept.put(key, found)

    async def seats(
        self, looks: Looks, columns: tuple[str, str, str]
    ) -> Mapping[str, tuple[float, float]]:
        """Key -> latitude and longitude of the places of a table that have both."""
        extent = await self.extent(looks)
        key = (looks.table.key, extent.version, columns)
        if not extent.version:
            return {}
        if (kept := self._kept.get(key)) is not None:
            return kept
        names = ", ".join(quoted(name) for name in columns)
        rows = await self.database.read(
            f"select {names} from {view_of(looks.table)}", by_name=False
        )
        found = {str(row[0]): (row[1], row[2]) for row in rows if None not in row[1:]}
        return self._kept.put(key, found)

    async def points(
        self,
        looks: Looks,
        number: Number,
        by: Axis | None,
        split: Axis | None,
        fixed: Mapping[str, Sequence[Any]],
        days: tuple[date | None, date | None],
    ) -> list[Point]:
        """Values by time, or by ``by``, for each value of ``split``; ``fixed``: column -> values.

        ``days``: first and last, inclusive; ``None`` for no bound.
        """
        values: dict[str, Any] = {}
        conditions = _between(looks.promoted, days, values)
        sql, more = _equal(fixed)
        time = f"cast({looks.time} as date)"
        x = quoted(by.column) if by else time
        text = f"min({quoted(by.label)}::text)" if by else "null"
        series = quoted(split.column) if split else "null::text"
        series_text = f"min({quoted(split.label)}::text)" if split else "null"
        rows = await self.database.read(
            f"select {x} as x, {text} as text, {series} as series, {series_text} as series_text,"
            f" cast({number.sql} as double precision) as value, {number.missing} as withheld"
            f" from {view_of(looks.table)} where true{conditions}{sql}"
            f" group by {x}, {series} order by 1, 3 limit {MOST_POINTS}",
            values | more,
        )
        return [
            Point(r.x, r.text, r.series, r.series_text, None if r.withheld else r.value, r.withheld)
            for r in rows
        ]

    async def totals(
        self,
        looks: Looks,
        numbers: Sequence[Number],
        fixed: Mapping[str, Sequence[Any]],
        days: tuple[date | None, date | None],
    ) -> dict[str, float | None]:
        """Numbers over all rows of these days; ``None`` where there is none or it is withheld."""
        values: dict[str, Any] = {}
        conditions = _between(looks.promoted, days, values)
        sql, more = _equal(fixed)
        asked = ", ".join(
            f"case when not {number.missing} then cast({number.sql} as double precision) end"
            f" as n_{position}"
            for position, number in enumerate(numbers)
        )
        (row,) = await self.database.read(
            f"select {asked} from {view_of(looks.table)} where true{conditions}{sql}",
            values | more,
            by_name=False,
        )
        return dict(zip((number.name for number in numbers), row, strict=True))

    async def rows(
        self,
        looks: Looks,
        fixed: Mapping[str, Sequence[Any]],
        days: tuple[date | None, date | None],
        limit: int,
        offset: int = 0,
    ) -> list[Any]:
        """Rows with all their columns, in order of their key."""
        values: dict[str, Any] = {"limit": limit, "offset": offset}
        conditions = _between(looks.promoted, days, values)
        sql, more = _equal(fixed)
        columns = ", ".join(quoted(column.name) for column in looks.promoted.all_columns)
        key = looks.promoted.unique_columns or [c.name for c in looks.promoted.all_columns]
        order = ", ".join(quoted(name) for name in key)
        return list(
            await self.database.read(
                f"select {columns} from {view_of(looks.table)} where true{conditions}{sql}"
                f" order by {order} limit %(limit)s offset %(offset)s",
                values | more,
                by_name=False,
            )
        )

    async def count(
        self,
        looks: Looks,
        fixed: Mapping[str, Sequence[Any]],
        days: tuple[date | None, date | None],
    ) -> int:
        """How many rows there are of these."""
        values: dict[str, Any] = {}
        conditions = _between(looks.promoted, days, values)
        sql, more = _equal(fixed)
        (row,) = await self.database.read(
            f"select count(*) as rows from {view_of(looks.table)} where true{conditions}{sql}",
            values | more,
        )
        return int(row.rows)


def _equal(fixed: Mapping[str, Sequence[Any]]) -> tuple[str, dict[str, Any]]:
    """Conditions that columns have one of these values, and the values to bind."""
    sql, values = "", {}
    for position, (column, wanted) in enumerate(sorted(fixed.items())):
        sql += f" and {quoted(column)} = any(%(is_{position})s)"
        values[f"is_{position}"] = list(wanted)
    return sql, values


def _between(table: Table, days: tuple[date | None, date | None], values: dict[str, Any]) -> str:
    """The API's own filters of days, as conditions; adds the values to bind."""
    known = {one.name: one for one in filters_of(table)}
    sql = ""
    for name, day in zip(("date_from", "date_to"), days, strict=True):
        if day is not None and name in known:
            sql += f" and ({_percent(known[name].sql).replace('{value}', f'%({name})s')})"
            values[name] = day
    return sql


def _lately(looks: Looks, extent: Extent) -> tuple[str, dict[str, Any]]:
    """Condition that a row is of the last twelve months: places are the same for longer."""
    values: dict[str, Any] = {}
    if extent.last is None or looks.table.period is UNPARTITIONED:
        return "", values
    # The first day, as 29 February of the year before need not be there.
    begin = extent.last.replace(year=extent.last.year - 1, day=1)
    return _between(looks.promoted, (begin, None), values), values


def _percent(sql: str) -> str:
    return sql.replace("%", "%%")

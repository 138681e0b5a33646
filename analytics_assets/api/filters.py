"""The filters of a list: parameters and the conditions that they stand for.

Belongs here: a filter, and those that follow from a table's keys and its time.
Does not belong here: filters that a brief words in its own way (the domain's ``api.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from analytics_assets.api.models import Date, parameter_type, readable
from analytics_assets.core.columns import Column, Dimension
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import PERIODS

_PERIODS = {period.unit: period for period in PERIODS}


@dataclass(frozen=True)
class Filter:
    """A parameter and the condition that it stands for: SQL over the columns, with ``{value}``.

    ``to_sql`` makes the value that is compared of the one that was sent.
    """

    name: str
    type: Any
    sql: str
    description: str
    to_sql: Callable[[Any], Any] = lambda value: value


def equal_to(column: Column, name: str = "") -> Filter:
    """Rows with this very value."""
    text = column.description.rstrip(".")
    return Filter(
        name or column.name, parameter_type(column), f"{quoted(column.name)} = {{value}}", text
    )


def filters_of(table: Table) -> tuple[Filter, ...]:
    """Equality with each column of the key and of an index, and a first and a last day."""
    return (*map(equal_to, _equal(table)), *_between(table))


def time_axis(table: Table) -> Dimension | None:
    """The axis of time of an aggregate."""
    return next((axis for axis in table.grain if axis.date_sql), None)


def _equal(table: Table) -> Iterator[Column]:
    axis = time_axis(table)
    names = {column.name for one in table.grain if one is not axis for column in one.columns}
    names |= {name.strip() for index in _indexes(table) for name in index.split(",")}
    names |= set(table.unique_columns)
    if axis:
        # A first day is asked for by date_from and date_to.
        names -= {column.name for column in axis.columns if column.type == "date"}
        names |= {column.name for column in axis.columns if column.type == "integer"}
    return (column for column in readable(table) if column.name in names)


def _indexes(table: Table) -> tuple[str, ...]:
    return table.publish.indexes if table.publish else ()


def _between(table: Table) -> tuple[Filter, ...]:
    """A year, a quarter, a month or a week counts if it has a day between them."""
    axis = time_axis(table)
    if axis is None:
        columns = {column.name: column for column in readable(table)}
        return (
            _around(f"cast({quoted(table.time_column)} as date)")
            if (table.time_column in columns)
            else ()
        )
    period = _PERIODS.get(axis.name)
    # A year of its own is what an index begins with.
    return _around(
        axis.date_sql or "", period.floor if period else _quarter, "year" in axis.key_names
    )


def _quarter(day: Any) -> Any:
    return day.replace(month=day.month - (day.month - 1) % 3, day=1)


def _around(
    first: str, to_sql: Callable[[Any], Any] = lambda day: day, by_year: bool = False
) -> tuple[Filter, ...]:
    def filter_(name: str, sign: str, which: str) -> Filter:
        sql = f"{first} {sign} cast({{value}} as date)"
        if by_year:
            sql += f" and year {sign} cast(extract(year from cast({{value}} as date)) as integer)"
        return Filter(name, Date, sql, f"{which} date, inclusive.", to_sql)

    return filter_("date_from", ">=", "First"), filter_("date_to", "<=", "Last")

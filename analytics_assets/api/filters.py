"""The filters of a list: parameters and the conditions that they stand for.

Belongs here: a filter, and those that follow from a table's keys and its time.
Does not belong here: filters that a brief words in its own way (the domain's ``api.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from analytics_assets.api.models import Date, parameter_type, readable
from analytics_assets.core.columns import Column, Dimension
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Table

PAGING = ("limit", "offset", "cursor", "sort", "columns", "format")
_RANGE = (("date_from", ">=", "First"), ("date_to", "<=", "Last"))
_TAKEN = (*PAGING, *(name for name, _, _ in _RANGE))


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


def equal_to(column: Column) -> Filter:
    """Rows with this very value; a column ``sort`` is asked for as ``sort_is``."""
    name = f"{column.name}_is" if column.name in _TAKEN else column.name
    sql = f"{quoted(column.name)} = {{value}}"
    return Filter(name, parameter_type(column), sql, column.description.rstrip("."))


def filters_of(table: Table) -> tuple[Filter, ...]:
    """Equality with each column of the key, the axes and the indexes; first and last day."""
    names = {*table.unique_columns, *(c.name for axis in table.grain for c in axis.columns)}
    for index in table.publish.indexes if table.publish else ():
        names |= {name.strip() for name in index.split(",")}
    named = [column for column in readable(table) if column.name in names]
    # An index may end in a number that it answers with; nobody asks for its very value.
    return (*(equal_to(c) for c in named if parameter_type(c) is not float), *_between(table))


def time_axis(table: Table) -> Dimension | None:
    """The axis of time of an aggregate."""
    return next((axis for axis in table.grain if axis.date_sql), None)


def _between(table: Table) -> tuple[Filter, ...]:
    """First and last day; a year, month or week counts if it has a day between them."""
    if table.time is None:
        return ()
    axis, asked = time_axis(table), "cast({value} as date)"
    pairs = _pairs(axis, asked) if axis else [(f"cast({table.time} as date)", asked)]
    return tuple(
        Filter(
            name,
            Date,
            " and ".join(f"{own} {sign} {other}" for own, other in pairs),
            f"{which} day, inclusive.",
        )
        for name, sign, which in _RANGE
    )


def _pairs(axis: Dimension, asked: str) -> list[tuple[str, str]]:
    """What is compared: SQL of a row, and the same SQL of the period that holds the day asked for.

    No index knows a date that is computed from several columns, so the first of them, which never
    falls as time goes on, is compared, too.
    """
    read = {c.name: axis.from_date[c.name].format(date=asked) for c in axis.columns}
    first = axis.columns[0].name
    if first == axis.date_sql:
        return [(quoted(first), read[first])]
    period = ", ".join(f"{sql} as {quoted(name)}" for name, sql in read.items())
    same = f"(select {axis.date_sql} from (select {period}) as asked)"
    return [(str(axis.date_sql), same), (quoted(first), read[first])]

"""How a promoted table can be looked at, from its declaration alone.

Belongs here: the axes, numbers and charts that follow from grain, measures and columns.
Does not belong here: SQL (``asking.py``), what somebody chose (``choosing.py``), drawing.

What is never added up: numbers that are not measures, and all numbers of a table that withholds
small cells, as rows are missing there. Such a number is shown for one value of each axis.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from analytics_assets.api.filters import time_axis
from analytics_assets.core.columns import Column, Dimension
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Table

TIME, ROWS = "time", "number_of_rows"
ChartKind = Literal["line", "bars", "map", "seasons", "rows"]
# Names of parameters that are no axes.
RESERVED = frozenset(
    ("measure", "chart", "by", "split", "from", "to", "at", "mean", "index", "offset", "lang")
)
_NUMBERS = ("integer", "bigint", "decimal", "decimal6", "money", "percent")


@dataclass(frozen=True)
class Axis:
    """Something other than time that rows differ in.

    ``column`` identifies a value and ``label`` names it. ``kind``: its values are different things
    (a breakdown, a level), of which one is looked at. ``coarse``: it follows from another axis.
    """

    column: str
    label: str
    description: str
    kind: bool = False
    coarse: bool = False
    type: str = "text"

    @property
    def name(self) -> str:
        """Its parameter in an address, and the stem by which maps and words know it."""
        stem = self.column.removesuffix("_code")
        return f"{stem}_is" if stem in RESERVED else stem


@dataclass(frozen=True)
class Number:
    """A number that can be chosen: ``sql`` is its value over the rows that are put together.

    ``adds_up``: whether rows may be put together at all. ``missing``: SQL that is true where a
    value that it needs is withheld.
    """

    name: str
    unit: str
    description: str
    sql: str
    adds_up: bool = True
    missing: str = "false"


@dataclass(frozen=True)
class Looks:
    """The ways to look at one promoted table."""

    table: Table

    @cached_property
    def promoted(self) -> Table:
        """The table as readers have it."""
        return self.table.promoted

    @cached_property
    def time(self) -> str | None:
        """SQL of the day of a row."""
        return self.promoted.time

    @cached_property
    def time_name(self) -> str:
        """year, quarter, month, week or day; nothing without a time."""
        axis = time_axis(self.promoted)
        if axis:
            return axis.name
        return "" if self.time is None else _unit(self.promoted)

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """All axes but time, each after those of which it is a part."""
        if self.promoted.grain:
            found = [axis for d in self.promoted.grain if not d.date_sql for axis in _axes_of(d)]
        else:
            found = list(self._axes_of_columns())
        return tuple({axis.column: axis for axis in found}.values())

    def _axes_of_columns(self) -> Iterator[Axis]:
        """Keys beside time of a table that has several; else words and yes-or-no of a record."""
        table = self.promoted
        dated = [c.name for c in table.columns if c.name in (self.time or "")]
        keys = [name for name in table.unique_columns if name not in dated]
        keyed = len(table.unique_columns) > 1 and self.time is not None
        for column in table.columns:
            own = column.name in keys if keyed else _is_word(column, table.unique_columns)
            if self.time is not None and own:
                yield Axis(column.name, column.name, column.description, type=column.type)

    @cached_property
    def keyed(self) -> bool:
        """Whether one value of each axis and one time is one row."""
        columns = {axis.column for axis in self.axes}
        rest = [name for name in self.promoted.unique_columns if name not in columns]
        dated = [c.name for axis in self.promoted.grain if axis.date_sql for c in axis.columns]
        return bool(self.promoted.unique_columns) and all(
            name in dated or name in (self.time or "") for name in rest
        )

    @cached_property
    def numbers(self) -> tuple[Number, ...]:
        """What can be chosen, ratios and measures first."""
        table = self.promoted
        if self.time is None:
            return ()
        adds = not table.withholds
        found: list[Number] = []
        if table.measures:
            for measure in table.measures.measures:
                found.append(
                    Number(
                        measure.name,
                        measure.unit,
                        measure.description,
                        f"{measure.function}({quoted(measure.name)})",
                        adds,
                        f"bool_or({quoted(measure.name)} is null)" if measure.withheld else "false",
                    )
                )
            additive = {ratio.name for ratio in table.measures.additive_ratios}
            for ratio in table.measures.ratios:
                parts = (quoted(ratio.numerator), quoted(ratio.denominator))
                found.append(
                    Number(
                        ratio.name,
                        ratio.unit,
                        ratio.description,
                        f"{ratio.scale}::numeric * sum({parts[0]}) / nullif(sum({parts[1]}), 0)",
                        adds and ratio.name in additive,
                        f"bool_or(num_nulls({', '.join(parts)}) > 0)" if not adds else "false",
                    )
                )
        found += self._plain_numbers()
        if not table.measures and not self.keyed:
            found.insert(0, Number(ROWS, "rows", "Number of rows.", "count(*)"))
        return tuple(found)

    def _plain_numbers(self) -> Iterator[Number]:
        table = self.promoted
        taken = {axis.column for axis in self.axes} | set(table.unique_columns)
        for column in table.columns:
            if column.type not in _NUMBERS or column.name in taken:
                continue
            sql = f"max({quoted(column.name)})" if self.keyed else f"avg({quoted(column.name)})"
            words = column.description if self.keyed else f"Mean. {column.description}"
            yield Number(column.name, column.unit, words, sql, adds_up=not self.keyed)

    def number(self, name: str) -> Number | None:
        """The number of that name."""
        return next((number for number in self.numbers if number.name == name), None)

    def axis(self, name: str) -> Axis | None:
        """The axis of that parameter."""
        return next((axis for axis in self.axes if name in (axis.name, axis.column)), None)

    def shown_along(self, number: Number) -> tuple[Axis, ...]:
        """The axes that a chart of this number can have bars, places or lines for."""
        return tuple(
            axis for axis in self.axes if not axis.kind and (number.adds_up or not axis.coarse)
        )

    def fixed(self, number: Number, shown: tuple[str, ...]) -> tuple[Axis, ...]:
        """The axes of which one value has to be chosen, where these (columns) are shown."""
        return tuple(
            axis
            for axis in self.axes
            if axis.column not in shown and not axis.coarse and (axis.kind or not number.adds_up)
        )


def _axes_of(dimension: Dimension) -> Iterator[Axis]:
    """The axes of one dimension: its last key, the kinds before it, and what it follows into."""
    names = [column.name for column in dimension.columns]
    for column in dimension.columns[: dimension.keys - 1]:
        yield Axis(column.name, column.name, column.description, kind=True, type=column.type)
    own = dimension.columns[dimension.keys - 1]
    attributes = names[dimension.keys :]
    for column in reversed(dimension.columns[dimension.keys :]):
        stem = column.name.removesuffix("_code")
        if stem != column.name and f"{stem}_name" in attributes:
            yield Axis(column.name, f"{stem}_name", column.description, coarse=True)
    label = f"{own.name.removesuffix('_code')}_name"
    label = (
        label
        if label in attributes
        else next((name for name in attributes if name.endswith("_name")), own.name)
    )
    yield Axis(own.name, label, own.description, type=own.type)


def _is_word(column: Column, unique: tuple[str, ...]) -> bool:
    if column.name in unique or column.personal or column.name.endswith("_id"):
        return False
    return column.type in ("text", "boolean")


def _unit(table: Table) -> str:
    return table.period.unit if table.period.unit != "all" else "day"

"""How protected tables add up: the trees and levels that their cells stand in.

Belongs here: declarations -> where the cells of each table stand, and what each measure counts a
part of.
Does not belong here: which cells are withheld (``withholding.py``), the tables that result
(``small_cells.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analytics_assets.core.columns import DeclarationError, Dimension, Measure, MeasureList
from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import WEEKLY, YEARLY
from analytics_assets.core.withholding import (
    MONTH,
    WHOLE,
    WITHIN_MONTH,
    YEAR,
    Cells,
    Counted,
    Kind,
)


def _base(table: Table) -> Table:
    """The finest table that this one is rolled up from."""
    while table.rollup_of:
        table = table.rollup_of
    return table


def counted_table(table: Table) -> Table:
    """The table whose rows are counted."""
    fact = _base(table).measured_from
    if fact is None:
        raise DeclarationError(f"{table.key}: a threshold needs a table that says measured_from")
    return fact


@dataclass(frozen=True)
class _Tree:
    """Nodes of one kind: the values of ``keys`` in tables of one base; none of them, the whole."""

    base: str
    keys: tuple[str, ...]

    def node_sql(self) -> str:
        if not self.keys:
            return f"'{WHOLE}'"
        return f"concat_ws('/', '{self.base}.{self.keys[0]}', {', '.join(self.keys)})"


_ROOT = _Tree("", ())


def _time(table: Table) -> Dimension:
    axes = [dimension for dimension in table.grain if dimension.date_sql]
    if len(axes) != 1 or not table.measures:
        raise DeclarationError(f"{table.key}: a threshold needs measures and one axis of time")
    return axes[0]


def _tree(table: Table) -> _Tree:
    keys = tuple(name for axis in table.grain if not axis.date_sql for name in axis.key_names)
    return _Tree(_base(table).name, keys) if keys else _ROOT


def _parent(table: Table, protected: Sequence[Table]) -> _Tree:
    """The tree to whose nodes this table's rows add up: the nearest one that its columns name."""
    if table.parts_of:
        return _tree(table.parts_of)
    own, names = _tree(table), {column.name for column in table.stored_columns}
    larger = {
        _tree(other): {column.name for column in other.stored_columns}
        for other in protected
        if _base(other) == _base(table)
    }
    larger = {t: c for t, c in larger.items() if t.keys and t != own and set(t.keys) <= names}
    # The nearest names all the others, as a state does its region.
    return max(
        larger, key=lambda tree: sum(set(t.keys) <= larger[tree] for t in larger), default=_ROOT
    )


def _tier(table: Table, protected: Sequence[Table]) -> int:
    """How many steps the table's nodes are from the whole."""
    if _tree(table) == _ROOT:
        return 0
    parent = _parent(table, protected)
    if parent == _ROOT:
        return 1
    return 1 + min(_tier(other, protected) for other in protected if _tree(other) == parent)


def _level(table: Table, protected: Sequence[Table]) -> int:
    if table.period is YEARLY:
        return YEAR
    years = [_time(other).key_names for other in protected if other.period is YEARLY]
    nests = any(set(keys) < set(_time(table).key_names) for keys in years)
    return MONTH if nests else WITHIN_MONTH


def last_day(table: Table) -> str:
    """SQL of the last day that a row may count, where it can be in another year than the first."""
    return f"({table.time} + interval 6 day)" if table.period is WEEKLY else str(table.time)


def keys_sql(table: Table) -> str:
    """SQL of the keys of a row but its time, as one text."""
    keys = _tree(table).keys
    return f"concat_ws('/', {', '.join(keys)})" if keys else f"'{WHOLE}'"


def cells_of(table: Table, protected: Sequence[Table]) -> Cells:
    """Where the cells of a table stand among those of all protected ones."""
    assert table.publish
    tree = _tree(table)
    parent = _parent(table, protected) if tree.keys else None
    family = ", ".join([f"'{tree.base}.{'.'.join(tree.keys)}'", *table.each])
    return Cells(
        table=table.sql_name,
        level=_level(table, protected),
        threshold=table.publish.threshold,
        node=tree.node_sql(),
        parent=parent.node_sql() if parent else "'-'",
        family=f"concat_ws('/', {family})",
        tier=_tier(table, protected),
        keys=keys_sql(table),
        day=str(table.time),
        last_day=last_day(table),
    )


def measures_counted(measures: MeasureList, key: str) -> list[Counted]:
    """What each measure counts a part of; the first one counts the rows."""
    first = measures.measures[0]
    if first.sql != "count(*)":
        raise DeclarationError(f"{key}: with a threshold, the first measure is count(*)")
    position = {measure.name: n for n, measure in enumerate(measures.measures, 1)}
    found: list[Counted] = []
    for measure in measures.measures:
        whole = _whole_of(measures, measure)
        depth = 0 if measure == first else 1 if whole == first.name else 2
        found.append(Counted(measure.name, _kind(measures, measure), position[whole], depth))
    return found


def _whole_of(measures: MeasureList, measure: Measure) -> str:
    """The narrowest denominator of the measure's ratios, else the number of rows."""
    first = measures.measures[0].name
    denominators = [r.denominator for r in measures.ratios if r.numerator == measure.name]
    return next((name for name in denominators if name != first), first)


def _kind(measures: MeasureList, measure: Measure) -> Kind:
    first = measures.measures[0]
    if measure == first:
        return "whole"
    if measure.unit != first.unit:
        return "sum"
    is_part = any(ratio.numerator == measure.name for ratio in measures.ratios)
    return "part" if is_part else "known"

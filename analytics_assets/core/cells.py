"""How protected tables add up: the trees and levels that their cells stand in.

Belongs here: declarations -> where the cells of each table stand.
Does not belong here: what measures say of each other (``counted.py``), which cells are withheld
(``withholding.py``), the tables that result (``small_cells.py``).

Tables that count one fact by the same keys are of the same places, by whatever a row is counted
there: a birth may count for one municipality both by its place and by the mother's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analytics_assets.core.columns import DeclarationError, Dimension
from analytics_assets.core.declaration import Table
from analytics_assets.core.observing import MONTH, WHOLE, WITHIN_MONTH, YEAR, Cells
from analytics_assets.core.partitions import WEEKLY, YEARLY


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

    def place_sql(self) -> str:
        """Of tables of any base."""
        return f"concat_ws('/', '{self.keys[-1]}', {self._values()})" if self.keys else f"'{WHOLE}'"

    def node_sql(self) -> str:
        if not self.keys:
            return f"'{WHOLE}'"
        return f"concat_ws('/', '{self.base}.{self.keys[0]}', {self._values()})"

    def _values(self) -> str:
        return ", ".join(self.keys)


_ROOT = _Tree("", ())


def _time(table: Table) -> Dimension:
    axes = [dimension for dimension in table.grain if dimension.date_sql]
    if len(axes) != 1 or not table.measures:
        raise DeclarationError(f"{table.key}: a threshold needs measures and one axis of time")
    return axes[0]


def _tree(table: Table) -> _Tree:
    axes = [axis for axis in table.grain if not axis.date_sql]
    keys = tuple(name for axis in axes for name in axis.key_names)
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


def _tier(tree: _Tree, protected: Sequence[Table]) -> int:
    """How many steps the nodes are from the whole, in the table of these keys where it is most."""
    if tree == _ROOT:
        return 0
    parents = {_parent(table, protected) for table in protected if _tree(table).keys == tree.keys}
    return 1 + max((_tier(parent, protected) for parent in parents), default=0)


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
        place=tree.place_sql(),
        parent=parent.node_sql() if parent else "'-'",
        parent_place=parent.place_sql() if parent else "'-'",
        family=f"concat_ws('/', {family})",
        tier=_tier(tree, protected),
        parent_tier=_tier(parent, protected) if parent else -1,
        keys=keys_sql(table),
        day=str(table.time),
        last_day=last_day(table),
        decides=_decides(table),
    )


def _decides(table: Table) -> dict[str, str]:
    """Measure -> SQL of whether it is counted by the column that a row's category is of."""
    of: dict[str, list[str]] = {}
    for value, names in table.decides.items():
        for name in names:
            of.setdefault(name, []).append(value)
    which = f"concat_ws('/', {', '.join(table.each)})"
    listed = {
        name: ", ".join("'" + value.replace("'", "''") + "'" for value in values)
        for name, values in of.items()
    }
    return {name: f"{which} in ({values})" for name, values in listed.items()}

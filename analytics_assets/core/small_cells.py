"""Tables that are published with a threshold, below which a count is withheld from readers.

Belongs here: declarations -> the trees and levels along which protected tables add up, the table of
what is withheld, and for each protected table the public one that readers get in its place.
Does not belong here: the rule that chooses the cells (``withholding.py``), or promotion.

Differences between measures (low minus very low birth weight) and what is known from elsewhere
(which facility is in which municipality) are out of scope.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from analytics_assets.core.columns import Column, DeclarationError, Dimension, Measure, MeasureList
from analytics_assets.core.declaration import Check, Publish, Table
from analytics_assets.core.partitions import WEEKLY, YEARLY
from analytics_assets.core.withholding import (
    MONTH,
    WHOLE,
    WITHIN_MONTH,
    YEAR,
    Cells,
    Counted,
    Kind,
    withheld_sql,
)

_SUFFIX = "_public"
_WITHHELD = " NULL: withheld, because it or a cell that it would give away is small."


def protect(tables: Sequence[Table]) -> tuple[Table, ...]:
    """The tables, with what keeps small cells from readers wherever a threshold is declared.

    A protected table stays as it is and is promoted no more; its public one is, under its name.
    Without a threshold anywhere, the very tables that were given. Raises ``DeclarationError``.
    """
    systems: dict[str, list[Table]] = {}
    for table in tables:
        if table.publish and table.publish.threshold:
            systems.setdefault(_counted(table).key, []).append(table)
    found = [
        replace(table, publish=None) if table.publish and table.publish.threshold else table
        for table in tables
    ]
    for fact, protected in systems.items():
        _check_complete(fact, protected, tables)
        withheld = _withheld_table(protected)
        found += [withheld, *(_public(table, withheld) for table in protected)]
    return tuple(found)


def public_name(table: Table) -> str:
    """``domain.table`` of what readers get: the public table of a protected one, or itself."""
    threshold = table.publish.threshold if table.publish else 0
    return table.sql_name + (_SUFFIX if threshold else "")


def _check_complete(fact: str, protected: list[Table], tables: Sequence[Table]) -> None:
    names = {table.key for table in protected}
    for table in tables:
        beside = table.publish and table.measures and table.key not in names
        if beside and _counted(table).key == fact:
            raise DeclarationError(
                f"{table.key}: published without a threshold, it would give away what is withheld"
                f" of {protected[0].key}; declare one here, too"
            )
    for table in protected:
        for measure in table.measures.measures if table.measures else ():
            if not measure.adds_up:
                raise DeclarationError(
                    f"{table.key}: with a threshold there can be no {measure.name}: the"
                    f" {measure.function} of a large cell is a value of one record, and may be that"
                    " of a small cell in it; leave it out of the measures of what is published"
                )
    if len({table.measures for table in protected}) > 1:
        raise DeclarationError(f"{fact}: protected tables do not have the same measures")


def _base(table: Table) -> Table:
    """The finest table that this one is rolled up from."""
    while table.rollup_of:
        table = table.rollup_of
    return table


def _counted(table: Table) -> Table:
    """The table whose rows are counted."""
    fact = _base(table).measured_from
    if fact is None:
        raise DeclarationError(f"{table.key}: a threshold needs a table that says measured_from")
    return fact


# ---- the shape of a set of protected tables -------------------------------------------------


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


def _last_day(table: Table) -> str:
    """SQL of the last day that a row may count, where it can be in another year than the first."""
    return f"({table.time} + interval 6 day)" if table.period is WEEKLY else str(table.time)


def _keys_sql(table: Table) -> str:
    keys = _tree(table).keys
    return f"concat_ws('/', {', '.join(keys)})" if keys else f"'{WHOLE}'"


def _cells(table: Table, protected: Sequence[Table]) -> Cells:
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
        keys=_keys_sql(table),
        day=str(table.time),
        last_day=_last_day(table),
    )


def _measures(measures: MeasureList, key: str) -> list[Counted]:
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


# ---- the tables ------------------------------------------------------------------------------


def _withheld_table(protected: list[Table]) -> Table:
    fact = _counted(protected[0])
    assert protected[0].measures
    cells = [_cells(table, protected) for table in protected]
    key = f"{fact.domain}/withheld_of_{fact.name}"
    return Table(
        key,
        layer="aggregates",
        period=YEARLY,
        columns=(
            Column("year", "integer", "Year.", "year", nullable=False),
            Column("table_name", "text", "The protected table.", nullable=False),
            Column("level", "integer", "1 within a month, 2 months, 3 years.", nullable=False),
            Column("keys", "text", "Its keys but time, joined by /.", nullable=False),
            Column("node", "text", "What the keys stand for.", nullable=False),
            Column("parent", "text", "What it is a part of.", nullable=False),
            Column("family", "text", "The parts that add up to that.", nullable=False),
            Column("measures", "text", "Measures withheld, joined by commas.", nullable=False),
            Column("cells", "integer", "Cells withheld.", "cells", False, minimum=1),
            Column("small_cells", "integer", "Of these, small ones.", "cells", False, minimum=0),
        ),
        time_column="make_date(year, 1, 1)",
        unique=("year", "table_name", "keys"),
        sql=withheld_sql(_measures(protected[0].measures, protected[0].key), cells),
        reads=tuple(protected),
        checks=(_none_alone(key, cells),),
        description=f"What is withheld from readers of the aggregates of {fact.name}, in each year:"
        " small cells, and those from which they could be computed. Never promoted.",
    )


def _none_alone(key: str, cells: Sequence[Cells]) -> Check:
    """Where the parent is published in the same grain, one withheld child would be computed."""
    published = {(table.level, table.node) for table in cells}
    within = [t.table for t in cells if t.tier and (t.level, t.parent) in published]
    listed = ", ".join(f"'{name}'" for name in within) or "''"
    name = key.replace("/", ".")
    return Check(
        "none_alone",
        "No withheld cell is the only one of a published sum",
        sql=f"""
with cells as (
    select _partition, level, node, parent, family, table_name,
        unnest(string_split(measures, ',')) as measure
    from {name}
)
select _partition, level, table_name, measure, parent, any_value(node) as node
from cells
where table_name in ({listed})
    and (_partition, level, parent, measure) not in (
        select (_partition, level, node, measure) from cells
    )
group by _partition, level, family, table_name, measure, parent
having count(*) = 1""",
        advice="The rule that chooses cells is wrong: nothing of this year is promoted until it is"
        " mended.",
    )


def _public(table: Table, withheld: Table) -> Table:
    """The table as readers get it: withheld cells are NULL."""
    assert table.publish
    assert table.measures
    hidden = tuple(
        replace(measure, description=measure.description + _WITHHELD, usually=None, withheld=True)
        for measure in table.measures.measures
    )
    return replace(
        table,
        key=f"{table.key}{_SUFFIX}",
        rollup_of=None,
        measured_from=None,
        measured_where="",
        each=(),
        parts_of=None,
        sql=_public_sql(table, withheld),
        reads=(table, withheld),
        measures=MeasureList(hidden, table.measures.ratios),
        publish=Publish(table.publish.indexes, name=table.name),
        checks=(_none_small(table), _shown_as_counted(table, withheld)),
        proven_by=("shown_as_counted",),
        description=f"{table.description} Cells below {table.publish.threshold}, and those that"
        " would give them away, are withheld: NULL.",
    )


def _public_sql(table: Table, withheld: Table) -> str:
    assert table.measures
    measures = [measure.name for measure in table.measures.measures]
    names = [column.name for column in table.stored_columns]
    columns = ",\n    ".join(
        f"case when contains(hidden.measures, ',{name},') then null else cells.{name} end as {name}"
        if name in measures
        else f"cells.{name}"
        for name in names
    )
    days = dict.fromkeys((str(table.time), _last_day(table)))
    # Of a week that reaches into the next year, what either year withholds.
    by_day = "\n    union\n    ".join(
        f"select {_keys_sql(table)} as node_keys, {table.time} as day,"
        f" cast(year({day}) as integer) as day_year from {table.sql_name}"
        for day in days
    )
    return f"""with withheld as (
    select * from {withheld.sql_name} where table_name = '{table.sql_name}'
),

days as (
    {by_day}
),

hidden as (
    select days.node_keys, days.day,
        concat(',', string_agg(withheld.measures, ','), ',') as measures
    from days
    join withheld on withheld.keys = days.node_keys and withheld.year = days.day_year
    group by days.node_keys, days.day
),

cells as (
    select {", ".join(names)}, {_keys_sql(table)} as node_keys, {table.time} as day
    from {table.sql_name}
)

select
    {columns}
from cells
left join hidden on hidden.node_keys = cells.node_keys and hidden.day = cells.day
where not coalesce(contains(hidden.measures, ',{measures[0]},'), false)"""


def share_sql(public: Table) -> str:
    """SELECT of the number of all, small and withheld cells; empty for any other table."""
    if not (public.withholds and public.measures):
        return ""
    exact = public.reads[0]
    names = [measure.name for measure in public.measures.measures]
    small = " + ".join(f"count(*) filter (where {c})" for c in _small(exact).values())
    seen = " + ".join(f"count({name})" for name in names)
    return (
        f"select cells, small, cells - seen from (select count(*) * {len(names)} as cells,"
        f" {small} as small from {exact.sql_name}), (select {seen} as seen from {public.sql_name})"
    )


def _small(table: Table) -> dict[str, str]:
    """Measure -> SQL of whether its cell is small, or what it leaves of what it is a part of."""
    assert table.publish
    assert table.measures
    found, between = {}, f"between 1 and {table.publish.threshold - 1}"
    for counted in _measures(table.measures, table.key):
        if counted.kind != "sum":
            found[counted.name] = f"{counted.name} {between}"
        if counted.kind == "part":
            whole = table.measures.measures[counted.of - 1].name
            found[counted.name] += f" or {whole} - {counted.name} {between}"
    return found


def _shown_as_counted(table: Table, withheld: Table) -> Check:
    """Withheld cells cannot be added up, so each that is not is compared with the exact one."""
    assert table.measures
    public, keys = table.sql_name + _SUFFIX, table.unique_columns
    same = " and ".join(f"shown.{key} = exact.{key}" for key in keys)
    changed = " or ".join(
        f"shown.{m.name} is not null and shown.{m.name} is distinct from exact.{m.name}"
        for m in table.measures.measures
    )
    return Check(
        "shown_as_counted",
        f"Every cell that is shown is that of {table.name}, and no row is missing of which nothing"
        " is withheld",
        sql=f"""
select coalesce(shown._partition, exact._partition) as _partition,
    {", ".join(f"coalesce(shown.{key}, exact.{key}) as {key}" for key in keys)}
from (select *, {_keys_sql(table)} as node_keys from {table.sql_name}) as exact
full join {public} as shown on {same}
where exact.{keys[0]} is null or {changed}
    or (shown.{keys[0]} is null and exact.node_keys not in (
        select keys from {withheld.sql_name} where table_name = '{table.sql_name}'))""",
        advice="The SQL of the public table (core/small_cells.py) loses or changes cells: compare"
        " both tables.",
    )


def _none_small(table: Table) -> Check:
    assert table.publish
    small = _small(table).values()
    keys = ", ".join(table.unique_columns)
    return Check(
        "none_small",
        f"No count below {table.publish.threshold} can be read",
        sql=f"select _partition, {keys} from {table.sql_name}{_SUFFIX} where {' or '.join(small)}",
        advice="Materialise the table of withheld cells for this year first, then this one.",
    )

"""Tables that are published with a threshold, below which a count is withheld from readers.

Belongs here: declarations -> the table of what is withheld, and for each protected table the public
one that readers get in its place.
Does not belong here: how protected tables add up (``cells.py``), the rule that chooses the cells
(``withholding.py``), or promotion.

What is known from elsewhere (which facility is in which municipality) is out of scope.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from analytics_assets.core.cells import cells_of, counted_table, keys_sql, last_day
from analytics_assets.core.columns import Column, DeclarationError, MeasureList
from analytics_assets.core.counted import measures_counted
from analytics_assets.core.declaration import Check, Publish, Table
from analytics_assets.core.observing import Cells
from analytics_assets.core.partitions import YEARLY
from analytics_assets.core.withholding import withheld_sql

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
            systems.setdefault(counted_table(table).key, []).append(table)
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
        if beside and counted_table(table).key == fact:
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


def _withheld_table(protected: list[Table]) -> Table:
    fact = counted_table(protected[0])
    assert protected[0].measures
    cells = [cells_of(table, protected) for table in protected]
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
            Column("threshold", "integer", "Below it, counts are small.", nullable=False),
            Column("measures", "text", "Measures withheld, joined by commas.", nullable=False),
            Column("cells", "integer", "Cells withheld.", "cells", False, minimum=1),
            Column("small_cells", "integer", "Of these, small ones.", "cells", False, minimum=0),
        ),
        time_column="make_date(year, 1, 1)",
        unique=("year", "table_name", "keys"),
        sql=withheld_sql(
            measures_counted(protected[0].measures, protected[0].key), cells, key.replace("/", ".")
        ),
        reads=tuple(protected),
        reads_itself=True,
        checks=(_none_alone(key, cells, protected[0].measures),),
        description=f"What is withheld from readers of the aggregates of {fact.name}, in each year:"
        " small cells, those from which they could be computed, and what was withheld before."
        " Never promoted.",
    )


def _none_alone(key: str, cells: Sequence[Cells], measures: MeasureList) -> Check:
    """Where the parent is published in the same grain, one withheld child would be computed."""
    published = {(table.level, table.node) for table in cells}
    within = [t for t in cells if t.tier and (t.level, t.parent) in published]
    several = " union ".join(
        f"select '{t.table}' as table_name, year({t.day}) as year, {t.parent} as parent,"
        f" {t.family} as family from {t.table} group by all having count(distinct {t.node}) > 1"
        for t in within
    )
    name = key.replace("/", ".")
    # A row whose total is withheld is left out, whatever else is listed of it.
    names = [measure.name for measure in measures.measures]
    listed = "string_split(measures, ',')"
    every = ", ".join(f"'{measure}'" for measure in names)
    hidden = f"if(list_contains({listed}, '{names[0]}'), [{every}], {listed})"
    return Check(
        "none_alone",
        "No withheld cell is the only one of a published sum",
        sql=f"""
with cells as (
    select _partition, year, level, node, parent, family, table_name,
        unnest({hidden}) as measure
    from {name}
)
select _partition, level, table_name, measure, parent, any_value(node) as node
from cells
where (table_name, year, parent, family) in (
        select (table_name, year, parent, family) from ({several or "select * from cells limit 0"})
    )
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
        decides={},
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
    days = dict.fromkeys((str(table.time), last_day(table)))
    # Of a week that reaches into the next year, what either year withholds.
    by_day = "\n    union\n    ".join(
        f"select {keys_sql(table)} as node_keys, {table.time} as day,"
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
    select {", ".join(names)}, {keys_sql(table)} as node_keys, {table.time} as day
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
    return {
        name: counted.small_sql(table.publish.threshold)
        for counted in measures_counted(table.measures, table.key)
        if counted.kind != "sum"
        for name in counted.names
    }


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
from (select *, {keys_sql(table)} as node_keys from {table.sql_name}) as exact
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

"""Which cells must be withheld so that no small one can be read or computed: the rule, as SQL.

Belongs here: the statement that chooses the cells to withhold of a set of tables that add up.
Does not belong here: which tables are protected, or what readers get (``small_cells.py``).

The tables hold counts of the same rows by place (or another axis) and time. Their cells add up
along trees: places to larger places, places, facilities and categories to the whole; and in time:
days and weeks to months, months to years. One decision is made for each *block*: all cells of one
measure, node of a tree, year and level (1 within a month, 2 months, 3 years).

A block is withheld as a whole if one of its cells is small. What is withheld at a level is so at
the finer ones, and with a measure go the measures that count a part of it. A withheld cell that an
attacker could compute is one that no other withheld cell can make up for. So every visible parent
of withheld blocks must have *free* ones among them: blocks that could give and take one in every
period, in every tree below. Two of them, or one without a small cell of its own, make up for each
other and for all the rest. If there are none, the smallest free block is withheld, too; if no child
is free, the parent is withheld, and so on up to the whole, where all of that level is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["whole", "known", "part", "sum"]

YEAR, MONTH, WITHIN_MONTH = 3, 2, 1
WHOLE = ""
_LEVELS = (YEAR, MONTH, WITHIN_MONTH)
_BLOCK = "year, level, measure, node"


@dataclass(frozen=True)
class Counted:
    """A measure: the number of all rows (``whole``), of those of which something is ``known``, the
    ``part`` of them of which it is true, or a ``sum``; ``of``: the position of what it is part of.
    """

    name: str
    kind: Kind
    of: int
    depth: int


@dataclass(frozen=True)
class Cells:
    """One table: SQL over its columns of a row's node, parent and family (the tree and, where the
    rows add up once for each value of a column, that value), and of its first and last day."""

    table: str
    level: int
    threshold: int
    node: str
    parent: str
    family: str
    tier: int
    keys: str
    day: str
    last_day: str


def withheld_sql(measures: Sequence[Counted], tables: Sequence[Cells]) -> str:
    """A SELECT of year, table_name, level, keys, node, parent, family, measures (names, joined by
    commas), cells (withheld in the block, over all measures) and small_cells (of those, below the
    threshold); a row for each node of a table of which something is withheld.
    """
    steps = dict(_observed(measures, tables))
    last = ""
    for wave in range(len(_LEVELS) + max(measure.depth for measure in measures)):
        steps |= _wave(wave, last, max(table.tier for table in tables))
        last = f"withheld_{wave}"
    waves = " union all ".join(f"select {_BLOCK} from {n}" for n in steps if n[:9] == "withheld_")
    steps["final"] = f"""
select measured.year, measured.table_name, measured.level, measured.keys, measured.node,
    measured.parent, measured.family,
    string_agg(measures.name, ',' order by measures.measure) as measures,
    cast(sum(measured.cells) as integer) as cells,
    cast(sum(measured.small_cells) as integer) as small_cells
from measured
join ({waves}) as withheld using ({_BLOCK})
join measures using (measure)
group by all"""
    # Materialised, because each is read by several that follow.
    listed = ",\n".join(
        f"{name} as {'not ' if name == 'cells' else ''}materialized ({sql})"
        for name, sql in steps.items()
    )
    return f"with {listed}\nselect * from final"


def _observed(measures: Sequence[Counted], tables: Sequence[Cells]) -> Iterator[tuple[str, str]]:
    listed = ", ".join(
        f"({position}, '{m.name}', '{m.kind}', {m.of if m.depth else 0}, {m.depth})"
        for position, m in enumerate(measures, 1)
    )
    yield (
        "measures",
        f"select * from (values {listed}) as listed (measure, name, kind, of_measure, depth)",
    )
    amounts = ", ".join(m.name for m in measures)
    limits = ", ".join(measures[m.of - 1].name for m in measures)
    # A week that reaches into the next year stands in both, if there is anything else of both.
    yield (
        "years",
        " union ".join(
            f"select year({t.day}) as year from {t.table} where year({t.day}) = year({t.last_day})"
            for t in tables
        ),
    )
    branches = []
    for table in tables:
        years = dict.fromkeys((table.day, table.last_day))
        for number, day in enumerate(years):
            other = f" and year({day}) <> year({table.day})" if number else ""
            branches.append(
                f"select '{table.table}' as table_name, {table.level} as level,"
                f" {table.threshold} as threshold, {table.tier} as tier, year({day}) as year,"
                f" {table.node} as node, {table.parent} as parent, {table.family} as family,"
                f" {table.keys} as keys, {table.day} as day,"
                f" cast([{amounts}] as bigint[]) as amounts, cast([{limits}] as bigint[]) as limits"
                f" from {table.table} where year({day}) in (select year from years){other}"
            )
    yield "observed", "\nunion all\n".join(branches)
    yield (
        "periods",
        "select year, level, parent, family, count(distinct (table_name, day)) as periods"
        " from observed group by all",
    )
    numbers = ", ".join(str(position) for position in range(1, len(measures) + 1))
    yield (
        "cells",
        f"select * exclude (amounts, limits), unnest([{numbers}]) as measure,"
        " unnest(amounts) as amount, unnest(limits) as most from observed",
    )
    # A year that is withheld while its row is not is known not to be zero.
    seen = f"level = {YEAR} and kind <> 'whole'"
    above_least = f"amount > (case when {seen} then 1 else 0 end)"
    margin = f"(case when level = {YEAR} then 1 else 0 end)"
    below_most = f"(kind in ('whole', 'sum') or amount < most - {margin})"
    small = (
        "(kind <> 'sum' and amount between 1 and threshold - 1"
        " or kind = 'part' and most - amount between 1 and threshold - 1)"
    )
    yield (
        "measured",
        f"""
select table_name, year, level, measure, node, parent, family, tier, keys, depth, of_measure,
    any_value(threshold) as threshold, count(*) filter (where {small}) as small_cells,
    count(*) as cells, sum(amount) as total, count(*) filter (where amount > 0) as above_zero,
    count(*) filter (where {above_least}) as above_least,
    count(*) filter (where {below_most}) as below_most
from cells join measures using (measure)
group by all""",
    )
    every = "= any_value(periods)"
    yield (
        "blocks",
        f"""
select {_BLOCK}, parent, family, tier, of_measure, depth + {YEAR} - level as wave,
    max(threshold) as threshold, sum(small_cells) > 0 as small, sum(total) as total,
    sum(cells) {every} as complete, sum(above_zero) {every} as above_zero,
    sum(above_least) {every} as above_least, sum(below_most) {every} as below_most
from measured join periods using (year, level, parent, family)
group by all""",
    )


def _wave(wave: int, before: str, tiers: int) -> dict[str, str]:
    """The blocks to withhold of one wave: each level after the coarser one, and each measure after
    the one that it is a part of."""
    steps: dict[str, str] = {}

    def step(name: str, sql: str) -> str:
        steps[f"{name}_{wave}"] = sql
        return f"{name}_{wave}"

    own = f"from blocks where wave = {wave}"
    if before:
        own = f"""
from blocks left join {before} as whole on whole.year = blocks.year and whole.level = blocks.level
    and whole.node = blocks.node and whole.measure = blocks.of_measure
where wave = {wave}"""
    inherited = "whole.node is not null" if before else "false"
    free = step(
        "free",
        "select blocks.year, blocks.level, blocks.measure, blocks.node, blocks.parent, family,"
        f" tier, threshold, total, small, {inherited} as inherited,"
        f" case when {inherited} then above_zero else above_least end as gives,"
        f" case when {inherited} then complete else below_most end as takes {own}",
    )
    coarser = f" or ({_BLOCK}) in (select (year, level - 1, measure, node) from {before})"
    start = step(
        "start",
        f"select {_BLOCK}, tier from {free} where small or inherited{coarser if before else ''}",
    )
    blocks, lower = {}, ""
    for tier in range(tiers, 0, -1):
        lower = blocks[tier] = step(f"blocks_{tier}", _blocks(free, lower, tier))
    members, families, rising = {}, {}, ""
    for tier in range(tiers, 0, -1):
        risen = f" union select {_BLOCK} from {rising} where tier = {tier}" if rising else ""
        members[tier] = step(
            f"members_{tier}", f"select {_BLOCK} from {start} where tier = {tier}{risen}"
        )
        families[tier] = step(f"families_{tier}", _families(blocks[tier], members[tier]))
        rising = step(f"rising_{tier}", _rising(families[tier], tier))
    above = step(
        "members_0",
        f"select {_BLOCK} from {start} where tier = 0"
        + (f" union select {_BLOCK} from {rising} where tier = 0" if rising else ""),
    )
    chosen = [above]
    for tier in range(1, tiers + 1):
        upper = blocks.get(tier - 1)
        above = step(
            f"chosen_{tier}",
            _chosen(blocks[tier], members[tier], families[tier], above, upper),
        )
        chosen.append(above)
    everything = (
        f" union select {_BLOCK} from {free}"
        f" where (year, level, measure) in (select (year, level, measure) from {rising}"
        " where tier = 0)"
        if rising
        else ""
    )
    step("withheld", " union ".join(f"select {_BLOCK} from {n}" for n in chosen) + everything)
    return steps


def _blocks(free: str, lower: str, tier: int) -> str:
    """Blocks of a tier. What one gives or takes, some child must, in each family below."""
    if not lower:
        return f"select *, gives and takes as anchor from {free} where tier = {tier}"
    return f"""
select blocks.* replace (blocks.gives and coalesce(below.gives, true) as gives,
        blocks.takes and coalesce(below.takes, true) as takes),
    blocks.gives and blocks.takes and coalesce(below.anchor, true) as anchor
from {free} as blocks
left join (
    select year, level, measure, parent, bool_and(gives) as gives, bool_and(takes) as takes,
        bool_and(case when level = {YEAR} then gives and takes else anchor end) as anchor
    from (
        select year, level, measure, parent, family, bool_or(gives) as gives,
            bool_or(takes) as takes, bool_or(anchor) as anchor
        from {lower}
        group by all
    )
    group by all
) as below on below.year = blocks.year and below.level = blocks.level
    and below.measure = blocks.measure and below.parent = blocks.node
where blocks.tier = {tier}"""


def _families(blocks: str, members: str) -> str:
    """Children of one parent in one tree, and whether the withheld ones cover each other.

    Within one period it is enough that one gives and another takes.
    """
    own = "filter (where members.node is not null"
    return f"""
select *,
    together = 0 or withheld >= 2 and case
        when level = {YEAR} then least(givers, takers) > 0 and givers + takers > 2
        else withheld_anchors >= 2 or large_anchors > 0
    end as covered,
    together between 1 and threshold - 1 as small_together
from (
    select year, level, measure, parent, family, count(members.node) as withheld,
        count(*) {own} and gives) as givers, count(*) {own} and takes) as takers,
        count(*) {own} and anchor) as withheld_anchors,
        count(*) {own} and anchor and not small) as large_anchors,
        count(*) filter (where members.node is null and anchor) as other_anchors,
        coalesce(sum(total) {own}), 0) as together, max(threshold) as threshold
    from {blocks} left join {members} as members using ({_BLOCK})
    group by all
)"""


def _rising(families: str, tier: int) -> str:
    """Parents that must be withheld, because none of their children can cover the withheld ones."""
    return (
        f"select distinct year, level, measure, parent as node, {tier - 1} as tier from {families}"
        " where withheld > 0 and not covered and other_anchors = 0"
    )


def _chosen(blocks: str, members: str, families: str, above: str, upper: str | None) -> str:
    """The withheld blocks of a tier, with those that are withheld to cover others."""
    yearly = f"families.level = {YEAR}"
    lacks = f"(case when {yearly} then least(givers, takers) else withheld_anchors end) = 0"
    relied_on = "coalesce(up.anchor, false)" if upper else "true"
    join_upper = (
        f"left join {upper} as up on up.year = families.year and up.level = families.level"
        " and up.measure = families.measure and up.node = families.parent"
        if upper
        else ""
    )
    return f"""
select {_BLOCK} from {members}
union
select {_BLOCK}
from (
    select children.*, lacks_taker
    from {blocks} as children
    left join {members} as members using ({_BLOCK})
    join (
        select families.year, families.level, families.measure, families.parent, families.family,
            above.node is not null as parent_withheld,
            {yearly} and takers = 0 and other_anchors = 0 as lacks_taker
        from {families} as families
        left join {above} as above on above.year = families.year and above.level = families.level
            and above.measure = families.measure and above.node = families.parent
        {join_upper}
        where case
            when above.node is null then withheld > 0 and (not covered or small_together)
            else withheld = 0 or {relied_on} and (not covered or {lacks})
        end
    ) as lacking using (year, level, measure, parent, family)
    where members.node is null and (anchor or parent_withheld)
    qualify row_number() over (
        partition by year, level, measure, parent, family
        order by anchor desc, gives desc, total, node
    ) = 1 or lacks_taker and row_number() over (
        partition by year, level, measure, parent, family order by takes desc, total, node
    ) = 1
)"""

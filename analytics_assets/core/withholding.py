"""Which cells must be withheld so that no small one can be read or computed: the rule, as SQL.

Belongs here: the statement that chooses the cells to withhold of a set of tables that add up.
Does not belong here: which tables are protected, or what readers get (``small_cells.py``); what
is asked of each cell (``observing.py``).

The tables hold counts of the same rows by place (or another axis) and time. Their cells add up
along trees: places to larger places, places, facilities and categories to the whole; and in time:
days and weeks to months, months to years. One decision is made for each *block*: all cells of one
measure, node of a tree, year and level (1 within a month, 2 months, 3 years), in all tables that
count by this node: who is born at home is counted by place of birth and of residence alike.

A block is withheld as a whole if one of its cells is small. What is withheld at a level is so at
the finer ones, and with all rows, or those that a sum is over, goes what is counted of them. A
withheld cell that an attacker could compute is one that no other withheld cell can make up for. So
every visible parent of withheld blocks must have *free* ones among them, in each table: blocks that
could give and take one in every period, in every tree below, while all else of their rows stays.
Two of them, or one without a small cell of its own, make up for each other and for all the rest. If
there are none, the smallest free block is withheld, too; if no child is free, the parent is
withheld, and so on up to the whole, where all of that level is.

Where a category decides a measure (all births by caesarean have one), the rows of its breakdown are
parts of the measure, too. So the categories that are withheld make up for each other among those
for which it decides alike; where they cannot, or where the measure is withheld of the parent, all
rows of the breakdown are.

What was withheld of a year stays so: the patterns of two releases would be solved together.
"""

from __future__ import annotations

from collections.abc import Sequence

from analytics_assets.core.counted import Counted
from analytics_assets.core.observing import BLOCK, LEVELS, YEAR, Cells, observed


def withheld_sql(measures: Sequence[Counted], tables: Sequence[Cells], own: str) -> str:
    """A SELECT of year, table_name, level, keys, node, parent, family, threshold, measures (names,
    joined by commas), cells (withheld in the block, over all measures) and small_cells (of those,
    below the threshold); a row for each node of a table of which something is withheld.

    ``own``: the table whose SQL this is; what it holds now is withheld on.
    """
    steps = dict(observed(measures, tables))
    steps["kept"] = _kept(tables, own)
    known = ""
    emptied = []
    for wave in range(len(LEVELS) + max(measure.depth for measure in measures)):
        steps |= _wave(wave, known, max(table.tier for table in tables))
        steps[f"known_{wave}"] = f"select {BLOCK} from withheld_{wave}" + (
            f" union all select {BLOCK} from {known}" if known else ""
        )
        known = f"known_{wave}"
        emptied += [name for name in steps if name.startswith("emptied_") and name not in emptied]
    steps["whole_nodes"] = _whole_nodes(known, emptied)
    steps["final"] = f"""
select measured.year, measured.table_name, measured.level, measured.keys, measured.own as node,
    measured.own_parent as parent, measured.tree as family, max(measured.threshold) as threshold,
    string_agg(measures.names, ',' order by measures.measure) as measures,
    cast(sum(measured.cells * measures.equal) as integer) as cells,
    cast(sum(measured.small_cells * measures.equal) as integer) as small_cells
from measured
join measures using (measure)
where ({BLOCK}) in (select ({BLOCK}) from {known})
    or (year, level, own) in (select (year, level, own) from whole_nodes)
group by all"""
    # Materialised, because each is read by several that follow.
    listed = ",\n".join(
        f"{name} as {'not ' if name == 'cells' else ''}materialized ({sql})"
        for name, sql in steps.items()
    )
    return f"with {listed}\nselect * from final"


def _kept(tables: Sequence[Cells], own: str) -> str:
    """Blocks that are withheld already, and by no higher threshold than today's."""
    today = ", ".join(f"('{table.table}', {table.threshold})" for table in tables)
    return f"""
select distinct was.year, was.level, measures.measure, was.node as own
from (select *, unnest(string_split(measures, ',')) as name from {own}) as was
join (values {today}) as today (table_name, threshold)
    on today.table_name = was.table_name and was.threshold <= today.threshold
join measures on list_contains(string_split(measures.names, ','), was.name)"""


def _whole_nodes(known: str, emptied: Sequence[str]) -> str:
    """Categories all rows of which are withheld, with the others of their breakdown."""
    by_measure = f"""
select year, level, own_parent, tree from deciding
where (year, level, measure, own_parent) in (select ({BLOCK}) from {known})
    or (year, level, measure, parent_place) in (select ({BLOCK}) from {known})"""
    breakdowns = " union ".join(
        [by_measure, *(f"select year, level, own_parent, tree from {name}" for name in emptied)]
    )
    return f"""
select distinct year, level, own from observed
where (year, level, own_parent, tree)
    in (select (year, level, own_parent, tree) from ({breakdowns}))"""


def _wave(wave: int, known: str, tiers: int) -> dict[str, str]:
    """The blocks to withhold of one wave: each level after the coarser one, and each measure after
    the one without which it is not shown. ``known``: those of the waves before."""
    steps: dict[str, str] = {}

    def step(name: str, sql: str) -> str:
        steps[f"{name}_{wave}"] = sql
        return f"{name}_{wave}"

    before = f"in (select ({BLOCK}) from {known})"
    inherited = (
        "(measure > 1 and ("
        + " or ".join(
            f"(year, level, {of}, {name}) {before}"
            for of in ("of_measure", "1")
            for name in ("node", "own")
        )
        + "))"
        if known
        else "false"
    )
    # What a node gives in one table it gives in the others: the same rows are counted there.
    everywhere = f"over (partition by {BLOCK})"
    free = step(
        "free",
        f"""
select {BLOCK}, own, parent, own_parent, family, tree, tier, parent_tier, bound, threshold,
    total, inherited, bool_or(small) {everywhere} as small,
    bool_and(case when inherited then above_zero else above_least end) {everywhere} as gives,
    bool_and(case when inherited then complete else below_most end) {everywhere} as takes
from (select *, {inherited} as inherited from blocks where wave = {wave})""",
    )
    coarser = f" or (year, level + 1, measure, node) {before}" if known else ""
    start = step(
        "start",
        f"select distinct {BLOCK}, tier from {free} where small or inherited{coarser}"
        f" or (year, level, measure, own) in (select (year, level, measure, own) from kept)",
    )
    blocks, lower = {}, ""
    for tier in range(tiers, 0, -1):
        lower = blocks[tier] = step(f"blocks_{tier}", _blocks(free, lower, tier))
    members, families = {}, {}
    rising: list[str] = []
    for tier in range(tiers, 0, -1):
        members[tier] = step(f"members_{tier}", _members(start, rising, tier))
        families[tier] = step(f"families_{tier}", _families(blocks[tier], members[tier]))
        rising.append(step(f"rising_{tier}", _rising(families[tier])))
        step(f"emptied_{tier}", _emptied(families[tier]))
    chosen = [step("members_0", _members(start, rising, 0))]
    for tier in range(1, tiers + 1):
        above = " union ".join(f"select {BLOCK} from {name}" for name in chosen)
        upper = " union all ".join(f"select * from {blocks[t]}" for t in range(1, tier))
        chosen.append(
            step(
                f"chosen_{tier}",
                _chosen(blocks[tier], members[tier], families[tier], above, upper),
            )
        )
    whole = " union ".join(f"select year, level, measure from {n} where tier = 0" for n in rising)
    everything = (
        f" union select {BLOCK} from {free}"
        f" where (year, level, measure) in (select (year, level, measure) from ({whole}))"
    )
    step("withheld", " union ".join(f"select {BLOCK} from {n}" for n in chosen) + everything)
    return steps


def _members(start: str, rising: Sequence[str], tier: int) -> str:
    """Blocks of a tier that are withheld for themselves or for what is below them."""
    found = [f"select {BLOCK} from {name} where tier = {tier}" for name in (start, *rising)]
    return " union ".join(found)


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
        where not bound
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
    select year, level, measure, parent, own_parent, parent_tier, family, tree, bound,
        count(members.node) as withheld,
        count(*) {own} and gives) as givers, count(*) {own} and takes) as takers,
        count(*) {own} and anchor) as withheld_anchors,
        count(*) {own} and anchor and not small) as large_anchors,
        count(*) filter (where members.node is null and anchor) as other_anchors,
        coalesce(sum(total) {own}), 0) as together, max(threshold) as threshold
    from {blocks} left join {members} as members using ({BLOCK})
    group by all
)"""


_UNCOVERED = "withheld > 0 and not covered and other_anchors = 0"


def _rising(families: str) -> str:
    """Parents that must be withheld, because none of their children can cover the withheld ones."""
    return (
        f"select distinct year, level, measure, parent as node, parent_tier as tier from {families}"
        f" where {_UNCOVERED} and not bound"
    )


def _emptied(families: str) -> str:
    """Breakdowns of which nothing can be shown, for the same reason."""
    return f"select distinct year, level, parent, tree from {families} where {_UNCOVERED} and bound"


def _chosen(blocks: str, members: str, families: str, above: str, upper: str) -> str:
    """The withheld blocks of a tier, with those that are withheld to cover others."""
    yearly = f"families.level = {YEAR}"
    lacks = f"(case when {yearly} then least(givers, takers) else withheld_anchors end) = 0"
    relied_on = "coalesce(up.anchor, false)" if upper else "true"
    join_upper = (
        f"left join ({upper}) as up on up.year = families.year and up.level = families.level"
        " and up.measure = families.measure and up.node = families.parent"
        if upper
        else ""
    )
    return f"""
select {BLOCK} from {members}
union
select {BLOCK}
from (
    select children.*, lacks_taker
    from {blocks} as children
    left join {members} as members using ({BLOCK})
    join (
        select families.year, families.level, families.measure, families.parent, families.family,
            above.node is not null as parent_withheld,
            {yearly} and takers = 0 and other_anchors = 0 as lacks_taker
        from {families} as families
        left join ({above}) as above on above.year = families.year and above.level = families.level
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

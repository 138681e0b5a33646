"""What the rule of withholding asks of each cell: where it stands, and how far it could move.

Belongs here: protected tables -> one relation of their cells, and of blocks of cells, as SQL.
Does not belong here: which blocks are withheld (``withholding.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from analytics_assets.core.counted import Counted

YEAR, MONTH, WITHIN_MONTH = 3, 2, 1
WHOLE = ""
LEVELS = (YEAR, MONTH, WITHIN_MONTH)
BLOCK = "year, level, measure, node"


@dataclass(frozen=True)
class Cells:
    """One table: SQL over its columns of a row's node, parent and family (the tree and, where the
    rows add up once for each value of a column, that value), of the places that these are in all
    tables of the same keys, and of its first and last day.

    ``decides``: measure -> SQL of whether the category of a row decides it.
    """

    table: str
    level: int
    threshold: int
    node: str
    place: str
    parent: str
    parent_place: str
    family: str
    tier: int
    parent_tier: int
    keys: str
    day: str
    last_day: str
    decides: Mapping[str, str] = field(default_factory=dict)

    def decided(self, measure: Counted) -> str:
        """SQL of whether the category of a row decides the measure, or any for the whole."""
        named = self.decides.values() if measure.kind == "whole" else ()
        found = [*named, *(self.decides[name] for name in measure.names if name in self.decides)]
        return " or ".join(dict.fromkeys(found)) or "false"


def observed(measures: Sequence[Counted], tables: Sequence[Cells]) -> Iterator[tuple[str, str]]:
    """Names and SQL of the steps that end in ``measured`` (block and table) and ``blocks``."""
    listed = ", ".join(
        f"({position}, '{','.join(m.names)}', {len(m.names)}, '{m.kind}', {m.of}, {m.depth})"
        for position, m in enumerate(measures, 1)
    )
    yield (
        "measures",
        f"select * from (values {listed})"
        " as listed (measure, names, equal, kind, of_measure, depth)",
    )
    # A week that reaches into the next year stands in both, if there is anything else of both.
    yield (
        "years",
        " union ".join(
            f"select year({t.day}) as year from {t.table} where year({t.day}) = year({t.last_day})"
            for t in tables
        ),
    )
    branches = [
        _observed_of(table, measures, day, number)
        for table in tables
        for number, day in enumerate(dict.fromkeys((table.day, table.last_day)))
    ]
    yield "observed", "\nunion all\n".join(branches)
    shared = [position for position, m in enumerate(measures, 1) if m.shared] or [0]
    yield "agreeing", _agreeing(shared[-1])
    numbers = ", ".join(str(position) for position in range(1, len(measures) + 1))
    lists = "amounts, leasts, mosts, smalls, decided, following"
    named = {"node": ("place", "own"), "parent": ("parent_place", "own_parent")}
    names = ", ".join(
        f"case when measure in ({', '.join(map(str, shared))}) or (year, {place})"
        f" in (select (year, place) from agreeing) then {place} else {own} end as {name}"
        for name, (place, own) in named.items()
    )
    yield (
        "cells",
        f"select * exclude (follows, place, parent_place, family), {names},"
        " case when measure = 1 then family else tree end as family"
        f" from (select * exclude ({lists}), unnest([{numbers}]) as measure,"
        " unnest(amounts) as amount, unnest(leasts) as least, unnest(mosts) as most,"
        " unnest(smalls) as small, unnest(decided) as bound, unnest(following) as follows"
        " from observed) where not follows",
    )
    yield (
        "deciding",
        f"select distinct year, level, own_parent, parent_place, tree, measure from ("
        f"select *, unnest([{numbers}]) as measure, unnest(decided) as decides from observed)"
        " where decides and measure > 1",
    )
    yield "periods", _PERIODS
    yield "measured", _MEASURED
    yield "blocks", _BLOCKS


def _observed_of(table: Cells, measures: Sequence[Counted], day: str, number: int) -> str:
    other = f" and year({day}) <> year({table.day})" if number else ""
    whole = measures[0].name
    decided = [table.decided(measure) for measure in measures]
    # What a category decides is all of its rows or none; such a cell says no more than these do.
    following = [
        f"({sql}) and {measure.name} in (0, {whole})" if measure.kind == "count" else "false"
        for measure, sql in zip(measures, decided, strict=True)
    ]
    alike = [
        f"case when {sql} then concat({m.name} > 0, {m.name} < {whole}) end"
        for m, sql in zip(measures, decided, strict=True)
        if m.kind == "count" and sql != "false"
    ]
    family = f"concat_ws('/', {', '.join([table.family, *alike])})" if alike else table.family
    lists = {
        "cast([{}] as bigint[]) as amounts": [m.name for m in measures],
        "cast([{}] as bigint[]) as leasts": [m.least for m in measures],
        "cast([{}] as bigint[]) as mosts": [m.most or "null" for m in measures],
        "[{}] as smalls": [m.small_sql(table.threshold) for m in measures],
        "[{}] as decided": decided,
        "[{}] as following": following,
    }
    listed = ", ".join(text.format(", ".join(values)) for text, values in lists.items())
    return (
        f"select '{table.table}' as table_name, {table.level} as level,"
        f" {table.threshold} as threshold, {table.tier} as tier,"
        f" {table.parent_tier} as parent_tier, year({day}) as year, {table.node} as own,"
        f" {table.place} as place, {table.parent} as own_parent,"
        f" {table.parent_place} as parent_place, {table.family} as tree, {family} as family,"
        f" {table.keys} as keys, {table.day} as day, {listed}"
        f" from {table.table} where year({day}) in (select year from years){other}"
    )


def _agreeing(elsewhere: int) -> str:
    """Places and years where tables of the same keys count the very same rows in some period.

    There all measures are the same number in both.
    """
    if not elsewhere:
        return "select 0 as year, '' as place where false"
    return f"""
select distinct year, place
from (
    select year, level, place, day from observed
    where place <> '{WHOLE}'
    group by all
    having count(distinct tree) > 1 and sum(amounts[{elsewhere}]) = 0
)"""


_PERIODS = """
select year, level, own_parent, family, count(distinct (table_name, day)) as periods
from (
    select year, level, own_parent, family, table_name, day from observed
    union all
    select year, level, own_parent, tree, table_name, day from observed where tree <> family
)
group by all"""

# A year that is withheld while its row is not is known not to be zero, and to leave something.
_MEASURED = f"""
select table_name, year, level, measure, node, own, parent, own_parent, family, tree, tier,
    parent_tier, keys, bound, depth, of_measure, any_value(threshold) as threshold,
    count(*) as cells, count(*) filter (where small) as small_cells, sum(amount) as total,
    count(*) filter (where amount > 0) as above_zero,
    count(*) filter (
        where amount > greatest(least, if(level = {YEAR} and kind <> 'whole', 1, 0))
    ) as above_least,
    count(*) filter (where most is null or amount < most - if(level = {YEAR}, 1, 0)) as below_most
from cells join measures using (measure)
group by all"""

_BLOCKS = f"""
select {BLOCK}, own, parent, own_parent, family, tree, tier, parent_tier, bound, of_measure,
    depth + {YEAR} - level as wave, max(threshold) as threshold, sum(small_cells) > 0 as small,
    sum(total) as total, sum(cells) = any_value(periods) as complete,
    sum(above_zero) = any_value(periods) as above_zero,
    sum(above_least) = any_value(periods) as above_least,
    sum(below_most) = any_value(periods) as below_most
from measured join periods using (year, level, own_parent, family)
group by all"""

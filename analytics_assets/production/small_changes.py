"""Changes that are small themselves, of tables whose small cells are withheld.

Belongs here: whether readers who kept what they have could tell of a few rows by subtracting.
Does not belong here: which cells are withheld (``core/withholding.py``), other reasons to put a
version on hold (``review.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import sqlalchemy as sa

from analytics_assets.core.contracts import quoted
from analytics_assets.core.counted import Counted, measures_counted
from analytics_assets.core.declaration import Table
from analytics_assets.production import encoding, schema


def small_changes(
    connection: sa.Connection, table: Table, partitions: Collection[str], incoming: str | None
) -> dict[str, str]:
    """Partition -> why its rows should not replace those that readers have; of any table.

    A count, or what it leaves of a whole, that changes by 1 to one below the threshold; a sum over
    so few; a cell that was withheld and would be shown.
    """
    threshold = _threshold(table)
    if not threshold or not partitions or incoming is None:
        return {}
    assert table.measures
    names = [measure.name for measure in table.measures.measures]
    columns = ", ".join(quoted(column.name) for column in table.stored_columns)
    day = table.period.first_day_sql(table.time or "")
    same = " and ".join(f"before.{key} = after.{key}" for key in map(quoted, table.unique_columns))
    changed = ", ".join(f"after.{n} - before.{n} as {n}" for n in map(quoted, names))
    shown = " or ".join(
        f"(before.{n} is null and after.{n} is not null)" for n in map(quoted, names)
    )
    small = " or ".join(_small(table, threshold))
    rows = connection.execute(
        sa.text(
            f"with before as (select {columns} from {schema.view_name(table)}"
            f" where {table.within_sql(partitions)}),"
            f" after as (select *, {day} as _day from"
            f" ({encoding.declared_sql(table, incoming)}) as rows),"
            f" changed as (select after._day, {shown} as _shown, {changed}"
            f" from before join after on {same})"
            f" select _day, count(*) filter (where {small}), count(*) filter (where _shown)"
            f" from changed where _shown or {small} group by 1"
        )
    )
    return {
        table.period.key(first): _told(few, shown, threshold)
        for first, few, shown in rows
        if table.period.key(first) in partitions
    }


def _threshold(table: Table) -> int:
    exact = table.reads[0] if table.withholds else None
    return exact.publish.threshold if exact and exact.publish else 0


def _small(table: Table, threshold: int) -> Iterator[str]:
    """SQL over the differences of two rows."""
    assert table.measures
    listed = measures_counted(table.measures, table.key)
    for counted in listed:
        if counted.kind == "sum":
            of = listed[counted.of - 1]
            yield f"({counted.name} <> 0 and abs({of.name}) < {threshold})"
        else:
            yield from (f"abs({count}) between 1 and {threshold - 1}" for count in _counts(counted))


def _counts(counted: Counted) -> tuple[str, ...]:
    return (counted.name, *counted.rests)


def _told(few: int, shown: int, threshold: int) -> str:
    said = []
    if few:
        said.append(
            f"{few:,} rows would change by fewer than {threshold}, which whoever kept what readers"
            " have could read by subtracting"
        )
    if shown:
        said.append(f"{shown:,} rows would show what was withheld")
    return "; ".join(said)

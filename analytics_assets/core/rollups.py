"""Measures and a grain, turned into SQL.

Belongs here: the SQL of a table that is rolled up from a finer one, and the totals by which two
tables of the same measures are compared.
Does not belong here: running it, or the SQL of any particular table.
"""

from __future__ import annotations

from collections.abc import Iterable

from analytics_assets.core.columns import Column, Dimension, Measure
from analytics_assets.core.contracts import sql_type
from analytics_assets.core.declaration import Table
from analytics_assets.core.refusals import no_such


def measures_sql(measures: Iterable[Measure]) -> str:
    """Select list that computes each measure from rows of the fact."""
    return ",\n".join(f"{_stored(measure, measure.sql)} as {measure.name}" for measure in measures)


def _stored(measure: Measure, sql: str) -> str:
    return f"cast({sql} as {sql_type(measure.column())})"


def build_sql(table: Table) -> str:
    """The SELECT that gives the rows of a table (not of one that comes from a source)."""
    if table.sql is not None:
        return table.sql
    if table.rollup_of is None:
        raise table.refused("it comes from a source, not from SQL")
    return _rollup_sql(table, table.rollup_of)


def _rollup_sql(table: Table, finer: Table) -> str:
    """Every measure of the finer table, rolled up by the keys of the coarser grain.

    Attributes are the greatest of the finer rows', never part of the grouping: a place renamed
    half way through a year still has one row.
    """
    if not table.measures or table.measures != finer.measures:
        raise table.refused(f"its measures are not those of {finer.key}, which it rolls up")
    keys, attributes = [], []
    for dimension in table.grain:
        for position, column in enumerate(dimension.columns):
            expression = _from_finer(table, finer, dimension, column)
            if position < dimension.keys:
                keys.append((expression, column.name))
            else:
                attributes.append((f"max({expression})", column.name))
    ordered = {column.name: position for position, column in enumerate(table.stored_columns)}
    selected = sorted(keys + attributes, key=lambda pair: ordered[pair[1]])
    rolled = [(_stored(m, f"{m.function}({m.name})"), m.name) for m in table.measures.measures]
    columns = ",\n    ".join(f"{expression} as {name}" for expression, name in selected + rolled)
    grouping = ", ".join(expression for expression, _ in keys)
    return f"select\n    {columns}\nfrom {finer.sql_name}\ngroup by {grouping}"


def _from_finer(table: Table, finer: Table, dimension: Dimension, column: Column) -> str:
    if column.name in {stored.name for stored in finer.stored_columns}:
        return column.name
    if column.name in dimension.from_date and finer.time:
        return dimension.from_date[column.name].format(date=finer.time)
    columns = [stored.name for stored in finer.stored_columns]
    why = no_such("column", column.name, columns)
    raise table.refused(f"{column.name} cannot be derived from {finer.key}: {why}")


def totals_sql(table: Table, partition_sql: str, source: Table | None = None) -> str:
    """Total of every measure by partition key, of ``table`` or computed from rows of ``source``.

    The total of a maximum is the greatest one. Comparing the two proves that nothing was lost,
    doubled or moved between partitions. Where ``table.each`` names columns, each of their values
    holds the full totals.
    """
    assert table.measures
    measures = table.measures.measures
    rolled = ", ".join(f"{m.function}({m.name}) as {m.name}" for m in measures)
    if source is None:
        each = "".join(f", {name}" for name in table.each)
        return (
            f"select {partition_sql} as _partition{each}, {rolled} from {table.sql_name}"
            " group by all"
        )
    counted = f" where {table.measured_where}" if table.measured_where else ""
    computed = rolled if source.measures else ", ".join(map(_counted, measures))
    return (
        f"select {partition_sql} as _partition, {computed} from {source.sql_name}{counted}"
        " group by all"
    )


def _counted(measure: Measure) -> str:
    # As it is stored: the greatest of values that are rounded is the greatest one, rounded. That
    # of a sum is not.
    sql = measure.sql if measure.adds_up else _stored(measure, measure.sql)
    return f"{sql} as {measure.name}"

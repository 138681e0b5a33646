"""What people see of a table beside its rows: a preview, a plot, and numbers for Dagster's plots.

Belongs here: what is read of live files for it. Does not belong here: how it looks (``display``).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import dagster as dg
import duckdb

from analytics_assets.core import telling
from analytics_assets.core.columns import Dimension, Measure
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Table
from analytics_assets.core.display import plot_as_markdown, rows_as_markdown
from analytics_assets.core.rollups import totals_sql
from analytics_assets.core.validation import READABLE
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.integrity import damaged
from analytics_assets.warehouse.lake import partition_of
from analytics_assets.warehouse.session import expose

PREVIEW_ROWS, PREVIEW_COLUMNS = 8, 6
PLOTTED_PARTITIONS = 60


def totals_of(
    session: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    table: Table,
    partitions: Collection[str],
) -> dict[str, dict[str, Any]]:
    """Partition -> {name of the table's first measure that adds up: its total}, int or float.

    A partition without live rows is left out; all are where no total is known (``_counted``) or
    files are damaged.
    """
    files = [file for file in snapshot.files(table) if partition_of(table, file.key) in partitions]
    measure = _counted(table)
    if measure is None or not files or damaged(snapshot.lake, files):
        return {}
    expose(session, table, [file.uri for file in files])
    series = _series(session, table, measure, table.partition_sql)
    return {key: {measure.name: value} for key, value in series}


def pictures_of(
    session: duckdb.DuckDBPyConnection, snapshot: Snapshot, table: Table
) -> dict[str, Any]:
    """Preview and plot of what people read; other single records are never shown.

    What cannot be drawn is a word in its place: rows that are published are not lost for a picture.
    """
    try:
        return _drawn(session, snapshot, table)
    except Exception as error:
        return {"preview": dg.MetadataValue.text(f"cannot be drawn ({type(error).__name__})")}


def _drawn(session: duckdb.DuckDBPyConnection, snapshot: Snapshot, table: Table) -> dict[str, Any]:
    keys = sorted({file.key for file in snapshot.files(table) if file.rows})[-PLOTTED_PARTITIONS:]
    files = [file for file in snapshot.files(table) if file.key in keys]
    if not files or table.layer not in READABLE or damaged(snapshot.lake, files):
        return {}
    expose(session, table, [file.uri for file in files])
    names = previewed(table)
    rows = session.execute(
        f"select {', '.join(map(quoted, names))} from {table.sql_name}"
        " where _partition = ? limit ?",
        [keys[-1], PREVIEW_ROWS],
    ).fetchall()
    columns = {column.name: column for column in table.stored_columns}
    preview = [telling.row(dict(zip(names, row, strict=True)), columns) for row in rows]
    found = {"preview": dg.MetadataValue.md(rows_as_markdown(preview))}
    measure = _counted(table)
    if measure and len(keys) > 1:
        series = _series(session, table, measure, "_partition")
        plot = plot_as_markdown(series, measure.description, measure.unit)
        found[f"plot of {measure.name}"] = dg.MetadataValue.md(plot)
    return found


def previewed(table: Table) -> list[str]:
    """Columns of a preview: each key with its name, then measures; few, as the UI shows only a
    small table in place."""
    visible = [column.name for column in table.stored_columns if not column.personal]
    shown = list(table.unique_columns)
    for axis in table.grain:
        last = axis.key_names[-1]
        if last in shown:
            place = shown.index(last) + 1
            shown[place:place] = _names_of(axis)
    measures = [measure.name for measure in table.measures.measures] if table.measures else visible
    return [name for name in dict.fromkeys(shown + measures) if name in visible][:PREVIEW_COLUMNS]


def _names_of(axis: Dimension) -> list[str]:
    """What tells people which key it is: the attribute that is called a name, or the first one."""
    attributes = [column.name for column in axis.columns[axis.keys :]]
    return sorted(attributes, key=lambda name: not name.endswith("name"))[:1]


def _counted(table: Table) -> Measure | None:
    """The measure whose total stands for the table, if rows are known not to overlap.

    What is proven by checks of its own is no sum over one table: it may hold campaigns beside their
    ads, or leave out what is withheld. So may a table that counts all rows of such a one.
    """
    counted = table.rollup_of or (None if table.measured_where else table.measured_from)
    if not table.measures or table.proven_by:
        return None
    if counted and counted.measures and not _counted(counted):
        return None
    return table.measures.additive[0] if table.measures.measures else None


def _series(
    session: duckdb.DuckDBPyConnection, table: Table, measure: Measure, partition_sql: str
) -> list[tuple[str, float]]:
    """Partition and total of a measure, oldest first; each value of ``each`` holds all of it."""
    rows = session.execute(
        f"select _partition, max({measure.name}) from ({totals_sql(table, partition_sql)})"
        " group by 1 order by 1"
    ).fetchall()
    return [
        (key, telling.rounded(value if isinstance(value, int) else float(value)))
        for key, value in rows
        if value is not None
    ]

"""Plain DuckDB, Parquet and COPY: what the floors are made of.

Belongs here: holding, storing and copying the rows of a table in the fewest steps.
Does not belong here: which tables, and what they are read from (``floor.py``, ``ads_floor.py``).
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import duckdb
import psycopg2
import sqlalchemy as sa

from analytics_assets import settings
from analytics_assets.core.contracts import quoted, sql_type
from analytics_assets.core.declaration import Table
from analytics_assets.production import server
from analytics_assets.production.encoding import measure_defaults

CONFIG = settings.load()
LAKE = CONFIG.home / "lake"


@contextmanager
def opened(domain: str) -> Iterator[tuple[duckdb.DuckDBPyConnection, Any]]:
    """DuckDB with a schema of the domain, and a connection to production."""
    CONFIG.scratch.mkdir(parents=True, exist_ok=True)
    url = sa.make_url(server.urls(CONFIG).promoter)
    options = {
        "memory_limit": CONFIG.memory_limit,
        "threads": CONFIG.threads,
        "temp_directory": str(CONFIG.scratch),
    }
    with (
        duckdb.connect(config=options) as session,
        closing(
            psycopg2.connect(host=url.query["host"], user=url.username, dbname=url.database)
        ) as production,
    ):
        session.execute("set enable_progress_bar = false")
        session.execute(f"create schema {domain}")
        yield session, production


def promote(session: Any, production: Any, tables: Sequence[Table]) -> None:
    """All rows of the published tables, from memory into a new schema of production."""
    published = [table for table in tables if table.publish]
    with production.cursor() as cursor:
        cursor.execute("set synchronous_commit = off")
        cursor.execute(f"create schema {published[0].domain}_store")
        for table in published:
            create(cursor, table)
            copy(session, cursor, table)
            index(cursor, table)
            production.commit()


def hold(session: Any, table: Table, select: str, add: bool = False) -> None:
    """Keep rows in memory, in place of what is there or beside it."""
    there = session.execute(
        "select 1 from duckdb_tables() where (schema_name, table_name) = ($1, $2)",
        [table.domain, table.name],
    ).fetchone()
    if there and add:
        session.execute(f"insert into {table.sql_name} by name {select}")
    else:
        session.execute(f"create or replace table {table.sql_name} as {select}")


def listed(values: Collection[str]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def stored_rows(table: Table, keys: Collection[str] | None) -> str:
    """SELECT of rows of these partitions, or of all, from their files."""
    only = f" where _partition in ({listed(keys)})" if keys else ""
    return (
        f"select * exclude (_partition) from read_parquet('{LAKE}/{table.name}/*/*.parquet',"
        f" hive_partitioning = true, hive_types = {{'_partition': varchar}}){only}"
    )


def store(
    session: Any,
    table: Table,
    key: str | None = None,
    replaced: Sequence[str] = (),
    rows: str | None = None,
) -> None:
    """Write the rows of a table by partition; a reader in between finds the replaced ones gone."""
    (LAKE / table.name).mkdir(parents=True, exist_ok=True)
    for old in replaced:
        shutil.rmtree(LAKE / table.name / f"_partition={old}", ignore_errors=True)
    typed = ", ".join(
        f"cast({quoted(c.name)} as {sql_type(c)}) as {quoted(c.name)}" for c in table.stored_columns
    )
    session.execute(
        f"copy (select {typed}, {key or table.partition_sql} as _partition"
        f" from {rows or table.sql_name}) to '{LAKE}/{table.name}'"
        " (format parquet, compression zstd, partition_by (_partition), overwrite_or_ignore true)"
    )


def stored_name(table: Table) -> str:
    return f"{table.domain}_store.{table.name}"


def create(cursor: Any, table: Table) -> None:
    # Both databases know these names of types.
    columns = ", ".join(f"{quoted(c.name)} {sql_type(c)}" for c in table.stored_columns)
    cursor.execute(f"create table {stored_name(table)} ({columns})")


def index(cursor: Any, table: Table) -> None:
    """After the rows, which is quicker."""
    stored = stored_name(table)
    cursor.execute(f"alter table {stored} add primary key ({', '.join(table.unique_columns)})")
    for columns in table.publish.indexes:
        cursor.execute(f"create index on {stored} ({columns})")


def copy(session: Any, cursor: Any, table: Table, keys: Sequence[str] | None = None) -> None:
    """Rows of some partitions in place of those in production, or of all that is in memory."""
    stored = stored_name(table)
    usual = measure_defaults(table)
    columns = ", ".join(
        f"nullif({c.name}, {usual[c.name]})" if c.name in usual else c.name
        for c in table.stored_columns
    )
    rows = CONFIG.scratch / f"{table.name}.csv"
    select = f"({stored_rows(table, keys)})" if keys else table.sql_name
    session.execute(f"copy (select {columns} from {select}) to '{rows}' (header false)")
    for key in keys or ():
        cursor.execute(
            f"delete from {stored} where {table.time} >= %s and {table.time} < %s",
            table.period.window(key),
        )
    with rows.open("rb") as file:
        cursor.copy_expert(f"copy {stored} from stdin (format csv)", file)
    rows.unlink()

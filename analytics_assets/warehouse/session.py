"""DuckDB sessions over the lake.

Belongs here: opening a session within its memory limit, and letting SQL read a table's files
under the table's own name.
Does not belong here: what is read, or writing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple
from uuid import uuid4

import duckdb
from dagster_duckdb import DuckDBResource

from analytics_assets.core.contracts import quoted, sql_type
from analytics_assets.core.declaration import Table
from analytics_assets.core.source import CountedSource
from analytics_assets.settings import Settings
from analytics_assets.warehouse.storage import open_storage


def literal(value: str) -> str:
    """Text as an SQL literal, for the places where DuckDB takes no parameter."""
    return "'" + value.replace("'", "''") + "'"


@contextmanager
def open_session(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory session; its spill folder is its own and goes with it."""
    settings.scratch.mkdir(parents=True, exist_ok=True)
    resource = DuckDBResource(
        database=":memory:",
        connection_config={
            "memory_limit": settings.memory_limit,
            "threads": settings.threads,
            "temp_directory": str(settings.scratch / f"duckdb-{uuid4().hex}"),
            # Order costs memory and no table promises one.
            "preserve_insertion_order": False,
            # By default half a million rows wait for each partition and spill; measured on one
            # national year this takes half the time and memory, for files 5 % larger.
            "partitioned_write_flush_threshold": 10_000,
        },
    )
    with resource.get_connection() as connection:
        # Moments read the same here and in production, wherever the machine stands; global, for the
        # cursors of other threads.
        connection.execute("set global timezone = 'UTC'")
        open_storage(settings.lake).register(connection)
        try:
            yield connection
        finally:
            connection.close()


def select_files(table: Table, uris: Iterable[str]) -> str:
    """SELECT of these files' rows; no file gives an empty table of the declared columns."""
    listed = ", ".join(literal(uri) for uri in uris)
    if listed:
        # Keys stay text: left to guess, 2020 becomes a number and 2020-05 does not.
        return (
            f"select * from read_parquet([{listed}], hive_partitioning = true,"
            " hive_types = {'_partition': varchar}, union_by_name = true)"
        )
    columns = ", ".join(
        f"cast(null as {sql_type(column)}) as {quoted(column.name)}"
        for column in table.stored_columns
    )
    return f"select {columns}, cast(null as varchar) as _partition where false"


def select_declared(table: Table, uris: Iterable[str]) -> str:
    """SELECT of the declared columns of files that may be of an earlier declaration."""
    columns = ", ".join(quoted(column.name) for column in table.stored_columns)
    return (
        f"select {columns} from ({select_files(table, ())} union all by name"
        f" {select_files(table, uris)})"
    )


def expose(session: duckdb.DuckDBPyConnection, table: Table, uris: Iterable[str]) -> None:
    """Let SQL read these files as ``domain.table``."""
    session.execute(f"create schema if not exists {quoted(table.domain)}")
    session.execute(
        f"create or replace view {quoted(table.domain)}.{quoted(table.name)} as"
        f" {select_files(table, uris)}"
    )


def expose_tallies(
    session: duckdb.DuckDBPyConnection, table: Table, partitions: Iterable[str]
) -> None:
    """Let SQL read as ``_tally`` what became of the rows that these partitions were offered, if
    the table's source knows."""
    if not isinstance(table.source, CountedSource):
        return
    session.execute(
        "create or replace temp table _tally (_partition varchar, file varchar, offered bigint,"
        " rejected bigint, reason varchar, first_row bigint, anew bigint)"
    )
    found = [(key, *astuple(tally)) for key in partitions for tally in table.source.tallies(key)]
    if found:
        session.executemany("insert into _tally values (?, ?, ?, ?, ?, ?, ?)", found)


def expose_live(session: duckdb.DuckDBPyConnection, table: Table, uris: Iterable[str]) -> None:
    """Let SQL read these files as ``_live``, and the table as ``_sent``, if a check does."""
    if any("_live" in check.sql for check in table.checks):
        session.execute(f"create or replace temp view _sent as from {table.sql_name}")
        session.execute(f"create or replace temp view _live as {select_files(table, uris)}")

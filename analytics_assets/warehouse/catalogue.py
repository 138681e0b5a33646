"""``warehouse.duckdb``: views over the live files, so that any DuckDB client opens the warehouse.

Belongs here: writing that file. It holds copies at most: deleting it loses nothing.
Does not belong here: anything that the pipeline itself reads.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import duckdb
import fasteners

from analytics_assets.core.contracts import quoted, sql_type
from analytics_assets.core.declaration import Table
from analytics_assets.settings import Settings
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.delta_log import DamagedLog
from analytics_assets.warehouse.integrity import damaged
from analytics_assets.warehouse.quarantine import Quarantine, view_name
from analytics_assets.warehouse.session import select_files
from analytics_assets.warehouse.storage import open_storage


def refresh_catalogue(
    settings: Settings, snapshot: Snapshot, tables: Iterable[Table], asked: bool = False
) -> bool:
    """Point the views of ``tables`` at their live files: a copy is changed and renamed into place.

    To bind a view opens every file, so over an object store it is done where somebody ``asked``
    for the catalogue, and not by each worker after each run.

    Clients that have the file open go on with what they opened and are never locked out. Returns
    whether all could be written: what is damaged is put aside, and is behind.
    """
    changed = [table for table in tables if _is_whole(snapshot, table)]
    if not changed or not (snapshot.lake.storage.is_local or asked):
        return True
    target = settings.catalogue
    target.parent.mkdir(parents=True, exist_ok=True)
    # Two runs that end together would each lose the other's views.
    with fasteners.InterProcessLock(str(target) + ".lock"):
        draft = target.with_name(f".{target.name}.{uuid4().hex}")
        try:
            with _copied(settings, draft) as connection:
                written = [t for t in changed if _write(connection, snapshot, t)]
                _write_short_names(connection, written)
            os.replace(draft, target)
        finally:
            for leftover in (draft, Path(f"{draft}.wal")):
                leftover.unlink(missing_ok=True)
    return written == changed


def _copied(settings: Settings, draft: Path) -> duckdb.DuckDBPyConnection:
    """A copy of the catalogue, opened; an empty one where there is none, or a damaged one."""
    with suppress(FileNotFoundError, duckdb.Error):
        shutil.copyfile(settings.catalogue, draft)
        return open_catalogue(settings, draft, read_only=False)
    draft.unlink(missing_ok=True)
    return open_catalogue(settings, draft, read_only=False)


def open_catalogue(
    settings: Settings, file: Path | None = None, read_only: bool = True
) -> duckdb.DuckDBPyConnection:
    """A connection that can read the files that the views are over, wherever the lake is."""
    connection = duckdb.connect(str(file or settings.catalogue), read_only=read_only)
    open_storage(settings.lake).register(connection)
    return connection


def mend_catalogue(
    settings: Settings, snapshot: Snapshot, tables: Sequence[Table], asked: bool = False
) -> bool:
    """Refresh the views that are not of the live files: a run was killed before it came to them.

    Returns whether all could be written.
    """
    known = _known(settings.catalogue) or {}
    return refresh_catalogue(
        settings,
        snapshot,
        [
            table
            for table in tables
            if _is_whole(snapshot, table)
            and snapshot.lake.version(table) is not None
            and known.get((table.domain, table.name)) != _state(snapshot, table)
        ],
        asked,
    )


def _known(catalogue: Path) -> dict[tuple[str, str], str] | None:
    """(schema, view or table) -> its comment; ``None`` where there is no file, or a damaged one."""
    listed = (
        "select schema_name, view_name, comment from duckdb_views() where not internal"
        " union all select schema_name, table_name, comment from duckdb_tables()"
    )
    try:
        with duckdb.connect(str(catalogue), read_only=True) as connection:
            return {(row[0], row[1]): row[2] for row in connection.execute(listed).fetchall()}
    except duckdb.Error:
        return None


def _is_whole(snapshot: Snapshot, table: Table) -> bool:
    """Where files are missing, an older view says so by its error; a new one cannot be made."""
    try:
        return not snapshot.broken(table)
    except DamagedLog:
        return False


def _state(snapshot: Snapshot, table: Table) -> str:
    """Changes with the files that a view reads, its indexes and ratios; kept as its comment."""
    uris = [file.uri for file in snapshot.files(table)]
    return f"files {_digest([*uris, *table.indexed, *_columns(table)])}"


def _digest(words: Iterable[str]) -> str:
    return hashlib.sha256(",".join(words).encode()).hexdigest()[:16]


def _columns(table: Table) -> list[str]:
    ratios = table.measures.ratios if table.measures else ()
    return [
        *(quoted(column.name) for column in table.stored_columns),
        *(f"{ratio.sql()} as {quoted(ratio.name)}" for ratio in ratios),
    ]


def _write(connection: duckdb.DuckDBPyConnection, snapshot: Snapshot, table: Table) -> bool:
    """The views of a table; ``False`` where its files turn out to be damaged."""
    try:
        _write_view(connection, snapshot, table)
    except duckdb.Error:
        # To bind a view opens every file, also those that no build has come to.
        if not damaged(snapshot.lake, snapshot.files(table), again=True):
            raise
        return False
    _write_quarantine(connection, Quarantine(snapshot.lake, table), table)
    return True


def _write_view(connection: duckdb.DuckDBPyConnection, snapshot: Snapshot, table: Table) -> None:
    """``domain.table`` with its ratios.

    A view over the files, or a table with the rows themselves where indexes are declared.
    """
    files = select_files(table, [file.uri for file in snapshot.files(table)])
    connection.execute(f"create schema if not exists {quoted(table.domain)}")
    name = f"{quoted(table.domain)}.{quoted(table.name)}"
    present = connection.execute(
        "select table_type from information_schema.tables"
        " where (table_schema, table_name) = (?, ?)",
        [table.domain, table.name],
    ).fetchone()
    kind = "table" if table.indexed else "view"
    if present:
        connection.execute(f"drop {'view' if present[0] == 'VIEW' else 'table'} {name}")
    connection.execute(
        f"create {kind} {name} as select {', '.join(_columns(table))} from ({files})"
    )
    for number, index in enumerate(table.indexed):
        indexed = ", ".join(quoted(column.strip()) for column in index.split(","))
        connection.execute(f"create index {quoted(f'{table.name}_{number}')} on {name} ({indexed})")
    connection.execute(f"comment on {kind} {name} is '{_state(snapshot, table)}'")


def _write_short_names(connection: duckdb.DuckDBPyConnection, tables: Iterable[Table]) -> None:
    """``table`` alone, for those who leave out the schema.

    Written where the columns differ only, by what its comment says: to bind it opens every file of
    the table, and to ask DuckDB for columns those of all tables.
    """
    shapes = dict(
        connection.execute(
            "select view_name, comment from duckdb_views() where schema_name = 'main'"
        ).fetchall()
    )
    for table in tables:
        shape = f"columns {_digest([*_columns(table), *map(sql_type, table.stored_columns)])}"
        if shapes.get(table.name) != shape:
            name = f"main.{quoted(table.name)}"
            connection.execute(
                f"create or replace view {name} as"
                f" select * from {quoted(table.domain)}.{quoted(table.name)}"
            )
            connection.execute(f"comment on view {name} is '{shape}'")


def _write_quarantine(
    connection: duckdb.DuckDBPyConnection, quarantine: Quarantine, table: Table
) -> None:
    """``quarantine.domain_table``, there only while rows are."""
    rows = quarantine.select_sql()
    connection.execute("create schema if not exists quarantine")
    connection.execute(f"drop view if exists {view_name(table)}")
    if rows:
        # Damaged it says so to whoever asks; what is in quarantine is read by nothing else.
        with suppress(duckdb.IOException, duckdb.InvalidInputException):
            connection.execute(f"create view {view_name(table)} as {rows}")

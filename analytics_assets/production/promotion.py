"""Promotion: copying audited partitions into production, all of them or none.

Belongs here: moving rows from the lake to PostgreSQL, proving that they arrived, the ledger.
Does not belong here: DDL (``schema.py``), or deciding what to promote.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow.csv
import sqlalchemy as sa

from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Column, Table
from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets.production import encoding, schema
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import StoredKey, by_key
from analytics_assets.warehouse.session import expose

# The sessions that write to production go by this name, so that they are told from readers.
PROMOTION = "analytics_assets promotion"
_BATCH_ROWS = 50_000
_INCOMING = "incoming"
_AS_TEXT = ("text", "boolean", "timestamp")  # what is sent, and so comes back, in quotes


class PromotionError(RuntimeError):
    """Production was left as it was; says why."""


@dataclass
class Promotion:
    """What a promotion did: rows by partition, and which of them were copied or taken away."""

    rows: dict[str, int] = field(default_factory=dict)
    copied: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    bytes: int = 0


@contextmanager
def production_engine(url: str, read_only: bool = False) -> Iterator[sa.Engine]:
    """An engine that is closed with the block; its sessions write dates as ISO does."""
    options = "-c timezone=UTC -c datestyle=ISO"
    if read_only:
        options += " -c default_transaction_read_only=on"
    arguments = {"options": options}
    if not read_only:
        arguments["application_name"] = PROMOTION
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args=arguments)
    try:
        yield engine
    finally:
        engine.dispose()


def promoted(connection: sa.Connection, table: Table) -> dict[str, tuple[str, int]]:
    """Partition -> (fingerprint, rows) of what production holds now; removed ones are left out."""
    rows = connection.execute(_latest(schema.ledger.c.table_name == table.key))
    return {row.partition: (row.fingerprint, row.rows) for row in rows if row.fingerprint}


def held_by_production(engine: sa.Engine) -> dict[str, dict[str, str]]:
    """Table -> partition -> fingerprint, for all tables; empty before the first promotion."""
    held: dict[str, dict[str, str]] = {}
    with engine.connect() as connection:
        if sa.inspect(connection).has_table("ledger", schema=schema.LEDGER_SCHEMA):
            for row in connection.execute(_latest(sa.true())):
                if row.fingerprint:
                    held.setdefault(row.table_name, {})[row.partition] = row.fingerprint
    return held


def _latest(condition: sa.ColumnElement[bool]) -> sa.Select:
    """The last ledger entry of each partition."""
    entries = schema.ledger.c
    return (
        sa.select(entries.table_name, entries.partition, entries.fingerprint, entries.rows)
        .where(condition)
        .distinct(entries.table_name, entries.partition)
        .order_by(entries.table_name, entries.partition, entries.id.desc())
    )


def promote(
    engine: sa.Engine,
    session: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    table: Table,
    partitions: Sequence[str],
    run_id: str,
) -> Promotion:
    """Make ``partitions`` in production what they are in the lake, in one transaction.

    Partitions that production already holds are left alone. Where the declared columns are not
    those of production, all partitions move together and the view with them. Raises
    ``PromotionError``.
    """
    files = by_key(snapshot.files(table))
    version = snapshot.lake.version(table)
    with engine.begin() as connection:
        # Two runs that promote one table end as one after the other.
        connection.execute(
            sa.text("select pg_advisory_xact_lock(hashtext(:name))"), {"name": table.key}
        )
        schema.prepare(connection, table.domain)
        present = promoted(connection, table)
        if schema.shape_differs(connection, table):
            if present:
                partitions = _all_of_one_shape(snapshot, table, files)
            schema.create(connection, table)
            present = {}
        done = Promotion()
        for partition in partitions:
            file = files.get(partition)
            if file is None and partition in present:
                done.removed.append(partition)
            elif file and present.get(partition, ("", 0))[0] != file.fingerprint:
                done.copied.append(partition)
            done.rows[partition] = file.rows if file else 0
        checksum = ""
        if done.copied:
            checksum, done.bytes = _load(connection, session, table, files, done.copied)
        _replace(connection, table, files, present, done)
        _enter(connection, table, files, done, version, checksum, run_id)
    return done


def _all_of_one_shape(snapshot: Snapshot, table: Table, files: dict[str, StoredKey]) -> list[str]:
    waiting = [
        key
        for key in files
        if (build := snapshot.build_of(table, key)) and build.code_version != table.code_version
    ]
    if waiting:
        raise PromotionError(
            f"{table.key}: its columns changed and {len(waiting)} partitions still have the old"
            f" ones ({', '.join(waiting[:5])}). Materialise them first; until then readers keep"
            " the old table"
        )
    return sorted(files)


def _load(
    connection: sa.Connection,
    session: duckdb.DuckDBPyConnection,
    table: Table,
    files: dict[str, StoredKey],
    partitions: list[str],
) -> tuple[str, int]:
    """Copy rows into a temporary table and prove that it gives back the very bytes sent."""
    expose(session, table, [uri for partition in partitions for uri in files[partition].uris])
    schema.incoming_table(table, _INCOMING).create(connection)
    cursor = connection.connection.cursor()
    sent, received = _Digest(), _Digest()
    texts = ", ".join(quoted(c.name) for c in table.stored_columns if c.type in _AS_TEXT)
    quoting = f", force_quote ({texts})" if texts else ""
    cursor.copy_expert(
        f"copy {_INCOMING} from stdin (format csv)", _Blocks(_as_csv(session, table), sent)
    )
    cursor.copy_expert(f"copy {_INCOMING} to stdout (format csv{quoting})", received)
    if sent.hex() != received.hex():
        raise PromotionError(
            f"{table.key}: production gave back other rows than the warehouse sent"
            f" ({sent.bytes:,} bytes sent, {received.bytes:,} received). Nothing was changed"
        )
    return sent.hex(), sent.bytes


class _Blocks:
    """Blocks of bytes as the file that psycopg2 reads from, each added to a digest on the way."""

    def __init__(self, blocks: Iterator[bytes], digest: _Digest) -> None:
        self._blocks = blocks
        self._digest = digest
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return b""
            self._digest.write(block)
            self._rest = block
        head, self._rest = self._rest[:size], self._rest[size:]
        return head


class _Digest:
    """Checksum and length of what is written to it."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.bytes = 0

    def write(self, block: bytes) -> None:
        self._hash.update(block)
        self.bytes += len(block)

    def hex(self) -> str:
        return self._hash.hexdigest()


def _as_csv(session: duckdb.DuckDBPyConnection, table: Table) -> Iterator[bytes]:
    """The exposed rows as PostgreSQL writes CSV: text quoted, NULL empty, the rest bare."""
    usual = encoding.measure_defaults(table)

    def as_sent(column: Column) -> str:
        name = quoted(column.name)
        if column.name in usual:
            return f"nullif({name}, {usual[column.name]}) as {name}"
        if column.type == "boolean":
            return f"case {name} when true then 't' when false then 'f' end as {name}"
        if column.type == "timestamp":
            return f"cast({name} as varchar) as {name}"
        return name

    columns = ", ".join(map(as_sent, table.stored_columns))
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
    reader = session.sql(f"select {columns} from {table.sql_name}").to_arrow_reader(_BATCH_ROWS)
    for batch in reader:
        sink = pyarrow.BufferOutputStream()
        pyarrow.csv.write_csv(pyarrow.Table.from_batches([batch]), sink, options)
        yield sink.getvalue().to_pybytes()


def _replace(
    connection: sa.Connection,
    table: Table,
    files: dict[str, StoredKey],
    present: dict[str, tuple[str, int]],
    done: Promotion,
) -> None:
    """Put the incoming rows in place of the old ones; every count must be what it should."""
    old = [key for key in (*done.copied, *done.removed) if key in present]
    deleted = sum(_delete(connection, table, *span) for span in table.period.spans(old))
    recorded = sum(present[key][1] for key in old)
    if deleted != recorded:
        raise PromotionError(
            f"{table.key}: {deleted:,} rows were to be replaced where the ledger has"
            f" {recorded:,}: somebody may have written to production by hand. Nothing was changed"
        )
    if not done.copied:
        return
    for statement in encoding.dictionary_sql(table, _INCOMING):
        connection.execute(sa.text(statement))
    inserted = connection.execute(sa.text(encoding.insert_sql(table, _INCOMING))).rowcount
    wanted = sum(files[key].rows for key in done.copied)
    if inserted != wanted:
        raise PromotionError(
            f"{table.key}: {inserted:,} rows were written where the log of the warehouse has"
            f" {wanted:,}. Nothing was changed"
        )


def _delete(connection: sa.Connection, table: Table, first: str, last: str) -> int:
    stored = encoding.stored_name(table)
    if table.period is UNPARTITIONED:
        return connection.execute(sa.text(f"delete from {stored}")).rowcount
    start, end = table.period.window(first)[0], table.period.window(last)[1]
    return connection.execute(
        sa.text(f"delete from {stored} where {table.time} >= :start and {table.time} < :end"),
        {"start": start, "end": end},
    ).rowcount


def _enter(
    connection: sa.Connection,
    table: Table,
    files: dict[str, StoredKey],
    done: Promotion,
    version: int | None,
    checksum: str,
    run_id: str,
) -> None:
    entries: Iterable[dict[str, Any]] = [
        {
            "table_name": table.key,
            "partition": partition,
            "delta_version": version,
            "fingerprint": files[partition].fingerprint if partition in done.copied else "",
            "rows": files[partition].rows if partition in done.copied else 0,
            "checksum": checksum,
            "run_id": run_id,
        }
        for partition in (*done.copied, *done.removed)
    ]
    if entries:
        connection.execute(sa.insert(schema.ledger), list(entries))

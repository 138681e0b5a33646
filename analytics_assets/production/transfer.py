"""Rows on their way from the warehouse to PostgreSQL and back, as CSV.

Belongs here: writing them as PostgreSQL would, and the checksum of the bytes that passed.
Does not belong here: the transaction around it (``promotion.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import duckdb
import pyarrow.csv
import sqlalchemy as sa

from analytics_assets.core.columns import Column
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Table
from analytics_assets.production import encoding

_BATCH_ROWS = 50_000
_READ_BYTES = 2**20
_AS_TEXT = ("text", "boolean", "timestamp", "datetime")  # sent, and so coming back, in quotes


@dataclass(frozen=True)
class Passed:
    """SHA-256 and number of the bytes that passed."""

    checksum: str
    bytes: int


def send(
    connection: sa.Connection, session: duckdb.DuckDBPyConnection, table: Table, target: str
) -> Passed:
    """Copy the rows that are exposed as ``table`` into a table of the declared columns."""
    digest = _Digest()
    connection.connection.cursor().copy_expert(
        f"copy {target} from stdin (format csv)",
        _Blocks(_ahead(_as_csv(session, table)), digest),
        size=_READ_BYTES,
    )
    return digest.passed()


def receive(connection: sa.Connection, table: Table, source: str) -> Passed:
    """Read the rows back, in the order and form in which they were sent."""
    digest = _Digest()
    texts = ", ".join(quoted(c.name) for c in table.stored_columns if c.type in _AS_TEXT)
    quoting = f", force_quote ({texts})" if texts else ""
    connection.connection.cursor().copy_expert(
        f"copy {source} to stdout (format csv{quoting})", digest
    )
    return digest.passed()


def _ahead(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Each is made while the one before it is sent: the databases work at the same time."""
    with ThreadPoolExecutor(1) as beside:
        coming = beside.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = beside.submit(next, blocks, None)
            yield block


class _Blocks:
    """Blocks of bytes as the file that psycopg2 reads from, each added to a digest on the way."""

    def __init__(self, blocks: Iterator[bytes], digest: _Digest) -> None:
        self._blocks = blocks
        self._digest = digest
        self._block = b""
        self._at = 0

    def read(self, size: int) -> bytes:
        # A block has megabytes: to cut the head off each time would copy the rest of it.
        while self._at >= len(self._block):
            block = next(self._blocks, None)
            if block is None:
                return b""
            self._digest.write(block)
            self._block, self._at = block, 0
        head = self._block[self._at : self._at + size]
        self._at += len(head)
        return head


class _Digest:
    """Checksum and length of what is written to it."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._bytes = 0

    def write(self, block: bytes) -> None:
        self._hash.update(block)
        self._bytes += len(block)

    def passed(self) -> Passed:
        return Passed(self._hash.hexdigest(), self._bytes)


def _as_csv(session: duckdb.DuckDBPyConnection, table: Table) -> Iterator[bytes]:
    """The exposed rows as PostgreSQL writes CSV: text quoted, NULL empty, the rest bare."""
    usual = encoding.measure_defaults(table)

    def as_sent(column: Column) -> str:
        name = quoted(column.name)
        if column.name in usual:
            return f"nullif({name}, {usual[column.name]}) as {name}"
        if column.type == "boolean":
            return f"case {name} when true then 't' when false then 'f' end as {name}"
        if column.type in ("timestamp", "datetime"):
            return f"cast({name} as varchar) as {name}"
        return name

    columns = ", ".join(map(as_sent, table.stored_columns))
    # In the order of their key they fill its index; DuckDB sorts in all threads, PostgreSQL in one.
    keys = ", ".join(f"stored.{quoted(name)}" for name in table.unique_columns)
    ordered = f" order by {keys}" if keys else ""
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
    rows = session.sql(f"select {columns} from {table.sql_name} as stored{ordered}")
    reader = rows.to_arrow_reader(_BATCH_ROWS)
    for batch in reader:
        sink = pyarrow.BufferOutputStream()
        pyarrow.csv.write_csv(pyarrow.Table.from_batches([batch]), sink, options)
        yield sink.getvalue().to_pybytes()

"""Moving the rows of one table: partitions of production become those that are offered.

Belongs here: loading them beside the present ones, judging the difference, putting them in place,
and the ledger, all in the caller's transaction.
Does not belong here: which partitions move, and what becomes visible with them (``release.py``),
DDL (``schema.py``), rows on their way (``transfer.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import duckdb
import sqlalchemy as sa

from analytics_assets.core.declaration import Table
from analytics_assets.production import encoding, records, schema, transfer
from analytics_assets.production.review import Change, changes
from analytics_assets.production.standing import Promoted
from analytics_assets.warehouse.lake import StoredKey
from analytics_assets.warehouse.session import expose

# The sessions that write to production go by this name, so that they are told from readers.
PROMOTION = "analytics_assets promotion"


class PromotionError(RuntimeError):
    """Production was left as it was; says why."""


class UnexpectedRowsError(PromotionError):
    """Rows are not those of the ledger, though nothing had told so; ``table`` has them."""

    def __init__(self, table: Table, what: str) -> None:
        super().__init__(f"{table.key}: {what}")
        self.table = table


@dataclass(frozen=True)
class Offer:
    """What the lake has for production: a version of a table, and its partitions' files.

    ``older``: the versions of those partitions that are of another one.
    """

    version: int | None
    files: Mapping[str, StoredKey]
    older: Mapping[str, int] = field(default_factory=dict)

    def fingerprint(self, partition: str) -> str:
        """The version of a partition, empty where there is none."""
        return self.files[partition].fingerprint if partition in self.files else ""

    def number(self, partition: str) -> int:
        """The version of a partition for the ledger, also where the lake has none."""
        return self.older.get(partition, -1 if self.version is None else self.version)

    def rows(self, partition: str) -> int:
        return self.files[partition].rows if partition in self.files else 0


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


@dataclass
class Move:
    """Partitions of a table on their way: those to be copied and to be removed, the present ones
    that they replace, what that changes, and how many bytes were sent."""

    table: Table
    offer: Offer
    copied: list[str]
    removed: list[str]
    present: Mapping[str, Promoted]
    incoming: str
    changes: list[Change] = field(default_factory=list)
    checksum: str = ""
    bytes: int = 0

    @property
    def partitions(self) -> list[str]:
        return [*self.copied, *self.removed]

    def load(self, connection: sa.Connection, session: duckdb.DuckDBPyConnection) -> None:
        """Copy the rows into a temporary table and prove that it gives back the very bytes sent."""
        if not self.copied:
            return
        table = self.table
        expose(session, table, [uri for key in self.copied for uri in self.offer.files[key].uris])
        schema.incoming_table(table, self.incoming).create(connection)
        sent = transfer.send(connection, session, table, self.incoming)
        received = transfer.receive(connection, table, self.incoming)
        if sent != received:
            raise PromotionError(
                f"{table.key}: production gave back other rows than the warehouse sent"
                f" ({sent.bytes:,} bytes sent, {received.bytes:,} received). Nothing was changed"
            )
        self.checksum, self.bytes = sent.checksum, sent.bytes

    def review(self, connection: sa.Connection) -> None:
        """Find out what changes."""
        replaced = [key for key in self.partitions if key in self.present]
        incoming = self.incoming if self.copied else None
        self.changes = changes(connection, self.table, replaced, incoming)

    def leave(self, connection: sa.Connection, partitions: Collection[str]) -> None:
        """Have these stay as they are."""
        staying = [key for key in self.copied if key in partitions]
        if staying:
            within = self.table.within_sql(staying)
            connection.execute(sa.text(f"delete from {self.incoming} where {within}"))
        self.copied = [key for key in self.copied if key not in partitions]
        self.removed = [key for key in self.removed if key not in partitions]
        self.changes = [change for change in self.changes if change.partition not in partitions]

    def replace(self, connection: sa.Connection) -> None:
        """Put the rows in place of the present ones; every count must be what it should."""
        table = self.table
        old = [key for key in self.partitions if key in self.present]
        deleted = delete(connection, table, old)
        recorded = sum(self.present[key].rows for key in old)
        if deleted != recorded:
            raise UnexpectedRowsError(
                table,
                f"{deleted:,} rows were to be replaced where the ledger has {recorded:,}: somebody"
                " may have written to production by hand. Nothing was changed; the next run"
                " compares the whole table",
            )
        if not self.copied:
            return
        for statement in encoding.dictionary_sql(table, self.incoming):
            connection.execute(sa.text(statement))
        inserted = _rows(connection, table, encoding.insert_sql(table, self.incoming))
        wanted = sum(self.offer.rows(key) for key in self.copied)
        if inserted != wanted:
            raise PromotionError(
                f"{table.key}: {inserted:,} rows were written where the log of the warehouse has"
                f" {wanted:,}. Nothing was changed. Run again; if it stays so, look for a trigger"
                " or rule that somebody put on the table"
            )

    def enter(self, connection: sa.Connection, run_id: str, release_id: int) -> None:
        """Write it into the ledger."""
        changed = {change.partition: change.as_row() for change in self.changes}
        enter(
            connection, self.table, self.offer, self.partitions, run_id, release_id,
            self.checksum, changed,
        )  # fmt: skip


def enter(
    connection: sa.Connection,
    table: Table,
    offer: Offer,
    partitions: Sequence[str],
    run_id: str,
    release_id: int,
    checksum: str,
    changed: Mapping[str, object] | None = None,
) -> None:
    """Say in the ledger that production has these partitions as they are offered."""
    moment = records.moment(connection, release_id)
    entries = [
        {
            "table_name": table.key,
            "partition": partition,
            "delta_version": offer.number(partition),
            "fingerprint": offer.fingerprint(partition),
            "rows": offer.rows(partition),
            "checksum": checksum,
            "run_id": run_id,
            "release_id": release_id,
            "promoted_at": moment,
            "change": (changed or {}).get(partition),
        }
        for partition in partitions
    ]
    if entries:
        connection.execute(sa.insert(records.ledger), entries)


def delete(connection: sa.Connection, table: Table, partitions: Sequence[str]) -> int:
    """Take the stored rows of these partitions away; how many there were."""
    if not partitions:
        return 0
    within = table.within_sql(partitions)
    return _rows(connection, table, f"delete from {encoding.stored_name(table)} where {within}")


def _rows(connection: sa.Connection, table: Table, change: str) -> int:
    """How many rows as declared a change of the stored ones was of."""
    if not encoding.packed(table):
        return connection.execute(sa.text(change)).rowcount
    counted = f"with changed as ({change} returning {encoding.row_count_sql(table)} as rows)"
    return connection.scalar(sa.text(f"{counted} select coalesce(sum(rows), 0)::int from changed"))

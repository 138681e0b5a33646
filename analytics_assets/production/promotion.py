"""Promotion: copying audited partitions into production, all of them or none.

Belongs here: the transaction in which partitions of production become those of the lake, and the
ledger.
Does not belong here: DDL (``schema.py``), rows on their way (``transfer.py``), or deciding what to
promote.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import duckdb
import sqlalchemy as sa

from analytics_assets.core.declaration import Table
from analytics_assets.production import encoding, schema, transfer
from analytics_assets.production.dependents import DependentError, put_aside
from analytics_assets.production.review import (
    Change,
    changes,
    holds,
    put_on_hold,
    release,
)
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.integrity import DamagedFiles
from analytics_assets.warehouse.lake import StoredKey, by_key
from analytics_assets.warehouse.session import expose

# The sessions that write to production go by this name, so that they are told from readers.
PROMOTION = "analytics_assets promotion"
_INCOMING = "incoming"


class PromotionError(RuntimeError):
    """Production was left as it was; says why."""


@dataclass(frozen=True)
class Offer:
    """What the warehouse has for production: a version of a table, and its partitions' files."""

    version: int | None
    files: Mapping[str, StoredKey]

    def fingerprint(self, partition: str) -> str:
        """The version of a partition, empty where there is none."""
        return self.files[partition].fingerprint if partition in self.files else ""


@dataclass
class Promotion:
    """What a promotion did: rows by partition, which of them were copied or taken away, what that
    changed, and which were put or left on hold, with the reason."""

    rows: dict[str, int] = field(default_factory=dict)
    copied: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    held: dict[str, str] = field(default_factory=dict)
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


@dataclass(frozen=True)
class Promoted:
    """What production holds of a partition: fingerprint, rows, and its version in the lake."""

    fingerprint: str
    rows: int
    version: int


def promoted(
    connection: sa.Connection, table: Table, moment: datetime | None = None
) -> dict[str, Promoted]:
    """Partition -> what production holds now, or held at a moment; removed ones are left out."""
    entries = schema.ledger.c
    condition = entries.table_name == table.key
    if moment is not None:
        condition = sa.and_(condition, entries.promoted_at <= moment)
    return {
        row.partition: Promoted(row.fingerprint, row.rows, row.delta_version)
        for row in connection.execute(_latest(condition))
        if row.fingerprint
    }


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
        sa.select(schema.ledger)
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
    gate_percent: float | None = None,
    dry_run: bool = False,
) -> Promotion:
    """Make ``partitions`` in production what they are in the lake, in one transaction.

    Partitions that production already holds are left alone, and so are versions on hold; a change
    of a total by more than ``gate_percent`` of the larger value puts its partition on hold. Where
    the declared columns are not those of production, all partitions move together and the view
    with them. With ``dry_run`` nothing stays. Raises ``PromotionError``.
    """
    declared, table = table, table.promoted
    offer = Offer(snapshot.lake.version(table), by_key(snapshot.files(table)))
    with engine.begin() as connection:
        begin(connection, table)
        present = promoted(connection, table)
        if schema.shape_differs(connection, table):
            if present:
                partitions = _all_of_one_shape(snapshot, declared, offer)
            _take_over(connection, table, run_id)
            _reshape(connection, table)
            present = {}
        refuse_damaged(snapshot, table, partitions)
        done = move(connection, session, table, offer, partitions, present, run_id, gate_percent)
        if dry_run:
            connection.rollback()
    return done


def refuse_damaged(snapshot: Snapshot, table: Table, partitions: Sequence[str]) -> None:
    """``PromotionError`` unless these partitions of the lake are what was published."""
    try:
        snapshot.verify(table, partitions)
    except DamagedFiles as error:
        raise PromotionError(f"{error}. Readers keep what they have") from error


def _reshape(connection: sa.Connection, table: Table) -> None:
    """An empty table of the declared shape; views that others made over it are kept."""
    try:
        with put_aside(connection, schema.view_name(table)):
            schema.create(connection, table)
    except DependentError as error:
        raise PromotionError(f"{table.key}: {error}. Nothing was changed") from error


def _take_over(connection: sa.Connection, table: Table, run_id: str) -> None:
    """Enter that what another table held under this one's published name is gone from there."""
    holder = schema.holder(connection, table)
    if holder is None or holder == table.key:
        return
    gone = [
        {
            "table_name": holder,
            "partition": row.partition,
            "delta_version": row.delta_version,
            "fingerprint": "",
            "rows": 0,
            "checksum": "",
            "run_id": run_id,
        }
        for row in connection.execute(_latest(schema.ledger.c.table_name == holder)).all()
        if row.fingerprint
    ]
    if gone:
        connection.execute(sa.insert(schema.ledger), gone)


def begin(connection: sa.Connection, table: Table) -> None:
    """Have the table to oneself: two runs that promote it end as one after the other."""
    connection.execute(
        sa.text("select pg_advisory_xact_lock(hashtext(:name))"), {"name": table.key}
    )
    schema.prepare(connection, table.domain)


def move(
    connection: sa.Connection,
    session: duckdb.DuckDBPyConnection,
    table: Table,
    offer: Offer,
    partitions: Sequence[str],
    present: Mapping[str, Promoted],
    run_id: str,
    gate_percent: float | None,
    heed_holds: bool = True,
) -> Promotion:
    """Put the offered partitions in the place of the present ones, in the caller's transaction."""
    on_hold = holds(connection, table) if heed_holds else {}
    done = Promotion()
    for partition in partitions:
        offered = offer.fingerprint(partition)
        done.rows[partition] = offer.files[partition].rows if offered else 0
        if (present[partition].fingerprint if partition in present else "") == offered:
            continue
        hold = on_hold.get((table.key, partition))
        if hold and hold.fingerprint == offered and not hold.confirmed:
            done.held[partition] = hold.why
        elif offered:
            done.copied.append(partition)
        else:
            done.removed.append(partition)
    checksum = ""
    if done.copied:
        checksum, done.bytes = _load(connection, session, table, offer, done.copied)
    confirmed = {key for (_, key), hold in on_hold.items() if hold.confirmed}
    _review(connection, table, offer, present, done, gate_percent, confirmed, run_id)
    _replace(connection, table, offer, present, done)
    _enter(connection, table, offer, done, checksum, run_id)
    release(connection, table, [*done.copied, *done.removed])
    return done


def _review(
    connection: sa.Connection,
    table: Table,
    offer: Offer,
    present: Mapping[str, Promoted],
    done: Promotion,
    gate_percent: float | None,
    confirmed: set[str],
    run_id: str,
) -> None:
    """Find out what changes, and put on hold what changes too much."""
    replaced = [key for key in (*done.copied, *done.removed) if key in present]
    incoming = _INCOMING if done.copied else None
    done.changes = changes(connection, table, replaced, incoming)
    if gate_percent is None:
        return
    refused: dict[str, tuple[str, str]] = {}
    for change in done.changes:
        share, name = change.largest(table)
        if 100 * share > gate_percent and change.partition not in confirmed:
            before, after = change.totals[name]
            why = f"{name} would go from {before:,} to {after:,}, more than {gate_percent:g} %"
            refused[change.partition] = (offer.fingerprint(change.partition), why)
    if not refused:
        return
    put_on_hold(connection, table, refused, run_id)
    done.held |= {key: why for key, (_, why) in refused.items()}
    done.changes = [change for change in done.changes if change.partition not in refused]
    if incoming:
        connection.execute(sa.text(f"delete from {_INCOMING} where {table.within_sql(refused)}"))
    done.copied = [key for key in done.copied if key not in refused]
    done.removed = [key for key in done.removed if key not in refused]


def _all_of_one_shape(snapshot: Snapshot, table: Table, offer: Offer) -> list[str]:
    waiting = [
        key
        for key in offer.files
        if (build := snapshot.build_of(table, key)) and build.code_version != table.code_version
    ]
    if waiting:
        raise PromotionError(
            f"{table.key}: its columns changed and {len(waiting)} partitions still have the old"
            f" ones ({', '.join(waiting[:5])}). Materialise them first; until then readers keep"
            " the old table"
        )
    return sorted(offer.files)


def _load(
    connection: sa.Connection,
    session: duckdb.DuckDBPyConnection,
    table: Table,
    offer: Offer,
    partitions: list[str],
) -> tuple[str, int]:
    """Copy rows into a temporary table and prove that it gives back the very bytes sent."""
    expose(session, table, [uri for partition in partitions for uri in offer.files[partition].uris])
    connection.execute(sa.text(f"drop table if exists {_INCOMING}"))
    schema.incoming_table(table, _INCOMING).create(connection)
    sent = transfer.send(connection, session, table, _INCOMING)
    received = transfer.receive(connection, table, _INCOMING)
    if sent != received:
        raise PromotionError(
            f"{table.key}: production gave back other rows than the warehouse sent"
            f" ({sent.bytes:,} bytes sent, {received.bytes:,} received). Nothing was changed"
        )
    return sent.checksum, sent.bytes


def _replace(
    connection: sa.Connection,
    table: Table,
    offer: Offer,
    present: Mapping[str, Promoted],
    done: Promotion,
) -> None:
    """Put the incoming rows in place of the old ones; every count must be what it should."""
    old = [key for key in (*done.copied, *done.removed) if key in present]
    deleted = delete(connection, table, old)
    recorded = sum(present[key].rows for key in old)
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
    wanted = sum(offer.files[key].rows for key in done.copied)
    if inserted != wanted:
        raise PromotionError(
            f"{table.key}: {inserted:,} rows were written where the log of the warehouse has"
            f" {wanted:,}. Nothing was changed"
        )


def delete(connection: sa.Connection, table: Table, partitions: Sequence[str]) -> int:
    """Take the stored rows of these partitions away; how many there were."""
    if not partitions:
        return 0
    within = table.within_sql(partitions)
    return connection.execute(
        sa.text(f"delete from {encoding.stored_name(table)} where {within}")
    ).rowcount


def _enter(
    connection: sa.Connection,
    table: Table,
    offer: Offer,
    done: Promotion,
    checksum: str,
    run_id: str,
) -> None:
    changed = {change.partition: change.as_row() for change in done.changes}
    entries = [
        {
            "table_name": table.key,
            "partition": partition,
            "delta_version": offer.version,
            "fingerprint": offer.fingerprint(partition),
            "rows": offer.files[partition].rows if partition in offer.files else 0,
            "checksum": checksum,
            "run_id": run_id,
            "change": changed.get(partition),
        }
        for partition in (*done.copied, *done.removed)
    ]
    if entries:
        connection.execute(sa.insert(schema.ledger), entries)

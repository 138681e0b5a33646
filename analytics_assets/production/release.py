"""Releases: all that changed of a domain becomes visible in one transaction, or stays.

Belongs here: the transaction, from believing what production has to the last view.
Does not belong here: what is due and what waits (``outlook.py``), the rows of one table
(``promotion.py``), going back (``rollback_production.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb
import sqlalchemy as sa

from analytics_assets.core.declaration import Table
from analytics_assets.production import records, schema
from analytics_assets.production.encoding import stored_name
from analytics_assets.production.outlook import Outlook, Place, foresee
from analytics_assets.production.promotion import (
    Move,
    Offer,
    UnexpectedRowsError,
)
from analytics_assets.production.recovery import Recovery, verify
from analytics_assets.production.review import Change, holds, put_on_hold, release_holds
from analytics_assets.production.small_changes import small_changes
from analytics_assets.production.standing import Standing, latest, look, remember
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import by_key

_ONLY_COPY = "it is of a warehouse that is gone, and this is the only copy"


@dataclass
class Promotion:
    """What a release did to a table: rows by partition of the lake, which of them were copied or
    taken away, what that changed, which are on hold or wait, with the reason, what was mended
    beside, and whether it was somebody's doing beside the releases."""

    rows: dict[str, int] = field(default_factory=dict)
    copied: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    on_hold: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    bytes: int = 0
    mended: str = ""
    tampered: bool = False

    @property
    def pending(self) -> dict[str, str]:
        """All that readers do not get yet, and why."""
        return self.waiting | self.on_hold


@dataclass
class Release:
    """What became visible at once: the number of the release (0 for none), by table; and what it
    put on hold, with the reason."""

    number: int
    tables: dict[str, Promotion]
    put_on_hold: dict[Place, str] = field(default_factory=dict)


def release(
    engine: sa.Engine,
    session: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    tables: Sequence[Table],
    run_id: str,
    gate_percent: float | None = None,
    dry_run: bool = False,
    only: Mapping[str, Collection[str]] | None = None,
) -> Release:
    """Make production what the lake is, as far as it may be, in one transaction.

    ``tables`` are those of one domain, ``only`` some partitions of them. What follows from the same
    input moves together; a change of a total by more than ``gate_percent`` of the larger value puts
    it on hold, and so does one that is small where small cells are withheld. What somebody else
    wrote is compared with the lake and mended. With ``dry_run`` nothing stays. Raises
    ``PromotionError``, and nothing was changed.
    """
    try:
        with engine.begin() as connection:
            records.begin_writing(connection, tables[0].domain)
            work = _Release(connection, session, snapshot, tables, run_id)
            done = work.run(gate_percent, only)
            if dry_run:
                connection.rollback()
        return done
    except UnexpectedRowsError as error:
        with engine.begin() as connection:
            _doubt(connection, error.table)
        raise


def _doubt(connection: sa.Connection, table: Table) -> None:
    """Have the next release compare the table."""
    connection.execute(
        sa.text(
            f"insert into {records.written} values (:name, clock_timestamp(), 'somebody',"
            " 'unseen', cast(to_regclass(:name) as oid)) on conflict (relation) do nothing"
        ),
        {"name": stored_name(table)},
    )


class _Release:
    """One, in the caller's transaction."""

    def __init__(
        self,
        connection: sa.Connection,
        session: duckdb.DuckDBPyConnection,
        snapshot: Snapshot,
        tables: Sequence[Table],
        run_id: str,
    ) -> None:
        self._connection = connection
        self._session = session
        self._snapshot = snapshot
        self._declared = tables
        self._tables = {table.key: table.promoted for table in tables if table.publish}
        self._run_id = run_id
        self._opened = records.OpenRelease(connection, tables[0].domain, "release", run_id)
        self._recovery = Recovery(connection, session, snapshot, self._opened)

    def run(
        self, gate_percent: float | None, only: Mapping[str, Collection[str]] | None
    ) -> Release:
        standings = look(self._connection, self._declared)
        doubted = {key: found for key, found in standings.items() if found.why}
        for key, standing in standings.items():
            standings[key] = self._recovery.believed(self._tables[key], standing)
        found = self._foresee(standings)
        moves = self._moves(found, only)
        for move in moves:
            move.load(self._connection, self._session)
            move.review(self._connection)
        on_hold = {} if gate_percent is None else self._gate(moves, found.groups, gate_percent)
        if on_hold:
            found = self._foresee(standings)
            ready = {due.place for due in found.ready}
            for move in moves:
                staying = {k for k in move.partitions if (move.table.key, k) not in ready}
                move.leave(self._connection, staying)
        for move in moves:
            if move.partitions:
                self._put_in_place(move, standings[move.table.key])
        self._recovery.put_back(found)
        self._recovery.index()
        self._finish(standings)
        return Release(self._opened.close(), self._told(moves, found, doubted), on_hold)

    def _foresee(self, standings: Mapping[str, Standing]) -> Outlook:
        return foresee(self._snapshot, self._declared, standings, holds(self._connection))

    # ---- what moves --------------------------------------------------------------------------

    def _moves(self, found: Outlook, only: Mapping[str, Collection[str]] | None) -> list[Move]:
        moves = []
        for number, (key, table) in enumerate(self._tables.items()):
            ready = [
                due
                for due in found.ready
                if due.table.key == key and (only is None or due.partition in only.get(key, ()))
            ]
            if ready:
                verify(self._snapshot, table, [due.partition for due in ready])
                offer = Offer(
                    self._snapshot.lake.version(table), by_key(self._snapshot.files(table))
                )
                copied = [due.partition for due in ready if due.offered]
                removed = [due.partition for due in ready if not due.offered]
                present = found.standings[key].present
                moves.append(Move(table, offer, copied, removed, present, f"incoming_{number}"))
        return moves

    def _gate(
        self, moves: Iterable[Move], groups: Mapping[Place, int], percent: float
    ) -> dict[Place, str]:
        """Put on hold what changes too much, or too little to be told; with the reasons."""
        confirmed = {place for place, hold in holds(self._connection).items() if hold.confirmed}
        on_hold: dict[Place, str] = {}
        for move in moves:
            found = {
                partition: (move.offer.fingerprint(partition), why)
                for partition, why in self._doubts(move, percent).items()
                if (move.table.key, partition) not in confirmed
            }
            for partition, reason in found.items():
                group = groups[move.table.key, partition]
                decision = f"{self._run_id}/{group}"
                put_on_hold(
                    self._connection, move.table, {partition: reason}, self._run_id, decision
                )
                on_hold[move.table.key, partition] = reason[1]
        return on_hold

    def _doubts(self, move: Move, percent: float) -> dict[str, str]:
        """Partition -> why somebody has to confirm it."""
        replaced = [key for key in move.copied if key in move.present]
        found = small_changes(self._connection, move.table, replaced, move.incoming)
        for change in move.changes:
            share, name = change.largest(move.table)
            if 100 * share > percent:
                why = f"{change.told(move.table, name)}, more than {percent:g} %"
                found[change.partition] = why
        return found | dict.fromkeys(self._only_copies(move), _ONLY_COPY)

    def _only_copies(self, move: Move) -> list[str]:
        """What would be removed, and was promoted before this lake was made: of one that is lost.

        Nothing says that the new one could build it again.
        """
        if not move.removed:
            return []
        made = self._snapshot.lake.made_at(move.table)
        entries = records.ledger.c
        mine = sa.and_(
            entries.table_name == move.table.key, entries.partition.in_(list(move.removed))
        )
        rows = self._connection.execute(latest(mine)).all()
        return [row.partition for row in rows if made is None or row.promoted_at < made]

    def _put_in_place(self, move: Move, standing: Standing) -> None:
        table = move.table
        if standing.rows == "missing":
            self._recovery.make(table, standing)
            self._recovery.without(table, standing, standing.promoted.keys() - set(move.copied))
        move.replace(self._connection)
        move.enter(self._connection, self._run_id, self._opened.number)
        release_holds(self._connection, table, move.partitions)

    def _finish(self, standings: Mapping[str, Standing]) -> None:
        """Note the relations as they are now."""
        # What waits in another shape than declared is noted when it moves.
        made = [
            table
            for key, table in self._tables.items()
            if standings[key].rows != "missing"
            or schema.present_shape(self._connection, table) == schema.shape(table)
        ]
        remember(self._connection, made)

    def _told(
        self, moves: Sequence[Move], found: Outlook, doubted: Mapping[str, Standing]
    ) -> dict[str, Promotion]:
        told: dict[str, Promotion] = {}
        by_table = {move.table.key: move for move in moves}
        for key, table in self._tables.items():
            files = by_key(self._snapshot.files(table))
            done = Promotion({k: file.rows for k, file in files.items()})
            done.on_hold = _of_table(found.on_hold, key)
            done.waiting = _of_table(found.waiting, key)
            if key in doubted:
                done.mended, done.tampered = doubted[key].why, doubted[key].beside
            if key in by_table:
                move = by_table[key]
                done.copied, done.removed = move.copied, move.removed
                done.changes, done.bytes = move.changes, move.bytes
            told[key] = done
        return told


def _of_table(places: Mapping[Place, str], key: str) -> dict[str, str]:
    return {partition: why for (table, partition), why in places.items() if table == key}

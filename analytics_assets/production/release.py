"""Releases: all that changed of a domain becomes visible in one transaction, or stays.

Belongs here: the transaction, from believing what production has to the last view.
Does not belong here: what is due and what waits (``outlook.py``), the rows of one table
(``promotion.py``), going back (``rollback.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import duckdb
import sqlalchemy as sa

from analytics_assets.core.declaration import Table
from analytics_assets.production import records, schema
from analytics_assets.production.dependents import DependentError, put_aside
from analytics_assets.production.encoding import dictionaries, stored_name
from analytics_assets.production.outlook import Outlook, Place, foresee
from analytics_assets.production.parity import differing
from analytics_assets.production.promotion import (
    Move,
    Offer,
    PromotionError,
    UnexpectedRowsError,
    delete,
    enter,
)
from analytics_assets.production.review import Change, holds, put_on_hold, release_holds
from analytics_assets.production.standing import (
    Promoted,
    Standing,
    latest,
    look,
    remember,
    trust,
)
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.integrity import DamagedFiles, damaged
from analytics_assets.warehouse.lake import StoredKey, by_key


@dataclass
class Promotion:
    """What a release did to a table: rows by partition of the lake, which of them were copied or
    taken away, what that changed, which are on hold or wait, with the reason, and what was mended
    beside."""

    rows: dict[str, int] = field(default_factory=dict)
    copied: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    bytes: int = 0
    mended: str = ""

    @property
    def held(self) -> dict[str, str]:
        """All that readers do not get yet, and why."""
        return self.waiting | self.refused


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
    it on hold. What somebody else wrote is compared with the lake and mended. With ``dry_run``
    nothing stays. Raises ``PromotionError``, and nothing was changed.
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
        self._number = 0
        # Table -> versions to put back of what has to stay and is not there any more.
        self._lost: dict[str, Offer] = {}

    def run(
        self, gate_percent: float | None, only: Mapping[str, Collection[str]] | None
    ) -> Release:
        standings = look(self._connection, self._declared)
        doubted = {key: found.why for key, found in standings.items() if found.why}
        for key, standing in standings.items():
            standings[key] = self._believed(self._tables[key], standing)
        found = self._foresee(standings)
        moves = self._moves(found, only)
        for move in moves:
            move.load(self._connection, self._session)
            move.review(self._connection)
        held = {} if gate_percent is None else self._gate(moves, found.groups, gate_percent)
        if held:
            found = self._foresee(standings)
            ready = {due.place for due in found.ready}
            for move in moves:
                staying = {k for k in move.partitions if (move.table.key, k) not in ready}
                move.leave(self._connection, staying)
        for move in moves:
            if move.partitions:
                self._put_in_place(move, standings[move.table.key])
        self._put_back(found)
        self._finish(standings)
        return Release(self._number, self._told(moves, found, doubted), held)

    def _foresee(self, standings: Mapping[str, Standing]) -> Outlook:
        return foresee(self._snapshot, self._declared, standings, holds(self._connection))

    # ---- what production has ----------------------------------------------------------------

    def _believed(self, table: Table, standing: Standing) -> Standing:
        """The standing after looking: what is not what the ledger says is taken away.

        What is there but unknown to the ledger is entered.
        """
        if standing.gone:
            self._keep_lost(table, self._of_then(table, standing.held), standing.held)
            self._make(table, standing)
            return self._without(table, standing, standing.held)
        if standing.rows == "missing":
            return standing
        if not standing.shown:
            self._dress(table)
            standing = replace(standing, shown=True)
        if standing.rows == "sound":
            return standing
        for relation in (stored_name(table), *(d.sql_name for d in dictionaries(table))):
            records.watch(self._connection, relation)
        then = self._of_then(table, standing.held)
        if standing.held.keys() - then.files.keys():
            # Some of it can be compared with nothing any more, so all of it comes from the lake.
            then = Offer(then.version, {})
        self._verified(table, then.files.keys() - then.older.keys())
        spoilt = differing(self._connection, self._session, table, then.files)
        delete(self._connection, table, sorted(spoilt))
        self._keep_lost(table, then, standing.held.keys() & spoilt)
        well = {key: file for key, file in then.files.items() if key not in spoilt}
        unknown = sorted(well.keys() - standing.held.keys())
        self._enter(table, then, unknown, "compared")
        trust(self._connection, [table])
        found = {k: Promoted(f.fingerprint, f.rows, then.number(k)) for k, f in well.items()}
        kept = replace(standing, held={**found, **_only(standing.held, well)})
        return self._without(table, kept, standing.held.keys() - well.keys())

    def _keep_lost(self, table: Table, then: Offer, keys: Collection[str]) -> None:
        """Remember the versions of what readers had and have no more."""
        lost = {key: file for key, file in then.files.items() if key in keys}
        self._lost[table.key] = replace(then, files=lost)

    def _without(self, table: Table, standing: Standing, gone: Collection[str]) -> Standing:
        """The standing without these partitions, of which nothing is left."""
        nothing = Offer(self._snapshot.lake.version(table), {})
        self._enter(table, nothing, sorted(standing.held.keys() & set(gone)), "")
        held = {key: entry for key, entry in standing.held.items() if key not in gone}
        return Standing(held, "sound", shown=True)

    def _of_then(self, table: Table, held: Mapping[str, Promoted]) -> Offer:
        """The files of what production should have now: the ledger's versions, else the live one.

        A version that cannot be read any more is left out.
        """
        lake = self._snapshot.lake
        live = by_key(self._snapshot.files(table))
        files = {key: live[key] for key in live if key not in held}
        older: dict[int, list[str]] = {}
        for key, entry in held.items():
            if key in live and live[key].fingerprint == entry.fingerprint:
                files[key] = live[key]
            else:
                older.setdefault(entry.version, []).append(key)
        for version, keys in older.items():
            files |= self._readable(table, version, {key: held[key].fingerprint for key in keys})
        numbers = {key: version for version, keys in older.items() for key in keys}
        return Offer(lake.version(table), files, numbers)

    def _verified(self, table: Table, keys: Iterable[str]) -> None:
        """Refuse to read live files that are not what was published."""
        try:
            self._snapshot.verify(table, keys)
        except DamagedFiles as error:
            raise PromotionError(f"{error}. Readers keep what they have") from error

    def _readable(
        self, table: Table, version: int, wanted: Mapping[str, str]
    ) -> dict[str, StoredKey]:
        lake = self._snapshot.lake
        if version not in lake.moments(table):
            return {}
        found = [f for f in lake.files(table, version) if wanted.get(f.key) == f.fingerprint]
        gone = {damage.file.key for damage in damaged(lake, found)}
        return by_key(file for file in found if file.key not in gone)

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
                self._verified(table, [due.partition for due in ready])
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
        """Put on hold what changes too much; with the reasons."""
        confirmed = {place for place, hold in holds(self._connection).items() if hold.confirmed}
        held: dict[Place, str] = {}
        for move in moves:
            found: dict[str, tuple[str, str]] = {}
            for change in move.changes:
                share, name = change.largest(move.table)
                if 100 * share > percent and (move.table.key, change.partition) not in confirmed:
                    before, after = change.totals[name]
                    why = f"{name} would go from {before:,} to {after:,}, more than {percent:g} %"
                    found[change.partition] = (move.offer.fingerprint(change.partition), why)
            for partition, reason in found.items():
                group = groups[move.table.key, partition]
                decision = f"{self._run_id}/{group}"
                put_on_hold(
                    self._connection, move.table, {partition: reason}, self._run_id, decision
                )
                held[move.table.key, partition] = reason[1]
        return held

    def _put_in_place(self, move: Move, standing: Standing) -> None:
        table = move.table
        if standing.rows == "missing":
            self._make(table, standing)
            self._without(table, standing, standing.held.keys() - set(move.copied))
        move.replace(self._connection)
        move.enter(self._connection, self._run_id, self._id())
        release_holds(self._connection, table, move.partitions)

    def _put_back(self, found: Outlook) -> None:
        """What has to stay as it is and was lost: the versions that the ledger names."""
        for number, (key, lost) in enumerate(self._lost.items()):
            table = self._tables[key]
            kept = [k for k in lost.files if (key, k) in (found.waiting | found.refused)]
            if kept:
                move = Move(table, lost, kept, [], {}, f"lost_{number}")
                move.load(self._connection, self._session)
                move.replace(self._connection)
                self._enter(table, lost, kept, move.checksum)

    # ---- relations and records ---------------------------------------------------------------

    def _make(self, table: Table, standing: Standing) -> None:
        """An empty table of the declared shape; views that others made over it are kept."""
        there = schema.present_shape(self._connection, table)
        if there and there.key != table.key:
            self._enter_taken_over(there.key)
        with _explained(table):
            with put_aside(self._connection, schema.view_name(table)):
                schema.create(self._connection, table)
            if standing.published:
                self._drop_renamed(table, standing.published)

    def _drop_renamed(self, table: Table, name: str) -> None:
        """Readers must not go on with the old name, which nothing keeps up any more."""
        old = replace(table, publish=replace(table.publish, name=name)) if table.publish else table
        there = schema.present_shape(self._connection, old)
        if there and there.key == table.key:
            with put_aside(self._connection, schema.view_name(old)):
                schema.drop(self._connection, table.domain, name)

    def _dress(self, table: Table) -> None:
        with _explained(table), put_aside(self._connection, schema.view_name(table)):
            schema.dress(self._connection, table)

    def _enter_taken_over(self, holder: str) -> None:
        """Enter that what another table had under this one's published name is gone."""
        moment = records.moment(self._connection, self._id())
        rows = [
            {**row._mapping, "fingerprint": "", "rows": 0, "checksum": "", "change": None}
            | {"run_id": self._run_id, "release_id": self._id(), "promoted_at": moment}
            for row in self._connection.execute(latest(records.ledger.c.table_name == holder))
            if row.fingerprint
        ]
        for row in rows:
            del row["id"]
        if rows:
            self._connection.execute(sa.insert(records.ledger), rows)

    def _enter(self, table: Table, offer: Offer, keys: Sequence[str], checksum: str) -> None:
        if keys:
            enter(self._connection, table, offer, keys, self._run_id, self._id(), checksum)

    def _id(self) -> int:
        """The number of this release, which it has once something is entered."""
        if not self._number:
            domain = self._declared[0].domain
            self._number = records.new_release(self._connection, domain, "release", self._run_id)
        return self._number

    def _finish(self, standings: Mapping[str, Standing]) -> None:
        """Note the relations as they are now, and how much the release holds."""
        # What waits in another shape than declared is noted when it moves.
        made = [
            table
            for key, table in self._tables.items()
            if standings[key].rows != "missing"
            or schema.present_shape(self._connection, table) == schema.shape(table)
        ]
        remember(self._connection, made)
        if self._number:
            records.close_release(self._connection, self._number)

    def _told(
        self, moves: Sequence[Move], found: Outlook, doubted: Mapping[str, str]
    ) -> dict[str, Promotion]:
        told: dict[str, Promotion] = {}
        by_table = {move.table.key: move for move in moves}
        for key, table in self._tables.items():
            files = by_key(self._snapshot.files(table))
            done = Promotion({k: file.rows for k, file in files.items()})
            done.refused = _of_table(found.refused, key)
            done.waiting = _of_table(found.waiting, key)
            done.mended = doubted.get(key, "")
            if key in by_table:
                move = by_table[key]
                done.copied, done.removed = move.copied, move.removed
                done.changes, done.bytes = move.changes, move.bytes
            told[key] = done
        return told


def _only(held: Mapping[str, Promoted], keys: Collection[str]) -> dict[str, Promoted]:
    return {key: entry for key, entry in held.items() if key in keys}


def _of_table(places: Mapping[Place, str], key: str) -> dict[str, str]:
    return {partition: why for (table, partition), why in places.items() if table == key}


@contextmanager
def _explained(table: Table) -> Iterator[None]:
    """Says of which table it is where a view that others made stands in the way."""
    try:
        yield
    except DependentError as error:
        raise PromotionError(f"{table.key}: {error}. Nothing was changed") from error

"""Making production what its ledger says, where somebody else has been at it.

Belongs here: judging the rows of tables that are doubted, relations that are gone or of another
shape, and putting back what readers had and lost.
Does not belong here: how a table stands (``standing.py``), what a release brings (``release.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import duckdb
import sqlalchemy as sa

from analytics_assets.core.declaration import Table
from analytics_assets.production import records, schema
from analytics_assets.production.dependents import DependentError, put_aside
from analytics_assets.production.encoding import dictionaries, stored_name
from analytics_assets.production.outlook import Outlook
from analytics_assets.production.parity import differing
from analytics_assets.production.promotion import Move, Offer, PromotionError, delete, enter
from analytics_assets.production.standing import Promoted, Standing, latest, trust
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.integrity import DamagedFiles, damaged
from analytics_assets.warehouse.lake import StoredKey, by_key


def verify(snapshot: Snapshot, table: Table, keys: Iterable[str]) -> None:
    """``PromotionError`` unless what is live of these partitions is what was published."""
    try:
        snapshot.verify(table, keys)
    except DamagedFiles as error:
        raise PromotionError(f"{error}. Readers keep what they have") from error


class Recovery:
    """One release's, in its transaction."""

    def __init__(
        self,
        connection: sa.Connection,
        session: duckdb.DuckDBPyConnection,
        snapshot: Snapshot,
        opened: records.OpenRelease,
    ) -> None:
        self._connection = connection
        self._session = session
        self._snapshot = snapshot
        self._opened = opened
        self._run_id = opened.run_id
        # Versions to put back of what has to stay and is not there any more.
        self._lost: list[tuple[Table, Offer]] = []
        self._made: list[Table] = []

    def believed(self, table: Table, standing: Standing) -> Standing:
        """The standing after looking: what is not what the ledger says is taken away.

        What is there but unknown to the ledger is entered.
        """
        empty = not standing.promoted and not self._snapshot.files(table)
        if standing.gone or (standing.rows == "missing" and empty):
            self._keep_lost(table, self._of_then(table, standing.promoted), standing.promoted)
            self.make(table, standing)
            return self.without(table, standing, standing.promoted)
        if standing.rows == "missing":
            return standing
        if not standing.shown:
            self._dress(table)
            standing = replace(standing, shown=True)
        if standing.rows == "sound":
            return standing
        for relation in (stored_name(table), *(d.sql_name for d in dictionaries(table))):
            records.watch(self._connection, relation)
        then = self._of_then(table, standing.promoted)
        if standing.promoted.keys() - then.files.keys():
            # Some of it can be compared with nothing any more, so all of it comes from the lake.
            then = Offer(then.version, {})
        verify(self._snapshot, table, then.files.keys() - then.older.keys())
        spoilt = differing(self._connection, self._session, table, then.files)
        delete(self._connection, table, sorted(spoilt))
        self._keep_lost(table, then, standing.promoted.keys() & spoilt)
        well = {key: file for key, file in then.files.items() if key not in spoilt}
        unknown = sorted(well.keys() - standing.promoted.keys())
        self._enter(table, then, unknown, "compared")
        trust(self._connection, [table])
        found = {k: Promoted(f.fingerprint, f.rows, then.number(k)) for k, f in well.items()}
        kept = replace(standing, promoted={**found, **_only(standing.promoted, well)})
        return self.without(table, kept, standing.promoted.keys() - well.keys())

    def _keep_lost(self, table: Table, then: Offer, keys: Collection[str]) -> None:
        """Remember the versions of what readers had and have no more."""
        lost = {key: file for key, file in then.files.items() if key in keys}
        self._lost.append((table, replace(then, files=lost)))

    def without(self, table: Table, standing: Standing, gone: Collection[str]) -> Standing:
        """The standing without these partitions, of which nothing is left."""
        nothing = Offer(self._snapshot.lake.version(table), {})
        self._enter(table, nothing, sorted(standing.promoted.keys() & set(gone)), "")
        entries = {key: entry for key, entry in standing.promoted.items() if key not in gone}
        return Standing(entries, "sound", shown=True)

    def _of_then(self, table: Table, entries: Mapping[str, Promoted]) -> Offer:
        """The files of what production should have now: the ledger's versions, else the live one.

        A version that cannot be read any more is left out.
        """
        lake = self._snapshot.lake
        live = by_key(self._snapshot.files(table))
        files = {key: live[key] for key in live if key not in entries}
        older: dict[int, list[str]] = {}
        for key, entry in entries.items():
            if key in live and live[key].fingerprint == entry.fingerprint:
                files[key] = live[key]
            else:
                older.setdefault(entry.version, []).append(key)
        for version, keys in older.items():
            files |= self._readable(table, version, {key: entries[key].fingerprint for key in keys})
        numbers = {key: version for version, keys in older.items() for key in keys}
        return Offer(lake.version(table), files, numbers)

    def _readable(
        self, table: Table, version: int, wanted: Mapping[str, str]
    ) -> dict[str, StoredKey]:
        lake = self._snapshot.lake
        if version not in lake.moments(table):
            return {}
        found = [f for f in lake.files(table, version) if wanted.get(f.key) == f.fingerprint]
        gone = {damage.file.key for damage in damaged(lake, found)}
        return by_key(file for file in found if file.key not in gone)

    def put_back(self, found: Outlook) -> None:
        """What has to stay as it is and was lost: the versions that the ledger names."""
        for number, (table, lost) in enumerate(self._lost):
            kept = [k for k in lost.files if (table.key, k) in (found.waiting | found.on_hold)]
            if kept:
                move = Move(table, lost, kept, [], {}, f"lost_{number}")
                move.load(self._connection, self._session)
                move.replace(self._connection)
                self._enter(table, lost, kept, move.checksum)

    # ---- relations and records ---------------------------------------------------------------

    def make(self, table: Table, standing: Standing) -> None:
        """An empty table of the declared shape; views that others made over it are kept."""
        there = schema.present_shape(self._connection, table)
        if there and there.key != table.key:
            self._enter_taken_over(there.key)
        with _explained(table):
            with put_aside(self._connection, schema.view_name(table)):
                schema.create(self._connection, table, indexed=False)
            if standing.published:
                self._drop_renamed(table, standing.published)
        self._made.append(table)

    def index(self) -> None:
        """The indexes of what was made, now that its rows are there."""
        for table in self._made:
            schema.index(self._connection, table)

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
        moment = records.moment(self._connection, self._opened.number)
        rows = [
            {**row._mapping, "fingerprint": "", "rows": 0, "checksum": "", "change": None}
            | {"run_id": self._run_id, "release_id": self._opened.number, "promoted_at": moment}
            for row in self._connection.execute(latest(records.ledger.c.table_name == holder))
            if row.fingerprint
        ]
        for row in rows:
            del row["id"]
        if rows:
            self._connection.execute(sa.insert(records.ledger), rows)

    def _enter(self, table: Table, offer: Offer, keys: Sequence[str], checksum: str) -> None:
        if keys:
            enter(self._connection, table, offer, keys, self._run_id, self._opened.number, checksum)


def _only(entries: Mapping[str, Promoted], keys: Collection[str]) -> dict[str, Promoted]:
    return {key: entry for key, entry in entries.items() if key in keys}


@contextmanager
def _explained(table: Table) -> Iterator[None]:
    """Says of which table it is where a view that others made stands in the way."""
    try:
        yield
    except DependentError as error:
        raise PromotionError(f"{table.key}: {error}. Nothing was changed") from error

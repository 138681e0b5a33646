"""Whether warehouse, production and backups are whole, found out without the code that is tested.

Belongs here: reading Delta tables with ``deltalake``, production with psycopg2 as a dashboard does,
backups as files, and comparing them with what the sources say.
Does not belong here: running or killing anything.
"""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pyarrow
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from psycopg2.extensions import parse_dsn

from analytics_assets_tests.faults.shop import (
    COLUMNS,
    PROMOTED,
    UPSTREAM,
    Content,
    Row,
    by_key,
    feeding,
)

_GRACE_SECONDS = 20  # for PostgreSQL to notice that its client is gone


@dataclass
class Checker:
    """Remembers what it has seen: no ledger entry and no backup may get lost, and one fingerprint
    never stands for two contents."""

    home: Path
    source: Path
    production: str
    trials: str
    seen: dict[tuple[str, str, str], list[Row]] = field(default_factory=dict)
    entries: set[tuple[str, str]] = field(default_factory=set)
    promotions: int = 0
    versions: dict[tuple[str, int], dict[str, tuple[str, list[Row]]]] = field(default_factory=dict)

    def whole(self, old: Content, new: Content) -> None:
        """Everything readers see is one audited version: partition by partition the old or new."""
        self._nobody_connected()
        live = {table: self._lake(table) for table in COLUMNS}
        for table, keys in live.items():
            for key in keys.keys() | old[table].keys() | new[table].keys():
                rows = keys[key][1] if key in keys else []
                allowed = [content[table].get(key, []) for content in (old, new)]
                assert rows in allowed, f"{table} {key} holds neither the old nor the new rows"
        self._builds(live, new)
        self._promoted(old, new)
        self._backups()

    def complete(self, new: Content) -> None:
        """Everything is what the sources say now, in production and the catalogue, too."""
        self.whole(new, new)
        self.holds(new)
        with duckdb.connect(str(self.home / "warehouse.duckdb"), read_only=True) as catalogue:
            for table, columns in COLUMNS.items():
                rows = catalogue.execute(f"select {columns} from {_sql_name(table)}").fetchall()
                wanted = [row for own in new[table].values() for row in own]
                assert sorted(rows, key=repr) == sorted(wanted, key=repr), f"catalogue: {table}"

    def holds(self, content: Content) -> None:
        """Warehouse and production hold exactly this, whatever the sources say."""
        for table in COLUMNS:
            live = {key: rows for key, (_, rows) in self._lake(table).items()}
            wanted = content[table]
            differ = sorted(k for k in live.keys() | wanted if live.get(k) != wanted.get(k))
            assert not differ, f"warehouse: {table} {differ}"
        assert self.production_rows() == {table: content[table] for table in PROMOTED}

    def production_rows(self) -> Content:
        """What readers see, by table and partition."""
        with closing(psycopg2.connect(self.production)) as connection:
            return _promoted_rows(connection)

    def orphans(self) -> int:
        """Staged files that no version names: what a killed run leaves for retention to remove."""
        count = 0
        for table in COLUMNS:
            root = self.home / "lake" / table
            named = {
                action["add"]["path"]
                for commit in (root / "_delta_log").glob("*.json")
                for action in map(json.loads, commit.read_text().splitlines())
                if "add" in action
            }
            staged = {str(path.relative_to(root)) for path in root.glob("_partition=*/*.parquet")}
            count += len(staged - named)
        return count

    # ---- the lake -------------------------------------------------------------------------------

    def _lake(self, table: str, version: int | None = None) -> dict[str, tuple[str, list[Row]]]:
        """Key -> fingerprint and rows, read in full, of a version; the current one if none."""
        if version is not None and (table, version) in self.versions:
            return self.versions[table, version]
        try:
            delta = DeltaTable(str(self.home / "lake" / table), version=version)
        except TableNotFoundError:
            return {}
        found = self._read(table, delta)
        self.versions[table, delta.version()] = found
        return found

    def _read(self, table: str, delta: DeltaTable) -> dict[str, tuple[str, list[Row]]]:
        actions = pyarrow.table(delta.get_add_actions(flatten=True)).to_pylist()
        files = {str(self.home / "lake" / table / action["path"]): action for action in actions}
        if not files:
            return {}
        with duckdb.connect() as session:
            read = session.execute(
                f"select filename, {COLUMNS[table]}"
                f" from read_parquet({list(files)}, filename = true, hive_partitioning = false)"
            ).fetchall()
        rows = by_key((files[name]["partition._partition"], *row) for name, *row in read)
        fingerprints: dict[str, set[str]] = {}
        counts: dict[str, int] = {}
        for action in actions:
            key = action["partition._partition"]
            fingerprints.setdefault(key, set()).add(action["partition._fingerprint"])
            counts[key] = counts.get(key, 0) + action["num_records"]
        assert counts == {key: len(own) for key, own in rows.items()}, table
        found = {}
        for key, own in rows.items():
            (fingerprint,) = fingerprints[key]  # one version of a partition, never two
            assert self.seen.setdefault((table, key, fingerprint), own) == own
            found[key] = (fingerprint, own)
        return found

    def _builds(self, live: dict[str, dict[str, tuple[str, list[Row]]]], new: Content) -> None:
        """What the ledger says of a partition is so, or is seen not to be, and nothing is lost.

        A partition is settled if its entry names what is upstream now, and that is settled: then it
        must hold the new rows, or the change would be lost for ever.
        """
        try:
            delta = DeltaTable(str(self.home / "lake" / "_builds"))
        except TableNotFoundError:
            assert not self.entries
            return
        listed = delta.to_pyarrow_table().to_pylist()
        entries = {(entry["table"], entry["partition"]): entry for entry in listed}
        assert len(entries) == len(listed), "a partition has two entries in the build ledger"
        assert self.entries <= entries.keys(), "entries of the build ledger are lost"
        self.entries |= entries.keys()
        settled: dict[str, set[str]] = {}
        for path in self.source.glob("*.csv"):
            state = {path.name: sha256(path.read_bytes()).hexdigest()}
            entry = entries.get(("toy/raw_sales", path.stem))
            if entry and json.loads(entry["inputs"]) == state:
                keys = {key for key in live["toy/raw_sales"] if key.startswith(path.stem)}
                wanted = {key for key in new["toy/raw_sales"] if key.startswith(path.stem)}
                assert keys == wanted, f"toy/raw_sales {path.stem} is settled without its rows"
                settled.setdefault("toy/raw_sales", set()).update(keys)
        for table, upstream in UPSTREAM.items():
            for key, entry in [(key, e) for (name, key), e in entries.items() if name == table]:
                feeds = feeding(table, key, live[upstream])
                state = {f"{upstream}@{one}": live[upstream][one][0] for one in feeds}
                complete = feeds == feeding(table, key, new[upstream])
                if (
                    complete
                    and json.loads(entry["inputs"]) == state
                    and settled.get(upstream, set()).issuperset(feeds)
                ):
                    settled.setdefault(table, set()).add(key)
                    rows = live[table][key][1] if key in live[table] else []
                    assert rows == new[table].get(key, []), f"{table} {key}: a change is lost"
                    assert entry["rows"] == len(rows), f"{table} {key}"

    # ---- production -----------------------------------------------------------------------------

    def _nobody_connected(self) -> None:
        """No backend of a killed run, and so no lock, open transaction or temporary table."""
        with closing(psycopg2.connect(self.production)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                deadline = time.monotonic() + _GRACE_SECONDS
                trials = parse_dsn(self.trials)["dbname"]
                while True:
                    cursor.execute(
                        "select pid, datname, usename from pg_stat_activity"
                        " where pid <> pg_backend_pid() and backend_type = 'client backend'"
                        " and datname in (current_database(), %s)",
                        [trials],
                    )
                    others = cursor.fetchall()
                    if not others:
                        break
                    assert time.monotonic() < deadline, f"still connected: {others}"
                    time.sleep(0.02)
                # Leases are locks in Dagster's database, which a run that tries again has at once.
                cursor.execute(
                    "select count(*) from pg_locks join pg_database d on d.oid = database"
                    " where locktype = 'advisory' and datname in (current_database(), %s)",
                    [trials],
                )
                assert cursor.fetchone() == (0,)
                cursor.execute("select count(*) from pg_class where relpersistence = 't'")
                assert cursor.fetchone() == (0,)
                cursor.execute("select count(*) from pg_prepared_xacts")
                assert cursor.fetchone() == (0,)
        with closing(psycopg2.connect(self.trials)) as connection, connection.cursor() as cursor:
            cursor.execute("select nspname from pg_namespace where nspname like 'toy%'")
            assert cursor.fetchall() == [], "a backup on trial was left behind"

    def _promoted(self, old: Content, new: Content) -> None:
        """Readers see, of each partition, the very version that the ledger names last."""
        with closing(psycopg2.connect(self.production)) as connection:
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
            with connection.cursor() as cursor:
                cursor.execute("select to_regclass('promotion.ledger')")
                if cursor.fetchone() == (None,):
                    assert self.promotions == 0
                    return
                cursor.execute(
                    "select table_name, partition, delta_version, fingerprint, rows"
                    " from promotion.ledger order by id"
                )
                entries = cursor.fetchall()
            held = _promoted_rows(connection)
        assert len(entries) >= self.promotions, "entries of production's ledger are lost"
        self.promotions = len(entries)
        last = {(table, key): tuple(rest) for table, key, *rest in entries}
        for table, partitions in held.items():
            for key in partitions.keys() | {key for name, key in last if name == table}:
                rows = partitions.get(key, [])
                assert (table, key) in last, f"{table} {key} is in production, not in its ledger"
                version, fingerprint, count = last[table, key]
                assert count == len(rows), f"{table} {key}"
                in_lake = self._lake(table, version).get(key, ("", []))
                assert (fingerprint, rows) == in_lake, f"{table} {key} is not what was published"
                assert rows in (old[table].get(key, []), new[table].get(key, [])), f"{table} {key}"

    # ---- backups --------------------------------------------------------------------------------

    def _backups(self) -> None:
        """Every backup that can be seen is complete and undamaged."""
        for folder in (self.home / "backups").glob("[!.]*"):
            manifest = json.loads((folder / "manifest.json").read_text())
            for name, state in manifest["files"].items():
                data = (folder / name).read_bytes()
                assert state == {"bytes": len(data), "sha256": sha256(data).hexdigest()}, folder


def _promoted_rows(connection: Any) -> Content:
    held: Content = {}
    with connection.cursor() as cursor:
        for table, key in PROMOTED.items():
            cursor.execute("select to_regclass(%s)", [_sql_name(table)])
            if cursor.fetchone() == (None,):
                held[table] = {}
                continue
            cursor.execute(f"select {key}, {COLUMNS[table]} from {_sql_name(table)}")
            held[table] = by_key(cursor.fetchall())
    return held


def _sql_name(table: str) -> str:
    return table.replace("/", ".")

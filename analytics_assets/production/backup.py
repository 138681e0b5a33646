"""Backups of production and of the build ledger, each proven by restoring it.

Belongs here: making, verifying, keeping and restoring them.
Does not belong here: jobs and schedules (``automation/maintenance.py``), the lake's own versions.

A backup is a folder named after its moment: the dump, the build ledger as Parquet, what is sealed
by a passphrase where there is one (``sealing.py``), and a manifest with the rows and checksum of
everything that readers see, taken in the dump's own snapshot. It is made in a hidden folder and
renamed into place when a restored copy has given the same checksums.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import fasteners
import psycopg2
import pyarrow
import pyarrow.parquet
import sqlalchemy as sa

from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Table
from analytics_assets.core.telling import foreign
from analytics_assets.production import server
from analytics_assets.production.dump import (
    DumpError,
    Total,
    dump,
    load,
    programs,
    server_major,
    totals,
)
from analytics_assets.production.promotion import production_engine
from analytics_assets.production.records import SCHEMA as LEDGER_SCHEMA
from analytics_assets.production.sealing import SealError, put_back, seal
from analytics_assets.settings import Settings
from analytics_assets.warehouse.durable import checksum, clear_drafts, delete, drafted
from analytics_assets.warehouse.lake import open_lake
from analytics_assets.warehouse.ledger import Build, BuildLedger

LATEST = "latest"
_DUMP, _BUILDS, _MANIFEST, _LOCK = "production.dump", "builds.parquet", "manifest.json", ".lock"
_SEALED = "sealed"
_NAME = "%Y-%m-%dT%H-%M-%SZ"
_MONTHS_KEPT = 12
_LOCK_TIMEOUT = "60s"


class BackupError(RuntimeError):
    """No backup was added or taken away, and no database changed; says why."""


@dataclass(frozen=True)
class Backup:
    """A verified backup."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def totals(self) -> dict[str, Total]:
        """``schema.relation`` -> what it held."""
        return {name: Total(**total) for name, total in self.manifest["totals"].items()}

    @property
    def sealed(self) -> Path | None:
        """Keys and settings, where a passphrase was given."""
        return self.folder / _SEALED if _SEALED in self.manifest["files"] else None

    @property
    def bytes(self) -> int:
        return sum(file["bytes"] for file in self.manifest["files"].values())


def backups(folder: Path) -> list[Backup]:
    """The backups in a folder, the oldest first."""
    found = [path.parent for path in folder.glob(f"[!.]*/{_MANIFEST}")]
    return [Backup(path, json.loads((path / _MANIFEST).read_text())) for path in sorted(found)]


def back_up(
    settings: Settings, tables: Sequence[Table], as_of: datetime, log: logging.Logger
) -> tuple[Backup | None, list[str]]:
    """Make and verify a backup of the tables' domains, then delete those that have had their time.

    Returns it and the names of the deleted; ``None`` where nothing was promoted yet. ``as_of``
    names it and decides which are old. Raises ``BackupError``.
    """
    with _explained(settings.backup_folder), _alone(settings.backup_folder):
        if not _promoted(settings):
            if backups(settings.backup_folder):
                raise BackupError(
                    "Production is empty, and there are backups of when it was not. Run"
                    " restore_production, or materialise what should be there"
                )
            return None, []
        target = settings.backup_folder / as_of.astimezone(timezone.utc).strftime(_NAME)
        if target.exists():
            raise BackupError(f"{target} is there already. Wait a second and run it again")
        with drafted(target) as draft:
            manifest = _make(settings, tables, draft, as_of, log)
            _verify(settings, Backup(draft, manifest), log)
        return Backup(target, manifest), _delete_old(settings)


def restore(
    settings: Settings, name: str, database: str, confirm: str, log: logging.Logger
) -> Backup:
    """Put a backup (or the ``latest``) into a database, all of it in one transaction or nothing.

    An empty ``database`` is the one that backups are verified in. Any other is on production's
    server and must be repeated in ``confirm``; there the rights come back, too. Readers wait until
    it is done. What it held of the backup's schemas is replaced; what others made there is not
    touched. Raises ``BackupError``.
    """
    backup = _named(settings, name)
    if database and confirm != database:
        raise BackupError(
            f"This replaces what is in the database {database!r}. Set confirm to its name to say"
            " that it is meant, or leave both empty to restore into the database for trials"
        )
    with _explained(settings.backup_folder), _alone(settings.backup_folder):
        if database:
            url = sa.make_url(server.urls(settings).promoter).set(database=database)
            with production_engine(url.render_as_string(hide_password=False)) as engine:
                _load(engine, backup, log, keep=True, rights=True)
        else:
            with _restore_engine(settings) as engine:
                _load(engine, backup, log, keep=True, rights=False)
    return backup


def restore_everything(
    settings: Settings, tables: Sequence[Table], name: str, log: logging.Logger
) -> tuple[Backup, list[str]]:
    """Put back on an empty machine all that a backup holds; returns it and what was put where.

    Keys and settings first: what the warehouse computes with another key is another table.
    Production must not hold anything yet. Raises ``BackupError``.
    """
    if _promoted(settings):
        raise BackupError(
            "Production is not empty. This is for a machine where nothing was promoted yet; to"
            " replace production, name its database in database and confirm"
        )
    backup = _named(settings, name)
    done = []
    with _explained(settings.backup_folder):
        if backup.sealed:
            passphrase = settings.backup_passphrase
            if not passphrase:
                raise BackupError("Set BACKUP_PASSPHRASE to what the backup was sealed with")
            done = put_back(settings, backup.sealed.read_bytes(), passphrase)
    database = sa.make_url(server.urls(settings).promoter).database or ""
    restore(settings, backup.name, database, database, log)
    return backup, [*done, database]


def _named(settings: Settings, name: str) -> Backup:
    """The backup of a name, or the latest."""
    found = {backup.name: backup for backup in backups(settings.backup_folder)}
    backup = found[max(found)] if name == LATEST and found else found.get(name)
    if backup is None:
        raise BackupError(
            f"There is no backup {name!r} in {settings.backup_folder}; there are:"
            f" {', '.join(found) or 'none'}"
        )
    return backup


def restore_builds(settings: Settings, tables: Sequence[Table], backup: Backup) -> list[str]:
    """Put back the lost build ledger of tables that have not changed since; returns their keys.

    Only where the ledger knows nothing of a table. What stays unknown is built again.
    """
    lake = open_lake(settings.lake)
    ledger = BuildLedger(lake)
    known = ledger.read()
    versions = backup.manifest["lake_versions"]
    lost = {
        table.key
        for table in tables
        if table.key not in known and lake.version(table) == versions.get(table.key, -1)
    }
    rows = pyarrow.parquet.read_table(backup.folder / _BUILDS).to_pylist()
    entries = [Build(**{**row, "inputs": json.loads(row["inputs"])}) for row in rows]
    ledger.record(entry for entry in entries if entry.table in lost)
    return sorted(lost & {entry.table for entry in entries})


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One backup or restore at a time; what a killed one left behind is removed."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = fasteners.InterProcessLock(folder / _LOCK)
    if not lock.acquire(blocking=False):
        raise BackupError(f"A backup or restore with {folder} is under way. Wait until it ends")
    try:
        clear_drafts(folder)
        yield
    finally:
        lock.release()


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackupError(
            f"{folder}: {error.strerror or error}. Make room there, or set BACKUP_FOLDER to"
            " another place; the backups that are there were kept"
        ) from error
    except (sa.exc.DBAPIError, psycopg2.Error) as error:
        raise BackupError(f"PostgreSQL: {foreign(error)}. Nothing was changed") from error
    except (DumpError, SealError) as error:
        raise BackupError(f"{error}. Nothing was changed") from error


# ---- making one ---------------------------------------------------------------------------------


def _promoted(settings: Settings) -> bool:
    """Whether anything ever was."""
    with (
        production_engine(server.urls(settings).promoter) as engine,
        engine.connect() as connection,
    ):
        return sa.inspect(connection).has_schema(LEDGER_SCHEMA)


def _make(
    settings: Settings,
    tables: Sequence[Table],
    draft: Path,
    as_of: datetime,
    log: logging.Logger,
) -> dict[str, Any]:
    """Dump and build ledger into the draft; returns the manifest."""
    domains = sorted({table.domain for table in tables})
    url = server.urls(settings).promoter
    with production_engine(url) as engine, engine.connect() as connection:
        connection = connection.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        present = set(connection.scalars(sa.text("select nspname from pg_namespace")))
        wanted = [LEDGER_SCHEMA, *(n for domain in domains for n in (domain, f"{domain}_store"))]
        schemas = [name for name in wanted if name in present]
        snapshot = connection.scalar(sa.text("select pg_export_snapshot()"))
        found = programs(server_major(connection))
        log.info("Dumping %s", ", ".join(schemas))
        dump(found, url, str(snapshot), schemas, draft / _DUMP)
        log.info("Dumped; reading what readers see")
        seen = totals(connection, _seen(schemas))
    builds, versions = _save_builds(settings, tables, draft / _BUILDS)
    names = [_DUMP, _BUILDS]
    if settings.backup_passphrase:
        (draft / _SEALED).write_bytes(seal(settings, settings.backup_passphrase))
        names.append(_SEALED)
    manifest: dict[str, Any] = {
        "as_of": as_of.isoformat(),
        "pg_dump": found.major,
        "schemas": schemas,
        "totals": {name: vars(total) for name, total in seen.items()},
        "build_ledger_rows": builds,
        "lake_versions": versions,
        "files": {
            name: {"bytes": (draft / name).stat().st_size, "sha256": checksum(draft / name)}
            for name in names
        },
    }
    (draft / _MANIFEST).write_text(json.dumps(manifest, indent=1))
    return manifest


def _seen(schemas: Sequence[str]) -> list[str]:
    """Those that people look at; the stores show in the views."""
    return [name for name in schemas if not name.endswith("_store")]


def _save_builds(
    settings: Settings, tables: Sequence[Table], target: Path
) -> tuple[int, dict[str, int]]:
    """The build ledger as Parquet; returns its rows and the version of each table."""
    lake = open_lake(settings.lake)
    versions = {table.key: lake.version(table) for table in tables}
    entries = [build for own in BuildLedger(lake).read().values() for build in own.values()]
    rows = [{**vars(build), "inputs": json.dumps(build.inputs)} for build in entries]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), target)
    return len(rows), {key: number for key, number in versions.items() if number is not None}


# ---- restoring and verifying --------------------------------------------------------------------


def _verify(settings: Settings, backup: Backup, log: logging.Logger) -> None:
    with _restore_engine(settings) as engine:
        _load(engine, backup, log, keep=False, rights=False)


@contextmanager
def _restore_engine(settings: Settings) -> Iterator[sa.Engine]:
    """The database for trials, which must not be production."""
    with (
        production_engine(server.restore_url(settings)) as engine,
        production_engine(server.urls(settings).promoter) as production,
        production.connect() as here,
        engine.connect() as there,
    ):
        # An advisory lock is known in its own database only.
        key = {"key": int.from_bytes(os.urandom(7), "big")}
        here.execute(sa.text("select pg_advisory_lock(:key)"), key)
        if not there.scalar(sa.text("select pg_try_advisory_lock(:key)"), key):
            raise BackupError(
                "RESTORE_URL is production itself. Name another database, which may be emptied"
            )
        there.close()
        here.close()
        yield engine


def _load(engine: sa.Engine, backup: Backup, log: logging.Logger, keep: bool, rights: bool) -> None:
    """Restore in one transaction and compare what came back; kept only if asked to.

    What is not kept the server takes back by itself, also if this process is killed.
    """
    for name, recorded in backup.manifest["files"].items():
        if checksum(backup.folder / name) != recorded["sha256"]:
            raise BackupError(f"{backup.folder / name} is damaged. Restore another backup")
    schemas = backup.manifest["schemas"]
    found = programs(backup.manifest["pg_dump"])
    with engine.connect() as connection, connection.begin() as transaction:
        database = str(connection.scalar(sa.text("select current_database()")))
        log.info("Restoring into %s", database)
        connection.execute(sa.text(f"set local lock_timeout = '{_LOCK_TIMEOUT}'"))
        load(found, connection, backup.folder / _DUMP, schemas, rights)
        _compare(backup, totals(connection, _seen(schemas)))
        log.info("%d tables and views came back as they were", len(backup.totals))
        if rights:
            domains = [quoted(name) for name in _seen(schemas) if f"{name}_store" in schemas]
            path = ", ".join([*domains, "public"])
            connection.execute(
                sa.text(f"alter database {quoted(database)} set search_path = {path}")
            )
        if not keep:
            transaction.rollback()


def _compare(backup: Backup, found: Mapping[str, Total]) -> None:
    wanted = backup.totals
    differing = sorted(
        name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)
    )
    if differing:
        name = differing[0]
        raise BackupError(
            f"{backup.folder}: {len(differing)} relations came back differently, the first {name}:"
            f" {wanted.get(name)} was dumped, {found.get(name)} came back. Nothing was kept"
        )


# ---- keeping ------------------------------------------------------------------------------------


def _delete_old(settings: Settings) -> list[str]:
    """Delete all but the newest, and the last of each of twelve months; returns their names."""
    found = sorted(backups(settings.backup_folder), key=lambda backup: backup.name)
    last_of_month = {backup.name[:7]: backup.name for backup in found}
    kept = {backup.name for backup in found[-max(settings.backups_kept, 1) :]}
    kept |= {last_of_month[month] for month in sorted(last_of_month)[-_MONTHS_KEPT:]}
    old = [backup for backup in found if backup.name not in kept]
    for backup in old:
        delete(backup.folder)
    return [backup.name for backup in old]

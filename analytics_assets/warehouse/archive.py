"""Moving old partitions out of the lake, and back.

Belongs here: the copies, their proof, and taking partitions out of the live table.
Does not belong here: deleting what nobody needs (``retention.py``), backups of production.

An archived partition stands in the build ledger as never built and not to be tried. So what was
computed from it waits for it, and keeps its rows. A changed input builds it anew; where others are
needed, too, that are still archived, what is computed from them waits until they are restored.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow.fs
import pyarrow.parquet

from analytics_assets.core.contracts import arrow_schema
from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets.settings import Settings
from analytics_assets.warehouse.behind import ARCHIVED, input_word
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.durable import checksum
from analytics_assets.warehouse.integrity import DamagedFiles, seal, verify
from analytics_assets.warehouse.lake import Lake, StoredFile, fed_partitions, partition_of
from analytics_assets.warehouse.ledger import Build
from analytics_assets.warehouse.storage import Storage, open_storage

_MANIFEST = "manifest.json"
_BLOCK = 1 << 20


class ArchiveError(RuntimeError):
    """No row was taken away or added; says why."""


@dataclass(frozen=True)
class Archived:
    """A partition in the archive: the storage it is in, and the folder there."""

    storage: Storage
    name: str
    manifest: dict[str, Any]

    @property
    def folder(self) -> str:
        """Path or URL of its files."""
        return f"{self.storage.root}/{self.name}"

    def local(self, file: Mapping[str, Any]) -> Path | None:
        """The file on this machine, as it was archived; ``None`` where it is not."""
        uri = f"{self.folder}/{file['name']}"
        for _ in range(2):  # a copy that is damaged is fetched again
            with suppress(FileNotFoundError):
                path = Path(self.storage.copied(uri))
                if checksum(path) == file["sha256"]:
                    return path
            self.storage.forget_copy(uri)
        return None

    @property
    def partition(self) -> str:
        return str(self.manifest["partition"])

    @property
    def rows(self) -> int:
        return sum(file["rows"] for file in self.manifest["files"])

    @property
    def bytes(self) -> int:
        return sum(file["bytes"] for file in self.manifest["files"])


def archive(
    lake: Lake,
    tables: Sequence[Table],
    table: Table,
    before: str,
    archive: Storage,
    run_id: str,
    as_of: datetime,
) -> list[Archived]:
    """Move the partitions of ``table`` before a key into ``archive``; ``tables`` may read them.

    Their files are copied and compared, then taken out of the live table in one commit. Refused,
    with an ``ArchiveError``, for tables in production, and where a partition of another table is
    computed from archived and live rows together: it could never be rebuilt. Killed half way it is
    completed by running it again.
    """
    _refuse_table(tables, table, before)
    snapshot = Snapshot(lake)
    found: dict[str, list[StoredFile]] = {}
    for file in snapshot.files(table):
        if partition_of(table, file.key) < before:
            found.setdefault(partition_of(table, file.key), []).append(file)
    _refuse_torn_readers(snapshot, tables, table, before)
    archive.clear_drafts(table.key)
    try:
        verify(lake, [file for files in found.values() for file in files])
        copies = [_copy(lake, snapshot, table, key, found[key], archive, as_of) for key in found]
    except DamagedFiles as error:
        raise ArchiveError(f"{error}. Nothing was archived") from error
    except OSError as error:
        raise ArchiveError(
            f"{archive.root}: {error.strerror or error}. Nothing was archived"
        ) from error
    # In the ledger first: what reads them must not be found behind for want of rows.
    entries = []
    for key in found:
        unknown = Build(table.key, key, "", {}, 0, run_id, as_of)
        wanted = input_word(table, snapshot.inputs(table, key))
        entries.append(replace(unknown, refused=wanted, blocked_by=ARCHIVED))
    snapshot.ledger.record(entries)
    keys = [file.key for files in found.values() for file in files]
    if keys:
        lake.publish(table, [], keys, {"run_id": run_id, ARCHIVED: archive.root})
    return copies


def restore(
    lake: Lake, table: Table, partitions: Iterable[str], archive: Storage, run_id: str
) -> list[Archived]:
    """Bring archived partitions back as they were; raises ``ArchiveError``.

    Where a partition was archived more than once it is the newest.
    """
    snapshot = Snapshot(lake)
    there = {archived.partition: archived for archived in archived_partitions(table, archive)}
    live = {partition_of(table, file.key) for file in snapshot.files(table)}
    wanted = list(partitions)
    for key in wanted:
        if key not in there:
            others = ", ".join(there) or "none"
            raise ArchiveError(f"{table.key} {key} is not in {archive.root}; there are: {others}")
        if key in live:
            raise ArchiveError(f"{table.key} {key} is live. Nothing was changed")
        _refuse_damaged(table, there[key])
    staged = [file for key in wanted for file in _stage(lake, table, there[key])]
    lake.publish(table, staged, [file.key for file in staged], {"run_id": run_id})
    entries = [there[key].manifest["build"] for key in wanted]
    snapshot.ledger.record(
        Build(**{**entry, "built_at": datetime.fromisoformat(entry["built_at"])})
        for entry in entries
    )
    return [there[key] for key in wanted]


def archive_of(settings: Settings, folder: str = "") -> Storage:
    """The archive in a folder or at a URL; by default beside what else is kept: in the home, or in
    the object store."""
    if folder:
        return open_storage(folder.rstrip("/") if "://" in folder else os.path.abspath(folder))
    local = open_storage(settings.lake).is_local
    return open_storage(str(settings.home / "archive") if local else f"{settings.lake}/_archive")


def archived_partitions(table: Table, archive: Storage) -> list[Archived]:
    """What is in the archive of a table, the oldest copy first."""
    folder = pyarrow.fs.FileSelector(
        f"{archive.base}/{table.key}", allow_not_found=True, recursive=True
    )
    found = []
    for info in archive.fs.get_file_info(folder):
        name = f"{table.key}/{info.path.split('/')[-2]}"
        if info.base_name == _MANIFEST and not name.split("/")[-1].startswith("."):
            found.append(_archived(archive, name))
    return sorted(found, key=lambda archived: str(archived.manifest["archived_at"]))


# ---- what is refused ----------------------------------------------------------------------------


def _refuse_table(tables: Sequence[Table], table: Table, before: str) -> None:
    if table.period is UNPARTITIONED:
        raise ArchiveError(f"{table.key} has no partitions, so none is old")
    try:
        table.period.window(before)
    except ValueError:
        raise ArchiveError(f"{before!r} is no partition of {table.key}") from None
    if table.publish:
        raise ArchiveError(
            f"{table.key} is in production, where the rows would be missed. Archive what it is"
            " computed from"
        )
    for reader in tables:
        if table in reader.upstream and reader.period is UNPARTITIONED:
            raise ArchiveError(
                f"{reader.key} is computed from all of {table.key}, and could not be rebuilt"
                " without the archived rows"
            )


def _refuse_torn_readers(
    snapshot: Snapshot, tables: Sequence[Table], table: Table, before: str
) -> None:
    """A partition that reads rows on both sides could not take up a change of the live ones."""
    for reader in tables:
        if table not in reader.upstream:
            continue
        old: set[str] = set()
        new: set[str] = set()
        for file in snapshot.files(table):
            side = old if partition_of(table, file.key) < before else new
            side.update(fed_partitions(table, reader, file.key))
        torn = sorted(old & new)
        if torn:
            raise ArchiveError(
                f"{reader.key} {torn[0]} is computed from partitions of {table.key} before and"
                f" from {before} on, and could not be rebuilt. Choose another partition"
            )


def _refuse_damaged(table: Table, archived: Archived) -> None:
    declared = arrow_schema(table)
    for file in archived.manifest["files"]:
        path = archived.local(file)
        if path is None:
            raise ArchiveError(
                f"{archived.folder}/{file['name']} is missing or damaged. Nothing was changed"
            )
        then = pyarrow.parquet.read_schema(path)
        if {(f.name, str(f.type)) for f in then} != {(f.name, str(f.type)) for f in declared}:
            raise ArchiveError(
                f"{archived.folder} has other columns than {table.key} is declared with now. Run"
                " the code of that time, or build the partition from its source"
            )


# ---- copies -------------------------------------------------------------------------------------


def _copy(
    lake: Lake,
    snapshot: Snapshot,
    table: Table,
    partition: str,
    files: Sequence[StoredFile],
    archive: Storage,
    as_of: datetime,
) -> Archived:
    """The files of a partition in the archive; of a copy that is there already, that one."""
    version = sha256(repr(sorted((f.key, f.fingerprint) for f in files)).encode()).hexdigest()
    name = f"{table.key}/{partition}--{version[:12]}"
    there = archive.fs.get_file_info(f"{archive.base}/{name}/{_MANIFEST}")
    if there.type is pyarrow.fs.FileType.File:
        archived = _archived(archive, name)
        _refuse_damaged(table, archived)
        return archived
    build = snapshot.build_of(table, partition)
    if build is None:
        raise ArchiveError(f"{table.key} {partition}: the build ledger does not know it. Build it")
    with archive.drafted(name, last=_MANIFEST) as draft:
        manifest = {
            "table": table.key,
            "partition": partition,
            "archived_at": as_of.isoformat(),
            "build": {**vars(build), "built_at": build.built_at.isoformat()},
            "columns": [field.name for field in arrow_schema(table)],
            # Slices that were written together have files of one name.
            "files": [
                _copied(lake, file, draft / f"{number}.parquet")
                for number, file in enumerate(files)
            ],
        }
        (draft / _MANIFEST).write_text(json.dumps(manifest, indent=1))
        _refuse_damaged(table, Archived(Storage(str(draft.parent)), draft.name, manifest))
    return Archived(archive, name, manifest)


def _archived(archive: Storage, name: str) -> Archived:
    with archive.fs.open_input_stream(f"{archive.base}/{name}/{_MANIFEST}") as file:
        return Archived(archive, name, json.loads(file.read()))


def _copied(lake: Lake, file: StoredFile, target: Path) -> dict[str, Any]:
    """Copy a file; returns what the manifest says of it."""
    digest = sha256()
    with open(lake.storage.copied(file.uri), "rb") as source, target.open("wb") as copy:
        while block := source.read(_BLOCK):
            digest.update(block)
            copy.write(block)
    return {
        "name": target.name,
        "key": file.key,
        "fingerprint": file.fingerprint,
        "rows": file.rows,
        "bytes": target.stat().st_size,
        "sha256": digest.hexdigest(),
    }


def _stage(lake: Lake, table: Table, archived: Archived) -> list[StoredFile]:
    """Copies of the archived files where the live ones are, which nothing sees yet."""
    staged = []
    for file in archived.manifest["files"]:
        path = archived.local(file)
        assert path is not None
        draft = f"{lake.drafts(table.key, '_partition=' + file['key'])}/{uuid4().hex}.parquet"
        shutil.copyfile(path, draft)
        stored = StoredFile(file["key"], draft, file["rows"], file["bytes"], file["fingerprint"])
        staged.append(seal(lake, stored))
    return staged

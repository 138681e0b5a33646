"""The Delta lake: which files make up a table now, and how a new version is published.

Belongs here: files, versions, commits. A storage key is a partition or a slice of one; every file
carries its key and the fingerprint of that key's rows as Delta partition values, so the state of
a table, also of an older version, reads from its log alone.
Does not belong here: computing or judging rows.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from typing import Any, TypeVar

import pyarrow
import pyarrow.fs
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction

from analytics_assets.core.contracts import arrow_schema
from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import UNPARTITIONED, shifted
from analytics_assets.core.source import SourceUnavailable
from analytics_assets.settings import user
from analytics_assets.warehouse.delta_log import DeltaLog
from analytics_assets.warehouse.storage import Storage, open_storage

T = TypeVar("T")
KEY, FINGERPRINT = "_partition", "_fingerprint"
# Workers that commit to one table at once come through one after the other.
COMMIT_ATTEMPTS, _LONGEST_WAIT = 30, 2.0
# A store that does not answer was asked by its client for minutes.
_ASKED_AWAY = 3
_PATH = re.compile(r"[A-Za-z0-9_=/.-]+")


@dataclass(frozen=True)
class StoredFile:
    """One Parquet file: its storage key, place, rows, bytes, its key's fingerprint, and when it was
    published (milliseconds since 1970; 0 before it is)."""

    key: str
    uri: str
    rows: int
    bytes: int
    fingerprint: str
    published: int = 0


@dataclass(frozen=True)
class StoredKey:
    """All files of one storage key; a wide write may leave more than one."""

    fingerprint: str
    rows: int
    uris: tuple[str, ...]


def by_key(files: Iterable[StoredFile]) -> dict[str, StoredKey]:
    """Storage key -> its fingerprint, rows and files."""
    found: dict[str, list[StoredFile]] = {}
    for file in files:
        found.setdefault(file.key, []).append(file)
    return {
        key: StoredKey(own[0].fingerprint, sum(f.rows for f in own), tuple(f.uri for f in own))
        for key, own in found.items()
    }


def storage_schema(table: Table) -> pyarrow.Schema:
    """Schema of the Delta table: the stored columns and the two partition columns."""
    schema = arrow_schema(table)
    for name in (KEY, FINGERPRINT):
        schema = schema.append(pyarrow.field(name, pyarrow.string()))
    return schema


def fed_partitions(upstream: Table, reader: Table, storage_key: str) -> list[str]:
    """Partitions of ``reader`` that are computed from a storage key of ``upstream``.

    What could not be put into a slice feeds readers that are as coarse as ``upstream`` itself, not
    those that read slices. Empty where the reader has no partitions: it reads everything.
    """
    own = key_period(upstream, storage_key)
    if UNPARTITIONED in (own, reader.period):
        return []
    if reader.period is upstream.slice_period and own is not reader.period:
        return []
    # Who reads from the first to the last day around its own is fed by a day the other way round.
    first, last = reader.reach_of(upstream)
    return reader.period.keys_between(*shifted(own.window(storage_key), (-last, -first)))


def read_whole(upstream: Table, reader: Table) -> bool:
    """Whether each partition of ``reader`` is computed from all of ``upstream``."""
    if UNPARTITIONED not in (upstream.period, reader.period):
        return False
    return reader.period is UNPARTITIONED or reader.period is not upstream.slice_period


def key_period(table: Table, storage_key: str):
    """The period of a storage key: the slice's, or the partition's for what has no slice."""
    if table.slice_period is not None:
        try:
            table.slice_period.window(storage_key)
            return table.slice_period
        except ValueError:
            return table.period
    return table.period


def partition_of(table: Table, storage_key: str) -> str:
    """The Dagster partition that a storage key belongs to."""
    if table.period is UNPARTITIONED:
        return UNPARTITIONED.only_key
    return table.period.key(key_period(table, storage_key).window(storage_key)[0])


@cache
def open_lake(root: str) -> Lake:
    """The process's one lake at this root, which remembers what it has read."""
    return Lake(root)


class Lake:
    """All Delta tables below one root (a folder or URL)."""

    def __init__(self, root: str, storage: Storage | None = None) -> None:
        self.root = root
        self.storage = storage or open_storage(root)
        # (place, time of change, bytes) of the files that this process has found whole.
        self.verified: set[tuple[str, int | None, int]] = set()
        self._logs: dict[str, DeltaLog[Any]] = {}

    def uri(self, table: Table) -> str:
        """The folder of a table."""
        return f"{self.root}/{table.key}"

    def drafts(self, *names: str) -> str:
        """The local folder that files of these folders are written into before they are put in
        place."""
        drafts = "/".join((self.storage.drafts, *names))
        os.makedirs(drafts, exist_ok=True)
        return drafts

    def folder(self, name: str) -> tuple[pyarrow.fs.FileSystem, str]:
        """A folder below the root that is no table: its file system and its path there."""
        return self.storage.fs, f"{self.storage.base}/{name}"

    def log(self, name: str, parse: Callable[[DeltaTable], T]) -> DeltaLog[T]:
        """The log of the Delta table in the folder ``name``."""
        if name not in self._logs:
            self._logs[name] = DeltaLog(self.storage, name, parse)
        return self._logs[name]

    def log_of(self, table: Table) -> DeltaLog[list[StoredFile]]:
        """The log of a table."""
        return self.log(table.key, lambda delta: _listed(self.uri(table), delta))

    def files(self, table: Table, version: int | None = None) -> list[StoredFile]:
        """The files of the current version (or an older one), in order of key."""
        if version is None:
            current = self.log_of(table).current()
            return list(current.content) if current else []
        delta = self.log_of(table).open(version)
        return _listed(self.uri(table), delta) if delta else []

    def fingerprints(self, table: Table, version: int | None = None) -> dict[str, str]:
        """Storage key -> fingerprint of its rows."""
        return {file.key: file.fingerprint for file in self.files(table, version)}

    def version(self, table: Table) -> int | None:
        """Number of the current version; ``None`` before the first."""
        current = self.log_of(table).current()
        return current.number if current else None

    def made_at(self, table: Table) -> datetime | None:
        """When the table was made in this lake; ``None`` before the first version."""
        delta = self.log_of(table).open()
        made = delta.metadata().created_time if delta else None
        return None if made is None else datetime.fromtimestamp(made / 1000, timezone.utc)

    def moments(self, table: Table) -> dict[int, datetime]:
        """Version -> when it was committed, the newest first."""
        return commit_moments(self.log_of(table).open())

    def columns(self, table: Table, version: int) -> pyarrow.Schema:
        """The columns that the table had in a version."""
        delta = self.log_of(table).open(version)
        assert delta is not None
        return pyarrow.schema(delta.schema().to_arrow())

    def infos(self, uris: Iterable[str]) -> list[pyarrow.fs.FileInfo]:
        """What the file system says of these files, in their order."""
        return self.storage.infos(uris)

    def path(self, uri: str) -> str:
        """Where a file is on the lake's file system."""
        return self.storage.path(uri)

    def publish(
        self,
        table: Table,
        staged: Collection[StoredFile],
        replaced: Iterable[str],
        notes: Mapping[str, str],
    ) -> int:
        """Make staged files the only files of the ``replaced`` storage keys; returns the version.

        One Delta transaction: readers see all of it or nothing. A run that commits at the same
        moment makes this one read the log again; the later of the two stands.
        """
        actions: list[AddAction | RemoveAction] = [
            AddAction(
                path=file.uri.removeprefix(f"{self.uri(table)}/"),
                size=file.bytes,
                partition_values={KEY: file.key, FINGERPRINT: file.fingerprint},
                modification_time=int(time.time() * 1000),
                data_change=True,
                stats=json.dumps({"numRecords": file.rows}),
            )
            for file in staged
        ]
        keys = sorted(replaced)
        said = {**notes, "user": user()}
        for attempt in range(COMMIT_ATTEMPTS):
            try:
                with self.log_of(table).explained(writing=True):
                    delta = self._created(table)
                    delta.create_write_transaction(
                        actions,
                        mode="overwrite",
                        schema=storage_schema(table),
                        partition_by=[KEY, FINGERPRINT],
                        partition_filters=[(KEY, "in", keys)],
                        commit_properties=CommitProperties(custom_metadata=said),
                    )
                break
            except (CommitFailedError, SourceUnavailable) as error:
                live = {file.uri for file in self.files(table)}
                if staged and live.issuperset(file.uri for file in staged):
                    break  # an object store took it, and its answer was lost
                wait_to_commit(error, attempt)
        version = self.version(table)
        assert version is not None
        return version

    def _created(self, table: Table) -> DeltaTable:
        # Read on, not anew: a table of many days has as many commits.
        existing = self.log_of(table).current()
        if existing is not None:
            return existing.delta
        return DeltaTable.create(
            self.uri(table),
            schema=storage_schema(table),
            mode="ignore",
            partition_by=[KEY, FINGERPRINT],
            name=table.sql_name,
            description=table.description,
            configuration=self.storage.delta_properties,
            storage_options=dict(self.storage.delta_options),
        )

    def discard(self, staged: Iterable[StoredFile]) -> None:
        """Delete staged files that will not be published."""
        for file in staged:
            self.storage.fs.delete_file(self.path(file.uri))


def wait_to_commit(error: Exception, attempt: int) -> None:
    """Wait before the next attempt to commit what failed for a moment; raises the error after too
    many."""
    most = _ASKED_AWAY if isinstance(error, SourceUnavailable) else COMMIT_ATTEMPTS
    if attempt + 1 >= most:
        raise error
    time.sleep(random.uniform(0, min(_LONGEST_WAIT, 0.05 * 2**attempt)))


def commit_moments(delta: DeltaTable | None) -> dict[int, datetime]:
    """Version -> when it was committed, the newest first."""
    return {
        entry["version"]: datetime.fromtimestamp(entry["timestamp"] / 1000, timezone.utc)
        for entry in (delta.history() if delta else ())
    }


def version_at(moments: Mapping[int, datetime], moment: datetime) -> int | None:
    """The version that was current at a moment; ``None`` before the first."""
    return max((number for number, at in moments.items() if at <= moment), default=None)


def _listed(uri: str, delta: DeltaTable) -> list[StoredFile]:
    actions = pyarrow.table(delta.get_add_actions(flatten=True))
    columns = ("path", "num_records", "size_bytes", f"partition.{KEY}", f"partition.{FINGERPRINT}")
    read = [actions[name].to_pylist() for name in (*columns, "modification_time")]
    for path, key in zip(read[0], read[3], strict=True):
        # Said twice, so that a log in which one of them changed is not believed.
        # A path of other letters is written in another way where it is removed, and so stays.
        if not path.startswith(f"{KEY}={key}/") or not _PATH.fullmatch(path):
            raise ValueError(f"the file {path} is listed as of {key}")
    return sorted(
        (
            # What a damaged log does not say any more is not what was published.
            StoredFile(
                key, f"{uri}/{path}", count or 0, size or 0, fingerprint or "", published or 0
            )
            for path, count, size, key, fingerprint, published in zip(*read, strict=True)
        ),
        key=lambda file: (file.key, file.uri),
    )

"""The build ledger: what each live partition was built from, and by what it was judged.

Belongs here: an entry, and the Delta table beside the others in which they are kept.
Does not belong here: comparing an entry with what there is now (``builds.py``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import pyarrow
import pyarrow.parquet
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError

from analytics_assets.core.source import SourceUnavailable
from analytics_assets.settings import user
from analytics_assets.warehouse.lake import (
    COMMIT_ATTEMPTS,
    Lake,
    commit_moments,
    version_at,
    wait_to_commit,
)

_MEANING = "meaning"
# The column of ``blocked_by``, as earlier releases named it.
_BLOCKED_BY = "refused_by"
_SCHEMA = pyarrow.schema(
    [
        ("table", pyarrow.string()),
        ("partition", pyarrow.string()),
        ("code_version", pyarrow.string()),
        ("inputs", pyarrow.string()),
        ("rows", pyarrow.int64()),
        ("run_id", pyarrow.string()),
        ("built_at", pyarrow.timestamp("us", tz="UTC")),
        ("refused", pyarrow.string()),
        (_BLOCKED_BY, pyarrow.string()),
        ("contract_version", pyarrow.string()),
        ("meaning", pyarrow.string()),
        ("fails", pyarrow.string()),
        ("published", pyarrow.string()),
        ("by_user", pyarrow.string()),
        ("checksum", pyarrow.string()),
    ]
)


@dataclass(frozen=True)
class Build:
    """One ledger entry: the inputs (name -> fingerprint) that a live partition was built from.

    ``refused`` is the recipe that is not tried again, ``blocked_by`` the checks that it failed, or
    what people did (``archived``, ``rolled_back``, ``confirmed``); ``code_version`` is empty where
    no build ever passed. The live rows were last judged by the contract ``contract_version`` and
    fail its checks ``fails``. ``meaning`` is the text of what both versions stand for.
    ``published`` is one word for the rows that were published, empty where it is not known.
    ``by_user``: whose command or service wrote the entry; an earlier release did not know.
    """

    table: str
    partition: str
    code_version: str
    inputs: Mapping[str, str]
    rows: int
    run_id: str
    built_at: datetime
    refused: str = ""
    blocked_by: str = ""
    contract_version: str = ""
    meaning: str = ""
    fails: str = ""
    published: str = ""
    by_user: str = ""

    @staticmethod
    def from_row(row: Mapping[str, Any]) -> Build:
        """An entry as it was kept; an earlier release knew less of it."""
        kept = {name: value for name, value in row.items() if value is not None}
        kept.pop("checksum", None)
        kept["blocked_by"] = kept.pop(_BLOCKED_BY, "")
        return Build(**kept | {"inputs": json.loads(row["inputs"])})

    def as_row(self) -> dict[str, Any]:
        """As it is kept."""
        row = {**vars(self), "inputs": json.dumps(self.inputs, sort_keys=True)}
        row[_BLOCKED_BY] = row.pop("blocked_by")
        return {**row, "checksum": _checksum(row)}

    @property
    def live(self) -> bool:
        """Whether a version of the partition was ever published."""
        return bool(self.code_version)


class BuildLedger:
    """The ledger of one lake."""

    NAME = "_builds"

    def __init__(self, lake: Lake) -> None:
        self._uri = f"{lake.root}/{self.NAME}"
        self._storage = lake.storage
        self._files = _Files(*lake.folder(self.NAME))
        self.log = lake.log(self.NAME, self._files.entries)

    def read(self) -> dict[str, dict[str, Build]]:
        """Table key -> partition -> entry."""
        current = self.log.current()
        entries: dict[str, dict[str, Build]] = {}
        for build in current.content if current else ():
            entries.setdefault(build.table, {})[build.partition] = build
        return entries

    def read_as_of(self, moment: datetime) -> dict[tuple[str, str], Build]:
        """(table, partition) -> entry, as it was at a moment."""
        version = version_at(commit_moments(self.log.open()), moment)
        entries = None if version is None else self.log.read(version)
        return {(b.table, b.partition): b for b in entries or ()}

    def damaged(self) -> int:
        """How many entries are not as they were written; they are not known."""
        current = self.log.current()
        return current.delta.count() - len(current.content) if current else 0

    def record(self, builds: Iterable[Build]) -> None:
        """Add entries, or replace those of the same table and partition; they are this user's."""
        who = user()
        new = {(build.table, build.partition): replace(build, by_user=who) for build in builds}
        if not new:
            return
        for attempt in range(COMMIT_ATTEMPTS):
            try:
                with self.log.explained(writing=True):
                    self._write(new)
                return
            except (CommitFailedError, SourceUnavailable) as error:
                wait_to_commit(error, attempt)

    def _write(self, new: Mapping[tuple[str, str], Build]) -> None:
        delta = self.log.open() or DeltaTable.create(
            self._uri,
            schema=_SCHEMA,
            mode="ignore",
            partition_by=["table"],
            configuration=self._storage.delta_properties,
            storage_options=dict(self._storage.delta_options),
        )
        tables = {table for table, _ in new}
        with self.log.explained():
            entries = self._files.entries_of(delta, tables)
        known: dict[tuple[str, str], Build] = {(b.table, b.partition): b for b in entries}
        rows = [build.as_row() for build in {**known, **new}.values()]
        listed = ", ".join(f"'{table}'" for table in sorted(tables))
        write_deltalake(
            # The very version that was read, which nobody else has: what another run or thread has
            # added since is then a conflict, and not lost.
            delta,
            pyarrow.Table.from_pylist(rows, schema=_SCHEMA),
            mode="overwrite",
            predicate=f"table in ({listed})",
            partition_by=["table"],
            # What an earlier release wrote lacks columns.
            schema_mode="merge",
        )


class _Files:
    """The ledger's files, each read once: a build writes those of its table alone."""

    def __init__(self, fs: pyarrow.fs.FileSystem, folder: str) -> None:
        self._fs = fs
        self._folder = folder
        self._known: dict[str, list[Build]] = {}

    def entries(self, delta: DeltaTable) -> list[Build]:
        """Those of a version that are as they were written: what is not known is built again, a lie
        is not."""
        self._known = {
            path: self._known[path] if path in self._known else self._read(path, table)
            for path, table in _listed(delta)
        }
        return [build for own in self._known.values() for build in own]

    def entries_of(self, delta: DeltaTable, tables: Collection[str]) -> list[Build]:
        """Those of these tables alone, read anew."""
        return [
            build
            for path, table in _listed(delta)
            if table in tables
            for build in self._read(path, table)
        ]

    def _read(self, path: str, table: str) -> list[Build]:
        with self._fs.open_input_file(f"{self._folder}/{unquote(path)}") as file:
            rows = _rows(pyarrow.parquet.ParquetFile(file).read())
        told = [{**row, "table": table} for row in rows]
        return [
            Build.from_row(row) for row in told if row.get("checksum") in (None, _checksum(row))
        ]


def _listed(delta: DeltaTable) -> list[tuple[str, str]]:
    """Path and table of each file."""
    actions = pyarrow.table(delta.get_add_actions(flatten=True))
    paths, tables = (actions[name].to_pylist() for name in ("path", "partition.table"))
    return list(zip(paths, tables, strict=True))


def _rows(table: pyarrow.Table) -> list[dict[str, Any]]:
    """The rows; thousands of them share the meaning of their table, which is made once."""
    if _MEANING not in table.column_names:
        return table.to_pylist()
    place = table.column_names.index(_MEANING)
    meaning = table.column(_MEANING).combine_chunks().dictionary_encode()
    texts, places = meaning.dictionary.to_pylist(), meaning.indices.to_pylist()
    rows = table.remove_column(place).to_pylist()
    for row, number in zip(rows, places, strict=True):
        row[_MEANING] = None if number is None else texts[number]
    return rows


def _checksum(row: Mapping[str, Any]) -> str:
    """Tells whether a stored entry is what was written; of the columns that it had then."""
    kept = {k: value for k, value in row.items() if value is not None and k != "checksum"}
    if _MEANING in kept:
        kept[_MEANING] = _word(kept[_MEANING])
    kept["built_at"] = kept["built_at"].astimezone(timezone.utc).isoformat()
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


@lru_cache(maxsize=10_000)
def _word(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def now() -> datetime:
    """The moment that a ledger entry is written; never part of a result."""
    return datetime.now(timezone.utc)

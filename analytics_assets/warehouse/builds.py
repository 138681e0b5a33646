"""What each live partition was built from, and so which partitions are behind.

Belongs here: the build ledger (a Delta table beside the others) and the comparison of what a
partition was built from with what there is now.
Does not belong here: building, or deciding when to build.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

import pyarrow
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError

from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import UNPARTITIONED, overlapping, shifted
from analytics_assets.warehouse.integrity import MENDED, DamagedFiles, verify
from analytics_assets.warehouse.lake import (
    Lake,
    StoredFile,
    commit_moments,
    fed_partitions,
    partition_of,
    read_whole,
    version_at,
)
from analytics_assets.warehouse.soundness import Soundness, judge

ARCHIVED, CHANGED = "archived", "changed since"
_COMMIT_ATTEMPTS = 8
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
        ("refused_by", pyarrow.string()),
        ("published", pyarrow.string()),
        ("checksum", pyarrow.string()),
    ]
)


@dataclass(frozen=True)
class Build:
    """One ledger entry: the inputs (name -> fingerprint) that a live partition was built from.

    ``refused`` is the recipe of a later build that failed its audit, ``refused_by`` the checks that
    it failed; ``code_version`` is empty where no build ever passed. ``published`` is one word for
    the rows that were published, empty where it is not known.
    """

    table: str
    partition: str
    code_version: str
    inputs: Mapping[str, str]
    rows: int
    run_id: str
    built_at: datetime
    refused: str = ""
    refused_by: str = ""
    published: str = ""

    @property
    def live(self) -> bool:
        """Whether a version of the partition was ever published."""
        return bool(self.code_version)


class BuildLedger:
    """The ledger of one lake."""

    NAME = "_builds"

    def __init__(self, lake: Lake) -> None:
        self._uri = f"{lake.root}/{self.NAME}"
        self.log = lake.log(self.NAME, _entries)

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
        delta = None if version is None else self.log.open(version)
        return {(b.table, b.partition): b for b in _entries(delta)}

    def damaged(self) -> int:
        """How many entries are not as they were written; they are not known."""
        current = self.log.current()
        return current.delta.count() - len(current.content) if current else 0

    def record(self, builds: Iterable[Build]) -> None:
        """Add entries, or replace those of the same table and partition."""
        new = {(build.table, build.partition): build for build in builds}
        if not new:
            return
        tables = sorted({table for table, _ in new})
        listed = ", ".join(f"'{table}'" for table in tables)
        for attempt in range(_COMMIT_ATTEMPTS):
            try:
                delta = self.log.open() or DeltaTable.create(
                    self._uri, schema=_SCHEMA, mode="ignore", partition_by=["table"]
                )
                known = {(build.table, build.partition): build for build in _entries(delta, tables)}
                rows = [_as_row(build) for build in (known | new).values()]
                write_deltalake(
                    # The very version that was read: what another run has added since is then a
                    # conflict, and not lost.
                    delta,
                    pyarrow.Table.from_pylist(rows, schema=_SCHEMA),
                    mode="overwrite",
                    predicate=f"table in ({listed})",
                    partition_by=["table"],
                    # A ledger of an earlier release has fewer columns.
                    schema_mode="merge",
                )
                return
            except CommitFailedError:
                if attempt + 1 == _COMMIT_ATTEMPTS:
                    raise
                time.sleep(0.05 * 2**attempt)


def _entries(delta: DeltaTable | None, tables: list[str] | None = None) -> list[Build]:
    """The entries that are as they were written: what is not known is built again, a lie is not."""
    partitions = [("table", "in", tables)] if tables else None
    entries = []
    rows = delta.to_pyarrow_table(partitions=partitions).to_pylist() if delta else []
    for row in rows:
        written = row.pop("checksum", None)
        if written is None or written == _row_checksum(row):
            published = row.get("published") or ""
            inputs = json.loads(row["inputs"])
            entries.append(Build(**{**row, "inputs": inputs, "published": published}))
    return entries


def _as_row(build: Build) -> dict[str, Any]:
    row = {**vars(build), "inputs": json.dumps(build.inputs, sort_keys=True)}
    return {**row, "checksum": _row_checksum(row)}


def _row_checksum(row: Mapping[str, Any]) -> str:
    """Tells whether a stored entry is what was written; of the columns that it had then."""
    moment = row["built_at"].astimezone(timezone.utc).isoformat()
    text = json.dumps({**row, "built_at": moment}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Behind:
    """A partition that is not what its inputs would give now, and why.

    ``refused``: it was tried with these very inputs and failed its audit, so that trying again
    cannot help; ``refused_by`` are the checks that it failed.
    """

    table: Table
    partition: str
    why: str
    recipe: str
    refused: bool
    refused_by: str = ""


class Snapshot:
    """The lake and its ledger as they are at one moment; every look-up is answered from it.

    Tables are read when first asked for, and again after ``forget``.
    """

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.ledger = BuildLedger(lake)
        self._builds = self.ledger.read()
        self._files: dict[str, list[StoredFile]] = {}
        self._sources: dict[str, Mapping[str, Mapping[str, str]]] = {}
        self._fed: dict[tuple[str, str], dict[str, list[StoredFile]]] = {}
        self._never_built: dict[str, list[str]] = {}
        self._waiting: dict[tuple[str, str], list[str]] = {}
        self._archives: dict[str, set[str]] = {}
        self._soundness: dict[str, Soundness] = {}

    def files(self, table: Table) -> list[StoredFile]:
        """The table's live files."""
        if table.key not in self._files:
            self._files[table.key] = self.lake.files(table)
        return self._files[table.key]

    def soundness(self, table: Table) -> Soundness:
        """Whether what is live is what was published."""
        if table.key not in self._soundness:
            entries = self._builds.get(table.key, {})
            self._soundness[table.key] = judge(self.lake, table, self.files(table), entries)
        return self._soundness[table.key]

    def sound(self, table: Table) -> list[StoredFile]:
        """The live files that are there, in their size."""
        return [f for f in self.files(table) if f.uri not in self.soundness(table).unsound]

    def broken(self, table: Table) -> Mapping[str, str]:
        """Partition -> why what is live of it must not be used."""
        return self.soundness(table).broken

    def trusted(self, table: Table) -> list[StoredFile]:
        """The live files that need not be written again where a build gives their rows."""
        broken = self.broken(table)
        return [f for f in self.files(table) if partition_of(table, f.key) not in broken]

    def verify(self, table: Table, partitions: Iterable[str]) -> None:
        """Raise ``DamagedFiles`` unless what is live of these partitions is what was published."""
        chosen = set(partitions)
        verify(self.lake, [f for f in self.files(table) if partition_of(table, f.key) in chosen])
        for key in sorted(chosen & self.broken(table).keys()):
            raise DamagedFiles(f"{table.key} {key}: {self.broken(table)[key]}. {MENDED}")

    def lake_fingerprints(self, table: Table) -> dict[str, str]:
        """Storage key -> fingerprint of its live rows."""
        return {file.key: file.fingerprint for file in self.files(table)}

    def forget(self, table: Table, builds: Iterable[Build] = ()) -> None:
        """The table has a new version, and these are its new entries."""
        self._files.pop(table.key, None)
        self._soundness.pop(table.key, None)
        self._fed = {names: fed for names, fed in self._fed.items() if names[0] != table.key}
        self._never_built.clear()
        self._waiting.clear()
        self._archives.clear()
        for build in builds:
            self._builds.setdefault(table.key, {})[build.partition] = build

    def build_of(self, table: Table, partition: str) -> Build | None:
        """The ledger entry of a live partition."""
        build = self._builds.get(table.key, {}).get(partition)
        return build if build and build.live else None

    def refusal(self, table: Table, partition: str, checks: Iterable[str], run_id: str) -> Build:
        """The entry of a partition whose build, from what there is now, failed these checks."""
        wanted = recipe(table, self.inputs(table, partition))
        build = self._builds.get(table.key, {}).get(partition)
        if build is None:
            build = Build(table.key, partition, "", {}, 0, run_id, now())
        return replace(build, refused=wanted, refused_by=",".join(sorted(set(checks))))

    def hold(self, table: Table, build: Build, reason: str) -> Build:
        """The entry, marked so that what there is now does not make the partition behind.

        What would be built now is put aside like a build that failed, until the input changes.
        """
        inputs = self.inputs(table, build.partition)
        if build.live and (build.code_version, build.inputs) == (table.code_version, inputs):
            return replace(build, refused="", refused_by="")
        return replace(build, refused=recipe(table, inputs), refused_by=reason)

    def held_back(self, table: Table, check: str) -> list[str]:
        """Partitions whose last build failed this check, and that were not mended since."""
        entries = self._builds.get(table.key, {})
        return sorted(key for key, build in entries.items() if check in build.refused_by.split(","))

    def inputs(self, table: Table, partition: str) -> dict[str, str]:
        """What the partition would be built from now: name -> fingerprint; empty if nothing is."""
        if table.source is not None:
            return dict(self._landed(table).get(partition, {}))
        return {
            f"{upstream.key}@{file.key}": file.fingerprint
            for upstream in table.upstream
            for file in self.feeding(upstream, table, [partition])
        }

    def _landed(self, table: Table) -> Mapping[str, Mapping[str, str]]:
        assert table.source is not None
        if table.key not in self._sources:
            self._sources[table.key] = table.source.inputs()
        return self._sources[table.key]

    def feeding(
        self, upstream: Table, reader: Table, partitions: Iterable[str]
    ) -> list[StoredFile]:
        """Files of ``upstream`` that any of the reader's partitions is computed from."""
        if read_whole(upstream, reader):
            return self.files(upstream)
        readers = self._readers(upstream, reader)
        found = {file.uri: file for key in partitions for file in readers.get(key, ())}
        return list(found.values())

    def _readers(self, upstream: Table, reader: Table) -> dict[str, list[StoredFile]]:
        """Partition of the reader -> files of ``upstream``; worked out once for all partitions."""
        names = (upstream.key, reader.key)
        if names not in self._fed:
            found: dict[str, list[StoredFile]] = {}
            for file in self.files(upstream):
                for partition in fed_partitions(upstream, reader, file.key):
                    found.setdefault(partition, []).append(file)
            self._fed[names] = found
        return self._fed[names]

    def candidates(self, table: Table) -> list[str]:
        """Partitions for which there is input, on the very days where a table is read beyond."""
        if table.source is not None:
            return sorted(self._landed(table))
        if table.period is UNPARTITIONED:
            return [UNPARTITIONED.only_key] if any(map(self.files, table.upstream)) else []
        found: set[str] = set()
        for upstream in table.upstream:
            if not read_whole(upstream, table) and table.reach_of(upstream) == (0, 0):
                found.update(self._readers(upstream, table))
        return sorted(found)

    def waiting_for(self, table: Table, partition: str) -> list[str]:
        """Partitions upstream that have input but were never built, or are in the archive.

        Without them a sum is short. They may be far: what is computed from them is then not even
        known to be there. What was computed from an archived one keeps its rows and is read.
        """
        near = (
            f"{upstream.key} {key}"
            for upstream in table.upstream
            for key in sorted(
                overlapping(
                    table.period,
                    [partition],
                    upstream.period,
                    self._archived(upstream),
                    table.reach_of(upstream),
                )
            )
        )
        return list(dict.fromkeys([*near, *self._lacking(table, partition)]))

    def _lacking(self, table: Table, partition: str) -> list[str]:
        """Partitions upstream, near or far, that have input but were never built."""
        if (table.key, partition) not in self._waiting:
            found: dict[str, None] = {}
            for upstream in table.upstream:
                reach = table.reach_of(upstream)
                unbuilt = self._unbuilt(upstream)
                keys = overlapping(table.period, [partition], upstream.period, unbuilt, reach)
                found |= dict.fromkeys(f"{upstream.key} {key}" for key in sorted(keys))
                if UNPARTITIONED in (table.period, upstream.period):
                    continue
                window = shifted(table.period.window(partition), reach)
                for key in upstream.period.keys_between(*window):
                    found |= dict.fromkeys(self._lacking(upstream, key))
            self._waiting[table.key, partition] = list(found)
        return self._waiting[table.key, partition]

    def _unbuilt(self, table: Table) -> list[str]:
        if table.key not in self._never_built:
            archived = self._archived(table)
            self._never_built[table.key] = [
                key
                for key in self.candidates(table)
                if self.build_of(table, key) is None and key not in archived
            ]
        return self._never_built[table.key]

    def _archived(self, table: Table) -> set[str]:
        if table.key not in self._archives:
            self._archives[table.key] = {
                key
                for key, build in self._builds.get(table.key, {}).items()
                if build.refused_by == ARCHIVED and not build.live
            }
        return self._archives[table.key]

    def behind(self, table: Table) -> list[Behind]:
        """Partitions to rebuild; those whose inputs are not complete yet are left out.

        A partition whose input is gone is rebuilt, and so emptied; but a source file that is gone
        takes nothing away. An archived partition is not behind while its input is as it was.
        """
        broken = self.broken(table)
        partitions = {*self.candidates(table), *broken}
        if table.source is None:
            entries = self._builds.get(table.key, {})
            partitions.update(key for key, build in entries.items() if build.live)
        found = []
        for partition in sorted(partitions):
            inputs = self.inputs(table, partition)
            why = broken.get(partition) or self._why(table, partition, inputs)
            if why and (partition in broken or not self.waiting_for(table, partition)):
                wanted = recipe(table, inputs)
                build = self._builds.get(table.key, {}).get(partition)
                # What failed, or was rolled back, keeps what is live, which has to be mended.
                refused = partition not in broken and build is not None and build.refused == wanted
                by = build.refused_by if build and refused else ""
                if by != ARCHIVED:
                    tried = self._attempt(table, partition, wanted)
                    found.append(Behind(table, partition, why, tried, refused, by))
        return found

    def _attempt(self, table: Table, partition: str, wanted: str) -> str:
        """A recipe with the very files: mended ones, with equal rows, are worth another try."""
        feeding = [f for up in table.upstream for f in self.feeding(up, table, [partition])]
        own = self.files(table) if partition in self.broken(table) else []
        read = [file.uri for file in (*feeding, *own)]
        return hashlib.sha256(repr([wanted, sorted(read)]).encode()).hexdigest()[:16]

    def _why(self, table: Table, partition: str, inputs: Mapping[str, str]) -> str | None:
        build = self.build_of(table, partition)
        if build is None:
            return "never built"
        if build.code_version != table.code_version:
            return "its declaration changed"
        if build.refused and build.refused != recipe(table, inputs) and inputs == build.inputs:
            # Rebuilding changes nothing, but tells people that the partition is well again.
            return "what made its last build fail was taken back"
        changed = sorted(
            name
            for name in inputs.keys() | build.inputs.keys()
            if inputs.get(name) != build.inputs.get(name)
        )
        if not changed and partition in self.soundness(table).unended:
            return "the run that published it did not end"
        return f"{CHANGED}: {', '.join(changed[:5])}" if changed else None


def recipe(table: Table, inputs: Mapping[str, str]) -> str:
    """One word for what a partition is built from; equal recipes give equal rows."""
    text = json.dumps([table.key, table.code_version, dict(inputs)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def now() -> datetime:
    """The moment that a ledger entry is written; never part of a result."""
    return datetime.now(timezone.utc)

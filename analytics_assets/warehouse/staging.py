"""The rows of partitions, computed or read and written where no reader looks.

Belongs here: what a table's rows are made of (its source, or upstream files and its SQL or
function), what their fingerprints are before they are written, and writing them.
Does not belong here: judging and publishing them (``build.py``).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import duckdb

from analytics_assets import settings
from analytics_assets.core.contracts import quoted, sql_type
from analytics_assets.core.declaration import Table
from analytics_assets.core.rollups import build_sql
from analytics_assets.core.source import Landing, ParallelSource, SourceUnavailable
from analytics_assets.warehouse.audit import fingerprint, row_hashes_sql
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.integrity import seal
from analytics_assets.warehouse.lake import StoredFile, by_key, partition_of
from analytics_assets.warehouse.ledger import now
from analytics_assets.warehouse.session import expose, literal, select_declared

# What a chunk's SELECTs say of partitions beside their rows, for people to see.
Reports = dict[str, dict[str, Any]]


@dataclass
class Staged:
    """What was staged of some partitions: files, and of slices what was read of them.

    ``read``: slice -> its fingerprint; ``same``: slices that are live as they were read, so that
    they need not be written -> their rows. ``unavailable``: the partition at which the source could
    not be reached; what was staged before it is whole.
    """

    files: list[StoredFile] = field(default_factory=list)
    read: dict[str, str] = field(default_factory=dict)
    same: dict[str, int] = field(default_factory=dict)
    unavailable: tuple[str, SourceUnavailable] | None = None

    def add(self, other: Staged) -> None:
        """With what was staged of other partitions."""
        self.files += other.files
        self.read |= other.read
        self.same |= other.same
        self.unavailable = self.unavailable or other.unavailable


class Staging:
    """Rows of one snapshot of the lake and of sources, in one DuckDB session."""

    def __init__(self, session: duckdb.DuckDBPyConnection, snapshot: Snapshot, run_id: str) -> None:
        self._session = session
        self._snapshot = snapshot
        self._lake = snapshot.lake
        self._run_id = run_id
        self._read_before: dict[str, dict[str, tuple[int, int]]] = {}

    def stage(self, table: Table, chunk: list[str], reports: Reports, staged: Staged) -> None:
        """Write the rows of a chunk, but for slices that are live as they are, into ``staged``.

        Raises what the source raises, but for ``SourceUnavailable``.
        """
        source = table.source
        if isinstance(source, ParallelSource) and source.side_by_side and len(chunk) > 1:
            self._stage_side_by_side(table, chunk, reports, staged)
            return
        for keys in [[key] for key in chunk] if source else [chunk]:
            if not staged.unavailable:
                self._stage(table, keys, reports, staged)

    def _stage_side_by_side(
        self, table: Table, chunk: list[str], reports: Reports, staged: Staged
    ) -> None:
        """The partitions of a source in as many threads as DuckDB has, each with a session."""
        self._snapshot.trusted(table)  # read once, and not by each thread
        apart = [Staged() for _ in chunk]

        def stage(key: str, own: Staged) -> None:
            with self._session.cursor() as session:
                Staging(session, self._snapshot, self._run_id)._stage(table, [key], reports, own)

        pool = ThreadPoolExecutor(settings.load().threads)
        try:
            begun = [pool.submit(stage, key, own) for key, own in zip(chunk, apart, strict=True)]
            wait(begun)
        finally:
            pool.shutdown(cancel_futures=True)
            for own in apart:
                # What comes after a partition whose source is away is asked for again with it.
                if staged.unavailable:
                    self._lake.discard(own.files)
                else:
                    staged.add(own)
        for one in begun:
            one.result()

    def _stage(self, table: Table, keys: list[str], reports: Reports, staged: Staged) -> None:
        try:
            with self._selects(table, keys, reports) as selects:
                slices = self._fingerprints(table, keys[0], selects) if table.slice_sql else {}
                staged.same |= self._live_slices(table, slices)
                staged.read |= slices
                changed = slices.keys() - staged.same.keys()
                for sql in selects:
                    staged.files += self._write(table, keys, sql, changed)
        except SourceUnavailable as error:
            staged.unavailable = (keys[0], error)

    def _live_slices(self, table: Table, read: Mapping[str, str]) -> dict[str, int]:
        """Slices that are live as they were read, and their rows."""
        live = by_key(self._snapshot.trusted(table))
        return {
            key: live[key].rows
            for key, found in read.items()
            if key in live and live[key].fingerprint == found
        }

    @contextmanager
    def _selects(self, table: Table, chunk: list[str], reports: Reports) -> Iterator[Sequence[str]]:
        """The SELECTs of the chunk's rows, which can be run inside the block.

        A chunk of a table with a source is one partition. Raises what the source raises.
        """
        self._read_before.clear()
        select = self._landed if table.source else self._computed
        with select(table, chunk, reports) as selects:
            yield selects

    @contextmanager
    def _landed(self, table: Table, chunk: list[str], reports: Reports) -> Iterator[Sequence[str]]:
        """What the table's source offers for a partition."""
        (key,) = chunk

        def read_through(sql: str) -> dict[str, int]:
            return {k: rows for k, (rows, _) in self._row_hashes(table, key, sql).items()}

        assert table.source
        live = [f.uri for f in self._snapshot.sound(table) if partition_of(table, f.key) == key]
        build = self._snapshot.build_of(table, key)
        same = build is not None and build.code_version == table.code_version
        lost = key in self._snapshot.broken(table)
        landing = Landing(
            self._session,
            key,
            reports.setdefault(key, {}),
            read_through,
            live=select_declared(table, live),
            # Of rows that were lost the source has to be asked for all that it has.
            built_from=build.inputs if build and same and live and not lost else {},
        )
        with table.source.land(landing) as selects:
            yield selects

    @contextmanager
    def _computed(
        self, table: Table, chunk: list[str], reports: Reports
    ) -> Iterator[Sequence[str]]:
        """What the table's SQL or function makes of its upstream tables."""
        for upstream in table.upstream:
            files = self._snapshot.feeding(upstream, table, chunk)
            expose(self._session, upstream, [file.uri for file in files])
        if table.reads_itself:
            self._expose_itself(table, chunk)
        if table.compute:
            sql = self._by_function(table, reports.setdefault(chunk[0], {}))
        else:
            sql = build_sql(table)
        if table.slice_sql is None:
            yield [sql]
            return
        # Read twice, to compare the slices and to write those that differ.
        self._session.execute(f"create or replace temp table _built as {sql}")
        yield ["select * from _built"]
        self._session.execute("drop table _built")

    def _expose_itself(self, table: Table, chunk: list[str]) -> None:
        """What is live of these partitions, and when and by which run it is being added to.

        It is no input of the ledger: a table is not behind because it was built.
        """
        own = [f.uri for f in self._snapshot.sound(table) if partition_of(table, f.key) in chunk]
        expose(self._session, table, own)
        self._session.execute(f"set variable run_id = {literal(self._run_id)}")
        self._session.execute(f"set variable run_time = timestamptz {literal(str(now()))}")

    def _by_function(self, table: Table, report: dict[str, Any]) -> str:
        """SELECT of the rows that the table's function makes of what its SQL selects.

        They pass through memory: what is analysed so has been summed up before.
        """
        assert table.compute
        selected = self._session.execute(build_sql(table)).df()
        self._session.register("_computed", table.compute(selected, report))
        return "select * from _computed"

    def _row_hashes(self, table: Table, partition: str, sql: str) -> dict[str, tuple[int, int]]:
        """Storage key -> rows and sum of their hashes, of a SELECT; it is read once."""
        if sql not in self._read_before:
            key = _storage_key_sql(table, literal(partition))
            self._read_before[sql] = {
                name: (rows, hashes)
                for name, rows, hashes in self._session.execute(
                    f"select {key}, count(*), {row_hashes_sql(table)}"
                    f" from (select {_stored_columns_sql(table)} from ({sql})) group by 1"
                ).fetchall()
            }
        return self._read_before[sql]

    def _fingerprints(self, table: Table, partition: str, selects: Iterable[str]) -> dict[str, str]:
        """Storage key -> fingerprint of its rows in all the SELECTs together."""
        total: dict[str, tuple[int, int]] = {}
        for sql in selects:
            for key, (rows, hashes) in self._row_hashes(table, partition, sql).items():
                known = total.get(key, (0, 0))
                total[key] = (known[0] + rows, known[1] + hashes)
        return {key: fingerprint(*found) for key, found in total.items()}

    def _write(
        self, table: Table, chunk: list[str], sql: str, slices: Collection[str]
    ) -> list[StoredFile]:
        """Write the chunk's rows, or these slices of them, as Parquet that no log names yet."""
        partition = table.partition_sql if table.source is None else literal(chunk[0])
        key = _storage_key_sql(table, partition)
        wanted = sorted(slices) if table.slice_sql else chunk
        if not wanted:
            return []
        listed = ", ".join(literal(name) for name in wanted)
        columns = _stored_columns_sql(table)
        rows = f"from ({sql}) as built where {key} in ({listed})"
        options = f"format parquet, compression {table.compression}, return_stats true"
        name = uuid4().hex
        if len(wanted) == 1:
            # Sorting rows into partitions costs as much again as writing them.
            folder = self._lake.drafts(table.key, f"_partition={wanted[0]}")
            target = f"{folder}/{name}.parquet"
            copy = f"copy (select {columns} {rows}) to {literal(target)} ({options})"
        else:
            folder = self._lake.drafts(table.key)
            copy = (
                f"copy (select {columns}, {key} as _partition {rows})"
                f" to {literal(folder)} ({options}, partition_by (_partition),"
                " write_partition_columns false, overwrite_or_ignore true,"
                f" filename_pattern '{name}_{{i}}')"
            )
        written = [
            StoredFile(_key_in_path(path), path, count, size, "")
            for path, count, size, *_ in self._session.execute(copy).fetchall()
        ]
        for file in written:
            if not file.rows:
                os.unlink(file.uri)
        return [seal(self._lake, file) for file in written if file.rows]


def _storage_key_sql(table: Table, partition: str) -> str:
    return f"coalesce({table.slice_sql}, {partition})" if table.slice_sql else partition


def _stored_columns_sql(table: Table) -> str:
    return ", ".join(
        f"cast({quoted(column.name)} as {sql_type(column)}) as {quoted(column.name)}"
        for column in table.stored_columns
    )


def _key_in_path(path: str) -> str:
    folder = path.rsplit("/", 2)[1]
    return folder.removeprefix("_partition=")

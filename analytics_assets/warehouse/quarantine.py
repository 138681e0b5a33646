"""The rows for which partitions are held back, each with its reasons.

Belongs here: finding them among staged rows, and keeping them as one Parquet file a partition below
``_quarantine``. A file is written whole and renamed, so runs at once leave one or the other.
Does not belong here: judging rows (``audit.py``), or the view of them (``catalogue.py``).

Personal columns are there as they are in the table; nothing of it is promoted or previewed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import duckdb
import pyarrow.fs

from analytics_assets.core.contracts import quoted, rules
from analytics_assets.core.declaration import Table
from analytics_assets.warehouse.audit import CONTRACT, DOUBLED, doubled_sql
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.session import literal

# More help nobody, and a partition of a national year could hold millions. The count is exact.
KEPT_ROWS = 10_000
_SAME_PARTITION = "_broken._partition = _row._partition"
_OWN_COLUMNS = ("reason", "table_name", "partition", "run_id", "held_back_at")


@dataclass(frozen=True)
class _Fault:
    """A reason, and the condition that a row (``_row``) is at fault by it."""

    reason: str
    row_sql: str


def view_name(table: Table) -> str:
    """The view of what is in quarantine, as SQL names it."""
    return f"quarantine.{table.domain}_{table.name}"


class Quarantine:
    """The quarantine of one table."""

    def __init__(self, lake: Lake, table: Table) -> None:
        self._table = table
        self._lake = lake
        self._name = f"_quarantine/{table.key}"
        self._uri = f"{lake.root}/{self._name}"
        self._fs, self._path = lake.folder(self._name)

    def files(self) -> dict[str, str]:
        """Partition -> place of its rows."""
        selector = pyarrow.fs.FileSelector(self._path, allow_not_found=True)
        return {
            info.base_name.removesuffix(".parquet"): f"{self._uri}/{info.base_name}"
            for info in sorted(self._fs.get_file_info(selector), key=lambda info: info.base_name)
            if info.extension == "parquet"
        }

    def select_sql(self) -> str | None:
        """SELECT of all that is in quarantine; ``None`` where nothing is."""
        files = self.files().values()
        for uri in files:  # of one partition they come by the same name again
            self._lake.storage.forget_copy(uri)
        listed = ", ".join(map(literal, files))
        # A file may be of an earlier declaration, with other columns.
        return f"select * from read_parquet([{listed}], union_by_name = true)" if listed else None

    def release(self, partitions: Collection[str]) -> bool:
        """Forget these partitions; returns whether there was anything."""
        gone = self.files().keys() & set(partitions)
        for partition in gone:
            for kind in ("parquet", "csv") if self._table.failures_csv else ("parquet",):
                with suppress(FileNotFoundError):  # another run has published it, too
                    self._fs.delete_file(f"{self._path}/{partition}.{kind}")
        return bool(gone)

    def csv(self, partition: str) -> str | None:
        """Place of all rows at fault as CSV, where the table keeps them so."""
        return f"{self._uri}/{partition}.csv" if self._table.failures_csv else None

    def keep(
        self,
        session: duckdb.DuckDBPyConnection,
        partition: str,
        storage_keys: Sequence[str],
        failed: Collection[str],
        run_id: str,
        held_back_at: datetime,
    ) -> int:
        """Keep the rows by which a staged partition fails these checks; returns how many there are.

        The session reads the staged rows under the table's name.
        """
        faults = _faults(session, self._table, failed)
        if not faults or not storage_keys:
            return 0
        reasons = ", ".join(
            f"case when {fault.row_sql} then {literal(fault.reason)} end" for fault in faults
        )
        keys = ", ".join(literal(key) for key in storage_keys)
        session.execute(
            "create or replace temp view _faulty as select * from (select"
            f" concat_ws('; ', {reasons}) as _reason, * from {self._table.sql_name} as _row"
            f" where _partition in ({keys})) where _reason <> ''"
        )
        ((count,),) = session.execute("select count(*) from _faulty").fetchall()
        if count:
            self._write(session, partition, run_id, held_back_at)
        return count

    def _write(
        self,
        session: duckdb.DuckDBPyConnection,
        partition: str,
        run_id: str,
        held_back_at: datetime,
    ) -> None:
        moment = f"cast({literal(held_back_at.isoformat())} as timestamptz)"
        values = ("_reason", literal(self._table.key), literal(partition), literal(run_id), moment)
        own = [f"{sql} as {name}" for sql, name in zip(values, _OWN_COLUMNS, strict=True)]
        columns = [
            f"{quoted(c.name)} as {quoted(f'row_{c.name}')}"
            if c.name in _OWN_COLUMNS
            else quoted(c.name)
            for c in self._table.stored_columns
        ]
        folder = self._lake.drafts(self._name)
        draft = f"{folder}/.{uuid4().hex}"
        session.execute(
            f"copy (select {', '.join(own + columns)} from _faulty limit {KEPT_ROWS})"
            f" to {literal(draft)} (format parquet, compression zstd)"
        )
        self._lake.storage.put_in_place(draft, f"{folder}/{partition}.parquet")
        if self._table.failures_csv:
            # All of them: a spreadsheet is where people look for what their rows have in common.
            session.execute(
                f"copy (select {', '.join(own + columns)} from _faulty)"
                f" to {literal(draft)} (format csv, header true)"
            )
            self._lake.storage.put_in_place(draft, f"{folder}/{partition}.csv")


def _faults(
    session: duckdb.DuckDBPyConnection, table: Table, failed: Collection[str]
) -> list[_Fault]:
    faults = []
    if CONTRACT in failed:
        faults += [_Fault(rule.name, rule.broken_sql) for rule in rules(table)]
        if table.unique_columns:
            same = f"{_SAME_PARTITION} and {_same_row(table)}"
            faults.append(_Fault(DOUBLED, _matches(doubled_sql(table), same)))
    for check in table.checks:
        if check.name not in failed:
            continue
        selected = {row[0] for row in session.execute(f"describe {check.sql}").fetchall()}
        names_rows = bool(table.unique_columns) and selected.issuperset(table.unique_columns)
        at_fault = check.at_fault or (_same_row(table) if names_rows else "")
        if at_fault:
            reason = f"{check.name}: {check.description}"
            # Of a table in slices one partition is judged at a time, and what is broken may be said
            # of the partition as a whole.
            same = "true" if table.slice_sql else _SAME_PARTITION
            faults.append(_Fault(reason, _matches(check.sql, f"{same} and ({at_fault})")))
    return faults


def _same_row(table: Table) -> str:
    return " and ".join(
        f"_broken.{quoted(name)} is not distinct from _row.{quoted(name)}"
        for name in table.unique_columns
    )


def _matches(selected: str, at_fault: str) -> str:
    """Condition that a row is one of those that a SELECT of what is broken is about."""
    return f"exists (select 1 from ({selected}) as _broken where {at_fault})"

"""Putting tables of the warehouse back to an earlier version.

Belongs here: which files and ledger entries a table had, and making them live again.
Does not belong here: production (``production/rollback_production.py``), or the job
(``automation``).

A rolled back partition stays as it is until its input changes or it is materialised by hand: what
would be built now is put aside in the ledger. Tables downstream follow as after any change.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType

from deltalake.exceptions import DeltaError

from analytics_assets.core.declaration import Table, in_dependency_order
from analytics_assets.warehouse.behind import ROLLED_BACK
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.confirming import block
from analytics_assets.warehouse.delta_log import DamagedLog
from analytics_assets.warehouse.integrity import damaged, published_words
from analytics_assets.warehouse.lake import (
    Lake,
    StoredFile,
    partition_of,
    storage_schema,
    version_at,
)
from analytics_assets.warehouse.ledger import Build, now


class RollbackError(RuntimeError):
    """Nothing was changed; says why."""


@dataclass(frozen=True)
class RolledBack:
    """A table, the version it was put back to, and the partitions that changed by it."""

    table: Table
    version: int
    partitions: list[str]


@dataclass(frozen=True)
class _Plan:
    table: Table
    version: int
    until: datetime
    keys: list[str]
    files: list[StoredFile]

    @property
    def partitions(self) -> list[str]:
        return sorted({partition_of(self.table, key) for key in self.keys})


def roll_back(
    lake: Lake,
    tables: Sequence[Table],
    target: int | datetime,
    run_id: str,
    partitions: Collection[str] | None = None,
) -> list[RolledBack]:
    """Make the tables (or some partitions) what they were in a version or at a moment.

    Tables that did not exist then are left alone. Raises ``RollbackError`` where the version cannot
    be read any more. Killed half way it is completed by running it again; until then no partition
    that it was to change is rebuilt from what has been put aside.
    """
    found = [_plan(lake, table, target, partitions) for table in in_dependency_order(tables)]
    plans = [plan for plan in found if plan and plan.keys]
    if not plans:
        return []
    before = Snapshot(lake)
    then: dict[tuple[str, str], Build] = {}
    for plan in plans:
        then |= _ledger_of(before, plan)
    before.ledger.record(_entries(before, plans, {}, run_id))
    for plan in plans:
        notes = {"run_id": run_id, ROLLED_BACK: str(plan.version)}
        lake.publish(plan.table, plan.files, plan.keys, notes)
    after = Snapshot(lake)
    empty = {plan.table.key: _empty(before, after, plan, then, partitions) for plan in plans}
    after.ledger.record(_entries(after, plans, then, run_id, empty))
    return [RolledBack(plan.table, plan.version, plan.partitions) for plan in plans]


def _plan(
    lake: Lake, table: Table, target: int | datetime, partitions: Collection[str] | None
) -> _Plan | None:
    moments = lake.moments(table)
    version = version_at(moments, target) if isinstance(target, datetime) else target
    if version is None:
        return None
    if version not in moments:
        raise RollbackError(
            f"{table.key} has no version {version}; it has {min(moments, default='none')} to"
            f" {max(moments, default='none')}"
        )
    _refuse_other_columns(lake, table, version)
    then = [f for f in lake.files(table, version) if _wanted(table, f.key, partitions)]
    live = [f for f in lake.files(table) if _wanted(table, f.key, partitions)]
    old = {file.key: file.fingerprint for file in then}
    new = {file.key: file.fingerprint for file in live}
    keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    files = [file for file in then if file.key in keys]
    gone = damaged(lake, files)
    if gone:
        raise RollbackError(
            f"{table.key}: version {version} cannot be put back, {len(gone)} of its files are gone"
            f" or damaged (the first: {gone[0].file.uri}). Choose a later version, or restore a"
            " backup"
        )
    # The ledger was written after this version and before the next.
    following = moments.get(version + 1)
    until = following - timedelta(milliseconds=1) if following else now()
    return _Plan(table, version, target if isinstance(target, datetime) else until, keys, files)


def _ledger_of(snapshot: Snapshot, plan: _Plan) -> dict[tuple[str, str], Build]:
    try:
        entries = snapshot.ledger.read_as_of(plan.until)
    except (OSError, DeltaError, DamagedLog) as error:
        raise RollbackError(
            f"{plan.table.key}: what version {plan.version} was built from is not kept any more."
            " Choose a later version, or restore a backup"
        ) from error
    return {key: build for key, build in entries.items() if key[0] == plan.table.key}


def _wanted(table: Table, key: str, partitions: Collection[str] | None) -> bool:
    return partitions is None or partition_of(table, key) in partitions


def _refuse_other_columns(lake: Lake, table: Table, version: int) -> None:
    def shape(schema) -> list[tuple[str, str]]:
        return [(field.name, str(field.type)) for field in schema]

    then, declared = lake.columns(table, version), storage_schema(table)
    if shape(then) != shape(declared):
        other = {name for name, _ in set(shape(then)) ^ set(shape(declared))}
        raise RollbackError(
            f"{table.key}: version {version} has other columns than are declared now"
            f" ({', '.join(sorted(other)[:5])}). Run the code of that time, or choose a later one"
        )


def _empty(
    before: Snapshot,
    after: Snapshot,
    plan: _Plan,
    then: Mapping[tuple[str, str], Build],
    partitions: Collection[str] | None,
) -> list[str]:
    """Partitions without a row, then and now, that were built from something else then."""
    table = plan.table
    filled = {partition_of(table, file.key) for file in after.files(table)} | set(plan.partitions)
    known = {*before.live(table), *(p for key, p in then if key == table.key)} - filled
    return [
        key
        for key in sorted(known)
        if partitions is None or key in partitions
        for now_, was in [(before.entry_of(table, key), then.get((table.key, key)))]
        if now_ is None or was is None or now_.inputs != was.inputs
    ]


def _entries(
    snapshot: Snapshot,
    plans: list[_Plan],
    then: dict[tuple[str, str], Build],
    run_id: str,
    empty: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[Build]:
    """Ledger entries as they were, blocked where what there is now would give other rows."""
    entries = []
    for plan in plans:
        live = {partition_of(plan.table, file.key) for file in snapshot.files(plan.table)}
        word = published_words(plan.table, snapshot.files(plan.table))
        for partition in [*plan.partitions, *empty.get(plan.table.key, ())]:
            code = plan.table.code_version if partition in live else ""
            unknown = Build(plan.table.key, partition, code, {}, 0, run_id, now())
            entry = then.get((plan.table.key, partition), unknown)
            # Killed half way it may be any version: that is no damage.
            entry = replace(entry, published=word(partition) if then else "")
            entries.append(block(snapshot, plan.table, entry, ROLLED_BACK))
    return entries

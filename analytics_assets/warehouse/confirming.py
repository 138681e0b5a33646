"""What people say of builds: that one is not to be made, or may be although rows are lost by it.

Belongs here: their word in the ledger, and which live rows a build is compared with.
Does not belong here: the checks (``audit.py``), versions on hold (``production/review.py``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from analytics_assets.core.declaration import Table
from analytics_assets.warehouse.audit import Audit
from analytics_assets.warehouse.behind import CONFIRMED, recipe, tried
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import partition_of
from analytics_assets.warehouse.ledger import Build


def replaced(snapshot: Snapshot, table: Table, partitions: Collection[str]) -> list[str]:
    """Files that a build of these partitions replaces, where another input made them.

    What another declaration made of the same text is no loss of the input.
    """
    builds = {key: snapshot.build_of(table, key) for key in partitions}
    alike = {k for k, one in builds.items() if one and one.code_version == table.code_version}
    return [f.uri for f in snapshot.sound(table) if partition_of(table, f.key) in alike]


def softened(snapshot: Snapshot, table: Table, audited: Audit) -> Audit:
    """The audit, in which what was confirmed only warns."""
    names = _confirmable(table)
    findings = [
        replace(found, blocking=False)
        if found.check in names and _is_confirmed(snapshot, table, found.partition)
        else found
        for found in audited.findings
    ]
    return replace(audited, findings=findings)


def confirm(
    snapshot: Snapshot, table: Table, partitions: Collection[str] | None = None
) -> list[str]:
    """Let what these checks alone hold back be built from the inputs that it was tried with."""
    names = _confirmable(table)
    found = []
    for key in sorted({key for name in names for key in snapshot.blocked_by(table, name)}):
        build = snapshot.build_of(table, key)
        is_meant = partitions is None or key in partitions
        if build and is_meant and names.issuperset(build.blocked_by.split(",")):
            found.append(replace(build, blocked_by=CONFIRMED))
    snapshot.ledger.record(found)
    snapshot.forget(table, found)
    return [build.partition for build in found]


def block(snapshot: Snapshot, table: Table, build: Build, reason: str) -> Build:
    """The entry, marked so that what there is now does not make the partition behind.

    What would be built now is put aside like a build that failed, until the input changes.
    """
    inputs = snapshot.inputs(table, build.partition)
    if build.live and (build.code_version, build.inputs) == (table.code_version, inputs):
        return replace(build, refused="", blocked_by="")
    return replace(build, refused=recipe(table, inputs), blocked_by=reason)


def _confirmable(table: Table) -> set[str]:
    return {check.name for check in table.checks if check.confirmable}


def _is_confirmed(snapshot: Snapshot, table: Table, partition: str) -> bool:
    build = snapshot.build_of(table, partition)
    what = tried(table, snapshot.inputs(table, partition))
    return build is not None and (build.blocked_by, build.refused) == (CONFIRMED, what)

"""What a table is built without: partitions upstream that are refused as they are.

Belongs here: which those are, and which tables go without them.
Does not belong here: why something was refused (``audit.py``), what else is behind (``builds.py``).

A table without partitions is one for all time: one refused month must not hold up every other. A
table with partitions waits, as its sum would be short, unless it declares ``goes_without``; so it
does for what a table of all time that it reads was built without. When what was refused is built,
its readers are behind as after any change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import UNPARTITIONED, overlapping
from analytics_assets.warehouse.behind import ARCHIVED, ROLLED_BACK

WITHDRAWN = "what made its last build fail was taken back"

if TYPE_CHECKING:
    from analytics_assets.warehouse.builds import Snapshot


def goes_without(table: Table, upstream: Table) -> bool:
    """Whether what is refused of ``upstream`` takes only a part of the table away."""
    if table.period is UNPARTITIONED:
        return upstream.period is not UNPARTITIONED
    return upstream.name in table.goes_without


def is_refused(snapshot: Snapshot, table: Table, partition: str) -> bool:
    """Whether a partition was never built because its input, or that of one that it waits for, is
    refused."""
    return snapshot.was_refused(table, partition) or any(
        is_refused(snapshot, upstream, key)
        for upstream, key in _unbuilt(snapshot, table, partition)
        if not goes_without(table, upstream)
        and UNPARTITIONED not in (table.period, upstream.period)
    )


def is_withdrawn(snapshot: Snapshot, table: Table, partition: str) -> bool:
    """Whether its source does not offer any more what was refused; what is live of it stays."""
    entry = snapshot.entry_of(table, partition)
    is_refused = entry and entry.refused and entry.blocked_by not in (ARCHIVED, ROLLED_BACK)
    return bool(is_refused) and snapshot.is_gone(table, partition)


def awaited(snapshot: Snapshot, table: Table, upstream: Table) -> list[str]:
    """Partitions of ``upstream`` that have input, were never built, and have to be first."""
    keys = snapshot.unbuilt(upstream)
    if not goes_without(table, upstream):
        return keys
    return [key for key in keys if not is_refused(snapshot, upstream, key)]


def missing(snapshot: Snapshot, table: Table, partition: str) -> list[str]:
    """What a partition is built without; of a table without partitions, however far it is."""
    found = {
        f"{upstream.key} {key}": None
        for upstream, key in _unbuilt(snapshot, table, partition)
        if goes_without(table, upstream) and is_refused(snapshot, upstream, key)
    }
    if table.period is UNPARTITIONED:
        for upstream in _before(table):
            if upstream.period is not UNPARTITIONED:
                keys = (k for k in snapshot.unbuilt(upstream) if snapshot.was_refused(upstream, k))
                found |= dict.fromkeys(f"{upstream.key} {key}" for key in keys)
    return list(found)


def touched(table: Table, partition: str, upstream: Table, keys: Iterable[str]) -> list[str]:
    """Names of those of the partitions ``keys`` of ``upstream`` that this one is computed from."""
    return [f"{upstream.key} {key}" for key in _near(table, partition, upstream, keys)]


def _near(table: Table, partition: str, upstream: Table, keys: Iterable[str]) -> list[str]:
    reach = table.reach_of(upstream)
    return sorted(overlapping(table.period, [partition], upstream.period, keys, reach))


def _before(table: Table) -> dict[Table, None]:
    found: dict[Table, None] = {}
    for upstream in table.upstream:
        found |= {upstream: None, **_before(upstream)}
    return found


def _unbuilt(snapshot: Snapshot, table: Table, partition: str) -> Iterator[tuple[Table, str]]:
    for upstream in table.upstream:
        for key in _near(table, partition, upstream, snapshot.unbuilt(upstream)):
            yield upstream, key

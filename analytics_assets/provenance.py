"""What a partition was built from, run by run, down to the files that were landed.

Belongs here: following the build ledger of the warehouse from a table to its sources.
Does not belong here: what production holds (``api/origins.py``), keeping the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from analytics_assets.core.declaration import Table
from analytics_assets.core.source import SourceError
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import partition_of

_MOST_LISTED = 12


@dataclass(frozen=True)
class Step:
    """A partition as it was built: by which run, when, from which partitions or files."""

    table: str
    partition: str
    depth: int
    rows: int
    run_id: str
    built_at: datetime
    by_user: str
    inputs: tuple[str, ...]
    is_source: bool

    def __str__(self) -> str:
        more = len(self.inputs) - _MOST_LISTED
        listed = ", ".join(self.inputs[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
        who = f" by {self.by_user}" if self.by_user else ""
        what = "files" if self.is_source else "from"
        return (
            f"{'  ' * self.depth}{self.table} {self.partition}: {self.rows:,} rows, built"
            f" {self.built_at:%Y-%m-%d %H:%M:%S} UTC in run {self.run_id}{who}\n"
            f"{'  ' * self.depth}  {what}: {listed or 'nothing'}"
        )


def steps(
    snapshot: Snapshot, tables: Sequence[Table], table: Table, partition: str
) -> Iterator[Step]:
    """The partition and all that it was built from, each once; ``SourceError`` where it was never
    built here."""
    known = {one.key: one for one in tables}
    if snapshot.build_of(table, partition) is None:
        raise SourceError(
            "it was never built in this home",
            f"{table.sql_name} {partition}",
            "Name a partition that is live, as `analytics-assets status` and the UI do.",
        )
    ahead, seen = [(table, partition, 0)], {(table.key, partition)}
    while ahead:
        own, key, depth = ahead.pop()
        build = snapshot.build_of(own, key)
        if build is None:
            continue
        is_source = own.source is not None
        yield Step(
            own.sql_name,
            key,
            depth,
            build.rows,
            build.run_id,
            build.built_at,
            build.by_user,
            tuple(sorted(build.inputs)),
            is_source,
        )
        for name in () if is_source else sorted(build.inputs, reverse=True):
            upstream, _, stored = name.partition("@")
            if upstream in known:
                above = partition_of(known[upstream], stored)
                if (upstream, above) not in seen:
                    seen.add((upstream, above))
                    ahead.append((known[upstream], above, depth + 1))

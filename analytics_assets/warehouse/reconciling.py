"""Live rollups against the facts that they count, whatever lies between.

Belongs here: which live partitions are compared in a night, and with what.
Does not belong here: comparing totals, which a build does with the next finer table
(``audit.py``), or files with their checksums (``scrub.py``).

A build compares a table with the one that it is rolled up from, so what has gone wrong in that one
would be repeated faithfully. Here each table is compared with the rows that its first measures
count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import duckdb

from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets.warehouse.audit import reconciled
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import key_period, partition_of
from analytics_assets.warehouse.scrub import Share
from analytics_assets.warehouse.session import expose

Window = tuple[date, date]


@dataclass
class Reconciled:
    """How many partitions were compared, how many are left because they are behind or their facts
    are archived, and a sentence for each that differs."""

    partitions: int = 0
    behind: int = 0
    differing: list[str] = field(default_factory=list)


def reconcile(
    session: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    tables: Sequence[Table],
    percent: float,
    as_of: datetime,
) -> Reconciled:
    """Compare ``percent`` of the years, of all tables of a domain, with what is live now."""
    done, tonight = Reconciled(), Share(percent, as_of)
    for table in tables:
        chain = counted_by(table)
        if not chain:
            continue
        by_year: dict[str, list[str]] = defaultdict(list)
        for partition in snapshot.live(table):
            by_year[_year(table, partition)].append(partition)
        chosen = [own for year, own in by_year.items() if tonight.has(f"{table.domain} {year}")]
        lacking = _lacking(snapshot, chain) if chosen else []
        for partitions in chosen:
            settled = [p for p in partitions if not _any_overlap(table.period.window(p), lacking)]
            done.behind += len(partitions) - len(settled)
            done.partitions += len(settled)
            done.differing += _differing(session, snapshot, chain, settled) if settled else []
    return done


def counted_by(table: Table) -> list[Table]:
    """The table, those that it is rolled up from, and last the one whose rows are counted; empty
    where nothing is."""
    chain = [table]
    while chain[-1].rollup_of:
        chain.append(chain[-1].rollup_of)
    if chain[-1].measured_from:
        chain.append(chain[-1].measured_from)
    return chain if len(chain) > 1 else []


def _year(table: Table, partition: str) -> str:
    return "all" if table.period is UNPARTITIONED else str(table.period.window(partition)[0].year)


def _lacking(snapshot: Snapshot, chain: Sequence[Table]) -> list[Window]:
    """Days of which any of these tables does not have what it should have, or is archived."""
    computed = [table for table in chain if table.source is None]
    behind = [one for table in computed for one in snapshot.behind(table)]
    unsettled = [one for table in computed for one in snapshot.unsettled(table)]
    return [
        *(one.table.period.window(one.partition) for one in behind),
        *(one.table.period.window(one.partition) for one in unsettled),
    ]


def _differing(
    session: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    chain: Sequence[Table],
    partitions: Collection[str],
) -> list[str]:
    table, facts = chain[0], chain[-1]
    windows = [table.period.window(partition) for partition in partitions]
    own = [f.uri for f in snapshot.files(table) if partition_of(table, f.key) in partitions]
    feeding = [
        file.uri
        for file in snapshot.files(facts)
        if _any_overlap(key_period(facts, file.key).window(file.key), windows)
    ]
    expose(session, table, own)
    expose(session, facts, feeding)
    counted_as = chain[-2] if chain[-2].measured_from else facts
    anew = " and ".join(one.key for one in reversed(chain[:-1]))
    return sorted(
        f"{table.key} {found.partition}: {found.summary}. Materialise anew: {anew}"
        for found in reconciled(session, table, facts, sorted(partitions), counted_as)
        # Of the days around these, not all facts were read.
        if found.partition in partitions
    )


def _any_overlap(one: Window, others: Iterable[Window]) -> bool:
    return any(one[0] < other[1] and other[0] < one[1] for other in others)

"""What to run next: the partitions that are behind, and nothing else.

Belongs here: turning "this is behind" into runs, for the schedule, the sensor and the command line
alike.
Does not belong here: knowing what is behind (``warehouse.builds``), or running.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
import sqlalchemy as sa

from analytics_assets import settings
from analytics_assets.core.contracts import asset_key
from analytics_assets.core.declaration import Table, in_dependency_order
from analytics_assets.core.partitions import PERIODS, UNPARTITIONED, Period, overlapping
from analytics_assets.production.outlook import outlook
from analytics_assets.production.release_assets import release_job_name
from analytics_assets.warehouse.behind import Behind
from analytics_assets.warehouse.builds import Snapshot

# What a run is made from, and its domain, by which the queue limits how many it starts.
RECIPE_TAG, DOMAIN_TAG = "analytics_assets/recipe", "analytics_assets/domain"
_RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
_PARTITION = "dagster/partition"
REQUESTED_TAGS = (RECIPE_TAG, DOMAIN_TAG, _PARTITION, *_RANGE)


@dataclass(frozen=True)
class PlannedRun:
    """One run: a job, the assets of it, and the first and last of neighbouring partitions.

    A release has no assets to choose: it is of all that changed.
    """

    job: str
    assets: tuple[dg.AssetKey, ...]
    period: Period
    first: str
    last: str
    why: tuple[str, ...]
    recipe: str

    @property
    def tags(self) -> dict[str, str]:
        """Run tags: Dagster's for the partitions, and what the run is made from."""
        # A job is named after its domain and period, none of which has an underscore.
        tags = {RECIPE_TAG: self.recipe, DOMAIN_TAG: self.job.rpartition("_")[0]}
        if self.period is UNPARTITIONED:
            return tags
        if self.first == self.last:
            return {**tags, _PARTITION: self.first}
        return {**tags, _RANGE[0]: self.first, _RANGE[1]: self.last}

    def request(self) -> dg.RunRequest:
        """As a schedule or sensor asks for it."""
        chosen = list(self.assets) or None
        return dg.RunRequest(job_name=self.job, asset_selection=chosen, tags=self.tags)

    def __str__(self) -> str:
        if not self.assets:
            return f"{self.job}: {len(self.why)} changes become visible at once"
        span = self.first if self.first == self.last else f"{self.first} to {self.last}"
        return f"{self.job} {span}: {len(self.assets)} assets"


def job_name(domain: str, period: Period) -> str:
    """The job that holds all assets of a domain and period."""
    return f"{domain}_{period.name}"


def by_domain(tables: Sequence[Table]) -> list[list[Table]]:
    """The tables of each domain: a landing folder that cannot be read stops only its own."""
    return [
        [table for table in tables if table.domain == domain]
        for domain in sorted({table.domain for table in tables})
    ]


def plan(
    tables: Sequence[Table],
    snapshot: Snapshot,
    engine: sa.Engine,
    land: bool = True,
    skip: Callable[[PlannedRun], bool] = lambda run: False,
) -> list[PlannedRun]:
    """Runs for everything of a domain that is behind and does not wait for something else that is.

    Where nothing of the warehouse is left to do, the release of what production should have
    otherwise. With ``land`` false the sources are not looked at: only what already landed is
    carried on. What ``skip`` names was tried, and is not asked for again.

    Call again after they ran: what they changed decides what comes next. Partitions that failed
    their audit are left out until their input changes; what reads their live version goes on.
    """
    behind = {
        table.key: {found.partition: found for found in snapshot.behind(table)}
        if land or table.source is None
        else {}
        for table in in_dependency_order(tables)
    }
    pending = {
        key: {name: found for name, found in partitions.items() if not found.refused}
        for key, partitions in behind.items()
    }
    rebuilt = {
        key: {name: found for name, found in partitions.items() if not found.unjudged}
        for key, partitions in pending.items()
    }
    moving = _about_to_change(tables, rebuilt)
    ready = _Ready(rebuilt, moving)
    for table in in_dependency_order(tables):
        for found in pending[table.key].values():
            if table.key not in moving and not _waits(found, table.upstream, rebuilt):
                ready.add(found)
    runs = [run for run in ready.runs(tables) if not skip(run)]
    return runs or [run for run in _release(tables, snapshot, engine) if not skip(run)]


def _release(
    tables: Sequence[Table], snapshot: Snapshot, engine: sa.Engine
) -> Iterator[PlannedRun]:
    """The run that makes visible what may be."""
    if not any(table.publish for table in tables):
        return
    with engine.connect() as connection:
        found = outlook(connection, snapshot, tables)
    why = [f"{due}: {due.why}" for due in found.ready]
    why += [f"production/{key}: {fault}" for key, fault in found.faults.items()]
    if why:
        made_from = repr([(due.place, due.offered) for due in found.ready] + why)
        domain = tables[0].domain
        yield PlannedRun(
            release_job_name(domain),
            (),
            UNPARTITIONED,
            UNPARTITIONED.only_key,
            UNPARTITIONED.only_key,
            tuple(why),
            _checksum(made_from),
        )


def _cut(period: Period, partitions: Sequence[str]) -> list[tuple[str, str]]:
    """First and last of neighbouring partitions, at most as many as one run is to have."""
    most = settings.load().run_partitions or len(partitions)
    found = []
    for first, last in period.spans(partitions):
        own = [key for key in sorted(partitions) if first <= key <= last]
        found += [(own[at], own[at : at + most][-1]) for at in range(0, len(own), most)]
    return found


def _computed_from(table: Table, keys: Collection[str]) -> bool:
    """Whether any of these tables feeds this one, directly or through others."""
    return any(up.key in keys or _computed_from(up, keys) for up in table.upstream)


def _waits(
    found: Behind, upstream: Iterable[Table], pending: Mapping[str, Mapping[str, Behind]]
) -> bool:
    return any(
        overlapping(
            found.table.period,
            [found.partition],
            table.period,
            pending[table.key],
            found.table.reach_of(table),
        )
        for table in upstream
    )


def _about_to_change(
    tables: Sequence[Table], pending: Mapping[str, Mapping[str, Behind]]
) -> set[str]:
    """Tables of which any partition may be behind once what is behind now has been built.

    Built now they would be built twice, and promoted once from half of what changed.
    """
    changing = {key for key, partitions in pending.items() if partitions}
    found: set[str] = set()
    for table in in_dependency_order(tables):
        for upstream in table.upstream:
            if upstream.key in found or (upstream.key in changing and table.spreads(upstream)):
                found.add(table.key)
            if upstream.key in changing:
                changing.add(table.key)
    return found


class _Ready:
    """Collects what may run now, and the tables of the same period that will follow from it."""

    def __init__(
        self, pending: Mapping[str, Mapping[str, Behind]], moving: Collection[str]
    ) -> None:
        self._pending = pending
        self._moving = moving
        self._assets: dict[tuple[str, Period, str], dict[dg.AssetKey, str]] = {}
        self._why: dict[tuple[str, Period, str], list[str]] = {}
        self._tables: dict[tuple[str, Period, str], set[str]] = {}

    def add(self, found: Behind) -> None:
        table = found.table
        slot = (table.domain, table.period, found.partition)
        self._assets.setdefault(slot, {})[asset_key(table)] = found.recipe
        if not found.unjudged:  # else no row changes, and nothing follows from it
            self._tables.setdefault(slot, set()).add(table.key)
        self._why.setdefault(slot, []).append(f"{table.key} {found.partition}: {found.why}")

    def runs(self, tables: Sequence[Table]) -> list[PlannedRun]:
        self._follow(in_dependency_order(tables))
        grouped: dict[tuple[str, Period, tuple[dg.AssetKey, ...]], list[str]] = {}
        for (domain, period, partition), assets in self._assets.items():
            grouped.setdefault((domain, period, tuple(sorted(assets))), []).append(partition)
        runs = [
            self._run(domain, period, assets, first, last)
            for (domain, period, assets), partitions in grouped.items()
            for first, last in _cut(period, partitions)
        ]
        order = {period.name: position for position, period in enumerate(PERIODS)}
        return sorted(runs, key=lambda run: (order[run.period.name], run.first))

    def _follow(self, tables: Sequence[Table]) -> None:
        """Take along, in the same run, what of the same period is computed from what runs."""
        for slot, chosen in self._tables.items():
            _, period, partition = slot
            for table in tables:
                if table.key in chosen or table.period is not period or not table.upstream:
                    continue
                if table.key in self._moving:
                    continue
                fed = any(upstream.key in chosen for upstream in table.upstream)
                held_up = any(
                    upstream.key not in chosen
                    and (
                        _computed_from(upstream, chosen)
                        or overlapping(
                            period, [partition], upstream.period, self._pending[upstream.key]
                        )
                    )
                    for upstream in table.upstream
                )
                if fed and not held_up:
                    chosen.add(table.key)
                    self._assets[slot].setdefault(asset_key(table), "follows")

    def _run(
        self, domain: str, period: Period, assets: tuple[dg.AssetKey, ...], first: str, last: str
    ) -> PlannedRun:
        slots = [
            slot
            for slot in self._assets
            if slot[:2] == (domain, period)
            and first <= slot[2] <= last
            and tuple(sorted(self._assets[slot])) == assets
        ]
        made_from = repr(
            [
                (slot[2], sorted(self._assets[slot].items()))
                for slot in sorted(slots, key=lambda slot: slot[2])
            ]
        )
        why = tuple(reason for slot in slots for reason in self._why.get(slot, ()))
        return PlannedRun(
            job_name(domain, period),
            assets,
            period,
            first,
            last,
            why,
            _checksum(made_from),
        )


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]

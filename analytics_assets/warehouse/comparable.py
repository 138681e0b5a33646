"""Which partitions of a table one is compared with.

Belongs here: what comparable partitions have in common: their season, their places, that they are
whole and were built well.
Does not belong here: what is usual beside them (``core/usual.py``), what is said of it
(``expectations.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from functools import cached_property

import duckdb

from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets.core.usual import FEWEST
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import StoredFile, key_period, partition_of
from analytics_assets.warehouse.session import expose

_SEASONS = 8  # others at most
_PLACES = {"year": 1, "month": 12, "week": 52, "day": 7}  # of a season
# Of places that one partition has and another lacks, more than this share makes them unlike; a
# place is lacked where so many rows would be expected, of which chance leaves none once in 20,000.
_OTHER_PLACES, _EXPECTED = 0.05, 10
Grid = list[list[str | None]]  # seasons x places, as in ``core/usual.py``


class Comparable:
    """Finds what a partition is compared with: its neighbours, and their like in other seasons."""

    def __init__(
        self,
        session: duckdb.DuckDBPyConnection,
        snapshot: Snapshot,
        table: Table,
        tested: Collection[str],
    ) -> None:
        self.table = table
        self.session = session
        self.snapshot = snapshot
        self.files: dict[str, list[StoredFile]] = {}
        for file in snapshot.lake.files(table):
            self.files.setdefault(partition_of(table, file.key), []).append(file)
        self._tested = frozenset(tested)
        self._covered = _covered(snapshot, table.upstream)
        self._by_number = {
            self._number(key): key
            for key in self.files
            if self.is_complete(key) and self._is_good(key)
        }
        self._counts: dict[str, dict[str, float]] = {}
        self.places = _PLACES[table.period.unit]
        self.centre = (self.places - 1) // 2

    def grid(self, partition: str) -> Grid:
        """The partition in the midst of its season, and other seasons, the nearest first."""
        at = self._number(partition)
        own = self._season(at)
        own[self.centre] = partition
        seasons = [own]
        if self._by_number:
            first, last = min(self._by_number), max(self._by_number)
            furthest = max(at - first, last - at) // self.places + 1
            for away in (sign * n for n in range(1, furthest + 1) for sign in (-1, 1)):
                season = [
                    None if key in own else key for key in self._season(at + away * self.places)
                ]
                if season[self.centre]:
                    seasons.append(season)
                if len(seasons) > _SEASONS:
                    break
        alike = self._alike(partition, seasons)
        return [[key if key in alike else None for key in season] for season in seasons]

    def vouching(self, grid: Grid) -> list[bool]:
        """Of each season whether none of it is tested: what one bad file holds has the weekdays or
        months of any other, but does not say how much is usual."""
        return [not self._tested.intersection(filter(None, season)) for season in grid]

    def _season(self, centre: int) -> list[str | None]:
        start = centre - self.centre
        return [self._by_number.get(n) for n in range(start, start + self.places)]

    def _number(self, partition: str) -> int:
        return self.table.period.number(self.table.period.window(partition)[0])

    def _is_good(self, partition: str) -> bool:
        """Whether the live rows are of the last build: one that was held back proves nothing."""
        build = self.snapshot.build_of(self.table, partition)
        return build is not None and not build.refused and not build.fails

    def is_complete(self, partition: str) -> bool:
        """Whether its input reaches to both of its ends: a year to date is no measure of years."""
        start, end = self.table.period.window(partition)
        return self._covered[0] <= start and end <= self._covered[1]

    # ---- of the same places ------------------------------------------------------------------

    def _alike(self, partition: str, seasons: Grid) -> set[str]:
        keys = {key for season in seasons for key in season if key}
        if not self._told_apart:
            return keys
        counts = self._count({partition, *keys})
        own = counts[partition]
        return {
            key for key in keys if not _lacked(own, counts[key]) and not _lacked(counts[key], own)
        }

    def lacking(self, partition: str) -> str:
        """Places that all neighbours have and the partition has not, though it has others."""
        if not self._told_apart:
            return ""
        near_by = {key for key in self._season(self._number(partition)) if key}
        counts = self._count({partition, *near_by})
        own = counts[partition]
        near = [counts[key] for key in near_by - {partition} if own.keys() & counts[key].keys()]
        missed = [_lacked(own, counts) for counts in near]
        return ", ".join(sorted(set.intersection(*missed))) if len(near) >= FEWEST else ""

    @cached_property
    def _told_apart(self) -> Table | None:
        """The table, itself or finer, that says which places a partition is of."""
        table: Table | None = self.table
        while table and not table.alike_in:
            table = table.rollup_of
        return table if table and table.period is self.table.period else None

    def _count(self, partitions: Collection[str]) -> dict[str, dict[str, float]]:
        """Partition -> place -> its rows, of these partitions at least; each is read once."""
        table = self._told_apart
        assert table
        wanted = set(partitions) - self._counts.keys()
        files = [f.uri for f in self.snapshot.files(table) if partition_of(table, f.key) in wanted]
        self._counts |= {partition: {} for partition in wanted}
        if files:
            total = table.measures.total if table.measures else None
            expose(self.session, table, files)
            rows = self.session.execute(
                f"select {table.partition_sql}, {table.alike_in},"
                f" {f'sum({total.name})' if total else 'count(*)'} from {table.sql_name}"
                " group by all having count(*) > 0"
            ).fetchall()
            for partition, place, count in rows:
                self._counts[partition][str(place)] = float(count)
        return self._counts


def _lacked(one: Mapping[str, float], other: Mapping[str, float]) -> set[str]:
    """The places of ``other`` that ``one`` has no row of, though it should have some."""
    rows, others = sum(one.values()), sum(other.values())
    expected = {place: count * rows / others for place, count in other.items() if place not in one}
    lacked = {place for place, count in expected.items() if count >= _EXPECTED}
    return lacked if sum(other[place] for place in lacked) > _OTHER_PLACES * others else set()


def _covered(snapshot: Snapshot, tables: Iterable[Table]) -> tuple[date, date]:
    """From the first to the last day that all of these tables, and what they read, reach."""
    start, end = date.min, date.max
    for table in tables:
        if table.period is UNPARTITIONED:
            continue
        files = snapshot.files(table)
        if not files:
            return date.max, date.min
        before = _covered(snapshot, table.upstream)
        first, last = (
            key_period(table, file.key).window(file.key) for file in (files[0], files[-1])
        )
        start, end = max(start, before[0], first[0]), min(end, before[1], last[1])
    return start, end

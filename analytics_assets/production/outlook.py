"""What production should have otherwise, and what of it moves together.

Belongs here: which partitions of a domain are due, which of them follow from the same input and so
become visible in one transaction, and which have to wait with others.
Does not belong here: moving them (``release.py``), or bringing the warehouse up to date.

Readers see tables together: between the promotion of the months and that of the year they would add
up to different totals. So what was computed from the same days of a source is promoted together or
not at all, and waits where a part of it waits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import sqlalchemy as sa

from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import UNPARTITIONED, Period
from analytics_assets.production.review import Hold, holds
from analytics_assets.production.standing import Standing, look
from analytics_assets.warehouse.behind import Unsettled
from analytics_assets.warehouse.builds import Snapshot

Place = tuple[str, str]
Span = tuple[date, date]
_ALL: Span = (date.min, date.max)


@dataclass(frozen=True)
class Due:
    """A partition that production should have in another version; ``offered`` is empty where it
    should have none."""

    table: Table
    partition: str
    offered: str
    why: str

    @property
    def place(self) -> Place:
        return self.table.key, self.partition

    def __str__(self) -> str:
        return f"{self.table.key} {self.partition}"


@dataclass
class Outlook:
    """How a domain stands in production, what is due there, and why some of it has to wait.

    ``groups``: what moves together has one number. ``on_hold``: what somebody has to confirm, with
    the reasons; ``waiting``: what waits for these, or for tables that are not what their inputs
    would give.
    """

    standings: Mapping[str, Standing]
    due: list[Due] = field(default_factory=list)
    groups: dict[Place, int] = field(default_factory=dict)
    on_hold: dict[Place, str] = field(default_factory=dict)
    waiting: dict[Place, str] = field(default_factory=dict)

    @property
    def ready(self) -> list[Due]:
        """What may become visible now."""
        kept = self.on_hold.keys() | self.waiting.keys()
        return [due for due in self.due if due.place not in kept]

    @property
    def faults(self) -> dict[str, str]:
        """Table -> why its copy in production is not to be believed as it is."""
        return {key: found.why for key, found in self.standings.items() if found.why}


def outlook(connection: sa.Connection, snapshot: Snapshot, tables: Sequence[Table]) -> Outlook:
    """The outlook of a domain's tables, the unpublished ones among them."""
    return foresee(snapshot, tables, look(connection, tables), holds(connection))


def foresee(
    snapshot: Snapshot,
    tables: Sequence[Table],
    standings: Mapping[str, Standing],
    on_hold: Mapping[Place, Hold],
) -> Outlook:
    """The outlook, where it is known how production stands and what is on hold."""
    published = [table for table in tables if table.publish]
    found = Outlook(standings)
    for table in published:
        found.due += _due(snapshot, table, standings[table.key])
    if not found.due:
        return found
    for due in found.due:
        hold = on_hold.get(due.place)
        if hold and hold.fingerprint == due.offered and not hold.confirmed:
            found.on_hold[due.place] = hold.why
    unsettled = [behind for table in tables for behind in snapshot.unsettled(table)]
    beside = _beside(tables, unsettled)
    joined = [key for key, standing in standings.items() if standing.rows == "missing"]
    periods = {table.period for table in published if table.period is not UNPARTITIONED}
    for number, group in enumerate(clusters(found.due, joined, periods)):
        found.groups |= {due.place: number for due in group}
        reasons = [f"{due} is on hold" for due in group if due.place in found.on_hold]
        reasons += _lacking(group, unsettled, beside, joined)
        if reasons:
            more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
            why = f"waits with what follows from the same input: {reasons[0]}{more}"
            places = {due.place for due in group} - found.on_hold.keys()
            found.waiting |= dict.fromkeys(sorted(places), why)
    return found


def _due(snapshot: Snapshot, table: Table, standing: Standing) -> Iterable[Due]:
    live = {file.key: file.fingerprint for file in snapshot.files(table)}
    there = {key: entry.fingerprint for key, entry in standing.present.items()}
    for key in sorted(live.keys() | there.keys()):
        offered = live.get(key, "")
        if offered != there.get(key, ""):
            why = standing.why or "not promoted"
            yield Due(table, key, offered, why if offered else "gone from the warehouse")


# ---- what moves together ------------------------------------------------------------------------


def span(table: Table, partition: str) -> Span:
    """The days of sources, first and after the last, that a partition is computed from."""
    if table.period is UNPARTITIONED:
        return _ALL
    first, last = _reach(table)
    start, end = table.period.window(partition)
    return start + timedelta(days=first), end + timedelta(days=last)


def _reach(table: Table) -> tuple[int, int]:
    """Days around a partition of everything that it is computed from, directly or not."""
    found = (0, 0)
    for upstream in table.upstream:
        own, further = table.reach_of(upstream), _reach(upstream)
        found = (min(found[0], own[0] + further[0]), max(found[1], own[1] + further[1]))
    return found


def clusters(
    dues: Sequence[Due], joined: Iterable[str] = (), periods: Collection[Period] = ()
) -> list[list[Due]]:
    """The dues, those together whose days overlap, directly or through others.

    Of the tables in ``joined`` everything moves at once.
    """
    spans = {due.place: _tied(due, periods) for due in dues}
    for key in joined:
        own = [spans[due.place] for due in dues if due.table.key == key]
        for due in dues:
            if due.table.key == key:
                spans[due.place] = (min(s for s, _ in own), max(e for _, e in own))
    groups: list[list[Due]] = []
    end = date.min
    for due in sorted(dues, key=lambda due: spans[due.place]):
        start, until = spans[due.place]
        if not groups or start >= end:
            groups.append([])
        groups[-1].append(due)
        end = max(end, until)
    return [sorted(own, key=lambda due: span(due.table, due.partition)) for own in groups]


def _tied(due: Due, periods: Collection[Period]) -> Span:
    """The days of all partitions of these periods that it adds up with.

    A year in which births move from one month to the other is not due, and ties them together.
    """
    days = span(due.table, due.partition)
    if due.table.period is UNPARTITIONED:
        return days
    windows = [days, *(p.window(key) for p in periods for key in p.keys_between(*days))]
    return min(start for start, _ in windows), max(end for _, end in windows)


# ---- what waits ---------------------------------------------------------------------------------


def _beside(
    tables: Sequence[Table], unsettled: Sequence[Unsettled]
) -> dict[tuple[str, frozenset[str]], set[str]]:
    """Table that lacks changes of its inputs, and these -> tables that have what it lacks.

    Those that are computed from the same inputs without it: beside them it would not add up. Only
    where readers see it, or what is computed from it.
    """
    found: dict[tuple[str, frozenset[str]], set[str]] = {}
    for key, lacks in {(one.table.key, one.lacks) for one in unsettled if one.lacks}:
        cone = _computed_from({key}, tables)
        if any(other.publish and other.key in cone for other in tables):
            others = [other for other in tables if other.key != key]
            found[key, lacks] = _computed_from(set(lacks), others)
    return found


def _computed_from(keys: set[str], tables: Sequence[Table]) -> set[str]:
    """These tables and all that are computed from them, through the given ones."""
    found = set(keys)
    changed = True
    while changed:
        more = {t.key for t in tables if any(up.key in found for up in t.upstream)} - found
        found |= more
        changed = bool(more)
    return found


def _lacking(
    group: Sequence[Due],
    unsettled: Sequence[Unsettled],
    beside: Mapping[tuple[str, frozenset[str]], set[str]],
    joined: Collection[str],
) -> Iterator[str]:
    """Partitions that are not current and belong to the group, and why they are not."""
    spans: dict[str, list[tuple[str, Span]]] = {}
    for due in group:
        spans.setdefault(due.table.key, []).append((due.partition, span(due.table, due.partition)))
    whole = (
        min(start for own in spans.values() for _, (start, _) in own),
        max(end for own in spans.values() for _, (_, end) in own),
    )
    for behind in unsettled:
        key, days = behind.table.key, span(behind.table, behind.partition)
        # Of most of them nothing is near.
        if not _overlap(days, whole):
            continue
        if (
            (behind.differs and key in joined and key in spans)
            or any(partition == behind.partition for partition, _ in spans.get(key, ()))
            or any(
                _overlap(days, own)
                for other in beside.get((key, behind.lacks), set()) & spans.keys()
                for _, own in spans[other]
            )
        ):
            yield f"{key} {behind.partition} is not current: {behind.why}"


def _overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]

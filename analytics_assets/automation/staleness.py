"""Which partitions are behind, why, and since when.

Belongs here: the comparison of every table, and of its promoted copy, with what it is made from.
Does not belong here: bringing anything up to date (``plan.py``), keeping the answer
(``operations.py``), or telling people (``alerts.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

import sqlalchemy as sa

from analytics_assets.automation.plan import by_domain
from analytics_assets.automation.usable import unusable
from analytics_assets.core.declaration import Table, in_dependency_order
from analytics_assets.core.partitions import UNPARTITIONED, shifted
from analytics_assets.core.source import DatedSource, SourceError
from analytics_assets.production import records
from analytics_assets.production.outlook import Outlook, foresee
from analytics_assets.production.review import holds
from analytics_assets.production.standing import look
from analytics_assets.warehouse.behind import CHANGED, ROLLED_BACK, Behind
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.delta_log import DamagedLog
from analytics_assets.warehouse.lake import StoredFile, partition_of

_SHOWN_SPANS = 6
Layer = Literal["warehouse", "production"]
State = Literal["ready", "waits", "refused", "rolled back"]


@dataclass(frozen=True)
class Lag:
    """Partitions of a table, or of its promoted copy, that are behind for one reason.

    ``since``: when the earliest of the changed inputs changed, ``None`` where nothing tells.
    ``built``: when the last of the partitions was built (or promoted), ``None`` for never.
    ``waits_for``: the tables that have to be brought up first. No partition is named where a source
    could not be looked at.
    """

    layer: Layer
    table: Table
    partitions: tuple[str, ...]
    state: State
    why: str
    since: datetime | None = None
    built: datetime | None = None
    waits_for: tuple[str, ...] = ()

    @property
    def asset(self) -> str:
        """The key of the asset as text."""
        return self.table.key if self.layer == "warehouse" else f"production/{self.table.key}"

    def spans(self) -> list[str]:
        """The partitions, neighbours as one."""
        if self.table.period is UNPARTITIONED:
            return list(self.partitions)
        spans = self.table.period.spans(self.partitions)
        return [first if first == last else f"{first} to {last}" for first, last in spans]

    def as_row(self) -> dict[str, Any]:
        """For a table that people read."""
        spans = self.spans()
        more = f" and {len(spans) - _SHOWN_SPANS} more" if len(spans) > _SHOWN_SPANS else ""
        return {
            "layer": self.layer,
            "table": self.table.key,
            "partitions behind": ", ".join(spans[:_SHOWN_SPANS]) + more or "unknown",
            "why": self.why,
            "since": minute(self.since) or "unknown",
            "last built": minute(self.built) or "never",
        }


@dataclass(frozen=True)
class Stale:
    """An asset that is stale by its declaration, and what about it."""

    asset: str
    what: str


def staleness(tables: Sequence[Table], snapshot: Snapshot, engine: sa.Engine) -> list[Lag]:
    """Everything that is not what its inputs would give now, each table after its inputs.

    What is computed from a partition that is behind is behind with it, and waits. Looks at the
    sources; one that cannot be looked at is itself in the answer.
    """
    late: dict[str, dict[str, Lag]] = {}
    unreadable: list[Lag] = []
    for table in in_dependency_order(tables):
        try:
            late[table.key] = _behind(table, snapshot, late)
        except SourceError as error:
            source = "" if isinstance(error, DamagedLog) else "its source cannot be looked at: "
            why = f"{source}{error}"
            unreadable.append(Lag("warehouse", table, (), "refused", why))
            late[table.key] = {}
    found = [*unreadable, *_grouped(lag for lags in late.values() for lag in lags.values())]
    return found + _grouped(_unpromoted(tables, snapshot, engine, late))


def stale(
    lags: Iterable[Lag], tables: Sequence[Table], snapshot: Snapshot, as_of: datetime
) -> list[Stale]:
    """Assets that are behind for longer than they may, and sources that bring nothing new.

    Of a chain of tables only the first: what waits for it is named with it.
    """
    lags = list(lags)
    found: dict[str, list[str]] = {}
    for lag in lags:
        allowed = lag.table.fresh_within
        if lag.state in ("waits", "rolled back") or allowed is None or lag.since is None:
            continue
        if as_of - lag.since > allowed:
            waiting = len({other.asset for other in lags if lag.table.key in other.waits_for})
            also = f" {waiting} assets wait for it." if waiting else ""
            found.setdefault(lag.asset, []).append(
                f"{lag.as_row()['partitions behind']} behind since {minute(lag.since)},"
                f" allowed are {_duration(allowed)}: {lag.why}.{also}"
            )
    for table in tables:
        files = _live(snapshot, table) if table.expected_every else []
        newest = max((file.published for file in files), default=0)
        if newest and table.expected_every:
            brought = _moment(newest)
            if as_of - brought > table.expected_every:
                found.setdefault(table.key, []).append(
                    f"its source has brought nothing new since {minute(brought)}, expected is"
                    f" something every {_duration(table.expected_every)}."
                )
    for asset, why in unusable(tables).items():
        found.setdefault(asset, []).append(f"{why}.")
    return [Stale(asset, " ".join(what)) for asset, what in found.items()]


# ---- the warehouse ------------------------------------------------------------------------------


def _behind(
    table: Table, snapshot: Snapshot, late: Mapping[str, Mapping[str, Lag]]
) -> dict[str, Lag]:
    """Partition -> why it is behind, of one table."""
    found = {behind.partition: _own(behind, snapshot) for behind in snapshot.behind(table)}
    for upstream in table.upstream:
        # What follows from a version that was put back on purpose is as it should be.
        lags = {k: lag for k, lag in late[upstream.key].items() if lag.state != "rolled back"}
        existing = _existing(table, snapshot) if lags else set()
        for partition, lag in lags.items():
            for fed in existing & _fed(upstream, partition, table, existing):
                known = found.get(fed)
                if known is None or known.state in ("ready", "waits"):
                    found[fed] = _waiting(table, fed, lag, known, snapshot)
    return found


def _fed(upstream: Table, partition: str, reader: Table, existing: set[str]) -> set[str]:
    if UNPARTITIONED in (upstream.period, reader.period):
        return existing
    first, last = reader.reach_of(upstream)
    window = shifted(upstream.period.window(partition), (-last, -first))
    return set(reader.period.keys_between(*window))


def _own(behind: Behind, snapshot: Snapshot) -> Lag:
    table, partition = behind.table, behind.partition
    build = snapshot.build_of(table, partition)
    inputs = snapshot.inputs(table, partition)
    before = build.inputs if build else {}
    names = sorted(n for n in inputs.keys() | before.keys() if inputs.get(n) != before.get(n))
    state: State = "refused" if behind.refused else "ready"
    why = behind.why
    if behind.blocked_by == ROLLED_BACK:
        state = "rolled back"
        why = "rolled back: stays until its input changes or it is materialised by hand"
    elif behind.blocked_by:
        why = f"refused by {behind.blocked_by.replace(',', ', ')}"
    elif build and behind.why.startswith(CHANGED):
        whose = sorted({name.split("@")[0] for name in names})
        why = f"{', '.join(whose)} changed" if table.upstream else "its source changed"
    since = _changed(table, partition, names, snapshot)
    built = build.built_at if build else None
    return Lag("warehouse", table, (partition,), state, why, since, built)


def _changed(
    table: Table, partition: str, names: Sequence[str], snapshot: Snapshot
) -> datetime | None:
    """When the earliest of these inputs became what it is."""
    if isinstance(table.source, DatedSource):
        return table.source.arrived(partition, names)
    wanted = set(names)
    moments = [
        file.published
        for upstream in table.upstream
        for file in snapshot.feeding(upstream, table, [partition])
        if f"{upstream.key}@{file.key}" in wanted
    ]
    return _moment(min(moments)) if moments else None


def _waiting(
    table: Table, partition: str, upstream: Lag, known: Lag | None, snapshot: Snapshot
) -> Lag:
    """Behind because something that it is computed from is, directly or not."""
    roots = set(upstream.waits_for or (upstream.table.key,))
    if known:
        roots |= set(known.waits_for)
    moments = [lag.since for lag in (upstream, known) if lag and lag.since]
    build = snapshot.build_of(table, partition)
    return Lag(
        "warehouse",
        table,
        (partition,),
        "waits",
        f"waits for {', '.join(sorted(roots))}",
        min(moments, default=None),
        build.built_at if build else None,
        tuple(sorted(roots)),
    )


def _existing(table: Table, snapshot: Snapshot) -> set[str]:
    """Partitions that there are, or could be."""
    live = {partition_of(table, file.key) for file in snapshot.files(table)}
    return live | set(snapshot.candidates(table))


# ---- production ---------------------------------------------------------------------------------


def _unpromoted(
    tables: Sequence[Table],
    snapshot: Snapshot,
    engine: sa.Engine,
    late: Mapping[str, Mapping[str, Lag]],
) -> Iterator[Lag]:
    """Partitions of promoted copies that are not what the warehouse has, or should have, and copies
    that are not what their ledger says."""
    found: list[Lag] = []
    with engine.connect() as connection:
        on_hold = holds(connection)
        standings = look(connection, tables)
        for own in by_domain(tables):
            # A log that cannot be read is named with its table.
            with suppress(DamagedLog):
                seen = foresee(snapshot, own, standings, on_hold)
                for table in in_dependency_order([table for table in own if table.publish]):
                    found += _of_table(table, snapshot, seen, late[table.key])
        promoted = _promoted_at(connection, found) if records.there(connection) else {}
    for lag in found:
        built = [promoted.get((lag.table.key, partition)) for partition in lag.partitions[:1]]
        yield replace(lag, built=built[0] if built else None)


def _of_table(
    table: Table, snapshot: Snapshot, seen: Outlook, late: Mapping[str, Lag]
) -> Iterator[Lag]:
    files = {file.key: file for file in _live(snapshot, table)}
    due = {one.partition: one for one in seen.due if one.table.key == table.key}
    waiting = {key: lag for key, lag in late.items() if lag.state != "rolled back"}
    for key in sorted(due.keys() | waiting.keys()):
        since = _moment(files[key].published) if key in files else None
        place = (table.key, key)
        if key in waiting:
            lag = waiting[key]
            roots = lag.waits_for or (table.key,)
            why, since = f"waits for {', '.join(roots)}", lag.since
            yield Lag("production", table, (key,), "waits", why, since, None, roots)
        elif place in seen.on_hold:
            why = f"on hold until it is confirmed: {seen.on_hold[place]}"
            yield Lag("production", table, (key,), "refused", why, since)
        elif place in seen.waiting:
            yield Lag("production", table, (key,), "refused", seen.waiting[place], since)
        else:
            yield Lag("production", table, (key,), "ready", due[key].why, since)
    standing = seen.standings[table.key]
    if standing.why and not any(one.why == standing.why for one in due.values()):
        sound = standing.rows == "sound"
        then = "makes it anew over the rows" if sound else "compares it with the warehouse"
        why = f"{standing.why}; the next run {then}"
        yield Lag("production", table, (), "ready", why, standing.since)


def _promoted_at(connection: sa.Connection, lags: Sequence[Lag]) -> dict[tuple[str, str], datetime]:
    """(table, partition) -> when it was promoted last, of what is behind only."""
    entries = records.ledger.c
    found: dict[tuple[str, str], datetime] = {}
    for table in {lag.table.key for lag in lags}:
        wanted = [p for lag in lags if lag.table.key == table for p in lag.partitions]
        rows = connection.execute(
            sa.select(entries.partition, sa.func.max(entries.promoted_at))
            .where(entries.table_name == table, entries.partition.in_(wanted))
            .group_by(entries.partition)
        )
        found |= {(table, partition): moment for partition, moment in rows}
    return found


def _live(snapshot: Snapshot, table: Table) -> list[StoredFile]:
    """The live files; none of a table whose log is damaged, which is told once."""
    try:
        return snapshot.files(table)
    except DamagedLog:
        return []


# ---- what people read ---------------------------------------------------------------------------


def _grouped(lags: Iterable[Lag]) -> list[Lag]:
    """Partitions of one table that are behind for the same reason, as one."""
    groups: dict[tuple[str, str], list[Lag]] = {}
    for lag in lags:
        groups.setdefault((lag.table.key, lag.why), []).append(lag)
    return [
        replace(
            own[0],
            partitions=tuple(sorted(key for lag in own for key in lag.partitions)),
            since=min((lag.since for lag in own if lag.since), default=None),
            built=max((lag.built for lag in own if lag.built), default=None),
        )
        for own in groups.values()
    ]


def as_text(lags: Sequence[Lag]) -> str:
    """The table for a terminal."""
    rows = [lag.as_row() for lag in lags]
    if not rows:
        return "Nothing is behind."
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    lines = [widths.keys(), ["-" * width for width in widths.values()]]
    lines += [list(row.values()) for row in rows]
    return "\n".join(
        "  ".join(
            text.ljust(width) for text, width in zip(line, widths.values(), strict=True)
        ).rstrip()
        for line in lines
    )


def minute(moment: datetime | None) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M UTC") if moment else ""


def _duration(span: timedelta) -> str:
    hours = span / timedelta(hours=1)
    return f"{hours / 24:g} days" if hours >= 72 else f"{hours:g} hours"


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)

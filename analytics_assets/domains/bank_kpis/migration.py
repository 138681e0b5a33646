"""From the wide table to the star: the phases as production has them.

Belongs here: what each phase needs, does and takes back, in PostgreSQL.
Does not belong here: moving rows (``production``), the view itself (``star_view.py``), or
when this runs (``migration_assets.py``).

``dual_write``  wide table and star are both written; readers read ``monthly_kpis``
``view``        readers read ``v_monthly_kpis``, the same columns over the star
``direct``      readers read the star
``retired``     the wide table is not written; it is renamed, kept 30 days and dropped

From ``view`` on nobody should read ``monthly_kpis`` any more. Whether somebody does is not asked of
people: the view of that name then joins a table of one row, which nothing else reads, and
PostgreSQL counts its scans, in read-only transactions, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa

from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Table
from analytics_assets.domains.bank_kpis.metrics import Metric
from analytics_assets.domains.bank_kpis.phases import PHASES
from analytics_assets.domains.bank_kpis.star_view import (
    NEW,
    OLD,
    READ,
    STORE,
    differences,
    star_sql,
)
from analytics_assets.production import records
from analytics_assets.production.dependents import made_over, put_aside
from analytics_assets.production.encoding import view_sql
from analytics_assets.production.promotion import PROMOTION
from analytics_assets.production.roles import READER
from analytics_assets.production.standing import accept_view

KEEP = timedelta(days=30)
KEPT = "monthly_kpis_deprecated"
_STAR = ("fact_monthly_kpi", "dim_bank", "dim_date")
_WIRE = f"{STORE}.monthly_kpis_read"
_SUFFIX = "_deprecated"
_LOG = f"{READ}.migration_log"
_WAIT = "2s"


@dataclass
class Settled:
    """What is in force after settling, what was done, and why the wanted phase is not entered."""

    phase: str | None
    done: list[str] = field(default_factory=list)
    refused: str = ""


def settle(
    connection: sa.Connection,
    wide: Table,
    metrics: Sequence[Metric],
    wanted: str,
    now: datetime,
    quiet_days: float,
) -> Settled:
    """Bring production to the wanted phase, one phase after another, or as far as it may go.

    To an earlier phase it goes at once. Runs in the caller's transaction; a second call with
    nothing new does nothing. ``quiet_days``: how long nobody may have read the old table before it
    is retired.
    """
    if not all(_exists(connection, f"{READ}.{name}") for name in _STAR):
        return Settled(None, refused="The star is not promoted yet.")
    connection.execute(sa.text("select pg_advisory_xact_lock(hashtext('bank_kpis.migration'))"))
    # Waiting for a reader, it would make all readers after it wait, too.
    connection.execute(sa.text(f"set local lock_timeout = '{_WAIT}'"))
    work = _Work(connection, wide, now)
    work.prepare()
    work.create_view(star_sql(metrics))
    before = work.in_force
    if before is None or PHASES.index(wanted) < PHASES.index(before):
        first = wanted if before else PHASES[0]
        work.restore()
        work.enter(first, "rolled back" if before else "entered")
    work.watch(wanted)
    refused = ""
    for phase in PHASES[PHASES.index(work.in_force or PHASES[0]) + 1 : PHASES.index(wanted) + 1]:
        refused = work.why_not(phase, quiet_days)
        if refused:
            break
        if phase == "retired":
            work.put_aside()
        work.enter(phase, "entered")
        work.watch(wanted)
    if work.in_force == "retired":
        work.drop_when_due()
    accept_view(connection, wide)
    return Settled(work.in_force, work.done, refused)


class _Work:
    """One settling."""

    def __init__(self, connection: sa.Connection, wide: Table, now: datetime) -> None:
        self._connection = connection
        self._wide = wide
        self._now = now
        self.done: list[str] = []

    def _do(self, sql: str) -> None:
        self._connection.execute(sa.text(sql.replace(":", "\\:")))

    def _ask(self, sql: str, **values: object) -> sa.Row | None:
        return self._connection.execute(sa.text(sql), values).first()

    def prepare(self) -> None:
        """The log of phases and the table whose scans are counted."""
        if _exists(self._connection, _LOG) and _exists(self._connection, _WIRE):
            return
        self._do(
            f"create table if not exists {_LOG} (id bigint generated always as identity"
            " primary key, phase text not null, event text not null, at timestamptz not null,"
            " reads bigint not null)"
        )
        self._do(f"create table if not exists {_WIRE} as select 1 as one")
        self._grant(_LOG)

    def _grant(self, name: str) -> None:
        if self._ask("select 1 from pg_roles where rolname = :role", role=READER):
            self._do(f"grant select on {name} to {READER}")

    def create_view(self, sql: str) -> None:
        """``v_monthly_kpis``, if it is not there with these very columns."""
        shape = "star " + hashlib.sha256(sql.encode()).hexdigest()[:16]
        name = f"{READ}.{NEW}"
        found = self._ask(
            "select obj_description(to_regclass(:name), 'pg_class') as shape", name=name
        )
        if found and found.shape == shape:
            return
        try:
            # A new column at the end: views that others made over it stay.
            with self._connection.begin_nested():
                self._do(f"create or replace view {name} as {sql}")
        except sa.exc.DBAPIError:
            self._unwatch()
            with put_aside(self._connection, name):
                self._do(f"drop view {name}")
                self._do(f"create view {name} as {sql}")
        self._do(f"comment on view {name} is '{shape}'")
        self._grant(name)
        self.done.append(f"{name} made")

    @property
    def in_force(self) -> str | None:
        """The phase of the last entry."""
        last = self._ask(f"select phase from {_LOG} order by id desc limit 1")
        return last.phase if last else None

    def enter(self, phase: str, event: str) -> None:
        """Record that a phase is in force."""
        if phase != self.in_force:
            self.done.append(f"phase {phase} {event}")
            self._record(phase, event)

    def _record(self, phase: str, event: str) -> None:
        self._connection.execute(
            sa.text(f"insert into {_LOG} (phase, event, at, reads) values (:p, :e, :at, :reads)"),
            {"p": phase, "e": event, "at": self._now, "reads": self.reads()},
        )

    def reads(self) -> int:
        """Scans of the watched table since the server's statistics began."""
        found = self._ask(
            "select seq_scan + coalesce(idx_scan, 0) as reads from pg_stat_user_tables"
            f" where relid = to_regclass('{_WIRE}')"
        )
        return int(found.reads) if found and found.reads is not None else 0

    def watch(self, wanted: str) -> None:
        """Make the old name what the phase in force has it be, and note reads of it."""
        phase = self.in_force
        assert phase
        if not _exists(self._connection, f"{READ}.{OLD}"):
            return
        kind = "plain" if phase == PHASES[0] else "star" if wanted == "retired" else "watched"
        if kind != self._kind():
            rows = f"select * from {READ}.{NEW}" if kind == "star" else view_sql(self._wide)
            wire = (
                f" left join lateral (select one from {_WIRE}"
                f" where current_setting('application_name') <> '{PROMOTION}') as reader on true"
            )
            columns = ", ".join(f"rows.{quoted(c.name)}" for c in self._wide.stored_columns)
            sql = f"create or replace view {READ}.{OLD} as select {columns} from ({rows}) as rows"
            try:
                with self._connection.begin_nested():
                    self._do(sql + ("" if kind == "plain" else wire))
            except sa.exc.OperationalError:
                return  # a reader has it at this moment; the next settling tries again
            self.done.append(f"{READ}.{OLD} is {kind}")
        if kind != "plain" and self.reads() != self._last_reads():
            self._record(phase, "read")

    def _kind(self) -> str:
        found = self._ask("select pg_get_viewdef(to_regclass(:name)) as sql", name=f"{READ}.{OLD}")
        sql = found.sql if found else ""
        return "star" if NEW in sql else "watched" if _WIRE in sql else "plain"

    def _unwatch(self) -> None:
        if _exists(self._connection, f"{READ}.{OLD}") and self._kind() == "star":
            self._do(f"create or replace view {READ}.{OLD} as {view_sql(self._wide)}")

    def _last_reads(self) -> int:
        last = self._ask(f"select reads from {_LOG} order by id desc limit 1")
        return last.reads if last else 0

    def why_not(self, phase: str, quiet_days: float) -> str:
        """Why a phase may not be entered; empty if it may."""
        if phase == "retired":
            return self._still_read(quiet_days)
        if not _exists(self._connection, f"{STORE}.{OLD}"):
            return f"{phase}: the wide table is not promoted, so nothing can be compared with it."
        cells = differences(self._connection, self._wide)
        if not cells:
            return ""
        return (
            f"{phase}: the wide table and {NEW} differ, first in {cells[0]}. Materialise both, then"
            " try again."
        )

    def _still_read(self, quiet_days: float) -> str:
        relation = f"{READ}.{OLD}"
        if not _exists(self._connection, relation):
            return ""
        dependents = made_over(self._connection, relation)
        if dependents:
            return f"retired: {', '.join(dependents)} is made from {relation}. Move it to {NEW}."
        using = self._connection.scalars(
            sa.text(
                "select distinct a.application_name || ' (' || a.usename || ', ' || a.pid || ')'"
                " from pg_locks l join pg_stat_activity a using (pid)"
                f" where l.relation in (to_regclass(:name), to_regclass('{_WIRE}'))"
                " and a.pid <> pg_backend_pid()"
            ),
            {"name": relation},
        ).all()
        if using:
            return f"retired: {relation} is being read by {', '.join(using)}. Move it to {NEW}."
        last = self._ask(
            f"select max(at) as at, count(*) filter (where event = 'read') as times from {_LOG}"
            f" where id >= (select max(id) from {_LOG} where phase = 'direct' and event <> 'read')"
        )
        assert last
        quiet = self._now - last.at
        if quiet < timedelta(days=quiet_days) or (last.times and quiet == timedelta(0)):
            what = "was read" if last.times else "could still be read: direct was entered"
            return (
                f"retired: {relation} {what}, seen last at {last.at:%Y-%m-%d %H:%M} UTC. It has to"
                f" stay unread for {quiet_days:g} days (BANK_KPIS_QUIET_DAYS); readers belong on"
                f" {NEW} or the star."
            )
        return ""

    def put_aside(self) -> None:
        """Rename the wide table, so that nobody finds it by its name."""
        if not _exists(self._connection, f"{STORE}.{OLD}"):
            return
        self._do(f"drop view if exists {READ}.{OLD}")
        self._rename(OLD, KEPT, lambda index: (index + _SUFFIX)[-63:])
        columns = ", ".join(quoted(column.name) for column in self._wide.stored_columns)
        self._do(f"create view {READ}.{KEPT} as select {columns} from {STORE}.{KEPT}")
        self.done.append(f"{READ}.{OLD} renamed to {KEPT}")

    def _rename(self, old: str, new: str, index_name) -> None:
        for index in self._connection.scalars(
            sa.text("select indexname from pg_indexes where schemaname = :s and tablename = :t"),
            {"s": STORE, "t": old},
        ).all():
            self._do(f"alter index {STORE}.{quoted(index)} rename to {quoted(index_name(index))}")
        self._do(f"alter table {STORE}.{old} rename to {new}")

    def restore(self) -> None:
        """Take back what ``retired`` did, as far as it was done."""
        if not _exists(self._connection, f"{STORE}.{KEPT}"):
            return
        self._do(f"drop view if exists {READ}.{KEPT}")
        if _exists(self._connection, f"{STORE}.{OLD}"):
            # It was promoted anew before this ran.
            self._do(f"drop table {STORE}.{KEPT}")
            return
        self._rename(KEPT, OLD, lambda index: index.removesuffix(_SUFFIX))
        self._do(f"create view {READ}.{OLD} as {view_sql(self._wide)}")
        self._grant(f"{READ}.{OLD}")
        self.done.append(f"{READ}.{KEPT} renamed back to {OLD}")

    def drop_when_due(self) -> None:
        """Drop the renamed table after its 30 days; the ledger then says that it is gone."""
        if not _exists(self._connection, f"{STORE}.{KEPT}"):
            return
        entered = self._ask(f"select max(at) as at from {_LOG} where phase = 'retired'")
        assert entered
        if self._now - entered.at < KEEP:
            return
        self._do(f"drop view if exists {READ}.{KEPT}")
        self._do(f"drop table {STORE}.{KEPT}")
        entries = records.ledger.c
        latest = (
            sa.select(
                entries.table_name,
                entries.partition,
                entries.delta_version,
                sa.literal(""),
                sa.literal(0),
                sa.literal(""),
                sa.literal("bank_kpis migration"),
            )
            .where(entries.table_name == self._wide.key)
            .distinct(entries.partition)
            .order_by(entries.partition, entries.id.desc())
        )
        names = (
            "table_name",
            "partition",
            "delta_version",
            "fingerprint",
            "rows",
            "checksum",
            "run_id",
        )
        self._connection.execute(sa.insert(records.ledger).from_select(names, latest))
        self.done.append(f"{READ}.{KEPT} dropped after {KEEP.days} days")


def _exists(connection: sa.Connection, name: str) -> bool:
    return bool(connection.scalar(sa.text("select to_regclass(:name) is not null"), {"name": name}))

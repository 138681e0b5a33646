"""Who builds which partitions now, so that two workers never build the same one.

Belongs here: taking partitions for a run, waiting for whoever has them, and who is at work.
Does not belong here: what was built (``ledger.py``), which partitions to build (``automation``).

A lease is a row in Dagster's database, and good while the session that wrote it lasts: the session
holds an advisory lock, which PostgreSQL drops when its process dies, and half a minute after its
machine went away. So nothing has to be renewed, no clock is compared, and nobody breaks a lease. A
worker that lost its session publishes nothing more.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2
from sqlalchemy.engine import make_url

from analytics_assets.settings import Settings, user

_TABLE = "analytics_assets_lease"
# Of a run whose worker died, or lost its lease: it says nothing against trying the same again.
LOST_TAG = "analytics_assets/lost"
# The first number of our advisory locks; the second is the session's, or 0 to change the table.
_LOCKS = 24_942
_LOOK_AGAIN = 1.0
# What a server notices of a machine that is gone: after 10 s of silence, three questions in 15 s.
_SESSION = (
    "set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3;"
    " set application_name = 'analytics_assets lease'"
)
_MAKE = f"""
create table if not exists {_TABLE} (
    table_name text not null,
    first_partition text not null,
    last_partition text not null,
    run_id text not null,
    by_user text not null,
    granted boolean not null,
    holder integer not null,
    since timestamptz not null default clock_timestamp()
)"""
_ALIVE = f"""exists (
    select from pg_locks where locktype = 'advisory' and granted and objsubid = 2
    and classid = {_LOCKS} and objid = holder
    and database = (select oid from pg_database where datname = current_database())
)"""
_TAKEN = f"""
select l.table_name, l.run_id from {_TABLE} l, unnest(%s::text[]) as wanted
where l.granted and l.holder <> pg_backend_pid() and l.table_name = wanted
and l.first_partition <= %s and l.last_partition >= %s limit 1"""


class LeaseLost(RuntimeError):
    """The session that held the partitions is gone: others may build them now."""


@dataclass(frozen=True)
class Lease:
    """Partitions that this run alone builds."""

    connection: Any

    def is_held(self) -> bool:
        """Whether the session is still there."""
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(
                    f"select from {_TABLE} where holder = pg_backend_pid() and granted limit 1"
                )
                return cursor.fetchone() is not None
        except psycopg2.Error:
            return False

    def check(self) -> None:
        """``LeaseLost`` where it is not held any more; ask before anything is published."""
        if not self.is_held():
            raise LeaseLost(
                "The connection to PostgreSQL by which this run alone builds its partitions was"
                " lost, so it publishes nothing more: another run may build them. Run again"
            )


@contextmanager
def held(
    settings: Settings, tables: Sequence[str], first: str, last: str, run_id: str
) -> Iterator[Lease | None]:
    """Have the partitions from the first to the last of these tables, all of them or none; waits
    for runs that have any. ``None`` without a database, as a process by itself has.

    A run that waits holds nothing, so no two wait for each other.
    """
    if not settings.dagster_pg_url:
        yield None
        return
    with closing(_session(settings)) as connection:
        with connection.cursor() as cursor:
            cursor.execute(_SESSION)
            cursor.execute("select pg_advisory_lock(%s, pg_backend_pid())", [_LOCKS])
            granted = _take(cursor, tables, first, last, run_id)
            while not granted:
                time.sleep(_LOOK_AGAIN)
                granted = _take(cursor, tables, first, last, run_id)
        try:
            yield Lease(connection)
        finally:
            if not connection.closed:
                _give_back(connection)


def at_work(settings: Settings) -> set[str]:
    """Runs that hold partitions, or wait for some, and those that a worker has."""
    if not settings.dagster_pg_url:
        return set()
    with closing(_session(settings)) as connection, connection.cursor() as cursor:
        cursor.execute("select to_regclass(%s) is not null", [_TABLE])
        if not cursor.fetchone()[0]:
            return set()
        cursor.execute(f"select distinct run_id from {_TABLE} where {_ALIVE}")
        return {run_id for (run_id,) in cursor.fetchall()}


def _session(settings: Settings) -> Any:
    url = make_url(str(settings.dagster_pg_url)).set(drivername="postgresql")
    connection = psycopg2.connect(url.render_as_string(hide_password=False), connect_timeout=10)
    connection.autocommit = True
    return connection


def _take(cursor: Any, tables: Sequence[str], first: str, last: str, run_id: str) -> bool:
    """Whether nobody has any of them; then they are ours, else it is noted that we wait."""
    cursor.execute("begin")
    cursor.execute("select pg_advisory_xact_lock(%s, 0)", [_LOCKS])
    cursor.execute(f"select to_regclass('{_TABLE}') is null")
    if cursor.fetchone()[0]:
        cursor.execute(_MAKE)
    cursor.execute(f"delete from {_TABLE} where holder = pg_backend_pid() or not {_ALIVE}")
    cursor.execute(_TAKEN, [list(tables), last, first])
    granted = cursor.fetchone() is None
    cursor.execute(
        f"insert into {_TABLE} select unnest(%s::text[]), %s, %s, %s, %s, %s, pg_backend_pid()",
        [list(tables), first, last, run_id, user(), granted],
    )
    cursor.execute("commit")
    return granted


def _give_back(connection: Any) -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"delete from {_TABLE} where holder = pg_backend_pid()")
    except psycopg2.Error:
        pass  # the session is gone, and the lease with it

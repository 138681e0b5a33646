"""An operational database of a test's own, and a lake that is exported into."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import psycopg2

from analytics_assets import settings
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Table
from analytics_assets.domains.behavior.columns import EVENT_COLUMNS
from analytics_assets.domains.behavior.tables import TABLES, behavioral_events
from analytics_assets.warehouse.build import Builder
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake, open_lake
from analytics_assets.warehouse.outcome import Outcome
from analytics_assets.warehouse.session import expose, open_session

COLUMNS = ", ".join(quoted(column.name) for column in EVENT_COLUMNS)
# The zone of a test's machine must not matter.
_AS_TEXT = COLUMNS.replace('"timestamp"', """("timestamp" at time zone 'UTC')::text""").replace(
    '"eventData"', '"eventData"::text'
)
_OTHERS = COLUMNS.replace('"id", ', "")
# An event like one of a day, with another id.
LIKE = (
    f"insert into behavioral_events (id, {_OTHERS}) select %s, {_OTHERS} from behavioral_events"
    " where (\"timestamp\" at time zone 'UTC')::date = %s limit 1"
)


class Database:
    """The operational database at ``url``."""

    def __init__(self, url: str) -> None:
        self.url = url

    def connect(self) -> Any:
        return psycopg2.connect(self.url)

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """One statement in a transaction of its own; its rows, if it has any."""
        with closing(self.connect()) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def rows(self, day: str | None = None) -> list[tuple[Any, ...]]:
        """All events, or those of a day, in order of time and id."""
        zone = "(\"timestamp\" at time zone 'UTC')::date"
        where = f"where {zone} = '{day}'" if day else ""
        return self.run(
            f'select {_AS_TEXT} from behavioral_events {where} order by "timestamp", id'
        )

    def insert_like(self, day: str, new_id: str) -> None:
        self.run(LIKE, [new_id, day])

    def days(self) -> list[str]:
        found = self.run(
            "select distinct (\"timestamp\" at time zone 'UTC')::date::text from behavioral_events"
            ' where "timestamp" is not null'
        )
        return sorted(day for (day,) in found)


def lake() -> Lake:
    return open_lake(settings.load().lake)


def build(table: Table = behavioral_events, days: Sequence[str] | None = None) -> Outcome:
    """Build the partitions that are behind, or these."""
    log = logging.getLogger("behavior")
    log.setLevel(logging.CRITICAL)
    with open_session(settings.load()) as session:
        snapshot = Snapshot(lake())
        keys = days or [b.partition for b in snapshot.behind(table) if not b.refused]
        return Builder(session, snapshot, "test", log).build(table, keys)


def build_all() -> dict[str, Outcome]:
    """Every table of the domain, each after what it reads."""
    return {table.name: build(table) for table in TABLES}


def behind(table: Table = behavioral_events) -> list[str]:
    """Partitions that would be built now."""
    return [b.partition for b in Snapshot(lake()).behind(table) if not b.refused]


def exported(day: str | None = None, table: Table = behavioral_events) -> list[tuple[Any, ...]]:
    """What the lake holds, as ``Database.rows`` has it."""
    files = [file.uri for file in lake().files(table) if day in (None, file.key)]
    with open_session(settings.load()) as session:
        expose(session, table, files)
        text = COLUMNS.replace('"timestamp"', "cast(\"timestamp\" at time zone 'UTC' as varchar)")
        return session.execute(
            f'select {text} from {table.sql_name} order by "timestamp", id'
        ).fetchall()


def query(sql: str, *tables: Table) -> list[tuple[Any, ...]]:
    """Rows of a query on live tables."""
    with open_session(settings.load()) as session:
        for table in tables:
            expose(session, table, [file.uri for file in lake().files(table)])
        return session.execute(sql).fetchall()

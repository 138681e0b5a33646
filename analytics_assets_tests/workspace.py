"""A lake, a landing folder and a production database, and what a test does with them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import sqlalchemy as sa

from analytics_assets import settings
from analytics_assets.automation.plan import PlannedRun
from analytics_assets.automation.refresh import refresh
from analytics_assets.core.declaration import Table
from analytics_assets.definitions import build
from analytics_assets.domains.births.tables import TABLES
from analytics_assets.production import server
from analytics_assets.production.promotion import production_engine
from analytics_assets.production.release import Promotion, release
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake, open_lake

Ran = list[tuple[PlannedRun, dg.ExecuteInProcessResult]]


@cache
def definitions_of(tables: tuple[Table, ...]) -> dg.Definitions:
    """What Dagster would load if these were all tables."""
    return build(tables)


def with_upstream(*tables: Table) -> tuple[Table, ...]:
    """These tables and all that they are computed from, sources first."""
    found: dict[str, Table] = {}

    def add(table: Table) -> None:
        for upstream in table.upstream:
            add(upstream)
        found.setdefault(table.key, table)

    for table in tables:
        add(table)
    return tuple(found.values())


class Workspace:
    """Set up by the ``workspace`` fixture, which points the environment at it."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.instance = dg.DagsterInstance.ephemeral()
        self.definitions = definitions_of(tuple(TABLES))

    def refresh(
        self, definitions: dg.Definitions | None = None, tables: Sequence[Table] = TABLES
    ) -> Ran:
        """What the nightly schedule and the sensor bring about."""
        return list(refresh(definitions or definitions_of(tuple(tables)), tables, self.instance))

    def run(
        self, job: str, definitions: dg.Definitions | None = None, **config: Any
    ) -> dg.ExecuteInProcessResult:
        """A job of one op with this configuration, as launched from the UI."""
        definition = (definitions or self.definitions).resolve_job_def(job)
        (op,) = (node.name for node in definition.nodes)
        return definition.execute_in_process(
            instance=self.instance,
            run_config={"ops": {op: {"config": config}}},
            raise_on_error=False,
        )

    @property
    def lake(self) -> Lake:
        return open_lake(settings.load().lake)

    def warehouse(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query on the warehouse, as any DuckDB client would ask."""
        with duckdb.connect(str(settings.load().catalogue), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def production(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query on production, as a reader asks."""
        return asked_of_production(sql)

    def versions(self) -> dict[str, dict[str, str]]:
        """Table -> storage key -> file that holds it: changes with every new version."""
        return {
            table.key: {file.key: file.uri for file in self.lake.files(table)} for table in TABLES
        }

    def ledger(self) -> list[tuple[str, str]]:
        """(table, partition) of every promotion so far, oldest first."""
        rows = self.production("select table_name, partition from promotion.ledger order by id")
        return [(table, partition) for table, partition in rows]


def failures(ran: Ran) -> list[str]:
    """What failing runs told the user."""
    found = []
    for _, result in ran:
        for event in result.all_events:
            if event.event_type_value == "STEP_FAILURE":
                data = event.step_failure_data
                described = data.user_failure_data
                found.append(described.description if described else data.error.to_string())
    return found


def materialised(ran: Ran) -> set[tuple[str, str]]:
    """(asset, partition) of every materialisation."""
    return {
        ("/".join(entry.asset_key.path), entry.partition or "all")
        for _, result in ran
        for event in result.all_events
        if event.event_type_value == "ASSET_MATERIALIZATION"
        for entry in [event.step_materialization_data.materialization]
    }


def changed_keys(
    before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]
) -> dict[str, set[str]]:
    """Table -> storage keys with another version than before."""
    found = {
        table: {
            key
            for key in before[table].keys() | after[table].keys()
            if before[table].get(key) != after[table].get(key)
        }
        for table in before
    }
    return {table: keys for table, keys in found.items() if keys}


def rows_of(values: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Rows in an order that does not depend on how they were stored."""
    return sorted(tuple(map(str, row)) for row in values)


def promote(
    engine: sa.Engine,
    session: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    table: Table,
    partitions: Collection[str],
    run_id: str,
    gate_percent: float | None = None,
) -> Promotion:
    """A release of these partitions of one table, as if it were a domain of its own."""
    only = {table.key: partitions}
    done = release(engine, session, snapshot, [table], run_id, gate_percent, only=only)
    return done.tables[table.key]


def asked_of_production(sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query on production, as a reader asks."""
    with (
        production_engine(server.urls(settings.load()).reader, read_only=True) as engine,
        engine.connect() as connection,
    ):
        return [tuple(row) for row in connection.exec_driver_sql(sql)]

"""A release as Dagster is told of it.

Belongs here: making one with the settings in force, materialisations and checks of what became
visible, and the sentences of what did not.
Does not belong here: the assets and jobs (``release_assets.py``), the release itself
(``release.py``).
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import uuid4

import dagster as dg
import duckdb
import psycopg2
import sqlalchemy as sa
from dagster._core.events import DagsterEvent, DagsterEventBatchMetadata

from analytics_assets import settings
from analytics_assets.core.contracts import asset_key
from analytics_assets.core.declaration import Table
from analytics_assets.core.display import rows_as_markdown
from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets.core.small_cells import share_sql
from analytics_assets.core.source import SourceError
from analytics_assets.core.telling import foreign
from analytics_assets.production import server
from analytics_assets.production.encoding import stored_name
from analytics_assets.production.parity import Comparison, compare
from analytics_assets.production.promotion import PromotionError, production_engine
from analytics_assets.production.release import Promotion, Release, release
from analytics_assets.warehouse import leases
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.check_results import FAILING, MOST_FAILING
from analytics_assets.warehouse.lake import open_lake
from analytics_assets.warehouse.session import expose, open_session

PARITY = "equals_warehouse"
_RETRIES = 3
_SHOWN = 20


def production_key(table: Table) -> dg.AssetKey:
    """The key of the table's promoted copy."""
    return dg.AssetKey(["production", *asset_key(table).path])


def fail(failures: Sequence[str]) -> None:
    """End the run where there is something to say."""
    if failures:
        raise dg.Failure(description="\n".join(failures), allow_retries=False)


@contextmanager
def released(context: dg.OpExecutionContext, tables: Sequence[Table]) -> "Iterator[Report]":
    """Release a domain, and be ready to tell of it."""
    config = settings.load()
    started = time.monotonic()
    domain = tables[0].domain
    with (
        ExitStack() as leased,
        open_session(config) as session,
        production_engine(server.urls(config).promoter) as engine,
    ):
        with _explained(context, domain):
            # The release has a lock of its own; by this it is seen to be at work.
            lease = leases.held(config, [f"production/{domain}"], "", "", context.run_id)
            leased.enter_context(lease)
            snapshot = Snapshot(open_lake(config.lake))
            gate = config.promotion_gate_percent
            done = release(engine, session, snapshot, tables, context.run_id, gate)
        seconds = time.monotonic() - started
        yield Report(context, session, engine, snapshot, tables, done, seconds)


@contextmanager
def _explained(context: dg.OpExecutionContext, domain: str) -> Iterator[None]:
    """Ends the run with a sentence; nothing was changed."""
    try:
        yield
    except (PromotionError, SourceError) as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    except (sa.exc.OperationalError, psycopg2.OperationalError) as error:
        _retry(context, domain, error)
    except sa.exc.DBAPIError as error:
        raise dg.Failure(
            f"{domain}: PostgreSQL: {foreign(error)}. Readers keep what they have",
            allow_retries=False,
        ) from error


def _retry(context: dg.OpExecutionContext, domain: str, error: Exception) -> NoReturn:
    """The server may be restarting; nothing was changed."""
    if context.retry_number < _RETRIES:
        raise dg.RetryRequested(
            max_retries=_RETRIES, seconds_to_wait=2 ** (context.retry_number + 1)
        ) from error
    raise dg.Failure(
        f"{domain}: PostgreSQL, asked {_RETRIES + 1} times: {foreign(error)}. Readers keep"
        " what they have. See that it runs and its disk has room, and run again",
        allow_retries=False,
    ) from error


@dataclass(frozen=True)
class Report:
    """What a release did, with all that it takes to look at it."""

    context: dg.OpExecutionContext
    session: duckdb.DuckDBPyConnection
    engine: sa.Engine
    snapshot: Snapshot
    tables: Sequence[Table]
    done: Release
    seconds: float

    def on_hold(self) -> list[str]:
        """What somebody has to decide since this release, and how much waits for it."""
        told = [
            f"{key} {partition}: on hold: {why}. Readers keep what they have. If it is right, run"
            " the job confirm_promotion"
            for (key, partition), why in self.done.put_on_hold.items()
        ]
        waiting = sum(len(promotion.waiting) for promotion in self.done.tables.values())
        if told and waiting:
            told.append(f"{waiting:,} partitions that follow from the same input wait with it")
        return told

    def lacking(self, tables: Sequence[Table], keys: Sequence[str]) -> list[str]:
        """Which of these partitions readers do not have as the warehouse does, and why."""
        pending = {table.key: self.done.tables[table.key].pending for table in tables}
        return [
            f"{key} {partition}: {pending[key][partition]}. Readers keep what they have"
            for key in pending
            for partition in keys
            if partition in pending[key]
        ]

    def tell(self, promotions: Mapping[str, Promotion]) -> None:
        """Materialisations and checks of all that became visible, in batches of Dagster's."""
        for table in (table for table in self.tables if table.key in promotions):
            promotion = promotions[table.key]
            moved = [*promotion.copied, *promotion.removed]
            if promotion.tampered:
                # Mended by this very release, which passes the check again: people should know.
                self.tell_check(_tampered(table, promotion.mended))
            if moved or promotion.mended:
                self._materialised(table, promotion, moved)
                self.tell_check(self.parity(table, moved))

    def _materialised(self, table: Table, promotion: Promotion, partitions: Sequence[str]) -> None:
        common, batch = self._common(table, promotion), str(uuid4())
        step = self.context.get_step_execution_context()
        for place, partition in enumerate(partitions, start=1):
            event = dg.AssetMaterialization(
                production_key(table),
                partition=partition if table.period.definition else None,
                metadata=common | _own(table, promotion, partition),
            )
            last = DagsterEventBatchMetadata(batch, place == len(partitions))
            # What ``log_event`` does, which writes one by one.
            self.context._events.append(DagsterEvent.asset_materialization(step, event, last))

    def tell_check(self, found: dg.AssetCheckResult) -> None:
        """What a check found, in a run of no asset."""
        assert found.asset_key
        assert found.check_name
        event = dg.AssetCheckEvaluation(
            asset_key=found.asset_key,
            check_name=found.check_name,
            passed=found.passed,
            metadata=dict(found.metadata or {}),
            severity=found.severity,
            description=found.description,
        )
        # Dagster takes it here, and leaves it out of the declared types.
        self.context.log_event(event)  # type: ignore[arg-type]

    def results(
        self, context: dg.AssetExecutionContext, table: Table, keys: Sequence[str]
    ) -> Iterator[dg.MaterializeResult]:
        """The result of an asset where readers have all of these partitions; else events of those
        that they have."""
        promotion = self.done.tables[table.key]
        common = self._common(table, promotion)
        there = promotion.rows.keys() | set(promotion.removed)
        good = [key for key in keys if key in there and key not in promotion.pending]
        if len(good) < len(keys):
            self._materialised(table, promotion, good)
        elif table.period is UNPARTITIONED:
            own = _own(table, promotion, good[0])
            yield dg.MaterializeResult(production_key(table), metadata=common | own)
        else:
            for key in good:
                context.add_asset_metadata(
                    _own(table, promotion, key), production_key(table), partition_key=key
                )
            yield dg.MaterializeResult(production_key(table), metadata=common)

    def _common(self, table: Table, promotion: Promotion) -> dict[str, Any]:
        common: dict[str, Any] = {
            "release": self.done.number,
            "seconds of the release": round(self.seconds, 2),
            "partitions copied": len(promotion.copied),
            "bytes sent": promotion.bytes,
            **_withheld(self.session, self.snapshot, table),
        }
        if promotion.mended:
            common["mended"] = promotion.mended
        if promotion.changes:
            shown = [change.as_row() for change in promotion.changes[:_SHOWN]]
            common["changes"] = dg.MetadataValue.md(rows_as_markdown(shown))
        return common

    def parity(self, table: Table, keys: Sequence[str]) -> dg.AssetCheckResult:
        """Readers' rows against the lake's, of these partitions."""
        pending = self.done.tables[table.key].pending
        wanted = [key for key in keys if key not in pending]
        with self.engine.connect() as connection:
            return parity_result(connection, self.session, self.snapshot, table, wanted)


def _tampered(table: Table, why: str) -> dg.AssetCheckResult:
    """What a release found of somebody else's doing, and mended."""
    return dg.AssetCheckResult(
        asset_key=production_key(table),
        check_name=PARITY,
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{why}. This release compared it with the warehouse and mended what differed.",
        metadata={
            "what to do": "Find out who did that, and why: what is written to production by hand"
            " does not last."
        },
    )


def _own(table: Table, promotion: Promotion, partition: str) -> dict[str, Any]:
    rows = promotion.rows.get(partition, 0)
    name = "row_count" if table.period is UNPARTITIONED else "partition_row_count"
    return {f"dagster/{name}": rows, "changed": partition in promotion.copied}


def _withheld(
    session: duckdb.DuckDBPyConnection, snapshot: Snapshot, table: Table
) -> dict[str, Any]:
    """Which share of the cells of all partitions readers do not get."""
    measured = share_sql(table)
    if not measured:
        return {}
    for read in (table, *table.reads):
        expose(session, read, [file.uri for file in snapshot.files(read)])
    ((cells, small, withheld),) = session.execute(measured).fetchall()
    share = 100 / max(cells, 1)
    return {
        "cells withheld, %": round(withheld * share, 1),
        "of these small, %": round(small * share, 1),
        "of these to protect small ones, %": round((withheld - small) * share, 1),
    }


def parity_result(
    connection: sa.Connection,
    session: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    table: Table,
    keys: list[str] | None = None,
) -> dg.AssetCheckResult:
    """Readers' rows against the lake's, for the partitions at hand or for all."""
    compared = compare(connection, session, snapshot, table, keys)
    size = connection.execute(
        sa.text("select pg_total_relation_size(to_regclass(:name))"), {"name": stored_name(table)}
    ).scalar_one()
    partitions = list(dict.fromkeys(difference.partition for difference in compared.differences))
    shown = [
        {name: str(value) for name, value in vars(difference).items()}
        for difference in compared.differences[:_SHOWN]
    ]
    return dg.AssetCheckResult(
        asset_key=production_key(table),
        check_name=PARITY,
        passed=not compared.differences,
        description=_summary(compared, partitions),
        metadata={
            "partitions compared": compared.partitions,
            "rows compared": compared.rows,
            "partitions that differ": ", ".join(partitions[:_SHOWN]) or "none",
            FAILING: dg.MetadataValue.json(partitions[:MOST_FAILING]),
            "differences": dg.MetadataValue.md(rows_as_markdown(shown)),
            "size in bytes": size or 0,
            "what to do": "If the version differs, materialise the partition here. If it does not,"
            " somebody wrote to production unseen: as its owner, drop table"
            f" {stored_name(table)} cascade; the next release copies it whole.",
        },
    )


def _summary(compared: Comparison, partitions: list[str]) -> str:
    if not compared.differences:
        return f"{compared.rows:,} rows of {compared.partitions:,} partitions agree."
    first = compared.differences[0]
    return (
        f"{len(partitions):,} of {compared.partitions:,} partitions differ. The first:"
        f" {first.total} of {first.partition} is {first.production} in production,"
        f" {first.warehouse} in the warehouse."
    )

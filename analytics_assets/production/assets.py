"""Published tables -> promotion assets.

Belongs here: ``production/<domain>/<table>``, partitioned as its table and downstream of it.
Does not belong here: how rows get there (``promotion.py``).
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import duckdb
import sqlalchemy as sa

from analytics_assets import settings
from analytics_assets.core.columns import DeclarationError
from analytics_assets.core.contracts import table_schema
from analytics_assets.core.declaration import Table
from analytics_assets.core.display import rows_as_markdown
from analytics_assets.core.partitions import PERIODS, UNPARTITIONED
from analytics_assets.core.small_cells import share_sql
from analytics_assets.production import server
from analytics_assets.production.encoding import stored_name
from analytics_assets.production.parity import Comparison, compare
from analytics_assets.production.promotion import (
    Promotion,
    PromotionError,
    production_engine,
    promote,
)
from analytics_assets.production.schema import stored_bytes
from analytics_assets.warehouse.assets import FAILING, MOST_FAILING, asset_key
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import open_lake
from analytics_assets.warehouse.session import expose, open_session

PARITY = "equals_warehouse"
_RETRIES = 3
_SHOWN = 20


def production_key(table: Table) -> dg.AssetKey:
    """The key of the table's promoted copy."""
    return dg.AssetKey(["production", *table.key.split("/")])


def production_assets(tables: Sequence[Table]) -> list[dg.AssetsDefinition]:
    """A promotion step for each domain and period."""
    for table in tables:
        if table.publish and table.publish.threshold:
            raise DeclarationError(
                f"{table.key}: its small cells would be promoted; pass it through protect()"
            )
    found = []
    for domain in sorted({table.domain for table in tables}):
        for period in PERIODS:
            own = [
                table
                for table in tables
                if table.publish and table.domain == domain and table.period is period
            ]
            if own:
                found.append(_step_asset(domain, own))
    return found


def _step_asset(domain: str, tables: list[Table]) -> dg.AssetsDefinition:
    period = tables[0].period

    @dg.multi_asset(
        name=f"promote_{domain}_{period.name}",
        specs=[_spec(table) for table in tables],
        check_specs=[
            dg.AssetCheckSpec(
                PARITY,
                asset=production_key(table),
                description="What readers see is what the warehouse has now: rows and sums of each"
                " partition, computed anew from both, and the version that the ledger names.",
            )
            for table in tables
        ],
        partitions_def=period.definition,
        backfill_policy=dg.BackfillPolicy.single_run() if period.definition else None,
        can_subset=True,
    )
    def step(context: dg.AssetExecutionContext) -> Iterator[Any]:
        chosen = [table for table in tables if production_key(table) in context.selected_asset_keys]
        if not chosen:
            checked = {check.asset_key for check in context.selected_asset_check_keys}
            yield from _recheck([t for t in tables if production_key(t) in checked])
            return
        keys = list(context.partition_keys) if period.definition else [UNPARTITIONED.only_key]
        yield from _promote(context, chosen, keys)

    return step


def _spec(table: Table) -> dg.AssetSpec:
    return dg.AssetSpec(
        key=production_key(table),
        deps=[asset_key(table)],
        group_name=f"{table.domain}_production",
        description=f"{table.description} The copy that people read:"
        f" `{table.domain}.{table.published_name}`.",
        owners=[table.owner],
        kinds={"postgres"},
        code_version=table.code_version,
        metadata={
            "dagster/column_schema": table_schema(table.promoted),
            "dagster/table_name": f"{table.domain}.{table.published_name}",
            "dagster/column_lineage": dg.TableColumnLineage(
                {
                    column.name: [dg.TableColumnDep(asset_key(table), column.name)]
                    for column in table.promoted.stored_columns
                }
            ),
        },
        tags={"domain": table.domain, "layer": "production"},
    )


def _promote(
    context: dg.AssetExecutionContext, tables: list[Table], keys: list[str]
) -> Iterator[Any]:
    config = settings.load()
    snapshot = Snapshot(open_lake(config.lake))
    failures: list[str] = []
    with (
        open_session(config) as session,
        production_engine(server.urls(config).promoter) as engine,
    ):
        for table in tables:
            started = time.monotonic()
            try:
                gate = config.promotion_gate_percent
                done = promote(engine, session, snapshot, table, keys, context.run_id, gate)
                with engine.connect() as connection:
                    yield _parity(connection, session, snapshot, table, keys)
            except PromotionError as error:
                failures.append(str(error))
                continue
            except sa.exc.OperationalError as error:
                # The server may be restarting; what was promoted before is not copied again.
                if context.retry_number < _RETRIES:
                    raise dg.RetryRequested(
                        max_retries=_RETRIES, seconds_to_wait=2 ** (context.retry_number + 1)
                    ) from error
                reason = " ".join(str(error.orig).split()).rstrip(".")
                failures.append(
                    f"{table.key}: PostgreSQL, asked {_RETRIES + 1} times: {reason}. Readers keep"
                    " what they have. See that it runs and its disk has room, and run again"
                )
                break
            failures += [
                f"{table.key} {partition}: on hold: {why}. Readers keep what they have. If it is"
                " right, run the job confirm_promotion"
                for partition, why in done.held.items()
            ]
            seconds = time.monotonic() - started
            kept_back = _withheld(session, snapshot, table)
            yield from _materialisations(context, table, done, keys, seconds, kept_back)
    if failures:
        raise dg.Failure(description="\n".join(failures), allow_retries=False)


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


def _recheck(tables: list[Table]) -> Iterator[dg.AssetCheckResult]:
    """Only checks were asked for: compare all partitions, copy none."""
    config = settings.load()
    snapshot = Snapshot(open_lake(config.lake))
    with (
        open_session(config) as session,
        production_engine(server.urls(config).promoter) as engine,
        engine.connect() as connection,
    ):
        for table in tables:
            yield _parity(connection, session, snapshot, table)


def _materialisations(
    context: dg.AssetExecutionContext,
    table: Table,
    done: Promotion,
    keys: list[str],
    seconds: float,
    kept_back: dict[str, Any],
) -> Iterator[dg.MaterializeResult]:
    """The result of a table; where versions were put on hold, events for the other partitions."""
    key = production_key(table)
    common: dict[str, Any] = {
        "seconds": round(seconds, 2),
        "partitions copied": len(done.copied),
        "bytes sent": done.bytes,
        **kept_back,
    }
    if done.changes:
        shown = [change.as_row() for change in done.changes[:_SHOWN]]
        common["changes"] = dg.MetadataValue.md(rows_as_markdown(shown))
    if table.period is UNPARTITIONED:
        if not done.held:
            common["dagster/row_count"] = done.rows.get(UNPARTITIONED.only_key, 0)
            yield dg.MaterializeResult(key, metadata=common)
        return
    own = {
        partition: {
            "dagster/partition_row_count": done.rows.get(partition, 0),
            "changed": partition in done.copied,
        }
        for partition in keys
        if partition not in done.held
    }
    for partition, metadata in own.items():
        if done.held:
            context.instance.report_runless_asset_event(
                dg.AssetMaterialization(key, partition=partition, metadata=common | metadata)
            )
        else:
            context.add_asset_metadata(metadata, asset_key=key, partition_key=partition)
    if not done.held:
        yield dg.MaterializeResult(key, metadata=common)


def _parity(
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
            " somebody wrote to production by hand: as its owner, drop table"
            f" {stored_name(table)} cascade, then materialise any partition: all are copied.",
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


def size_checks(tables: Sequence[Table]) -> list[dg.AssetChecksDefinition]:
    """For each domain, a warning when its tables and indexes outgrow ``PRODUCTION_BUDGET_MB``."""
    return [
        _size_check(domain, [t for t in tables if t.publish and t.domain == domain])
        for domain in sorted({table.domain for table in tables if table.publish})
    ]


def _size_check(domain: str, published: list[Table]) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        name="size_budget",
        # A check belongs to one asset: the last one, which every change reaches.
        asset=production_key(published[-1]),
        description=f"All of {domain} in production, indexes included, fits the configured budget.",
    )
    def size_budget() -> dg.AssetCheckResult:
        config = settings.load()
        with (
            production_engine(server.urls(config).promoter) as engine,
            engine.connect() as connection,
        ):
            sizes = stored_bytes(connection, domain)
        used = sum(sizes.values()) / 2**20
        largest = sorted(sizes.items(), key=lambda item: -item[1])[:10]
        rows = [{"table": name, "MB": round(size / 2**20, 1)} for name, size in largest]
        return dg.AssetCheckResult(
            passed=used <= config.production_budget_mb,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "used, MB": round(used, 1),
                "budget, MB": config.production_budget_mb,
                "largest": dg.MetadataValue.md(rows_as_markdown(rows)),
                "what to do": "Publish fewer fine-grained tables, or raise PRODUCTION_BUDGET_MB.",
            },
        )

    return size_budget

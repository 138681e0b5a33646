"""Published tables -> promoted assets, and the job of each domain that releases them.

Belongs here: ``production/<domain>/<table>``, partitioned as its table and downstream of it.
Does not belong here: how rows get there (``release.py``), what Dagster is told of it
(``reporting.py``).

A run of Dagster has one partitions definition, and a release all of a domain. So it is a job of one
op, which reports what became visible of each asset. Materialising an asset makes the same release.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from analytics_assets import settings
from analytics_assets.core.boundary import in_our_words
from analytics_assets.core.columns import DeclarationError
from analytics_assets.core.contracts import asset_key, table_schema
from analytics_assets.core.declaration import Table
from analytics_assets.core.display import rows_as_markdown
from analytics_assets.core.partitions import PERIODS, UNPARTITIONED
from analytics_assets.production import server
from analytics_assets.production.promotion import production_engine
from analytics_assets.production.reporting import (
    PARITY,
    fail,
    parity_result,
    production_key,
    released,
)
from analytics_assets.production.schema import stored_bytes
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import open_lake
from analytics_assets.warehouse.session import open_session

_SIZE = "size_budget"


def release_job_name(domain: str) -> str:
    """The job that releases a domain."""
    return f"{domain}_release"


def production_assets(tables: Sequence[Table]) -> list[dg.AssetsDefinition]:
    """The promoted copies, a step for each domain and period."""
    for table in tables:
        if table.publish and table.publish.threshold:
            raise DeclarationError(
                f"{table.key}: its small cells would be promoted; pass it through protect()"
            )
    found = []
    for domain, own in _by_domain(tables).items():
        for period in PERIODS:
            published = [table for table in own if table.publish and table.period is period]
            if published:
                found.append(_step_asset(domain, own, published))
    return found


def release_jobs(tables: Sequence[Table]) -> list[dg.JobDefinition]:
    """For each domain with promoted tables, the job that makes what changed visible at once."""
    return [
        _release_job(domain, own)
        for domain, own in _by_domain(tables).items()
        if any(table.publish for table in own)
    ]


def _by_domain(tables: Sequence[Table]) -> dict[str, list[Table]]:
    found: dict[str, list[Table]] = {}
    for table in sorted(tables, key=lambda table: table.domain):
        found.setdefault(table.domain, []).append(table)
    return found


def _release_job(domain: str, tables: list[Table]) -> dg.JobDefinition:
    @dg.op(name=f"release_{domain}")
    @in_our_words
    def step(context: dg.OpExecutionContext) -> None:
        with released(context, tables) as report:
            report.tell(report.done.tables)
            if report.done.number:
                report.tell_check(_size_result([table for table in tables if table.publish]))
            fail(report.on_hold())

    @dg.job(
        name=release_job_name(domain),
        description=f"Makes what changed of {domain} visible to readers: all tables at once, after"
        " they are current, as far as nothing of it is on hold or has to wait.",
    )
    def job() -> None:
        step()

    return job


def _step_asset(domain: str, all_tables: list[Table], tables: list[Table]) -> dg.AssetsDefinition:
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
    @in_our_words
    def step(context: dg.AssetExecutionContext) -> Iterator[Any]:
        chosen = [table for table in tables if production_key(table) in context.selected_asset_keys]
        if not chosen:
            checked = {check.asset_key for check in context.selected_asset_check_keys}
            yield from _recheck([t for t in tables if production_key(t) in checked])
            return
        keys = list(context.partition_keys) if period.definition else [UNPARTITIONED.only_key]
        with released(context.op_execution_context, all_tables) as report:
            others = report.done.tables.keys() - {table.key for table in chosen}
            report.tell({key: report.done.tables[key] for key in sorted(others)})
            for table in chosen:
                yield report.parity(table, keys)
                yield from report.results(context, table, keys)
            fail(report.lacking(chosen, keys))

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
        skippable=True,
        metadata={
            "dagster/column_schema": table_schema(table.promoted),
            "dagster/table_name": f"{table.domain}.{table.published_name}",
            "dashboard": dg.MetadataValue.url(
                f"{settings.load().dashboard_url}/tables/{table.domain}.{table.published_name}"
            ),
            "dagster/column_lineage": dg.TableColumnLineage(
                {
                    column.name: [dg.TableColumnDep(asset_key(table), column.name)]
                    for column in table.promoted.stored_columns
                }
            ),
        },
        tags={"domain": table.domain, "layer": "production"},
    )


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
            yield parity_result(connection, session, snapshot, table)


def size_checks(tables: Sequence[Table]) -> list[dg.AssetChecksDefinition]:
    """For each domain, a warning when its tables and indexes outgrow ``PRODUCTION_BUDGET_MB``."""
    return [
        _size_check(domain, [t for t in tables if t.publish and t.domain == domain])
        for domain in sorted({table.domain for table in tables if table.publish})
    ]


def _size_check(domain: str, published: list[Table]) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        name=_SIZE,
        # A check belongs to one asset: the last one, which every change reaches.
        asset=production_key(published[-1]),
        description=f"All of {domain} in production, indexes included, fits the configured budget.",
    )
    @in_our_words
    def size_budget() -> dg.AssetCheckResult:
        return _size_result(published)

    return size_budget


def _size_result(published: Sequence[Table]) -> dg.AssetCheckResult:
    config = settings.load()
    with (
        production_engine(server.urls(config).promoter) as engine,
        engine.connect() as connection,
    ):
        sizes = stored_bytes(connection, published[0].domain)
    used = sum(sizes.values()) / 2**20
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:10]
    rows = [{"table": name, "MB": round(size / 2**20, 1)} for name, size in largest]
    return dg.AssetCheckResult(
        asset_key=production_key(published[-1]),
        check_name=_SIZE,
        passed=used <= config.production_budget_mb,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "used, MB": round(used, 1),
            "budget, MB": config.production_budget_mb,
            "largest": dg.MetadataValue.md(rows_as_markdown(rows)),
            "what to do": "Publish fewer fine-grained tables, or raise PRODUCTION_BUDGET_MB.",
        },
    )

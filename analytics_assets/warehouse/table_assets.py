"""Declarations -> Dagster assets.

Belongs here: grouping tables into steps, and telling Dagster what a build did.
Does not belong here: the build (``build.py``), what checks found (``check_results.py``), jobs and
schedules (``automation``).

Tables of one layer and period are one multi-asset, as dagster-dbt does it: they stand apart in the
UI and can be selected one by one, but a run pays Dagster's cost of a step once, not per table.
"""

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import dagster as dg
import duckdb
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from deltalake.exceptions import DeltaError

from analytics_assets import settings
from analytics_assets.core.boundary import in_our_words
from analytics_assets.core.contracts import asset_key, table_schema
from analytics_assets.core.declaration import Table, in_dependency_order
from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets.core.telling import foreign
from analytics_assets.core.troubles import is_full
from analytics_assets.home import HOME_TAG
from analytics_assets.warehouse import leases
from analytics_assets.warehouse.audit import Finding, told
from analytics_assets.warehouse.build import Builder
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.catalogue import refresh_catalogue
from analytics_assets.warehouse.check_results import check_results, check_specs
from analytics_assets.warehouse.delta_log import DamagedLog
from analytics_assets.warehouse.known_lineage import known_lineage
from analytics_assets.warehouse.lake import open_lake
from analytics_assets.warehouse.outcome import Outcome
from analytics_assets.warehouse.pictures import pictures_of, totals_of
from analytics_assets.warehouse.quarantine import view_name
from analytics_assets.warehouse.session import open_session

_NOT_PUBLISHED = "Not published, the live partitions stay as they were:"
_STAYS = "Live rows fail a rule that is newer than they are; they stay until they are mended:"


def steps(tables: Sequence[Table]) -> list[list[Table]]:
    """Tables that are built in one step: same domain, layer and period, and no way round between
    two of them leads through another step."""
    depth: dict[str, int] = {}
    groups: dict[tuple[str, str, str, int], list[Table]] = {}
    for table in in_dependency_order(tables):

        def after(upstream: Table, table: Table = table) -> int:
            same = (upstream.layer, upstream.period) == (table.layer, table.period)
            return depth[upstream.key] + (0 if same else 1)

        depth[table.key] = max((after(upstream) for upstream in table.upstream), default=0)
        step = (table.domain, table.layer, table.period.name, depth[table.key])
        groups.setdefault(step, []).append(table)
    return list(groups.values())


def warehouse_assets(tables: Sequence[Table]) -> list[dg.AssetsDefinition]:
    """All tables of the warehouse as assets."""
    lineages = known_lineage(tables)
    return [_step_asset(step, lineages) for step in steps(tables)]


def _step_asset(
    tables: list[Table], lineages: Mapping[str, dg.TableColumnLineage | None]
) -> dg.AssetsDefinition:
    first = tables[0]
    name = f"{first.domain}_{first.layer}_{first.period.name}_{first.name}"
    partitions = first.period.definition

    @dg.multi_asset(
        name=name,
        specs=[_spec(table, lineages[table.key]) for table in tables],
        check_specs=[spec for table in tables for spec in check_specs(table)],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run() if partitions else None,
        can_subset=True,
        # Without a limit, until somebody sets one by this name.
        pool=name,
    )
    @in_our_words
    def step(context: dg.AssetExecutionContext) -> Iterator[Any]:
        selected = [table for table in tables if asset_key(table) in context.selected_asset_keys]
        if not selected:
            checked = {check.asset_key for check in context.selected_asset_check_keys}
            yield from _recheck(context, [t for t in tables if asset_key(t) in checked])
            return
        keys = list(context.partition_keys) if partitions else [UNPARTITIONED.only_key]
        yield from _materialise(context, selected, keys)

    return step


def _spec(table: Table, lineage: dg.TableColumnLineage | None) -> dg.AssetSpec:
    metadata: dict[str, Any] = {
        "dagster/column_schema": table_schema(table, lineage),
        "dagster/table_name": table.sql_name,
    }
    if lineage:
        metadata["dagster/column_lineage"] = lineage
    return dg.AssetSpec(
        key=asset_key(table),
        deps=[_dependency(table, upstream) for upstream in table.upstream],
        group_name=f"{table.domain}_{table.layer}",
        description=table.description,
        owners=[table.owner],
        kinds={"deltalake", "duckdb"},
        code_version=table.code_version,
        metadata=metadata,
        tags={"domain": table.domain, "layer": table.layer},
    )


def _dependency(table: Table, upstream: Table) -> dg.AssetDep:
    """The months of the running year, and days of the first week, need not all exist yet."""
    first, last = table.reach_of(upstream)
    if UNPARTITIONED in (table.period, upstream.period) or (
        table.period is upstream.period and (first, last) == (0, 0)
    ):
        return dg.AssetDep(asset_key(upstream))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        mapping = dg.TimeWindowPartitionMapping(
            start_offset=first, end_offset=last, allow_nonexistent_upstream_partitions=True
        )
    return dg.AssetDep(asset_key(upstream), partition_mapping=mapping)


class _Shown(NamedTuple):
    """Partition -> numbers for Dagster's plots; pictures of the table for one of its events."""

    totals: Mapping[str, dict[str, Any]]
    pictures: dict[str, Any]


def _materialise(
    context: dg.AssetExecutionContext, tables: list[Table], keys: list[str]
) -> Iterator[Any]:
    """Build each table; good partitions are live and recorded even if others fail the step."""
    config = settings.load()
    names = [table.key for table in tables]
    with leases.held(config, names, min(keys), max(keys), context.run_id) as lease:
        # What is there is looked at when no other run changes it any more.
        with _explained("the build ledger", config.lake):
            snapshot = Snapshot(open_lake(config.lake))
        try:
            yield from _built(context, config, snapshot, lease, tables, keys)
        except Exception:
            if lease and not lease.is_held():
                # PostgreSQL was restarted, or the network cut: that is not of the input.
                context.instance.add_run_tags(context.run_id, {leases.LOST_TAG: "true"})
            raise


def _built(
    context: dg.AssetExecutionContext,
    config: settings.Settings,
    snapshot: Snapshot,
    lease: leases.Lease | None,
    tables: list[Table],
    keys: list[str],
) -> Iterator[Any]:
    failures: list[str] = []
    changed: list[Table] = []
    # A command brings up at its end the views of all that it changed: to bind one opens every file
    # of the table, and most change in several runs.
    later = HOME_TAG in context.run_tags
    with open_session(config) as session:
        builder = Builder(session, snapshot, context.run_id, context.log, lease)
        for table in tables:
            started = time.monotonic()
            with _explained(table.key, config.lake):
                outcome = builder.build(table, keys)
            held = outcome.quarantined or outcome.released or outcome.version is None
            changed += [table] if held or (outcome.changed and not later) else []
            if len(outcome.absent) < len(keys) or outcome.withdrawn:
                yield from check_results(outcome, snapshot, keys)
            failures += _failures(outcome)
            built = set(keys) - outcome.failed() - set(outcome.absent)
            shown = _Shown(
                totals_of(session, snapshot, table, built),
                pictures_of(session, snapshot, table) if outcome.changed else {},
            )
            seconds = time.monotonic() - started
            yield from _materialisations(context, outcome, keys, seconds, shown)
    try:
        with _explained("the catalogue", str(config.catalogue)):
            refresh_catalogue(config, snapshot, changed)
    except dg.Failure as error:
        # What was built is in the lake; the catalogue is brought up when nothing is behind.
        context.log.warning(error.description)
    if failures:
        raise dg.Failure(description="\n".join(failures), allow_retries=False)


def _failures(outcome: Outcome) -> list[str]:
    """What is wrong with a table, under what becomes of it; empty if nothing is."""
    found: dict[str, list[Finding]] = {}
    for finding in outcome.findings:
        if finding.blocking:
            became = _STAYS if finding.partition in outcome.judged else _NOT_PUBLISHED
            found.setdefault(became, []).append(finding)
    said = []
    for became, own in found.items():
        said += [became, *(f"{outcome.table.key} {line}" for line in told(outcome.table, own))]
    return said + _in_quarantine(outcome)


@contextmanager
def _explained(what: str, where: str) -> Iterator[None]:
    """DuckDB, Delta and Python each have words of their own for a full or read-only disk."""
    try:
        yield
    except DamagedLog as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    except (OSError, duckdb.IOException, DeltaError) as error:
        reason = "the disk is full" if is_full(error) else foreign(error)
        raise dg.Failure(
            f"{what} could not be written to {where}: {reason}. Readers see whole versions"
            " only. Mend the cause, such as a disk that is full or read-only, and run again"
        ) from error


def _materialisations(
    context: dg.AssetExecutionContext,
    outcome: Outcome,
    keys: list[str],
    seconds: float,
    shown: _Shown,
) -> Iterator[dg.MaterializeResult]:
    """The result of a table; where some of its partitions failed, events for the good ones."""
    key = asset_key(outcome.table)
    left_out = outcome.failed().union(outcome.absent)
    good = [partition for partition in keys if partition not in left_out]
    common = _metadata(outcome, keys, seconds)
    if outcome.table.period is UNPARTITIONED:
        if good:
            only = UNPARTITIONED.only_key
            own_words = {**outcome.reports.get(only, {}), **shown.totals.get(only, {})}
            yield dg.MaterializeResult(key, metadata={**common, **own_words, **shown.pictures})
        elif not outcome.failed():
            yield _nothing(key)
        return
    own = {
        partition: _partition_metadata(outcome, partition) | shown.totals.get(partition, {})
        for partition in good
    }
    if good:
        own[good[-1]].update(shown.pictures)
    if left_out.isdisjoint(keys):
        for partition in good:
            context.add_asset_metadata(own[partition], asset_key=key, partition_key=partition)
        yield dg.MaterializeResult(key, metadata=common)
        return
    for partition in good:
        metadata = {**common, **own[partition]}
        context.log_event(dg.AssetMaterialization(key, partition=partition, metadata=metadata))
    # Events wait for the next result; an error alone would lose them.
    yield _nothing(key)


def _nothing(key: dg.AssetKey) -> dg.MaterializeResult:
    """Lets what follows in the run go on, and is no materialisation of what was asked for.

    An output that is left out would skip all that reads the asset, and each other one counts as
    the materialisation of every partition of the run.
    """
    return dg.MaterializeResult(key, metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})


def _recheck(context: dg.AssetExecutionContext, tables: list[Table]) -> Iterator[Any]:
    """Only checks were asked for: judge what is live."""
    config = settings.load()
    with _explained("the build ledger", config.lake):
        snapshot = Snapshot(open_lake(config.lake))
    with _explained("checks", config.lake), open_session(config) as session:
        builder = Builder(session, snapshot, context.run_id, context.log)
        for table in tables:
            wanted = {
                key.name
                for key in context.selected_asset_check_keys
                if key.asset_key == asset_key(table)
            }
            for result in check_results(builder.recheck(table), snapshot, []):
                if result.check_name in wanted:
                    yield result


def _in_quarantine(outcome: Outcome) -> list[str]:
    """Where the rows at fault are, and how many."""
    if not outcome.quarantined:
        return []
    counted = ", ".join(f"{key}: {n:,} rows" for key, n in sorted(outcome.quarantined.items()))
    query = f"select reason, count(*) from {view_name(outcome.table)} group by 1"
    files = "".join(f"\n{path}" for _, path in sorted(outcome.failure_files.items()))
    return [f'{outcome.table.key} rows at fault ({counted}): make duckdb SQL="{query}"{files}']


def _metadata(outcome: Outcome, keys: list[str], seconds: float) -> dict[str, Any]:
    """What every partition of this run says of itself; kept small, it is stored once for each."""
    metadata: dict[str, Any] = {"seconds": round(seconds, 2)}
    if outcome.version is not None:
        metadata["delta version"] = outcome.version
    if outcome.missing:
        metadata["no source for"] = ", ".join(outcome.missing)
    if keys == [UNPARTITIONED.only_key]:
        metadata["dagster/row_count"] = outcome.rows.get(keys[0], 0)
    return metadata


def _partition_metadata(outcome: Outcome, key: str) -> dict[str, Any]:
    """What one partition says of itself."""
    return {
        "dagster/partition_row_count": outcome.rows.get(key, 0),
        "changed": key in outcome.changed,
        **outcome.reports.get(key, {}),
    }

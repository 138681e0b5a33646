"""How people take something back: roll back a table, production, a promotion's hold.

Belongs here: their configuration, and what they report.
Does not belong here: how it is done (``warehouse/rollback_table.py``,
``production/rollback_production.py``).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from pydantic import Field

from analytics_assets import home, settings
from analytics_assets.automation.failures import explained
from analytics_assets.automation.operation import Operation
from analytics_assets.automation.plan import by_domain
from analytics_assets.core.chosen import named
from analytics_assets.core.contracts import asset_key
from analytics_assets.core.declaration import Table
from analytics_assets.core.display import rows_as_markdown
from analytics_assets.core.source import SourceError
from analytics_assets.production import review, rollback_production, server
from analytics_assets.production.promotion import PromotionError, production_engine
from analytics_assets.production.release import Promotion, release
from analytics_assets.production.release_assets import production_key
from analytics_assets.warehouse import confirming, rollback_table
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.catalogue import refresh_catalogue
from analytics_assets.warehouse.lake import open_lake
from analytics_assets.warehouse.session import open_session

_WHICH = "A table (births/agg_yearly), a domain (births), or * for everything."
_WHEN = "A moment in ISO 8601, such as 2024-05-31T12:00:00+00:00; without an offset it is UTC."


class RollbackTable(dg.Config):
    """Either ``version`` (of a single table) or ``moment``."""

    table: str = Field(description=_WHICH)
    version: int | None = Field(default=None, description="Number of a Delta version.")
    moment: str | None = Field(default=None, description=_WHEN)
    partitions: list[str] | None = Field(default=None, description="Only these; else all.")


class RollbackProduction(dg.Config):
    """Either ``release`` or ``moment``; tables of a domain are put back together."""

    table: str = Field(default="*", description=f"{_WHICH} A table stands for its domain.")
    moment: str | None = Field(default=None, description=_WHEN)
    release: int | None = Field(
        default=None, description="Number of a release: its domain is put back to before it."
    )


class SomePartitions(dg.Config):
    table: str = Field(description=_WHICH)
    partitions: list[str] | None = Field(default=None, description="Only these; else all.")


def roll_back_table(
    tables: Sequence[Table], context: dg.OpExecutionContext, config: RollbackTable
) -> Mapping[str, Any]:
    chosen = _chosen(tables, config.table)
    target = _target(config, chosen)
    _refuse_beside_runs(context)
    lake = open_lake(settings.load().lake)
    with explained(rollback_table.RollbackError):
        done = rollback_table.roll_back(lake, chosen, target, context.run_id, config.partitions)
    refresh_catalogue(settings.load(), Snapshot(lake), [entry.table for entry in done])
    rows: list[dict[str, Any]] = []
    for entry in done:
        told = {"rolled back to version": entry.version}
        _log(context, entry.table, asset_key(entry.table), entry.partitions, told)
        row = {"table": entry.table.key, **told, "partitions": ", ".join(entry.partitions)}
        rows.append(row)
    return _shown(rows)


def roll_back_production(
    tables: Sequence[Table], context: dg.OpExecutionContext, config: RollbackProduction
) -> Mapping[str, Any]:
    _refuse_beside_runs(context)
    current = settings.load()
    rows: list[dict[str, Any]] = []
    with (
        open_session(current) as session,
        _production() as engine,
        explained(PromotionError),
    ):
        snapshot = Snapshot(open_lake(current.lake))
        for own, moment in _put_back(engine, tables, config):
            done = rollback_production.roll_back(
                engine, session, snapshot, own, moment, context.run_id
            )
            for table in own:
                told = {"rolled back to": moment.isoformat()}
                _log(context, table, production_key(table), done.get(table.key, ()), told)
            rows += [{"table": key, "partitions": ", ".join(done[key])} for key in done]
    return _shown(rows)


def compare_promotion(
    tables: Sequence[Table], context: dg.OpExecutionContext, config: SomePartitions
) -> Mapping[str, Any]:
    chosen = {table.key for table in _chosen(_published(tables), config.table)}
    domains = [own for own in by_domain(tables) if chosen & {table.key for table in own}]
    rows: list[dict[str, Any]] = []
    for done in _dry_runs(domains, context.run_id):
        for key in sorted(chosen & done.keys()):
            rows += _differences(key, done[key], config.partitions)
    return _shown(rows)


def confirm_what_is_on_hold(
    tables: Sequence[Table], context: dg.OpExecutionContext, config: SomePartitions
) -> Mapping[str, Any]:
    chosen, found = _chosen(tables, config.table), []
    snapshot = Snapshot(open_lake(settings.load().lake))
    for table in chosen:
        found.append((table.key, confirming.confirm(snapshot, table, config.partitions)))
    with _production() as engine, engine.begin() as connection:
        for table in _published(chosen):
            found += review.confirm(connection, table, config.partitions).items()
    rows = [{"table": key, "confirmed": ", ".join(own)} for key, own in found if own]
    return _shown(rows)


DIFFERENCE = Operation(
    "promotion_diff",
    "",
    "What the next release would change: rows and totals. Nothing is released.",
    compare_promotion,
    SomePartitions,
)
OPERATIONS = (
    Operation(
        "rollback_table",
        "rollback",
        "Put a table, or a domain, back to an earlier version or moment.",
        roll_back_table,
        RollbackTable,
    ),
    Operation(
        "rollback_production",
        "rollback-production",
        "Put domains in production back to before a release, or to a moment; the warehouse stays.",
        roll_back_production,
        RollbackProduction,
    ),
    DIFFERENCE,
    Operation(
        "confirm_promotion",
        "confirm",
        "Let what is on hold be released, with all that is on hold for the same reason; and let"
        " be built what is held back because it was readable before.",
        confirm_what_is_on_hold,
        SomePartitions,
    ),
)


def _published(tables: Sequence[Table]) -> list[Table]:
    return [table for table in tables if table.publish]


def _dry_runs(domains: Sequence[Sequence[Table]], run_id: str) -> Iterator[Mapping[str, Promotion]]:
    """What a release of each domain would do: table -> its promotion."""
    current = settings.load()
    with open_session(current) as session, _production() as engine, explained(PromotionError):
        snapshot = Snapshot(open_lake(current.lake))
        for own in domains:
            gate = current.promotion_gate_percent
            yield release(engine, session, snapshot, own, run_id, gate, dry_run=True).tables


def _put_back(
    engine: sa.Engine, tables: Sequence[Table], config: RollbackProduction
) -> list[tuple[list[Table], datetime]]:
    """The domains that are meant, and the moment that each is put back to."""
    if (config.release is None) == (config.moment is None):
        raise dg.Failure("Say either a release or a moment.", allow_retries=False)
    if config.release is not None:
        with engine.connect() as connection:
            domain, moment = rollback_production.moment_before(connection, config.release)
        return [(own, moment) for own in by_domain(tables) if own[0].domain == domain]
    assert config.moment is not None
    moment = _moment(config.moment)
    domains = {table.domain for table in _chosen(_published(tables), config.table)}
    return [(own, moment) for own in by_domain(tables) if own[0].domain in domains]


def _log(
    context: dg.OpExecutionContext,
    table: Table,
    asset: dg.AssetKey,
    partitions: Sequence[str],
    told: Mapping[str, Any],
) -> None:
    for key in partitions:
        partition = key if table.period.definition else None
        context.log_event(dg.AssetMaterialization(asset, partition=partition, metadata=told))


def _differences(
    key: str, done: Promotion, partitions: Sequence[str] | None
) -> Iterator[dict[str, Any]]:
    """What a release would change of a table, partition by partition."""
    replaced = {change.partition for change in done.changes}
    rows = [change.as_row() for change in done.changes]
    rows += [
        {"partition": partition, "rows added": done.rows[partition]}
        for partition in done.copied
        if partition not in replaced
    ]
    rows += [{"partition": partition, "on hold": why} for partition, why in done.pending.items()]
    for row in rows:
        if partitions is None or row["partition"] in partitions:
            yield {"table": key} | row


def _chosen(tables: Sequence[Table], name: str) -> list[Table]:
    with explained(SourceError):
        return named(tables, name)


def _target(config: RollbackTable, chosen: Sequence[Table]) -> int | datetime:
    if (config.version is None) == (config.moment is None):
        raise dg.Failure("Say either a version or a moment.", allow_retries=False)
    if config.moment is not None:
        return _moment(config.moment)
    assert config.version is not None
    if len(chosen) > 1:
        raise dg.Failure(
            "Each table counts its own versions: say a moment for more than one table.",
            allow_retries=False,
        )
    return config.version


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise dg.Failure(f"{text!r} is not a moment. {_WHEN}", allow_retries=False) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _refuse_beside_runs(context: dg.OpExecutionContext) -> None:
    """A run under way would go on from what it read before."""
    if home.is_built(settings.load()):
        raise dg.Failure("A command builds here: wait until it ends.", allow_retries=False)
    others = [
        run.job_name
        for run in context.instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
        if run.run_id != context.run_id
    ]
    if others:
        raise dg.Failure(
            f"Runs are under way ({', '.join(sorted(set(others)))}): wait until they end, or"
            " cancel them.",
            allow_retries=False,
        )


@contextmanager
def _production() -> Iterator[sa.Engine]:
    with production_engine(server.urls(settings.load()).promoter) as engine:
        yield engine


def _shown(rows: list[dict]) -> Mapping[str, Any]:
    told = rows_as_markdown(rows[:500]) if rows else "Nothing to change."
    return {"what": dg.MetadataValue.md(told)}

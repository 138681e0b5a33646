"""Jobs by which people take something back: roll back a table, production, a promotion's hold.

Belongs here: their configuration, and what they report to the UI.
Does not belong here: how it is done (``warehouse/rollback.py``, ``production/rollback.py``).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from pydantic import Field

from analytics_assets import settings
from analytics_assets.automation.failures import explained
from analytics_assets.core.declaration import Table
from analytics_assets.core.display import rows_as_markdown
from analytics_assets.production import rollback as production_rollback
from analytics_assets.production import server
from analytics_assets.production.assets import production_key
from analytics_assets.production.promotion import PromotionError, production_engine, promote
from analytics_assets.production.review import confirm
from analytics_assets.warehouse import rollback as warehouse_rollback
from analytics_assets.warehouse.assets import asset_key
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
    table: str = Field(description=_WHICH)
    moment: str = Field(description=_WHEN)


class SomePartitions(dg.Config):
    table: str = Field(description=_WHICH)
    partitions: list[str] | None = Field(default=None, description="Only these; else all.")


def rollback_jobs(tables: Sequence[Table]) -> list[dg.JobDefinition]:
    """``rollback_table``, ``rollback_production``, ``promotion_diff``, ``confirm_promotion``."""
    published = [table for table in tables if table.publish]

    @dg.op
    def roll_back_table(context: dg.OpExecutionContext, config: RollbackTable) -> None:
        chosen = _chosen(tables, config.table)
        target = _target(config, chosen)
        _refuse_beside_runs(context)
        lake = open_lake(settings.load().lake)
        with explained(warehouse_rollback.RollbackError):
            done = warehouse_rollback.roll_back(
                lake, chosen, target, context.run_id, config.partitions
            )
        refresh_catalogue(settings.load(), Snapshot(lake), [entry.table for entry in done])
        for entry in done:
            for partition in entry.partitions:
                context.log_event(
                    dg.AssetMaterialization(
                        asset_key(entry.table),
                        partition=partition if entry.table.period.definition else None,
                        metadata={"rolled back to version": entry.version},
                    )
                )
        _show(
            context,
            [
                {
                    "table": entry.table.key,
                    "rolled back to version": entry.version,
                    "partitions": ", ".join(entry.partitions),
                }
                for entry in done
            ],
        )

    @dg.op
    def roll_back_production(context: dg.OpExecutionContext, config: RollbackProduction) -> None:
        chosen = _chosen(published, config.table)
        moment = _moment(config.moment)
        _refuse_beside_runs(context)
        current = settings.load()
        with (
            open_session(current) as session,
            _production() as engine,
            explained(PromotionError),
        ):
            snapshot = Snapshot(open_lake(current.lake))
            done = production_rollback.roll_back(
                engine, session, snapshot, chosen, moment, context.run_id
            )
        for table in chosen:
            for partition in done.get(table.key, ()):
                context.log_event(
                    dg.AssetMaterialization(
                        production_key(table),
                        partition=partition if table.period.definition else None,
                        metadata={"rolled back to": moment.isoformat()},
                    )
                )
        _show(
            context,
            [{"table": key, "partitions": ", ".join(keys)} for key, keys in done.items()],
        )

    @dg.op
    def compare_promotion(context: dg.OpExecutionContext, config: SomePartitions) -> None:
        current = settings.load()
        rows = []
        with open_session(current) as session, _production() as engine:
            snapshot = Snapshot(open_lake(current.lake))
            for table in _chosen(published, config.table):
                live = sorted(snapshot.lake_fingerprints(table))
                with explained(PromotionError):
                    done = promote(
                        engine,
                        session,
                        snapshot,
                        table,
                        config.partitions or live,
                        context.run_id,
                        dry_run=True,
                    )
                replaced = {change.partition for change in done.changes}
                rows += [{"table": table.key} | change.as_row() for change in done.changes]
                rows += [
                    {"table": table.key, "partition": key, "rows added": done.rows[key]}
                    for key in done.copied
                    if key not in replaced
                ]
                rows += [
                    {"table": table.key, "partition": key, "on hold": why}
                    for key, why in done.held.items()
                ]
        _show(context, rows)

    @dg.op
    def confirm_what_is_on_hold(context: dg.OpExecutionContext, config: SomePartitions) -> None:
        rows = []
        with _production() as engine, engine.begin() as connection:
            for table in _chosen(published, config.table):
                partitions = confirm(connection, table, config.partitions)
                if partitions:
                    rows.append({"table": table.key, "confirmed": ", ".join(partitions)})
        _show(context, rows)

    @dg.job(description="Put a table, or a domain, back to an earlier version or moment.")
    def rollback_table() -> None:
        roll_back_table()

    @dg.job(description="Put production back to what it held at a moment; the warehouse stays.")
    def rollback_production() -> None:
        roll_back_production()

    @dg.job(description="What promoting would change: rows and totals. Nothing is promoted.")
    def promotion_diff() -> None:
        compare_promotion()

    @dg.job(description="Let versions that are on hold be promoted.")
    def confirm_promotion() -> None:
        confirm_what_is_on_hold()

    return [rollback_table, rollback_production, promotion_diff, confirm_promotion]


def _chosen(tables: Sequence[Table], name: str) -> list[Table]:
    found = [table for table in tables if name in ("*", table.key, table.domain)]
    if not found:
        raise dg.Failure(
            f"There is no table or domain {name!r} here. {_WHICH}", allow_retries=False
        )
    return found


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


def _show(context: dg.OpExecutionContext, rows: list[dict]) -> None:
    context.log.info(f"{len(rows)} lines" if rows else "Nothing to change.")
    context.add_output_metadata({"what": dg.MetadataValue.md(rows_as_markdown(rows[:500]))})

"""The assets that watch over the others.

Belongs here: ``operations/staleness``, which keeps the answer to what is behind, its schedule, and
what others read from its last materialisation.
Does not belong here: finding out what is behind (``staleness.py``), or telling people
(``alerts.py``).
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from analytics_assets.automation.checks import failing_checks
from analytics_assets.automation.failures import explained
from analytics_assets.automation.jobs import present
from analytics_assets.automation.staleness import Lag, minute, stale, staleness
from analytics_assets.core.boundary import in_our_words
from analytics_assets.core.declaration import Table
from analytics_assets.core.display import rows_as_markdown
from analytics_assets.core.source import SourceError
from analytics_assets.production.freshness import Late, tell_readers
from analytics_assets.warehouse.behind import FAILS
from analytics_assets.warehouse.ledger import now

STALENESS = dg.AssetKey(["operations", "staleness"])
STALE, FIRST_SEEN = "stale", "first seen"
# It is materialised every hour; two missed hours say that the daemon is down or very busy.
STALENESS_JOB = "operations_staleness"
_ALIVE_WITHIN = timedelta(hours=3)
_ABOUT = (
    "Which partitions are behind, why, and since when, in warehouse and production. Materialise it"
    " to ask anew; `analytics-assets status` prints the same."
)


def staleness_definitions(
    tables: Sequence[Table], checks: Sequence[dg.AssetCheckKey]
) -> dg.Definitions:
    """The asset ``operations/staleness``, and the schedule that materialises it every hour.

    ``checks``: of which readers are told where they fail.
    """

    @dg.asset(
        key=STALENESS,
        group_name="operations",
        description=_ABOUT,
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=_ALIVE_WITHIN),
        check_specs=[
            dg.AssetCheckSpec(
                "nothing_is_stale",
                asset=STALENESS,
                description="No table is behind, and no source silent, for longer than declared.",
            )
        ],
    )
    @in_our_words
    def operations_staleness(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        as_of = now()
        before = _first_seen(context.instance)
        with explained(SourceError), present() as (snapshot, engine):
            lags = [
                lag if lag.since else replace(lag, since=before.get(_name(lag), as_of))
                for lag in staleness(tables, snapshot, engine)
            ]
            late = stale(lags, tables, snapshot, as_of)
            with engine.begin() as connection:
                tell_readers(
                    connection,
                    _of_promoted(tables, lags),
                    as_of,
                    failing_checks(context.instance, checks, tables),
                )
        return dg.MaterializeResult(
            metadata={
                "behind": dg.MetadataValue.md(rows_as_markdown([lag.as_row() for lag in lags])),
                "partitions behind": sum(len(lag.partitions) for lag in lags),
                "by table": dg.MetadataValue.json(_counts(lags)),
                "oldest": minute(min((lag.since for lag in lags if lag.since), default=None))
                or "none",
                FIRST_SEEN: dg.MetadataValue.json(
                    {_name(lag): lag.since.isoformat() for lag in lags if lag.since}
                ),
                STALE: dg.MetadataValue.json({one.asset: one.what for one in late}),
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name="nothing_is_stale",
                    passed=not late,
                    severity=dg.AssetCheckSeverity.WARN,
                    metadata={
                        "stale": dg.MetadataValue.md(rows_as_markdown([vars(one) for one in late]))
                    },
                )
            ],
        )

    job = dg.define_asset_job(STALENESS_JOB, [STALENESS], description=_ABOUT)
    hourly = dg.ScheduleDefinition(
        name="staleness_hourly",
        job=job,
        cron_schedule="50 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Asks every hour which partitions are behind.",
    )
    return dg.Definitions(assets=[operations_staleness], jobs=[job], schedules=[hourly])


def _name(lag: Lag) -> str:
    return f"{lag.asset}: {lag.why}"


def _of_promoted(tables: Sequence[Table], lags: Sequence[Lag]) -> list[Late]:
    """How far each promoted table is behind."""
    found = []
    failing = {
        lag.table.key: f"{lag.table.key} {lag.why}" for lag in lags if lag.why.startswith(FAILS)
    }
    for table in (table for table in tables if table.publish):
        own = [lag for lag in lags if lag.layer == "production" and lag.table is table]
        partitions = {key for lag in own for key in lag.partitions}
        since = min((lag.since for lag in own if lag.since), default=None)
        roots = {table.key}.union(*(lag.waits_for for lag in own))
        unaudited = "; ".join(failing[key] for key in sorted(roots & failing.keys()))
        found.append(Late(table.key, since, len(partitions), unaudited))
    return found


def _counts(lags: Iterable[Lag]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for lag in lags:
        counts[lag.asset] = counts.get(lag.asset, 0) + len(lag.partitions)
    return counts


def _first_seen(instance: dg.DagsterInstance) -> dict[str, datetime]:
    """What the last materialisation knew: the start of what has no time of its own."""
    moments, _ = _last(instance, FIRST_SEEN)
    return {name: datetime.fromisoformat(moment) for name, moment in moments.items()}


def stale_assets(instance: dg.DagsterInstance) -> tuple[dict[str, str], float]:
    """Asset -> what is stale about it, as last materialised, and when that was."""
    return _last(instance, STALE)


def _last(instance: dg.DagsterInstance, name: str) -> tuple[dict[str, Any], float]:
    event = instance.get_latest_materialization_event(STALENESS)
    if event is None or event.asset_materialization is None:
        return {}, 0.0
    found: Any = event.asset_materialization.metadata.get(name)
    return (found.value if found else {}), event.timestamp

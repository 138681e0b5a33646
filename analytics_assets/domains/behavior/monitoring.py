"""Whether exports succeed, how long they take, and whether days are as large as they were.

Belongs here: warnings on what no single day's rows show.
Does not belong here: rules of rows (``columns.py``) and of days (``tables.py``).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import dagster as dg

from analytics_assets import settings
from analytics_assets.core.boundary import in_our_words
from analytics_assets.core.contracts import asset_key
from analytics_assets.core.partitions import DAILY
from analytics_assets.domains.behavior.sources import EXPORT_SECONDS
from analytics_assets.domains.behavior.tables import behavioral_events
from analytics_assets.warehouse.lake import open_lake
from analytics_assets.warehouse.ledger import now

WINDOW = timedelta(days=7)
LEAST_SUCCESS, LONGEST, MOST_CHANGE = 0.95, timedelta(minutes=10), 0.5
_SUCCESS, _DURATION, _SAME_WEEKDAY = "export_success", "export_duration", "same_weekday"
_CHECKS = {
    _SUCCESS: f"At least {LEAST_SUCCESS:.0%} of the exports of 7 days succeeded.",
    _DURATION: "No day of the exports of 7 days took longer than 10 minutes.",
    _SAME_WEEKDAY: f"No day has {MOST_CHANGE:.0%} more or fewer rows than a week before.",
}
_ADVICE = {
    _SUCCESS: "Look at the failed runs of behavior/behavioral_events and at the database.",
    _DURATION: 'Look for an index on ("timestamp", "id"), and at the load of the database.',
    _SAME_WEEKDAY: "Compare with the operational database: rows may be lost or doubled there.",
}


@dg.multi_asset_check(
    name="behavior_monitoring",
    specs=[
        dg.AssetCheckSpec(name, asset=asset_key(behavioral_events), description=text)
        for name, text in _CHECKS.items()
    ],
    can_subset=True,
)
@in_our_words
def _monitoring(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
    as_of = now()
    files = open_lake(settings.load().lake).files(behavioral_events)
    since = (as_of - WINDOW).timestamp() * 1000
    rows = {file.key: file.rows for file in files}
    published = [file.key for file in files if file.published >= since]
    found = {
        _SUCCESS: failed_runs(context.instance, as_of, context.run.run_id),
        _DURATION: slow_days(context.instance, as_of),
        _SAME_WEEKDAY: unlike_a_week_before(rows, published, as_of),
    }
    for name in _CHECKS:
        key = dg.AssetCheckKey(asset_key(behavioral_events), name)
        if key in context.selected_asset_check_keys:
            yield dg.AssetCheckResult(
                passed=not found[name],
                check_name=name,
                asset_key=asset_key(behavioral_events),
                severity=dg.AssetCheckSeverity.WARN,
                metadata={
                    "what": "\n".join(f"{line}." for line in found[name][:20]),
                    "what to do": _ADVICE[name],
                },
            )


def failed_runs(instance: dg.DagsterInstance, as_of: datetime, running: str = "") -> list[str]:
    """That too many runs which exported events failed in the 7 days before ``as_of``."""
    over = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
    runs = [
        run
        for run in instance.get_runs(dg.RunsFilter(statuses=over, updated_after=as_of - WINDOW))
        if asset_key(behavioral_events) in (run.asset_selection or ()) and run.run_id != running
    ]
    failed = sum(run.status is dg.DagsterRunStatus.FAILURE for run in runs)
    if not runs or 1 - failed / len(runs) >= LEAST_SUCCESS:
        return []
    return [f"{failed} of {len(runs)} exports failed in 7 days"]


def slow_days(instance: dg.DagsterInstance, as_of: datetime) -> list[str]:
    """Days whose export took too long, in the 7 days before ``as_of``."""
    wanted = dg.AssetRecordsFilter(
        asset_key(behavioral_events), after_timestamp=(as_of - WINDOW).timestamp()
    )
    found = []
    for record in instance.fetch_materializations(wanted, limit=1000).records:
        entry = record.asset_materialization
        seconds = entry.metadata.get(EXPORT_SECONDS) if entry else None
        if entry and seconds and float(str(seconds.value)) > LONGEST.total_seconds():
            found.append(f"{entry.partition}: {float(str(seconds.value)):,.0f} s")
    return found


def unlike_a_week_before(
    rows: Mapping[str, int], days: Sequence[str], as_of: datetime
) -> list[str]:
    """Which of these days have far more or fewer rows than the same weekday before.

    A day without one a week before is not judged, nor that of ``as_of``, which is not over.
    """
    today = DAILY.key(as_of.date())
    found = []
    for day in days:
        before = rows.get(DAILY.key(DAILY.window(day)[0] - timedelta(days=7)))
        if before and abs(rows[day] - before) > MOST_CHANGE * before and day != today:
            found.append(f"{day}: {rows[day]:,} rows, {before:,} a week before")
    return found


DEFINITIONS = dg.Definitions(asset_checks=[_monitoring])

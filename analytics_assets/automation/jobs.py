"""Jobs, the nightly schedules and the sensor that carries changes on.

Belongs here: Dagster objects that start runs.
Does not belong here: choosing what to run (``plan.py``).
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

import dagster as dg
import sqlalchemy as sa
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.storage.tags import PRIORITY_TAG

from analytics_assets import home, running_code, settings
from analytics_assets.automation.plan import (
    RECIPE_TAG,
    REQUESTED_TAGS,
    PlannedRun,
    by_domain,
    job_name,
    plan,
)
from analytics_assets.automation.turns import end_lost, end_own, under_way
from analytics_assets.core.boundary import in_our_words
from analytics_assets.core.contracts import asset_key
from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import PERIODS
from analytics_assets.core.source import SourceError
from analytics_assets.production import server
from analytics_assets.production.promotion import production_engine
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.catalogue import mend_catalogue
from analytics_assets.warehouse.lake import open_lake
from analytics_assets.warehouse.leases import LOST_TAG

Job = UnresolvedAssetJobDefinition
# A run that was killed is asked for again; one that fails at once is not asked for all day.
RETRY_AFTER = timedelta(hours=1)
# The same change may come, be taken back and come again, but not without end.
MOST_REPEATS = 5
# One that could not be launched was not tried: Redis is away for moments.
LAUNCH_AFTER = timedelta(minutes=2)
# A worker that is gone is looked for more often than changes, which costs more to find.
_LOST_SECONDS = 10
# It looks at the sources, too, and ends when nothing is behind.
_LEFT_TO_COMMAND = dg.SkipReason("A command builds what is behind.")
_OTHER_CODE = dg.SkipReason(
    "The code on the disk is not what was loaded: reload the code location, or restart"
    " `analytics-assets run`."
)


def jobs(tables: Sequence[Table]) -> list[Job]:
    """One job for each domain and period: Dagster allows one partitions definition a job.

    What they build becomes visible by the job that releases the domain.
    """
    found = []
    for domain in sorted({table.domain for table in tables}):
        for period in PERIODS:
            own = [t for t in tables if t.domain == domain and t.period is period]
            if own:
                found.append(
                    dg.define_asset_job(
                        job_name(domain, period),
                        selection=dg.AssetSelection.assets(*map(asset_key, own)),
                        partitions_def=period.definition,
                        description=f"All {period.name} tables of {domain} in the warehouse.",
                    )
                )
    return found


@contextmanager
def present() -> Iterator[tuple[Snapshot, sa.Engine]]:
    """Lake and production as they are now."""
    config = settings.load()
    with production_engine(server.urls(config).promoter) as engine:
        yield Snapshot(open_lake(config.lake)), engine


def _next_runs(
    tables: Sequence[Table],
    land: bool,
    skip: Callable[[PlannedRun], bool] = lambda run: False,
) -> list[PlannedRun]:
    with present() as (snapshot, engine):
        runs = plan(tables, snapshot, engine, land, skip)
        if not runs:
            mend_catalogue(settings.load(), snapshot, tables)
        return runs


def nightly_schedules(
    tables: Sequence[Table], all_jobs: Sequence[Job]
) -> list[dg.ScheduleDefinition]:
    """Every night, for each job that lands sources: what is new, changed or otherwise behind.

    A schedule has one job, so each asks for its own runs; the sensor carries on what they change.
    """
    landing = {
        job_name(table.domain, table.period): table.domain for table in tables if table.source
    }
    left = _left()
    return [
        _nightly([table for table in tables if table.domain == landing[job.name]], job, left)
        for job in all_jobs
        if job.name in landing
    ]


def _left() -> Callable[[], dg.SkipReason | None]:
    """Why nothing is to be asked for at the moment, by the code that is loaded now.

    Runs are processes that load the code anew: asked for by another one they would build what it
    does not see, and it would ask again.
    """
    loaded = running_code.on_disk()

    def why() -> dg.SkipReason | None:
        if home.is_built(settings.load()):
            return _LEFT_TO_COMMAND
        return _OTHER_CODE if running_code.on_disk() != loaded else None

    return why


def _nightly(
    tables: Sequence[Table], job: Job, left: Callable[[], dg.SkipReason | None]
) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"{job.name}_nightly",
        cron_schedule="0 3 * * *",
        job=job,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Looks at the sources and asks for the partitions whose input changed.",
    )
    @in_our_words
    def nightly(context):
        if why := left():
            return why
        runs = [run for run in _next_runs(tables, land=True) if run.job == job.name]
        return [run.request() for run in runs] or dg.SkipReason("Everything is up to date.")

    return nightly


def changes_sensor(
    tables: Sequence[Table], all_jobs: Sequence[Job | dg.JobDefinition]
) -> dg.SensorDefinition:
    """Carries a change on, one layer after another, to its release."""
    left = _left()

    @dg.sensor(
        name="changes",
        jobs=list(all_jobs),
        minimum_interval_seconds=min(_LOST_SECONDS, settings.load().changes_seconds),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for partitions whose input changed since they were built or promoted."
        " Waits while such runs are under way.",
    )
    @in_our_words
    def changes(context: dg.SensorEvaluationContext):
        if why := left():
            return why
        # A command that was killed would leave its run under way, and this waiting, for ever.
        end_own(context.instance, settings.load())
        if lost := end_lost(context.instance, settings.load()):
            again = [_again(run) for run in lost if not _too_often(context.instance, run.tags)]
            return again or dg.SkipReason("Workers are gone again and again by the same runs.")
        if under_way(context.instance):
            return dg.SkipReason("Runs are under way; what they change is looked at afterwards.")
        if time.time() - float(context.cursor or 0) < settings.load().changes_seconds:
            return dg.SkipReason("It was looked a moment ago.")
        context.update_cursor(str(time.time()))
        runs: list[PlannedRun] = []
        problems: list[str] = []
        for own in by_domain(tables):
            try:
                runs += _next_runs(own, False, lambda run: _tried(context.instance, run))
            except SourceError as error:
                problems.append(str(error))
        idle = "\n".join(problems) or "Everything is up to date."
        return [run.request() for run in runs] or dg.SkipReason(idle)

    return changes


def _tried(instance: dg.DagsterInstance, run: PlannedRun) -> bool:
    """Whether this very run failed lately, or was asked for again and again to no end."""
    tags = {RECIPE_TAG: run.recipe}
    ended = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    since = datetime.now(timezone.utc) - RETRY_AFTER
    failed = instance.get_run_records(dg.RunsFilter(tags=tags, statuses=ended, created_after=since))
    soon = datetime.now(timezone.utc) - LAUNCH_AFTER
    counted = [one for one in failed if one.start_time or one.create_timestamp > soon]
    return any(LOST_TAG not in one.dagster_run.tags for one in counted) or _too_often(
        instance, tags
    )


def _too_often(instance: dg.DagsterInstance, tags: Mapping[str, str]) -> bool:
    since = datetime.now(timezone.utc) - RETRY_AFTER
    recipe = dg.RunsFilter(tags={RECIPE_TAG: tags[RECIPE_TAG]}, created_after=since)
    # One that never began is nobody's fault but its queue's.
    begun = [record for record in instance.get_run_records(recipe) if record.start_time]
    return len(begun) >= MOST_REPEATS


def _again(run: dg.DagsterRun) -> dg.RunRequest:
    """The same run anew, for another worker, which takes it before those that have not begun."""
    chosen = sorted(run.asset_selection) if run.asset_selection else None
    tags = {name: value for name, value in run.tags.items() if name in REQUESTED_TAGS}
    tags[PRIORITY_TAG] = "1"
    return dg.RunRequest(job_name=run.job_name, asset_selection=chosen, tags=tags)

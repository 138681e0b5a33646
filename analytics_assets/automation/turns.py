"""Runs of this process and of the daemon, one after the other.

Belongs here: making a run in this process, telling whose a run is, waiting for the daemon's, and
ending what nobody runs any more.
Does not belong here: the locks (``home.py``), or choosing what to run (``plan.py``).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import dagster as dg
import psutil
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from analytics_assets import home, interrupts, settings, workers
from analytics_assets.automation.plan import RECIPE_TAG
from analytics_assets.home import HOME_TAG
from analytics_assets.settings import Settings
from analytics_assets.warehouse import leases

# The process of a command, by its number and when it began, because numbers are given again; and
# whose it is.
_PROCESS_TAG, _USER_TAG = "analytics_assets/process", "analytics_assets/user"
# A run that holds no lease and wrote no event for so many seconds is nobody's. They are counted
# from when an event was seen to be the last: the moment that it tells is by its worker's clock.
_SILENCE = 15
# A worker has a lease of each run before it begins it; of one that left the broker a moment ago it
# may be about to have it.
_TAKEN_WITHIN = 5
_GONE = "The worker that ran it is gone."
_seen: dict[str, tuple[int, float]] = {}
# Everything is in Dagster's event log; on the console it would bury what the caller prints.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def in_this_process(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    assets: Sequence[dg.AssetKey] = (),
    tags: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
) -> dg.ExecuteInProcessResult:
    """Run a job here, tagged as this process's; ``config`` is of its ops. Prints nothing."""
    own = psutil.Process()
    result = job.execute_in_process(
        instance=instance,
        asset_selection=list(assets) or None,
        tags={
            **(tags or {}),
            HOME_TAG: str(settings.load().home),
            _PROCESS_TAG: f"{own.pid} {own.create_time()}",
            _USER_TAG: settings.user(),
        },
        run_config={**_QUIET, **(config or {})},
        raise_on_error=False,
    )
    interrupts.check()
    return result


def under_way(instance: dg.DagsterInstance) -> bool:
    """Whether a run or a backfill is at work: between its layers a backfill has no run."""
    runs = dg.RunsFilter(statuses=NOT_FINISHED_STATUSES)
    backfills = BulkActionsFilter(
        statuses=[BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
    )
    return instance.get_runs_count(runs) > 0 or bool(instance.get_backfills(backfills, limit=1))


def wait_for_daemon(instance: dg.DagsterInstance, settings: Settings) -> None:
    """Return when nothing is under way; at once without a daemon, which would end it."""
    told = False
    while home.is_served(settings) and under_way(instance):
        if not told:
            print("Runs that the UI shows are under way; going on after them.", flush=True)
            told = True
        time.sleep(1)


def end_own(instance: dg.DagsterInstance, settings: Settings) -> None:
    """End the runs of commands that were killed.

    Nothing is lost: what they left undone is behind. Dagster would call them under way for ever.
    """
    left = dg.RunsFilter(statuses=NOT_FINISHED_STATUSES, tags={HOME_TAG: str(settings.home)})
    for run in instance.get_runs(left):
        if not _is_alive(run.tags.get(_PROCESS_TAG, "")):
            instance.report_run_canceled(run, message="The command that ran it was killed.")


def end_lost(instance: dg.DagsterInstance, settings: Settings) -> list[dg.DagsterRun]:
    """Begin to end planned runs whose worker is gone, wherever it was; they are asked for again.

    They have ended when this is called again: until then each keeps its place among those at work.
    Given up at once, it went to what had not begun, and what was lost waited for that to end.
    A worker holds a lease of the run that it has, which goes with its process. A run of another
    launcher holds those of what it builds or releases, and writes events between two of them. One
    that waits for a worker to be free is not lost.
    """
    ending = dg.RunsFilter(statuses=[dg.DagsterRunStatus.CANCELING], tags={leases.LOST_TAG: "true"})
    for run in instance.get_runs(ending):
        instance.report_run_canceled(run, message=_GONE)
    planned = _planned(instance)
    silent = _silence(instance, planned)
    spared = leases.at_work(settings) | _waiting(instance)
    # One that has ended meanwhile holds nothing, either.
    begun = {run.run_id for run in _planned(instance)}
    lost = [
        run
        for run in planned
        if run.run_id in begun - spared and silent[run.run_id] >= _patience(run)
    ]
    for run in lost:
        instance.add_run_tags(run.run_id, {leases.LOST_TAG: "true"})
        instance.report_run_canceling(run, message=_GONE)
    return lost


def _planned(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Runs under way that somebody planned, but for those of commands."""
    begun = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    runs = instance.get_runs(begun)
    return [run for run in runs if RECIPE_TAG in run.tags and HOME_TAG not in run.tags]


def _waiting(instance: dg.DagsterInstance) -> set[str]:
    """Runs that were handed over and that no worker has taken: the last of them, as many as the
    broker has messages."""
    handed = [dg.DagsterRunStatus.STARTING]
    runs = [r for r in instance.get_runs(dg.RunsFilter(statuses=handed)) if workers.TASK in r.tags]
    return {run.run_id for run in runs[: workers.waiting(instance.run_launcher)]} if runs else set()


def _patience(run: dg.DagsterRun) -> float:
    """Seconds of silence after which a run that holds nothing is nobody's."""
    started = run.status is dg.DagsterRunStatus.STARTED
    if workers.TASK in run.tags:
        return 0 if started else _TAKEN_WITHIN
    return _SILENCE if started else math.inf


def _silence(instance: dg.DagsterInstance, runs: Sequence[dg.DagsterRun]) -> dict[str, float]:
    """Run -> seconds since this process saw its last event first."""
    now, before = time.monotonic(), dict(_seen)
    _seen.clear()
    for run in runs:
        found = instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
        last = found[0].storage_id if found else 0
        known, since = before.get(run.run_id, (-1, now))
        _seen[run.run_id] = (last, since if known == last else now)
    return {run_id: now - since for run_id, (_, since) in _seen.items()}


def _is_alive(process: str) -> bool:
    pid, _, began = process.partition(" ")
    with suppress(psutil.Error, ValueError):
        return abs(psutil.Process(int(pid)).create_time() - float(began)) < 1
    return False


def end_of_daemon(instance: dg.DagsterInstance, began: datetime) -> None:
    """Runs of a server that was stopped or killed before the one that ``began``, which retries
    them."""
    begun = [one for one in NOT_FINISHED_STATUSES if one is not dg.DagsterRunStatus.QUEUED]
    for run in instance.get_runs(dg.RunsFilter(statuses=begun, updated_before=began)):
        if HOME_TAG not in run.tags:
            instance.report_run_failed(run, message="The server that ran it was stopped.")

"""Bringing everything up to date in this process: what the schedule and sensor do, without them.

Belongs here: running planned runs one after another until nothing is behind.
Does not belong here: printing, or starting servers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import dagster as dg

from analytics_assets import settings
from analytics_assets.automation.jobs import present
from analytics_assets.automation.operations import STALENESS_JOB
from analytics_assets.automation.plan import PlannedRun, by_domain, plan
from analytics_assets.automation.turns import in_this_process, wait_for_daemon
from analytics_assets.core.declaration import Table
from analytics_assets.core.source import SourceError
from analytics_assets.warehouse.catalogue import mend_catalogue

_PLANS = 20


def refresh(
    definitions: dg.Definitions, tables: Sequence[Table], instance: dg.DagsterInstance
) -> Iterator[tuple[PlannedRun, dg.ExecuteInProcessResult]]:
    """Run what is behind until nothing is; yields each run with its result as it ends.

    A run that fails is not tried twice, and what does not depend on it goes on. Raises
    ``SourceError`` at the end if a landing folder could not be looked at.
    """
    tried: set[str] = set()
    for _ in range(_PLANS):
        problems: list[SourceError] = []
        runs: list[PlannedRun] = []
        wait_for_daemon(instance, settings.load())
        with present() as (snapshot, engine):
            for own in by_domain(tables):
                try:
                    runs += plan(own, snapshot, engine, skip=lambda run: run.recipe in tried)
                except SourceError as error:
                    problems.append(error)
            if not runs and not mend_catalogue(settings.load(), snapshot, tables):
                # It came upon files that are damaged, and so behind.
                continue
        if not runs:
            if problems:
                raise problems[0]
            return
        for run in runs:
            tried.add(run.recipe)
            yield run, execute(definitions, run, instance)


def finish(
    definitions: dg.Definitions, jobs: Sequence[str], instance: dg.DagsterInstance
) -> Iterator[dg.ExecuteInProcessResult]:
    """Run jobs that are due when nothing is behind, and look at what still is.

    That is kept where the UI shows it, which would otherwise learn it within the hour.
    """
    for name in (*jobs, STALENESS_JOB):
        yield in_this_process(definitions.resolve_job_def(name), instance)


def execute(
    definitions: dg.Definitions, run: PlannedRun, instance: dg.DagsterInstance
) -> dg.ExecuteInProcessResult:
    """One planned run, in this process."""
    job = definitions.resolve_job_def(run.job)
    return in_this_process(job, instance, run.assets, run.tags)

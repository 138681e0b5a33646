"""Handing planned runs to Dagster's queue, as its daemon does with what a schedule asks for.

Belongs here: making the runs of what another process loads. Where the queue has workers, a command
asks for what is behind and leaves it to them.
Does not belong here: choosing runs (``plan.py``), making them in this process (``turns.py``).

Dagster has no public way to ask for a run of chosen assets from a program; its version is pinned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import dagster as dg
from dagster._core.definitions.selector import JobSubsetSelector
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget

from analytics_assets.automation.plan import PlannedRun
from analytics_assets.core.source import SourceError

_WORKSPACE = Path(__file__).parents[1] / "workspace.yaml"


def queue(instance: dg.DagsterInstance, runs: Iterable[PlannedRun]) -> Iterator[PlannedRun]:
    """Put runs into the queue; yields each when it is there.

    Raises ``SourceError`` where the code location cannot be loaded.
    """
    with WorkspaceProcessContext(instance, WorkspaceFileTarget([str(_WORKSPACE)])) as process:
        workspace = process.create_request_context()
        (entry,) = workspace.get_code_location_entries().values()
        location = entry.code_location
        if location is None:
            why = entry.load_error.message if entry.load_error else "it did not answer"
            raise SourceError(f"it cannot be loaded: {why}", "the code", "Mend it, and try again.")
        (repository,) = location.get_repositories().values()
        for run in runs:
            chosen = list(run.assets) or None
            job = location.get_job(
                JobSubsetSelector(
                    location_name=location.name,
                    repository_name=repository.name,
                    job_name=run.job,
                    op_selection=None,
                    asset_selection=chosen,
                )
            )
            plan = location.get_execution_plan(job, {}, None, None, instance=instance)
            made = instance.create_run(
                job_name=run.job,
                run_id=None,
                run_config={},
                resolved_op_selection=job.resolved_op_selection,
                step_keys_to_execute=None,
                status=dg.DagsterRunStatus.NOT_STARTED,
                op_selection=None,
                root_run_id=None,
                parent_run_id=None,
                tags={**(job.run_tags or {}), **run.tags},
                job_snapshot=job.job_snapshot,
                execution_plan_snapshot=plan.execution_plan_snapshot,
                parent_job_snapshot=job.parent_job_snapshot,
                remote_job_origin=job.get_remote_origin(),
                job_code_origin=job.get_python_origin(),
                asset_selection=frozenset(run.assets) if chosen else None,
                asset_check_selection=None,
                asset_graph=repository.asset_graph,
            )
            instance.submit_run(made.run_id, workspace)
            yield run

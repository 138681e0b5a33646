"""What is behind is cut into runs, queued as the settings say, and taken over from lost workers."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import (
    QueuedRunCoordinatorDaemon,
)
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import pack_value
from dagster_celery.launcher import CeleryRunLauncher

from analytics_assets import cli, environment, settings, workers
from analytics_assets.automation import turns
from analytics_assets.automation.jobs import _again
from analytics_assets.automation.plan import DOMAIN_TAG, RECIPE_TAG, PlannedRun, _cut
from analytics_assets.automation.turns import end_lost
from analytics_assets.core.partitions import MONTHLY, UNPARTITIONED
from analytics_assets.core.source import SourceError
from analytics_assets.home import HOME_TAG
from analytics_assets.warehouse import leases
from analytics_assets.warehouse.leases import LOST_TAG, held
from analytics_assets.warehouse.table_assets import warehouse_assets
from analytics_assets_tests.toy import Memory, toy_tables
from analytics_assets_tests.workspace import Workspace

BROKER = "redis://:a-secret@broker:6379/0"
MONTHS = ["2024-01", "2024-02", "2024-03", "2024-04", "2024-05", "2024-07"]


def test_runs_have_at_most_as_many_partitions_as_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _cut(MONTHLY, MONTHS) == [("2024-01", "2024-05"), ("2024-07", "2024-07")]
    monkeypatch.setenv("ANALYTICS_RUN_PARTITIONS", "2")
    assert _cut(MONTHLY, MONTHS) == [
        ("2024-01", "2024-02"),
        ("2024-03", "2024-04"),
        ("2024-05", "2024-05"),
        ("2024-07", "2024-07"),
    ]
    assert _cut(UNPARTITIONED, ["all"]) == [("all", "all")]


def test_a_run_says_its_domain() -> None:
    for job in ("ad_metrics_daily", "ad_metrics_unpartitioned", "ad_metrics_release"):
        run = PlannedRun(job, (), UNPARTITIONED, "all", "all", (), "recipe")
        assert run.tags[DOMAIN_TAG] == "ad_metrics"


def test_the_queue_and_its_workers_are_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANALYTICS_BROKER_URL", BROKER)
    monkeypatch.setenv("ANALYTICS_RUNS", "6")
    monkeypatch.setenv("ANALYTICS_DOMAIN_RUNS", "2")
    file = tmp_path / "dagster.yaml"
    environment.write_dagster_yaml(file)
    assert "a-secret" not in file.read_text()
    assert "a-secret" not in repr(settings.load())
    written = yaml.safe_load(file.read_text())
    assert written["run_launcher"]["class"] == "CeleryRunLauncher"
    queue = written["run_coordinator"]["config"]
    assert queue["max_concurrent_runs"] == 6
    (limit,) = queue["tag_concurrency_limits"]
    assert (limit["key"], limit["limit"]) == (DOMAIN_TAG, 2)
    file.write_text("run_launcher: {module: mine, class: Mine}\n")
    environment.write_dagster_yaml(file)
    assert yaml.safe_load(file.read_text())["run_launcher"]["class"] == "Mine"


def test_a_backup_is_not_taken_into_a_folder_that_is_called_like_a_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BACKUP_FOLDER", "s3://bucket/backups")
    with pytest.raises(SourceError, match="BACKUP_FOLDER: a URL is no folder of this machine"):
        settings.load()


def test_a_worker_without_a_queue_is_told(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["worker"]) == 1
    assert "ANALYTICS_BROKER_URL: it is not set" in capsys.readouterr().err


def test_only_runs_whose_worker_is_gone_are_ended(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begun(status: dg.DagsterRunStatus, *names: str) -> str:
        return workspace.instance.create_run_for_job(
            dg.JobDefinition(graph_def=_GRAPH), status=status, tags=dict.fromkeys(names, "x")
        ).run_id

    started, starting = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING
    lost = [begun(started, RECIPE_TAG), begun(starting, RECIPE_TAG, workers.TASK)]
    at_work = begun(started, RECIPE_TAG)
    # One that no recipe asked for, of a command, and of a process that may still load the code.
    others = [begun(started), begun(started, RECIPE_TAG, HOME_TAG), begun(starting, RECIPE_TAG)]
    with held(settings.load(), ["toy/a"], "2024-01", "2024-02", at_work):
        assert end_lost(workspace.instance, settings.load()) == []
        # A worker whose clock is behind is not silent, and one whose clock is ahead may be.
        speaks = begun(started, RECIPE_TAG)
        _say(workspace.instance, speaks, -600)
        _say(workspace.instance, lost[0], 600)
        end_lost(workspace.instance, settings.load())
        later = time.monotonic() + 60
        monkeypatch.setattr(turns.time, "monotonic", lambda: later)
        _say(workspace.instance, speaks, -600)
        ended = end_lost(workspace.instance, settings.load())
        _say(workspace.instance, speaks, -600)
        # They keep their places until what is asked for again is queued before what waits.
        assert {run.run_id for run in _with_status(workspace, "CANCELING")} == set(lost)
        assert end_lost(workspace.instance, settings.load()) == []
    others.append(speaks)
    assert {run.run_id for run in ended} == set(lost)
    for run_id in (*lost, at_work, *others):
        found = workspace.instance.get_run_by_id(run_id)
        assert found
        assert (found.status is dg.DagsterRunStatus.CANCELED) is (run_id in lost)
        assert (LOST_TAG in found.tags) is (run_id in lost)


def _with_status(workspace: Workspace, status: str) -> list[dg.DagsterRun]:
    return list(workspace.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus(status)])))


def test_a_run_that_its_worker_no_longer_has_is_lost_at_once(workspace: Workspace) -> None:
    started = dg.DagsterRunStatus.STARTED
    tags = {RECIPE_TAG: "x", workers.TASK: "x"}
    run = workspace.instance.create_run_for_job(
        dg.JobDefinition(graph_def=_GRAPH), status=started, tags=tags
    )
    handed = pack_value(ExecuteRunArgs(_ORIGIN, run.run_id, None))
    workers._take(kwargs={"execute_job_args_packed": handed})
    assert end_lost(workspace.instance, settings.load()) == []
    workers._let_go()
    assert [one.run_id for one in end_lost(workspace.instance, settings.load())] == [run.run_id]


def test_a_run_that_ends_while_it_is_looked_for_is_not_lost(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = {RECIPE_TAG: "x", workers.TASK: "x"}
    run = workspace.instance.create_run_for_job(
        dg.JobDefinition(graph_def=_GRAPH), status=dg.DagsterRunStatus.STARTED, tags=tags
    )

    def ends(_: settings.Settings) -> set[str]:
        workspace.instance.report_run_canceled(run)
        return set()

    monkeypatch.setattr(leases, "at_work", ends)
    assert end_lost(workspace.instance, settings.load()) == []


def _say(instance: dg.DagsterInstance, run_id: str, clock: float) -> None:
    """Write an event as a worker whose clock is so many seconds ahead."""
    entry = dg.EventLogEntry(None, 10, "said", run_id, time.time() + clock)
    instance.event_log_storage.store_event(entry)


def test_a_run_that_waits_for_a_worker_to_be_free_is_not_lost(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = {RECIPE_TAG: "x", workers.TASK: "x"}
    taken, waits = (
        workspace.instance.create_run_for_job(
            dg.JobDefinition(graph_def=_GRAPH), status=dg.DagsterRunStatus.STARTING, tags=tags
        ).run_id
        for _ in range(2)
    )
    kept: list[int | None] = [1]
    monkeypatch.setattr(turns.workers, "waiting", lambda launcher: kept[0])
    end_lost(workspace.instance, settings.load())
    later = time.monotonic() + 60
    monkeypatch.setattr(turns.time, "monotonic", lambda: later)
    assert [one.run_id for one in end_lost(workspace.instance, settings.load())] == [taken]
    kept[0] = None
    assert end_lost(workspace.instance, settings.load()) == []
    kept[0] = 0
    assert [one.run_id for one in end_lost(workspace.instance, settings.load())] == [waits]


def test_what_was_lost_goes_before_what_has_not_begun(workspace: Workspace) -> None:
    tags = {RECIPE_TAG: "x", workers.TASK: "x"}
    job = dg.JobDefinition(graph_def=_GRAPH)
    waits, lost = (workspace.instance.create_run_for_job(job, tags=tags) for _ in range(2))
    asked = workspace.instance.create_run_for_job(job, tags=_again(lost).tags)
    assert asked.tags[RECIPE_TAG] == "x"
    assert workers.TASK not in asked.tags
    queue = QueuedRunCoordinatorDaemon(interval_seconds=1)
    assert [run.run_id for run in queue._priority_sort([waits, asked])] == [
        asked.run_id,
        waits.run_id,
    ]


def test_a_run_that_lost_its_lease_is_asked_for_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL was restarted in the middle of it."""
    memory = Memory()
    memory.months = {"2024-01": [(date(2024, 1, 5), "a", 500)]}
    raw = toy_tables(memory)[0]
    (step,) = warehouse_assets([raw])

    def run(status: str) -> set[str]:
        made = dg.materialize(
            [step], partition_key="2024-01", instance=workspace.instance, raise_on_error=False
        )
        assert made.dagster_run.status.value == status
        found = workspace.instance.get_run_by_id(made.run_id)
        return set(found.tags) if found else set()

    with monkeypatch.context() as patch:
        patch.setattr(leases.Lease, "is_held", lambda lease: False)
        assert LOST_TAG in run("FAILURE")
    memory.months["2024-01"] = [(date(2024, 1, 5), "nowhere", 500)]
    with monkeypatch.context() as patch:
        patch.setattr(Memory, "land", None)
        assert LOST_TAG not in run("FAILURE")


def test_a_broker_that_is_away_keeps_nobody_knows_how_many() -> None:
    nobody = "redis://127.0.0.1:1/0"
    launcher = CeleryRunLauncher(broker=nobody, backend=nobody, default_queue="dagster")
    assert workers.waiting(launcher) is None
    assert workers.waiting(None) == 0


@dg.graph
def _GRAPH() -> None:
    """Of no ops: only its runs are looked at."""


_ORIGIN = JobPythonOrigin(
    "looked_at", RepositoryPythonOrigin("python", ModuleCodePointer("nowhere", "defs"))
)

"""What the nightly schedules and the sensor ask for, evaluated without a server.

Belongs here: ticks of the schedules and the sensor, and the runs that they request.
Does not belong here: the daemon that evaluates them (``test_ui*.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from analytics_assets.automation import jobs
from analytics_assets.core.partitions import MONTHLY, PERIODS, UNPARTITIONED, WEEKLY, YEARLY
from analytics_assets.domains.births.tables import TABLES
from analytics_assets_tests.integration.landing import YEAR, add_grams, land_year, spoil_weights
from analytics_assets_tests.workspace import Workspace

NIGHT = datetime(2024, 2, 1, 3, tzinfo=timezone.utc)
LANDING = {"births/raw_births", "births/rejected_births"}
_Span = tuple[str, str | None, str | None]


def scheduled(workspace: Workspace, schedule: str) -> list[dg.RunRequest]:
    """What a schedule asks for tonight."""
    repository = workspace.definitions.get_repository_def()
    context = dg.build_schedule_context(
        instance=workspace.instance, scheduled_execution_time=NIGHT, repository_def=repository
    )
    tick = repository.get_schedule_def(schedule).evaluate_tick(context)
    return list(tick.run_requests or ())


def sensed(workspace: Workspace) -> tuple[list[dg.RunRequest], str | None]:
    """What the sensor asks for now, and why it asks for nothing."""
    repository = workspace.definitions.get_repository_def()
    context = dg.build_sensor_context(instance=workspace.instance, repository_def=repository)
    tick = repository.get_sensor_def("changes").evaluate_tick(context)
    return list(tick.run_requests or ()), tick.skip_message


def launch(workspace: Workspace, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
    """Run a request, as the daemon would."""
    return workspace.definitions.resolve_job_def(str(request.job_name)).execute_in_process(
        instance=workspace.instance,
        asset_selection=list(request.asset_selection or ()) or None,
        tags=dict(request.tags),
        raise_on_error=False,
    )


def land(workspace: Workspace) -> None:
    """Run what the yearly schedule asks for."""
    (request,) = scheduled(workspace, "births_yearly_nightly")
    assert launch(workspace, request).success


def carry_on(workspace: Workspace) -> None:
    """Run what the sensor asks for until it asks for nothing."""
    for _ in range(len(PERIODS) + 1):
        requests, _ = sensed(workspace)
        for request in requests:
            assert launch(workspace, request).success
    assert sensed(workspace)[0] == []


def spans(requests: Sequence[dg.RunRequest]) -> set[_Span]:
    """(job, first partition, last partition) of each request."""
    found = set()
    for request in requests:
        only = request.tags.get("dagster/partition")
        first = request.tags.get("dagster/asset_partition_range_start", only)
        last = request.tags.get("dagster/asset_partition_range_end", only)
        found.add((str(request.job_name), first, last))
    return found


def assets(request: dg.RunRequest) -> set[str]:
    """The assets that a request selects."""
    return {"/".join(key.path) for key in request.asset_selection or ()}


def tables_of(*periods) -> set[str]:
    """All tables of some periods in the warehouse."""
    return {table.key for table in TABLES if table.period in periods}


def weeks(days: set[date]) -> set[str]:
    """Partitions of the weeks that hold ``days``."""
    return {WEEKLY.key(day) for day in days}


@pytest.fixture(scope="module")
def built(module_workspace: Workspace) -> tuple[Workspace, Path]:
    """A workspace of which everything is up to date, and its one landed file."""
    path = land_year(module_workspace.source)
    module_workspace.refresh()
    return module_workspace, path


def test_a_new_year_is_landed_and_nothing_else(workspace: Workspace) -> None:
    land_year(workspace.source)

    (landing,) = scheduled(workspace, "births_yearly_nightly")
    assert spans([landing]) == {("births_yearly", str(YEAR), str(YEAR))}
    assert assets(landing) == LANDING

    (lists,) = scheduled(workspace, "births_unpartitioned_nightly")
    # The one table that is computed from births has to wait for them.
    waiting = {"births/dim_health_facility"}
    assert assets(lists) == tables_of(UNPARTITIONED) - waiting


def test_the_sensor_leaves_new_files_to_the_night(workspace: Workspace) -> None:
    land_year(workspace.source)

    assert sensed(workspace) == ([], "Everything is up to date.")


def test_nothing_is_asked_for_when_nothing_is_new(built: tuple[Workspace, Path]) -> None:
    workspace, _ = built

    assert scheduled(workspace, "births_yearly_nightly") == []
    assert scheduled(workspace, "births_unpartitioned_nightly") == []
    assert sensed(workspace) == ([], "Everything is up to date.")


def test_a_touched_file_with_the_same_records_goes_no_further(
    built: tuple[Workspace, Path],
) -> None:
    workspace, path = built
    path.touch()

    land(workspace)

    assert sensed(workspace) == ([], "Everything is up to date.")


def test_a_change_is_carried_on_layer_after_layer(built: tuple[Workspace, Path]) -> None:
    workspace, path = built
    changed = weeks(add_grams(path, month=5, records=100))

    (landing,) = scheduled(workspace, "births_yearly_nightly")
    assert assets(landing) == LANDING
    assert scheduled(workspace, "births_unpartitioned_nightly") == []
    assert launch(workspace, landing).success

    months, _ = sensed(workspace)
    assert spans(months) == {("births_monthly", "2023-05", "2023-05")}
    assert assets(months[0]) == tables_of(MONTHLY)
    assert launch(workspace, months[0]).success

    rollups, _ = sensed(workspace)
    expected = {("births_weekly", *span) for span in WEEKLY.spans(changed)}
    assert spans(rollups) == {("births_yearly", "2023", "2023"), *expected}
    by_job = {request.job_name: assets(request) for request in rollups}
    assert by_job == {
        "births_yearly": tables_of(YEARLY) - LANDING,
        "births_weekly": tables_of(WEEKLY),
    }
    assert all(launch(workspace, request).success for request in rollups)

    facilities, _ = sensed(workspace)
    assert [assets(request) for request in facilities] == [{"births/dim_health_facility"}]
    assert launch(workspace, facilities[0]).success

    releases, _ = sensed(workspace)
    assert [request.job_name for request in releases] == ["births_release"]
    assert launch(workspace, releases[0]).success
    assert sensed(workspace) == ([], "Everything is up to date.")


def test_a_refused_month_is_asked_for_again_when_it_is_mended(
    built: tuple[Workspace, Path],
) -> None:
    workspace, path = built
    readable = path.read_bytes()
    spoil_weights(path, month=3)
    land(workspace)

    months, _ = sensed(workspace)
    assert spans(months) == {("births_monthly", "2023-03", "2023-03")}
    assert not launch(workspace, months[0]).success
    assert sensed(workspace) == ([], "Everything is up to date.")

    path.write_bytes(readable)
    land(workspace)
    months, _ = sensed(workspace)
    assert spans(months) == {("births_monthly", "2023-03", "2023-03")}
    assert launch(workspace, months[0]).success
    assert sensed(workspace) == ([], "Everything is up to date.")


@pytest.mark.slow
def test_a_change_that_is_taken_back_and_comes_again_is_carried_on_each_time(
    built: tuple[Workspace, Path],
) -> None:
    workspace, path = built
    grams = "select sum(birth_weight_sum) from births.agg_yearly"
    before, ((promoted,),) = path.read_bytes(), workspace.production(grams)
    add_grams(path, month=8, records=10)
    after = path.read_bytes()

    for content, expected in ((after, 10), (before, 0), (after, 10)):
        path.write_bytes(content)
        land(workspace)
        carry_on(workspace)
        assert workspace.production(grams) == [(promoted + expected,)]


def test_the_sensor_waits_while_runs_are_under_way(workspace: Workspace) -> None:
    job = workspace.definitions.resolve_job_def("births_yearly")
    workspace.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)

    requests, reason = sensed(workspace)

    assert requests == []
    assert "under way" in str(reason)


def test_the_sensor_waits_between_the_layers_of_a_backfill(workspace: Workspace) -> None:
    backfill = PartitionBackfill(
        backfill_id="layers", status=BulkActionStatus.REQUESTED, from_failure=False, tags={},
        backfill_timestamp=NIGHT.timestamp(), asset_selection=[], partition_names=[],
    )  # fmt: skip
    workspace.instance.add_backfill(backfill)

    requests, reason = sensed(workspace)

    assert requests == []
    assert "under way" in str(reason)


def test_a_run_that_died_is_asked_for_again_after_a_while(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_year(workspace.source)
    for schedule in ("births_unpartitioned_nightly", "births_yearly_nightly"):
        (request,) = scheduled(workspace, schedule)
        assert launch(workspace, request).success
    (months,), _ = sensed(workspace)
    job = workspace.definitions.resolve_job_def("births_monthly")
    workspace.instance.create_run_for_job(
        job, status=dg.DagsterRunStatus.FAILURE, tags=dict(months.tags)
    )

    # What it failed to do is left alone for a while, and the rest becomes visible.
    (release,), _ = sensed(workspace)
    assert release.job_name == "births_release"
    assert launch(workspace, release).success
    assert sensed(workspace)[0] == []

    monkeypatch.setattr(jobs, "RETRY_AFTER", timedelta(0))
    assert spans(sensed(workspace)[0]) == spans([months])

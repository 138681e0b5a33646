"""Backup, restore and clean-up as jobs: by schedule, and by hand in the UI."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from analytics_assets import settings
from analytics_assets.automation.jobs import present
from analytics_assets.automation.staleness import staleness
from analytics_assets.core.declaration import Table
from analytics_assets.core.rollups import build_sql
from analytics_assets.definitions import build
from analytics_assets.production.backup import backups
from analytics_assets.warehouse import audit, staging
from analytics_assets_tests.toy import Memory, toy_tables
from analytics_assets_tests.workspace import Workspace, failures, materialised

MONTHS = {"2024-01": [(date(2024, 1, 5), "a", 500), (date(2024, 1, 9), "b", 2000)]}
Run = Callable[..., dg.ExecuteInProcessResult]


class Toy:
    """The toy domain, and its jobs as the UI starts them."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace, self.memory = workspace, Memory()
        self.tables = toy_tables(self.memory)
        self.definitions = build(self.tables)

    def load(self, months: dict[str, Any]) -> None:
        self.memory.months = months
        assert not failures(self.workspace.refresh(self.definitions, self.tables))

    def run(self, job: str, **config: Any) -> dg.ExecuteInProcessResult:
        definition = self.definitions.resolve_job_def(job)
        (op,) = (node.name for node in definition.nodes)
        return definition.execute_in_process(
            instance=self.workspace.instance,
            run_config={"ops": {op: {"config": config}}} if config else {},
            raise_on_error=False,
        )


@pytest.fixture
def toy(workspace: Workspace, postgres: str, monkeypatch: pytest.MonkeyPatch) -> Toy:
    url = f"postgresql://promoter@/analytics_restore?host={postgres}"
    monkeypatch.setenv("RESTORE_URL", url)
    return Toy(workspace)


def told(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (output,) = (e for e in result.all_events if e.event_type_value == "STEP_OUTPUT")
    return {name: value.value for name, value in output.step_output_data.metadata.items()}


def why(result: dg.ExecuteInProcessResult) -> str:
    (failure,) = (e for e in result.all_events if e.event_type_value == "STEP_FAILURE")
    return str(failure.step_failure_data.user_failure_data.description)


def test_the_schedules_are_on(toy: Toy) -> None:
    schedules = {s.name: s for s in toy.definitions.schedules or ()}
    for name, cron in (
        ("backup_production_nightly", "0 5 * * *"),
        ("vacuum_lake_weekly", "0 6 * * 0"),
        ("scrub_lake_nightly", "0 2 * * *"),
    ):
        schedule = schedules[name]
        assert isinstance(schedule, dg.ScheduleDefinition)
        assert schedule.cron_schedule == cron
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING


def test_production_is_backed_up_restored_and_promoted_again(toy: Toy) -> None:
    assert toy.run("backup_production").success, "nothing promoted is no failure"
    toy.load(MONTHS)
    made = told(toy.run("backup_production"))
    assert made["tables and views, restored and compared"] >= 5
    toy.load(MONTHS | {"2024-01": [(date(2024, 1, 5), "a", 490), (date(2024, 1, 9), "b", 2000)]})
    total = "select sum(cents) from toy.agg_shop_daily"
    assert toy.workspace.production(total) == [(2490,)]

    assert toy.run("restore_production").success
    assert toy.workspace.production(total) == [(2490,)], "a trial is not production"
    ((name,),) = toy.workspace.production("select current_database()")
    assert "Set confirm to its name" in why(toy.run("restore_production", database=name))
    assert toy.run("restore_production", database=name, confirm=name).success
    assert toy.workspace.production(total) == [(2500,)]
    ran = toy.workspace.refresh(toy.definitions, toy.tables)
    assert not failures(ran)
    assert toy.workspace.production(total) == [(2490,)]
    assert len(backups(settings.load().backup_folder)) == 1


def test_the_lake_is_cleaned_and_read_as_before(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.load(MONTHS)
    toy.load(MONTHS | {"2024-01": [(date(2024, 1, 5), "a", 490), (date(2024, 1, 9), "b", 2000)]})
    assert told(toy.run("vacuum_lake"))["files deleted"] == 0
    monkeypatch.setenv("LAKE_RETENTION_DAYS", "0")
    done = told(toy.run("vacuum_lake"))
    assert done["files deleted"] > 5
    assert done["bytes deleted"] > 500
    assert "toy/agg_yearly" in done["by table"]
    assert toy.workspace.warehouse("select cents from toy.agg_yearly") == [(2490,)]
    assert toy.workspace.refresh(toy.definitions, toy.tables) == []
    toy.load(MONTHS)
    assert toy.workspace.warehouse("select cents from toy.agg_yearly") == [(2500,)]


def test_older_versions_that_take_too_much_are_kept_for_less(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.load(MONTHS)
    toy.load(MONTHS | {"2024-01": [(date(2024, 1, 5), "a", 490), (date(2024, 1, 9), "b", 2000)]})
    ten_days_ago = time.time() - 10 * 86_400
    for path in Path(settings.load().lake).rglob("*"):
        os.utime(path, (ten_days_ago, ten_days_ago))
    done = told(toy.run("vacuum_lake"))
    assert (done["files deleted"], done["days of versions kept"]) == (0, 30)
    assert done["bytes of older versions"] > 500
    monkeypatch.setenv("LAKE_OLDER_MB", "0.0001")
    done = told(toy.run("vacuum_lake"))
    assert (done["bytes of older versions"], done["days of versions kept"]) == (0, 7.5)
    assert done["files deleted"] > 5
    assert toy.workspace.refresh(toy.definitions, toy.tables) == []
    assert toy.workspace.warehouse("select cents from toy.agg_yearly") == [(2490,)]


def test_partitions_are_archived_and_brought_back(toy: Toy) -> None:
    toy.load(MONTHS)
    count = "select count(*) from toy.fact_sales"
    done = told(toy.run("archive_partitions", table="toy/fact_sales", before="2024-02-01"))
    assert (done["partitions"], done["rows"]) == ("2024-01-05, 2024-01-09", 2)
    assert toy.workspace.warehouse(count) == [(0,)]
    assert toy.workspace.refresh(toy.definitions, toy.tables) == []
    assert toy.workspace.production("select cents from toy.agg_yearly") == [(2500,)]
    refused = toy.run("archive_partitions", table="toy/agg_yearly", before="2025")
    assert "is in production" in why(refused)
    back = toy.run("restore_archive", table="toy/fact_sales", partitions=["2024-01-05"])
    assert told(back)["rows"] == 1
    assert toy.workspace.warehouse(count) == [(1,)]
    assert "no table or domain 'toy/x'" in why(
        toy.run("archive_partitions", table="toy/x", before="2024")
    )


def test_a_scrub_fails_with_what_is_damaged_and_the_refresh_mends_it(toy: Toy) -> None:
    toy.load(MONTHS)
    fact = toy.tables[1]
    files = toy.workspace.lake.files(fact)
    done = told(toy.run("scrub_lake", percent=100))
    assert done["files"] == sum(len(toy.workspace.lake.files(table)) for table in toy.tables)
    path = Path(files[0].uri)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert why(toy.run("scrub_lake", percent=100)) == (
        f"toy/fact_sales {files[0].key}: its file {path} is damaged and was put aside in _damaged"
    )
    with present() as (snapshot, engine):
        (lag, *_) = staleness(toy.tables, snapshot, engine)
    assert (lag.table, lag.why, lag.state) == (fact, "a file of it is damaged", "ready")
    ran = toy.workspace.refresh(toy.definitions, toy.tables)
    assert not failures(ran)
    assert (fact.key, files[0].key) in materialised(ran)
    assert toy.run("scrub_lake", percent=100).success


def test_live_aggregates_are_compared_with_the_facts_whatever_lies_between(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong number that no build noticed, in the finest aggregate, and so in all above it."""

    def one_more(table: Table) -> str:
        computed = build_sql(table)
        if table.name != "agg_shop_daily":
            return computed
        return f"select * replace (cents + 1 as cents) from ({computed})"

    months = MONTHS | {"2023-03": [(date(2023, 3, 7), "a", 100)]}
    toy.load(months)
    assert told(toy.run("reconcile_lake", percent=100))["partitions compared"] == 16
    toy.run("archive_partitions", table="toy/fact_sales", before="2023-12-31")
    left = told(toy.run("reconcile_lake", percent=100))
    assert (left["partitions compared"], left["left, as they are behind or archived"]) == (8, 8)
    with monkeypatch.context() as planted:
        planted.setattr(staging, "build_sql", one_more)
        planted.setattr(audit, "reconciled", lambda *given: [])
        toy.load(
            months | {"2024-01": [(date(2024, 1, 5), "a", 500), (date(2024, 1, 9), "b", 2010)]}
        )
    assert toy.workspace.production("select sum(cents) from toy.agg_yearly") == [(2612,)]
    assert toy.workspace.refresh(toy.definitions, toy.tables) == [], "nothing is behind"
    daily, monthly = "toy/agg_shop_daily", "toy/agg_shop_daily and toy/agg_shop_monthly"
    assert why(toy.run("reconcile_lake", percent=100)).splitlines() == [
        f"toy/{table}: cents is {wrong}, but {right} in toy/fact_sales. Materialise anew: {anew}"
        for table, wrong, right, anew in (
            ("agg_shop_daily 2024-01", 2512, 2510, daily),
            ("agg_shop_monthly 2024-01", 2512, 2510, monthly),
            ("agg_weekly 2024-01-01", 501, 500, f"{daily} and toy/agg_weekly"),
            ("agg_weekly 2024-01-08", 2011, 2010, f"{daily} and toy/agg_weekly"),
            ("agg_yearly 2024", 2512, 2510, f"{monthly} and toy/agg_yearly"),
        )
    ]


def test_one_refresh_mends_what_a_run_finds_damaged(toy: Toy) -> None:
    """The run that comes upon it fails and names it; what it fed is built after it is mended."""
    toy.load(MONTHS)
    daily = toy.tables[2]
    path = Path(toy.workspace.lake.files(daily)[0].uri)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    toy.memory.months["2024-02"] = [(date(2024, 2, 3), "a", 7)]
    said = failures(toy.workspace.refresh(toy.definitions, toy.tables))
    assert all(str(path) in one for one in said)
    assert len(said) <= 1
    query = "select sum(sales), sum(cents) from toy.agg_yearly"
    assert toy.workspace.production(query) == [(3, 2507)]
    assert toy.workspace.warehouse(query) == [(3, 2507)]

"""The UI and the daemon as `make run` serves them, before anything is materialised.

Belongs here: what one start of the server can show in seconds.
Does not belong here: backfills, whose daemon takes minutes (``test_ui_backfill.py``).
"""

from __future__ import annotations

import time

import pytest

from analytics_assets.domains.births.tables import TABLES
from analytics_assets_tests.integration.dagster_dev import DagsterDev, wait_for
from analytics_assets_tests.integration.landing import BIRTHS, YEAR
from analytics_assets_tests.workspace import Workspace

# A backfill starts from one kind of partitions, and each domain has its own.
BIRTHS_ASSETS = [
    key
    for table in TABLES
    if table.domain == "births"
    for key in (table.key, *([f"production/{table.key}"] if table.publish else []))
]


def test_schedules_and_sensor_run_without_being_switched_on(dev: DagsterDev) -> None:
    assert dev.automation() == {
        "births_unpartitioned_nightly": "RUNNING",
        "births_yearly_nightly": "RUNNING",
        "staleness_hourly": "RUNNING",
        "backup_production_nightly": "RUNNING",
        "vacuum_lake_weekly": "RUNNING",
        "scrub_lake_nightly": "RUNNING",
        "alerts": "RUNNING",
        "changes": "RUNNING",
    }


@pytest.mark.parametrize("sensor", ["changes", "alerts"])
def test_the_daemon_evaluates_the_sensors(dev: DagsterDev, sensor: str) -> None:
    def ended() -> list[dict]:
        return [tick for tick in dev.ticks(sensor) if tick["status"] != "STARTED"]

    tick = wait_for("the first tick that ended", ended, timeout=40)[-1]

    assert tick["error"] is None
    assert tick["status"] in ("SKIPPED", "SUCCESS")


def test_a_backfill_of_every_partition_is_accepted(dev: DagsterDev) -> None:
    """Also of the running year, whose later months do not exist yet."""
    this_year = time.gmtime().tm_year
    years = [str(year) for year in range(2000, this_year + 1)]

    backfill = dev.backfill_from(BIRTHS_ASSETS, years)

    dev.cancel_backfill(backfill)


def test_the_nightly_run_lands_the_new_year(dev: DagsterDev, module_workspace: Workspace) -> None:
    (request,) = dev.test_tick("births_yearly_nightly", time.time())
    tags = {tag["key"]: tag["value"] for tag in request["tags"]}
    assets = ["/".join(key["path"]) for key in request["assetSelection"]]
    assert tags["dagster/partition"] == str(YEAR)
    assert set(assets) == {"births/raw_births", "births/rejected_births"}

    run = dev.wait_for_run(dev.materialize(request["jobName"], assets, tags), timeout=90)

    assert run["status"] == "SUCCESS"
    assert module_workspace.warehouse("select count(*) from births.raw_births") == [(BIRTHS,)]
    assert dev.partition_counts()["births/raw_births"]["numMaterialized"] == 1
    assert dev.check_results()["births/raw_births", "contract"] == "SUCCEEDED"

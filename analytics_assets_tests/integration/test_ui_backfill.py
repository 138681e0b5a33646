"""Backfills and late data through the running UI and daemon, and what a browser shows of them.

Belongs here: proofs that need the daemon, whose backfills take 30 s a layer.
Does not belong here: what needs no daemon (``test_automation.py``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import playwright.sync_api as playwright
import pytest

from analytics_assets.core.partitions import MONTHLY, WEEKLY, YEARLY
from analytics_assets.domains.births.tables import TABLES
from analytics_assets_tests.integration.dagster_dev import PROJECT, DagsterDev, wait_for
from analytics_assets_tests.integration.landing import BIRTHS, YEAR, add_grams
from analytics_assets_tests.workspace import Workspace, changed_keys

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ALL_ASSETS = [table.key for table in TABLES] + [
    f"production/{table.key}" for table in TABLES if table.publish
]
_GRAMS = "select sum(birth_weight_sum) from births.agg_yearly"


@pytest.fixture(scope="module")
def backfilled(dev: DagsterDev) -> dict[str, Any]:
    """The backfill of all assets from the year that has a source, as "Materialize all" asks."""
    return dev.wait_for_backfill(dev.backfill_from(ALL_ASSETS, [str(YEAR)]), timeout=600)


def idle(dev: DagsterDev) -> bool:
    """Whether nothing runs and the sensor has looked since and found nothing to do."""
    if dev.active_runs():
        return False
    newest = max(float(run["creationTime"]) for run in dev.runs())
    latest = dev.ticks("changes")[0]
    up_to_date = latest["skipReason"] == "Everything is up to date."
    return up_to_date and latest["timestamp"] > newest


# ---- backfills ----------------------------------------------------------------------------------


def test_a_backfill_of_everything_succeeds(
    dev: DagsterDev, backfilled: dict[str, Any], module_workspace: Workspace
) -> None:
    assert backfilled["status"] == "COMPLETED_SUCCESS", backfilled["error"]
    assert {run["status"] for run in backfilled["runs"]} == {"SUCCESS"}

    counts = dev.partition_counts()
    expected = {YEARLY: 1, MONTHLY: 12, WEEKLY: 53}
    for table in TABLES:
        if table.period in expected:
            assert counts[table.key]["numMaterialized"] == expected[table.period], table.key
            assert counts[table.key]["numFailed"] == 0, table.key
    # What watches over all tables is looked at by the hour, and no part of a backfill.
    own = {key: found for key, found in dev.check_results().items() if "births/" in key[0]}
    assert own
    assert {key: found for key, found in own.items() if found != "SUCCEEDED"} == {}

    (births,) = module_workspace.warehouse("select count(*) from births.fact_births")
    (rejected,) = module_workspace.warehouse("select count(*) from births.rejected_births")
    assert births[0] + rejected[0] == BIRTHS
    for table in ("agg_yearly", "agg_monthly", "agg_daily", "agg_municipality_weekly"):
        promoted = module_workspace.production(f"select sum(total_births) from births.{table}")
        assert promoted == [births], table


def test_a_backfill_of_three_months_changes_nothing_that_is_current(
    dev: DagsterDev, backfilled: dict[str, Any], module_workspace: Workspace
) -> None:
    wait_for("an idle daemon", lambda: idle(dev), timeout=180)
    before = module_workspace.versions()
    months = ("2023-02", "2023-04")
    keys = ["births/fact_births", "births/agg_municipality_daily", "births/agg_daily"]

    found = dev.wait_for_backfill(dev.backfill(dict.fromkeys(keys, months)), timeout=180)

    assert found["status"] == "COMPLETED_SUCCESS"
    (run,) = found["runs"]
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert tags["dagster/asset_partition_range_start"] == months[0]
    assert tags["dagster/asset_partition_range_end"] == months[1]
    assert {status["numPartitionsMaterialized"] for status in _statuses(found)} == {3}
    assert module_workspace.versions() == before


def test_one_partition_is_materialised_by_its_button(
    dev: DagsterDev, backfilled: dict[str, Any]
) -> None:
    keys = ["births/agg_daily", "production/births/agg_daily"]

    run_id = dev.materialize("births_monthly", keys, {"dagster/partition": "2023-06"})
    run = dev.wait_for_run(run_id, timeout=120)

    assert run["status"] == "SUCCESS"
    assert run["assets"] == set(keys)


def test_a_check_is_executed_alone_by_its_button(
    dev: DagsterDev, backfilled: dict[str, Any], module_workspace: Workspace
) -> None:
    before = module_workspace.versions()

    for asset, check in (
        ("births/agg_monthly", "contract"),
        ("production/births/agg_monthly", "equals_warehouse"),
    ):
        run = dev.wait_for_run(dev.execute_check(asset, check), timeout=120)
        assert run["status"] == "SUCCESS", asset
        assert dev.check_results()[asset, check] == "SUCCEEDED"

    assert module_workspace.versions() == before


def _statuses(backfill: dict[str, Any]) -> list[dict[str, Any]]:
    return backfill["assetBackfillData"]["assetBackfillStatuses"]


# ---- late data ----------------------------------------------------------------------------------


def test_late_data_reach_production_and_touch_nothing_else(
    dev: DagsterDev, backfilled: dict[str, Any], module_workspace: Workspace, landed: Path
) -> None:
    wait_for("an idle daemon", lambda: idle(dev), timeout=180)
    before = module_workspace.versions()
    promotions = module_workspace.ledger()
    (grams,) = module_workspace.production(_GRAMS)
    days = add_grams(landed, month=5, records=100)

    (request,) = dev.test_tick("births_yearly_nightly", time.time())
    landing = dev.materialize(
        request["jobName"],
        ["/".join(key["path"]) for key in request["assetSelection"]],
        {tag["key"]: tag["value"] for tag in request["tags"]},
    )
    assert dev.wait_for_run(landing, timeout=120)["status"] == "SUCCESS"
    wait_for("the sensor's runs", lambda: idle(dev), timeout=300)

    assert module_workspace.production(_GRAMS) == [(grams[0] + 100,)]
    touched = {
        YEARLY: {str(YEAR)}, MONTHLY: {"2023-05"}, WEEKLY: {WEEKLY.key(day) for day in days}
    }  # fmt: skip
    expected = {table.key: touched[table.period] for table in TABLES if table.measures}
    expected["births/fact_births"] = {"2023-05"}
    expected["births/raw_births"] = {"2023-05"}
    assert changed_keys(before, module_workspace.versions()) == expected
    promoted = module_workspace.ledger()[len(promotions) :]
    published = {table.key for table in TABLES if table.publish}
    assert sorted(promoted) == sorted(
        (key, part) for key, parts in expected.items() if key in published for part in parts
    )


# ---- in a browser -------------------------------------------------------------------------------

_CHROMIUM = "/usr/bin/chromium"
_ARGUMENTS = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
_GROUPS = ["births_sources", "births_facts", "births_aggregates"]


class Browser:
    """A page of the running UI that keeps a picture of everything it shows."""

    def __init__(self, page: playwright.Page, url: str, pictures: Path) -> None:
        self.page = page
        self._url = url
        self._pictures = pictures

    def show(self, picture: str, path: str, *texts: str) -> None:
        """Open a page, wait until it shows all of ``texts`` and has settled, take a picture."""
        self.page.goto(self._url + path)
        for text in texts:
            self.page.get_by_text(text, exact=True).first.wait_for(timeout=60_000)
        # It asks for news for ever, so that "network idle" may never come.
        with suppress(playwright.Error):
            self.page.wait_for_load_state("networkidle", timeout=5_000)
        self.page.screenshot(path=self._pictures / f"{picture}.png")


@pytest.fixture
def browser(dev: DagsterDev, tmp_path: Path) -> Iterator[Browser]:
    """A headless Chromium; the test is skipped where there is none."""
    if not Path(_CHROMIUM).exists():
        pytest.skip(f"{_CHROMIUM} is not installed")
    dev.skip_invitation()
    with playwright.sync_playwright() as browsers:
        chromium = browsers.chromium.launch(
            executable_path=_CHROMIUM, args=list(_ARGUMENTS), chromium_sandbox=False
        )
        page = chromium.new_page(viewport={"width": 1600, "height": 1000})
        yield Browser(page, dev.url, tmp_path)
        chromium.close()


def test_the_graph_and_its_groups(
    browser: Browser, backfilled: dict[str, Any], tmp_path: Path
) -> None:
    groups = sorted({f"{table.domain}_{table.layer}" for table in TABLES} | {"births_production"})
    browser.show("groups", "/asset-groups", *groups)
    browser.show("aggregates", _group("births_aggregates"), "agg_yearly", "agg_state_monthly")
    browser.show("facts", _group("births_facts"), "fact_births", "rejected_births")

    # The UI draws only what is in sight; this is tall enough for the expanded groups.
    browser.page.set_viewport_size({"width": 1800, "height": 1700})
    expanded = ",".join(f"global@global:{group}" for group in _GROUPS)
    browser.show("graph", f"/asset-groups?expanded={expanded}", "raw_births", "agg_daily")
    if os.environ.get("UPDATE_DOCS") == "1":
        (PROJECT / "docs").mkdir(exist_ok=True)
        (PROJECT / "docs" / "asset_graph.png").write_bytes((tmp_path / "graph.png").read_bytes())


def _group(name: str) -> str:
    return f"/locations/analytics_assets/asset-groups/{name}"


def test_the_page_of_an_asset(
    browser: Browser, backfilled: dict[str, Any], module_workspace: Workspace
) -> None:
    page = "/assets/births/agg_monthly"
    (rows,) = module_workspace.warehouse(
        "select total_births from births.agg_monthly where month = 12"
    )
    browser.show("columns", page, "Births by month.", "total_births", "unique: year, month")
    browser.show(
        "partition", f"{page}?view=partitions&partition=2023-12",
        "Materialized (12)", "dagster/partition_row_count", "preview", str(rows[0]),
    )  # fmt: skip
    plot = browser.page.locator("img[src^='data:image/']").first
    assert plot.evaluate("picture => picture.naturalWidth") > 100
    browser.show("checks", f"{page}?view=checks", "contract", "reconciles", "Passed")
    browser.show("lineage", f"{page}?view=lineage", "agg_region_monthly", "1 / 1 Passed")


def test_the_automation_page(browser: Browser, backfilled: dict[str, Any]) -> None:
    browser.show("automation", "/automation", "births_yearly_nightly", "changes")

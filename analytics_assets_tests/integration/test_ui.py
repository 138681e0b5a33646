"""The UI and the daemon as `make run` serves them, before anything is materialised.

Belongs here: what one start of the server can show in seconds.
Does not belong here: backfills, whose daemon takes minutes (``test_ui_backfill.py``).
"""

from __future__ import annotations

import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest
from playwright.sync_api import sync_playwright

from analytics_assets.domains.births.tables import TABLES
from analytics_assets_tests.integration.dagster_dev import DagsterDev, wait_for
from analytics_assets_tests.integration.landing import BIRTHS, YEAR
from analytics_assets_tests.workspace import Workspace

CHROMIUM = "/usr/bin/chromium"
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
        "forget_history_nightly": "RUNNING",
        "vacuum_lake_weekly": "RUNNING",
        "scrub_lake_nightly": "RUNNING",
        "reconcile_lake_nightly": "RUNNING",
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


# ---- whom the UI answers ------------------------------------------------------------------------


def test_the_real_webserver_answers_no_foreign_name_and_no_foreign_page(dev: DagsterDev) -> None:
    local, foreign = dev.url, "http://evil.example"
    body = {"json": {"query": "{ version }"}}
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "graphql-ws",
    }

    def status(method: str, path: str, headers: dict[str, str], **more: Any) -> int:
        # Of an upgrade only the first line is read.
        with httpx.stream(method, f"{local}{path}", headers=headers, timeout=30, **more) as answer:
            return answer.status_code

    assert status("GET", "/server_info", {}) == 200
    assert status("GET", "/server_info", {"Host": "evil.example"}) == 403
    assert status("POST", "/graphql", {"Host": "evil.example"}, **body) == 403
    assert status("POST", "/graphql", {"Origin": local}, **body) == 200
    assert status("POST", "/graphql", {"Origin": foreign}, **body) == 403
    assert status("GET", "/graphql?query=mutation%7BsetNuxSeen%7D", {}) == 403
    assert status("GET", "/graphql", {**upgrade, "Origin": local}) == 101
    assert status("GET", "/graphql", {**upgrade, "Origin": foreign}) == 403


_ATTACK = """async (url) => {
  const asked = {};
  const body = JSON.stringify({query: "mutation { setNuxSeen }"});
  const tried = (name, promise) => promise.then(
    (answer) => { asked[name] = answer.type === "opaque" ? "opaque" : answer.status; },
    () => { asked[name] = "blocked"; });
  await tried("plain", fetch(url + "/graphql?query=mutation%7BsetNuxSeen%7D",
    {method: "POST", mode: "no-cors", body: ""}));
  await tried("json", fetch(url + "/graphql",
    {method: "POST", headers: {"content-type": "application/json"}, body}));
  asked.image = await new Promise((done) => {
    const image = new Image();
    image.onload = () => done("loaded");
    image.onerror = () => done("blocked");
    image.src = url + "/graphql?query=mutation%7BsetNuxSeen%7D";
  });
  asked.socket = await new Promise((done) => {
    const socket = new WebSocket(url.replace("http", "ws") + "/graphql", "graphql-ws");
    socket.onopen = () => done("open");
    socket.onerror = () => done("blocked");
  });
  return asked;
}"""
_SEEN = "query { shouldShowNux }"


@pytest.mark.slow
def test_a_foreign_page_in_a_real_browser_reads_and_changes_nothing(dev: DagsterDev) -> None:
    """By its own requests, and by a name of its own that suddenly means this machine."""
    port = dev.url.rpartition(":")[2]
    rebound = f"http://evil.example:{port}"
    before = dev.query(_SEEN)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server, sync_playwright() as all_:
        Thread(target=server.serve_forever, daemon=True).start()
        arguments = ["--host-resolver-rules=MAP evil.example 127.0.0.1", "--no-proxy-server"]
        browser = all_.chromium.launch(
            executable_path=CHROMIUM, args=arguments, chromium_sandbox=False
        )
        page = browser.new_page()
        page.goto(f"http://evil.example:{server.server_port}/")
        found = page.evaluate(_ATTACK, dev.url)
        assert (found["json"], found["image"], found["socket"]) == ("blocked",) * 3
        assert dev.query(_SEEN) == before
        answer = page.goto(f"{rebound}/runs")
        assert answer
        assert answer.status == 403
        # The page itself is refused, so nothing of that origin can ask on; its own UI works.
        page.goto(f"{dev.url}/overview/activity")
        page.get_by_text("Catalog").first.wait_for(timeout=60_000)
        browser.close()
        server.shutdown()


class _Page(BaseHTTPRequestHandler):
    """Somebody else's page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>Nothing to see</title>")

    def log_message(self, *_: Any) -> None:
        """It says nothing."""

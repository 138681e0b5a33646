"""The real `dagster dev` in a test: started headless, driven over GraphQL as a browser does.

Belongs here: starting and stopping the server, and the requests that the UI's buttons make.
Does not belong here: what a test asks for or expects.

Two daemons on one storage fight over their heartbeats, so each server gets a home and a metadata
database of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import psutil
import psycopg2

PROJECT = Path(__file__).parents[2]
LOCATION, REPOSITORY = "analytics_assets", "__repository__"
_T = TypeVar("_T")
_PartitionRange = tuple[str, str]
_DONE = {"SUCCESS", "FAILURE", "CANCELED"}
_BACKFILL_DONE = {"COMPLETED_SUCCESS", "COMPLETED_FAILED", "COMPLETED", "FAILED", "CANCELED"}


def wait_for(what: str, look: Callable[[], _T | None], timeout: float, every: float = 0.5) -> _T:
    """What ``look`` finds, asked again until it finds something; ``TimeoutError`` after that."""
    deadline = time.monotonic() + timeout
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout:.0f} s")
        time.sleep(every)


# ---- the server ---------------------------------------------------------------------------------


@contextmanager
def metadata_database(postgres: str) -> Iterator[str]:
    """URL of an empty database for Dagster's storage, dropped afterwards."""
    name = f"dagster_{uuid4().hex}"
    admin = psycopg2.connect(host=postgres, user="postgres", dbname="postgres")
    admin.autocommit = True
    with closing(admin), admin.cursor() as cursor:
        cursor.execute(f"create database {name} owner dagster")
        cursor.execute(f"alter database {name} set synchronous_commit = off")
        try:
            yield f"postgresql+psycopg2://dagster@/{name}?host={postgres}"
        finally:
            cursor.execute(f"drop database {name} with (force)")


@contextmanager
def dagster_dev(home: Path, metadata_url: str, timeout: float = 60) -> Iterator[DagsterDev]:
    """The UI and the daemon as `make run` serves them, with the environment of the test."""
    home.mkdir(parents=True)
    shutil.copyfile(PROJECT / "analytics_assets/dagster.yaml", home / "dagster.yaml")
    url = f"http://127.0.0.1:{_free_port()}"
    with (home / "dev.log").open("w") as log:
        server = _start(home, url, metadata_url, log)
        try:
            dev = DagsterDev(url, home)
            wait_for("dagster dev answers", lambda: dev.answers() or _gone(server, home), timeout)
            yield dev
        finally:
            _stop(server)


def _start(home: Path, url: str, metadata_url: str, log: Any) -> subprocess.Popen:
    command = [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1"]
    command += ["-p", url.rsplit(":", 1)[1], "-w", str(PROJECT / "workspace.yaml")]
    return subprocess.Popen(
        command,
        cwd=PROJECT,
        env={
            **os.environ,
            "DAGSTER_HOME": str(home),
            "DAGSTER_PG_URL": metadata_url,
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "DAGSTER_EVENT_BATCH_SIZE": "1000",
        },
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_default_signals,
    )


def _default_signals() -> None:
    # Under a parent that ignores SIGINT `dagster dev` could not be stopped.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _gone(server: subprocess.Popen, home: Path) -> None:
    if server.poll() is not None:
        raise RuntimeError(f"dagster dev ended:\n{(home / 'dev.log').read_text()[-3000:]}")


def _stop(server: subprocess.Popen) -> None:
    """Stop it as Ctrl-C does, and see to it that nothing it started is left."""
    family = psutil.Process(server.pid).children(recursive=True) if server.poll() is None else []
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    # Its code servers notice only after a heartbeat that nobody asks them any more.
    _, left = psutil.wait_procs(family, timeout=2)
    for process in left:
        process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ---- what the UI asks ---------------------------------------------------------------------------


class DagsterDev:
    """A running server; methods are named after what a user does in the UI."""

    def __init__(self, url: str, home: Path) -> None:
        self.url = url
        self.home = home

    def answers(self) -> bool:
        """Whether it is up, with the code location loaded."""
        try:
            with urllib.request.urlopen(f"{self.url}/server_info", timeout=2):
                pass
        except OSError:
            return False
        location = self.query(_LOCATION, name=LOCATION)["workspaceLocationEntryOrError"]
        return location.get("locationOrLoadError", {}).get("__typename") == "RepositoryLocation"

    def log(self) -> str:
        """What webserver, daemon and code server wrote so far."""
        return (self.home / "dev.log").read_text()

    def query(self, query: str, **variables: Any) -> dict[str, Any]:
        """The answer to a GraphQL request; ``RuntimeError`` for one that is refused."""
        request = urllib.request.Request(
            f"{self.url}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            # A refused mutation is a 500 whose body says why, as that of a 200 does.
            answer = json.load(error)
        if answer.get("errors"):
            raise RuntimeError(answer["errors"][0]["message"])
        return answer["data"]

    def skip_invitation(self) -> None:
        """Close the invitation that covers the first page of a new installation."""
        self.query("mutation { setNuxSeen }")

    # -- backfills

    def backfill(self, partitions: Mapping[str, _PartitionRange | None]) -> str:
        """Ask for an asset backfill: asset -> first and last partition, ``None`` if it has none."""
        chosen = [
            {
                "assetKey": {"path": asset.split("/")},
                "partitions": {"range": {"start": span[0], "end": span[1]}} if span else None,
            }
            for asset, span in partitions.items()
        ]
        answer = self.query(_BACKFILL, params={"partitionsByAssets": chosen})
        return _expect(answer["launchPartitionBackfill"], "LaunchBackfillSuccess")["backfillId"]

    def backfill_from(self, assets: Iterable[str], partitions: Sequence[str]) -> str:
        """The same as the button "Materialize all" asks for it: partitions of the most upstream
        asset, and whatever of the others is downstream of them."""
        chosen = [{"path": asset.split("/")} for asset in assets]
        params = {"assetSelection": chosen, "partitionNames": list(partitions)}
        answer = self.query(_BACKFILL, params=params)
        return _expect(answer["launchPartitionBackfill"], "LaunchBackfillSuccess")["backfillId"]

    def cancel_backfill(self, backfill: str) -> None:
        """Ask for nothing more of it."""
        answer = self.query(_CANCEL_BACKFILL, id=backfill)["cancelPartitionBackfill"]
        _expect(answer, "CancelBackfillSuccess")

    def backfill_of(self, backfill: str) -> dict[str, Any]:
        """The backfill's status, and what came of each asset's partitions."""
        answer = self.query(_BACKFILL_STATUS, id=backfill)
        return _expect(answer["partitionBackfillOrError"], "PartitionBackfill")

    def wait_for_backfill(self, backfill: str, timeout: float) -> dict[str, Any]:
        """The backfill once it is over."""

        def done() -> dict[str, Any] | None:
            found = self.backfill_of(backfill)
            return found if found["status"] in _BACKFILL_DONE else None

        return wait_for(f"backfill {backfill}", done, timeout)

    # -- runs

    def materialize(self, job: str, assets: Sequence[str], tags: Mapping[str, str]) -> str:
        """Launch one run of assets, as the button "Materialize" does for one partition."""
        return self._launch(_execution(job, assets, tags))

    def execute_check(self, asset: str, check: str) -> str:
        """Launch a run of one check alone, as the button "Execute" does."""
        params = _execution("__ASSET_JOB", (), {})
        key = {"path": asset.split("/")}
        params["selector"]["assetCheckSelection"] = [{"assetKey": key, "name": check}]
        return self._launch(params)

    def _launch(self, params: dict[str, Any]) -> str:
        answer = self.query(_MATERIALIZE, params=[params])
        result = _expect(answer["launchMultipleRuns"], "LaunchMultipleRunsResult")
        (launched,) = result["launchMultipleRunsResult"]
        return _expect(launched, "LaunchRunSuccess")["run"]["runId"]

    def runs(self) -> list[dict[str, Any]]:
        """All runs, newest first: id, job, status, tags and assets."""
        found = self.query(_RUNS)["runsOrError"]["results"]
        for run in found:
            run["tags"] = {tag["key"]: tag["value"] for tag in run["tags"]}
            run["assets"] = {"/".join(key["path"]) for key in run["assetSelection"] or ()}
        return found

    def wait_for_run(self, run_id: str, timeout: float) -> dict[str, Any]:
        """The run once it is over."""

        def done() -> dict[str, Any] | None:
            own = (run for run in self.runs() if run["runId"] == run_id)
            return next((run for run in own if run["status"] in _DONE), None)

        return wait_for(f"run {run_id}", done, timeout)

    def active_runs(self) -> list[dict[str, Any]]:
        """Runs that are queued or under way."""
        return [run for run in self.runs() if run["status"] not in _DONE]

    # -- assets

    def partition_counts(self) -> dict[str, dict[str, int]]:
        """Asset -> number of its partitions that are materialised, failed and under way."""
        nodes = self.query(_ASSETS)["assetNodes"]
        return {
            "/".join(node["assetKey"]["path"]): node["partitionStats"]
            for node in nodes
            if node["partitionStats"]
        }

    def check_results(self) -> dict[tuple[str, str], str]:
        """(asset, check) -> what its last execution came to; ``NOT EXECUTED`` without one."""
        found = {}
        for node in self.query(_ASSETS)["assetNodes"]:
            for check in node["assetChecksOrError"].get("checks", ()):
                latest = check["executionForLatestMaterialization"]
                result = latest["status"] if latest else "NOT EXECUTED"
                found["/".join(node["assetKey"]["path"]), check["name"]] = result
        return found

    # -- automation

    def automation(self) -> dict[str, str]:
        """Schedule or sensor -> RUNNING or STOPPED."""
        found = self.query(_AUTOMATION, repository=_repository())["repositoryOrError"]
        return {
            **{one["name"]: one["scheduleState"]["status"] for one in found["schedules"]},
            **{one["name"]: one["sensorState"]["status"] for one in found["sensors"]},
        }

    def ticks(self, name: str) -> list[dict[str, Any]]:
        """Ticks of a schedule or sensor, newest first."""
        selector = {"name": name, **_repository()}
        answer = self.query(_TICKS, selector=selector)["instigationStateOrError"]
        return _expect(answer, "InstigationState")["ticks"]

    def test_tick(self, schedule: str, moment: float) -> list[dict[str, Any]]:
        """Evaluate a schedule as "Test schedule" does: the run requests, not yet launched."""
        selector = {"scheduleName": schedule, **_repository()}
        answer = self.query(_TEST_TICK, selector=selector, timestamp=moment)
        result = _expect(answer["scheduleDryRun"], "DryRunInstigationTick")["evaluationResult"]
        if result["error"]:
            raise RuntimeError(result["error"]["message"])
        return result["runRequests"] or []


def _repository() -> dict[str, str]:
    return {"repositoryName": REPOSITORY, "repositoryLocationName": LOCATION}


def _execution(job: str, assets: Sequence[str], tags: Mapping[str, str]) -> dict[str, Any]:
    return {
        "selector": {
            "pipelineName": job,
            **_repository(),
            "assetSelection": [{"path": asset.split("/")} for asset in assets],
        },
        "mode": "default",
        "runConfigData": "{}",
        "executionMetadata": {
            "tags": [{"key": key, "value": value} for key, value in tags.items()]
        },
    }


def _expect(answer: dict[str, Any], kind: str) -> dict[str, Any]:
    if answer["__typename"] != kind:
        raise RuntimeError(f"{answer['__typename']} instead of {kind}: {answer.get('message')}")
    return answer


_LOCATION = """query($name: String!) {
  workspaceLocationEntryOrError(name: $name) {
    ... on WorkspaceLocationEntry { locationOrLoadError { __typename } }
  }
}"""
_BACKFILL = """mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}"""
_CANCEL_BACKFILL = """mutation($id: String!) {
  cancelPartitionBackfill(backfillId: $id) { __typename ... on PythonError { message } }
}"""
_BACKFILL_STATUS = """query($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    __typename
    ... on PythonError { message }
    ... on PartitionBackfill {
      status
      error { message }
      runs(limit: 100) { runId jobName status tags { key value } }
      assetBackfillData {
        assetBackfillStatuses {
          ... on AssetPartitionsStatusCounts {
            assetKey { path }
            numPartitionsTargeted numPartitionsMaterialized numPartitionsFailed
          }
          ... on UnpartitionedAssetStatus { assetKey { path } materialized failed }
        }
      }
    }
  }
}"""
_MATERIALIZE = """mutation($params: [ExecutionParams!]!) {
  launchMultipleRuns(executionParamsList: $params) {
    __typename
    ... on PythonError { message }
    ... on LaunchMultipleRunsResult {
      launchMultipleRunsResult {
        __typename
        ... on LaunchRunSuccess { run { runId } }
        ... on PythonError { message }
        ... on InvalidSubsetError { message }
      }
    }
  }
}"""
_RUNS = """query {
  runsOrError(limit: 500) {
    ... on Runs {
      results {
        runId jobName status creationTime
        tags { key value }
        assetSelection { path }
      }
    }
  }
}"""
_ASSETS = """query {
  assetNodes {
    assetKey { path }
    partitionStats { numPartitions numMaterialized numFailed numMaterializing }
    assetChecksOrError {
      ... on AssetChecks { checks { name executionForLatestMaterialization { status } } }
    }
  }
}"""
_AUTOMATION = """query($repository: RepositorySelector!) {
  repositoryOrError(repositorySelector: $repository) {
    ... on Repository {
      schedules { name scheduleState { status } }
      sensors { name sensorState { status } }
    }
  }
}"""
_TICKS = """query($selector: InstigationSelector!) {
  instigationStateOrError(instigationSelector: $selector) {
    __typename
    ... on InstigationState {
      ticks(limit: 100) { timestamp status runIds skipReason error { message } }
    }
  }
}"""
_TEST_TICK = """mutation($selector: ScheduleSelector!, $timestamp: Float) {
  scheduleDryRun(selectorData: $selector, timestamp: $timestamp) {
    __typename
    ... on PythonError { message }
    ... on DryRunInstigationTick {
      evaluationResult {
        error { message }
        runRequests { jobName runKey tags { key value } assetSelection { path } }
      }
    }
  }
}"""

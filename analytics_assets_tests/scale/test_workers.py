"""Three workers over one object store build what one process builds in a folder, also when they
are killed at any moment."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import fsspec
import pytest

from analytics_assets import registry, settings
from analytics_assets.automation.plan import RECIPE_TAG
from analytics_assets.automation.turns import LOST_TAG
from analytics_assets.core.declaration import Table
from analytics_assets.definitions import build
from analytics_assets.warehouse.lake import FINGERPRINT, KEY, Lake, open_lake
from analytics_assets_tests.conftest import make_workspace
from analytics_assets_tests.scale.cluster import Cluster, cluster
from analytics_assets_tests.workspace import Workspace, failures

pytestmark = [
    pytest.mark.scale,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is not installed"),
]
DOMAINS = os.environ.get("SCALE_DOMAINS") or "births,ad_metrics"
KILLS = int(os.environ.get("KILLS") or 5)
SEED = int(os.environ.get("SEED") or 1)
LONGEST = 3000.0
State = dict[str, dict[str, str]]


def fingerprints(lake: Lake, tables: Sequence[Table]) -> State:
    return {table.key: lake.fingerprints(table) for table in tables}


@pytest.fixture
def single(
    tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[State, Workspace]]:
    """The samples in a folder that all machines see, and what one process makes of them."""
    for workspace in make_workspace(tmp_path, postgres, monkeypatch):
        monkeypatch.setenv("ANALYTICS_DOMAINS", DOMAINS)
        for domain in registry.asked():
            for setting in domain.settings:
                monkeypatch.delenv(setting.variable, raising=False)
            for sample in domain.samples:
                sample()
            for setting in domain.settings:
                if setting.variable.endswith("_SOURCE"):
                    monkeypatch.setenv(setting.variable, str(_sample_of(setting.variable)))
        tables = registry.tables()
        started = time.monotonic()
        assert failures(workspace.refresh(build(tables), tables)) == []
        state = fingerprints(open_lake(settings.load().lake), tables)
        print(f"\none process, a folder: {time.monotonic() - started:.0f} s")
        yield state, workspace


def _sample_of(variable: str) -> Path:
    folder = {"SINASC_SOURCE": "sinasc", "MIXPANEL_SOURCE": "mixpanel"}.get(variable, "meta_ads")
    return settings.load().home / "samples" / folder


def test_three_workers_build_what_one_process_does(
    single: tuple[State, Workspace],
    tmp_path: Path,
    postgres: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted, _ = single
    for _ in make_workspace(_fresh(tmp_path), postgres, _Production(monkeypatch)):
        given = {"ANALYTICS_DOMAINS": DOMAINS, "ANALYTICS_RUN_PARTITIONS": "12"}
        with cluster(tmp_path, postgres, monkeypatch, 3, **given) as machines:
            started = time.monotonic()
            assert "runs are queued for the workers" in machines.begin()
            killed = _until_done(machines)
            print(f"three workers, an object store: {time.monotonic() - started:.0f} s,")
            print(f"{len(killed)} workers killed at work, {_taken_over(machines, killed)}")
            lake = open_lake(settings.load().lake)
            assert fingerprints(lake, machines.tables) == wanted
            assert _twice(lake, machines.tables) == []
            assert all(list((w.home / "copies").rglob("*.parquet")) for w in machines.workers)


def _fresh(folder: Path) -> Path:
    made = folder / "cluster"
    made.mkdir()
    return made


class _Production:
    """Of what a workspace sets only the databases: sources are those of the sample."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def setenv(self, name: str, value: str) -> None:
        if name.endswith("_URL"):
            self._patch.setenv(name, value)


def _until_done(machines: Cluster) -> list[float]:
    """Kill a worker while any is at work, ``KILLS`` times; when they were killed."""
    draw, killed = random.Random(SEED), list[float]()
    end = time.monotonic() + LONGEST
    pause = 0.0
    while time.monotonic() < end:
        time.sleep(3)
        if len(killed) < KILLS and time.monotonic() > pause:
            if machines.at_work():
                worker = draw.choice(machines.workers)
                worker.kill()
                killed.append(time.time())
                worker.start()
            pause = time.monotonic() + draw.uniform(1, 20)
        elif machines.is_done():
            return killed
    raise TimeoutError(f"not within {LONGEST:.0f} s: {machines.dev.active_runs()}")


def _taken_over(machines: Cluster, killed: Sequence[float]) -> str:
    """How many runs were lost by it, and the longest until one was asked for again."""
    runs = machines.dev.runs()
    waits = []
    for lost in (run for run in runs if LOST_TAG in run["tags"]):
        recipe, began = lost["tags"][RECIPE_TAG], lost["creationTime"]
        again = [
            run["creationTime"]
            for run in runs
            if run["tags"].get(RECIPE_TAG) == recipe and run["creationTime"] > began
        ]
        waits += [min(again) - max(at for at in killed if at < min(again))] if again else []
    return (
        f"{len(waits)} runs taken over, the slowest asked for after {max(waits, default=0):.0f} s"
    )


def _twice(lake: Lake, tables: Sequence[Table]) -> list[str]:
    """Storage keys of which equal rows were published in two versions."""
    remote = fsspec.filesystem("s3", skip_instance_cache=True)
    found = []
    for table in tables:
        seen: Counter[tuple[str, str]] = Counter()
        for commit in remote.glob(f"{lake.uri(table)}/_delta_log/*.json"):
            actions = map(json.loads, remote.cat_file(commit).splitlines())
            added = [action["add"]["partitionValues"] for action in actions if "add" in action]
            seen.update({(one[KEY], one[FINGERPRINT]) for one in added})
        found += [f"{table.key} {key}" for (key, _), times in seen.items() if times > 1]
    return found

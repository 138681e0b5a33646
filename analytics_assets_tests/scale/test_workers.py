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
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import fsspec
import psycopg2
import pytest
from sqlalchemy.engine import make_url

from analytics_assets import registry, settings
from analytics_assets.automation.jobs import MOST_REPEATS
from analytics_assets.automation.plan import RECIPE_TAG
from analytics_assets.core.declaration import Table
from analytics_assets.definitions import build
from analytics_assets.warehouse.lake import FINGERPRINT, KEY, Lake, open_lake
from analytics_assets_tests.conftest import make_workspace
from analytics_assets_tests.scale.cluster import Cluster, cluster
from analytics_assets_tests.workspace import Workspace, failures

pytestmark = [
    pytest.mark.scale,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is not installed"),
]
DOMAINS = os.environ.get("SCALE_DOMAINS") or "births,ad_metrics"
KILLS = int(os.environ.get("KILLS") or 5)
SEED = int(os.environ.get("SEED") or 1)
LONGEST = 3000.0
TAKEN_OVER_WITHIN = 60.0
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
    given = {"ANALYTICS_DOMAINS": DOMAINS, "ANALYTICS_RUN_PARTITIONS": "12"}
    draw, killed, waits = random.Random(SEED), 0, list[Taken]()
    # A build lets some workers be killed; for more, all is built anew.
    for turn in count():
        folder = tmp_path / f"cluster{turn}"
        folder.mkdir()
        for _ in make_workspace(folder, postgres, _Production(monkeypatch)):
            with cluster(folder, postgres, monkeypatch, 3, **given) as machines:
                started = time.monotonic()
                assert "runs are queued for the workers" in machines.begin()
                kills = _until_done(machines, draw, KILLS - killed)
                print(f"three workers, an object store: {time.monotonic() - started:.0f} s,")
                taken = sorted(wait for kill in kills for wait in _taken_over(kill))
                print(f"{len(kills)} workers killed at work, {len(taken)} runs taken over after")
                print(*(f"{wait.begun:.0f}" for wait in taken), "s; ended after")
                print(*(f"{wait.noticed:.0f}" for wait in taken), "s", flush=True)
                lake = open_lake(settings.load().lake)
                assert fingerprints(lake, machines.tables) == wanted
                assert _twice(lake, machines.tables) == []
                assert all(list((w.home / "copies").rglob("*.parquet")) for w in machines.workers)
        killed, waits = killed + len(kills), waits + taken
        if killed >= KILLS or not kills:
            break
    begun = [wait.begun for wait in waits]
    print(f"{killed} killed, {len(waits)} runs taken over", end="")
    if begun:
        print(f" after {median(begun):.0f} s, the slowest after {max(begun):.0f} s")
    assert killed >= KILLS
    assert max(begun, default=0) <= TAKEN_OVER_WITHIN


class _Production:
    """Of what a workspace sets only the databases: sources are those of the sample."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def setenv(self, name: str, value: str) -> None:
        if name.endswith("_URL"):
            self._patch.setenv(name, value)


@dataclass(frozen=True)
class Kill:
    """A worker that was killed while it had a run."""

    at: float
    run_id: str


def _until_done(machines: Cluster, draw: random.Random, kills: int) -> list[Kill]:
    """Kill a worker that has a run, at most so many times, until all is built."""
    killed = list[Kill]()
    end = time.monotonic() + LONGEST
    pause = 0.0
    while time.monotonic() < end:
        time.sleep(1)
        if len(killed) < kills and time.monotonic() > pause:
            # What loses its worker again and again is left alone, rightly.
            often = Counter(_recipe(kill.run_id) for kill in killed)
            runs = [run for run in _at_work() if often[_recipe(run.run_id)] < MOST_REPEATS - 2]
            busy = [(w, run) for w in machines.workers for run in runs if run.pid in w.processes()]
            if busy:
                worker, run = draw.choice(busy)
                worker.kill()
                killed.append(Kill(time.time(), run.run_id))
                worker.start()
                pause = time.monotonic() + draw.uniform(0.5, 8)
        if machines.is_done():
            return killed
    raise TimeoutError(f"not within {LONGEST:.0f} s: {machines.dev.active_runs()}")


class Taken(NamedTuple):
    """Seconds until another worker had the partitions of a killed one, and until the run of the
    killed one was ended."""

    begun: float
    noticed: float


class AtWork(NamedTuple):
    """A run, and the process that has it."""

    run_id: str
    pid: int


def _at_work() -> list[AtWork]:
    return [
        AtWork(*row)
        for row in _history(
            "select r.run_id, substring(e.event from 'run \\(pid: (\\d+)')::int"
            " from runs r join event_logs e using (run_id)"
            " where r.status in ('STARTING', 'STARTED')"
            " and e.event like '%%Started process for run (pid%%'"
        )
    ]


def _recipe(run_id: str) -> str:
    (found,) = _history(
        "select value from run_tags where run_id = %s and key = %s", run_id, RECIPE_TAG
    )
    return str(found[0])


def _taken_over(kill: Kill) -> list[Taken]:
    """When another worker had the same partitions; none where the run had done it all."""
    ((status, ended),) = _history(
        "select status, end_time from runs where run_id = %s", kill.run_id
    )
    if status == "SUCCESS":
        return []
    # The next worker that took it: it may have been killed, too.
    ((began,),) = _history(
        "select min(extract(epoch from e.timestamp))::float"
        " from event_logs e join run_tags t using (run_id)"
        " where t.key = %s and t.value = %s and e.timestamp > to_timestamp(%s) at time zone 'UTC'"
        " and e.event like '%%Started process for run (pid%%'",
        RECIPE_TAG,
        _recipe(kill.run_id),
        kill.at,
    )
    assert began, f"{kill.run_id} was left alone"
    return [Taken(began - kill.at, ended - kill.at)]


def _history(sql: str, *given: Any) -> list[tuple[Any, ...]]:
    """What Dagster's database answers."""
    url = make_url(os.environ["DAGSTER_PG_URL"]).set(drivername="postgresql")
    address = url.render_as_string(hide_password=False)
    with closing(psycopg2.connect(address)) as connection, connection.cursor() as cursor:
        cursor.execute(sql, given)
        return list(cursor.fetchall())


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

"""Several machines on loopback: an object store, PostgreSQL, Redis, the UI with its daemon, and
workers, each with an empty home of its own.

Belongs here: starting, killing and stopping them, and what is behind.
Does not belong here: what a test expects.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import fsspec
import psutil
import pytest

from analytics_assets import registry
from analytics_assets.automation.jobs import present
from analytics_assets.automation.plan import PlannedRun, by_domain, plan
from analytics_assets.core.declaration import Table
from analytics_assets_tests.integration.dagster_dev import (
    DagsterDev,
    metadata_database,
    wait_for,
)
from analytics_assets_tests.scale.object_store import BUCKET, free_port, object_store, server_on

PROJECT = Path(__file__).parents[2]
_STARTS_WITHIN = 240.0


class Worker:
    """`analytics-assets worker` with a home of its own; ``kill`` is a machine that goes away."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.start()

    def start(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home.parent / f"{self.home.name}.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "analytics_assets", "worker"],
                cwd=PROJECT,
                env={**os.environ, "ANALYTICS_HOME": str(self.home), "ANALYTICS_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def processes(self) -> set[int]:
        """Its own, and those that take runs."""
        own = psutil.Process(self.process.pid)
        return {own.pid, *(child.pid for child in own.children(recursive=True))}

    def said(self) -> str:
        return (self.home.parent / f"{self.home.name}.log").read_text()


class Cluster:
    """What runs, and the tables that it builds."""

    def __init__(self, folder: Path, dev: DagsterDev, tables: Sequence[Table]) -> None:
        self.folder, self.dev, self.tables = folder, dev, tables
        self.workers: list[Worker] = []

    def add_workers(self, count: int) -> None:
        first = len(self.workers)
        self.workers += [Worker(self.folder / f"worker{first + n}") for n in range(count)]

    def begin(self) -> str:
        """Ask for what is behind, as a person on the first machine does; what was printed."""
        command = [sys.executable, "-m", "analytics_assets", "materialize"]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def behind(self) -> list[PlannedRun]:
        with present() as (snapshot, engine):
            return [run for own in by_domain(self.tables) for run in plan(own, snapshot, engine)]

    def is_done(self) -> bool:
        return not self.dev.active_runs() and not self.behind()


@contextmanager
def cluster(
    folder: Path,
    postgres: str,
    patch: pytest.MonkeyPatch,
    workers: int,
    **given: str,
) -> Iterator[Cluster]:
    """All of it, and the environment of this process that of its machines.

    Production is as the environment of the test names it, and what is in the folders of its sources
    is landed from the store.
    """
    port = free_port()
    redis = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with object_store(), server_on(port, redis), metadata_database(postgres) as metadata:
        said = {
            "ANALYTICS_HOME": str(folder / "head"),
            "ANALYTICS_LAKE": f"s3://{BUCKET}/lake",
            "ANALYTICS_BROKER_URL": f"redis://127.0.0.1:{port}/0",
            "ANALYTICS_RUNS": str(workers),
            "DAGSTER_PG_URL": metadata,
            **given,
        }
        for name, value in {**said, **_uploaded()}.items():
            patch.setenv(name, value)
        with _head(folder) as dev:
            made = Cluster(folder, dev, registry.tables())
            made.add_workers(workers)
            try:
                yield made
            finally:
                for worker in made.workers:
                    if worker.process.poll() is None:
                        worker.kill()


def _uploaded() -> dict[str, str]:
    """The landing folders of this process as folders of the store."""
    remote = fsspec.filesystem("s3", skip_instance_cache=True)
    urls = {}
    for setting, folder in os.environ.items():
        if setting.endswith("_SOURCE") and "://" not in folder and Path(folder).is_dir():
            urls[setting] = f"s3://{BUCKET}/landing/{setting}"
            remote.put(f"{folder}/", f"{urls[setting]}/", recursive=True)
    return urls


@contextmanager
def _head(folder: Path) -> Iterator[DagsterDev]:
    """Webserver and daemon on the settings that `analytics-assets` writes for them."""
    prepare = "from analytics_assets import environment; environment.prepare()"
    subprocess.run([sys.executable, "-c", prepare], cwd=PROJECT, check=True)
    home = folder / "head" / "dagster"
    port = free_port()
    command = [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port)]
    with (home / "dev.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "-w", str(PROJECT / "workspace.yaml"), "--log-level", "warning"],
            cwd=home,
            env={**os.environ, "DAGSTER_HOME": str(home), "PYTHONPATH": str(PROJECT)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    dev = DagsterDev(f"http://127.0.0.1:{port}", home)
    try:
        wait_for(f"the UI in {home}", dev.answers, _STARTS_WITHIN)
        yield dev
    finally:
        process.send_signal(signal.SIGTERM)
        time.sleep(2)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

"""24 monthly partitions over one, two and three workers: how much sooner they are built.

Prints wall time, the efficiency (time of one worker over workers times theirs), and where the time
of the processors went: to the workers, to the store, which is a simulator in Python, and to
PostgreSQL. What those take of the cores, workers cannot have: the efficiency without it is printed,
too. Where others use the cores it says little; nothing is asserted of it.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from analytics_assets import settings
from analytics_assets.core.columns import Column
from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import MONTHLY
from analytics_assets.core.source import Landing
from analytics_assets.warehouse.build import Builder
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.leases import held
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.scale.object_store import BUCKET, object_store
from analytics_assets_tests.workspace import Workspace

pytestmark = [pytest.mark.scale, pytest.mark.timeout(1800)]
ROWS = int(os.environ.get("SCALE_ROWS") or 1_500_000)
MONTHS = [f"{year}-{month:02}" for year in (2023, 2024) for month in range(1, 13)]


class Drawn:
    """Rows of a month that DuckDB makes up, the same each time."""

    def inputs(self) -> dict[str, dict[str, str]]:
        return {month: {"drawn": str(ROWS)} for month in MONTHS}

    @contextmanager
    def land(self, landing: Landing) -> Iterator[list[str]]:
        yield [
            f"select date '{landing.key}-01' + (i % 28)::int as day, md5(i::text) as name,"
            f" (hash(i) % 100000)::int as cents from range({ROWS}) as drawn(i)"
        ]


def sales() -> Table:
    return Table(
        "scale/sales",
        "sources",
        "Sales.",
        MONTHLY,
        columns=(
            Column("day", "date", "Day."),
            Column("name", "text", "Name."),
            Column("cents", "integer", "Price.", "cents", minimum=0),
        ),
        source=Drawn(),
    )


def work(home: str, months: list[str], start: float, spent: multiprocessing.Queue[float]) -> None:
    """What a worker does with its runs, one partition each."""
    os.environ["ANALYTICS_HOME"] = home
    log = logging.getLogger("scale")
    log.setLevel(logging.CRITICAL)
    table, config = sales(), settings.load()
    time.sleep(max(0.0, start - time.time()))
    before = time.process_time()
    with open_session(config) as session:
        for month in months:
            run = uuid4().hex
            with held(config, [table.key], month, month, run) as lease:
                snapshot = Snapshot(Lake(config.lake))
                outcome = Builder(session, snapshot, run, log, lease).build(table, [month])
            assert not outcome.failed()
    spent.put(time.process_time() - before)


def of_servers() -> dict[str, float]:
    """Server -> seconds of processors that it has used."""
    used = {"store": 0.0, "PostgreSQL": 0.0}
    for process in psutil.process_iter(["name", "cmdline", "cpu_times"]):
        words, times = process.info["cmdline"] or (), process.info["cpu_times"]
        name = "store" if "moto.server" in words else "PostgreSQL"
        if times and (name == "store" or process.info["name"].startswith("postgres")):
            used[name] += times.user + times.system + times.children_user + times.children_system
    return used


def lines(file: Path) -> int:
    return file.read_bytes().count(b"\n")


def test_partitions_are_divided(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANALYTICS_THREADS", "1")
    built = []
    walls: dict[int, float] = {}
    with (tmp_path / "requests").open("wb") as requests, object_store(requests):
        for workers in (1, 2, 3):
            root = f"s3://{BUCKET}/{uuid4().hex}"
            monkeypatch.setenv("ANALYTICS_LAKE", root)
            # Until all have loaded the code.
            start = time.time() + 15
            context = multiprocessing.get_context("spawn")
            spent: multiprocessing.Queue[float] = context.Queue()
            processes = [
                context.Process(
                    target=work,
                    args=(str(tmp_path / f"{workers}-{n}"), MONTHS[n::workers], start, spent),
                )
                for n in range(workers)
            ]
            for process in processes:
                process.start()
            time.sleep(max(0.0, start - time.time()))
            before, asked = of_servers(), lines(tmp_path / "requests")
            for process in processes:
                process.join()
                assert process.exitcode == 0
            wall = walls[workers] = time.time() - start
            cpu = sum(spent.get() for _ in processes)
            used = {name: after - before.get(name, 0.0) for name, after in of_servers().items()}
            asked = lines(tmp_path / "requests") - asked
            efficiency = walls[1] / (workers * wall)
            cores = os.cpu_count() or 1
            left = min(workers, cores - sum(used.values()) / wall)
            print(
                f"\n{workers} workers: {wall:.1f} s, efficiency {efficiency:.2f}; of {cores} cores,"
                f" which had {cores * wall:.1f} s, workers took {cpu:.1f} s"
                f" ({cpu / len(MONTHS):.2f} a run)"
                + "".join(f", {name} {seconds:.1f} s" for name, seconds in used.items())
                + f"; {left:.2f} cores were left to the workers"
                f" (efficiency of those {walls[1] / (left * wall):.2f}),"
                f" {asked / len(MONTHS):.0f} requests a run, load {os.getloadavg()[0]:.1f}"
            )
            lake = Lake(root)
            built.append(lake.fingerprints(sales()))
            assert Snapshot(lake).behind(sales()) == []
    assert built[0] == built[1] == built[2]
    assert len(built[0]) == len(MONTHS)

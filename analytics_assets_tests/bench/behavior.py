"""The export and the analyses of behavioural events, beside the targets: ``make bench-behavior``.

Belongs here: 100,000 and 1,000,000 made-up events exported, validated and queried, each beside what
was aimed at, and beside a raw COPY of the same rows in the same run.
Does not belong here: what is right (the tests).

Targets are those of the domain's brief, and the tighter ones of this project. Figures of one
machine compare with nothing but each other.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import psycopg2

from analytics_assets import settings
from analytics_assets.domains.behavior.analysis import abab, interrupted_time_series
from analytics_assets.domains.behavior.postgres import source_url
from analytics_assets.domains.behavior.sample import generate
from analytics_assets.domains.behavior.tables import behavioral_events
from analytics_assets.warehouse.audit import audit
from analytics_assets.warehouse.build import Builder
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.catalogue import refresh_catalogue
from analytics_assets.warehouse.lake import open_lake
from analytics_assets.warehouse.session import expose, open_session

DAYS, USERS, RUNS = 56, 200, 100
ITS = """
select cast("timestamp" as date) as day, "experimentPhase" as phase,
    avg("sessionPerformanceScore") as score
from behavior.behavioral_events
where "userId" = ? and "experimentPhase" in ('baseline_1', 'intervention_A_1')
group by all order by day
"""
ABAB = """
select "userId", cast("timestamp" as date) as day, "experimentPhase" as phase,
    avg("sessionPerformanceScore") as score
from behavior.behavioral_events where "experimentPhase" is not null
group by all
"""
# Rows -> what is measured -> target of the brief, and ours.
_TARGETS = {
    100_000: {"export, s": (30, 2)},
    1_000_000: {
        "export, s": (120, 10),
        "validation, s": (15, 1),
        "Parquet, MB": (50, 50),
        "ITS query p95, ms": (500, 50),
        "ABAB query p95, ms": (1000, 100),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="make bench-behavior", description=__doc__.splitlines()[0]
    )
    parser.add_argument("rows", nargs="*", type=int, default=list(_TARGETS))
    parser.add_argument("--export", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.export:
        print(json.dumps(_export()))
        return
    for rows in options.rows:
        # The folder is open to others, because PostgreSQL does not run as root.
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            Path(folder).chmod(0o755)
            os.environ["ANALYTICS_HOME"] = folder
            for name in ("ANALYTICS_LAKE", "BEHAVIOR_SOURCE_URL"):
                os.environ.pop(name, None)
            _bench(rows)


def _bench(rows: int) -> None:
    written = generate(source_url(), users=USERS, days=DAYS, events_a_day=rows / DAYS / USERS)
    copied = _raw_copy()
    found: dict[str, float] = {"raw COPY to a file, s": copied}
    command = [sys.executable, "-m", __spec__.name, "--export"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(process.returncode)
    found |= json.loads(output)
    found["times raw COPY"] = found["export, s"] / copied
    found["peak memory, MB"] = usage.ru_maxrss / 1024
    found |= _queries()
    print(f"\n{written:,} events of {USERS} users in {DAYS} days")
    print(f"{'':<36}{'measured':>10}{'brief':>8}{'ours':>8}")
    for name, value in found.items():
        brief, own = _TARGETS.get(rows, {}).get(name, ("", ""))
        print(f"{name:<36}{value:>10,.2f}{brief:>8}{own:>8}")


def _raw_copy() -> float:
    """Seconds that PostgreSQL and this client take to write all rows into one file, unsorted."""
    url = source_url().replace("+psycopg2", "")
    with (
        closing(psycopg2.connect(url)) as connection,
        connection.cursor() as cursor,
        tempfile.TemporaryFile() as file,
    ):
        started = time.perf_counter()
        cursor.copy_expert("copy behavioral_events to stdout (format csv)", file)
        return time.perf_counter() - started


def _export() -> dict[str, float]:
    """Every day, from the query to the published file; then the same files judged once more."""
    import logging

    config = settings.load()
    snapshot = Snapshot(open_lake(config.lake))
    with open_session(config) as session:
        started = time.perf_counter()
        keys = [behind.partition for behind in snapshot.behind(behavioral_events)]
        looked = time.perf_counter() - started
        builder = Builder(session, snapshot, "bench", logging.getLogger("bench"))
        outcome = builder.build(behavioral_events, keys)
        seconds = time.perf_counter() - started
        assert not outcome.findings
        files = snapshot.files(behavioral_events)
        expose(session, behavioral_events, [file.uri for file in files])
        started = time.perf_counter()
        assert not audit(session, behavioral_events, keys, None).findings
        judged = time.perf_counter() - started
    return {
        "export, s": seconds,
        "of it: looking for changes, s": looked,
        "validation, s": judged,
        "Parquet, MB": sum(file.bytes for file in files) / 1e6,
    }


def _queries() -> dict[str, float]:
    """p95 over the view and over the materialised table, and of the analyses themselves."""
    config = settings.load()
    snapshot = Snapshot(open_lake(config.lake))
    indexed = replace(behavioral_events, indexed=("userId, timestamp", "experimentPhase"))
    found: dict[str, float] = {}
    for table, where in ((behavioral_events, ""), (indexed, ", materialised")):
        started = time.perf_counter()
        refresh_catalogue(config, snapshot, [table])
        if where:
            found["materialising, s"] = time.perf_counter() - started
            found["warehouse.duckdb, MB"] = config.catalogue.stat().st_size / 1e6
        with duckdb.connect(str(config.catalogue), read_only=True) as connection:
            users = connection.execute(
                'select distinct "userId" from behavior.behavioral_events order by 1'
            ).fetchall()

            def its(number: int, connection: Any = connection, users: Any = users) -> Any:
                return connection.execute(ITS, users[number % len(users)]).df()

            def everybody(number: int, connection: Any = connection) -> Any:
                return connection.execute(ABAB).df()

            found[f"ITS query p95{where}, ms"] = _p95(its)
            found[f"ABAB query p95{where}, ms"] = _p95(everybody)
            series = dict(iter(everybody(0).groupby("userId")))
            two = [its(number) for number in range(len(users))]
    frames = list(series.values())
    found["ITS of a user p95, ms"] = _p95(lambda number: _fit(two[number % len(two)]))
    found["ABAB of a user p95, ms"] = _p95(
        lambda number: abab(
            frames[number % len(frames)], time="day", phase="phase", outcome="score"
        )
    )
    return found


def _fit(frame: Any) -> Any:
    start = frame.loc[frame["phase"] == "intervention_A_1", "day"].min()
    return interrupted_time_series(frame, time="day", outcome="score", intervention=start)


def _p95(run: Callable[[int], Any]) -> float:
    """Milliseconds that 95 of 100 runs stay below, after 5 to warm up."""
    seconds = []
    for number in range(RUNS + 5):
        started = time.perf_counter()
        run(number)
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.quantiles(seconds[5:], n=20)[18]


if __name__ == "__main__":
    main()

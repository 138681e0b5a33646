"""A floor and the pipeline side by side: the same files, a home for each, a process for each turn.

Belongs here: running them, what that costs, and whether both hold the same rows.
Does not belong here: the files and what is run on them (``__main__.py``, ``ads.py``).

CPU and memory are those of the process and its children; the PostgreSQL server's are not counted
on either side. Figures of one machine compare with nothing but each other: look at the ratios.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from analytics_assets.core.contracts import quoted, sql_type
from analytics_assets.core.declaration import Table
from analytics_assets.warehouse.lake import Lake

OURS = [str(Path(sys.executable).with_name("analytics-assets")), "materialize"]
# Somebody's real lake and databases, should they be set: a benchmark never writes there.
_REAL = {"ANALYTICS_LAKE", "PRODUCTION_URL", "DAGSTER_PG_URL"}
_STARTED = time.monotonic()


@contextmanager
def folder(keep: bool) -> Iterator[Path]:
    # TMPDIR chooses the disk. Open to others, because PostgreSQL does not run as root.
    made = Path(tempfile.mkdtemp(prefix="bench-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        if keep:
            print(f"kept in {made}")
        else:
            shutil.rmtree(made)


@dataclass(frozen=True)
class Cost:
    wall: float
    cpu: float
    peak: float
    output: str


@dataclass(frozen=True)
class Home:
    """A home of its own: lake, PostgreSQL server and all."""

    folder: Path
    given: Mapping[str, str]

    def run(self, *command: str) -> Cost:
        """Seconds, CPU seconds and peak GB of a fresh process; stops the benchmark if it fails."""
        environment = {name: value for name, value in os.environ.items() if name not in _REAL}
        environment |= {"ANALYTICS_HOME": str(self.folder), **self.given}
        with tempfile.TemporaryFile("w+", dir=self.folder.parent) as log:
            started = time.monotonic()
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.monotonic() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            log.seek(0)
            output = log.read()
        name = " ".join(
            [self.folder.name, *(word.split(".")[-1] for word in command[1:] if word != "-m")]
        )
        if process.returncode:
            raise SystemExit(f"{output[-4000:]}\n{name} ended with {process.returncode}")
        cost = Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6, output)
        say(f"{name}: {cost.wall:.1f} s, CPU {cost.cpu:.1f} s, {cost.peak:.2f} GB")
        return cost


def print_costs(costs: Mapping[str, tuple[Cost, Cost]]) -> None:
    print(f"{'case':<22}{'':<10}{'floor':>10}{'ours':>10}{'ratio':>8}")
    for case, (floor, ours) in costs.items():
        rows = (
            ("wall s", floor.wall, ours.wall),
            ("CPU s", floor.cpu, ours.cpu),
            ("peak GB", floor.peak, ours.peak),
        )
        for unit, theirs, own in rows:
            print(f"{case:<22}{unit:<10}{theirs:>10.2f}{own:>10.2f}{own / theirs:>8.2f}")


def compare(tables: Sequence[Table], floor: Path, ours: Path) -> None:
    """Say whether both hold the same rows: a floor that does less is no comparison."""
    lake = Lake(str(ours / "lake"))
    differ = []
    computed = [table for table in tables if not table.source]
    with duckdb.connect() as session:
        session.execute("set enable_progress_bar = false")
        for table in computed:
            theirs = [str(file) for file in floor.glob(f"lake/{table.name}/*/*.parquet")]
            own = [file.uri for file in lake.files(table)]
            same = _content(session, table, theirs) == _content(session, table, own)
            differ += [] if same else [table.key]
    say(
        f"both hold the same rows in {len(computed) - len(differ)} of {len(computed)} computed"
        f" tables{': not in ' + ', '.join(differ) if differ else ''}"
    )


def _content(
    session: duckdb.DuckDBPyConnection, table: Table, files: list[str]
) -> tuple[int, int | None]:
    """Rows, and the sum of their hashes."""
    if not files:
        return 0, None
    columns = ", ".join(f"cast({quoted(c.name)} as {sql_type(c)})" for c in table.stored_columns)
    ((rows, hashes),) = session.execute(
        f"select count(*), sum(hash({columns})) from read_parquet($1)", [files]
    ).fetchall()
    return rows, hashes


def say(text: str) -> None:
    print(text if "\n" in text else f"[{time.monotonic() - _STARTED:6.0f} s] {text}", flush=True)

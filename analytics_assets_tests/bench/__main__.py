"""The pipeline against the floor, a plain script, on the same made-up files: ``make bench``.

Belongs here: running both in turn, each as a fresh process, and printing what they cost.
Does not belong here: the floor (``floor.py``), queries on production (``queries.py``).

CPU and memory are those of the process and its children; the PostgreSQL server's are not counted
on either side. Figures of one machine compare with nothing but each other: look at the ratios.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from analytics_assets.core.contracts import quoted, sql_type
from analytics_assets.domains.ad_metrics.sample import generate as generate_ads
from analytics_assets.domains.births.sample import STATE_BIRTHS, generate
from analytics_assets.domains.births.tables import TABLES
from analytics_assets.warehouse.lake import Lake

LAST_YEAR = 2024
CHANGED_MONTH, CHANGED_RECORDS = "05", 100
OURS = [str(Path(sys.executable).with_name("analytics-assets")), "materialize"]
FLOOR = [sys.executable, "-m", "analytics_assets_tests.bench.floor"]
QUERIES = [sys.executable, "-m", "analytics_assets_tests.bench.queries"]
# Somebody's real lake and databases, should they be set: a benchmark never writes there.
_REAL = {"ANALYTICS_LAKE", "PRODUCTION_URL", "DAGSTER_PG_URL"}
_STARTED = time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0])
    parser.add_argument("births", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--keep", action="store_true", help="leave the folder for a closer look")
    options = parser.parse_args()
    years = 10 if options.births >= 10_000_000 else 2
    with _folder(options.keep) as folder:
        _bench(folder, options.births, years)


@contextmanager
def _folder(keep: bool) -> Iterator[Path]:
    # TMPDIR chooses the disk. Open to others, because PostgreSQL does not run as root.
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        if keep:
            print(f"kept in {folder}")
        else:
            shutil.rmtree(folder)


def _bench(folder: Path, births: int, years: int) -> None:
    landing = folder / "landing"
    generate_ads(folder / "mixpanel", folder / "meta_ads", days=0)
    (folder / "clinic").mkdir()
    _say(f"generating {births:,} births in {years} years")
    files = generate(
        landing, births=births, states=sorted(STATE_BIRTHS), first_year=LAST_YEAR - years + 1,
        years=years, dbf_years=0,
    )  # fmt: skip
    month = f"{LAST_YEAR}-{CHANGED_MONTH}"
    floor, ours = _Home(folder / "floor", landing), _Home(folder / "ours", landing)
    costs = {"build": (floor.run(*FLOOR, "build"), ours.run(*OURS))}
    _restate(files[-1], month, "3456")
    before = _versions(ours.folder)
    costs["one month restated"] = (floor.run(*FLOOR, "month", month), ours.run(*OURS))
    after = _versions(ours.folder)

    recent = folder / "recent"
    recent.mkdir()
    os.link(files[-1], recent / files[-1].name)
    short = _Home(folder / "short", recent)
    short.run(*OURS)
    _restate(recent / files[-1].name, month, "3457")
    one_year = short.run(*OURS)

    print()
    _print_costs(costs)
    whole = costs["one month restated"][1]
    print(
        f"\none month restated with 1 year of history: {one_year.wall:.1f} s, with {years}:"
        f" {whole.wall:.1f} s, {whole.wall / one_year.wall:.2f} times"
    )
    print(f"\nnew versions after {CHANGED_RECORDS} records of {month} changed:")
    for table, keys in _changed(before, after).items():
        print(f"  {table:<44}{' '.join(keys)}")
    print()
    _say(ours.run(*QUERIES).output)
    _compare(floor.folder, ours.folder)


@dataclass(frozen=True)
class _Cost:
    wall: float
    cpu: float
    peak: float
    output: str


@dataclass(frozen=True)
class _Home:
    """A home of its own: lake, PostgreSQL server and all."""

    folder: Path
    landing: Path

    def run(self, *command: str) -> _Cost:
        """Seconds, CPU seconds and peak GB of a fresh process; stops the benchmark if it fails."""
        environment = {name: value for name, value in os.environ.items() if name not in _REAL}
        environment |= {
            "ANALYTICS_HOME": str(self.folder),
            "SINASC_SOURCE": str(self.landing),
            "ANALYTICS_DOMAINS": "births",
        }
        with tempfile.TemporaryFile("w+", dir=self.landing.parent) as log:
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
        cost = _Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6, output)
        _say(f"{name}: {cost.wall:.1f} s, CPU {cost.cpu:.1f} s, {cost.peak:.2f} GB")
        return cost


def _print_costs(costs: Mapping[str, tuple[_Cost, _Cost]]) -> None:
    print(f"{'case':<22}{'':<10}{'floor':>10}{'ours':>10}{'ratio':>8}")
    for case, (floor, ours) in costs.items():
        rows = (
            ("wall s", floor.wall, ours.wall),
            ("CPU s", floor.cpu, ours.cpu),
            ("peak GB", floor.peak, ours.peak),
        )
        for unit, theirs, own in rows:
            print(f"{case:<22}{unit:<10}{theirs:>10.2f}{own:>10.2f}{own / theirs:>8.2f}")


def _restate(path: Path, month: str, weight: str) -> None:
    """Give the first records of a month another birth weight; all other bytes stay."""
    born = f"{month[5:]}{month[:4]}"
    draft = path.with_name(f".{path.name}")
    with path.open(encoding="ascii", newline="") as old, draft.open("w", newline="") as new:
        header = old.readline()
        new.write(header)
        names = next(csv.reader([header], delimiter=";"))
        date, grams = names.index("DTNASC"), names.index("PESO")
        left = CHANGED_RECORDS
        for line in old:
            if left:
                values = line.split(";")
                if values[date].strip('"')[2:] == born:
                    values[grams] = f'"{weight}"'
                    line, left = ";".join(values), left - 1
            new.write(line)
    os.replace(draft, path)


def _versions(home: Path) -> dict[str, dict[str, str]]:
    """Table -> partition or slice -> the file that holds it, which every new version changes."""
    lake = Lake(str(home / "lake"))
    return {table.key: {file.key: file.uri for file in lake.files(table)} for table in TABLES}


def _changed(
    before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]
) -> dict[str, list[str]]:
    found = {
        table: sorted(key for key, uri in files.items() if before[table].get(key) != uri)
        for table, files in after.items()
    }
    return {table: keys for table, keys in found.items() if keys}


def _compare(floor: Path, ours: Path) -> None:
    """Say whether both hold the same rows: a floor that does less is no comparison."""
    lake = Lake(str(ours / "lake"))
    differ = []
    computed = [table for table in TABLES if not table.source]
    with duckdb.connect() as session:
        session.execute("set enable_progress_bar = false")
        for table in computed:
            columns = ", ".join(
                f"cast({quoted(c.name)} as {sql_type(c)})" for c in table.stored_columns
            )
            theirs = [f"{floor}/lake/{table.name}/*/*.parquet"]
            found = [
                session.execute(
                    f"select count(*), sum(hash({columns})) from read_parquet($1)", [files]
                ).fetchall()
                for files in (theirs, [file.uri for file in lake.files(table)])
            ]
            differ += [table.key] if found[0] != found[1] else []
    _say(
        f"both hold the same rows in {len(computed) - len(differ)} of {len(computed)} computed"
        f" tables{': not in ' + ', '.join(differ) if differ else ''}"
    )


def _say(text: str) -> None:
    print(text if "\n" in text else f"[{time.monotonic() - _STARTED:6.0f} s] {text}", flush=True)


if __name__ == "__main__":
    main()

"""The pipeline against the floor, a plain script, on the same made-up files: ``make bench``.

Belongs here: births, their build and a month of them that is restated.
Does not belong here: running and comparing (``homes.py``), the floor (``floor.py``), queries on
production (``queries.py``).
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from pathlib import Path

from analytics_assets.domains.ad_metrics.sample import generate as generate_ads
from analytics_assets.domains.births.sample import STATE_BIRTHS, generate
from analytics_assets.domains.births.tables import TABLES
from analytics_assets.warehouse.lake import Lake
from analytics_assets_tests.bench.homes import OURS, Home, compare, folder, print_costs, say

LAST_YEAR = 2024
CHANGED_MONTH, CHANGED_RECORDS = "05", 100
FLOOR = [sys.executable, "-m", "analytics_assets_tests.bench.floor"]
QUERIES = [sys.executable, "-m", "analytics_assets_tests.bench.queries"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0])
    parser.add_argument("births", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--keep", action="store_true", help="leave the folder for a closer look")
    options = parser.parse_args()
    years = 10 if options.births >= 5_000_000 else 2
    with folder(options.keep) as made:
        _bench(made, options.births, years)


def _bench(folder: Path, births: int, years: int) -> None:
    landing = folder / "landing"
    generate_ads(folder / "mixpanel", folder / "meta_ads", days=0)
    (folder / "clinic").mkdir()
    say(f"generating {births:,} births in {years} years")
    files = generate(
        landing, births=births, states=sorted(STATE_BIRTHS), first_year=LAST_YEAR - years + 1,
        years=years, dbf_years=0,
    )  # fmt: skip
    month = f"{LAST_YEAR}-{CHANGED_MONTH}"
    floor, ours = _home(folder / "floor", landing), _home(folder / "ours", landing)
    costs = {"build": (floor.run(*FLOOR, "build"), ours.run(*OURS))}
    _restate(files[-1], month, "3456")
    before = _versions(ours.folder)
    costs["one month restated"] = (floor.run(*FLOOR, "month", month), ours.run(*OURS))
    after = _versions(ours.folder)

    recent = folder / "recent"
    recent.mkdir()
    os.link(files[-1], recent / files[-1].name)
    short = _home(folder / "short", recent)
    short.run(*OURS)
    _restate(recent / files[-1].name, month, "3457")
    one_year = short.run(*OURS)

    print()
    print_costs(costs)
    whole = costs["one month restated"][1]
    print(
        f"\none month restated with 1 year of history: {one_year.wall:.1f} s, with {years}:"
        f" {whole.wall:.1f} s, {whole.wall / one_year.wall:.2f} times"
    )
    print(f"\nnew versions after {CHANGED_RECORDS} records of {month} changed:")
    for table, keys in _changed(before, after).items():
        print(f"  {table:<44}{' '.join(keys)}")
    print()
    say(ours.run(*QUERIES).output)
    compare(TABLES, floor.folder, ours.folder)


def _home(folder: Path, landing: Path) -> Home:
    return Home(folder, {"SINASC_SOURCE": str(landing), "ANALYTICS_DOMAINS": "births"})


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


if __name__ == "__main__":
    main()

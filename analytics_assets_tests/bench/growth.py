"""How what is kept and what a plan takes grow with the number of partitions.

    python -m analytics_assets_tests.bench.growth 1 3 9     # years of the toy domain, a sale a day

Prints, for each size: partitions and files of all tables, bytes of their Delta logs and of the
build ledger, and the time of a plan by a process that has read nothing yet, and by one that has.
docs/scale.md says what follows for a hundred times the data.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path

import pyarrow

from analytics_assets.core.declaration import Table
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake
from analytics_assets_tests.toy import Memory, settle, toy_tables

_FIRST = date(2001, 1, 1)


def main(years: Sequence[int]) -> None:
    """Build each size and print what it came to."""
    print(" years  entries   files  logs MB  ledger MB  cold s  warm s")
    for size in years:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["ANALYTICS_HOME"] = folder
            _measure(size, Path(folder, "lake"))


def _measure(years: int, root: Path) -> None:
    memory = Memory()
    for number in range(365 * years):
        day = _FIRST + timedelta(days=number)
        memory.months.setdefault(day.strftime("%Y-%m"), []).append((day, "a", number % 2000))
    tables = toy_tables(memory)
    settle(tables, Lake(str(root)))
    lake = Lake(str(root))
    entries = sum(len(own) for own in Snapshot(lake).ledger.read().values())
    files = sum(len(lake.files(table)) for table in tables)
    logs = _bytes(path for table in tables for path in (root / table.key / "_delta_log").iterdir())
    # Older versions of the ledger go with what the retention has passed; this is what is read.
    ledger = sum(f["size_bytes"] for f in _ledger_files(lake))
    anew = Lake(str(root))
    cold, warm = _planned(anew, tables), _planned(anew, tables)
    print(
        f"{years:>6}{entries:>9,}{files:>8,}{logs / 1e6:>9.2f}{ledger / 1e6:>11.3f}"
        f"{cold:>8.2f}{warm:>8.2f}",
        flush=True,
    )


def _planned(lake: Lake, tables: Sequence[Table]) -> float:
    started = time.monotonic()
    snapshot = Snapshot(lake)
    assert not any(snapshot.behind(table) for table in tables)
    return time.monotonic() - started


def _ledger_files(lake: Lake) -> list[dict[str, int]]:
    current = Snapshot(lake).ledger.log.current()
    assert current
    return pyarrow.table(current.delta.get_add_actions(flatten=True)).to_pylist()


def _bytes(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [1, 3, 9])

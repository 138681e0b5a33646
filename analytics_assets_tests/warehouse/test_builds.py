"""The build ledger under concurrency, and logs that are read on rather than anew."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.ledger import Build, BuildLedger, now


def entry(table: str, partition: str) -> Build:
    return Build(table, partition, "code", {"input": partition}, 1, "run", now())


def test_runs_that_record_at_once_lose_no_entry(tmp_path: Path) -> None:
    """Also when they all find no ledger, and each makes one."""
    for lake in (str(tmp_path / f"lake{n}") for n in range(8)):

        def record(run: int, lake: str = lake) -> None:
            ledger = BuildLedger(Lake(lake))
            for number in range(2):
                ledger.record([entry("toy/sales", f"2020-{run}-{number}")])

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(record, range(3)))
        found = BuildLedger(Lake(lake)).read()["toy/sales"]
        assert sorted(found) == sorted(f"2020-{run}-{n}" for run in range(3) for n in range(2))


def test_entries_of_other_processes_are_seen(tmp_path: Path) -> None:
    ours, theirs = (BuildLedger(Lake(str(tmp_path))) for _ in range(2))
    assert ours.read() == {}
    for partition in ("2020", "2021"):
        theirs.record([entry("toy/sales", partition)])
        assert partition in ours.read()["toy/sales"]


def test_a_lake_made_anew_is_not_mixed_with_the_old_one(tmp_path: Path) -> None:
    ledger = BuildLedger(Lake(str(tmp_path)))
    ledger.record([entry("toy/sales", "2020")])
    assert list(ledger.read()["toy/sales"]) == ["2020"]
    shutil.rmtree(tmp_path / "_builds")
    BuildLedger(Lake(str(tmp_path))).record([entry("toy/sales", "2021")])
    assert list(ledger.read()["toy/sales"]) == ["2021"]

"""What the lake deletes, and what it never does; on real Delta tables."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from analytics_assets import settings
from analytics_assets.core.declaration import Table
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.ledger import BuildLedger
from analytics_assets.warehouse.retention import (
    RetentionError,
    Vacuumed,
    clear_scratch,
    vacuum,
)
from analytics_assets.warehouse.rollback_table import RollbackError, roll_back
from analytics_assets_tests.toy import Memory, rows, settle, toy_tables

LATER = datetime.now(timezone.utc) + timedelta(days=400)
DAY = date(2024, 1, 5)


class Toy:
    """The toy domain, restated again and again; ``moments`` lie after each state."""

    def __init__(self, lake: Lake) -> None:
        self.lake, self.memory = lake, Memory()
        self.tables = toy_tables(self.memory)
        self.moments: list[datetime] = []

    def load(self, *cents: int) -> None:
        for each in cents:
            self.memory.months = {"2024-01": [(DAY, "a", each)]}
            settle(self.tables, self.lake)
            time.sleep(0.02)
            self.moments.append(datetime.now(timezone.utc))
            time.sleep(0.02)

    @property
    def yearly(self) -> Table:
        return self.tables[-1]

    def vacuum(self, since: datetime) -> dict[str, Vacuumed]:
        """Clean up what was not live since a moment, in the far future."""
        return {done.table: done for done in vacuum(self.lake, self.tables, LATER - since, LATER)}


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path / "home"))
    return Lake(settings.load().lake)


@pytest.fixture
def toy(lake: Lake) -> Toy:
    return Toy(lake)


def parquet(lake: Lake, table: Table) -> list[Path]:
    return sorted(Path(lake.uri(table)).glob("*=*/*.parquet"))


def orphan(lake: Lake, table: Table, key: str, age: timedelta) -> Path:
    """What a killed build leaves behind."""
    path = Path(lake.uri(table)) / f"_partition={key}" / "killed.parquet"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"rows")
    moment = time.time() - age.total_seconds()
    os.utime(path, (moment, moment))
    os.utime(path.parent, (moment, moment))
    return path


def test_versions_of_the_retention_stay_and_older_ones_fail_clearly(toy: Toy) -> None:
    toy.load(1, 2, 3, 4)
    before = len(parquet(toy.lake, toy.yearly))
    done = toy.vacuum(toy.moments[1])
    assert (before, len(parquet(toy.lake, toy.yearly))) == (4, 3)
    assert done["toy/agg_yearly"].files == 1
    assert done["toy/agg_yearly"].bytes > 100
    assert rows(toy.lake, toy.yearly)[0][-1] == 4
    roll_back(toy.lake, toy.tables, toy.moments[1], "run")
    assert rows(toy.lake, toy.yearly)[0][-1] == 2
    roll_back(toy.lake, toy.tables, toy.moments[2], "run")
    assert rows(toy.lake, toy.yearly)[0][-1] == 3
    with pytest.raises(RollbackError, match=r"1 of its files are gone .* restore a backup"):
        roll_back(toy.lake, [toy.yearly], 1, "run")


def test_a_version_stays_though_a_checkpoint_forgot_what_it_lost(toy: Toy) -> None:
    """As after months: checkpoints, and a log that is shortened again and again."""
    toy.load(1)
    log = Path(toy.lake.uri(toy.yearly)) / "_delta_log"
    toy.vacuum(toy.moments[0])
    toy.load(2, 3)
    toy.vacuum(toy.moments[1])
    toy.load(4)
    done = toy.vacuum(toy.moments[2])
    assert done["toy/agg_yearly"].log_files > 0
    # There is a checkpoint of the newest version now; the one before must be readable still.
    toy.vacuum(toy.moments[2])
    assert not (log / f"{0:020}.json").exists()
    assert len(parquet(toy.lake, toy.yearly)) == 2
    roll_back(toy.lake, toy.tables, toy.moments[2], "run")
    assert rows(toy.lake, toy.yearly)[0][-1] == 3
    settle(toy.tables, toy.lake)
    assert rows(toy.lake, toy.yearly)[0][-1] == 3
    with pytest.raises(RollbackError, match="has no version 1; it has"):
        roll_back(toy.lake, [toy.yearly], 1, "run")


def test_leftovers_of_killed_builds_go_when_they_are_old(toy: Toy) -> None:
    toy.load(1)
    old = orphan(toy.lake, toy.yearly, "2019", timedelta(days=31))
    beside = orphan(toy.lake, toy.yearly, "2024", timedelta(days=31))
    young = orphan(toy.lake, toy.yearly, "2020", timedelta(days=29))
    new = Path(toy.lake.uri(toy.yearly)) / "_partition=2021"
    new.mkdir()
    now, before = datetime.now(timezone.utc), rows(toy.lake, toy.yearly)
    done = {v.table: v for v in vacuum(toy.lake, toy.tables, timedelta(days=30), now)}
    assert done["toy/agg_yearly"].files == 2
    assert done["toy/fact_sales"].files == 0
    assert not old.exists()
    assert not beside.exists()
    assert young.exists()
    assert new.exists(), "a run may have made it just now"
    assert rows(toy.lake, toy.yearly) == before
    # Deleting from a folder makes it young; it goes the next time.
    toy.vacuum(toy.moments[0] + timedelta(days=1))
    assert not old.parent.exists()


def test_the_build_ledger_is_kept_and_cleaned(toy: Toy) -> None:
    toy.load(1, 2, 3)
    folder = Path(toy.lake.root) / "_builds"
    before, files = BuildLedger(toy.lake).read(), len(list(folder.glob("*=*/*.parquet")))
    assert toy.vacuum(toy.moments[-1])["_builds"].files > 0
    assert BuildLedger(Lake(toy.lake.root)).read() == before
    assert len(list(folder.glob("*=*/*.parquet"))) == len(toy.tables) < files


def test_a_table_with_missing_files_is_left_alone(toy: Toy) -> None:
    toy.load(1, 2)
    (live,) = toy.lake.files(toy.yearly)
    Path(live.uri).unlink()
    before = parquet(toy.lake, toy.yearly)
    with pytest.raises(RetentionError, match="toy/agg_yearly: 1 live files are missing"):
        toy.vacuum(toy.moments[-1])
    assert parquet(toy.lake, toy.yearly) == before


def test_a_long_log_is_read_from_a_checkpoint(toy: Toy) -> None:
    toy.load(1, 2, 3)
    before = rows(toy.lake, toy.yearly)
    toy.vacuum(toy.moments[-1])
    toy.vacuum(LATER)
    log = Path(toy.lake.uri(toy.yearly)) / "_delta_log"
    assert len(list(log.glob("*.json"))) < 3
    assert rows(Lake(toy.lake.root), toy.yearly) == before
    toy.load(7)
    assert rows(toy.lake, toy.yearly)[0][-1] == 7


@pytest.mark.parametrize(("hours", "left"), [(25, 0), (23, 2)])
@pytest.mark.usefixtures("lake")
def test_scratch_is_cleared_of_what_is_old(hours: int, left: int) -> None:
    config, moment = settings.load(), time.time() - hours * 3600
    spill = config.scratch / "duckdb-1" / "spill.tmp"
    spill.parent.mkdir(parents=True)
    draft = config.catalogue.with_name(f".{config.catalogue.name}.1")
    for path in (spill, draft):
        path.write_bytes(b"12345")
    config.catalogue.touch()
    for path in (spill, spill.parent, draft, config.catalogue):
        os.utime(path, (moment, moment))
    found = clear_scratch(config, datetime.now(timezone.utc))
    assert found == ((0, 0) if left else (2, 10))
    assert _there([spill, draft]) == left
    assert config.catalogue.exists()


def _there(paths: Sequence[Path]) -> int:
    return sum(path.exists() for path in paths)

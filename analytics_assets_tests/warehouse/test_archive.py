"""Old partitions leave the lake and come back, and nobody downstream loses a row."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from analytics_assets import settings
from analytics_assets.core.declaration import Table
from analytics_assets.domains.births.tables import TABLES
from analytics_assets.warehouse import archive as module
from analytics_assets.warehouse.archive import (
    Archived,
    ArchiveError,
    archive,
    archived_partitions,
    restore,
)
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.retention import vacuum
from analytics_assets.warehouse.storage import Storage, open_storage
from analytics_assets_tests.toy import Memory, rows, settle, toy_tables

NOW = datetime(2030, 1, 1, tzinfo=timezone.utc)
MONTHS = {
    "2024-01": [(date(2024, 1, 5), "a", 500), (date(2024, 1, 9), "b", 2000)],
    "2024-02": [(date(2024, 2, 5), "c", 1500)],
}
LATE = (date(2024, 1, 20), "a", 1)


class Toy:
    """The toy domain with an archive."""

    def __init__(self, lake: Lake, folder: Path) -> None:
        self.lake, self.folder, self.memory = lake, open_storage(str(folder)), Memory()
        self.tables = toy_tables(self.memory)
        self.as_of = NOW
        self.raw, self.fact, *_ = self.tables
        self.load(MONTHS)

    def load(self, months: dict[str, Any]) -> None:
        self.memory.months = dict(months)
        settle(self.tables, self.lake)

    def archive(self, table: Table, before: str) -> list[Archived]:
        self.as_of += timedelta(days=1)
        return archive(self.lake, self.tables, table, before, self.folder, "run", self.as_of)

    def archive_january(self) -> None:
        self.archive(self.fact, "2024-02-01")
        self.archive(self.raw, "2024-02")

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        return {table.key: rows(self.lake, table) for table in self.tables}

    def downstream(self) -> dict[str, list[tuple[Any, ...]]]:
        return {key: found for key, found in self.rows().items() if "agg_" in key}

    def pending(self) -> list[tuple[str, str]]:
        snapshot = Snapshot(self.lake)
        return [
            (table.key, behind.partition)
            for table in self.tables
            for behind in snapshot.behind(table)
        ]


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path / "home"))
    return Lake(settings.load().lake)


@pytest.fixture
def toy(lake: Lake, tmp_path: Path) -> Toy:
    return Toy(lake, tmp_path / "archive")


def test_what_is_archived_leaves_and_what_was_computed_from_it_stays(toy: Toy) -> None:
    before = toy.rows()
    done = toy.archive(toy.fact, "2024-02-01")
    assert [(archived.partition, archived.rows) for archived in done] == [
        ("2024-01-05", 1),
        ("2024-01-09", 1),
    ]
    assert toy.pending() == []
    # Nothing that it was built from is there any more.
    toy.archive(toy.raw, "2024-02")
    del toy.memory.months["2024-01"]
    assert toy.pending() == []
    assert toy.downstream() == {key: before[key] for key in before if "agg_" in key}
    assert toy.rows()["toy/fact_sales"] == before["toy/fact_sales"][-1:]
    # What is live goes on.
    toy.load({"2024-02": [(date(2024, 2, 5), "c", 1400)]})
    assert rows(toy.lake, toy.tables[3])[-1][-1] == 1400
    assert toy.pending() == []


def test_it_comes_back_as_it_was(toy: Toy) -> None:
    before = toy.rows()
    toy.archive_january()
    # Long after, when the lake has deleted the files.
    list(vacuum(toy.lake, toy.tables, timedelta(0), NOW))
    restore(toy.lake, toy.raw, ["2024-01"], toy.folder, "run")
    assert toy.pending() == []
    restore(toy.lake, toy.fact, ["2024-01-05", "2024-01-09"], toy.folder, "run")
    assert toy.rows() == before
    assert toy.pending() == []
    toy.load(MONTHS | {"2024-01": [*MONTHS["2024-01"], LATE]})
    assert rows(toy.lake, toy.tables[-1])[0][-1] == 4001


def test_late_data_waits_for_what_is_archived_and_then_counts(toy: Toy) -> None:
    before = toy.downstream()
    toy.archive_january()
    toy.load(MONTHS | {"2024-01": [*MONTHS["2024-01"], LATE]})
    assert len(rows(toy.lake, toy.raw)) == 4, "its whole input is there, so it was landed anew"
    assert (toy.downstream(), toy.pending()) == (before, [])
    restore(toy.lake, toy.fact, ["2024-01-05", "2024-01-09"], toy.folder, "run")
    toy.load(toy.memory.months)
    assert rows(toy.lake, toy.tables[-1])[0][-1] == 4001
    # The copy in the archive is kept when the partition is archived again.
    toy.archive(toy.raw, "2024-02")
    assert len(archived_partitions(toy.raw, toy.folder)) == 2
    restore(toy.lake, toy.raw, ["2024-01"], toy.folder, "run")
    assert len(rows(toy.lake, toy.raw)) == 4


def test_nobody_builds_without_what_is_archived(toy: Toy) -> None:
    toy.archive_january()
    snapshot = Snapshot(toy.lake)
    assert snapshot.waiting_for(toy.tables[2], "2024-01") == [
        "toy/fact_sales 2024-01-05",
        "toy/fact_sales 2024-01-09",
    ]
    # A changed declaration waits, too, and is made up for when the rows are back.
    changed = replace(toy.tables[2], sql=f"{toy.tables[2].sql} having true")
    assert [found.partition for found in snapshot.behind(changed)] == ["2024-02"]


@pytest.mark.parametrize(
    ("name", "before", "reason"),
    [
        ("agg_shop_monthly", "2024-02", "is in production"),
        (
            "fact_sales",
            "2024-01-09",
            r"agg_shop_daily 2024-01 is computed from partitions .* before",
        ),
        ("fact_sales", "January", "'January' is no partition"),
    ],
)
def test_what_cannot_be_archived_says_why(toy: Toy, name: str, before: str, reason: str) -> None:
    (table,) = (table for table in toy.tables if table.name == name)
    found = toy.rows()
    with pytest.raises(ArchiveError, match=reason):
        toy.archive(table, before)
    assert (toy.rows(), toy.pending()) == (found, [])


@pytest.mark.parametrize("step", ["_copied", "clear_drafts", "record", "publish"])
def test_killed_at_any_step_it_is_whole_and_completed(
    toy: Toy, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: Any, **__: Any) -> None:
        raise Killed

    before = toy.rows()
    with monkeypatch.context() as patched:
        if step == "publish":
            patched.setattr(Lake, "publish", kill)
        elif step == "record":
            patched.setattr("analytics_assets.warehouse.ledger.BuildLedger.record", kill)
        elif step == "clear_drafts":
            patched.setattr(Storage, step, kill)
        else:
            patched.setattr(module, step, kill)
        with pytest.raises(Killed):
            toy.archive(toy.fact, "2024-02-01")
    assert toy.rows() == before
    assert toy.pending() == []
    toy.archive(toy.fact, "2024-02-01")
    assert len(toy.rows()["toy/fact_sales"]) == 1
    restore(toy.lake, toy.fact, ["2024-01-05", "2024-01-09"], toy.folder, "run")
    assert (toy.rows(), toy.pending()) == (before, [])


def test_what_cannot_be_restored_says_why(toy: Toy) -> None:
    (made, *_) = toy.archive(toy.fact, "2024-02-01")
    assert os.stat(made.folder).st_mode & 0o777 == 0o700
    before = toy.rows()
    for key, reason in (
        ("2024-03-01", "is not in .* there are: 2024-01-05, 2024-01-09"),
        ("2024-02-05", "is not in"),
    ):
        with pytest.raises(ArchiveError, match=reason):
            restore(toy.lake, toy.fact, [key], toy.folder, "run")
    other = replace(toy.fact, columns=toy.fact.columns[:2])
    with pytest.raises(ArchiveError, match="other columns than toy/fact_sales"):
        restore(toy.lake, other, [made.partition], toy.folder, "run")
    (file,) = Path(made.folder).glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(ArchiveError, match="missing or damaged"):
        restore(toy.lake, toy.fact, [made.partition], toy.folder, "run")
    assert toy.rows() == before
    toy.load(MONTHS | {"2024-01": [(date(2024, 1, 9), "b", 1)]})
    with pytest.raises(ArchiveError, match="2024-01-09 is live"):
        restore(toy.lake, toy.fact, ["2024-01-09"], toy.folder, "run")


def test_the_large_tables_of_births_can_be_archived() -> None:
    """Facts and sources: what is personal, large and never promoted."""
    for name in ("raw_births", "fact_births"):
        (table,) = (table for table in TABLES if table.name == name)
        module._refuse_table(TABLES, table, table.period.key(date(2015, 1, 1)))

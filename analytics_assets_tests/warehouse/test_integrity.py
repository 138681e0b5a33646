"""The lake is verified: what is damaged is found, never used, and mended."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.integrity import ASIDE, looked_at
from analytics_assets.warehouse.lake import Lake
from analytics_assets_tests.toy import Memory, rows, settle, toy_tables


class Toy:
    def __init__(self, folder: Path) -> None:
        self.source = Memory()
        self.tables = toy_tables(self.source)
        self.lake = Lake(str(folder))
        self.source.months = {
            "2024-01": [(date(2024, 1, day), "ab"[day % 2], 100 * day) for day in range(1, 6)],
            "2024-02": [(date(2024, 2, 1), "c", 7)],
        }
        assert self.settle() == []
        self.before = self.content()

    def settle(self) -> list[str]:
        """What holds partitions back, of as many passes as the automation needs."""
        found: list[str] = []
        for _ in range(4):
            found += [f.message for f in settle(self.tables, self.lake)]
            self.lake = Lake(self.lake.root)
        return found

    def content(self) -> dict[str, list]:
        return {table.key: rows(self.lake, table) for table in self.tables}

    def table(self, name: str):
        return next(table for table in self.tables if table.key == f"toy/{name}")

    def file(self, name: str) -> Path:
        return Path(self.lake.files(self.table(name))[0].uri)

    def behind(self) -> dict[str, str]:
        snapshot = Snapshot(self.lake)
        return {
            f"{table.key} {found.partition}": found.why
            for table in self.tables
            for found in snapshot.behind(table)
        }

    def late(self) -> None:
        self.source.months["2024-01"].append((date(2024, 1, 20), "a", 5))


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path))
    return Toy(tmp_path / "lake")


def flip(path: Path, count: int = 1) -> None:
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    for place in range(middle, middle + count):
        data[place] ^= 4
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


NAMES = ("raw_sales", "fact_sales", "agg_shop_daily", "agg_yearly")


@pytest.mark.parametrize("damage", [os.remove, cut])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_gone_is_behind_and_mended(
    toy: Toy, name: str, damage: Callable[[Path], None]
) -> None:
    damage(toy.file(name))
    table = toy.table(name)
    partition = {"toy/agg_yearly": "2024", "toy/fact_sales": "2024-01-01"}.get(table.key, "2024-01")
    what = "missing" if damage is os.remove else "damaged"
    assert toy.behind()[f"{table.key} {partition}"] == f"a file of it is {what}"
    assert toy.settle() == []
    assert toy.content() == toy.before
    assert toy.behind() == {}
    assert looked_at(toy.lake, toy.lake.files(table)) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_bit_is_never_read(toy: Toy, name: str) -> None:
    path = toy.file(name)
    flip(path)
    toy.late()
    messages = toy.settle()
    assert all(str(path) in message for message in messages)
    fresh = Lake(f"{toy.lake.root}-fresh")
    assert settle(toy.tables, fresh) == []
    for table in toy.tables:
        assert rows(toy.lake, table) == rows(fresh, table), table.key
    if name != "agg_yearly":
        assert list((Path(toy.lake.root) / ASIDE).rglob(path.name)), "it is kept for people"

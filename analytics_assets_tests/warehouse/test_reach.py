"""Tables that read days around their own, and tables that are computed whole and kept in slices."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg
import pytest

from analytics_assets.automation.plan import _about_to_change
from analytics_assets.automation.staleness import _fed
from analytics_assets.core.columns import Column
from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import DAILY
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.table_assets import warehouse_assets
from analytics_assets_tests.toy import Memory, rows, settle, toy_tables

DAYS = [date(2024, 1, 30) + timedelta(days=n) for n in range(8)]
_DAY = Column("day", "date", "The day.", nullable=False)
_CENTS = Column("cents", "bigint", "Turnover.", nullable=False)


def tables(source: Memory) -> list[Table]:
    """fact (day) -> days (whole, by day) -> the turnover of a day and the two after it."""
    raw, fact, *_ = toy_tables(source)
    days = Table(
        "toy/days",
        "facts",
        "Days with a sale, and whether it is a big one.",
        columns=(_DAY, Column("big", "boolean", "Big.", nullable=False)),
        sql="select sold_on as day, sum(cents) > 500 as big from toy.fact_sales group by all",
        reads=(fact,),
        slice_period=DAILY,
        slice_sql="strftime(day, '%Y-%m-%d')",
    )
    ahead = Table(
        "toy/ahead",
        "facts",
        "Turnover of a day and the two after it.",
        DAILY,
        columns=(_DAY, Column("big", "boolean", "Big.", nullable=False), _CENTS),
        time_column="day",
        sql="select day, big, sum(cents) as cents from toy.days join toy.fact_sales"
        " on sold_on between day and day + 2 group by all",
        reads=(days, fact),
        reach={"toy/fact_sales": (0, 2)},
    )
    return [raw, fact, days, ahead]


@pytest.fixture
def toy(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Memory, list[Table], Lake]]:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path))
    source = Memory()
    for month in ("2024-01", "2024-02"):
        source.months[month] = [(d, "a", 100) for d in DAYS if d.strftime("%Y-%m") == month]
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(folder)
        assert settle(tables(source), lake) == []
        yield source, tables(source), lake


def changed(lake: Lake, table: Table, before: dict[str, str]) -> set[str]:
    after = lake.fingerprints(table)
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


def test_each_day_holds_the_days_that_it_reaches(toy) -> None:
    _, built, lake = toy
    found = {day: cents for day, _, cents in rows(lake, built[-1])}
    assert found == {day: 100 * min(3, len(DAYS) - n) for n, day in enumerate(DAYS)}


def test_a_late_sale_touches_the_days_that_reach_it_and_no_other(toy) -> None:
    source, built, lake = toy
    before = {table.key: lake.fingerprints(table) for table in built}
    source.months["2024-02"].append((DAYS[4], "a", 7))
    settle(built, lake)
    assert changed(lake, built[-1], before["toy/ahead"]) == {d.isoformat() for d in DAYS[2:5]}
    # The whole was computed anew and gave the same: its readers on other days are not behind.
    assert changed(lake, built[2], before["toy/days"]) == set()


def test_a_slice_touches_its_own_day_only(toy) -> None:
    source, built, lake = toy
    before = {table.key: lake.fingerprints(table) for table in built}
    source.months["2024-02"].append((DAYS[7], "a", 5000))
    settle(built[:3], lake)
    assert changed(lake, built[2], before["toy/days"]) == {DAYS[7].isoformat()}
    behind = {found.partition for found in Snapshot(lake).behind(built[-1])}
    assert behind == {d.isoformat() for d in DAYS[5:8]}
    inputs = Snapshot(lake).inputs(built[-1], DAYS[6].isoformat())
    assert [name for name in inputs if "toy/days" in name] == [f"toy/days@{DAYS[6].isoformat()}"]


def test_a_day_waits_for_every_day_that_it_reaches(toy) -> None:
    source, built, lake = toy
    new = DAYS[-1] + timedelta(days=1)
    source.months["2024-02"].append((new, "a", 1))
    settle(built[:1], lake)
    snapshot = Snapshot(lake)
    assert snapshot.waiting_for(built[-1], DAYS[-1].isoformat()) == [f"toy/fact_sales {new}"]
    assert snapshot.waiting_for(built[-1], DAYS[4].isoformat()) == []


def test_what_a_change_may_spread_to_is_not_built_before_it_did(toy) -> None:
    source, built, lake = toy
    source.months["2024-02"].append((DAYS[4], "a", 7))
    snapshot = Snapshot(lake)
    pending = {t.key: {b.partition: b for b in snapshot.behind(t)} for t in built}
    assert _about_to_change(built, pending) == {"toy/days", "toy/ahead"}


def test_a_day_that_is_behind_makes_those_wait_that_reach_it(toy) -> None:
    _, (_, fact, _, ahead), _ = toy
    fed = {day.isoformat() for day in DAYS[2:5]}
    assert _fed(fact, DAYS[4].isoformat(), ahead, set()) == fed


def test_dagster_knows_the_window(toy) -> None:
    _, built, _ = toy
    graph = dg.Definitions(assets=warehouse_assets(built)).resolve_asset_graph()
    node = graph.get(dg.AssetKey(["toy", "ahead"]))
    mapping = node.partition_mappings[dg.AssetKey(["toy", "fact_sales"])]
    assert (mapping.start_offset, mapping.end_offset) == (0, 2)

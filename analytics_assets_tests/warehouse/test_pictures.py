"""What an event of a table says beside its rows: numbers for Dagster's plots, preview and plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from analytics_assets import settings
from analytics_assets.core.columns import Column, Dimension, MeasureList
from analytics_assets.core.contracts import asset_key
from analytics_assets.core.declaration import Check, Table
from analytics_assets.warehouse.lake import open_lake
from analytics_assets.warehouse.table_assets import warehouse_assets
from analytics_assets_tests.toy import EXTREMES, MONTH, Memory, settle, toy_tables

SPLIT = Dimension(
    "split", (Column("split", "text", "S.", nullable=False), Column("part", "text", "P.")), 2
)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Memory:
    """A month with two sales and one with one, in a new home."""
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path))
    memory = Memory()
    memory.months["2024-01"] = [(date(2024, 1, 1), "a", 500), (date(2024, 1, 2), "b", 2000)]
    memory.months["2024-02"] = [(date(2024, 2, 1), "a", 100)]
    return memory


def events(tables: Sequence[Table], table: Table, keys: Sequence[str]) -> dict[str | None, Any]:
    """Partition -> metadata of its event, of a run of these partitions as the UI makes it."""
    settle([other for other in tables if other is not table], open_lake(settings.load().lake))
    job = dg.Definitions(
        assets=warehouse_assets(tables),
        jobs=[dg.define_asset_job("build", selection=[asset_key(table)])],
    ).resolve_job_def("build")
    between = {
        "dagster/asset_partition_range_start": keys[0],
        "dagster/asset_partition_range_end": keys[-1],
    }
    result = job.execute_in_process(instance=dg.DagsterInstance.ephemeral(), tags=between)
    return {
        event.partition: {
            name: value.value
            for name, value in event.step_materialization_data.materialization.metadata.items()
        }
        for event in result.all_events
        if event.event_type_value == "ASSET_MATERIALIZATION"
    }


def test_each_partition_has_a_number_for_the_plots(source: Memory) -> None:
    *finer, yearly = toy_tables(source)
    weekly = finer.pop()
    tables = [*finer, weekly, yearly]
    for table, expected in (
        (finer[2], {"2024-01": 2, "2024-02": 1}),
        (yearly, {"2024": 3}),
    ):
        for _ in ("changed", "unchanged"):
            found = events(tables, table, list(expected))
            assert {key: metadata["sales"] for key, metadata in found.items()} == expected
            assert all(isinstance(m["dagster/partition_row_count"], int) for m in found.values())


def test_a_table_without_measures_has_its_rows(source: Memory) -> None:
    tables = toy_tables(source)
    found = events(tables, tables[1], ["2024-01-01", "2024-01-02"])
    assert [metadata["dagster/partition_row_count"] for metadata in found.values()] == [1, 1]
    assert all("sales" not in metadata for metadata in found.values())


def test_the_measure_is_one_that_adds_up(source: Memory) -> None:
    measures = MeasureList((EXTREMES.measures[3], EXTREMES.measures[2]))
    daily = toy_tables(source, measures)[:3]
    found = events(daily, daily[2], ["2024-01", "2024-02"])
    assert [metadata["cents"] for metadata in found.values()] == [2500, 100]
    assert "dearest" not in found["2024-01"]
    assert "2,500" in found["2024-02"]["plot of cents"]


def test_a_table_that_counts_all_rows_more_than_once_says_the_total_once(source: Memory) -> None:
    raw, fact, daily, *_ = toy_tables(source)
    assert daily.sql
    split = replace(
        daily,
        key="toy/agg_split",
        grain=(*daily.grain, SPLIT),
        each=("split",),
        sql=f"select *, split, 'all' as part from ({daily.sql}) cross join"
        " (select unnest(['weekday', 'price']) as split)",
    )
    found = events([raw, fact, split], split, ["2024-01", "2024-02"])
    assert [metadata["sales"] for metadata in found.values()] == [2, 1]
    own = Check("adds_up", "A.", "select * from toy.agg_split where false", "Mend it.")
    mixed = replace(split, each=(), measured_from=None, checks=(own,), proven_by=("adds_up",))
    above = replace(
        toy_tables(source)[3], key="toy/agg_above", rollup_of=mixed, grain=(MONTH,), parts_of=None
    )
    for table in (mixed, above):
        found = events([raw, fact, mixed, above], table, ["2024-01", "2024-02"])
        assert found
        assert not [m for m in found.values() if "sales" in m or "plot of sales" in m]


def test_a_check_says_what_becomes_of_what_fails(source: Memory) -> None:
    """Beside Dagster's words for a check that stops no run: "non-blocking"."""
    raw, fact, daily, *_ = toy_tables(source)
    sql = "select * from toy.agg_shop_daily where false"
    checks = (
        Check("holds", "Sales are few.", sql, "Mend it."),
        Check("warns", "Sales are many", sql, "Look at it.", blocking=False),
    )
    assets = warehouse_assets([raw, fact, replace(daily, checks=checks)])
    said = {
        spec.name: str(spec.description)
        for one in assets
        for spec in one.check_specs
        if spec.asset_key == asset_key(daily)
    }
    keeps, goes = "What fails keeps the rows it had", "A warning: what fails goes on, too."
    assert {name for name, text in said.items() if keeps in text} == {
        "contract", "reconciles", "holds",
    }  # fmt: skip
    assert {name for name, text in said.items() if goes in text} == {"warns"}
    assert said["warns"] == f"Sales are many. {goes}"
    assert "not published" not in " ".join(said.values())


def test_a_picture_that_cannot_be_drawn_is_a_word(
    source: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise TypeError("a value")

    monkeypatch.setattr("analytics_assets.warehouse.pictures.plot_as_markdown", broken)
    tables = toy_tables(source)
    shown = events(tables, tables[2], ["2024-01", "2024-02"])["2024-02"]
    assert shown["preview"] == "cannot be drawn (TypeError)"
    assert shown["sales"] == 1

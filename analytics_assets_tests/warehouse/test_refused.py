"""A refused partition holds up what is computed from it alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analytics_assets import settings
from analytics_assets.core.columns import Column
from analytics_assets.core.declaration import Table
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.refused import missing
from analytics_assets_tests.toy import Memory, Sale, rows, settle, toy_tables


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path))
    return Lake(settings.load().lake)


def _whole(fact: Table) -> Table:
    return Table(
        "toy/dim_shop",
        "dimensions",
        "Shops and what they sold.",
        columns=(
            Column("shop", "text", "The shop.", nullable=False),
            Column("cents", "bigint", "All of it.", "cents"),
        ),
        sql="select shop, cast(sum(cents) as bigint) as cents from toy.fact_sales group by all",
        reads=(fact,),
    )


def test_a_table_without_partitions_is_built_from_what_is_live(lake: Lake) -> None:
    source = Memory()
    source.months = {"2024-01": [_sale("2024-01-05", 7)], "2024-02": [_sale("2024-02-05", 8)]}
    source.broken = {"2024-02"}
    raw, fact, *_ = toy_tables(source)
    fact = replace(fact, period=raw.period, slice_sql=None, reads=(raw,))
    whole = _whole(fact)
    settle([raw], lake)
    # Of the month that was never tried it waits: it is about to be built.
    assert Snapshot(lake).waiting_for(whole, "all") == ["toy/fact_sales 2024-01"]
    settle([fact, whole], lake)
    assert rows(lake, whole) == [("a", 7)]
    assert missing(Snapshot(lake), whole, "all") == ["toy/raw_sales 2024-02"]
    source.broken = set()
    source.months["2024-02"] = [_sale("2024-02-05", 9)]
    settle([raw, fact, whole], lake)
    assert rows(lake, whole) == [("a", 16)]
    assert missing(Snapshot(lake), whole, "all") == []


def _sale(day: str, cents: int) -> Sale:
    return day, "a", cents


@pytest.mark.parametrize("without", [(), ("other_sales",)])
def test_a_month_goes_without_the_refused_one_of_another_table(
    lake: Lake, without: tuple[str, ...]
) -> None:
    good, bad = Memory(), Memory()
    good.months = bad.months = {"2024-01": [_sale("2024-01-05", 7)]}
    bad.broken = {"2024-01"}
    raw = toy_tables(good)[0]
    other = replace(raw, key="toy/other_sales", source=bad)
    both = Table(
        "toy/both",
        "facts",
        "Of both.",
        raw.period,
        columns=(Column("cents", "integer", "Price.", "cents"), raw.columns[0]),
        time_column="sold_on",
        sql="select cents, sold_on from toy.raw_sales union all"
        " select cents, sold_on from toy.other_sales",
        reads=(other, raw),
        goes_without=without,
    )
    settle([raw, other, both], lake)
    assert [cents for cents, _ in rows(lake, both)] == ([7] if without else [])

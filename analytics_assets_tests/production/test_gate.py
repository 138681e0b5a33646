"""Which change of a partition in production somebody has to confirm."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets import settings
from analytics_assets.core.columns import Column
from analytics_assets.core.declaration import Publish, Table
from analytics_assets.core.partitions import MONTHLY
from analytics_assets.production.review import Change
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.toy import EXTREMES, Memory, settle, toy_tables
from analytics_assets_tests.workspace import Workspace, promote

AGGREGATE = toy_tables(Memory())[2]
DIMENSION = Table(
    "toy/dim_shop",
    "dimensions",
    "Shops.",
    columns=(Column("shop", "text", "The shop.", nullable=False),),
    sql="select 'a' as shop",
    unique=("shop",),
    publish=Publish(),
)
LIST = replace(DIMENSION, layer="aggregates")


def change(**totals: tuple[int, int]) -> Change:
    return Change("2024-01", 0, 0, 1, totals)


@given(st.integers(1, 10_000), st.integers(1, 500), st.floats(1, 50))
def test_what_grows_as_all_that_is_counted_does_is_no_change_of_its_own(
    sales: int, big: int, growth: float
) -> None:
    """A year to date, month by month: the twins grow as the births do."""
    after = round(sales * growth)
    told = change(sales=(sales, after), big_sales=(big, round(big * after / sales)))
    assert told.largest(AGGREGATE)[1] != "big_sales"


def test_a_measure_that_rises_eightfold_while_all_rise_sixfold_is_usual() -> None:
    told = change(sales=(100, 450), big_sales=(50, 400))
    assert told.largest(AGGREGATE) == (350 / 450, "sales")


def test_a_measure_that_vanishes_is_named_with_what_it_is_judged_by() -> None:
    told = change(sales=(1000, 1100), big_sales=(400, 0))
    assert told.largest(AGGREGATE) == (1.0, "big_sales")
    assert told.told(AGGREGATE, "big_sales") == (
        "big_sales would go from 400 to 0, with sales from 1,000 to 1,100"
    )


@given(st.integers(0, 10**6), st.integers(-29, 29))
def test_small_numbers_hold_nothing(before: int, more: int) -> None:
    """A day whose only row is taken back, or of which there are two where there was one."""
    days = (Column("day", "date", "A day.", nullable=False),)
    daily = replace(LIST, period=MONTHLY, time_column="day", columns=days, unique=("day",))
    assert change(rows=(before, max(0, before + more))).largest(daily)[0] == 0


def test_a_table_without_partitions_is_never_left_empty_unseen() -> None:
    assert change(rows=(5, 0)).largest(DIMENSION) == (1.0, "rows")


@given(st.integers(1, 1000), st.integers(1, 10**6))
def test_a_dimension_may_grow_and_not_shrink(before: int, more: int) -> None:
    assert change(rows=(before, before + more)).largest(DIMENSION)[0] == 0
    assert change(rows=(before + 1000, before)).largest(DIMENSION)[0] > 0
    assert change(rows=(before, before + 1000)).largest(LIST)[0] > 0


def test_a_greatest_value_that_falls_or_rises_is_no_total_that_anybody_confirms(
    workspace: Workspace, engine: sa.Engine
) -> None:
    """One dear sale more or less moves a maximum as far as it likes."""
    source = Memory()
    source.months = {"2024-01": [(date(2024, 1, day), "a", 500) for day in range(1, 31)]}
    tables = toy_tables(source, EXTREMES)
    for dearest in (3_000, 501):
        source.months["2024-01"][0] = (date(2024, 1, 1), "a", dearest)
        assert settle(tables, workspace.lake) == []
        with open_session(settings.load()) as session:
            now = Snapshot(workspace.lake)
            promote(engine, session, now, tables[3], ["2024-01"], "run", gate_percent=80)
        with engine.connect() as connection:
            shown = connection.scalar(sa.text("select dearest from toy.agg_shop_monthly"))
        assert shown == dearest

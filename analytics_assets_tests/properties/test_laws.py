"""Laws: whatever arrives in whatever order, the tables are those of one full build."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_assets.warehouse.lake import Lake
from analytics_assets_tests.toy import Memory, Sale, rows, settle, toy_tables

DAYS = [date(2023, 12, 28) + timedelta(days=n) for n in range(0, 70, 3)]
sale = st.tuples(
    st.one_of(st.none(), st.sampled_from(DAYS)), st.sampled_from("abc"), st.integers(0, 3000)
)
arrivals = st.lists(st.lists(sale, max_size=12), min_size=1, max_size=4)


@pytest.fixture(autouse=True, scope="module")
def _home(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANALYTICS_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def by_month(sales: list[Sale]) -> dict[str, list[Sale]]:
    """As a source would hold them; sales without a day lie with December."""
    months = defaultdict(list)
    for one in sales:
        months[(one[0] or DAYS[0]).strftime("%Y-%m")].append(one)
    return dict(months)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(arrivals)
def test_incremental_is_full_rebuild(batches: list[list[Sale]]) -> None:
    """Each batch restates what is there; months may shrink, grow, appear or become empty."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        source = Memory()
        tables = toy_tables(source)
        lake = Lake(one)
        for batch in batches:
            # A source file that is gone takes nothing away, so months stay, emptied.
            source.months = {month: [] for month in source.months} | by_month(batch)
            assert settle(tables, lake) == []
        fresh = Lake(other)
        assert settle(tables, fresh) == []
        for table in tables:
            assert rows(lake, table) == rows(fresh, table), table.key
            assert lake.fingerprints(table) == fresh.fingerprints(table), table.key
        assert settle(tables, lake) == []


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(sale, min_size=1, max_size=30), st.data())
def test_only_what_changed_gets_a_new_version(sales: list[Sale], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Memory()
        tables = toy_tables(source)
        lake = Lake(folder)
        source.months = by_month(sales)
        settle(tables, lake)
        before = {t.key: {f.key: f.uri for f in lake.files(t)} for t in tables}
        which = data.draw(st.integers(0, len(sales) - 1))
        day, shop, cents = sales[which]
        sales[which] = (day, shop, cents + 7)
        source.months = by_month(sales)
        settle(tables, lake)
        touched = {
            t.key: {f.key for f in lake.files(t) if before[t.key].get(f.key) != f.uri}
            for t in tables
        }
        # The source was given rows without a day as a slice of their own: their month.
        expected = day.isoformat() if day else DAYS[0].strftime("%Y-%m")
        assert touched["toy/raw_sales"] == {expected}
        assert touched["toy/fact_sales"] == ({day.isoformat()} if day else set())
        assert touched["toy/agg_shop_monthly"] == ({f"{day:%Y-%m}"} if day else set())
        assert touched["toy/agg_yearly"] == ({f"{day:%Y}"} if day else set())


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(sale, max_size=30))
def test_every_rollup_is_its_finer_table(sales: list[Sale]) -> None:
    """Against sums made here, in plain Python."""
    with tempfile.TemporaryDirectory() as folder:
        source = Memory()
        raw, fact, daily, monthly, weekly, yearly = toy_tables(source)
        lake = Lake(folder)
        source.months = by_month(sales)
        settle([raw, fact, daily, monthly, weekly, yearly], lake)
        known = [(day, shop, cents) for day, shop, cents in sales if day]

        def sums(key):
            found: dict[tuple, list[int]] = defaultdict(lambda: [0, 0, 0])
            for day, shop, cents in known:
                cell = found[key(day, shop)]
                cell[0] += 1
                cell[1] += cents > 1000
                cell[2] += cents
            return sorted((*k, *v) for k, v in found.items())

        assert rows(lake, daily) == sums(lambda day, shop: (day, shop))
        assert rows(lake, monthly) == sums(lambda day, shop: (day.year, day.month, shop))
        assert rows(lake, weekly) == sums(lambda day, shop: (day - timedelta(day.weekday()),))
        assert rows(lake, yearly) == sums(lambda day, shop: (day.year,))

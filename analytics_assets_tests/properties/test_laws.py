"""Laws: whatever arrives in whatever order, the tables are those of one full build."""

from __future__ import annotations

import logging
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from analytics_assets import settings as project
from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import YEARLY
from analytics_assets.production import server
from analytics_assets.production.promotion import production_engine
from analytics_assets.production.release import release
from analytics_assets.warehouse.build import Builder
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake, partition_of
from analytics_assets.warehouse.rollback_table import roll_back
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.toy import (
    EXTREMES,
    SHOP,
    YEAR,
    Memory,
    Sale,
    rows,
    settle,
    toy_tables,
)
from analytics_assets_tests.workspace import Workspace

DAYS = [date(2023, 12, 28) + timedelta(days=n) for n in range(0, 70, 3)]
sale = st.tuples(
    st.one_of(st.none(), st.sampled_from(DAYS)), st.sampled_from("abc"), st.integers(0, 3000)
)
arrivals = st.lists(st.lists(sale, max_size=12), min_size=1, max_size=4)


@pytest.fixture(autouse=True, scope="module")
def production(module_workspace: Workspace) -> Iterator[sa.Engine]:
    with production_engine(server.urls(project.load()).promoter) as engine:
        yield engine


def by_month(sales: list[Sale]) -> dict[str, list[Sale]]:
    """As a source would hold them; sales without a day lie with December."""
    months = defaultdict(list)
    for one in sales:
        months[(one[0] or DAYS[0]).strftime("%Y-%m")].append(one)
    return dict(months)


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
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


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
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


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(sale, max_size=30))
def test_every_rollup_is_its_finer_table(sales: list[Sale]) -> None:
    """Against sums made here, in plain Python."""
    with tempfile.TemporaryDirectory() as folder:
        source = Memory()
        raw, fact, daily, monthly, weekly, yearly = toy_tables(source)
        lake = Lake(folder)
        source.months = by_month(sales)
        settle([raw, fact, daily, monthly, weekly, yearly], lake)
        facts = [one for one in sales if one[0]]
        assert_rollups_are_sums(
            {table.key: rows(lake, table) for table in (daily, monthly, weekly, yearly)}
            | {"toy/fact_sales": facts}
        )


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(arrivals)
@example([[(DAYS[1], "a", 2900), (DAYS[2], "a", 5)], [(DAYS[1], "a", 7), (DAYS[2], "a", 5)]])
def test_extremes_are_those_of_the_facts_by_any_path(batches: list[list[Sale]]) -> None:
    """Each batch restates what is there, so a maximum may fall, and come to be of nothing."""
    with tempfile.TemporaryDirectory() as folder:
        source = Memory()
        tables = toy_tables(source, EXTREMES)
        _, _, daily, monthly, weekly, yearly = tables
        shops = replace(monthly, key="toy/agg_shop_yearly", period=YEARLY, grain=(YEAR, SHOP))
        of_days = replace(yearly, key="toy/agg_of_days", rollup_of=daily)
        of_shops = replace(yearly, key="toy/agg_of_shops", rollup_of=shops)
        lake = Lake(folder)
        for batch in batches:
            source.months = {month: [] for month in source.months} | by_month(batch)
            assert settle([*tables, shops, of_days, of_shops], lake) == []
            facts = [one for one in batch if one[0]]
            for table, key in (
                (daily, lambda day, shop: (day, shop)),
                (monthly, lambda day, shop: (day.year, day.month, shop)),
                (weekly, lambda day, shop: (day - timedelta(day.weekday()),)),
                (shops, lambda day, shop: (day.year, shop)),
                *((one, lambda day, shop: (day.year,)) for one in (yearly, of_days, of_shops)),
            ):
                assert rows(lake, table) == extremes(facts, key), table.key


def extremes(facts: Sequence[tuple], key: Any) -> list[tuple]:
    """What ``EXTREMES`` declares, by key, in plain Python."""
    prices: dict[tuple, list[int]] = defaultdict(list)
    for day, shop, cents in facts:
        prices[key(day, shop)].append(cents)
    found = []
    for cell, own in prices.items():
        big = [cents for cents in own if cents > 1000]
        dollars = Decimal(max(own) / 300).quantize(Decimal("0.0001"))
        counted = (len(own), len(big), sum(own))
        found.append((*cell, *counted, max(own), min(big, default=None), 1000 - min(own), dollars))
    return sorted(found, key=lambda row: row[: len(row) - 7])


# ---- production, and people who take something back ---------------------------------------------

loads = st.lists(st.lists(sale, max_size=8), min_size=1, max_size=4)
# What can happen between two nights.
event = st.one_of(
    st.tuples(st.just("arrive"), st.lists(sale, min_size=1, max_size=6)),
    st.tuples(st.just("restate"), st.lists(sale, max_size=10)),
    st.tuples(st.just("delete"), st.sampled_from(DAYS)),
    st.tuples(st.just("repeat"), st.none()),
    st.tuples(st.just("roll back"), st.integers(0, 3)),
)


def send(engine: sa.Engine, tables: Sequence[Table], lake: Lake) -> None:
    """Release all that production should have otherwise."""
    with open_session(project.load()) as session:
        release(engine, session, Snapshot(lake), tables, "test")


def promoted_keys(engine: sa.Engine, table: Table) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("ledger", schema="promotion"):
            return []
        entries = connection.execute(
            sa.text(
                "select distinct on (partition) partition, fingerprint from promotion.ledger"
                " where table_name = :name order by partition, id desc"
            ),
            {"name": table.key},
        )
        return [(row.partition, row.fingerprint) for row in entries if row.fingerprint]


def emptied(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        for schema in ("toy", "toy_store", "promotion"):
            connection.execute(sa.text(f"drop schema if exists {schema} cascade"))


def shown(engine: sa.Engine, table: Table) -> list[tuple[Any, ...]]:
    """Rows of a table as readers of production see them, in the order of ``rows``."""
    names = ", ".join(column.name for column in table.stored_columns)
    places = ", ".join(str(n + 1) for n in range(len(table.stored_columns)))
    with engine.connect() as connection:
        found = connection.execute(
            sa.text(f"select {names} from {table.sql_name} order by {places}")
        )
        return [tuple(row) for row in found]


def assert_production_is_warehouse(engine: sa.Engine, tables: Sequence[Table], lake: Lake) -> None:
    for table in tables:
        if table.publish:
            assert shown(engine, table) == rows(lake, table), table.key
            assert dict(promoted_keys(engine, table)) == lake.fingerprints(table), table.key


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(loads, st.randoms(use_true_random=False))
def test_order_and_splitting_of_arrivals_do_not_matter(
    production: sa.Engine, batches: list[list[Sale]], random: Any
) -> None:
    """One load after another, each repeated, or all at once in another order."""
    everything = [one for batch in batches for one in batch]
    source = Memory()
    tables = toy_tables(source)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        emptied(production)
        lake, so_far = Lake(one), []
        for batch in batches:
            so_far += batch
            source.months = by_month(so_far)
            assert settle(tables, lake) == []
            assert settle(tables, lake) == []
            send(production, tables, lake)
        assert_production_is_warehouse(production, tables, lake)
        assert_rollups_are_sums({table.key: rows(lake, table) for table in tables})
        random.shuffle(everything)
        source.months = by_month(everything)
        at_once = Lake(other)
        assert settle(tables, at_once) == []
        for table in tables[1:]:  # raw_sales keeps the place in the source, which differs
            assert rows(lake, table) == rows(at_once, table), table.key
            assert lake.fingerprints(table) == at_once.fingerprints(table), table.key
        send(production, tables, at_once)
        assert_production_is_warehouse(production, tables, at_once)


_many_events = given(st.lists(event, min_size=2, max_size=5))
_unhurried = {"deadline": None, "suppress_health_check": list(HealthCheck)}


# Random ones are tried by `make test-slow`.
@settings(phases=[Phase.explicit], **_unhurried)
@example(
    events=[
        ("repeat", None),
        ("roll back", 1),
        ("restate", [(date(2024, 2, 26), "b", 559)]),
        ("roll back", 2),
    ]
)
@example(events=[("arrive", [(DAYS[2], "a", 7)]), ("roll back", 0), ("delete", DAYS[5])])
@_many_events
def test_whatever_happens_all_agree(production: sa.Engine, events: list[tuple[str, Any]]) -> None:
    all_agree(production, events)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(max_examples=40, **_unhurried)
@_many_events
def test_whatever_happens_all_agree_in_many_examples(
    production: sa.Engine, events: list[tuple[str, Any]]
) -> None:
    all_agree(production, events)


def all_agree(production: sa.Engine, events: list[tuple[str, Any]]) -> None:
    """After each event rollups are sums of the live facts and production is the warehouse; what
    people took back is as it was then; and materialising it by hand is a full rebuild."""
    source, sales = Memory(), [(DAYS[1], "a", 5), (DAYS[5], "b", 1500)]
    tables = toy_tables(source)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        emptied(production)
        lake = Lake(one)
        past: list[tuple[datetime, dict[str, list[tuple]]]] = []
        for what, given_ in [("repeat", None), *events]:
            if what == "arrive":
                sales = sales + given_
            elif what == "restate":
                sales = given_
            elif what == "delete":
                sales = [one for one in sales if one[0] != given_]
            source.months = {month: [] for month in source.months} | by_month(sales)
            if what == "roll back":
                moment, then = past[given_ % len(past)]
                roll_back(lake, tables, moment, "person")
                assert {table.key: rows(lake, table) for table in tables} == then
            assert settle(tables, lake) == []
            send(production, tables, lake)
            now = {table.key: rows(lake, table) for table in tables}
            if what == "roll back":
                assert now == then
            past.append((datetime.now(timezone.utc), now))
            assert_rollups_are_sums(now)
            assert_production_is_warehouse(production, tables, lake)
        by_hand(tables, lake)
        fresh = Lake(other)
        assert settle(tables, fresh) == []
        for table in tables:
            assert rows(lake, table) == rows(fresh, table), table.key
            assert lake.fingerprints(table) == fresh.fingerprints(table), table.key


def by_hand(tables: Sequence[Table], lake: Lake) -> None:
    """Materialise all partitions of all tables, as a person would."""
    with open_session(project.load()) as session:
        for table in tables:
            snapshot = Snapshot(lake)
            live = {partition_of(table, key) for key in lake.fingerprints(table)}
            keys = sorted(live | set(snapshot.candidates(table)))
            outcome = Builder(session, snapshot, "person", logging.getLogger("toy")).build(
                table, keys
            )
            assert not outcome.failed()


def assert_rollups_are_sums(now: dict[str, list[tuple]]) -> None:
    facts = now["toy/fact_sales"]
    for name, key in (
        ("agg_shop_daily", lambda day, shop: (day, shop)),
        ("agg_shop_monthly", lambda day, shop: (day.year, day.month, shop)),
        ("agg_weekly", lambda day, shop: (day - timedelta(day.weekday()),)),
        ("agg_yearly", lambda day, shop: (day.year,)),
    ):
        assert now[f"toy/{name}"] == sums(facts, key), name


def sums(facts: Sequence[tuple], key: Any) -> list[tuple]:
    """Sales, big sales and cents by key, in plain Python."""
    found: dict[tuple, list[int]] = defaultdict(lambda: [0, 0, 0])
    for day, shop, cents in facts:
        cell = found[key(day, shop)]
        cell[0] += 1
        cell[1] += cents > 1000
        cell[2] += cents
    return sorted((*k, *v) for k, v in found.items())

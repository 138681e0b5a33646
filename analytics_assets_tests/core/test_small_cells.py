"""Small cells of a toy domain: whatever is sold, subtraction recovers none of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_assets import settings as environment
from analytics_assets.core.columns import Column, DeclarationError
from analytics_assets.core.contracts import sql_type
from analytics_assets.core.declaration import Publish, Table
from analytics_assets.core.partitions import WEEKLY, YEARLY
from analytics_assets.core.rollups import build_sql
from analytics_assets.core.small_cells import protect
from analytics_assets.production import server
from analytics_assets.production.promotion import production_engine
from analytics_assets.production.release_assets import production_assets
from analytics_assets.production.standing import promoted
from analytics_assets.warehouse.binding import bind
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.expectations import expectation_names
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.reader import Attack, Knowledge, Of, Published
from analytics_assets_tests.toy import SALES, Memory, Sale, rows, settle, toy_tables
from analytics_assets_tests.workspace import Workspace, promote

K = 3
DAYS = [date(2023, 12, 20) + timedelta(days=n) for n in range(0, 40, 2)]
few = st.tuples(st.sampled_from(DAYS), st.sampled_from("abc"), st.sampled_from([500, 1500]))
many = st.tuples(few, st.integers(1, 9)).map(lambda pair: [pair[0]] * pair[1])
sales = st.lists(many, min_size=1, max_size=25).map(
    lambda lists: [sale for one in lists for sale in one]
)


def with_threshold(tables: Sequence[Table]) -> list[Table]:
    """The toy tables, all that are promoted with a threshold, and what comes of that."""
    done: dict[str, Table] = {}
    for table in tables:
        done[table.key] = replace(
            table,
            publish=table.publish and replace(table.publish, threshold=K),
            rollup_of=table.rollup_of and done[table.rollup_of.key],
            reads=tuple(done[read.key] for read in table.reads),
            measured_from=table.measured_from and done[table.measured_from.key],
        )
    return list(protect(list(done.values())))


def built(tables: Sequence[Table], sales: Sequence[Sale]) -> duckdb.DuckDBPyConnection:
    """All tables in one session, without a lake: the rows are the same, and it is fast."""
    session = duckdb.connect()
    session.execute("create schema toy")
    session.execute("create table toy.fact_sales (sold_on date, shop varchar, cents integer)")
    session.executemany("insert into toy.fact_sales values (?, ?, ?)", sales)
    for table in tables:
        if table.reads_itself:
            columns = ", ".join(f"{c.name} {sql_type(c)}" for c in table.stored_columns)
            session.execute(f"create table {table.sql_name} ({columns})")
        if table.layer == "aggregates":
            # The lake adds its partition to what is read.
            session.execute(
                f"create or replace table {table.sql_name} as"
                f" select *, {table.partition_sql} as _partition from ({build_sql(table)})"
            )
    return session


_YEARLY = ("year", "make_date(year, 1, 1)")
KNOWN = Knowledge(
    "toy",
    {
        "agg_shop_daily": Of("shop", ("shop",), "day", "day"),
        "agg_shop_monthly": Of("shop", ("shop",), "month", "make_date(year, month, 1)"),
        "agg_weekly": Of("whole", (), "week", "week"),
        "agg_yearly": Of("whole", (), *_YEARLY),
    },
    ("sales", "big_sales", "cents"),
    "sales",
    [("big_sales", "sales")],
    ranges={"cents": ("sales", 500, 1500)},
)


def truth(session: duckdb.DuckDBPyConnection) -> Published:
    """All cells that there can be: a row that is missing counts none, or is withheld."""
    found = Published(KNOWN, lambda query: session.execute(query).fetchall())
    days = [date(2023, 12, 1) + timedelta(n) for n in range(62)]
    for shop in "abc":
        found.parents["shop", (shop,)] = ("whole", ())
        for day in days:
            found.cells.setdefault(("shop", (shop,), "day", day), np.zeros(3))
            month = ("shop", (shop,), "month", day.replace(day=1))
            found.cells.setdefault(month, np.zeros(3))
    for day in days:
        for time, first in (
            ("week", day - timedelta(day.weekday())),
            ("year", date(day.year, 1, 1)),
        ):
            found.cells.setdefault(("whole", (), time, first), np.zeros(3))
    return found


def recovered(session: duckdb.DuckDBPyConnection, seen: Published) -> list:
    """Small cells that are withheld and can be computed."""
    return Attack(seen, truth(session), [2023, 2024], K).recovered()


def public(session: duckdb.DuckDBPyConnection) -> Published:
    return Published(KNOWN, lambda query: session.execute(f"{query}_public").fetchall())


def sold(sales: list[Sale]) -> Memory:
    source = Memory()
    for sale in sales:
        source.months.setdefault(f"{sale[0]:%Y-%m}", []).append(sale)
    return source


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(sales)
def test_subtraction_recovers_no_small_cell(sales: list[Sale]) -> None:
    tables = with_threshold(toy_tables(Memory()))
    with built(tables, sales) as session:
        seen, real = public(session), truth(session)
        assert not recovered(session, seen)
        for name, values in seen.cells.items():
            shown = ~np.isnan(values)
            assert np.array_equal(values[shown], real.cells[name][shown])
            assert not np.any((values[:2] > 0) & (values[:2] < K))
        for table in tables:
            for check in table.checks:
                assert not session.execute(check.sql).fetchall(), check.name


JANUARY = [
    *[(date(2024, 1, 2), "a", 500)] * 9, *[(date(2024, 1, 3), "a", 1500)] * 2,
    *[(date(2024, 1, 2), "b", 500)] * 6, *[(date(2024, 1, 3), "b", 1500)] * 7,
    *[(date(2024, 1, 2), "c", 500)] * 8, *[(date(2024, 1, 3), "c", 1500)] * 8,
]  # fmt: skip


def test_the_attack_recovers_what_is_not_covered() -> None:
    """Without the cells that are withheld to cover small ones, subtraction gives these."""
    tables = with_threshold(toy_tables(Memory()))
    session = built(tables, JANUARY)
    only_small = truth(session)
    for values in only_small.cells.values():
        values[:2][(values[:2] > 0) & (values[:2] < K)] = np.nan
    small = ("shop", ("a",), "day", date(2024, 1, 3))
    assert (small, "sales") in recovered(session, only_small)
    assert not recovered(session, public(session))


def test_the_public_table_is_promoted_in_the_place_of_the_exact_one(workspace: Workspace) -> None:
    """Each time the threshold is set or taken back, readers get all of the other one."""
    source = sold(JANUARY)
    without, protected = toy_tables(source), with_threshold(toy_tables(source))
    exact = next(table for table in without if table.name == "agg_shop_daily")
    public = next(table for table in protected if table.name == "agg_shop_daily_public")
    settle(protected, workspace.lake)
    query = "select day, shop, sales, big_sales from toy.agg_shop_daily order by 1, 2"
    before = [row[:4] for row in rows(workspace.lake, exact)]
    withheld = [row[:4] for row in rows(workspace.lake, public)]
    assert len(withheld) < len(before)
    for table, expected in ((exact, before), (public, withheld)) * 2:
        with (
            production_engine(server.urls(environment.load()).promoter) as engine,
            open_session(environment.load()) as session,
        ):
            snapshot = Snapshot(workspace.lake)
            promote(engine, session, snapshot, table, ["2024-01"], "run")
            with engine.connect() as connection:
                held = [t.key for t in (exact, public) if promoted(connection, t)]
            assert held == [table.key]
        assert workspace.production(query) == expected
    ((comment,),) = workspace.production(
        "select col_description('toy.agg_shop_daily'::regclass, attnum) from pg_attribute"
        " where attrelid = 'toy.agg_shop_daily'::regclass and attname = 'big_sales'"
    )
    assert "NULL: withheld" in comment


def test_the_first_week_feeds_no_year_that_has_no_partition() -> None:
    assert YEARLY.keys_between(*WEEKLY.window("1999-12-27")) == ["2000"]


def test_without_a_threshold_there_is_nothing_of_it() -> None:
    tables = toy_tables(Memory())
    assert protect(tables) == tuple(tables)


def test_what_is_withheld_is_never_unusual() -> None:
    """Beside nothing at all, a rate would have vanished."""
    judged = {
        table.name: expectation_names(table) for table in with_threshold(toy_tables(Memory()))
    }
    assert judged["agg_weekly"]
    assert not judged["agg_weekly_public"]


def test_one_unprotected_table_beside_protected_ones_is_refused() -> None:
    tables = toy_tables(Memory())
    tables[-1] = replace(tables[-1], publish=Publish(threshold=K))
    with pytest.raises(DeclarationError, match="give away"):
        protect(tables)


def test_protected_tables_of_other_measures_are_refused() -> None:
    *finer, yearly = toy_tables(Memory())
    other = replace(SALES, measures=SALES.measures[:2])
    with pytest.raises(DeclarationError, match="do not have the same measures"):
        with_threshold([*finer, replace(yearly, measures=other)])


def test_exact_tables_with_a_threshold_are_not_promoted() -> None:
    tables = toy_tables(Memory())
    tables[-1] = replace(tables[-1], publish=Publish(threshold=K))
    with pytest.raises(DeclarationError, match="small cells"):
        production_assets(tables)


def test_personal_columns_cannot_be_published() -> None:
    with pytest.raises(DeclarationError, match="personal"):
        Table(
            "toy/dim_customer",
            "dimensions",
            "Customers.",
            columns=(Column("name", "text", "Name.", personal=True),),
            sql="select name from toy.raw_sales",
            publish=Publish(),
        )


def test_a_single_withheld_cell_fails_the_check(workspace: Workspace) -> None:
    """The audit of what is withheld does not trust the rule."""
    tables = with_threshold(toy_tables(sold(JANUARY)))
    broken = [
        replace(table, sql=f"select * from ({table.sql}) where keys <> 'b' and level = 1")
        if "withheld" in table.name
        else table
        for table in tables
    ]
    found = settle(broken, workspace.lake)
    assert {finding.check for finding in found} >= {"none_alone"}


@pytest.mark.parametrize(
    "defect",
    [
        "update {public} set cents = cents + 1 where cents is not null",
        "delete from {public} where shop = 'a'",
        "insert into {public} by name select 'z' as shop, date '2024-01-09' as day, 9 as sales,"
        " 9 as big_sales, 9 as cents, '2024-01' as _partition",
    ],
)
def test_what_is_shown_and_was_not_counted_fails_the_check(defect: str) -> None:
    shown = [(date(2024, 1, 1), shop, 1500) for shop in "ab" for _ in range(9)]
    tables = with_threshold(toy_tables(Memory()))
    bind(tables)
    public = next(table for table in tables if table.name == "agg_shop_daily_public")
    check = next(check for check in public.checks if check.name == "shown_as_counted")
    session = built(tables, shown)
    assert session.execute(check.sql).fetchall() == []
    session.execute(defect.format(public=public.sql_name))
    assert session.execute(check.sql).fetchall()

"""Rows are stored in another way than they are read, and nobody can tell; on a real server."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from typing import Any, Literal

import pytest
import sqlalchemy as sa

from analytics_assets import settings as environment
from analytics_assets.core.columns import Bins, Column, Dimension, Measure, MeasureList
from analytics_assets.core.declaration import Publish, Table
from analytics_assets.core.partitions import MONTHLY, YEARLY
from analytics_assets.production.parity import compare
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.production.test_promotion import send
from analytics_assets_tests.toy import MONTH, SALES, YEAR, Memory, settle, toy_tables
from analytics_assets_tests.workspace import Workspace

SHOP = Column("shop", "text", "The shop.", nullable=False)
PLACE = Dimension("place", (SHOP, Column("shop_name", "text", "Its name, if it has one.")))
NAMES = "case shop when 'a' then 'A''s: 5 % \"off\"' when 'c' then 'C' end as shop_name"
JANUARY = [(date(2024, 1, 5), "a", 500), (date(2024, 1, 9), "b", 2000)]
FEBRUARY = [(date(2024, 2, 5), "a", 1500), (date(2024, 2, 6), "c", 1)]
COLUMNS = "select year, month, shop, shop_name, sales, big_sales, cents from toy.agg_place_monthly"


def place_tables(fact: Table, place: Dimension = PLACE, names: str = NAMES) -> tuple[Table, Table]:
    """Sales by a place that has names, and month; and by year."""
    measures = ", ".join(f"{m.sql} as {m.name}" for m in SALES.measures)
    monthly = Table(
        "toy/agg_place_monthly",
        "aggregates",
        "Sales by place and month.",
        MONTHLY,
        grain=(MONTH, place),
        sql="select cast(year(sold_on) as integer) as year, cast(month(sold_on) as integer) as"
        f" month, shop, {names}, {measures} from toy.fact_sales group by all",
        reads=(fact,),
        measures=SALES,
        measured_from=fact,
        publish=Publish(("shop, year",)),
    )
    yearly = Table(
        "toy/agg_place_yearly",
        "aggregates",
        "Sales by place and year.",
        YEARLY,
        grain=(YEAR, place),
        rollup_of=monthly,
        measures=SALES,
        publish=Publish(),
    )
    return monthly, yearly


@pytest.fixture
def source() -> Memory:
    memory = Memory()
    memory.months = {"2024-01": JANUARY, "2024-02": FEBRUARY}
    return memory


def dictionaries(engine: sa.Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Dictionary -> its tuples."""
    with engine.connect() as connection:
        names = sa.inspect(connection).get_table_names(schema="toy_store")
        return {
            name: [
                tuple(row)[1:]
                for row in connection.execute(sa.text(f"select * from toy_store.{name} order by 2"))
            ]
            for name in names
            if name.startswith("place_")
        }


def test_names_are_stored_once_and_read_in_every_row(
    source: Memory, workspace: Workspace, engine: sa.Engine
) -> None:
    fact = toy_tables(source)[1]
    monthly, yearly = place_tables(fact)
    settle([*fact.reads, fact, monthly, yearly], workspace.lake)
    send(engine, workspace, monthly, ["2024-01", "2024-02"])
    send(engine, workspace, yearly, ["2024"])
    name = 'A\'s: 5 % "off"'
    assert workspace.production(f"{COLUMNS} order by year, month, shop".replace("%", "%%")) == [
        (2024, 1, "a", name, 1, 0, 500),
        (2024, 1, "b", None, 1, 1, 2000),
        (2024, 2, "a", name, 1, 1, 1500),
        (2024, 2, "c", "C", 1, 0, 1),
    ]
    assert list(dictionaries(engine).values()) == [[("a", name), ("b", None), ("c", "C")]]
    with engine.connect() as connection:
        found = sa.inspect(connection)
        stored = [c["name"] for c in found.get_columns("agg_place_monthly", "toy_store")]
        read = {c["name"]: str(c["type"]) for c in found.get_columns("agg_place_monthly", "toy")}
    assert "place_id" in stored
    assert not {"shop", "shop_name"} & set(stored)
    assert list(read) == [column.name for column in monthly.all_columns]
    assert (read["sales"], read["cents"], read["shop"]) == ("INTEGER", "BIGINT", "TEXT")


def test_a_place_that_is_renamed_keeps_its_old_name_where_it_had_it(
    source: Memory, workspace: Workspace, engine: sa.Engine
) -> None:
    fact = toy_tables(source)[1]
    monthly, _ = place_tables(fact)
    settle([*fact.reads, fact, monthly], workspace.lake)
    send(engine, workspace, monthly, ["2024-01", "2024-02"])
    monthly, _ = place_tables(fact, names="upper(shop) as shop_name")
    settle([*fact.reads, fact, monthly], workspace.lake)
    send(engine, workspace, monthly, ["2024-02"])
    names = "select month, shop_name from toy.agg_place_monthly where shop = 'a' order by 1"
    assert workspace.production(names.replace("%", "%%")) == [(1, 'A\'s: 5 % "off"'), (2, "A")]


@pytest.mark.parametrize(("type_", "most"), [("integer", 2**15 - 1), ("bigint", 2**31 - 1)])
def test_a_measure_that_does_not_fit_half_its_bytes(
    source: Memory, workspace: Workspace, engine: sa.Engine, type_: Literal["integer"], most: int
) -> None:
    source.months = {
        "2024-01": [(date(2024, 1, 5), "a", most)],
        "2024-02": [(date(2024, 2, 5), "a", most), (date(2024, 2, 6), "a", 1)],
    }
    *counts, cents = SALES.measures
    measures = replace(SALES, measures=(*counts, replace(cents, type=type_)))
    fact = toy_tables(source)[1]
    monthly, _ = place_tables(fact)
    sql = str(monthly.sql).replace(cents.sql, f"cast({cents.sql} as {type_})")
    monthly = replace(monthly, measures=measures, sql=sql)
    settle([*fact.reads, fact, monthly], workspace.lake)
    send(engine, workspace, monthly, ["2024-01", "2024-02"])
    assert workspace.production(
        "select month, cents, pg_typeof(cents)::text from toy.agg_place_monthly"
        f" where cents >= {most} order by 1"
    ) == [(1, most, type_), (2, most + 1, type_)]


def test_an_index_by_place_is_used_for_its_code(
    source: Memory, workspace: Workspace, engine: sa.Engine
) -> None:
    fact = toy_tables(source)[1]
    monthly, _ = place_tables(fact)
    settle([*fact.reads, fact, monthly], workspace.lake)
    send(engine, workspace, monthly, ["2024-01", "2024-02"])
    with engine.connect() as connection:
        # So few rows need no index: the planner is told of more.
        told = "'relpages', 1, 'reltuples', 100000::real"
        connection.execute(
            sa.text(
                "select pg_restore_relation_stats('schemaname', 'toy_store', 'relname',"
                f" 'agg_place_monthly', {told})"
            )
        )
        plan = "\n".join(
            connection.scalars(sa.text(f"explain {COLUMNS} where shop = 'a' and year >= 2024"))
        )
        assert "agg_place_monthly_place_id_year" in plan
        assert "Index Cond: (shop = 'a'::text)" in plan
        total = "\n".join(
            connection.scalars(sa.text("explain select sum(sales) from toy.agg_place_monthly"))
        )
        assert "place_" not in total.replace("agg_place_", ""), "no name asked for, none looked up"


def test_an_attribute_is_added_table_by_table(
    source: Memory, workspace: Workspace, engine: sa.Engine
) -> None:
    fact = toy_tables(source)[1]
    monthly, yearly = place_tables(fact)
    settle([*fact.reads, fact, monthly, yearly], workspace.lake)
    send(engine, workspace, monthly, ["2024-01", "2024-02"])
    send(engine, workspace, yearly, ["2024"])

    street = Column("street", "text", "Its street.")
    wider = replace(PLACE, columns=(*PLACE.columns, street))
    changed, _ = place_tables(fact, wider, f"{NAMES}, 'Main' as street")
    waiting = send(engine, workspace, changed, ["2024-01", "2024-02"])
    assert not waiting.copied
    assert "is not current" in waiting.waiting["2024-02"]
    settle([*fact.reads, fact, changed], workspace.lake)
    done = send(engine, workspace, changed, ["2024-01", "2024-02"])
    assert done.copied == ["2024-01", "2024-02"]
    assert workspace.production("select distinct street from toy.agg_place_monthly") == [("Main",)]
    # The other table did not move yet and reads as it did.
    before = workspace.production("select shop, shop_name from toy.agg_place_yearly order by 1")
    assert [shop for shop, _ in before] == ["a", "b", "c"]
    assert len(dictionaries(engine)) == 2


def test_another_most_frequent_value_copies_all_rows_again(
    source: Memory, workspace: Workspace, engine: sa.Engine
) -> None:
    fact = toy_tables(source)[1]
    monthly, _ = place_tables(fact)
    settle([*fact.reads, fact, monthly], workspace.lake)
    send(engine, workspace, monthly, ["2024-01", "2024-02"])
    before = workspace.production(f"{COLUMNS} order by year, month, shop")
    # A NULL in the store now means another value.
    sales, big, cents = SALES.measures
    other = replace(SALES, measures=(sales, replace(big, usually="sales"), cents))
    again = replace(monthly, measures=other)
    assert send(engine, workspace, again, ["2024-01", "2024-02"]).copied == ["2024-01", "2024-02"]
    assert workspace.production(f"{COLUMNS} order by year, month, shop") == before


def test_promotions_at_the_same_time_share_a_dictionary(
    source: Memory, workspace: Workspace, engine: sa.Engine
) -> None:
    fact = toy_tables(source)[1]
    monthly, yearly = place_tables(fact)
    settle([*fact.reads, fact, monthly, yearly], workspace.lake)
    together = threading.Barrier(2)

    def promote(table: Table, partitions: list[str]) -> int:
        together.wait()
        return sum(send(engine, workspace, table, partitions).rows.values())

    with ThreadPoolExecutor(2) as threads:
        started = [
            threads.submit(promote, monthly, ["2024-01", "2024-02"]),
            threads.submit(promote, yearly, ["2024"]),
        ]
        assert [future.result() for future in started] == [4, 3]
    (tuples,) = dictionaries(engine).values()
    assert len(tuples) == 3


def test_the_bins_of_a_histogram_lie_in_one_row(
    source: Memory, workspace: Workspace, engine: sa.Engine
) -> None:
    """And read as declared, are counted as declared, and are replaced by partition."""
    fact = toy_tables(source)[1]
    bins = Bins("price", 500, "cents", "priced")
    column = Column("price_from", "integer", "Least price.", "cents", nullable=False)
    histogram = Table(
        "toy/agg_price_monthly",
        "aggregates",
        "Sales by price and month.",
        MONTHLY,
        grain=(MONTH, PLACE, Dimension("price_bin", (column,), bins=bins)),
        sql="select cast(year(sold_on) as integer) as year, cast(month(sold_on) as integer) as"
        f" month, shop, {NAMES}, {bins.from_sql('cents')} as price_from, count(cents) as priced"
        " from toy.fact_sales group by all",
        reads=(fact,),
        measures=MeasureList((Measure("priced", "count(cents)", "Sales of a price.", "sales"),)),
        measured_from=fact,
        publish=Publish(),
    )
    sales = [(date(2024, 1, 5), "a", cents) for cents in (0, 499, 500, 999, 70_000)]
    source.months["2024-01"] = [*sales, (date(2024, 1, 6), "b", 1)]
    settle([*fact.reads, fact, histogram], workspace.lake)
    send(engine, workspace, histogram, ["2024-01", "2024-02"])
    read = "select month, shop, price_from, priced from toy.agg_price_monthly order by 1, 2, 3"
    january = [(1, "a", 0, 2), (1, "a", 500, 2), (1, "a", 70_000, 1), (1, "b", 0, 1)]
    february = [(2, "a", 1500, 1), (2, "c", 0, 1)]
    assert workspace.production(read) == january + february
    stored = "select month, _bins, _counts from toy_store.agg_price_monthly order by 1, _bins"
    with engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(sa.text(stored))] == [
            (1, [0], [1]), (1, [0, 500, 70_000], [2, 2, 1]), (2, [0], [1]), (2, [1500], [1]),
        ]  # fmt: skip
        ledger = "select partition, rows from promotion.ledger order by id"
        assert [tuple(row) for row in connection.execute(sa.text(ledger))] == [
            ("2024-01", 4), ("2024-02", 2),
        ]  # fmt: skip
        with open_session(environment.load()) as session:
            same = compare(connection, session, Snapshot(workspace.lake), histogram)
            assert (same.rows, same.differences) == (6, [])
    source.months["2024-02"] = [(date(2024, 2, 5), "a", 1)]
    settle([*fact.reads, fact, histogram], workspace.lake)
    send(engine, workspace, histogram, ["2024-01", "2024-02"])
    assert workspace.production(read) == [*january, (2, "a", 0, 1)]

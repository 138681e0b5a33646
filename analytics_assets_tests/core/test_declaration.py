"""What a declaration refuses, and what derives from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import duckdb
import pandas as pd
import pyarrow
import pytest

from analytics_assets.core.columns import Column, DeclarationError, MeasureList, Ratio
from analytics_assets.core.contracts import (
    arrow_schema,
    failure_cases,
    rules,
    sql_type,
    table_schema,
)
from analytics_assets.core.declaration import Publish, Table, in_dependency_order
from analytics_assets.core.display import plot_as_markdown, rows_as_markdown
from analytics_assets.core.lineage import UnreadableSql, column_lineage, tables_in, upstream_of
from analytics_assets.core.partitions import (
    DAILY,
    MONTHLY,
    PERIODS,
    START,
    UNPARTITIONED,
    WEEKLY,
    YEARLY,
)
from analytics_assets.core.rollups import build_sql
from analytics_assets_tests.toy import DAY, SALES, SHOP, YEAR, Memory, toy_tables

NAME = Column("name", "text", "A name.")


def declare(**changes) -> Table:
    base = {
        "key": "toy/t",
        "layer": "aggregates",
        "description": "T.",
        "columns": (NAME,),
        "sql": "select 'x' as name",
    }
    return Table(**{**base, **changes})


@pytest.mark.parametrize("layer", ["sources", "staging", "facts"])
def test_single_records_cannot_be_published(layer: str) -> None:
    with pytest.raises(DeclarationError, match="cannot be published"):
        declare(layer=layer, publish=Publish())


def test_births_fact_cannot_be_published() -> None:
    from analytics_assets.domains.births.tables import fact_births

    with pytest.raises(DeclarationError, match="births/fact_births"):
        replace(fact_births, publish=Publish())


@pytest.mark.parametrize("layer", ["dimensions", "marts", "aggregates"])
def test_personal_columns_cannot_be_published(layer: str) -> None:
    declare(layer=layer, publish=Publish())
    with pytest.raises(DeclarationError, match=r"personal.*name"):
        declare(layer=layer, columns=(replace(NAME, personal=True),), publish=Publish())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": "toy/t; drop"}, "letters, digits and underscores"),
        ({"key": "t"}, "<domain>/<table>"),
        ({"sql": None}, "exactly one of source, sql, rollup_of"),
        ({"columns": ()}, "no columns"),
        ({"columns": (NAME, NAME)}, "declared twice"),
        ({"unique": ("nme",)}, "no column, for unique, 'nme'; did you mean 'name'"),
        ({"publish": Publish(("nam",))}, "no column, for an index, 'nam'; did you mean 'name'"),
    ],
)
def test_contradictions_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        declare(**changes)


def test_a_ratio_needs_two_declared_measures() -> None:
    with pytest.raises(DeclarationError, match="no measure 'customers'; there are sales"):
        MeasureList(SALES.measures, (Ratio("r", "sales", "customers", "R.", "percent"),))


def test_a_rollup_needs_columns_of_the_finer_table() -> None:
    yearly = toy_tables(Memory())[-1]
    finer = Table(
        "toy/by_shop",
        "aggregates",
        "X.",
        YEARLY,
        grain=(YEAR, SHOP),
        rollup_of=yearly,
        measures=SALES,
    )
    with pytest.raises(DeclarationError, match="shop cannot be derived from toy/agg_yearly"):
        build_sql(finer)


def test_sql_that_reads_an_undeclared_table_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"toy\.nothing"):
        upstream_of("toy/t", "with a as (select * from toy.nothing) select * from a", {})


def test_the_tables_of_sql_are_those_that_it_reads_anywhere() -> None:
    assert tables_in(
        "with k as (from m.n), l as (select * from k)\n"
        "select * from x.y, l where a in (select b from q.r) union all from s.t"
    ) == {"m.n", "x.y", "q.r", "s.t"}
    assert tables_in("with y as (select 1 as one) select * from y join x.y using (one)") == {"x.y"}


@pytest.mark.parametrize(
    ("sql", "line", "said"),
    [
        ("select a\nform x.y", 2, 'syntax error at or near "x"'),
        ("select 'é', -- ééé ééé ééé\n  count(*\nfrom x.y\ngroup by 1", 3, "syntax error"),
        ("select a from x.y\nwhere b = 'never closed", 2, "unterminated string"),
        ("delete from x.y", 1, "it is no SELECT"),
    ],
)
def test_sql_that_cannot_be_read_says_where(sql: str, line: int, said: str) -> None:
    with pytest.raises(UnreadableSql, match=said) as error:
        tables_in(sql)
    assert error.value.line == line


def test_dependency_order_and_circles() -> None:
    tables = toy_tables(Memory())
    order = [table.key for table in in_dependency_order(tables[::-1])]
    assert sorted(order) == sorted(table.key for table in tables)
    for table in tables:
        for upstream in table.upstream:
            assert order.index(upstream.key) < order.index(table.key)
    loop = declare(key="toy/loop")
    object.__setattr__(loop, "reads", (loop,))
    with pytest.raises(DeclarationError, match="depend on each other"):
        in_dependency_order([loop])


def test_lineage_reaches_through_rollups() -> None:
    daily = toy_tables(Memory())[2]
    lineage = column_lineage(daily)
    assert lineage is not None
    (dep,) = lineage.deps_by_column["cents"]
    assert (dep.asset_key.path, dep.column_name) == (["toy", "fact_sales"], "cents")


def test_code_version_follows_what_changes_rows() -> None:
    table = declare()
    assert replace(table, description="Other.").code_version == table.code_version
    assert replace(table, sql="select 'y' as name").code_version != table.code_version


def test_pandera_names_column_and_value() -> None:
    fact = toy_tables(Memory())[1]
    frame = pd.DataFrame({"sold_on": [date(2024, 1, 1)] * 2, "shop": ["a", "z"], "cents": [5, -1]})
    cases = {(case["column"], case["failure_case"]) for case in failure_cases(fact, frame)}
    assert cases == {("shop", "z"), ("cents", "-1")}
    assert {rule.name for rule in rules(fact)} == {
        "shop is missing", "shop not in its code list", "cents < 0"
    }  # fmt: skip


def test_schema_shows_units_limits_and_ratios() -> None:
    columns = {column.name: column for column in table_schema(toy_tables(Memory())[2]).columns}
    assert columns["sales"].constraints.other == [">= 0"]
    assert "[percent]" in str(columns["big_share"].description)


@pytest.mark.parametrize("period", PERIODS[:4])
def test_periods_agree_with_dagster(period) -> None:
    definition = period.definition
    assert definition is not None
    keys = definition.get_partition_keys()
    assert period.key(START) == keys[0]
    for key in (keys[0], keys[len(keys) // 2], keys[-1]):
        window = definition.time_window_for_partition_key(key)
        assert period.window(key) == (window.start.date(), window.end.date())
    assert period.spans(keys[3:6] + keys[9:10]) == [(keys[3], keys[5]), (keys[9], keys[9])]


@pytest.mark.parametrize("period", PERIODS[:4])
def test_the_first_day_of_a_period_is_in_it_and_the_last_before_it_is_not(period) -> None:
    key = period.key(date(2024, 5, 15))
    first, end = period.window(key)
    assert period.floor(first) == first
    assert period.keys_between(first, first + timedelta(days=1)) == [key]
    assert period.keys_between(end - timedelta(days=1), end) == [key]
    following = period.key(end)
    assert period.keys_between(first, end + timedelta(days=1)) == [key, following]


def test_all_of_something_fits_into_a_percentage() -> None:
    """Three digits and four decimals, in files and databases alike."""
    share = Column("share", "percent", "A share.")
    (field, *_) = arrow_schema(declare(columns=(share,), sql="select 100 as share"))
    for value in (Decimal("100.0000"), Decimal("-999.9999")):
        assert pyarrow.array([value], field.type).to_pylist() == [value]
        read = duckdb.sql(f"select cast('{value}' as {sql_type(share)}) as share")
        assert read.fetchall() == [(value,)]
        assert read.to_arrow_table().schema.field("share").type == field.type


def test_weeks_of_a_month() -> None:
    assert WEEKLY.keys_between(*MONTHLY.window("2024-02"))[0] == "2024-01-29"
    assert DAILY.keys_between(*YEARLY.window("2023"))[-1] == "2023-12-31"


def test_markdown_is_short_enough_to_be_shown_in_place() -> None:
    series = [
        (f"{year}-{month:02d}", year * month * 1000.0)
        for year in range(2000, 2027)
        for month in range(1, 13)
    ]
    assert len(plot_as_markdown(series, "Births.")) < 1000
    assert rows_as_markdown([{"a|b": "x\ny"}]).count("\n") == 2
    assert rows_as_markdown([]) == "no rows"


def test_grain_is_the_key() -> None:
    assert declare(grain=(DAY, SHOP), columns=()).unique_columns == ("day", "shop")


def test_no_partitions_are_no_rows() -> None:
    """An axis of several columns is bounded by its first one, where there is a first partition."""
    monthly = toy_tables(Memory())[3]
    assert monthly.within_sql([]) == "false"
    assert replace(monthly, period=UNPARTITIONED).within_sql(["all"]) == "true"
    assert monthly.within_sql(["2024-02"]).startswith("year between ")

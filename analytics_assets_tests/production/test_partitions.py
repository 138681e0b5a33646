"""The condition that a row is in a partition: one text for DuckDB and PostgreSQL."""

from __future__ import annotations

from datetime import date, timedelta

import duckdb
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets_tests.toy import Memory, toy_tables

_FIRST, _DAYS = date(2022, 12, 20), 800
DAYS = [_FIRST + timedelta(number) for number in range(_DAYS)]
PUBLISHED = [table for table in toy_tables(Memory()) if table.publish]
AS_ROWS = (
    "select day, cast(extract(year from day) as integer) as year,"
    " cast(extract(month from day) as integer) as month,"
    " cast(date_trunc('week', day) as date) as week"
    f" from (select cast(date '{_FIRST}' + number * interval '1 day' as date) as day"
    f" from generate_series(0, {_DAYS - 1}) as numbers (number)) as days"
)


def selected(table: Table, partitions: set[str]) -> str:
    return f"select day from ({AS_ROWS}) as rows where {table.within_sql(partitions)} order by day"


def test_exactly_the_rows_of_the_partitions(engine: sa.Engine) -> None:
    with engine.connect() as postgres, duckdb.connect() as session:

        @settings(max_examples=25, deadline=None)
        @given(st.sampled_from(PUBLISHED), st.sets(st.sampled_from(DAYS), max_size=5))
        def agree(table: Table, days: set[date]) -> None:
            assert table.period is not UNPARTITIONED
            keys = {table.period.key(day) for day in days}
            sql = selected(table, keys)
            wanted = [(day,) for day in DAYS if table.period.key(day) in keys]
            assert session.execute(sql).fetchall() == wanted
            assert list(map(tuple, postgres.execute(sa.text(sql)))) == wanted

        agree()


def test_an_index_is_used_where_the_date_is_computed(engine: sa.Engine) -> None:
    (monthly,) = (table for table in PUBLISHED if table.name == "agg_shop_monthly")
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "create temporary table rows (year integer, month integer, shop text,"
                " primary key (year, month, shop)) on commit drop"
            )
        )
        connection.execute(
            sa.text(
                "insert into rows select year, month, shop from generate_series(2000, 2049)"
                " as year, generate_series(1, 12) as month, generate_series(1, 50) as shop"
            )
        )
        connection.execute(sa.text("analyze rows"))
        plan = connection.scalars(
            sa.text(f"explain select * from rows where {monthly.within_sql(['2024-05'])}")
        )
        assert "rows_pkey" in "\n".join(plan)

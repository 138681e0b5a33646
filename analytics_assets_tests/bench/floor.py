"""The floor that the pipeline is measured against: one plain DuckDB process, Parquet and COPY.

Belongs here: the same tables from the same files, as fast as it goes, in a straight line. The SQL
of each table is the pipeline's, so that what is compared is everything around it.
Does not belong here: checks, versions, a ledger, finding out what changed, recovery.

Whoever makes it faster is right. Importing the declarations for their SQL costs it some two seconds
that it need not spend.

    python -m analytics_assets_tests.bench.floor build
    python -m analytics_assets_tests.bench.floor month 2024-05
"""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb

from analytics_assets.core.declaration import in_dependency_order
from analytics_assets.core.partitions import MONTHLY, UNPARTITIONED, WEEKLY, YEARLY
from analytics_assets.core.rollups import build_sql
from analytics_assets.core.source import Landing
from analytics_assets.domains.births.columns import COLUMN_NAMES
from analytics_assets.domains.births.landing import LANDING
from analytics_assets.domains.births.tables import TABLES, raw_births, raw_health_facilities
from analytics_assets_tests.bench.plain import (
    copy,
    hold,
    listed,
    opened,
    promote,
    store,
    stored_rows,
)

COMPUTED = [table for table in in_dependency_order(TABLES) if not table.source]
LISTS = [t for t in TABLES if t.source and t not in (raw_births, raw_health_facilities)]
# What a year's file decides alone, so that no more than a year of records is ever in memory.
OF_RECORDS = [t for t in COMPUTED if raw_births in t.upstream]
OF_FACT = [t for t in COMPUTED if t.measured_from in OF_RECORDS]
COARSER = [t for t in COMPUTED if t not in (*OF_RECORDS, *OF_FACT)]


def main() -> None:
    with opened("births") as (session, production):
        # The made-up files come without names of facilities.
        session.execute(
            "create view births.raw_health_facilities as"
            " select '' as cnes_code, '' as facility_name where false"
        )
        if sys.argv[1] == "month":
            restate(session, production, sys.argv[2])
        else:
            build(session, production)


def build(session: duckdb.DuckDBPyConnection, production: Any) -> None:
    for table in LISTS:
        with table.source.land(Landing(session, "all", {}, lambda sql: {})) as selects:
            hold(session, table, " union all ".join(selects))
        store(session, table, "'all'")
    files = {re.findall(r"\d{4}", path.name)[0]: path for path in LANDING.path.glob("*.csv")}
    for year in sorted(files):
        land(session, files[year], year)
        store(session, raw_births, raw_key(year))
        for table in OF_RECORDS:
            hold(session, table, build_sql(table))
        session.execute("drop table births.raw_births")
        for table in OF_RECORDS:
            store(session, table)
        for table in OF_FACT:
            hold(session, table, build_sql(table), add=True)
    for table in COARSER:
        hold(session, table, build_sql(table))
    for table in (*OF_FACT, *COARSER):
        store(session, table)
    promote(session, production, TABLES)


def restate(session: duckdb.DuckDBPyConnection, production: Any, month: str) -> None:
    """What has to be rewritten after records of one month changed in the file of its year."""
    year = month[:4]
    start, end = MONTHLY.window(month)
    weeks = WEEKLY.keys_between(start, end)
    near = MONTHLY.keys_between(start - timedelta(days=7), end + timedelta(days=7))
    land(session, next(LANDING.path.glob(f"*{year}.csv")), year, month)
    store(session, raw_births, raw_key(year), [month])
    session.execute("drop table births.raw_births")
    rewritten = {MONTHLY: [month], WEEKLY: weeks, YEARLY: [year]}
    read = {MONTHLY: [month], WEEKLY: near, YEARLY: [f"{year}-{n:02}" for n in range(1, 13)]}
    for table in COMPUTED:
        if keys := rewritten.get(table.period):
            for upstream in set(table.upstream) - {raw_health_facilities}:
                only = None if upstream.period is UNPARTITIONED else read[table.period]
                stored = stored_rows(upstream, [year, *only] if only else None)
                session.execute(f"create or replace view {upstream.sql_name} as {stored}")
            only = f" where {table.partition_sql} in ({listed(keys)})"
            rows = f"select * from ({build_sql(table)}){only}"
            session.execute(f"create or replace temp table rows as {rows}")
            store(session, table, None, keys, "rows")
    with production.cursor() as cursor:
        cursor.execute("set synchronous_commit = off")
        for table in COMPUTED:
            if table.publish and (keys := rewritten.get(table.period)):
                copy(session, cursor, table, keys)
                production.commit()


def raw_key(year: str) -> str:
    return f"coalesce({raw_births.slice_sql}, '{year}')"


def land(session: Any, path: Path, year: str, month: str | None = None) -> None:
    """The records of a year's file as text, blank as NULL; or those of a month of it.

    Read in all threads; the number of a row is its place in the table, which keeps their order.
    """
    names = ", ".join(f"nullif(trim({name}), '') as {name}" for name in COLUMN_NAMES)
    session.execute(
        f"create or replace table records as select {names}"
        f" from read_csv('{path}', delim = ';', header = true, all_varchar = true)"
    )
    only = f" where {raw_key(year)} = '{month}'" if month else ""
    session.execute(
        f"create or replace table births.raw_births as select {', '.join(COLUMN_NAMES)},"
        f" '{path.name}' as source_file, 'BR' as source_state, {year} as source_year,"
        " rowid + 1 as source_row, cast(null as varchar) as unreadable_line"
        f" from records{only}"
    )
    session.execute("drop table records")


if __name__ == "__main__":
    main()

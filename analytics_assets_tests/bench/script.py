"""The hand-written script that the pipeline is measured against: DuckDB, Parquet and COPY.

Belongs here: the same tables from the same files, in a straight line, in one process. The SQL of
each table is the pipeline's, so that what is compared is everything around it.
Does not belong here: checks, versions, a ledger, finding out what changed, recovery.

Importing the declarations for their SQL costs it about two seconds that it need not spend.

    python -m analytics_assets_tests.bench.script build
    python -m analytics_assets_tests.bench.script month 2024-05
"""

from __future__ import annotations

import re
import shutil
import sys
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import duckdb
import psycopg2
import sqlalchemy as sa

from analytics_assets import settings
from analytics_assets.core.declaration import Table, in_dependency_order
from analytics_assets.core.partitions import MONTHLY, UNPARTITIONED, WEEKLY, YEARLY
from analytics_assets.core.rollups import build_sql
from analytics_assets.core.source import Landing
from analytics_assets.domains.births.columns import COLUMN_NAMES
from analytics_assets.domains.births.landing import LANDING
from analytics_assets.domains.births.tables import TABLES, raw_births, raw_health_facilities
from analytics_assets.production import server
from analytics_assets.production.encoding import measure_defaults

CONFIG = settings.load()
LAKE = CONFIG.home / "lake"
COMPUTED = [table for table in in_dependency_order(TABLES) if not table.source]
LISTS = [t for t in TABLES if t.source and t not in (raw_births, raw_health_facilities)]
_DDL = {"text": "text", "integer": "integer", "bigint": "bigint", "date": "date",
        "decimal": "numeric(18, 4)"}  # fmt: skip


def main() -> None:
    CONFIG.scratch.mkdir(parents=True, exist_ok=True)
    url = sa.make_url(server.urls(CONFIG).promoter)
    options = {
        "memory_limit": CONFIG.memory_limit,
        "threads": CONFIG.threads,
        "temp_directory": str(CONFIG.scratch),
        "preserve_insertion_order": False,
    }
    with (
        duckdb.connect(config=options) as session,
        closing(
            psycopg2.connect(host=url.query["host"], user=url.username, dbname=url.database)
        ) as production,
    ):
        session.execute("set enable_progress_bar = false")
        session.execute("create schema births")
        # The made-up files come without names of facilities.
        session.execute(
            "create view births.raw_health_facilities as"
            " select '' as cnes_code, '' as facility_name where false"
        )
        if sys.argv[1] == "month":
            restate(session, production, sys.argv[2])
        else:
            build(session, production)


def build(session: duckdb.DuckDBPyConnection, production) -> None:
    for table in LISTS:
        with table.source.land(Landing(session, "all", {}, lambda sql: {})) as selects:
            for select in selects:
                store(session, table, select, "'all'", ["all"])
    files = {re.findall(r"\d{4}", path.name)[0]: path for path in LANDING.path.glob("*.csv")}
    years = sorted(files)
    for year in years:
        months = months_of(year)
        land(session, files[year], year, [*months, year])
        for table in COMPUTED:
            if table.period is MONTHLY:
                write(session, table, months, months)
            elif table.period is YEARLY:
                write(session, table, [year], [year, *months])
    for year in (str(int(years[0]) - 1), *years):
        first, end = date(int(year), 1, 1), date(int(year) + 1, 1, 1)
        weeks = [week for week in WEEKLY.keys_between(first, end) if week[:4] == year]
        months = [*months_of(year), f"{int(year) + 1}-01"]
        for table in COMPUTED:
            if table.period is WEEKLY:
                write(session, table, weeks, months)
    write_unpartitioned(session)
    with production.cursor() as cursor:
        cursor.execute("create schema births_store")
        for table in TABLES:
            if table.publish:
                create(cursor, table)
                copy(session, cursor, table, None)
                index(cursor, table)
                production.commit()


def restate(session: duckdb.DuckDBPyConnection, production, month: str) -> None:
    """What has to be rewritten after records of one month changed in the file of its year."""
    year = month[:4]
    start, end = MONTHLY.window(month)
    weeks = WEEKLY.keys_between(start, end)
    near = MONTHLY.keys_between(start - timedelta(days=7), end + timedelta(days=7))
    land(session, next(LANDING.path.glob(f"*{year}.csv")), year, [month])
    rewritten = {MONTHLY: [month], WEEKLY: weeks, YEARLY: [year], UNPARTITIONED: None}
    inputs = {MONTHLY: [month], WEEKLY: near, YEARLY: [year, *months_of(year)]}
    for table in COMPUTED:
        if table.period is not UNPARTITIONED:
            write(session, table, rewritten[table.period], inputs[table.period])
    write_unpartitioned(session)
    with production.cursor() as cursor:
        for table in COMPUTED:
            if table.publish:
                copy(session, cursor, table, rewritten[table.period])
                production.commit()


def months_of(year: str) -> list[str]:
    return [f"{year}-{month:02d}" for month in range(1, 13)]


def listed(values) -> str:
    return ", ".join(f"'{value}'" for value in values)


def land(session: duckdb.DuckDBPyConnection, path: Path, year: str, keys: list[str]) -> None:
    """The 61 columns as text, blank as NULL, by month; what has no month by year."""
    columns = ", ".join(f"nullif(trim({name}), '') as {name}" for name in COLUMN_NAMES)
    landed = (
        f"select {columns}, '{path.name}' as source_file, 'BR' as source_state,"
        f" {year} as source_year, row_number() over () as source_row,"
        " cast(null as varchar) as unreadable_line"
        f" from read_csv('{path}', delim = ';', header = true, all_varchar = true)"
    )
    store(session, raw_births, landed, f"coalesce({raw_births.slice_sql}, '{year}')", keys)


def write_unpartitioned(session: duckdb.DuckDBPyConnection) -> None:
    for table in COMPUTED:
        if table.period is UNPARTITIONED:
            write(session, table, ["all"], None)


def write(
    session: duckdb.DuckDBPyConnection, table: Table, keys: list[str], inputs: list[str] | None
) -> None:
    """Compute partitions of a table from the ``inputs`` partitions of what it reads."""
    for upstream in set(table.upstream) - {raw_health_facilities}:
        every = inputs is None or upstream.period is UNPARTITIONED
        view = read(upstream, None if every else inputs)
        session.execute(f"create or replace view {upstream.sql_name} as {view}")
    store(session, table, build_sql(table), table.partition_sql, keys)


def read(table: Table, keys: list[str] | None) -> str:
    only = f" where _partition in ({listed(keys)})" if keys else ""
    return (
        f"select * exclude (_partition) from read_parquet('{LAKE}/{table.name}/*/*.parquet',"
        f" hive_partitioning = true, hive_types = {{'_partition': varchar}}){only}"
    )


def store(
    session: duckdb.DuckDBPyConnection, table: Table, select: str, key: str, keys: list[str]
) -> None:
    """Replace partitions; a reader in between finds them missing."""
    (LAKE / table.name).mkdir(parents=True, exist_ok=True)
    for old in keys:
        shutil.rmtree(LAKE / table.name / f"_partition={old}", ignore_errors=True)
    session.execute(
        f"copy (select *, {key} as _partition from ({select}) where {key} in ({listed(keys)}))"
        f" to '{LAKE}/{table.name}' (format parquet, compression zstd, partition_by (_partition),"
        " overwrite_or_ignore true)"
    )


def create(cursor, table: Table) -> None:
    columns = ", ".join(f'"{c.name}" {_DDL[c.type]}' for c in table.stored_columns)
    cursor.execute(f"create table births_store.{table.name} ({columns})")


def index(cursor, table: Table) -> None:
    """After the rows, which is quicker."""
    stored = f"births_store.{table.name}"
    cursor.execute(f"alter table {stored} add primary key ({', '.join(table.unique_columns)})")
    for columns in table.publish.indexes:
        cursor.execute(f"create index on {stored} ({columns})")


def copy(session: duckdb.DuckDBPyConnection, cursor, table: Table, keys: list[str] | None) -> None:
    """Rows of some partitions in place of those in production, or of all."""
    stored = f"births_store.{table.name}"
    usual = measure_defaults(table)
    columns = ", ".join(
        f"nullif({c.name}, {usual[c.name]})" if c.name in usual else c.name
        for c in table.stored_columns
    )
    rows = CONFIG.scratch / f"{table.name}.csv"
    session.execute(
        f"copy (select {columns} from ({read(table, keys)})) to '{rows}' (header false)"
    )
    if keys is None:
        cursor.execute(f"delete from {stored}")
    for key in keys or ():
        cursor.execute(
            f"delete from {stored} where {table.time} >= %s and {table.time} < %s",
            table.period.window(key),
        )
    with rows.open("rb") as file:
        cursor.copy_expert(f"copy {stored} from stdin (format csv)", file)
    rows.unlink()


if __name__ == "__main__":
    main()

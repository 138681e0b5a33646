"""How fast production answers about ads: a year of many rows a day, made up, of every column.

Belongs here: the queries that the brief of the ad metrics promises and those of the dashboard's
page, through the role that dashboards have. Rows lie as nightly promotions leave them: a day after
the other.
Does not belong here: what building costs (``ads.py``).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path

import duckdb
import sqlalchemy as sa

from analytics_assets import settings
from analytics_assets.api.database import Database
from analytics_assets.api.listing import view_of
from analytics_assets.api.settings import ApiSettings
from analytics_assets.core.columns import Column
from analytics_assets.core.declaration import Table
from analytics_assets.domains.ad_metrics.pages import MOST_ROWS, course
from analytics_assets.domains.ad_metrics.tables import (
    daily_mixpanel_metrics,
    daily_mixpanel_metrics_breakdown,
    daily_mixpanel_metrics_overview,
    id_hierarchy_mapping,
    id_name_mapping,
)
from analytics_assets.production import encoding, records, schema, server
from analytics_assets.production.promotion import production_engine
from analytics_assets_tests.api.conftest import Production
from analytics_assets_tests.api.filled import entered, promote
from analytics_assets_tests.bench.readers import look

DAYS, WARM_UP, RUNS = 365, 20, 400
FIRST = date(2024, 1, 1)
# Of a hundred rows a day.
CAMPAIGNS, ADSETS = 6, 24
_BROKEN_DOWN = {"country": 4, "region": 3, "device": 3}
_ENTITY_SUMS = """
select date, meta_spend, adjusted_estimated_revenue_usd, profit_usd, mixpanel_purchase_count,
    mixpanel_trial_count, trial_accuracy_ratio, purchase_accuracy_ratio
from daily_mixpanel_metrics
where entity_type = 'campaign' and entity_id = %(campaign)s
    and date between %(day)s::date - {before} and %(day)s
order by date"""
_TOTALS = """sum(meta_spend) as total_spend, sum(trial_users_count) as total_trials,
    sum(purchase_users_count) as total_purchases,
    sum(adjusted_estimated_revenue_usd) as total_revenue, sum(profit_usd) as total_profit,
    avg(trial_accuracy_ratio) as avg_trial_accuracy"""
_RANGE = """entity_type = 'campaign' and entity_id = %(campaign)s
    and date between %(day)s::date - 13 and %(day)s"""
QUERIES = {
    "an entity on a day": """
select * from daily_mixpanel_metrics
where entity_type = 'campaign' and entity_id = %(campaign)s and date = %(day)s""",
    "an entity over 14 days": f"select {_TOTALS} from daily_mixpanel_metrics where {_RANGE}",
    "countries on a day": """
select breakdown_value as country_code, meta_spend, trial_users_count,
    adjusted_estimated_revenue_usd
from daily_mixpanel_metrics_breakdown
where entity_type = 'campaign' and entity_id = %(campaign)s and date = %(day)s
    and breakdown_type = 'country'""",
    "total and countries, 14 days": f"""
select 'overall' as breakdown_type, 'ALL' as country_code, {_TOTALS}
from daily_mixpanel_metrics where {_RANGE}
union all
select 'country' as breakdown_type, breakdown_value as country_code, {_TOTALS}
from daily_mixpanel_metrics_breakdown where {_RANGE} and breakdown_type = 'country'
group by country_code order by breakdown_type, total_spend desc""",
    "sparkline of 14 days": _ENTITY_SUMS.format(before=13),
    "sparkline of 28 days": _ENTITY_SUMS.format(before=27),
    # The brief asks the main table and leaves out the level: that counts everything thrice.
    "overview of 28 days": """
select date, sum(meta_spend) as daily_spend,
    sum(adjusted_estimated_revenue_usd) as daily_revenue, sum(profit_usd) as daily_profit
from daily_mixpanel_metrics_overview
where date between %(day)s::date - 27 and %(day)s
group by date order by date""",
}
PAGES = (
    "/pages/ads",
    "/pages/ads?level=adset",
    "/pages/ads?level=ad",
    f"/pages/ads?level=ad&from={FIRST}",
    "/pages/ads?breakdown=device&measure=mixpanel_trial_count",
    "/tables/ad_metrics.daily_mixpanel_metrics",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="?", type=int, default=10_000, help="rows a day and table")
    rows = parser.parse_args().rows
    folder = Path(tempfile.mkdtemp(prefix="bench-ads-"))
    folder.chmod(0o755)
    for name in ("PRODUCTION_URL", "DAGSTER_PG_URL"):
        os.environ.pop(name, None)
    os.environ["ANALYTICS_HOME"] = str(folder)
    try:
        urls = server.urls(settings.load())
        with production_engine(urls.promoter) as engine:
            for table, count in (
                (daily_mixpanel_metrics, rows),
                (daily_mixpanel_metrics_breakdown, rows),
                (daily_mixpanel_metrics_overview, 1),
            ):
                _fill(engine, table.promoted, count, folder / "day.csv")
            _name(engine, rows)
        with production_engine(urls.reader, read_only=True) as engine:
            _ask(engine, rows)
        asyncio.run(_draw(urls.reader, rows))
        look(Production(urls.promoter, urls.reader), folder, PAGES)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fill(engine: sa.Engine, table: Table, rows: int, path: Path) -> None:
    started = time.monotonic()
    with engine.begin() as connection:
        records.begin_writing(connection, table.domain)
        schema.create(connection, table)
    with duckdb.connect() as session:
        for day in (FIRST + timedelta(days=n) for n in range(DAYS)):
            session.execute(f"copy ({_made_up(table, rows, day)}) to '{path}' (header false)")
            with engine.begin() as connection, path.open() as file:
                schema.incoming_table(table, "incoming").create(connection)
                cursor = connection.connection.cursor()
                cursor.copy_expert("copy incoming from stdin (format csv)", file)
                connection.execute(sa.text(encoding.insert_sql(table, "incoming")))
                entered(connection, table, table.period.key(day), rows)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"vacuum analyze {encoding.stored_name(table)}"))
        size = sum(schema.stored_bytes(connection, table.domain).values())
    seconds = time.monotonic() - started
    print(
        f"{table.name}: {rows * DAYS:,} rows in {seconds:.0f} s; all of it is {size / 1e6:,.0f} MB"
    )


def _made_up(table: Table, rows: int, day: date) -> str:
    """SELECT of a day's rows: as many campaigns, adsets and ads as there are in a real account."""
    parts = sum(_BROKEN_DOWN.values())
    splits = ", ".join(
        f"('{axis}', '{axis} {n}')" for axis, m in _BROKEN_DOWN.items() for n in range(m)
    )
    broken_down = "breakdown_type" in {column.name for column in table.stored_columns}
    entities = rows // parts if broken_down else rows
    at = {
        "entity_type": f"case when i < {entities * CAMPAIGNS // 100} then 'campaign'"
        f" when i < {entities * (CAMPAIGNS + ADSETS) // 100} then 'adset' else 'ad' end",
        "entity_id": "(120000000 + i)::varchar",
        "date": f"date '{day}'",
        "breakdown_type": "split.axis",
        "breakdown_value": "split.value",
    }
    columns = ", ".join(at.get(c.name) or _value(c, day) for c in table.stored_columns)
    joined = f", (values {splits}) as split (axis, value)" if broken_down else ""
    return f"select {columns} from range({entities}) as r (i){joined}"


def _name(engine: sa.Engine, rows: int) -> None:
    """Names, and of each ad its adset and campaign."""
    seen = {"first_seen_date": FIRST, "last_seen_date": FIRST + timedelta(days=DAYS - 1)}
    named = [
        {"entity_type": level, "entity_id": one, "canonical_name": f"{level} {one}",
         "frequency_count": DAYS, **seen}
        for level, ids in _ids(rows).items()
        for one in ids
    ]  # fmt: skip
    ids = _ids(rows)
    placed = [
        {"ad_id": ad, "adset_id": ids["adset"][n % len(ids["adset"])],
         "campaign_id": ids["campaign"][n % len(ids["campaign"])], **seen}
        for n, ad in enumerate(ids["ad"])
    ]  # fmt: skip
    with engine.begin() as connection:
        promote(connection, id_name_mapping, named)
        promote(connection, id_hierarchy_mapping, placed)


def _ids(rows: int) -> dict[str, list[str]]:
    """Level -> the entities of it."""
    ends = [0, rows * CAMPAIGNS // 100, rows * (CAMPAIGNS + ADSETS) // 100, rows]
    levels = zip(("campaign", "adset", "ad"), ends, ends[1:], strict=False)
    return {level: [str(120000000 + i) for i in range(*span)] for level, *span in levels}


def _value(column: Column, day: date) -> str:
    number = f"(hash(i, '{column.name}', '{day}') % 10000)"
    scale = {"bigint": "::bigint // 100", "money": " / 100.0", "percent": " / 100.0"}
    return f"{number}{scale.get(column.type, ' / 100.0')}"


def _ask(engine: sa.Engine, rows: int) -> None:
    rng = random.Random(1)
    pick: Mapping[str, Callable[[], object]] = {
        "campaign": lambda: str(120000000 + rng.randrange(rows // 10 * CAMPAIGNS // 100)),
        "day": lambda: FIRST + timedelta(days=rng.randrange(28, DAYS)),
    }
    print(f"\n{'query on production':<34}{'rows':>6}{'p50 ms':>9}{'p95 ms':>9}")
    with engine.connect() as connection:
        for name, sql in QUERIES.items():
            seconds = []
            for _ in range(WARM_UP + RUNS):
                values = {key: choose() for key, choose in pick.items()}
                started = time.perf_counter()
                found = connection.exec_driver_sql(sql, values).fetchall()
                seconds.append(time.perf_counter() - started)
            shares = statistics.quantiles(seconds[WARM_UP:], n=20)
            print(f"{name:<34}{len(found):>6,}{1e3 * shares[9]:>9.2f}{1e3 * shares[18]:>9.2f}")


async def _draw(url: str, rows: int) -> None:
    """The statement behind the page's lines: the course of all entities that it shows."""
    rng, database = random.Random(1), Database(url, ApiSettings(statement_timeout=30))
    try:
        for level, ids in _ids(rows).items():
            seconds = []
            for _ in range(WARM_UP + RUNS):
                shown = rng.sample(ids, min(MOST_ROWS, len(ids)))
                end = FIRST + timedelta(days=rng.randrange(28, DAYS))
                started = time.perf_counter()
                found = await course(database, view_of(daily_mixpanel_metrics), level, shown, end)
                seconds.append(time.perf_counter() - started)
            shares = statistics.quantiles(seconds[WARM_UP:], n=20)
            name = f"the page's lines of {len(found)} {level}s"
            print(f"{name:<34}{'':>6}{1e3 * shares[9]:>9.2f}{1e3 * shares[18]:>9.2f}")
    finally:
        await database.close()


if __name__ == "__main__":
    main()

"""What readers of ten national years wait for: questions, and pages of the dashboard.

Belongs here: production of that size, made up, and the time that each answer takes.
Does not belong here: what building costs (``__main__.py``), many clients at once
(``api/test_load.py``).

Rows are those of a real production: all states and municipalities, ten years; numbers are random.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from analytics_assets import registry
from analytics_assets.api.asking import Asker
from analytics_assets.api.database import Database
from analytics_assets.api.settings import ApiSettings
from analytics_assets.core.declaration import Table
from analytics_assets.core.question import read
from analytics_assets.domains import births
from analytics_assets.production import encoding, records, schema, server
from analytics_assets.production.promotion import production_engine
from analytics_assets_tests.api.conftest import Production, commanded, empty_production
from analytics_assets_tests.api.filled import TABLES, entered

FIRST, YEARS, TIMES = 2015, 10, 40
_REFERENCE = Path(births.__file__).parent / "reference"
_BREAKDOWNS = (
    "maternal_age_group", "schooling", "race", "sex", "prenatal_visits", "plurality",
    "gestation_class", "birth_weight_class", "delivery", "robson_group",
)  # fmt: skip
_LEFT_OUT = {"facility", "occupation", "week"}
QUESTIONS = (
    "total_births, cesarean_rate by year",
    "cesarean_rate by state_abbreviation, year order -cesarean_rate",
    "total_births by state_name where year = 2023 order -total_births limit 10",
    "cesarean_rate, preterm_rate by region_name, year",
    "total_births, low_birth_weight_rate by municipality_name"
    " where year = 2023 and state_code = 35 order -low_birth_weight_rate limit 20",
    "total_births by month where municipality_code = 3550308 and year = 2023",
    "total_births by year where municipality_code = 3550308 compare year_before",
    "mean_birth_weight by month over 2022..2023 compare year_before",
    "total_births by category, year where breakdown = maternal_age_group over 2020..2023",
    "adolescent_pregnancy_rate by state_abbreviation over 2023 with interval, smoothed",
    "median_birth_weight where maternal_age = 25",
    "median_birth_weight where maternal_age = 25 and year = 2023",
    "median_birth_weight, p10_birth_weight by state_abbreviation where year = 2023",
    "total_births by quarter, region_name over 2021..2023",
    "cesarean_rate by state_abbreviation over 2023 with standardised by age",
    "total_births by region_name, year compare share",
)
PAGES = (
    "/",
    "/pages/births",
    "/pages/births?state=35&measure=cesarean_rate",
    "/pages/births?base=residence&compare=state",
    "/pages/operations",
    "/tables/births.agg_municipality_yearly?chart=map&by=municipality",
    "/tables/births.agg_municipality_monthly?split=municipality",
    "/tables/births.agg_state_daily?split=state",
    "/tables/births.agg_state_daily?split=state&from=2015-01-01",
    "/tables/births.agg_municipality_monthly?chart=rows",
    "/tables/births.agg_daily?mean=7&from=2015-01-01",
)


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-readers-") as folder:
        os.chmod(folder, 0o755)
        os.environ["ANALYTICS_HOME"] = folder
        with empty_production(server._start(Path(folder) / "data")) as production:
            with production_engine(production.promoter) as engine:
                _fill(engine)
            asyncio.run(_ask(production))
            look(production, Path(folder), PAGES)


def _fill(engine: sa.Engine) -> None:
    axes, rows = _axes(), 0
    for table in (t.promoted for t in TABLES if t.domain == "births" and t.publish):
        names = [axis.name for axis in table.grain]
        if names and not _LEFT_OUT.intersection(names):
            with engine.begin() as connection:
                rows += _promote(connection, table, axes)
                print(f"{table.key}: {rows:,} rows together", flush=True)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("vacuum analyze"))
        size = connection.scalar(sa.text("select pg_database_size(current_database())")) or 0
    print(f"{rows:,} rows, {size / 1e6:,.0f} MB")


def _axes() -> dict[str, list[tuple[Any, ...]]]:
    """Axis -> the values of its columns."""

    def listed(name: str) -> list[dict[str, str]]:
        with (_REFERENCE / name).open(encoding="utf-8") as file:
            return list(csv.DictReader(file))

    regions = {row["region_code"]: row["region_name"] for row in listed("regions.csv")}
    states = {
        row["state_code"]: (row["state_code"], row["state_abbreviation"], row["state_name"],
                            row["region_code"], regions[row["region_code"]])
        for row in listed("states.csv")
        if row["state_code"] != "00"
    }  # fmt: skip
    years = range(FIRST, FIRST + YEARS)
    days = (date(FIRST + YEARS, 1, 1) - date(FIRST, 1, 1)).days
    ages = ("<15", "15-19", "20-24", "25-29", "30-34", "35-39", "40-44", "45+", "unknown")
    return {
        "year": [(year,) for year in years],
        "month": [(year, month) for year in years for month in range(1, 13)],
        "day": [(date(FIRST, 1, 1) + timedelta(days=n),) for n in range(days)],
        "region": [pair for pair in regions.items() if pair[0] != "0"],
        "state": list(states.values()),
        "municipality": [
            (row["municipality_code"], row["municipality_name"], *states[row["state_code"]])
            for row in listed("municipalities.csv")
            if row["state_code"] in states
        ],
        "breakdown": [(name, str(n)) for name in _BREAKDOWNS for n in range(1, 7)],
        "maternal_age_group": [(age,) for age in ages],
        "maternal_age": [(age,) for age in range(10, 55)],
        "birth_weight_bin_50": [(500 + 50 * n,) for n in range(80)],
        "birth_weight_bin_10": [(500 + 10 * n,) for n in range(404)],
        "gestational_weeks_bin_1": [(week,) for week in range(25, 43)],
        "maternal_age_bin_1": [(age,) for age in range(10, 55)],
    }


def _promote(
    connection: sa.Connection, table: Table, axes: Mapping[str, Sequence[tuple[Any, ...]]]
) -> int:
    """A row for each combination of values, as a release leaves them; how many."""
    records.begin_writing(connection, table.domain)
    schema.create(connection, table)
    connection.execute(sa.text("drop table if exists incoming"))
    incoming = schema.incoming_table(table, "incoming")
    incoming.create(connection)
    given = {column.name for axis in table.grain for column in axis.columns}
    for number, axis in enumerate(table.grain):
        names = [column.name for column in axis.columns]
        columns = ", ".join(f"i.{name}" for name in names)
        connection.execute(sa.text(f"drop table if exists axis_{number}"))
        connection.execute(
            sa.text(f"create temp table axis_{number} as select {columns} from incoming i limit 0")
        )
        values = ", ".join(f":{name}" for name in names)
        rows = [dict(zip(names, row, strict=True)) for row in axes[axis.name]]
        connection.execute(sa.text(f"insert into axis_{number} values ({values})"), rows)
    chosen = ", ".join(
        column.name if column.name in given else _number(column.name)
        for column in table.stored_columns
    )
    names = ", ".join(f'"{column.name}"' for column in table.stored_columns)
    crossed = ", ".join(f"axis_{number}" for number in range(len(table.grain)))
    connection.execute(sa.text(f"insert into incoming ({names}) select {chosen} from {crossed}"))
    rows = connection.scalar(sa.text("select count(*) from incoming")) or 0
    for statement in encoding.dictionary_sql(table, "incoming"):
        connection.execute(sa.text(statement))
    connection.execute(sa.text(encoding.insert_sql(table, "incoming")))
    entered(connection, table, table.period.key(date(2023, 12, 1)), rows)
    return rows


def _number(name: str) -> str:
    """SQL of a made-up measure; what is counted of others is less than they are."""
    most = name == "total_births" or name.endswith("_known")
    return "400 + cast(100 * random() as integer)" if most else "cast(300 * random() as integer)"


async def _ask(production: Production) -> None:
    database = Database(production.reader, ApiSettings(statement_timeout=30))
    asker = Asker([table for table in TABLES if table.domain == "births"], database)
    print(f"\n{'median':>8}{'p95, ms':>9}  a question, {TIMES} times")
    try:
        for question in QUESTIONS:
            took = []
            for _ in range(TIMES + 2):
                started = time.perf_counter()
                answer = await asker.answer(read(question))
                took.append(1000 * (time.perf_counter() - started))
            took = sorted(took[2:])
            middle, late = took[len(took) // 2], took[int(len(took) * 0.95)]
            print(f"{middle:>8.1f}{late:>9.1f}  {question} <- {answer.table}", flush=True)
    finally:
        await database.close()


def look(production: Production, home: Path, pages: Sequence[str]) -> None:
    """Print how long pages take, and the most memory of the dashboard's own process after these
    and the page of each promoted table."""
    print(f"\n{'first':>8}{'then, s':>9}  a page")
    others = [f"/tables/{t.domain}.{t.published_name}" for t in TABLES if t.publish]
    others += [f"/pages/{page.name}" for own in registry.pages().values() for page in own.pages]
    with (
        commanded(production, home, "dashboard") as (base, process),
        httpx.Client(base_url=base, timeout=60) as client,
    ):
        for page in pages:
            took = []
            for _ in range(4):
                started = time.perf_counter()
                answer = client.get(page)
                took.append(time.perf_counter() - started)
            said = "" if answer.status_code == 200 else f" ({answer.status_code})"
            print(f"{took[0]:>8.2f}{min(took[1:]):>9.2f}  {page}{said}", flush=True)
        answers = [client.get(page).status_code for page in others]
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        (most,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    print(
        f"{len(answers)} other pages, {sum(code != 200 for code in answers)} failed;"
        f" the dashboard took {int(most) * 1024 / 1e6:,.0f} MB at most"
    )


if __name__ == "__main__":
    main()

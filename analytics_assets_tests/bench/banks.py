"""What the repository of metrics costs, beside what its brief projects: ``make bench-banks``.

Belongs here: a star of any size in production's own shape, and questions of random banks, metrics
and months, as an API asks them: one after another, on a connection that is open.
Does not belong here: what building and promoting costs.
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
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from analytics_assets import settings
from analytics_assets.core.declaration import Table
from analytics_assets.domains.bank_kpis.repository import MetricRepository, reading_engine
from analytics_assets.domains.bank_kpis.tables import TABLES
from analytics_assets.production import records, schema, server
from analytics_assets.production.promotion import production_engine

# Each question is asked five times: the best of them shows it without its neighbours' work.
WARM_UP, RUNS, REPEATS = 10, 200, 5
FIRST_YEAR = 2000


@dataclass(frozen=True)
class Size:
    """A star with a value in every cell, and what the brief projects for it, in ms."""

    banks: int
    metrics: int
    months: int
    projected: str

    @property
    def rows(self) -> int:
        return self.banks * self.metrics * self.months


SIZES = (
    Size(2, 10, 10, "< 5"),
    Size(5, 20, 20, "< 10"),
    Size(20, 20, 50, "< 50"),
    Size(50, 40, 100, "< 100"),
    Size(100, 80, 250, "none"),
)
_STAR: dict[str, Table] = {table.name: table for table in TABLES}
_MONTH = f"(({FIRST_YEAR} + m / 12) * 100 + m % 12 + 1)"
_ROWS = {
    "dim_bank": (
        "(bank_id, bank_code, bank_name, bank_type, level, institution_code, is_active)"
        " select b, 'BANK_' || b, 'Bank ' || b, 'individual', 'bank', 'C' || b, true"
        " from generate_series(1, :banks) as b"
    ),
    "dim_metric": (
        "(metric_id, metric_code, metric_name, metric_type, unit, precision, is_active, formula,"
        " description) select k, 'metric_' || k, 'Metric', 'ratio', '%', 2, true, 'x', 'A metric'"
        " from generate_series(1, :metrics) as k"
    ),
    "fact_monthly_kpi": (
        "(bank_id, metric_id, date_id, value, created_at, updated_at)"
        f" select b, k, {_MONTH}, random() * 1000, now(), now() from"
        " generate_series(1, :banks) as b, generate_series(1, :metrics) as k,"
        " generate_series(0, :months - 1) as m order by 1, 2, 3"
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-banks", description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="?", type=int, default=SIZES[-1].rows, help="at most")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-banks-"))
    folder.chmod(0o755)
    for name in ("ANALYTICS_LAKE", "PRODUCTION_URL", "DAGSTER_PG_URL"):
        os.environ.pop(name, None)
    os.environ["ANALYTICS_HOME"] = str(folder)
    try:
        print("fact rows   question      p50 ms   p95 ms  p95, best of 5   projected ms")
        for size in SIZES:
            if size.rows <= options.rows:
                _fill(size)
                asyncio.run(_measure(size))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fill(size: Size) -> None:
    with production_engine(server.urls(settings.load()).promoter) as engine:
        with engine.begin() as connection:
            records.begin_writing(connection, "bank_kpis")
            for name, rows in _ROWS.items():
                schema.create(connection, _STAR[name])
                connection.execute(
                    sa.text(f"insert into bank_kpis_store.{name} {rows}"),
                    {"banks": size.banks, "metrics": size.metrics, "months": size.months},
                )
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for name in _ROWS:
                connection.execute(sa.text(f"vacuum analyze bank_kpis_store.{name}"))


async def _measure(size: Size) -> None:
    draw = random.Random(size.rows)
    engine = reading_engine(server.urls(settings.load()).reader, pool_size=1)
    repository = MetricRepository(engine, "direct")

    def bank() -> str:
        return f"BANK_{draw.randint(1, size.banks)}"

    def metric() -> str:
        return f"metric_{draw.randint(1, size.metrics)}"

    def month() -> date:
        number = draw.randrange(size.months)
        return date(FIRST_YEAR + number // 12, number % 12 + 1, 1)

    async def nothing() -> list:
        async with engine.connect() as connection:
            return list(await connection.execute(sa.text("select 1")))

    questions: dict[str, Callable[[], Callable[[], Awaitable[list]]]] = {
        # What a question costs that asks nothing: what a busy machine adds to all of them.
        "select 1": lambda: nothing,
        "evolution": lambda: partial(
            repository.get_evolution, bank(), metric(), date(FIRST_YEAR, 1, 1), date(2100, 1, 1)
        ),
        "comparison": lambda: partial(
            repository.get_comparison, [bank() for _ in range(5)], metric(), month()
        ),
        "ranking": lambda: partial(repository.get_ranking, metric(), month(), 10),
    }
    try:
        for name, drawn in questions.items():
            taken, best = [], []
            for number in range(WARM_UP + RUNS):
                ask = drawn()
                times = [await _milliseconds(ask) for _ in range(REPEATS)]
                if number >= WARM_UP:
                    taken += times
                    best.append(min(times))
            print(
                f"{size.rows:>9,}   {name:<10}  {statistics.median(taken):>8.2f}"
                f" {_p95(taken):>8.2f} {_p95(best):>15.2f}   {size.projected}",
                flush=True,
            )
    finally:
        await engine.dispose()


async def _milliseconds(ask: Callable[[], Awaitable[list]]) -> float:
    started = time.perf_counter()
    assert await ask()
    return 1000 * (time.perf_counter() - started)


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


if __name__ == "__main__":
    main()

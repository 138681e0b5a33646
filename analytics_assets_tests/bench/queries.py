"""How fast production answers, and how big it is.

Belongs here: the queries that the brief of this project promises, word for word, through the role
that dashboards have.
Does not belong here: what building costs (``__main__.py``).
"""

from __future__ import annotations

import statistics
import time

from analytics_assets import settings
from analytics_assets.production import server
from analytics_assets.production.promotion import production_engine

WARM_UP, RUNS = 10, 200
QUERIES = {
    "months by municipality, 2024": """
SELECT
    municipality_name,
    month,
    total_births,
    cesarean_rate,
    preterm_rate
FROM agg_municipality_monthly
WHERE year = 2024
ORDER BY municipality_name, month;
""",
    "year over year by state": """
SELECT
    state_name,
    year,
    total_births,
    LAG(total_births) OVER (PARTITION BY state_name ORDER BY year) as prev_year,
    ROUND(100.0 * (total_births - LAG(total_births) OVER (PARTITION BY state_name ORDER BY year))
          / LAG(total_births) OVER (PARTITION BY state_name ORDER BY year), 2) as yoy_change_pct
FROM agg_state_yearly
ORDER BY state_name, year;
""",
    "7-day mean by region since 2024": """
SELECT
    region_name,
    date,
    total_births,
    AVG(total_births) OVER (PARTITION BY region_name ORDER BY date ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) as ma_7day
FROM agg_region_daily
WHERE date >= '2024-01-01'
ORDER BY region_name, date;
""",  # noqa: E501  (word for word)
    "months of São Paulo since 2020": """
SELECT
    year,
    month,
    total_births,
    cesarean_count,
    ROUND(100.0 * cesarean_count / total_births, 1) as cesarean_pct,
    preterm_count,
    low_birth_weight_count,
    mean_maternal_age,
    mean_gestational_weeks
FROM agg_municipality_monthly
WHERE municipality_code = '3550308'  -- São Paulo
  AND year >= 2020
ORDER BY year, month;
""",
}
_SIZE = """
select sum(pg_total_relation_size(relation.oid)) / 1e6
from pg_class as relation join pg_namespace as space on space.oid = relation.relnamespace
where space.nspname = 'births_store' and relation.relkind = 'r'
"""


def main() -> None:
    print(f"{'query on production':<34}{'rows':>9}{'p50 ms':>9}{'p95 ms':>9}")
    with (
        production_engine(server.urls(settings.load()).reader, read_only=True) as engine,
        engine.connect() as connection,
    ):
        for name, sql in QUERIES.items():
            seconds = []
            for _ in range(WARM_UP + RUNS):
                started = time.perf_counter()
                rows = connection.exec_driver_sql(sql).fetchall()
                seconds.append(time.perf_counter() - started)
            shares = statistics.quantiles(seconds[WARM_UP:], n=20)
            print(f"{name:<34}{len(rows):>9,}{1e3 * shares[9]:>9.1f}{1e3 * shares[18]:>9.1f}")
        size = connection.exec_driver_sql(_SIZE).scalar_one()
    budget = settings.load().production_budget_mb
    print(f"\nproduction: {size:,.0f} MB, indexes included, of {budget:,.0f} MB")


if __name__ == "__main__":
    main()

"""Every check fails at least once, on a defect planted for it; docs/checks.md is what they said.

``python -m analytics_assets_tests.warehouse.test_planted_defects`` writes and prints that page.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from analytics_assets import settings
from analytics_assets.core.declaration import Table
from analytics_assets.definitions import defs
from analytics_assets.production import server
from analytics_assets.production.promotion import production_engine
from analytics_assets.warehouse.lake import Lake
from analytics_assets_tests.ad_metrics.planted import DEFECTS as AD_METRICS
from analytics_assets_tests.bank_kpis.planted import DEFECTS as BANK_KPIS
from analytics_assets_tests.behavior.planted import DEFECTS as BEHAVIOR
from analytics_assets_tests.births.landed import FACT, RAW, csv_text, land, records
from analytics_assets_tests.clinic.planted import DEFECTS as CLINIC
from analytics_assets_tests.core.test_usual import rates
from analytics_assets_tests.production.test_promotion import send
from analytics_assets_tests.toy import EXTREMES, Memory, Sale, toy_tables
from analytics_assets_tests.warehouse.planted import (
    YEARS,
    Defect,
    Site,
    build,
    declared,
    evaluated,
    judged,
    memory,
    month,
    only,
)

TAIL = """
## How often `volume` and `drift` are right
From made-up series of nine years with a season, growth and more variance than chance: how often a
month with this defect is named, and how often one without it.

| defect | rows a month | named | without it |
|---|---|---|---|
{rates}
Of the thirteen real years of Acre (1,300 births a month) 650 partitions were checked, each beside
all other years and beside other years than those of its own file: 12 were named. Ten rightly: in
May 2001, January and February 2002 and June 2005 Apgar scores of 0 to 3 are ten times as many as
before and after, and in 2000 congenital anomalies were not asked for. Two were chance: 1 in 325.
"""
PAGE = Path(__file__).parents[2] / "docs" / "checks.md"
MONTH, DAY, YEAR = "2020-05", "2020-05-04", "2020"
HEAD = """# Checks that fail
Every check, a defect that was planted for it, and what it said. The last column says whether the
partition was held back. Written by
`python -m analytics_assets_tests.warehouse.test_planted_defects`.

What `volume` and `drift` find, and how often they are wrong, is at the end.

| check | defect | message | held back |
|---|---|---|---|
"""


# ---- the warehouse ------------------------------------------------------------------------------

Change = Callable[[Memory, dict[str, Table]], None]


def in_warehouse(
    change: Change, name: str, partition: str, before: Mapping[str, Sequence[str]] | None = None
) -> Callable[[Site, Defect], str]:
    """Change source or declarations, build the tables ``before``, then see this one judged."""

    def plant(site: Site, defect: Defect) -> str:
        with site.lake() as lake:
            source = memory()
            tables = declared(source)
            change(source, tables)
            for upstream, keys in (before or {}).items():
                assert not build(lake, tables[upstream], keys).failed()
            return judged(lake, tables[name], partition, defect)

    return plant


def sales(*more: Sale) -> Change:
    def change(source: Memory, tables: dict[str, Table]) -> None:
        source.months[MONTH] += more

    return change


def whole_month(rows: list[Sale]) -> Change:
    def change(source: Memory, tables: dict[str, Table]) -> None:
        source.months[MONTH] = rows

    return change


def sql(name: str, old: str, new: str) -> Change:
    """Other SQL of a table, as a mistake in its file would be."""

    def change(source: Memory, tables: dict[str, Table]) -> None:
        text = tables[name].sql
        assert text
        assert old in text
        tables[name] = replace(tables[name], sql=text.replace(old, new))

    return change


def thirty_times(source: Memory, tables: dict[str, Table]) -> None:
    """A day's sales, of which no two need be of other shops here."""
    source.months[MONTH] += [(date(2020, 5, 4), "a", 500)] * 60
    tables["raw_sales"] = replace(tables["raw_sales"], unique=())


def wrong_maximum(source: Memory, tables: dict[str, Table]) -> None:
    """A greatest price that is one cent less than it is."""
    daily = toy_tables(source, EXTREMES)[2]
    assert daily.sql
    text = daily.sql.replace("max(cents) as dearest", "max(cents) - 1 as dearest")
    assert text != daily.sql
    tables["agg_shop_daily"] = replace(daily, sql=text)


def broken_source(source: Memory, tables: dict[str, Table]) -> None:
    source.broken = {MONTH}


def june(source: Memory, tables: dict[str, Table]) -> None:
    source.months["2020-06"] = [(date(2020, 6, 3), "a", 500)]


def unreadable_births(site: Site, defect: Defect) -> str:
    """One in five weights of a month of births is no number."""
    with site.home("births") as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SINASC_SOURCE", str(home / "landing"))
        (home / "landing").mkdir(parents=True)
        rows = records(40)
        for number in range(8):
            rows[number]["PESO"] = "heavy"
        (home / "landing" / "SINASC_2024.csv").write_text(csv_text(rows))
        land([2024], tables=("raw_births", "rejected_births"))
        return judged(Lake(settings.load().lake), FACT, "2024-02", defect)


def birth_without_a_date(site: Site, defect: Defect) -> str:
    """A re-delivery in which the date of one of 240 births is no date any more."""
    with site.home("redelivered") as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SINASC_SOURCE", str(home / "landing"))
        (home / "landing").mkdir(parents=True)
        rows = records(240)
        file = home / "landing" / "SINASC_2024.csv"
        file.write_text(csv_text(rows))
        land([2024], tables=("raw_births",))
        rows[7]["DTNASC"] = "in May"
        file.write_text(csv_text(rows))
        return judged(Lake(settings.load().lake), RAW, "2024", defect)


FACTS = {"raw_sales": [MONTH], "fact_sales": [f"2020-05-{day:02}" for day in range(1, 32)]}


# ---- production and operations ------------------------------------------------------------------


def written_by_hand(site: Site, defect: Defect) -> str:
    with site.workspace() as workspace:
        tables = declared(memory())
        monthly = tables["agg_shop_monthly"]
        with production_engine(server.urls(settings.load()).promoter) as engine:
            send(engine, workspace, monthly, [f"{year}-05" for year in YEARS])
        owner = server.urls(settings.load()).promoter.replace("promoter@", "postgres@")
        with production_engine(owner) as engine, engine.begin() as connection:
            changed = "update toy_store.agg_shop_monthly set cents = cents + 1"
            where = "where (year, shop) = (2020, 'a')"
            assert connection.execute(sa.text(f"{changed} {where}")).rowcount == 1
        key = dg.AssetCheckKey(dg.AssetKey(["production", "toy", monthly.name]), defect.check)
        said = evaluated(workspace, list(tables.values()), only(key))
    return said[: said.index(".", said.index("The first")) + 1] + said[said.index(" If the vers") :]


def over_budget(site: Site, defect: Defect) -> str:
    with site.workspace() as workspace, pytest.MonkeyPatch.context() as patch:
        tables = list(declared(memory()).values())
        with production_engine(server.urls(settings.load()).promoter) as engine:
            send(engine, workspace, tables[3], [MONTH])
        patch.setenv("PRODUCTION_BUDGET_MB", "0.001")
        last = [table for table in tables if table.publish][-1]
        key = dg.AssetCheckKey(dg.AssetKey(["production", "toy", last.name]), defect.check)
        said = evaluated(workspace, tables, only(key))
    assert re.match(r"0\.\d 0\.001 ", said), "used and allowed MB"
    return said[said.index("Publish") :]


def late_file(site: Site, defect: Defect) -> str:
    with site.workspace() as workspace:
        source = memory()
        june(source, {})
        tables = list(declared(source).values())
        selection = dg.AssetSelection.assets(dg.AssetKey(["operations", "staleness"]))
        job = dg.Definitions(jobs=[dg.define_asset_job("planted", selection=selection)])
        said = evaluated(workspace, tables, job)
    (line,) = (line for line in said.splitlines() if "toy/raw_sales" in line)
    return line.strip("| ")


# ---- all of them --------------------------------------------------------------------------------

DEFECTS = (
    Defect(
        "contract",
        "a value of another type than its column",
        ("not of its column's type", "convert string '...' to INT32", "Mend"),
        in_warehouse(sql("fact_sales", ", cents", ", 'ten' as cents"), "fact_sales", DAY),
    ),
    Defect(
        "contract",
        "no value where one must be",
        ("shop is missing: 1 rows", "Mend"),
        in_warehouse(sql("fact_sales", "shop", "nullif(shop, 'b') as shop"), "fact_sales", DAY),
        quarantined=1,
    ),
    Defect(
        "contract",
        "a value below the smallest allowed",
        ("cents < 0: 1 rows", "Mend"),
        in_warehouse(sales((date(2020, 5, 4), "c", -1)), "raw_sales", MONTH),
        quarantined=1,
    ),
    Defect(
        "contract",
        "a value above the greatest allowed",
        ("cents > 100000: 1 rows", "Mend"),
        in_warehouse(sales((date(2020, 5, 4), "c", 100_001)), "raw_sales", MONTH),
        quarantined=1,
    ),
    Defect(
        "contract",
        "a value that is not in its code list",
        ("shop not in its code list: 1 rows", "Mend"),
        in_warehouse(sales((date(2020, 5, 4), "z", 5)), "raw_sales", MONTH),
        quarantined=1,
    ),
    Defect(
        "contract",
        "a row that is there twice",
        ('1 values of ("sold_on", "shop") stand more than once', "Mend"),
        in_warehouse(sales((date(2020, 5, 4), "a", 500)), "raw_sales", MONTH),
        quarantined=2,
    ),
    Defect(
        "contract",
        "a source file that cannot be used",
        ("memory 2020-05: it is broken", "Mend it"),
        in_warehouse(broken_source, "raw_sales", MONTH),
    ),
    Defect(
        "contract",
        "an upstream partition that was never built",
        ("were not built yet: toy/agg_shop_monthly 2020-06", "Build these first"),
        in_warehouse(
            june,
            "agg_yearly",
            YEAR,
            {
                "raw_sales": ["2020-06"],
                "fact_sales": ["2020-06-03"],
                "agg_shop_daily": ["2020-06"],
            },
        ),
    ),
    Defect(
        "reconciles",
        "a row that is lost",
        ("2 rows read, 1 written", "compare it with its upstream table"),
        in_warehouse(sql("fact_sales", "where", "where shop = 'a' and"), "fact_sales", DAY),
    ),
    Defect(
        "reconciles",
        "rows that are doubled",
        ("2 rows read, 4 written", "compare it with its upstream table"),
        in_warehouse(
            sql("fact_sales", "from toy.raw_sales", "from toy.raw_sales, range(2)"),
            "fact_sales",
            DAY,
        ),
    ),
    Defect(
        "reconciles",
        "rows that are moved to another partition",
        (
            "sales is 60, but 62 in toy/fact_sales; 2 more totals differ",
            "compare it with its upstream table",
        ),
        in_warehouse(
            sql("agg_shop_daily", "sold_on as day", "sold_on + 1 as day"), "agg_shop_daily", MONTH
        ),
    ),
    Defect(
        "reconciles",
        "all rows moved to another partition",
        ("no rows, but toy/fact_sales has some", "compare it with its upstream table"),
        in_warehouse(
            sql("agg_shop_daily", "sold_on as day", "sold_on + 31 as day"), "agg_shop_daily", MONTH
        ),
    ),
    Defect(
        "reconciles",
        "a measure that is off by one",
        ("sales is 63, but 62 in toy/fact_sales", "compare it with its upstream table"),
        in_warehouse(
            sql(
                "agg_shop_daily",
                "count(*) as sales",
                "count(*) + cast(any_value(shop = 'a' and sold_on = '2020-05-04') as integer)"
                " as sales",
            ),
            "agg_shop_daily",
            MONTH,
        ),
    ),
    Defect(
        "reconciles",
        "a greatest value that is too small",
        ("dearest is 1499, but 1500 in toy/fact_sales", "compare it with its upstream table"),
        in_warehouse(wrong_maximum, "agg_shop_daily", MONTH),
    ),
    Defect(
        "values_readable",
        "a column of which one value in five cannot be read",
        ("2024-02", "1 found", "Mend the file and run again"),
        unreadable_births,
        quarantined=8,
    ),
    Defect(
        "volume",
        "a day that came thirty times",
        ("62 rows, usually 0 to 18", "there is nothing to do"),
        in_warehouse(thirty_times, "fact_sales", DAY, {"raw_sales": [MONTH]}),
        blocks=False,
    ),
    Defect(
        "drift",
        "prices that are suddenly ten times as high",
        ("big_share is 100.00 percent, usually", "there is nothing to do"),
        in_warehouse(
            whole_month(month(2020, cents=5000)),
            "agg_yearly",
            YEAR,
            {**FACTS, "agg_shop_daily": [MONTH], "agg_shop_monthly": [MONTH]},
        ),
        blocks=False,
    ),
    Defect(
        "rows_still_landed",
        "a re-delivery in which the date of one of 240 births is no date any more",
        ("SINASC_2024.csv: 1, most as date of birth cannot be read, first row 8",),
        birth_without_a_date,
    ),
    Defect(
        "equals_warehouse",
        "a number in production that was changed by hand",
        (f"cents of {MONTH} is 62001 in production, 62000 in the warehouse", "drop table"),
        written_by_hand,
        blocks=False,
    ),
    Defect(
        "size_budget",
        "a domain that is larger in production than its budget",
        ("PRODUCTION_BUDGET_MB",),
        over_budget,
        blocks=False,
    ),
    Defect(
        "nothing_is_stale",
        "a file that came months ago and was never landed",
        ("toy/raw_sales", "2020-06 behind since 2020-06-01", "never built"),
        late_file,
        blocks=False,
    ),
    *AD_METRICS,
    *BANK_KPIS,
    *CLINIC,
    *BEHAVIOR,
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Site:
    return Site(tmp_path_factory.mktemp("planted"), postgres)


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.what)
def test_its_check_fails(site: Site, defect: Defect) -> None:
    message = site.message(defect)
    for words in defect.said:
        assert words in message


def test_every_check_has_a_planted_defect() -> None:
    """Those that every table gets, and those of one domain alone."""
    names = {key.name for key in defs().resolve_asset_graph().asset_check_keys}
    assert names == {defect.check for defect in DEFECTS}


def _told(site: Site, defect: Defect) -> str:
    """Its message, without the folder that it was planted in."""
    message = site.message(defect).replace("|", "\\|")
    return re.sub(rf"{re.escape(str(site.folder))}/[^/]+/", "", message)


def test_the_page_of_messages_is_current(site: Site) -> None:
    rows = [
        " | ".join((d.check, d.what, _told(site, d), "yes" if d.blocks else "")) for d in DEFECTS
    ]
    named = [f"| {what} | {n:,} | {f:.0%} | {sound:.1%} |\n" for what, n, f, sound in rates()]
    table = "".join(f"| {row} |\n".replace(" |  |", " | |") for row in rows)
    page = HEAD + table + TAIL.format(rates="".join(named))
    if os.environ.get("UPDATE_DOCS") == "1":
        PAGE.write_text(page)
    assert PAGE.read_text() == page, f"run: python -m {__name__}"


if __name__ == "__main__":
    os.environ["UPDATE_DOCS"] = "1"
    code = pytest.main(["-q", __file__])
    print(PAGE.read_text())
    sys.exit(code)

"""Every check fails at least once, on a defect planted for it; docs/checks.md is what they said.

``python -m analytics_assets_tests.warehouse.test_planted_defects`` writes and prints that page.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timezone
from itertools import count
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from analytics_assets import settings
from analytics_assets.ad_metrics.sample import write
from analytics_assets.ad_metrics.tables import (
    AD_PERFORMANCE_DAILY,
    daily_mixpanel_metrics,
    daily_mixpanel_metrics_breakdown,
    mixpanel_events,
    user_product_events,
)
from analytics_assets.behavior.sample import generate as generate_events
from analytics_assets.behavior.sources import EXPORT_SECONDS
from analytics_assets.behavior.tables import TABLES as EVENT_TABLES
from analytics_assets.behavior.tables import behavioral_events, export_quality
from analytics_assets.core.declaration import Table
from analytics_assets.definitions import build as definitions_of
from analytics_assets.definitions import defs
from analytics_assets.production import server
from analytics_assets.production.promotion import production_engine
from analytics_assets.warehouse.build import Builder, Outcome
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.quarantine import Quarantine
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.ad_metrics.landed import edit, pay_in_francs, point_at, small_world
from analytics_assets_tests.ad_metrics.landed import settle as settle_ads
from analytics_assets_tests.behavior.database import Database
from analytics_assets_tests.births.landed import FACT, csv_text, land, record, records
from analytics_assets_tests.conftest import as_admin, make_workspace
from analytics_assets_tests.production.test_promotion import send
from analytics_assets_tests.toy import Memory, Sale, settle, toy_tables
from analytics_assets_tests.workspace import Workspace

PAGE = Path(__file__).parents[2] / "docs" / "checks.md"
MONTH, DAY, YEAR = "2020-05", "2020-05-04", "2020"
YEARS = range(2016, 2021)
HEAD = """# Checks that fail
Every check, a defect that was planted for it, and what it said. The last column says whether the
partition was held back. Written by
`python -m analytics_assets_tests.warehouse.test_planted_defects`.

| check | defect | message | held back |
|---|---|---|---|
"""


def month(year: int, cents: int = 500) -> list[Sale]:
    """A small and a big sale on each day of May, each in its own shop."""
    return [
        (date(year, 5, day), shop, price)
        for day in range(1, 32)
        for shop, price in (("a", cents), ("b", cents + 1000))
    ]


class DatedMemory(Memory):
    """Sales of whose arrival the source knows."""

    def arrived(self, key: str, names: Sequence[str]) -> datetime | None:
        return datetime(2020, 6, 1, tzinfo=timezone.utc)


def memory() -> DatedMemory:
    source = DatedMemory()
    source.months = {f"{year}-05": month(year) for year in YEARS}
    return source


def declared(source: Memory) -> dict[str, Table]:
    """The toy tables by name, with all that a contract can say."""
    raw, fact, daily, *others = toy_tables(source)
    sold_on, shop, cents = fact.columns
    columns = (sold_on, shop, replace(cents, maximum=100_000))
    raw = replace(raw, columns=(*columns, *raw.columns[3:]), unique=("sold_on", "shop"))
    fact = replace(fact, columns=columns)
    return {table.name: table for table in (raw, fact, daily, *others)}


class Site:
    """Where defects are planted: a lake with May of five years, copied for each of them."""

    def __init__(self, folder: Path, postgres: str) -> None:
        self._folder, self._postgres = folder, postgres
        self._said: dict[str, str] = {}
        self._numbers = count()
        with self.home("sound"):
            assert settle(list(declared(memory()).values()), Lake(settings.load().lake)) == []

    def message(self, defect: Defect) -> str:
        """What the check said when the defect was planted, which is done once."""
        if defect.what not in self._said:
            self._said[defect.what] = defect.plant(self, defect)
        return self._said[defect.what]

    def _next(self) -> Path:
        return self._folder / f"planted-{next(self._numbers)}"

    @contextmanager
    def home(self, name: str) -> Iterator[Path]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ANALYTICS_HOME", str(self._folder / name))
            yield self._folder / name

    @contextmanager
    def lake(self) -> Iterator[Lake]:
        """A copy of the sound lake."""
        folder = self._next()
        shutil.copytree(self._folder / "sound", folder)
        with self.home(folder.name):
            yield Lake(settings.load().lake)

    @contextmanager
    def ads(self) -> Iterator[tuple[Path, Lake]]:
        """A copy of eight days of ads: the folder that holds what landed, and the lake."""
        sound = self._folder / "ads"
        with pytest.MonkeyPatch.context() as patch:
            if not sound.exists():
                write(small_world(1, days=8, ads=3, users=4), *point_at(patch, sound))
                assert settle_ads(Lake(settings.load().lake))[1] == []
            folder = self._next()
            shutil.copytree(sound, folder)
            point_at(patch, folder)
            yield folder, Lake(settings.load().lake)

    @contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """The sound lake, and a production database to which it was not promoted yet."""
        folder = self._next()
        folder.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            for workspace in make_workspace(folder, self._postgres, patch):
                shutil.copytree(self._folder / "sound", settings.load().home)
                yield workspace

    @contextmanager
    def events(self) -> Iterator[Database]:
        """An operational database with the events of 6 users in 14 days, and an empty lake."""
        name = f"planted_events_{next(self._numbers)}"
        as_admin(self._postgres, f"create database {name} owner promoter")
        database = Database(f"postgresql://promoter@/{name}?host={self._postgres}")
        generate_events(database.url, users=6, days=14, fewest=3)
        with self.home(name), pytest.MonkeyPatch.context() as patch:
            patch.setenv("BEHAVIOR_SOURCE_URL", database.url)
            yield database
        as_admin(self._postgres, f"drop database {name} with (force)")


@dataclass(frozen=True)
class Defect:
    """A check, what is wrong, words that the message must have, and how it is planted."""

    check: str
    what: str
    said: tuple[str, ...]
    plant: Callable[[Site, Defect], str]
    blocks: bool = True
    quarantined: int = 0


# ---- the warehouse ------------------------------------------------------------------------------

Change = Callable[[Memory, dict[str, Table]], None]


def build(lake: Lake, table: Table, partitions: Sequence[str]) -> Outcome:
    log = logging.getLogger("planted")
    log.setLevel(logging.CRITICAL)
    with open_session(settings.load()) as session:
        return Builder(session, Snapshot(lake), "test", log).build(table, partitions)


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


def judged(lake: Lake, table: Table, partition: str, defect: Defect) -> str:
    """Build a partition: this check alone fails, and nothing is published if it blocks."""
    live = lake.files(table)
    outcome = build(lake, table, [partition])
    (finding,) = outcome.findings
    assert finding.check == defect.check
    assert finding.blocking == defect.blocks
    assert outcome.failed() == ({partition} if defect.blocks else set())
    assert (lake.files(table) == live) == defect.blocks
    assert outcome.quarantined.get(partition, 0) == defect.quarantined
    assert list(Quarantine(lake, table).files()) == ([partition] if defect.quarantined else [])
    return finding.message


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
            rows[number] = record(CONTADOR=str(number + 1), PESO="heavy")
        (home / "landing" / "SINASC_2024.csv").write_text(csv_text(rows))
        land([2024], tables=("raw_births", "rejected_births"))
        return judged(Lake(settings.load().lake), FACT, "2024-02", defect)


# Seven days before the last one: its users are post-trial.
AD_DAY = "2025-01-01"


def in_ads_file(
    file: str, change: Callable[[list[dict]], None], *tables: Table
) -> Callable[[Site, Defect], str]:
    """Change the lines of a file that landed; the last of the tables is judged."""

    def plant(site: Site, defect: Defect) -> str:
        with site.ads() as (folder, lake):
            edit(folder / file, change)
            for upstream in tables[:-1]:
                assert not build(lake, upstream, [AD_DAY]).failed()
            return judged(lake, tables[-1], AD_DAY, defect)

    return plant


def in_ads_sql(table: Table, old: str, new: str) -> Callable[[Site, Defect], str]:
    """Other SQL of a table of ads, as a mistake in its file would be."""

    def plant(site: Site, defect: Defect) -> str:
        assert table.sql
        assert old in table.sql
        with site.ads() as (_, lake):
            return judged(lake, replace(table, sql=table.sql.replace(old, new)), AD_DAY, defect)

    return plant


def no_number(rows: list[dict]) -> None:
    rows[0]["spend"] = "much"


# A Friday, and the one after it.
EVENT_DAY, NEXT_WEEK = "2024-01-05", "2024-01-12"
_ONE_EVENT = (
    "id = (select min(id) from behavioral_events"
    f" where (\"timestamp\" at time zone 'UTC')::date = '{EVENT_DAY}')"
)
_EVENTS_OF_DAY = f"(\"timestamp\" at time zone 'UTC')::date = '{EVENT_DAY}'"


def in_events(statement: str, *tables: Table) -> Callable[[Site, Defect], str]:
    """Change the operational database; the last of the tables is judged."""

    def plant(site: Site, defect: Defect) -> str:
        with site.events() as database:
            database.run(statement)
            for upstream in tables[:-1]:
                assert not build(Lake(settings.load().lake), upstream, [EVENT_DAY]).failed()
            return judged(Lake(settings.load().lake), tables[-1], EVENT_DAY, defect)

    return plant


def old_event(site: Site, defect: Defect) -> str:
    """It belongs to no day, and so is judged with the first one that there is."""
    with site.events() as database:
        database.run(
            'update behavioral_events set "timestamp" = \'1999-12-31T23:00Z\', "dayOfWeek" = 4,'
            f' "timeOfDay" = 23 where {_ONE_EVENT}'
        )
        return judged(Lake(settings.load().lake), behavioral_events, "2000-01-01", defect)


def monitored(plant: Callable[[dg.DagsterInstance, Database], None]) -> Callable[..., str]:
    """What a check of the exports says of what was planted in instance, database and lake."""

    def planted(site: Site, defect: Defect) -> str:
        with site.workspace() as workspace, site.events() as database:
            plant(workspace.instance, database)
            key = dg.AssetCheckKey(dg.AssetKey(["behavior", "behavioral_events"]), defect.check)
            return evaluated(workspace, EVENT_TABLES, only(key))

    return planted


def failed_exports(instance: dg.DagsterInstance, database: Database) -> None:
    for status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS):
        exports = frozenset({dg.AssetKey(["behavior", "behavioral_events"])})
        instance.add_run(
            dg.DagsterRun(job_name="behavior_daily", status=status, asset_selection=exports)
        )


def slow_export(instance: dg.DagsterInstance, database: Database) -> None:
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            ["behavior", "behavioral_events"],
            partition=EVENT_DAY,
            metadata={EXPORT_SECONDS: 601.0},
        )
    )


def doubled_day(instance: dg.DagsterInstance, database: Database) -> None:
    rows = len(database.rows(NEXT_WEEK))
    for number in range(rows):
        database.insert_like(NEXT_WEEK, f"c{number:024}")
    days = [EVENT_DAY, NEXT_WEEK]
    assert not build(Lake(settings.load().lake), behavioral_events, days).failed()


FACTS = {"raw_sales": [MONTH], "fact_sales": [f"2020-05-{day:02}" for day in range(1, 32)]}


# ---- production and operations ------------------------------------------------------------------


def evaluated(workspace: Workspace, tables: Sequence[Table], job: dg.Definitions) -> str:
    """What the one check of the job ``planted`` says, which fails."""
    definitions = dg.Definitions.merge(definitions_of(tables), job)
    result = definitions.resolve_job_def("planted").execute_in_process(instance=workspace.instance)
    (found,) = result.get_asset_check_evaluations()
    assert not found.passed
    texts = [found.description or "", *(str(m.value) for m in found.metadata.values())]
    return " ".join(text for text in texts if text)


def only(*checks: dg.AssetCheckKey) -> dg.Definitions:
    selection = dg.AssetSelection.checks(*checks)
    return dg.Definitions(jobs=[dg.define_asset_job("planted", selection=selection)])


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
        ("not of its column's type", "'ten'", "Mend"),
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
        "values_readable",
        "a column of which one value in five cannot be read",
        ("2024-02", "1 found", "Mend the file and run again"),
        unreadable_births,
        quarantined=8,
    ),
    Defect(
        "numbers",
        "a spend that is no number",
        ("Spend, impressions, clicks and actions are numbers: 1 found", "Export the day again"),
        in_ads_file(
            f"meta_ads/ad_performance_daily/{AD_DAY}.jsonl", no_number, AD_PERFORMANCE_DAILY[0]
        ),
        quarantined=1,
    ),
    Defect(
        "currency_has_rate",
        "an amount in a currency without a rate",
        ("its currency has a rate on its day: 1 found (CHF)", "Add the currency"),
        in_ads_file(
            f"mixpanel/events/{AD_DAY}.jsonl", pay_in_francs, mixpanel_events, user_product_events
        ),
        quarantined=1,
    ),
    Defect(
        "count_is_length",
        "a count that is not the length of its list",
        ("Each count is the length of its user list", "sql/daily_metrics.sql"),
        in_ads_sql(
            daily_mixpanel_metrics,
            "coalesce(mixpanel_purchase_refund_count, 0)",
            "coalesce(mixpanel_purchase_refund_count, 0) + 1",
        ),
        quarantined=5,
    ),
    Defect(
        "subsets",
        "post-trial users who are no trial users",
        ("post-trial are trial users", "sql/user_product_metrics.sql"),
        in_ads_sql(
            daily_mixpanel_metrics,
            "coalesce(post_trial_user_ids, '[]')",
            "replace(coalesce(trial_user_ids, '[]'), 'device', 'other')",
        ),
        quarantined=4,
    ),
    Defect(
        "sums_to_main_row",
        "what adsets did stands under the id of their campaign",
        ("summed over a breakdown, is that of its main row", "sql/ad_performance.sql"),
        in_ads_sql(
            daily_mixpanel_metrics_breakdown,
            "when 'adset' then adset_id",
            "when 'adset' then campaign_id",
        ),
        quarantined=18,
    ),
    Defect(
        "contract",
        "an identifier of another form",
        ("userId not like ^c[a-z0-9]{24}$: 1 rows", "Mend"),
        in_events(
            f"update behavioral_events set \"userId\" = 'me' where {_ONE_EVENT}", behavioral_events
        ),
        quarantined=1,
    ),
    Defect(
        "timestamp_in_day",
        "an event in the year 1999",
        ("within the day of its partition: 1 found", "in the future or before 2000"),
        old_event,
        quarantined=1,
    ),
    Defect(
        "agrees_with_timestamp",
        "hours of another time zone",
        ("are those of the timestamp", "which has to be UTC"),
        in_events(
            'update behavioral_events set "timeOfDay" = mod("timeOfDay" + 1, 24)'
            f" where {_ONE_EVENT}",
            behavioral_events,
        ),
        quarantined=1,
    ),
    Defect(
        "phase_has_context",
        "a phase of an experiment of which nothing is known",
        ("has a contextMetadataId: 1 found", "Add the context"),
        in_events(
            f'update behavioral_events set "contextMetadataId" = null where {_ONE_EVENT}',
            behavioral_events,
        ),
        quarantined=1,
    ),
    Defect(
        "enough_users",
        "a day on which one user did everything",
        ("At least 5 users", "still records everybody"),
        in_events(
            f"delete from behavioral_events where {_EVENTS_OF_DAY} and"
            ' "userId" <> (select min("userId") from behavioral_events)',
            behavioral_events,
            export_quality,
        ),
        blocks=False,
    ),
    Defect(
        "required_not_null",
        "a day without scores",
        ("At most 10% of what the analyses need is NULL", "the release"),
        in_events(
            f'update behavioral_events set "sessionPerformanceScore" = null where {_EVENTS_OF_DAY}',
            behavioral_events,
            export_quality,
        ),
        blocks=False,
    ),
    Defect(
        "phases_known",
        "a day without experiments",
        ("NULL in at most 90%", "whether experiments still run"),
        in_events(
            f'update behavioral_events set "experimentPhase" = null where {_EVENTS_OF_DAY}',
            behavioral_events,
            export_quality,
        ),
        blocks=False,
    ),
    Defect(
        "export_success",
        "an export of two that failed",
        ("1 of 2 exports failed in 7 days", "failed runs"),
        monitored(failed_exports),
        blocks=False,
    ),
    Defect(
        "export_duration",
        "an export of a day that took 601 seconds",
        ("2024-01-05: 601 s", "index"),
        monitored(slow_export),
        blocks=False,
    ),
    Defect(
        "same_weekday",
        "a day with twice as many rows as a week before",
        ("a week before", "lost or doubled"),
        monitored(doubled_day),
        blocks=False,
    ),
    Defect(
        "volume",
        "a month of which half is missing",
        ("31 rows, usually 34 to 90", "there is nothing to do"),
        in_warehouse(whole_month(month(2020)[::2]), "agg_shop_daily", MONTH, FACTS),
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


def test_the_page_of_messages_is_current(site: Site) -> None:
    rows = [
        " | ".join(
            (d.check, d.what, site.message(d).replace("|", "\\|"), "yes" if d.blocks else "")
        )
        for d in DEFECTS
    ]
    page = HEAD + "".join(f"| {row} |\n".replace(" |  |", " | |") for row in rows)
    if os.environ.get("UPDATE_DOCS") == "1":
        PAGE.write_text(page)
    assert PAGE.read_text() == page, f"run: python -m {__name__}"


if __name__ == "__main__":
    os.environ["UPDATE_DOCS"] = "1"
    code = pytest.main(["-q", __file__])
    print(PAGE.read_text())
    sys.exit(code)

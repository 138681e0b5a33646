"""Volume and drift: what a partition is compared with, and what is unusual beside it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest

from analytics_assets import settings
from analytics_assets.core.columns import Measure, MeasureList, Ratio
from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import MONTHLY, WEEKLY, Period
from analytics_assets.warehouse.audit import Finding
from analytics_assets.warehouse.build import Builder, check_names
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.expectations import TOO_FEW
from analytics_assets.warehouse.lake import Lake, open_lake
from analytics_assets.warehouse.outcome import Outcome
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.toy import Memory, Sale, settle, toy_tables
from analytics_assets_tests.warehouse.test_quarantine import run

SHARE = Ratio("big_share", "big_sales", "sales", "Share.", "percent", 100)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path))
    return open_lake(settings.load().lake)


@contextmanager
def builder(lake: Lake) -> Iterator[Builder]:
    with open_session(settings.load()) as session:
        yield Builder(session, Snapshot(lake), "test", logging.getLogger("toy"))


def build(lake: Lake, table: Table, partitions: Sequence[str]) -> Outcome:
    with builder(lake) as found:
        return found.build(table, partitions)


def recheck(lake: Lake, table: Table) -> Outcome:
    with builder(lake) as found:
        return found.recheck(table)


def month(year: int, number: int, sales: int, cents: int = 500) -> list[Sale]:
    """So many sales of a month, evenly over its first 28 days and over three shops."""
    return [
        (date(year, number, n % 28 + 1), "abc"[n % 3], cents + 1000 * (n % 2)) for n in range(sales)
    ]


def facts(source: Memory, period: Period) -> Table:
    """The sales once more, by another period."""
    fact = toy_tables(source)[1]
    return Table(
        f"toy/fact_{period.name}",
        "facts",
        "Sales.",
        period,
        columns=fact.columns,
        time_column="sold_on",
        sql="select sold_on, shop, cents from toy.fact_sales",
        reads=(fact,),
    )


def unusual(outcome: Outcome, check: str) -> list[Finding]:
    return [finding for finding in outcome.findings if finding.check == check]


def compared(outcome: Outcome, check: str, partition: str) -> str:
    (row,) = (row for row in outcome.compared[check] if row["partition"] == partition)
    return str(row["compared with"])


def restate(lake: Lake, source: Memory, months: dict[str, list[Sale]]) -> dict[str, Outcome]:
    """Land months and build all that changes, a table in one run; what came of each table."""
    source.months |= months
    found = {}
    for table in toy_tables(source):
        keys = [behind.partition for behind in Snapshot(lake).behind(table)]
        found[table.name] = build(lake, table, keys)
    return found


def five_years() -> Memory:
    memory = Memory()
    for year in range(2016, 2021):
        memory.months |= {f"{year}-0{n}": month(year, n, 280) for n in (5, 6)}
    return memory


@pytest.fixture(scope="module")
def _sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which they are live."""
    home = tmp_path_factory.mktemp("sound")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANALYTICS_HOME", str(home))
        assert settle(toy_tables(five_years()), open_lake(settings.load().lake)) == []
    return home


@pytest.fixture
def source(_sound: Path, tmp_path: Path, lake: Lake) -> Memory:
    """May and June of 2016 to 2020, 280 sales each, live."""
    shutil.copytree(_sound, tmp_path, dirs_exist_ok=True)
    return five_years()


# ---- what is compared ---------------------------------------------------------------------------


def test_a_short_month_is_unusual_beside_the_same_month_of_other_years(
    lake: Lake, source: Memory
) -> None:
    months = facts(source, MONTHLY)
    build(lake, months, Snapshot(lake).candidates(months))
    source.months |= {"2021-05": month(2021, 5, 70), "2021-06": month(2021, 6, 280)}
    settle(toy_tables(source), lake)
    outcome = build(lake, months, ["2021-05"])
    (finding,) = unusual(outcome, "volume")
    assert not finding.blocking
    assert finding.summary == "70 rows, usually 221 to 350"
    assert finding.rows[0]["compared with"] == ", ".join(f"{y}-05: 280" for y in range(2016, 2021))
    assert "there is nothing to do" in finding.advice
    assert outcome.changed == ["2021-05"], "it is published all the same"


def test_nothing_is_learnt_from_the_partition_under_test(lake: Lake, source: Memory) -> None:
    """It was live with few rows, and is live with few again: that vouches for nothing."""
    restate(lake, source, {"2021-05": month(2021, 5, 28, cents=1)})
    outcome = restate(lake, source, {"2021-05": month(2021, 5, 28, cents=2)})["agg_weekly"]
    for row in outcome.compared["drift"]:
        assert row["partition"] not in row["compared with"]


def test_nor_from_what_is_built_with_it(lake: Lake, source: Memory) -> None:
    """A year's file brings all of its weeks, which are each other's neighbours."""
    found = restate(lake, source, {f"2021-0{n}": month(2021, n, 280) for n in (5, 6)})
    for check, rows in found["agg_weekly"].compared.items():
        assert rows
        assert all("2021" not in row["compared with"] for row in rows), check
    everything = restate(
        lake, source, {key: [(d, s, c + 1) for d, s, c in v] for key, v in source.months.items()}
    )
    assert {row["compared with"] for row in everything["agg_yearly"].compared["drift"]} == {TOO_FEW}


def test_checks_alone_compare_each_partition_with_the_others(lake: Lake, source: Memory) -> None:
    outcome = recheck(lake, toy_tables(source)[4])
    assert len(outcome.compared["drift"]) > 40
    for row in outcome.compared["drift"]:
        assert row["partition"] not in row["compared with"]


def test_days_are_compared_with_the_nearest_of_the_same_weekday(lake: Lake, source: Memory) -> None:
    outcome = recheck(lake, toy_tables(source)[1])
    day = date(2018, 6, 13)
    others = [
        date.fromisoformat(pair.split(": ")[0])
        for pair in compared(outcome, "volume", day.isoformat()).split("; ")[0].split(", ")
    ]
    assert len(others) == 8
    assert day not in others
    assert {other.weekday() for other in others} == {day.weekday()}
    assert sum(abs(other - day) < timedelta(days=60) for other in others) == 7


def test_weeks_are_compared_with_the_same_week_or_the_nearest(lake: Lake, source: Memory) -> None:
    outcome = recheck(lake, toy_tables(source)[4])
    week = date(2018, 5, 14)
    said, neighbours = compared(outcome, "drift", week.isoformat()).split("; ")
    years = {date.fromisoformat(key) for key in said.split(", ")}
    assert neighbours == "8 neighbours"
    assert {other.isocalendar()[1] for other in years} == {week.isocalendar()[1]}
    assert {other.year for other in years} == {2016, 2017, 2019, 2020}


def test_weeks_without_enough_years_are_compared_with_the_nearest(lake: Lake) -> None:
    memory = Memory()
    memory.months = {f"2020-0{n}": month(2020, n, 280) for n in range(1, 7)}
    tables = toy_tables(memory)
    settle(tables, lake)
    outcome = recheck(lake, tables[4])
    week = date(2020, 4, 13)
    assert compared(outcome, "drift", week.isoformat()) == "24 neighbours"


def test_too_few_partitions_pass_and_say_so(lake: Lake) -> None:
    memory = Memory()
    for year, sales in ((2018, 280), (2019, 280), (2020, 3)):
        memory.months[f"{year}-05"] = month(year, 5, sales)
    tables = toy_tables(memory)
    settle(tables, lake)
    outcome = recheck(lake, tables[5])
    assert unusual(outcome, "drift") == []
    assert compared(outcome, "drift", "2020") == TOO_FEW


def test_a_held_back_partition_is_no_reference(lake: Lake, source: Memory) -> None:
    """What is live of it is older than what its source says now."""
    raw, fact, *_ = toy_tables(source)
    day = "2018-05-04"
    assert day in compared(recheck(lake, fact), "volume", "2018-05-11")
    source.months["2018-05"] = [(d, s, c + 1) for d, s, c in source.months["2018-05"]]
    settle([raw], lake)
    loses = replace(fact, sql=f"{fact.sql} and (sold_on <> date '{day}' or shop = 'a')")
    assert build(lake, loses, [day]).failed() == {day}
    assert day not in compared(recheck(lake, fact), "volume", "2018-05-11")


def test_a_period_to_date_is_not_short(lake: Lake, source: Memory) -> None:
    """The weeks at both ends have few days; and they say nothing of other weeks."""
    source.months["2020-06"] = month(2020, 6, 280)[:9]
    settle(toy_tables(source), lake)
    weeks = facts(source, WEEKLY)
    build(lake, weeks, Snapshot(lake).candidates(weeks))
    outcome = recheck(lake, weeks)
    rows = outcome.compared["volume"]
    assert [row["partition"] for row in rows if "incomplete" in str(row.get("usually"))] == [
        "2016-04-25",
        "2020-06-08",
    ]
    assert "2020-06-08" not in {finding.partition for finding in outcome.findings}
    assert not any("2020-06-08" in row["compared with"] for row in rows)


# ---- drift --------------------------------------------------------------------------------------


def test_a_ratio_that_moves_is_named_with_its_range(lake: Lake, source: Memory) -> None:
    found = restate(lake, source, {"2021-05": month(2021, 5, 280, cents=0)})
    outcome = found["agg_weekly"]
    drifted = unusual(outcome, "drift")
    assert {finding.partition for finding in drifted} >= {"2021-05-10", "2021-05-17"}
    finding = drifted[0]
    assert not finding.blocking
    assert " percent in the midst of it and its neighbours, usually " in finding.summary
    assert outcome.changed


def test_all_ratios_that_move_are_counted(lake: Lake, source: Memory) -> None:
    source.months |= {f"2021-0{n}": month(2021, n, 280, cents=0) for n in (5, 6)}
    *finer, yearly = toy_tables(source)
    settle([*finer, yearly], lake)
    assert yearly.measures
    shares = (SHARE, Ratio("mean_price", "cents", "sales", "Mean.", "cents"))
    told = replace(yearly, measures=replace(yearly.measures, ratios=shares))
    (finding,) = [one for one in unusual(recheck(lake, told), "drift") if one.partition == "2021"]
    assert finding.summary == "big_share is 0.00 percent, usually 25.00 to 75.00; and 1 more"
    assert [row["ratio"] for row in finding.rows] == ["big_share", "mean_price"]


def test_only_totals_over_all_places_have_drift(source: Memory) -> None:
    names = {table.name: check_names(table) for table in toy_tables(source)}
    assert [name for name, checks in names.items() if "drift" in checks] == [
        "agg_weekly",
        "agg_yearly",
    ]
    assert [name for name, checks in names.items() if "volume" in checks] == ["fact_sales"]


def test_a_warning_is_shown_and_neither_blocks_nor_sticks(lake: Lake, source: Memory) -> None:
    source.months |= {f"2021-0{n}": month(2021, n, 280, cents=0) for n in (5, 6)}
    *finer, yearly = tables = toy_tables(source)
    settle(finer, lake)
    said, checks = run(tables, yearly, "2021")
    assert not said
    drift = checks["drift"]
    assert not drift.passed
    assert drift.severity == dg.AssetCheckSeverity.WARN
    assert "2021: drift: big_share is 0.00 percent, usually" in str(drift.metadata["what"].value)
    assert "2017, 2018, 2019, 2020" in str(drift.metadata["compared"].value)
    assert {file.key for file in lake.files(yearly)} >= {"2021"}
    assert all(found.passed for found in run(tables, yearly, "2020")[1].values())


# ---- like with like -----------------------------------------------------------------------------


def test_partitions_of_other_places_are_not_compared(lake: Lake, source: Memory) -> None:
    """A state that was not sent is no month of which most is missing."""
    source.months["2020-05"] = [(date(2020, 5, n % 28 + 1), "a", 500) for n in range(60)]
    tables = toy_tables(source)
    settle(tables, lake)
    by_shop = replace(facts(source, MONTHLY), alike_in="shop")
    build(lake, by_shop, Snapshot(lake).candidates(by_shop))
    outcome = recheck(lake, by_shop)
    assert compared(outcome, "volume", "2020-05") == TOO_FEW
    assert "2020-05" not in compared(outcome, "volume", "2019-05")
    anywhere = facts(source, MONTHLY)
    assert unusual(recheck(lake, anywhere), "volume"), "60 sales, where 280 are usual"


def test_a_place_that_all_neighbours_have_is_missed_by_name(lake: Lake) -> None:
    memory = Memory()
    memory.months = {f"2020-0{n}": month(2020, n, 280) for n in range(1, 8)}
    memory.months["2020-04"] = [sale for sale in memory.months["2020-04"] if sale[1] != "b"]
    settle(toy_tables(memory), lake)
    by_shop = replace(facts(memory, MONTHLY), alike_in="shop")
    build(lake, by_shop, Snapshot(lake).candidates(by_shop))
    (finding,) = unusual(recheck(lake, by_shop), "volume")
    assert (finding.partition, finding.summary) == (
        "2020-04",
        "no rows of b, which its neighbours have",
    )


def test_a_column_that_is_empty_throughout_is_named(lake: Lake) -> None:
    memory = Memory()
    memory.months = {f"{year}-05": month(year, 5, 280) for year in range(2015, 2021)}
    *finer, yearly = toy_tables(memory)
    settle([*finer, yearly], lake)
    assert yearly.measures
    known = Measure("known", "count(nullif(cents, 0))", "Sales with a price.", "sales")
    share = Ratio("known_share", "big_sales", "known", "Share.", "percent", 100)
    measured = MeasureList((*yearly.measures.measures, known), (share,))
    tables = toy_tables(memory, measured)
    memory.months["2021-05"] = [(day, shop, 0) for day, shop, _ in month(2021, 5, 280)]
    settle(tables, lake)
    (finding,) = [f for f in unusual(recheck(lake, tables[5]), "drift") if f.partition == "2021"]
    assert finding.summary == (
        "known_share is unknown in every row (cents is empty throughout),"
        " usually known in 100 percent"
    )

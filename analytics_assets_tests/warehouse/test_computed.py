"""Tables that a function computes, and tables that are kept with their rows and indexes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from analytics_assets import settings
from analytics_assets.core.columns import Column, DeclarationError
from analytics_assets.core.contracts import asset_key
from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import DAILY
from analytics_assets.core.source import SourceError, SourceUnavailable
from analytics_assets.warehouse import catalogue
from analytics_assets.warehouse.build import Builder
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.catalogue import _copied, mend_catalogue, refresh_catalogue
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.outcome import Outcome
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.toy import Memory, rows, settle, toy_tables
from analytics_assets_tests.workspace import Workspace, definitions_of, failures

MAY, JUNE = "2020-05", "2020-06"


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path))
    return Lake(settings.load().lake)


@pytest.fixture
def source() -> Memory:
    source = Memory()
    source.months = {MAY: [(date(2020, 5, 4), "a", 100), (date(2020, 5, 4), "b", 300)]}
    return source


def medians(frame: pd.DataFrame, report: dict) -> pd.DataFrame:
    """The median price, which must not depend on the order of the rows."""
    report["shops"] = len(frame["shop"].unique())
    middle = frame.groupby("shop", as_index=False)["cents"].median()
    return middle.rename(columns={"cents": "median_cents"})


def with_medians(source: Memory, compute=medians) -> list[Table]:
    tables = toy_tables(source)[:2]
    computed = Table(
        "toy/median_prices",
        "aggregates",
        "Median price of each shop.",
        columns=(
            Column("shop", "text", "The shop.", nullable=False, values=("a", "b", "c")),
            Column("median_cents", "decimal", "Median price.", "cents", minimum=0),
        ),
        unique=("shop",),
        sql="select shop, cents from toy.fact_sales",
        compute=compute,
        reads=(tables[1],),
    )
    return [*tables, computed]


def build(lake: Lake, table: Table, keys: list[str]) -> Outcome:
    with open_session(settings.load()) as session:
        return Builder(session, Snapshot(lake), "test", logging.getLogger("toy")).build(table, keys)


def test_a_function_makes_the_rows_of_what_the_sql_selects(lake: Lake, source: Memory) -> None:
    tables = with_medians(source)
    assert settle(tables, lake) == []
    assert [(shop, float(cents)) for shop, cents in rows(lake, tables[2])] == [
        ("a", 100),
        ("b", 300),
    ]
    source.months[MAY].append((date(2020, 5, 9), "a", 300))
    assert settle(tables, lake) == []
    assert [(shop, float(cents)) for shop, cents in rows(lake, tables[2])] == [
        ("a", 200),
        ("b", 300),
    ]
    version = lake.version(tables[2])
    assert settle(tables, lake) == []
    assert lake.version(tables[2]) == version
    assert build(lake, tables[2], ["all"]).reports == {"all": {"shops": 2}}


def test_its_rows_are_audited_as_any(lake: Lake, source: Memory) -> None:
    def negative(frame: pd.DataFrame, report: dict) -> pd.DataFrame:
        return medians(frame, report).assign(median_cents=-1)

    tables = with_medians(source, negative)
    (finding,) = settle(tables, lake)
    assert "median_cents < 0: 2 rows" in finding.summary
    assert lake.files(tables[2]) == []


def test_another_function_is_another_version(source: Memory) -> None:
    def others(frame: pd.DataFrame, report: dict) -> pd.DataFrame:
        return frame

    first, other = (with_medians(source, made)[2] for made in (medians, others))
    assert other.code_version != first.code_version


def test_a_function_needs_sql(source: Memory) -> None:
    with pytest.raises(DeclarationError, match="the rows that an sql selects"):
        replace(toy_tables(source)[0], compute=medians)


# ---- sources that are landed together -----------------------------------------------------------


class Days(Memory):
    """Sales by day; some are away."""

    away: frozenset[str] = frozenset()

    @contextmanager
    def land(self, landing) -> Iterator[list[str]]:
        if landing.key in self.away:
            raise SourceUnavailable("nobody answers", "memory", "Run again")
        with super().land(landing) as selects:
            yield selects


@pytest.fixture
def daily() -> tuple[Days, Table]:
    source = Days()
    source.months = {f"2020-05-{day:02}": [(date(2020, 5, day), "a", day)] for day in range(1, 31)}
    raw = toy_tables(source)[0]
    return source, replace(
        raw, period=DAILY, slice_period=None, slice_sql=None, time_column="sold_on"
    )


def test_days_share_commits_and_one_bad_day_holds_back_itself(
    lake: Lake, daily: tuple[Days, Table]
) -> None:
    source, table = daily
    source.months["2020-05-03"] = [(date(2020, 5, 3), "z", 1)]
    source.broken = {"2020-05-20"}
    outcome = build(lake, table, sorted(source.months))
    assert outcome.failed() == {"2020-05-03", "2020-05-20"}
    assert {file.key for file in lake.files(table)} == source.months.keys() - outcome.failed()
    assert lake.version(table) == 14, "made, 15 days together, then 13 beside the broken one"


def test_a_source_that_goes_away_leaves_whole_days(lake: Lake, daily: tuple[Days, Table]) -> None:
    source, table = daily
    days = sorted(source.months)
    source.away = frozenset(days[5:])
    outcome = build(lake, table, days)
    assert {file.key for file in lake.files(table)} == set(days[:5])
    (finding,) = outcome.findings
    assert finding.partition == days[5]
    assert "nobody answers" in finding.summary
    assert "24 more partitions wait for it" in finding.summary
    assert outcome.failed() == set(days[5:])
    again = [behind.partition for behind in Snapshot(lake).behind(table) if not behind.refused]
    assert again == days[5:]
    assert issubclass(SourceUnavailable, SourceError)


# ---- the catalogue ------------------------------------------------------------------------------


def kind(table: Table) -> tuple[str, int]:
    with duckdb.connect(str(settings.load().catalogue), read_only=True) as connection:
        ((found,),) = connection.execute(
            "select table_type from information_schema.tables where table_schema = ?"
            " and table_name = ?",
            [table.domain, table.name],
        ).fetchall()
        ((count,),) = connection.execute(f"select count(*) from {table.sql_name}").fetchall()
        return found, count


def test_a_table_is_kept_with_indexes_while_they_are_declared(lake: Lake, source: Memory) -> None:
    fact = toy_tables(source)[1]
    settle(toy_tables(source)[:2], lake)
    indexed = replace(fact, indexed=("shop, sold_on", "cents"))
    for table, expected in ((fact, "VIEW"), (indexed, "BASE TABLE"), (fact, "VIEW")):
        mend_catalogue(settings.load(), Snapshot(lake), [table])
        assert kind(table) == (expected, 2)
    source.months[MAY].append((date(2020, 5, 9), "a", 300))
    mend_catalogue(settings.load(), Snapshot(lake), [indexed])
    settle([toy_tables(source)[0], indexed], lake)
    refresh_catalogue(settings.load(), Snapshot(lake), [indexed])
    assert kind(indexed) == ("BASE TABLE", 3)
    with duckdb.connect(str(settings.load().catalogue), read_only=True) as connection:
        assert len(connection.execute("select * from duckdb_indexes()").fetchall()) == 2


def test_a_command_writes_the_catalogue_once_and_a_run_of_the_ui_at_once(
    workspace: Workspace, source: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def counted(config: settings.Settings, draft: Path) -> duckdb.DuckDBPyConnection:
        written.append(draft)
        return _copied(config, draft)

    monkeypatch.setattr(catalogue, "_copied", counted)
    tables = toy_tables(source)
    assert failures(workspace.refresh(tables=tables)) == []
    assert len(written) == 1
    assert [kind(table)[1] for table in tables[:2]] == [2, 2]
    source.months[MAY].append((date(2020, 5, 9), "a", 300))
    raw = definitions_of(tuple(tables)).resolve_job_def("toy_monthly")
    ran = raw.execute_in_process(
        partition_key=MAY, asset_selection=[asset_key(tables[0])], instance=workspace.instance
    )
    assert ran.success
    assert len(written) == 2
    assert [kind(table)[1] for table in tables[:2]] == [3, 2]


def test_indexes_are_of_columns_that_there_are(source: Memory) -> None:
    with pytest.raises(DeclarationError, match="no column, for indexed, 'price'"):
        replace(toy_tables(source)[1], indexed=("shop, price",))

"""Quarantine: the rows that hold a partition back, with their reasons, for as long as they do."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from analytics_assets import settings
from analytics_assets.core.columns import Column
from analytics_assets.core.contracts import asset_key
from analytics_assets.core.declaration import Check, Table
from analytics_assets.warehouse import quarantine as module
from analytics_assets.warehouse.audit import CONTRACT
from analytics_assets.warehouse.lake import Lake, open_lake
from analytics_assets.warehouse.quarantine import Quarantine
from analytics_assets.warehouse.session import open_session
from analytics_assets.warehouse.table_assets import warehouse_assets
from analytics_assets_tests.toy import Memory, toy_tables

MONTH, VIEW = "2024-01", "quarantine.toy_raw_sales"
GOOD = [(date(2024, 1, n), "a", 500) for n in range(1, 6)]


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Memory:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path))
    memory = Memory()
    memory.months[MONTH] = list(GOOD)
    return memory


def lake() -> Lake:
    return open_lake(settings.load().lake)


def run(
    tables: Sequence[Table], table: Table, partition: str = MONTH
) -> tuple[str, dict[str, Any]]:
    """Materialise a partition as the UI would: what a failing run says, and its checks' results."""
    definitions = dg.Definitions(
        assets=warehouse_assets(tables),
        jobs=[dg.define_asset_job("build", selection=[asset_key(table)])],
    )
    result = definitions.resolve_job_def("build").execute_in_process(
        instance=dg.DagsterInstance.ephemeral(), partition_key=partition, raise_on_error=False
    )
    said = ""
    for event in result.all_events:
        if event.event_type_value == "STEP_FAILURE":
            data = event.step_failure_data
            said = data.user_failure_data.description if data.user_failure_data else str(data.error)
    return said, {found.check_name: found for found in result.get_asset_check_evaluations()}


def ask(sql: str) -> list[tuple[Any, ...]]:
    """What any DuckDB client sees."""
    with duckdb.connect(str(settings.load().catalogue), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def views() -> list[str]:
    return [
        name
        for (name,) in ask("select view_name from duckdb_views() where schema_name='quarantine'")
    ]


def test_all_rows_at_fault_are_there_with_all_their_reasons(source: Memory) -> None:
    source.months[MONTH] = [
        *GOOD,
        (date(2024, 1, 7), "z", -5),
        (date(2024, 1, 8), "z", 7),
        *((date(2024, 1, 9), "a", -n) for n in range(1, 40)),
    ]
    raw, *_ = tables = toy_tables(source)
    said, checks = run(tables, raw)
    assert ask(f"select reason, count(*) from {VIEW} group by 1 order by 1") == [
        ("cents < 0", 39),
        ("shop not in its code list", 1),
        ("shop not in its code list; cents < 0", 1),
    ]
    assert ask(f"select sold_on, shop, cents, position from {VIEW} where cents = 7") == [
        (date(2024, 1, 8), "z", 7, 6)
    ]
    assert (
        'toy/raw_sales rows at fault (2024-01: 41 rows): make duckdb SQL="select reason, count(*)'
        f' from {VIEW} group by 1"'
    ) in said
    assert not checks[CONTRACT].passed
    assert ask("select count(*) from toy.raw_sales") == [(0,)]


def test_each_row_says_where_it_is_from(source: Memory) -> None:
    source.months[MONTH].append((date(2024, 1, 7), "a", -5))
    raw, *_ = tables = toy_tables(source)
    run(tables, raw)
    ((table, partition, run_id, moment),) = ask(
        f"select table_name, partition, run_id, epoch(held_back_at) from {VIEW}"
    )
    assert (table, partition) == ("toy/raw_sales", MONTH)
    assert len(run_id) == 36
    assert abs(moment - datetime.now(timezone.utc).timestamp()) < 60


def test_doubled_rows_are_there(source: Memory) -> None:
    raw, *_ = toy_tables(source)
    once = replace(raw, unique=("sold_on", "shop"))
    source.months[MONTH].append((date(2024, 1, 3), "a", 1))
    run([once], once)
    assert ask(f"select reason, sold_on, cents from {VIEW} order by cents") == [
        ("stands more than once", date(2024, 1, 3), 1),
        ("stands more than once", date(2024, 1, 3), 500),
    ]


def checked(raw: Table, sql: str, **declared: Any) -> Table:
    return replace(
        raw, unique=("position",), checks=(Check("cheap", "Is cheap", sql, "", **declared),)
    )


def test_rows_that_a_check_selects_are_there(source: Memory) -> None:
    raw, *_ = toy_tables(source)
    table = checked(raw, "select _partition, position from toy.raw_sales where position > 2")
    run([table], table)
    assert ask(f"select distinct reason, position from {VIEW} order by 2") == [
        ("cheap: Is cheap", 3),
        ("cheap: Is cheap", 4),
    ]


def test_rows_that_a_check_counts_are_there_where_it_says_which(source: Memory) -> None:
    raw, *_ = toy_tables(source)
    counts = "with n as (select _partition, shop, count(*) as n from toy.raw_sales group by all)"
    counts += " select * from n where n > 0 order by all"
    source.months[MONTH].append((date(2024, 1, 3), "b", 1))
    table = checked(raw, counts, at_fault="_broken.shop = _row.shop and _row.cents = 1")
    said, _ = run([table], table)
    assert ask(f"select shop, cents from {VIEW}") == [("b", 1)]
    assert "1 rows" in said
    unknown = checked(raw, counts)
    said, _ = run([unknown], unknown)
    assert "Is cheap" in said
    assert views() == [], "nothing tells which rows they are"


def test_a_warning_keeps_nothing(source: Memory) -> None:
    raw, *_ = toy_tables(source)
    table = checked(raw, "select _partition, position from toy.raw_sales", blocking=False)
    said, checks = run([table], table)
    assert not said
    assert not checks["cheap"].passed
    assert views() == []


def test_it_is_replaced_when_tried_again_and_gone_when_published(source: Memory) -> None:
    raw, *_ = tables = toy_tables(source)
    source.months[MONTH] = [*GOOD, (date(2024, 1, 7), "a", -1), (date(2024, 1, 7), "a", -2)]
    source.months["2024-02"] = [(date(2024, 2, 7), "a", -9)]
    for month in (MONTH, "2024-02"):
        run(tables, raw, month)
    assert ask(f"select partition, cents from {VIEW} order by cents desc") == [
        (MONTH, -1), (MONTH, -2), ("2024-02", -9),
    ]  # fmt: skip
    source.months[MONTH] = [*GOOD, (date(2024, 1, 7), "a", -3)]
    run(tables, raw)
    assert ask(f"select cents from {VIEW} order by cents desc") == [(-3,), (-9,)]
    source.months[MONTH] = list(GOOD)
    assert not run(tables, raw)[0]
    assert ask(f"select cents from {VIEW}") == [(-9,)]
    source.broken = {"2024-02"}
    assert "it is broken" in run(tables, raw, "2024-02")[0]
    assert views() == []
    assert Quarantine(lake(), raw).files() == {}


def test_a_run_that_dies_before_it_publishes_leaves_it(
    source: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.months[MONTH] = [*GOOD, (date(2024, 1, 7), "a", -1)]
    raw, *_ = tables = toy_tables(source)
    run(tables, raw)
    source.months[MONTH] = list(GOOD)

    def die(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(Lake, "publish", die)
    assert "not enough memory" in run(tables, raw)[0]
    assert ask(f"select cents from {VIEW}") == [(-1,)]


def test_the_number_of_rows_is_bounded_and_their_count_exact(
    source: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_ROWS", 10)
    source.months[MONTH] = [(date(2024, 1, 7), "a", -n) for n in range(1, 26)]
    raw, *_ = tables = toy_tables(source)
    said, _ = run(tables, raw)
    assert ask(f"select count(*) from {VIEW}") == [(10,)]
    assert "2024-01: 25 rows" in said


def test_a_column_of_the_same_name_is_kept(source: Memory) -> None:
    raw, *_ = toy_tables(source)
    table = replace(
        raw,
        columns=(
            Column("sold_on", "date", "Day."),
            Column("cents", "integer", "Price.", minimum=0),
            Column("reason", "text", "Why."),
        ),
        source=None,
        time_column="sold_on",
        sql="select sold_on, -cents as cents, shop as reason from toy.raw_sales",
        reads=(raw,),
        slice_sql=None,
        slice_period=None,
        key="toy/refunds",
    )
    run([raw, table], raw)
    run([raw, table], table)
    view = "quarantine.toy_refunds"
    assert ask(f"select distinct reason, row_reason from {view}") == [("cents < 0", "a")]


def test_runs_at_once_leave_one_whole_file(source: Memory) -> None:
    raw, *_ = toy_tables(source)
    rows = 3000

    def keep(number: int) -> int:
        with open_session(settings.load()) as session:
            session.execute("create schema toy")
            session.execute(
                "create view toy.raw_sales as select date '2024-01-01' as sold_on, 'a' as shop,"
                f" cast(-1 as integer) as cents, {number} as position, '{MONTH}' as _partition"
                f" from range({rows})"
            )
            quarantine = Quarantine(lake(), raw)
            moment = datetime.now(timezone.utc)
            for _ in range(5):
                quarantine.keep(session, MONTH, [MONTH], {CONTRACT}, f"run {number}", moment)
                found = session.execute(
                    f"select count(*), count(distinct run_id) from ({quarantine.select_sql()})"
                ).fetchall()
                assert found == [(rows, 1)]
        return number

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(keep, range(3))) == [0, 1, 2]
    assert list(Quarantine(lake(), raw).files()) == [MONTH]
    folder = Path(settings.load().lake) / "_quarantine" / "toy" / "raw_sales"
    assert [path.name for path in folder.iterdir()] == [f"{MONTH}.parquet"]

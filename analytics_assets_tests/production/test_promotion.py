"""Promotion: all or nothing, proven, with rights; on a real server."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow.parquet
import pytest
import sqlalchemy as sa

from analytics_assets import settings
from analytics_assets.production import server
from analytics_assets.production import transfer as module
from analytics_assets.production.promotion import PromotionError, production_engine
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.toy import SALES, Memory, settle, toy_tables
from analytics_assets_tests.workspace import Workspace, promote

MONTHS = {
    "2024-01": [(date(2024, 1, 5), "a", 500), (date(2024, 1, 9), "b", 2000)],
    "2024-02": [(date(2024, 2, 5), "c", 1500)],
}


@pytest.fixture
def source() -> Memory:
    memory = Memory()
    memory.months = dict(MONTHS)
    return memory


def send(engine: sa.Engine, workspace: Workspace, table, partitions):
    with open_session(settings.load()) as session:
        return promote(engine, session, Snapshot(workspace.lake), table, partitions, "run")


def test_only_changed_partitions_are_copied(
    source: Memory, workspace: Workspace, engine: sa.Engine
) -> None:
    *_, monthly, _, _ = tables = toy_tables(source)
    settle(tables, workspace.lake)
    assert send(engine, workspace, monthly, ["2024-01", "2024-02"]).copied == ["2024-01", "2024-02"]
    assert send(engine, workspace, monthly, ["2024-01", "2024-02"]).copied == []
    source.months = MONTHS | {"2024-02": [(date(2024, 2, 5), "c", 900)]}
    settle(tables, workspace.lake)
    assert send(engine, workspace, monthly, ["2024-01", "2024-02"]).copied == ["2024-02"]
    assert workspace.production(
        "select month, shop, sales, big_sales, cents, big_share from toy.agg_shop_monthly"
        " order by 1, 2"
    ) == [
        (1, "a", 1, 0, 500, 0), (1, "b", 1, 1, 2000, 100), (2, "c", 1, 0, 900, 0),
    ]  # fmt: skip
    assert [partition for _, partition in workspace.ledger()] == ["2024-01", "2024-02", "2024-02"]


def test_all_files_of_a_partition_are_copied(
    source: Memory, workspace: Workspace, engine: sa.Engine
) -> None:
    """DuckDB may split what it writes; a partition is then more than one file."""
    tables = toy_tables(source)
    settle(tables, workspace.lake)
    (whole,) = (file for file in workspace.lake.files(tables[3]) if file.key == "2024-01")
    rows = pyarrow.parquet.read_table(whole.uri, partitioning=None)
    halves = []
    for number in (0, 1):
        uri = whole.uri.replace(".parquet", f"-{number}.parquet")
        pyarrow.parquet.write_table(rows.slice(number, 1), uri)
        halves.append(replace(whole, uri=uri, rows=1, bytes=Path(uri).stat().st_size))
    workspace.lake.publish(tables[3], halves, ["2024-01"], {})
    assert send(engine, workspace, tables[3], ["2024-01"]).copied == ["2024-01"]
    assert workspace.production("select shop from toy.agg_shop_monthly order by 1") == [
        ("a",),
        ("b",),
    ]


def test_a_partition_that_became_empty_is_removed(
    source: Memory, workspace: Workspace, engine: sa.Engine
) -> None:
    tables = toy_tables(source)
    settle(tables, workspace.lake)
    send(engine, workspace, tables[3], ["2024-01", "2024-02"])
    source.months = MONTHS | {"2024-02": []}
    settle(tables, workspace.lake)
    assert send(engine, workspace, tables[3], ["2024-02"]).removed == ["2024-02"]
    assert workspace.production("select distinct month from toy.agg_shop_monthly") == [(1,)]


def test_rows_that_arrive_changed_are_not_shown(
    source: Memory, workspace: Workspace, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = toy_tables(source)
    settle(tables, workspace.lake)
    send(engine, workspace, tables[3], ["2024-01"])
    before = workspace.production("select * from toy.agg_shop_monthly")
    real = module._as_csv

    def damaged(session, table):
        for block in real(session, table):
            yield block.replace(b"1500", b"01500")  # the same number, but not the same bytes

    monkeypatch.setattr(module, "_as_csv", damaged)
    with pytest.raises(PromotionError, match="gave back other rows"):
        send(engine, workspace, tables[3], ["2024-02"])
    assert workspace.production("select * from toy.agg_shop_monthly") == before


def test_rows_written_by_hand_are_mended(
    source: Memory, workspace: Workspace, engine: sa.Engine
) -> None:
    tables = toy_tables(source)
    settle(tables, workspace.lake)
    send(engine, workspace, tables[3], ["2024-01"])
    with engine.begin() as connection:
        connection.execute(sa.text("delete from toy_store.agg_shop_monthly where shop = 'a'"))
    source.months = MONTHS | {"2024-01": [(date(2024, 1, 5), "a", 1)]}
    settle(tables, workspace.lake)
    done = send(engine, workspace, tables[3], ["2024-01"])
    assert done.mended == "promoter wrote to it beside the releases (delete)"
    assert workspace.production("select shop, cents from toy.agg_shop_monthly") == [("a", 1)]


def test_a_short_write_is_not_blamed_on_anybody(
    source: Memory, workspace: Workspace, engine: sa.Engine
) -> None:
    tables = toy_tables(source)
    settle(tables, workspace.lake)
    (whole,) = (file for file in workspace.lake.files(tables[3]) if file.key == "2024-01")
    workspace.lake.publish(tables[3], [replace(whole, rows=3)], ["2024-01"], {})
    done = send(engine, workspace, tables[3], ["2024-01"])
    assert not done.copied
    assert "log holds files of it that do not belong" in done.waiting["2024-01"]
    assert "by hand" not in done.waiting["2024-01"]
    assert workspace.production("select count(*) from toy.agg_shop_monthly") == [(0,)]
    assert send(engine, workspace, tables[3], ["2024-02"]).copied == ["2024-02"]


def test_a_changed_shape_moves_all_partitions_at_once(
    source: Memory, workspace: Workspace, engine: sa.Engine
) -> None:
    tables = toy_tables(source)
    settle(tables, workspace.lake)
    send(engine, workspace, tables[3], ["2024-01", "2024-02"])
    fewer = replace(SALES, measures=(SALES.measures[0], SALES.measures[2]), ratios=())
    changed = replace(tables[3], measures=fewer, rollup_of=replace(tables[2], measures=fewer))
    done = send(engine, workspace, changed, ["2024-01", "2024-02"])
    assert not done.copied
    assert "toy/agg_shop_monthly 2024-01 is not current" in done.waiting["2024-02"]
    assert len(workspace.production("select big_sales from toy.agg_shop_monthly")) == 3


def test_readers_see_views_and_nothing_else(
    source: Memory, workspace: Workspace, engine: sa.Engine
) -> None:
    tables = toy_tables(source)
    settle(tables, workspace.lake)
    send(engine, workspace, tables[3], ["2024-01"])
    url = server.urls(settings.load()).promoter.replace("promoter@", "dashboard_reader@")
    with production_engine(url) as reader, reader.connect() as connection:
        assert connection.scalar(sa.text("select count(*) from agg_shop_monthly")) == 2
        for statement in (
            "select * from toy_store.agg_shop_monthly",
            "delete from promotion.ledger",
            "insert into promotion.ledger (table_name) values ('x')",
            "create table toy.mine (x int)",
        ):
            with pytest.raises(sa.exc.DBAPIError, match=r"permission denied|read-only transaction"):
                connection.execute(sa.text(statement))
            connection.rollback()


def test_only_the_named_measures_are_promoted(
    source: Memory, workspace: Workspace, engine: sa.Engine
) -> None:
    *_, monthly, _, _ = tables = toy_tables(source)
    assert monthly.publish
    settle(tables, workspace.lake)
    publish = replace(monthly.publish, measures=("sales", "cents"))
    core = replace(monthly, publish=publish)
    assert send(engine, workspace, core, ["2024-01"]).copied == ["2024-01"]
    shown = "select * from toy.agg_shop_monthly order by shop"
    assert workspace.production(shown) == [(2024, 1, "a", 1, 500), (2024, 1, "b", 1, 2000)]
    # All of them again: the rows are of another shape, and are copied.
    assert send(engine, workspace, monthly, ["2024-01"]).copied == ["2024-01"]
    assert workspace.production(f"{shown.replace('*', 'shop, big_share')} desc") == [
        ("b", 100),
        ("a", 0),
    ]

"""The check that readers see what the warehouse holds: it fails whatever the ledger says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import dagster as dg
import pytest
import sqlalchemy as sa

from analytics_assets import settings
from analytics_assets.core.columns import Column
from analytics_assets.core.declaration import Publish, Table
from analytics_assets.production import server
from analytics_assets.production.promotion import production_engine
from analytics_assets.production.release_assets import production_assets, production_key
from analytics_assets.warehouse.table_assets import warehouse_assets
from analytics_assets_tests.production.test_promotion import MONTHS, send
from analytics_assets_tests.toy import EXTREMES, Memory, settle, toy_tables
from analytics_assets_tests.workspace import Workspace

KEYS = ["2024-01", "2024-02"]


@pytest.fixture
def tables(workspace: Workspace, engine: sa.Engine) -> list[Table]:
    """Toy tables, built, and the monthly one promoted."""
    source = Memory()
    source.months = dict(MONTHS)
    tables = toy_tables(source, EXTREMES)
    settle(tables, workspace.lake)
    send(engine, workspace, tables[3], KEYS)
    return tables


def check(workspace: Workspace, tables: Sequence[Table], table: Table) -> dg.AssetCheckEvaluation:
    """The check of a promoted table alone, as the UI's "Execute" button runs it."""
    selection = dg.AssetSelection.checks_for_assets(production_key(table))
    job = dg.Definitions(
        assets=[*warehouse_assets(tables), *production_assets(tables)],
        jobs=[dg.define_asset_job("check", selection=selection)],
    ).resolve_job_def("check")
    result = job.execute_in_process(instance=workspace.instance)
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation


def by_hand(statement: str) -> None:
    """What a superuser may do."""
    url = server.urls(settings.load()).promoter.replace("promoter@", "postgres@")
    with production_engine(url) as engine, engine.begin() as connection:
        assert connection.execute(sa.text(statement)).rowcount == 1


def test_what_was_promoted_passes(workspace: Workspace, tables: list[Table]) -> None:
    found = check(workspace, tables, tables[3])
    assert found.passed
    assert found.description == "3 rows of 2 partitions agree."
    assert found.metadata["size in bytes"].value > 0


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "update toy_store.agg_shop_monthly set cents = cents + 1 where shop = 'b'",
            "1 of 2 partitions differ. The first: cents of 2024-01 is 2501 in production, 2500 in"
            " the warehouse.",
        ),
        (
            "update toy_store.agg_shop_monthly set big_sales = null where shop = 'b'",
            "1 of 2 partitions differ. The first: big_sales of 2024-01 is 0 in production, 1 in"
            " the warehouse.",
        ),
        (
            "update toy_store.agg_shop_monthly set shop = 'd' where shop = 'c'",
            "1 of 2 partitions differ. The first: checksum of other columns of 2024-02 is",
        ),
        # Not the greatest of its partition, so that no total says it.
        (
            "update toy_store.agg_shop_monthly set dearest = dearest - 1 where shop = 'a'",
            "1 of 2 partitions differ. The first: checksum of other columns of 2024-01 is",
        ),
        (
            "delete from toy_store.agg_shop_monthly where shop = 'a'",
            "1 of 2 partitions differ. The first: rows of 2024-01 is 1 in production, 2 in the"
            " warehouse.",
        ),
        (
            "delete from toy_store.agg_shop_monthly where shop = 'c'",
            "1 of 2 partitions differ. The first: rows of 2024-02 is None in production, 1 in the"
            " warehouse.",
        ),
        (
            "insert into toy_store.agg_shop_monthly (year, month, shop, sales, cents)"
            " values (2023, 5, 'a', 1, 1)",
            "1 of 3 partitions differ. The first: rows of 2023-05 is 1 in production, None in the"
            " warehouse.",
        ),
    ],
)
def test_rows_written_by_hand_fail_it(
    workspace: Workspace, tables: list[Table], statement: str, told: str
) -> None:
    by_hand(statement)
    found = check(workspace, tables, tables[3])
    assert not found.passed
    assert str(found.description).startswith(told)


def test_its_advice_mends_what_was_written_by_hand(
    workspace: Workspace, tables: list[Table], engine: sa.Engine
) -> None:
    by_hand("delete from toy_store.agg_shop_monthly where shop = 'a'")
    advice = check(workspace, tables, tables[3]).metadata["what to do"].value
    assert 'drop table "toy_store"."agg_shop_monthly" cascade' in advice
    with engine.begin() as connection:
        connection.execute(sa.text('drop table "toy_store"."agg_shop_monthly" cascade'))
    assert not check(workspace, tables, tables[3]).passed
    assert send(engine, workspace, tables[3], KEYS).copied == KEYS
    assert check(workspace, tables, tables[3]).passed


def test_a_short_copy_fails_it_though_the_ledger_agrees(
    workspace: Workspace, tables: list[Table], engine: sa.Engine
) -> None:
    """All that the ledger and the log of the lake say is of a file with a row less."""
    lake, table = workspace.lake, tables[3]
    (whole,) = (file for file in lake.files(table) if file.key == "2024-01")
    by_hand("delete from toy_store.agg_shop_monthly where shop = 'a'")
    by_hand("update promotion.ledger set rows = 1 where partition = '2024-01'")
    lake.publish(table, [replace(whole, rows=1)], ["2024-01"], {})
    found = check(workspace, tables, table)
    assert not found.passed
    assert "| 2024-01 | rows | 1 | 2 |" in found.metadata["differences"].value
    assert "| 2024-01 | cents | 2000 | 2500 |" in found.metadata["differences"].value
    assert "| 2024-01 | rows by the version's name | 1 | 2 |" in found.metadata["differences"].value


def test_a_version_that_is_not_live_fails_it(
    workspace: Workspace, tables: list[Table], engine: sa.Engine
) -> None:
    by_hand("update promotion.ledger set fingerprint = '2-0' where partition = '2024-01'")
    found = check(workspace, tables, tables[3])
    assert not found.passed
    assert found.metadata["partitions that differ"].value == "2024-01"
    assert "version of 2024-01 is 2-0 in production" in str(found.description)


def test_a_table_without_measures_is_compared_row_by_row(
    workspace: Workspace, engine: sa.Engine
) -> None:
    source = Memory()
    source.months = {"2024-01": [(date(2024, 1, 5), "a", 500), (date(2024, 1, 9), "b", 2000)]}
    raw, fact, *_ = toy_tables(source)
    lists = Table(
        "toy/dim_shop",
        "dimensions",
        "Shops.",
        columns=(
            Column("shop", "text", "The shop.", nullable=False),
            Column("first_sale", "date", "Day of its first sale."),
            Column("mean_cents", "decimal", "Mean price."),
            Column("is_cheap", "boolean", "No price above 1000."),
            Column("nothing", "text", "Always unknown."),
        ),
        sql="select shop, min(sold_on) as first_sale, cast(avg(cents) as decimal(18, 4)) as"
        " mean_cents, max(cents) <= 1000 as is_cheap, cast(null as varchar) as nothing"
        " from toy.fact_sales group by shop",
        reads=(fact,),
        unique=("shop",),
        publish=Publish(),
    )
    tables = [raw, fact, lists]
    settle(tables, workspace.lake)
    send(engine, workspace, lists, ["all"])
    assert check(workspace, tables, lists).passed
    by_hand("update toy_store.dim_shop set mean_cents = mean_cents + 0.0001 where shop = 'a'")
    found = check(workspace, tables, lists)
    assert not found.passed
    assert "checksum of other columns of all" in str(found.description)


def test_a_table_that_was_never_promoted_fails_it(
    workspace: Workspace, tables: list[Table]
) -> None:
    found = check(workspace, tables, tables[2])
    assert not found.passed
    assert "rows of 2024-01 is None in production, 2 in the warehouse" in str(found.description)

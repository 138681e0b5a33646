"""Views that others made over a promoted one, when its table changes its shape."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
import sqlalchemy as sa

from analytics_assets import settings
from analytics_assets.core.declaration import Table
from analytics_assets.production import server
from analytics_assets.production.promotion import PromotionError, production_engine
from analytics_assets_tests.production.test_promotion import send
from analytics_assets_tests.toy import SALES, Memory, settle, toy_tables
from analytics_assets_tests.workspace import Workspace

MINE = "select * from public.best order by 1"


@pytest.fixture
def monthly(workspace: Workspace, engine: sa.Engine) -> Table:
    """A promoted table, a view over it, and a view over that and over the table."""
    memory = Memory()
    memory.months = {"2024-01": [(date(2024, 1, 5), "a", 500), (date(2024, 1, 9), "b", 2000)]}
    tables = toy_tables(memory)
    settle(tables, workspace.lake)
    send(engine, workspace, tables[3], ["2024-01"])
    run(
        engine,
        "create view public.mine as select shop, cents, 'a:b' as note from toy.agg_shop_monthly",
        "create view public.best as select shop, mine.cents from public.mine"
        " join toy.agg_shop_monthly using (shop) where note = 'a:b'",
        "comment on view public.best is 'Whose: ours'",
        "grant select on public.best to dashboard_reader",
    )
    return tables[3]


def run(engine: sa.Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def without(table: Table, measure: str, workspace: Workspace) -> Table:
    """The table, built anew without a measure."""
    kept = tuple(m for m in SALES.measures if m.name != measure)
    fewer = replace(SALES, measures=kept, ratios=())
    assert table.rollup_of
    changed = replace(table, measures=fewer, rollup_of=replace(table.rollup_of, measures=fewer))
    settle([changed], workspace.lake)
    return changed


def test_they_answer_on_with_their_comments_and_rights(
    monthly: Table, workspace: Workspace, engine: sa.Engine
) -> None:
    before = workspace.production(MINE)
    assert before == [("a", 500), ("b", 2000)]
    send(engine, workspace, without(monthly, "big_sales", workspace), ["2024-01"])
    columns = "select column_name from information_schema.columns where table_name = '{}'"
    assert ("big_sales",) not in workspace.production(columns.format(monthly.name))
    assert workspace.production(MINE) == before
    assert workspace.production("select obj_description('public.best'::regclass)") == [
        ("Whose: ours",)
    ]


def test_one_that_does_not_fit_any_more_is_named_and_nothing_changes(
    monthly: Table, workspace: Workspace, engine: sa.Engine
) -> None:
    before = workspace.production(MINE)
    changed = without(monthly, "cents", workspace)
    with pytest.raises(PromotionError, match=r"public\.mine .*\"cents\" does not exist.*Drop it"):
        send(engine, workspace, changed, ["2024-01"])
    assert workspace.production(MINE) == before
    run(engine, "drop view public.best", "drop view public.mine")
    assert send(engine, workspace, changed, ["2024-01"]).copied == ["2024-01"]


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("create materialized view public.kept as select * from public.best", "no plain view"),
        ("alter view public.best owner to postgres", "belongs to postgres"),
    ],
)
def test_one_that_could_not_be_made_again_is_named(
    monthly: Table, workspace: Workspace, engine: sa.Engine, statement: str, why: str
) -> None:
    owner = server.urls(settings.load()).promoter.replace("promoter@", "postgres@")
    with production_engine(owner) as admin:
        run(admin, statement)
    with pytest.raises(PromotionError, match=why):
        send(engine, workspace, without(monthly, "big_sales", workspace), ["2024-01"])
    assert workspace.production("select count(*) from toy.agg_shop_monthly") == [(2,)]

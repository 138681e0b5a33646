"""Where small cells are withheld, a change that is small itself waits for somebody."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from analytics_assets import settings
from analytics_assets.core.declaration import Table
from analytics_assets.production import server
from analytics_assets.production.promotion import production_engine
from analytics_assets.production.release import release
from analytics_assets.production.review import confirm
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.core.test_small_cells import K, with_threshold
from analytics_assets_tests.toy import Memory, Sale, settle, toy_tables
from analytics_assets_tests.workspace import Workspace

DAY = date(2024, 1, 2)
SALES: list[Sale] = [(DAY, shop, cents) for shop in "abc" for cents in (500, 1500)] * 9
QUERY = "select shop, sales, big_sales, cents from toy.agg_shop_daily order by 1"


class Shop:
    """The toy domain, released whenever something was sold."""

    def __init__(self, workspace: Workspace, tables: Sequence[Table], memory: Memory) -> None:
        self.workspace, self.tables, self.memory = workspace, tables, memory

    def sell(self, sales: list[Sale]) -> set[str]:
        """What is sold in all; why it waits."""
        self.memory.months = {"2024-01": sales}
        settle(self.tables, self.workspace.lake)
        return self.release()

    def release(self) -> set[str]:
        with (
            production_engine(server.urls(settings.load()).promoter) as engine,
            open_session(settings.load()) as session,
        ):
            snapshot = Snapshot(self.workspace.lake)
            return set(
                release(engine, session, snapshot, self.tables, "run", 80).put_on_hold.values()
            )

    def confirm(self) -> None:
        with production_engine(server.urls(settings.load()).promoter) as engine:
            for table in self.tables:
                with engine.begin() as connection:
                    confirm(connection, table)

    def seen(self) -> list[tuple]:
        return self.workspace.production(QUERY)


def test_a_change_by_a_few_waits_with_all_that_follows(workspace: Workspace) -> None:
    memory = Memory()
    shop = Shop(workspace, with_threshold(toy_tables(memory)), memory)
    assert not shop.sell(SALES)
    before = shop.seen()
    assert before == [(name, 18, 9, 18_000) for name in "abc"]

    # One more sale: the difference would be what one customer bought.
    one_more: list[Sale] = [*SALES, (DAY, "a", 1500)]
    why = shop.sell(one_more)
    assert {f"1 rows would change by fewer than {K}" in each for each in why} == {True}
    assert not any("1500" in each for each in why)
    assert shop.seen() == before
    assert workspace.production("select sum(sales)::int from toy.agg_yearly") == [(54,)]

    # As many as are shown go with what waited, and nothing is left on hold.
    enough: list[Sale] = [*SALES, *[(DAY, "a", 1500)] * K]
    assert not shop.sell(enough)
    assert shop.seen()[0] == ("a", 18 + K, 9 + K, 18_000 + K * 1500)

    # One price was mended: no count changes, and the sum says by how much.
    assert shop.sell([*enough[:-1], (DAY, "a", 1501)])
    shop.confirm()
    assert not shop.release()
    assert shop.seen()[0] == ("a", 18 + K, 9 + K, 18_001 + K * 1500)


def test_without_a_threshold_nothing_waits(workspace: Workspace) -> None:
    memory = Memory()
    shop = Shop(workspace, toy_tables(memory), memory)
    assert not shop.sell(SALES)
    assert not shop.sell([*SALES, (DAY, "a", 1500)])
    assert shop.seen()[0][1] == 19

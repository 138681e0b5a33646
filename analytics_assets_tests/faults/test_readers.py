"""Readers during promotions, and promotions at the same moment."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date

import psycopg2
import pytest

from analytics_assets import settings
from analytics_assets.core.declaration import Publish, Table
from analytics_assets.production import server
from analytics_assets.production.promotion import production_engine
from analytics_assets.production.release import Promotion
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.toy import Memory, settle, toy_tables
from analytics_assets_tests.workspace import Workspace, promote

KEYS = ["2024-01", "2024-02"]
# Rows and total of each month differ between the versions, so any mixture shows.
OLD = {
    "2024-01": [(date(2024, 1, 5), shop, 10) for shop in "ab"],
    "2024-02": [(date(2024, 2, 5), shop, 10) for shop in "ab"],
}
NEW = {
    "2024-01": [(date(2024, 1, 5), shop, 2000) for shop in "abc"],
    "2024-02": [(date(2024, 2, 5), shop, 3000) for shop in "abc"],
}
SEEN = {"old": {1: (2, 20), 2: (2, 20)}, "new": {1: (3, 6000), 2: (3, 9000)}}


@dataclass
class Toy:
    """Two whole versions of everything in the lake, each with a snapshot that sees it."""

    tables: Sequence[Table]
    snapshots: dict[str, Snapshot]

    @property
    def monthly(self) -> Table:
        return self.tables[3]

    def promote(self, version: str, partitions: list[str], table: Table | None = None) -> Promotion:
        with (
            open_session(settings.load()) as session,
            production_engine(server.urls(settings.load()).promoter) as engine,
        ):
            snapshot = self.snapshots[version]
            return promote(engine, session, snapshot, table or self.monthly, partitions, version)

    def at_once(self, *arguments: tuple) -> None:
        """Promotions that start together."""
        start = threading.Barrier(len(arguments))

        def one(given: tuple) -> None:
            start.wait()
            self.promote(*given)

        with ThreadPoolExecutor(len(arguments)) as pool:
            list(pool.map(one, arguments))


@pytest.fixture
def toy(workspace: Workspace) -> Toy:
    source = Memory()
    tables = toy_tables(source)
    snapshots = {}
    for version, months in (("old", OLD), ("new", NEW)):
        source.months = dict(months)
        assert settle(tables, workspace.lake) == []
        snapshots[version] = Snapshot(workspace.lake)
        for table in tables:
            snapshots[version].files(table)
    return Toy(tables, snapshots)


class Reader(threading.Thread):
    """Asks a question again and again, each time in a transaction of its own."""

    def __init__(self, question: str, stop: threading.Event) -> None:
        super().__init__()
        self._question = question
        self._stop_asking = stop
        self.answers: list[list[tuple]] = []
        self.error: Exception | None = None

    def run(self) -> None:
        url = os.environ["PRODUCTION_URL"].replace("promoter@", "dashboard_reader@")
        try:
            with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
                connection.autocommit = True
                while not self._stop_asking.is_set():
                    cursor.execute(self._question)
                    self.answers.append(cursor.fetchall())
        except Exception as error:
            self.error = error


BY_MONTH = (
    "select month, cast(count(*) as int), cast(sum(cents) as int) from agg_shop_monthly"
    " group by 1 order by 1"
)
ONE_MONTH = (
    "select cast(count(*) as int), cast(sum(cents) as int), min(cents), max(cents)"
    " from agg_shop_monthly where month = 1"
)
TWO_MONTHS = (
    "select shop, a.cents, b.cents from agg_shop_monthly a join agg_shop_monthly b using (shop)"
    " where a.month = 1 and b.month = 2 order by 1"
)
AGAINST_THE_LEDGER = (
    "select (select cast(sum(cents) as int) from agg_shop_monthly where month = 1),"
    " (select run_id from promotion.ledger where table_name = 'toy/agg_shop_monthly'"
    " and partition = '2024-01' order by id desc limit 1)"
)
WHOLE = {
    BY_MONTH: [[(m, *seen) for m, seen in SEEN[version].items()] for version in SEEN],
    ONE_MONTH: [[(2, 20, 10, 10)], [(3, 6000, 2000, 2000)]],
    TWO_MONTHS: [
        [("a", 10, 10), ("b", 10, 10)],
        [("a", 2000, 3000), ("b", 2000, 3000), ("c", 2000, 3000)],
    ],
    AGAINST_THE_LEDGER: [[(20, "old")], [(6000, "new")]],
}


def test_readers_see_whole_versions_only(toy: Toy) -> None:
    """50 promotions of two months each, every tenth of them into a table of another shape."""
    stop = threading.Event()
    toy.promote("old", KEYS)
    readers = [Reader(question, stop) for question in WHOLE]
    for reader in readers:
        reader.start()
    for number in range(50):
        version = ("new", "old")[number % 2]
        shape = toy.monthly
        if number % 10 == 9:
            shape = replace(shape, publish=Publish((("shop", "shop, year")[number % 20 > 10],)))
        assert toy.promote(version, KEYS, shape).copied == KEYS
    stop.set()
    for reader, whole in zip(readers, WHOLE.values(), strict=True):
        reader.join()
        assert reader.error is None
        assert [answer for answer in reader.answers if answer not in whole] == []
        assert all(version in reader.answers for version in whole)
        assert len(reader.answers) > 100


def seen(workspace: Workspace) -> dict[int, tuple[int, int]]:
    return {month: tuple(rest) for month, *rest in workspace.production(BY_MONTH)}


def last_entries(workspace: Workspace) -> dict[str, str]:
    return dict(
        workspace.production(
            "select partition, run_id from promotion.ledger"
            " where table_name = 'toy/agg_shop_monthly' order by id"
        )
    )


def test_two_promotions_of_the_same_partition_end_as_one(toy: Toy, workspace: Workspace) -> None:
    """At first there is no schema, so that both of them want to make it."""
    for _ in range(6):
        toy.at_once(("old", KEYS), ("new", KEYS))
        last = last_entries(workspace)
        assert last["2024-01"] == last["2024-02"]
        assert seen(workspace) == SEEN[last["2024-01"]]


def test_promotions_of_different_partitions_at_once_both_arrive(
    toy: Toy, workspace: Workspace
) -> None:
    for version in ("old", "new", "old"):
        toy.at_once((version, KEYS[:1]), (version, KEYS[1:]))
        assert seen(workspace) == SEEN[version]


def test_different_tables_at_once_into_an_empty_database(toy: Toy, workspace: Workspace) -> None:
    published = [table for table in toy.tables if table.publish]
    jobs = [
        ("new", sorted(file.key for file in toy.snapshots["new"].files(table)), table)
        for table in published
    ]
    toy.at_once(*jobs, *jobs)
    for table in published:
        (total,) = workspace.production(f"select cast(sum(cents) as int) from {table.sql_name}")
        assert total == (15000,)

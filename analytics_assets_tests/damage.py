"""A home of the toy domain whose files are damaged, and what it should hold all the same."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import sqlalchemy as sa

from analytics_assets import settings
from analytics_assets.automation.repair import repair
from analytics_assets.core.declaration import Table
from analytics_assets.core.source import SourceError
from analytics_assets.production.promotion import PromotionError, production_engine
from analytics_assets.production.release import release
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.catalogue import mend_catalogue
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.toy import Memory, Sale, rows, settle, toy_tables

Content = dict[str, list[tuple[Any, ...]]]
FIRST = date(2024, 1, 1)


class Home:
    """A lake in the home of the settings, built anew by what it takes; ``url`` is production's."""

    def __init__(self, url: str = "") -> None:
        self.source = Memory()
        self.tables = toy_tables(self.source)
        self.root = settings.load().lake
        self.url = url
        self.sales: list[Sale] = []

    @property
    def lake(self) -> Lake:
        """As a new process sees it, which remembers nothing."""
        return Lake(self.root)

    def table(self, name: str) -> Table:
        return next(table for table in self.tables if table.key == f"toy/{name}")

    def files(self, name: str) -> list[Path]:
        """The live files of a table."""
        return [Path(file.uri) for file in self.lake.files(self.table(name))]

    def log(self, name: str) -> list[Path]:
        """The commits of a table or, as ``_builds``, of the ledger."""
        folder = name if name.startswith("_") else f"toy/{name}"
        return sorted(Path(self.root, folder, "_delta_log").glob("*.json"))

    def sell(self, *sales: Sale) -> None:
        for sale in sales:
            assert sale[0]
            self.sales.append(sale)
            self.source.months.setdefault(f"{sale[0]:%Y-%m}", []).append(sale)

    def behind(self) -> dict[str, str]:
        """Table and partition -> why it is behind."""
        snapshot = Snapshot(self.lake)
        found = [one for table in self.tables for one in snapshot.behind(table)]
        return {f"{one.table.key} {one.partition}": one.why for one in found}

    def refresh(self, watch: Callable[[], None] = lambda: None) -> list[str]:
        """Run until nothing is behind, with a repair where a log asks for it; what was told."""
        told: list[str] = []
        last: object = None
        for _ in range(8):
            before = len(told)
            try:
                told += [finding.message for finding in settle(self.tables, self.lake)]
                told += self._promote()
                watch()
                snapshot = Snapshot(self.lake)
                behind = [one for table in self.tables for one in snapshot.behind(table)]
                idle = (not behind and len(told) == before) or behind == last
                if idle and mend_catalogue(settings.load(), snapshot, self.tables):
                    return told
                last = behind
            except SourceError as error:
                told.append(str(error))
                told += repair(settings.load(), self.tables)
        raise AssertionError(f"it does not come to rest: {told} {self.behind()}")

    def _promote(self) -> list[str]:
        if not self.url:
            return []
        with production_engine(self.url) as engine, open_session(settings.load()) as session:
            try:
                release(engine, session, Snapshot(self.lake), self.tables, "test")
            except PromotionError as error:
                return [str(error)]
        return []

    def content(self) -> Content:
        """Rows of the warehouse, read by the live files."""
        return {table.key: rows(self.lake, table) for table in self.tables}

    def production(self) -> Content:
        """Rows that readers see."""
        found: Content = {}
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            for table in (table for table in self.tables if table.publish):
                names = ", ".join(column.name for column in table.stored_columns)
                query = f"select {names} from {table.sql_name} order by {names}"
                found[table.key] = [tuple(row) for row in connection.exec_driver_sql(query)]
        return found

    def catalogue(self) -> Content:
        """Rows that any DuckDB client sees."""
        with closing(duckdb.connect(str(settings.load().catalogue), read_only=True)) as client:
            return {
                table.key: client.execute(
                    f"select {', '.join(column.name for column in table.stored_columns)}"
                    f" from {table.sql_name} order by all"
                ).fetchall()
                for table in self.tables
            }

    def wanted(self) -> Content:
        """What the tables should hold, worked out from the sales alone."""
        placed = [
            (day, shop, cents, place)
            for month in self.source.months.values()
            for place, (day, shop, cents) in enumerate(month)
        ]

        def summed(key: Callable[[date, str], tuple[Any, ...]]) -> list[tuple[Any, ...]]:
            count, big, cents = Counter(), Counter(), Counter()
            for day, shop, price, _ in placed:
                at = key(day, shop)
                count[at] += 1
                big[at] += price > 1000
                cents[at] += price
            return sorted((*at, count[at], big[at], cents[at]) for at in count)

        return {
            "toy/raw_sales": sorted(placed),
            "toy/fact_sales": sorted(sale[:3] for sale in placed),
            "toy/agg_shop_daily": summed(lambda day, shop: (day, shop)),
            "toy/agg_shop_monthly": summed(lambda day, shop: (day.year, day.month, shop)),
            "toy/agg_weekly": summed(lambda day, _: (day - timedelta(days=day.weekday()),)),
            "toy/agg_yearly": summed(lambda day, _: (day.year,)),
        }


def some_sales(seed: int, count: int) -> list[Sale]:
    chance = random.Random(seed)
    return [
        (FIRST + timedelta(days=chance.randrange(0, 60, 7)), chance.choice("abc"), n * 37 % 3000)
        for n in range(count)
    ]


def flip(path: Path, chance: random.Random) -> None:
    """One bit, anywhere."""
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def cut(path: Path, chance: random.Random) -> None:
    """What is left after any byte is gone."""
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size)])


def delete(path: Path, chance: random.Random) -> None:
    os.remove(path)

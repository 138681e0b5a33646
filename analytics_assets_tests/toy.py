"""A small domain for tests of what all domains share: sales of shops, from memory."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

from analytics_assets import settings
from analytics_assets.core import calendar
from analytics_assets.core.columns import Column, Dimension, Measure, MeasureList, Ratio
from analytics_assets.core.declaration import Publish, Table
from analytics_assets.core.partitions import DAILY, MONTHLY, WEEKLY, YEARLY
from analytics_assets.core.source import Landing, SourceError
from analytics_assets.warehouse.audit import Finding
from analytics_assets.warehouse.build import Builder
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.session import open_session

Sale = tuple[date | None, str, int]

SALES = MeasureList(
    (
        Measure("sales", "count(*)", "Sales.", "sales"),
        Measure("big_sales", "count(*) filter (where cents > 1000)", "Big.", "sales", usually="0"),
        Measure("cents", "coalesce(sum(cents), 0)", "Turnover.", "cents", "bigint"),
    ),
    (Ratio("big_share", "big_sales", "sales", "Share of big sales.", "percent", 100),),
)
# With what rolls up by its greatest and least: of no value, below zero, and with decimals.
EXTREMES = MeasureList(
    (
        *SALES.measures,
        Measure("dearest", "max(cents)", "The dearest sale.", "cents"),
        Measure("cheapest_big", "min(cents) filter (where cents > 1000)", "Of big.", "cents"),
        Measure("best", "max(1000 - cents)", "The most below 1000.", "cents", minimum=None),
        Measure("dearest_usd", "max(cents / 300)", "Its dollars.", "USD", "decimal"),
    ),
    (*SALES.ratios, Ratio("dearest_share", "dearest", "cents", "Its share.", "percent", 100)),
)
SHOP = Dimension("shop", (Column("shop", "text", "The shop.", nullable=False),))
DAY = calendar.day()
WEEK = calendar.week()
MONTH = calendar.month()
YEAR = calendar.year()


class Memory:
    """Sales by month, as a source; ``broken`` months cannot be landed."""

    def __init__(self) -> None:
        self.months: dict[str, list[Sale]] = {}
        self.broken: set[str] = set()

    def inputs(self) -> dict[str, dict[str, str]]:
        return {
            month: {"memory": hashlib.sha256(repr(rows).encode()).hexdigest()}
            for month, rows in self.months.items()
        }

    @contextmanager
    def land(self, landing: Landing) -> Iterator[list[str]]:
        if landing.key in self.broken:
            raise SourceError("it is broken", f"memory {landing.key}", "Mend it")
        rows = self.months.get(landing.key, [])
        landing.report["sales"] = len(rows)
        listed = ", ".join(
            f"({f'date {chr(39)}{day}{chr(39)}' if day else 'null'}, '{shop}', {cents}, {i})"
            for i, (day, shop, cents) in enumerate(rows)
        )
        values = f"select * from (values {listed}) as t (sold_on, shop, cents, position)"
        yield [values] if rows else []


def toy_tables(source: Memory, measured: MeasureList = SALES) -> list[Table]:
    """raw (month, sliced by day) -> fact (day) -> shop and day -> month, week -> year."""
    columns = (
        Column("sold_on", "date", "Day of the sale."),
        Column("shop", "text", "The shop.", nullable=False, values=("a", "b", "c")),
        Column("cents", "integer", "Price.", "cents", minimum=0),
    )
    raw = Table(
        "toy/raw_sales",
        "sources",
        "Sales as landed.",
        MONTHLY,
        columns=(*columns, Column("position", "integer", "Place in the source.")),
        source=source,
        slice_period=DAILY,
        slice_sql="strftime(sold_on, '%Y-%m-%d')",
    )
    fact = Table(
        "toy/fact_sales",
        "facts",
        "Sales.",
        DAILY,
        columns=columns,
        time_column="sold_on",
        sql="select sold_on, shop, cents from toy.raw_sales where sold_on is not null",
        reads=(raw,),
        keeps_rows=True,
    )
    measures = ", ".join(f"{m.sql} as {m.name}" for m in measured.measures)
    daily = Table(
        "toy/agg_shop_daily",
        "aggregates",
        "Sales by shop and day.",
        MONTHLY,
        grain=(DAY, SHOP),
        sql=f"select sold_on as day, shop, {measures} from toy.fact_sales group by all",
        reads=(fact,),
        measures=measured,
        measured_from=fact,
        publish=Publish(("shop",)),
    )

    def rollup(name: str, of: Table, period: Any, *grain: Dimension) -> Table:
        return Table(
            f"toy/{name}",
            "aggregates",
            f"{name}.",
            period,
            grain=grain,
            rollup_of=of,
            measures=measured,
            publish=Publish(),
        )

    monthly = rollup("agg_shop_monthly", daily, MONTHLY, MONTH, SHOP)
    weekly = rollup("agg_weekly", daily, WEEKLY, WEEK)
    yearly = rollup("agg_yearly", monthly, YEARLY, YEAR)
    return [raw, fact, daily, monthly, weekly, yearly]


def settle(tables: Sequence[Table], lake: Lake) -> list[Finding]:
    """Build everything that is behind, as the automation would; what held partitions back."""
    findings: list[Finding] = []
    log = logging.getLogger("toy")
    log.setLevel(logging.CRITICAL)
    with open_session(settings.load()) as session:
        builder = Builder(session, Snapshot(lake), "test", log)
        for table in tables:
            keys = [b.partition for b in Snapshot(lake).behind(table) if not b.refused]
            if keys:
                builder = Builder(session, Snapshot(lake), "test", log)
                findings += [f for f in builder.build(table, keys).findings if f.blocking]
    return findings


def rows(lake: Lake, table: Table) -> list[tuple[Any, ...]]:
    """All rows of a table, in an order of their own."""
    from analytics_assets.warehouse.session import expose

    with open_session(settings.load()) as session:
        expose(session, table, [file.uri for file in lake.files(table)])
        names = ", ".join(column.name for column in table.stored_columns)
        return session.execute(f"select {names} from {table.sql_name} order by all").fetchall()

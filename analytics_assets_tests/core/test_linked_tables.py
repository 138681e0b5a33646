"""Tables that count the same rows in different ways: together they give no small number away.

Parcels are counted by the shop that sends and by the shop that receives them, by size and by
colour, and their measures say something of each other in every way that can be declared.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import duckdb
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_assets.core import calendar
from analytics_assets.core.columns import (
    Column,
    Dimension,
    Measure,
    MeasureList,
    Ratio,
)
from analytics_assets.core.contracts import sql_type
from analytics_assets.core.declaration import Publish, Table
from analytics_assets.core.partitions import DAILY, MONTHLY, WEEKLY, YEARLY, Period
from analytics_assets.core.rollups import build_sql
from analytics_assets.core.small_cells import protect
from analytics_assets_tests.reader import Attack, Knowledge, Of, Published

K = 3
DAYS = [date(2023, 12, 24) + timedelta(days=5 * n) for n in range(8)]
MEASURES = MeasureList(
    (
        Measure("parcels", "count(*)", "Parcels.", "parcels"),
        Measure("large", "count(*) filter (where size in ('L', 'XL'))", "Large.", "parcels"),
        Measure("sized", "count(size)", "Of known size.", "parcels"),
        Measure(
            "huge", "count(*) filter (where size = 'XL')", "Huge.", "parcels", part_of=("large",)
        ),
        Measure("huge_sized", "count(size)", "Of known size.", "parcels", same_as="sized"),
        Measure(
            "tiny", "count(*) filter (where size = 'S')", "Tiny.", "parcels", apart_from=("large",)
        ),
        Measure("red", "count(*) filter (where colour = 'red')", "Red.", "parcels"),
        Measure("grams", "coalesce(sum(grams), 0)", "Weight.", "grams", "bigint"),
        Measure("weighed", "count(grams)", "Weighed.", "parcels"),
        Measure("away", "count(*) filter (where sender <> receiver)", "To another shop.", "parcels",
                elsewhere=True),
        Measure("addressed", "count(receiver)", "With a receiver.", "parcels"),
    ),
    (
        Ratio("large_share", "large", "sized", "Share.", "percent", 100),
        Ratio("huge_share", "huge", "huge_sized", "Share.", "percent", 100),
        Ratio("tiny_share", "tiny", "sized", "Share.", "percent", 100),
        Ratio("mean_grams", "grams", "weighed", "Mean.", "grams"),
        Ratio("away_share", "away", "addressed", "Share.", "percent", 100),
    ),
)  # fmt: skip
SHOP = Dimension("shop", (Column("shop", "text", "The shop.", nullable=False),))
KIND = Dimension(
    "kind",
    (
        Column("breakdown", "text", "Of what.", nullable=False),
        Column("category", "text", "Which.", nullable=False),
    ),
    keys=2,
)
DAY, WEEK, MONTH, YEAR = calendar.day(), calendar.week(), calendar.month(), calendar.year()
_MONTHLY, _YEARLY = ("month", "make_date(year, month, 1)"), ("year", "make_date(year, 1, 1)")
KNOWN = Knowledge(
    "post",
    {
        "agg_shop_daily": Of("shop", ("shop",), "day", "day"),
        "agg_weekly": Of("whole", (), "week", "week"),
        "agg_shop_monthly": Of("shop", ("shop",), *_MONTHLY),
        "agg_shop_yearly": Of("shop", ("shop",), *_YEARLY),
        "agg_yearly": Of("whole", (), *_YEARLY),
        "agg_receiver_monthly": Of("receiver", ("shop",), *_MONTHLY),
        "agg_receiver_yearly": Of("receiver", ("shop",), *_YEARLY),
        "agg_kind_yearly": Of("category", ("shop", "breakdown", "category"), *_YEARLY,
                              ("shop", ("shop",))),
    },
    [measure.name for measure in MEASURES.measures],
    "parcels",
    [("large", "sized"), ("tiny", "sized"), ("huge", "large"), ("red", "parcels"),
     ("sized", "parcels"), ("weighed", "parcels"), ("addressed", "parcels"), ("away", "addressed")],
    {"sized": ["huge_sized"]},
    [("large", "tiny", "sized")],
    {"grams": ("weighed", 100, 900)},
    {"size": ["large", "huge", "tiny", "sized"], "colour": ["red"]},
    ("away", "addressed", "shop", "receiver"),
    lambda shop: shop == "?",
)  # fmt: skip


def declared() -> list[Table]:
    """The tables, protected."""
    columns = (
        Column("sent_on", "date", "Day."),
        *(Column(name, "text", name) for name in ("sender", "receiver", "size", "colour")),
        Column("grams", "integer", "Weight.", "grams"),
    )
    fact = Table("post/fact_parcels", "facts", "Parcels.", DAILY, columns=columns,
                 time_column="sent_on", sql="select * from post.raw")  # fmt: skip
    listed = ", ".join(f"{measure.sql} as {measure.name}" for measure in MEASURES.measures)

    def counted(name: str, period: Period, keys: str, *grain: Dimension, **more) -> Table:
        return Table(
            f"post/{name}", "aggregates", name, period, grain=grain, measures=MEASURES,
            sql=f"select {keys}, {listed} from post.fact_parcels group by {more.pop('by', 'all')}",
            reads=(fact,), measured_from=fact, publish=Publish(threshold=K), **more,
        )  # fmt: skip

    def rolled(name: str, of: Table, period: Period, *grain: Dimension) -> Table:
        return Table(f"post/{name}", "aggregates", name, period, grain=grain, rollup_of=of,
                     measures=MEASURES, publish=Publish(threshold=K))  # fmt: skip

    daily = counted("agg_shop_daily", MONTHLY, "sent_on as day, sender as shop", DAY, SHOP)
    month = "year(sent_on) as year, month(sent_on) as month"
    receiver = counted("agg_receiver_monthly", MONTHLY,
                       f"{month}, coalesce(receiver, '?') as shop", MONTH, SHOP)  # fmt: skip
    monthly = rolled("agg_shop_monthly", daily, MONTHLY, MONTH, SHOP)
    yearly = rolled("agg_shop_yearly", monthly, YEARLY, YEAR, SHOP)
    kind = counted(
        "agg_kind_yearly", YEARLY,
        "year(sent_on) as year, sender as shop,"
        " case when grouping(size) = 0 then 'size' else 'colour' end as breakdown,"
        " coalesce(size, colour, 'unknown') as category",
        YEAR, SHOP, KIND, each=("breakdown",), parts_of=yearly,
        decides={"size": ("large", "huge", "tiny", "sized"), "colour": ("red",)},
        by="grouping sets ((year(sent_on), sender, size), (year(sent_on), sender, colour))",
    )  # fmt: skip
    return list(
        protect(
            [
                fact, daily, rolled("agg_weekly", daily, WEEKLY, WEEK), monthly, yearly,
                rolled("agg_yearly", yearly, YEARLY, YEAR), receiver,
                rolled("agg_receiver_yearly", receiver, YEARLY, YEAR, SHOP), kind,
            ]
        )
    )  # fmt: skip


TABLES = declared()
few = st.tuples(
    st.sampled_from(DAYS), st.sampled_from("abc"), st.sampled_from(["a", "b", "c", "a", "b", None]),
    st.sampled_from(["S", "M", "L", "XL", "M", None]), st.sampled_from(["red", "blue", "green"]),
    st.sampled_from([300, 500, None]),
)  # fmt: skip
many = st.tuples(few, st.integers(1, 9)).map(lambda pair: [pair[0]] * pair[1])
parcels = st.lists(many, min_size=1, max_size=30).map(
    lambda lists: [parcel for one in lists for parcel in one]
)
Parcels = Sequence[tuple]


class Post:
    """All tables in one session, without a lake: the rows are the same, and it is fast."""

    def __init__(self) -> None:
        self.session = duckdb.connect()
        self.session.execute("create schema post")
        for table in TABLES:
            columns = ", ".join(f"{c.name} {sql_type(c)}" for c in table.stored_columns)
            more = "" if table.layer == "facts" else ", _partition varchar"
            self.session.execute(f"create table {table.sql_name} ({columns}{more})")

    def deliver(self, parcels: Parcels) -> None:
        """Build everything from these."""
        self.session.execute("delete from post.fact_parcels")
        self.session.executemany("insert into post.fact_parcels values (?, ?, ?, ?, ?, ?)", parcels)
        for table in TABLES[1:]:
            self.session.execute(
                "create or replace temp table built as"
                f" select *, {table.partition_sql} as _partition from ({build_sql(table)})"
            )
            self.session.execute(f"delete from {table.sql_name}")
            self.session.execute(f"insert into {table.sql_name} by name select * from built")

    def seen(self) -> Published:
        return Published(KNOWN, lambda query: self.session.execute(f"{query}_public").fetchall())

    def truth(self) -> Published:
        """With rows of nothing wherever there could be one."""
        found = Published(KNOWN, lambda query: self.session.execute(query).fetchall())
        found = found.with_every_category()
        none = np.zeros(len(KNOWN.columns))
        for shop in "abc":
            found.parents["shop", (shop,)] = found.parents["receiver", (shop,)] = ("whole", ())
            for day in [date(2023, 12, 1) + timedelta(n) for n in range(62)]:
                found.cells.setdefault(("shop", (shop,), "day", day), none)
                for first, time in ((day.replace(day=1), "month"), (date(day.year, 1, 1), "year")):
                    found.cells.setdefault(("shop", (shop,), time, first), none)
                    found.cells.setdefault(("receiver", (shop,), time, first), none)
        return found

    def failed(self) -> list[str]:
        checks = [check for table in TABLES for check in table.checks]
        return [check.name for check in checks if self.session.execute(check.sql).fetchall()]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(parcels)
def test_no_small_number_follows_from_all_tables_together(parcels: Parcels) -> None:
    post = Post()
    post.deliver(parcels)
    truth = post.truth()
    assert not Attack(post.seen(), truth, [2023, 2024], K).recovered()
    assert not post.failed()

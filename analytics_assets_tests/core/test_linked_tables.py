"""Tables that count the same rows in different ways: together they give no small number away.

Parcels are counted by the shop that sends and by the shop that receives them, by size and by
colour, and their measures say something of each other in every way that can be declared.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pytest
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
from analytics_assets.core.declaration import Publish, Table
from analytics_assets.core.partitions import DAILY, MONTHLY, WEEKLY, YEARLY, Period
from analytics_assets.core.small_cells import protect
from analytics_assets_tests.built import Built, held
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


class Post(Built):
    """The tables of some parcels."""

    def __init__(self) -> None:
        super().__init__(TABLES, ["fact_parcels"])

    def deliver(self, parcels: Parcels) -> None:
        """Build everything from these."""
        self.session.execute("delete from post.fact_parcels")
        self.session.executemany("insert into post.fact_parcels values (?, ?, ?, ?, ?, ?)", parcels)
        self.build()

    def seen(self) -> Published:
        return self.public(KNOWN)

    def truth(self) -> Published:
        """With rows of nothing wherever there could be one."""
        found = self.exact(KNOWN).with_every_category()
        none = np.zeros(len(KNOWN.columns))
        for shop in "abc":
            found.parents["shop", (shop,)] = found.parents["receiver", (shop,)] = ("whole", ())
            for day in [date(2023, 12, 1) + timedelta(n) for n in range(62)]:
                found.cells.setdefault(("shop", (shop,), "day", day), none)
                for first, time in ((day.replace(day=1), "month"), (date(day.year, 1, 1), "year")):
                    found.cells.setdefault(("shop", (shop,), time, first), none)
                    found.cells.setdefault(("receiver", (shop,), time, first), none)
        return found


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(parcels)
def test_no_small_number_follows_from_all_tables_together(parcels: Parcels) -> None:
    post = Post()
    post.deliver(parcels)
    truth = post.truth()
    assert not Attack(post.seen(), truth, [2023, 2024], K).recovered()
    assert not post.failed()


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(parcels, parcels)
def test_whoever_kept_the_release_before_computes_nothing(first: Parcels, late: Parcels) -> None:
    """Late parcels are of January; who knows that knows that December has not changed."""
    post, later = Post(), [p for p in late if p[0].year == 2024]
    post.deliver(first)
    before, earlier = post.seen(), Attack(post.seen(), post.truth(), [2023, 2024], K)
    post.deliver([*first, *later])
    after, truth = post.seen(), post.truth()
    assert not post.failed()
    attack = Attack(after, truth, [2023, 2024], K)
    assert not attack.recovered()
    if not held(KNOWN, before, after, K):
        december = date(2024, 1, 1)
        assert not attack.with_earlier(
            earlier,
            lambda name: name[3] < december and (name[2] != "week" or name[3].day < 25),
        )


def test_what_was_withheld_of_a_year_stays_so() -> None:
    """Else the patterns of two releases would be solved together."""
    post = Post()
    few = [(DAYS[2], shop, "a", "M", "red", 300) for shop in "aaabbbbbbccc" * 3] + [
        (DAYS[3], "a", "b", "L", "red", 300)
    ]
    post.deliver(few)
    before = post.seen()
    post.deliver(few * 20)
    after = post.seen()
    hidden = {
        (name, n) for name, values in before.cells.items() for n in np.flatnonzero(np.isnan(values))
    }
    assert hidden
    assert all(np.isnan(after.cells[name][n]) for name, n in hidden if name in after.cells)


def test_equal_data_are_withheld_alike_again() -> None:
    post = Post()
    parcels = [(day, s, r, size, "red", 300) for day in DAYS for s in "abc" for r in "ab"
               for size in ("S", "L", "M")] * 2  # fmt: skip
    post.deliver(parcels[:150])
    query = "select * from post.withheld_of_fact_parcels order by all"
    once = post.session.execute(query).fetchall()
    post.deliver(parcels[:150])
    assert once == post.session.execute(query).fetchall()

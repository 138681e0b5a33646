"""What is measured of each entity and day, and the SQL of it.

Belongs here: grains, additive measures, user lists, ratios: name, unit and rule of each, once.
Does not belong here: who counts as what (``sql/user_product_metrics.sql``), tables.
"""

from __future__ import annotations

from dataclasses import dataclass

from analytics_assets.core import calendar
from analytics_assets.core.columns import Column, Dimension, Measure, MeasureList, Ratio, Type
from analytics_assets.domains.ad_metrics.words import quotient

ENTITY_TYPES = ("campaign", "adset", "ad")
BREAKDOWN_TYPES = ("country", "region", "device")
ENTITY = Dimension(
    "entity",
    (
        Column("entity_type", "text", "Level.", nullable=False, values=ENTITY_TYPES),
        Column("entity_id", "text", "Id of the campaign, adset or ad.", nullable=False),
    ),
    keys=2,
    each="entity_type",
)
DAY = calendar.day("date", "Day that users are credited to, and that Meta reports of.")
BREAKDOWN = Dimension(
    "breakdown",
    (
        Column(
            "breakdown_type",
            "text",
            "What the entity is broken down by.",
            nullable=False,
            values=BREAKDOWN_TYPES,
        ),
        Column("breakdown_value", "text", "Its value, or unknown.", nullable=False),
    ),
    keys=2,
    each="breakdown_type",
)


@dataclass(frozen=True)
class UserList:
    """A set of users: who is in it (SQL over one row a user), its list and its count."""

    flag: str
    ids: str
    count: str
    description: str


USER_LISTS = (
    UserList("is_trial", "trial_user_ids", "mixpanel_trial_count", "started a trial"),
    UserList(
        "is_post_trial",
        "post_trial_user_ids",
        "mixpanel_post_trial_count",
        "started a trial at least 7 days before the data horizon",
    ),
    UserList(
        "is_converted",
        "converted_user_ids",
        "mixpanel_converted_count",
        "are post-trial and converted",
    ),
    UserList(
        "is_trial_refunded",
        "trial_refund_user_ids",
        "mixpanel_trial_refund_count",
        "converted and were refunded",
    ),
    UserList("is_purchase", "purchase_user_ids", "mixpanel_purchase_count", "bought directly"),
    UserList(
        "is_purchase_refunded",
        "purchase_refund_user_ids",
        "mixpanel_purchase_refund_count",
        "bought directly and were refunded",
    ),
)
SUBSETS = (
    ("post_trial_user_ids", "trial_user_ids"),
    ("converted_user_ids", "post_trial_user_ids"),
    ("trial_refund_user_ids", "converted_user_ids"),
    ("purchase_refund_user_ids", "purchase_user_ids"),
)


def _meta(name: str, column: str, description: str, unit: str, type: Type = "bigint") -> Measure:
    # Meta's breakdowns may count more than its total does: the rest, `unknown`, is then negative.
    return Measure(name, f"sum({column})", description, unit, type, "0", minimum=None)


META = (
    _meta("meta_spend", "spend_usd", "Spend on Meta.", "USD", "money"),
    _meta("meta_impressions", "impressions", "Impressions.", "impressions"),
    _meta("meta_clicks", "clicks", "Clicks.", "clicks"),
    _meta("meta_trial_count", "trials", "Trials that Meta counts.", "trials"),
    _meta("meta_purchase_count", "purchases", "Purchases that Meta counts.", "purchases"),
)
COUNTS = tuple(
    Measure(
        users.count,
        f"count(*) filter (where {users.flag})",
        f"Distinct users who {users.description}.",
        "users",
        "bigint",
        "0",
        late=users.flag not in ("is_trial", "is_purchase"),
        distinct="users",
    )
    for users in USER_LISTS
)


def _money(name: str, sql: str, description: str) -> Measure:
    # Users convert and are refunded for weeks after the day that they are credited to.
    return Measure(name, sql, description, "USD", "money", "0", minimum=None, late=True)


REVENUE = (
    _money(
        "actual_revenue_usd", "sum(actual_revenue_usd)", "Revenue of conversions and purchases."
    ),
    _money("actual_refunds_usd", "sum(actual_refunds_usd)", "Refunds, as a positive amount."),
    _money(
        "net_actual_revenue_usd",
        "sum(actual_revenue_usd - actual_refunds_usd)",
        "Revenue less refunds.",
    ),
    _money("estimated_revenue_usd", "sum(current_value_usd)", "Sum of the users' current value."),
)


def _expected(name: str, rate: str, flag: str) -> Measure:
    return Measure(
        f"{name}_rate_total",
        f"coalesce(sum({rate}) filter (where {flag}), 0)",
        f"Sum of the estimated {name.replace('_', ' ')} rates of these users: divided by their"
        " count it is the mean, over any range.",
        "percent points",
        "decimal",
        "0",
        late=flag == "is_converted",
    )


EXPECTED = (
    _expected("trial_conversion", "trial_conversion_rate", "is_trial"),
    _expected("trial_refund", "trial_refund_rate", "is_converted"),
    _expected("purchase_refund", "purchase_refund_rate", "is_purchase"),
)


@dataclass(frozen=True)
class Derived:
    """A ratio, stored as the brief asks for it: 0 where it is undefined, never to be summed.

    ``asked``: the same of sums, for those who ask for it by anything coarser.
    """

    name: str
    sql: str
    description: str
    unit: str
    type: Type = "decimal"
    asked: Ratio | None = None

    def column(self) -> Column:
        """The stored column."""
        return Column(self.name, self.type, self.description, self.unit, nullable=False)


def _percent(name: str, part: str, whole: str, description: str, type: Type = "percent") -> Derived:
    asked = Ratio(name, part, whole, description, "percent", 100)
    return Derived(name, quotient(f"100 * {part}", whole, 4), description, "percent", type, asked)


def _estimated(name: str, count: str, of: str) -> Derived:
    total = f"cast({name}_rate_total * 10000 as hugeint)"
    own, what = f"{name}_rate_estimated", f"Mean of the estimated rates of {of}."
    asked = Ratio(own, f"{name}_rate_total", count, what, "percent")
    sql = quotient(total, f"(10000 * {count})", 4)
    return Derived(own, sql, what, "percent", "percent", asked)


def _accuracy(kind: str) -> Derived:
    mixpanel, meta = f"mixpanel_{kind}_count", f"meta_{kind}_count"
    ratio = quotient(f"100 * {mixpanel}", meta, 4)
    return Derived(
        f"{kind}_accuracy_ratio",
        f"case when {meta} > 0 then {ratio} when {mixpanel} > 0 then 100 else 0 end",
        f"{kind.capitalize()}s of Mixpanel for 100 of Meta; 100 where Meta has none.",
        "percent",
    )


def _cost(side: str, kind: str) -> Derived:
    own, count = f"{side}_cost_per_{kind}", f"{side}_{kind}_count"
    what = f"Spend for one {kind} of {side.capitalize()}."
    sql = quotient("cast(meta_spend * 100 as hugeint)", f"(100 * {count})", 2)
    return Derived(own, sql, what, "USD", "money", Ratio(own, "meta_spend", count, what, "USD"))


RATIOS = (
    _estimated("trial_conversion", "mixpanel_trial_count", "trial users"),
    _percent(
        "trial_conversion_rate_actual",
        "mixpanel_converted_count",
        "mixpanel_post_trial_count",
        "Converted among post-trial users.",
    ),
    _estimated("trial_refund", "mixpanel_converted_count", "converted users"),
    _percent(
        "trial_refund_rate_actual",
        "mixpanel_trial_refund_count",
        "mixpanel_converted_count",
        "Refunded among converted users.",
    ),
    _estimated("purchase_refund", "mixpanel_purchase_count", "users who bought directly"),
    _percent(
        "purchase_refund_rate_actual",
        "mixpanel_purchase_refund_count",
        "mixpanel_purchase_count",
        "Refunded among users who bought directly.",
    ),
    _accuracy("trial"),
    _accuracy("purchase"),
    _cost("mixpanel", "trial"),
    _cost("mixpanel", "purchase"),
    _cost("meta", "trial"),
    _cost("meta", "purchase"),
    _percent(
        "click_to_trial_rate",
        "mixpanel_trial_count",
        "meta_clicks",
        "Trials of Mixpanel for 100 clicks.",
        "decimal",
    ),
)
AD_MEASURES = MeasureList(
    META + COUNTS + REVENUE + EXPECTED, asked=tuple(r.asked for r in RATIOS if r.asked)
)
_ESTIMATED_CENTS = "cast(estimated_revenue_usd * 100 as hugeint)"
# Estimated revenue / (ratio / 100), of the ratio's own counts: as if each were rounded only once.
_BY_TRIALS = quotient(f"{_ESTIMATED_CENTS} * meta_trial_count", "(100 * mixpanel_trial_count)", 2)
_BY_PURCHASES = quotient(
    f"{_ESTIMATED_CENTS} * meta_purchase_count", "(100 * mixpanel_purchase_count)", 2
)
ADJUSTED = f"""cast(case
            when mixpanel_trial_count >= mixpanel_purchase_count
                and mixpanel_trial_count > 0 and meta_trial_count > 0
                then {_BY_TRIALS}
            when mixpanel_trial_count < mixpanel_purchase_count and meta_purchase_count > 0
                then {_BY_PURCHASES}
            else estimated_revenue_usd
        end as decimal(18, 2))"""
ROAS = quotient(
    "cast(adjusted_estimated_revenue_usd * 100 as hugeint)",
    "cast(meta_spend * 100 as hugeint)",
    4,
)
OUTCOMES = (
    Column(
        "adjusted_estimated_revenue_usd",
        "money",
        "Estimated revenue / (accuracy ratio / 100): the ratio of trials or of purchases, whichever"
        " are more (of equals trials); as it is where the ratio is 0.",
        "USD",
        nullable=False,
    ),
    Column("profit_usd", "money", "Adjusted estimated revenue less spend.", "USD", nullable=False),
    Column(
        "estimated_roas",
        "decimal",
        "Adjusted estimated revenue for 1 USD of spend.",
        "USD per USD",
        nullable=False,
    ),
)
# Those that add up over entities of one level.
OUTCOME_SUMS = OUTCOMES[:2]
LISTS = tuple(
    Column(
        users.ids,
        "text",
        f"Users who {users.description}: JSON array of distinct_id, sorted.",
        nullable=False,
        personal=True,
    )
    for users in USER_LISTS
)
DERIVED_COLUMNS = LISTS + tuple(ratio.column() for ratio in RATIOS) + OUTCOMES


# Called as Meta's report of the day calls its regions.
_REGION = (
    "if(region <> 'unknown' and country <> 'unknown' and credited_date in (select date from"
    " performance where regions_name_country), region || ', ' || country, region)"
)


def daily_words(breakdown: bool) -> dict[str, str]:
    """What ``sql/daily_metrics.sql`` leaves open, with or without a breakdown."""
    measures = [m for m in AD_MEASURES.measures if m not in META]

    def mean_rate(rate: str, flag: str) -> str:
        total = f"cast(coalesce(sum({rate}) filter (where {flag}), 0) * 10000 as hugeint)"
        mean = quotient(total, f"(10000 * count(*) filter (where {flag}))", 4)
        return f"cast({mean} as decimal(7, 4))"

    words = {
        "by_what": " and breakdown" if breakdown else "",
        "axes": "<> 'all'" if breakdown else "= 'all'",
        "user_breakdown": "",
        "user_axes": "",
        "meta_breakdown": "",
        "breakdown": "",
        "breakdown_key": "",
        "user_trial_conversion_rate": mean_rate("trial_conversion_rate", "is_trial"),
        "user_trial_refund_rate": mean_rate("trial_converted_to_refund_rate", "is_converted"),
        "user_purchase_refund_rate": mean_rate("initial_purchase_to_refund_rate", "is_purchase"),
        "user_lists": ",\n".join(
            f"cast(to_json(coalesce(list(distinct_id order by distinct_id)"
            f" filter (where {users.flag}), [])) as varchar) as {users.ids}"
            for users in USER_LISTS
        ),
        "user_measures": ",\n".join(f"{m.sql} as {m.name}" for m in measures),
        "meta_measures": ",\n".join(f"{m.sql} as {m.name}" for m in META),
        "meta_any": " or ".join(f"{m.sql} <> 0" for m in META),
        "complete": ",\n".join(
            [
                *(
                    f"cast(coalesce({m.name}, 0) as {_SQL[m.type]}) as {m.name}"
                    for m in AD_MEASURES.measures
                ),
                *(f"coalesce({users.ids}, '[]') as {users.ids}" for users in USER_LISTS),
            ]
        ),
        "ratios": ",\n".join(f"{ratio.sql} as {ratio.name}" for ratio in RATIOS),
        "adjusted": ADJUSTED,
        "roas": ROAS,
    }
    if breakdown:
        words |= {
            "user_breakdown": "axes.breakdown_type, case axes.breakdown_type when 'country' then"
            f" country when 'region' then {_REGION} else device end as breakdown_value,",
            "user_axes": "cross join (values ('country'), ('region'), ('device')) as axes"
            " (breakdown_type)",
            "meta_breakdown": "axis as breakdown_type, breakdown_value,",
            "breakdown": "breakdown_type, breakdown_value,",
            "breakdown_key": ", breakdown_type, breakdown_value",
        }
    return words


_SQL = {"bigint": "bigint", "money": "decimal(18, 2)", "decimal": "decimal(18, 4)"}

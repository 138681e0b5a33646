"""The tables of the ad metrics, one declaration each.

Belongs here: declarations. Everything else about a table derives from its own.
Does not belong here: what is landed (``source_tables.py``), measures (``measures.py``).
"""

from __future__ import annotations

import os

from analytics_assets.core.columns import Column, text
from analytics_assets.core.declaration import Check, Publish
from analytics_assets.core.partitions import DAILY
from analytics_assets.core.validation import Personal
from analytics_assets.domains.ad_metrics import source_tables
from analytics_assets.domains.ad_metrics.checks import ADDS_UP, SUMS_TO_MAIN_ROW, list_checks
from analytics_assets.domains.ad_metrics.columns import AD_IDS, PRODUCT, flag, usd
from analytics_assets.domains.ad_metrics.measures import (
    AD_MEASURES,
    BREAKDOWN,
    DAY,
    DERIVED_COLUMNS,
    ENTITY,
    OUTCOME_SUMS,
    daily_words,
)
from analytics_assets.domains.ad_metrics.words import REACH_DAYS, action_types, quotient

tables = source_tables.tables.copy()

# ---- from SQL -----------------------------------------------------------------------------------

_CREDITED = Column("credited_date", "date", "Day that the user is credited to.", nullable=False)
_NO_RATE_ADVICE = "Add the currency to the file of that day in currency_fx, and run again."
_PROFILE = (
    *AD_IDS,
    flag("has_abi_attribution", "An ad is known that the user came from."),
    text("country", "ISO code, or unknown.", False),
    text("region", "Region, or unknown.", False),
    text("device", "Platform, or unknown.", False),
)

user_identities = tables.from_sql(
    "user_identities",
    layer="facts",
    slice_period=DAILY,
    slice_sql="strftime(event_date, '%Y-%m-%d')",
    time_column="event_date",
    words={"most_ids": "100"},
    columns=(
        Column("event_date", "date", "A day on which the id occurs.", nullable=False),
        Column("distinct_id", "text", "An id of the user's before.", nullable=False, personal=True),
        Column("user_id", "text", "The user's id now.", nullable=False, personal=True),
    ),
    unique=("event_date", "distinct_id"),
    description="Which user an id is that was another one before.",
)
user_product_events = tables.from_sql(
    "user_product_events",
    layer="facts",
    period=DAILY,
    time_column="event_date",
    columns=(
        Column("event_date", "date", "Day of the event (UTC).", nullable=False),
        Column("time_ms", "bigint", "Moment of the event.", "ms since 1970", nullable=False),
        text("insert_id", "Mixpanel's id of the event.", False),
        Column("distinct_id", "text", "The user.", nullable=False, personal=True),
        PRODUCT,
        text("event", "Name of the event.", False),
        text("store", "App store or payment service."),
        text("country", "Country of the event."),
        text("revenue", "Amount as landed."),
        text("currency", "Currency of the amount."),
        Column("revenue_usd", "money", "Amount at the rate of the day.", "USD"),
    ),
    unique=("event", "distinct_id", "time_ms", "insert_id"),
    checks=(
        Check(
            "currency_has_rate",
            "Every amount is a number and its currency has a rate on its day",
            "select _partition, coalesce(currency, 'no currency') as currency,"
            " count(*) as amounts from ad_metrics.user_product_events"
            " where revenue_usd is null group by all order by all",
            _NO_RATE_ADVICE,
            at_fault="_row.revenue_usd is null",
            told="currency",
            words=("no currency",),
        ),
    ),
    description="Events of subscriptions and purchases, in USD.",
)
user_product_starts = tables.from_sql(
    "user_product_starts",
    layer="facts",
    slice_period=DAILY,
    slice_sql="strftime(credited_date, '%Y-%m-%d')",
    time_column="credited_date",
    columns=(
        _CREDITED,
        Column("distinct_id", "text", "The user.", nullable=False, personal=True),
        PRODUCT,
        flag("starts_late", "There is an event before the credited day."),
        *_PROFILE,
    ),
    unique=("distinct_id", "product_id"),
    description="The day on which each user-product begins, and the ad that it came from.",
)
user_product_lifecycles = tables.from_sql(
    "user_product_lifecycles",
    layer="facts",
    period=DAILY,
    reach={"ad_metrics/user_product_events": (0, REACH_DAYS)},
    time_column="credited_date",
    columns=(
        _CREDITED,
        Column("distinct_id", "text", "The user.", nullable=False, personal=True),
        PRODUCT,
        *_PROFILE,
        text("store", "Store of the first event that names one.", False),
        text("invalid_reason", "Why its events cannot be a lifecycle; empty if they can."),
        flag("trial_started", "It had a trial."),
        Column("converted_date", "date", "Day of conversion."),
        Column("converted_ms", "bigint", "Moment of conversion.", "ms since 1970"),
        Column("conversion_price_usd", "money", "Price of the first conversion.", "USD"),
        usd("conversion_revenue_usd", "Revenue of conversion."),
        Column("purchased_date", "date", "Day of the initial purchase."),
        usd("purchase_revenue_usd", "Revenue of the initial purchase."),
        Column("trial_refunded_date", "date", "First refund after the conversion."),
        usd("trial_refunds_usd", "Refunds after the conversion."),
        Column("purchase_refunded_date", "date", "First refund after the purchase."),
        usd("purchase_refunds_usd", "Refunds after the purchase."),
    ),
    unique=("distinct_id", "product_id"),
    description=f"What became of each user-product within {REACH_DAYS} days.",
)
price_buckets = tables.from_sql(
    "price_buckets",
    layer="dimensions",
    words={"bucket_mean": quotient("cast(sum(price_usd) * 100 as hugeint)", "(100 * count(*))", 2)},
    columns=(
        text("country", "ISO code, or unknown.", False),
        PRODUCT,
        text("event", "Kind of payment.", False),
        Column("valid_from", "date", "First day of these buckets.", nullable=False),
        usd("lowest_usd", "Lowest price of the bucket."),
        usd("highest_usd", "Highest price of the bucket."),
        usd("price_bucket_usd", "Mean of its prices, each counted once."),
    ),
    unique=("country", "product_id", "event", "valid_from", "lowest_usd"),
    description="Prices seen so far, merged where they are near each other.",
)
_LEVELS = ("region", "country", "store", "product", "default")
_RATES = tuple(
    column
    for name, what in (
        ("trial_conversion", "Expected share of trials that convert."),
        ("trial_refund", "Expected share of conversions that are refunded."),
        ("purchase_refund", "Expected share of purchases that are refunded."),
    )
    for column in (
        Column(f"{name}_rate", "percent", what, "percent", False, minimum=0, maximum=100),
        Column(
            f"{name}_level",
            "text",
            "Narrowest attribute of the cohort that the rate is of, or default.",
            nullable=False,
            values=_LEVELS,
        ),
    )
)
user_product_rates = tables.from_sql(
    "user_product_rates",
    layer="facts",
    slice_period=DAILY,
    slice_sql="strftime(credited_date, '%Y-%m-%d')",
    time_column="credited_date",
    words={"cohort_rate": quotient("100 * succeeded", "matured", 4)},
    columns=(
        _CREDITED,
        Column("distinct_id", "text", "The user.", nullable=False, personal=True),
        PRODUCT,
        usd("price_bucket_usd", "Price that is expected, or was paid; 0 if none is known."),
        *_RATES,
    ),
    unique=("distinct_id", "product_id"),
    description="What could be expected of each user-product on the day that it is credited to.",
)
cohort_ages = tables.from_sql(
    "cohort_ages",
    layer="dimensions",
    slice_period=DAILY,
    slice_sql="strftime(date, '%Y-%m-%d')",
    time_column="date",
    columns=(
        Column("date", "date", "Credited day.", nullable=False),
        flag("is_post_trial", "Trials of that day are over."),
        flag("conversion_is_known", "Trials count by what they paid."),
        flag("trial_refund_is_known", "Trials count by what they paid and got back."),
        flag("purchase_refund_is_known", "Purchases count by what was paid and given back."),
    ),
    unique=("date",),
    description="How old each day is on the data horizon, as far as it matters.",
)
user_product_metrics = tables.from_sql(
    "user_product_metrics",
    layer="facts",
    period=DAILY,
    time_column="credited_date",
    columns=(
        _CREDITED,
        Column("distinct_id", "text", "The user.", nullable=False, personal=True),
        PRODUCT,
        *_PROFILE,
        text("store", "Store.", False),
        flag("valid_lifecycle", "Its events can be a lifecycle."),
        text("invalid_reason", "Why not."),
        usd("price_bucket_usd", "Price that is expected, or was paid."),
        Column("trial_conversion_rate", "percent", "Expected.", "percent", nullable=False),
        text("trial_conversion_level", "Cohort of the rate; none for an invalid lifecycle."),
        Column("trial_converted_to_refund_rate", "percent", "Expected.", "percent", nullable=False),
        text("trial_refund_level", "Cohort of the rate."),
        Column(
            "initial_purchase_to_refund_rate", "percent", "Expected.", "percent", nullable=False
        ),
        text("purchase_refund_level", "Cohort of the rate."),
        flag("is_trial", "Started a trial."),
        flag("is_post_trial", "Started it at least 7 days before the data horizon."),
        flag("is_converted", "Is post-trial and converted."),
        flag("is_trial_refunded", "And was refunded."),
        flag("is_purchase", "Bought directly."),
        flag("is_purchase_refunded", "And was refunded."),
        usd("actual_revenue_usd", "Revenue of conversion and purchase."),
        usd("actual_refunds_usd", "Refunds, positive."),
        usd("current_value_usd", "Value on the data horizon."),
    ),
    unique=("distinct_id", "product_id"),
    description="One row for each user and product: its lifecycle, rates and current value.",
)
ad_performance = tables.from_sql(
    "ad_performance",
    layer="facts",
    period=DAILY,
    time_column="date",
    words={
        "trial_actions": action_types("META_TRIAL_ACTIONS", "start_trial_total"),
        "purchase_actions": action_types("META_PURCHASE_ACTIONS", "omni_purchase"),
    },
    columns=(
        Column("date", "date", "Day of the report.", nullable=False),
        text("axis", "all, or what it is broken down by.", False),
        *AD_IDS,
        text("breakdown_value", "Value on the axis, or unknown.", False),
        Column("spend_usd", "money", "Spend.", "USD"),
        Column("impressions", "bigint", "Impressions.", nullable=False),
        Column("clicks", "bigint", "Clicks.", nullable=False),
        Column("trials", "bigint", "Actions that count as a trial.", nullable=False),
        Column("purchases", "bigint", "Actions that count as a purchase.", nullable=False),
        flag("regions_name_country", "The day's report of regions says their country, too."),
        text("no_rate", "Currencies that have no rate."),
    ),
    unique=("axis", "ad_id", "adset_id", "campaign_id", "breakdown_value"),
    checks=(
        Check(
            "currency_has_rate",
            "Every account's currency has a rate on the day",
            "select _partition, no_rate as currency, count(*) as ads"
            " from ad_metrics.ad_performance where spend_usd is null group by all order by all",
            _NO_RATE_ADVICE,
            at_fault="_row.spend_usd is null",
            told="currency",
            words=("no currency",),
        ),
    ),
    description="Meta's numbers by ad, in total and by breakdown, with what the breakdowns leave.",
)
id_name_mapping = tables.from_sql(
    "id_name_mapping",
    layer="dimensions",
    columns=(
        *ENTITY.columns,
        text("canonical_name", "Name that it had on most days.", False),
        Column("frequency_count", "bigint", "Days with that name.", "days", nullable=False),
        Column("last_seen_date", "date", "Last day in Meta's reports.", nullable=False),
    ),
    unique=("entity_type", "entity_id"),
    publish=Publish(),
    description="Names of campaigns, adsets and ads.",
)
id_hierarchy_mapping = tables.from_sql(
    "id_hierarchy_mapping",
    layer="dimensions",
    columns=(
        *AD_IDS,
        Column("first_seen_date", "date", "First day of the ad there.", nullable=False),
        Column("last_seen_date", "date", "Last day of the ad there.", nullable=False),
    ),
    unique=("ad_id", "adset_id", "campaign_id"),
    publish=Publish(),
    description="Which adset and campaign an ad stood in, and when.",
)

_PERSONAL: Personal = (
    "promoted" if os.environ.get("AD_METRICS_PUBLISH_USER_IDS") == "1" else "left out"
)
_COUNT_ALIASES = {
    "trial_users_count": "mixpanel_trial_count",
    "purchase_users_count": "mixpanel_purchase_count",
}
daily_mixpanel_metrics = tables.from_sql(
    "daily_mixpanel_metrics",
    file="daily_metrics",
    layer="aggregates",
    period=DAILY,
    grain=(ENTITY, DAY),
    measures=AD_MEASURES,
    columns=DERIVED_COLUMNS,
    words=daily_words(breakdown=False),
    checks=(
        *list_checks("ad_metrics.daily_mixpanel_metrics", "entity_type, entity_id, date"),
        ADDS_UP,
    ),
    proven_by=("adds_up",),
    publish=Publish(
        ("date, entity_type",),
        personal=_PERSONAL,
        aliases={
            **_COUNT_ALIASES,
            "trial_users_list": "trial_user_ids",
            "purchase_users_list": "purchase_user_ids",
        },
    ),
    description="Metrics of each campaign, adset and ad by day.",
)
_KEYS = "entity_type, entity_id, date, breakdown_type, breakdown_value"
daily_mixpanel_metrics_breakdown = tables.from_sql(
    "daily_mixpanel_metrics_breakdown",
    file="daily_metrics",
    layer="aggregates",
    period=DAILY,
    grain=(ENTITY, DAY, BREAKDOWN),
    measures=AD_MEASURES,
    columns=DERIVED_COLUMNS,
    words=daily_words(breakdown=True),
    # Not to compute it: to compare it with.
    also_reads=(daily_mixpanel_metrics,),
    measured_from=daily_mixpanel_metrics,
    each=("breakdown_type",),
    checks=(
        *list_checks("ad_metrics.daily_mixpanel_metrics_breakdown", _KEYS),
        SUMS_TO_MAIN_ROW,
    ),
    publish=Publish(
        ("breakdown_type, breakdown_value, date", "date, entity_type"),
        personal=_PERSONAL,
        aliases=_COUNT_ALIASES,
    ),
    description="The same by country, region and device.",
)
daily_mixpanel_metrics_overview = tables.from_sql(
    "daily_mixpanel_metrics_overview",
    layer="aggregates",
    period=DAILY,
    grain=(DAY,),
    measures=AD_MEASURES,
    columns=OUTCOME_SUMS,
    words={
        "sums": ",\n".join(
            f"sum({name}) as {name}"
            for name in (
                *(measure.name for measure in AD_MEASURES.measures),
                *(column.name for column in OUTCOME_SUMS),
            )
        )
    },
    measured_from=daily_mixpanel_metrics,
    measured_where="entity_type = 'campaign'",
    publish=Publish(),
    description="All campaigns together by day.",
)

TABLES = tables.all

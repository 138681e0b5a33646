"""The source tables of the ad metrics, and the columns that all of its tables share.

Belongs here: declarations of what is landed.
Does not belong here: reading files (``sources.py``), what is computed (``tables.py``).
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from analytics_assets.core.columns import Column, text
from analytics_assets.core.declaration import Check, Table
from analytics_assets.core.partitions import DAILY
from analytics_assets.core.table_set import TableSet
from analytics_assets.domains.ad_metrics.sources import (
    AdPerformanceSource,
    CurrencySource,
    EventsSource,
    MappingSource,
    UsersSource,
)
from analytics_assets.domains.ad_metrics.words import WORDS

tables = TableSet("ad_metrics", Path(__file__).parent / "sql", WORDS)


def _expected(variable: str) -> timedelta | None:
    """Exports come every day, where a setting names a folder: the sample brings nothing new."""
    return timedelta(days=2) if os.environ.get(variable) else None


_USER_ID = Column("distinct_id", "text", "The user.", personal=True)
PRODUCT = text("product_id", "The product.", False)
AD_IDS = (
    text("ad_id", "The ad."),
    text("adset_id", "Its adset."),
    text("campaign_id", "Its campaign."),
)
_OTHER_FIELDS = Column(
    "other_fields", "text", "JSON of the fields that have no column.", personal=True
)


def flag(name: str, description: str) -> Column:
    """A column of true and false."""
    return Column(name, "boolean", description, nullable=False)


def usd(name: str, description: str) -> Column:
    """An amount in USD."""
    return Column(name, "money", description, "USD", nullable=False)


mixpanel_events = tables.source(
    "mixpanel_events",
    period=DAILY,
    source=EventsSource(),
    columns=(
        Column("event_date", "date", "Day of the event (UTC).", nullable=False),
        text("event", "Name of the event."),
        _USER_ID,
        Column("time_ms", "bigint", "Moment of the event.", "ms since 1970"),
        text("insert_id", "Mixpanel's id of the event."),
        text("product_id", "The product."),
        text("revenue", "Amount as landed, in its currency; refunds are negative."),
        text("currency", "Currency of the amount."),
        text("store", "App store or payment service."),
        text("country", "Country of the event."),
        Column("arrival_ms", "bigint", "When Mixpanel got it.", "ms since 1970"),
        _OTHER_FIELDS,
        Column("unreadable_line", "text", "A line that is no event.", personal=True),
    ),
    unique=("event", "distinct_id", "time_ms", "insert_id", "unreadable_line"),
    time_column="event_date",
    description="Mixpanel's event export as landed; of an event that came twice, what came last.",
    expected_every=_expected("MIXPANEL_SOURCE"),
)
mixpanel_users = tables.source(
    "mixpanel_users",
    source=UsersSource(),
    columns=(
        _USER_ID,
        *AD_IDS,
        text("country", "Country of the profile."),
        text("region", "Region of the profile."),
        text("device", "Device of the profile."),
        flag("has_abi_attribution", "An ad is known that the user came from."),
    ),
    unique=("distinct_id",),
    description="Mixpanel's people export: where each user came from.",
)


def _ad_performance(axis: str) -> Table:
    return tables.source(
        "ad_performance_daily" + ("" if axis == "all" else f"_{axis}"),
        period=DAILY,
        source=AdPerformanceSource(axis),
        columns=(
            Column("date", "date", "Day of the report.", nullable=False),
            *AD_IDS,
            text("ad_name", "Name of the ad."),
            text("adset_name", "Name of the adset."),
            text("campaign_name", "Name of the campaign."),
            text("breakdown_value", f"Meta's {axis}, as landed." if axis != "all" else "Empty."),
            text("currency", "Currency of the account; USD where Meta does not say."),
            text("spend", "Spend as landed, in the account's currency."),
            text("impressions", "Impressions as landed."),
            text("clicks", "Clicks as landed."),
            text("actions", "JSON of action types and their counts."),
            text("other_fields", "JSON of the fields that have no column."),
        ),
        unique=("ad_id", "adset_id", "campaign_id", "breakdown_value"),
        time_column="date",
        checks=(_numbers(axis),),
        description="Meta Insights at ad level" + (f", by {axis}." if axis != "all" else "."),
        expected_every=_expected("META_ADS_SOURCE"),
    )


def _numbers(axis: str) -> Check:
    name = "ad_metrics.ad_performance_daily" + ("" if axis == "all" else f"_{axis}")
    return Check(
        "numbers",
        "Spend, impressions, clicks and actions are numbers",
        f"""select _partition, ad_id, adset_id, campaign_id, breakdown_value, spend, impressions,
    clicks, actions
from {name}
where (spend is not null and try_cast(spend as decimal(18, 6)) is null)
    or (impressions is not null and try_cast(impressions as bigint) is null)
    or (clicks is not null and try_cast(clicks as bigint) is null)
    or (actions is not null and not json_valid(actions))
    or list_bool_or([
        try_cast(value as decimal(18, 4)) is null
        for value in json_extract_string(actions, '$[*].value')
    ])""",
        "Export the day again.",
    )


AD_PERFORMANCE_DAILY = tuple(
    _ad_performance(axis) for axis in ("all", "country", "region", "device")
)
currency_fx = tables.source(
    "currency_fx",
    period=DAILY,
    source=CurrencySource(),
    columns=(
        Column("date", "date", "Day of the rate.", nullable=False),
        text("currency", "ISO code.", False),
        text("usd_rate", "USD for one unit.", False),
    ),
    unique=("currency",),
    time_column="date",
    description="Exchange rates by day.",
)


def _mapping(name: str, description: str, *columns: Column) -> Table:
    return tables.source(
        name,
        source=MappingSource(name, [column.name for column in columns]),
        columns=columns,
        unique=("meta_value",),
        description=description,
    )


_META_VALUE = text("meta_value", "Meta's word.", False)
meta_country_mapping = _mapping(
    "meta_country_mapping",
    "Names of countries -> ISO code. A two-letter code stands for itself.",
    _META_VALUE,
    text("country_code", "ISO 3166 code of two letters.", False),
)
meta_device_mapping = _mapping(
    "meta_device_mapping",
    "Devices -> store and platform; the platform is the device breakdown.",
    _META_VALUE,
    text("store", "Store.", False),
    text("platform", "Platform.", False),
)

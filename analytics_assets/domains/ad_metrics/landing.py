"""The landing folders of Mixpanel's and Meta's exports, and what the rows of a file are landed as.

Belongs here: the feeds, each declared once, and which days may not be missing.
Does not belong here: reading files, the meaning of events (``sql/``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from analytics_assets.core.columns import KEY_LENGTH, Column, text
from analytics_assets.core.partitions import DAILY
from analytics_assets.domains.ad_metrics.columns import AD_IDS, USER_ID
from analytics_assets.domains.ad_metrics.coverage import Coverage, coverage
from analytics_assets.domains.ad_metrics.days import day_sql, without_time
from analytics_assets.domains.ad_metrics.words import NO_ID, amount_sql
from analytics_assets.landing.feed import Feed
from analytics_assets.landing.files import files_of
from analytics_assets.landing.folder import LandingFolder
from analytics_assets.landing.formats import CSV, JSON
from analytics_assets.warehouse.session import literal

MIXPANEL = LandingFolder("MIXPANEL_SOURCE", "mixpanel")
META_ADS = LandingFolder("META_ADS_SOURCE", "meta_ads")
# NA is Namibia.
_NAMIBIA = ("NA",)
AXES = ("all", "country", "region", "device")


def covered() -> Coverage:
    """Which days the feeds that come every day have to have, and which long gaps there are."""
    return coverage(file for feed in (EVENTS, *AD_PERFORMANCE.values()) for file in files_of(feed))


def required_days() -> Collection[str]:
    """Days of which each of these feeds has to have a file."""
    return covered().required


def _epoch_ms(text: str) -> str:
    """Milliseconds since 1970 of a time given in seconds or milliseconds."""
    number = f"try_cast({text} as double)"
    return (
        f"cast(case when {number} between 0 and 1e11 then {number} * 1000"
        f" when {number} between 1e11 and 1e14 then {number} end as bigint)"
    )


# Events that Mixpanel has not given an id are known by what was bought: nobody else tells two of
# one second from each other, and what is equal in all of it is sent again.
_WITHOUT_ID = (
    "cast(to_json([product_id, json_extract_string(other_fields, '$.transaction_id'), revenue,"
    " revenue_usd, currency]) as varchar)"
)
EVENTS = Feed(
    "mixpanel_events",
    MIXPANEL,
    "events/*{days}*",
    columns=(
        text("event", "Name of the event.", False),
        USER_ID,
        Column("time_ms", "bigint", "Moment of the event.", "ms since 1970", nullable=False),
        text("insert_id", "Mixpanel's id of the event."),
        text("product_id", "The product.", max_length=KEY_LENGTH),
        text("revenue", "Amount as landed, in its currency; refunds are negative."),
        text("revenue_usd", "Amount in USD, as landed; where it is given, it counts."),
        text("currency", "Currency of the amount."),
        text("store", "App store or payment service."),
        text("country", "Country of the event.", max_length=KEY_LENGTH),
        text("environment", "SANDBOX of a trial purchase of a developer, that does not count."),
        replace(
            USER_ID,
            name="before_identity",
            description="The user's id before this one.",
            nullable=True,
        ),
        Column("arrival_ms", "bigint", "When Mixpanel got it.", "ms since 1970"),
        Column("other_fields", "text", "JSON of the fields that have no column.", personal=True),
    ),
    spellings={
        "event": ("event", "event_name"),
        "distinct_id": ("distinct_id", "$distinct_id"),
        "time_ms": ("time",),
        "insert_id": ("$insert_id", "insert_id"),
        "country": ("country", "country_code", "mp_country_code"),
        "before_identity": ("$distinct_id_before_identity",),
        "arrival_ms": ("mp_processing_time_ms", "$mp_api_timestamp_ms"),
    },
    nests=("properties",),
    words={"country": _NAMIBIA},
    rest="other_fields",
    casts={
        "time_ms": _epoch_ms("{text}"),
        "insert_id": "coalesce({text}, " + _WITHOUT_ID + ")",
        "arrival_ms": "try_cast({text} as bigint)",
    },
    reads={name: amount_sql(name) for name in ("revenue", "revenue_usd")},
    key=("event", "distinct_id", "time_ms", "insert_id"),
    newest="arrival_ms",
    day="cast(make_timestamp(time_ms * 1000) as date)",
    dated=Column("event_date", "date", "Day of the event (UTC).", nullable=False),
    period=DAILY,
    formats=JSON,
    lookback=5,
    expected=required_days,
)
USERS = Feed(
    "mixpanel_users",
    MIXPANEL,
    "users/*",
    columns=(
        USER_ID,
        *AD_IDS,
        text("country", "Country of the profile.", max_length=KEY_LENGTH),
        text("region", "Region of the profile.", max_length=KEY_LENGTH),
        text("device", "Device of the profile.", max_length=KEY_LENGTH),
        text("last_seen", "When the profile was seen last, as landed."),
    ),
    spellings={
        "distinct_id": ("$distinct_id", "distinct_id"),
        "ad_id": ("abi_~ad_id",),
        "adset_id": ("abi_~ad_set_id",),
        "campaign_id": ("abi_~campaign_id",),
        "country": ("country", "$country_code", "mp_country_code"),
        "region": ("region", "$region"),
        "device": ("device", "$device", "$ios_device_model", "$android_model"),
        "last_seen": ("$last_seen", "last_seen"),
    },
    nests=("$properties", "properties"),
    words={"country": _NAMIBIA},
    key=("distinct_id",),
    newest="last_seen",
    formats=JSON,
)
_MEASURED_BY = {
    "all": ("no_breakdown",),
    "country": ("country",),
    "region": ("region",),
    "device": ("impression_device",),
}
_IDS = f"concat_ws(chr(10), {', '.join(column.name for column in AD_IDS)})"


def _ad_performance(axis: str) -> Feed:
    name = "ad_performance_daily" + ("" if axis == "all" else f"_{axis}")
    columns = (
        *(replace(column, nullable=False) for column in AD_IDS),
        text("ad_name", "Name of the ad."),
        text("adset_name", "Name of the adset."),
        text("campaign_name", "Name of the campaign."),
        text("breakdown_value", f"Meta's {axis}, as landed." if axis != "all" else "Empty."),
        text("currency", "Currency of the account; USD where Meta does not say."),
        text("spend", "Spend as landed, in the account's currency."),
        text("impressions", "Impressions as landed."),
        text("clicks", "Clicks as landed."),
        text("actions", "JSON of action types and their counts."),
        text("date_start", "First day of the row, as landed.", False),
        text("date_stop", "Last day of the row, as landed: the same."),
        text("other_fields", "JSON of the fields that have no column."),
    )
    return Feed(
        name,
        META_ADS,
        f"{name}/*{{days}}*",
        columns=columns,
        words={"breakdown_value": _NAMIBIA},
        spellings={"breakdown_value": _MEASURED_BY[axis], "currency": ("account_currency",)},
        rest="other_fields",
        # Where only the platform was asked for, it stands for the device.
        casts={
            "breakdown_value": "coalesce({text}, "
            + (
                "json_extract_string(other_fields, '$.device_platform'), '')"
                if axis == "device"
                else "'')"
            )
        },
        # Which rows are one is not told by a file alone (``sources.py``): here only copies are.
        key=tuple(column.name for column in columns),
        unique=(*(column.name for column in AD_IDS), "breakdown_value"),
        rejects={"an id is a placeholder": f"regexp_matches({_IDS}, {literal(NO_ID)})"},
        refuses={
            "date_stop is another day than date_start; export it with time_increment=1": (
                f"{without_time('date_stop')} <> {without_time('date_start')}"
            )
        },
        day=day_sql("date_start"),
        dated=Column("date", "date", "Day of the report.", nullable=False),
        period=DAILY,
        formats=JSON,
        lookback=28,
        expected=required_days,
    )


AD_PERFORMANCE = {axis: _ad_performance(axis) for axis in AXES}
CURRENCY_FX = Feed(
    "currency_fx",
    MIXPANEL,
    "currency_fx/*{days}*",
    columns=(
        text("currency", "ISO code.", False),
        text("usd_rate", "USD for one unit.", False),
    ),
    casts={"currency": "upper({text})"},
    key=("currency",),
    rejects={
        "usd_rate is no positive number": (
            "not coalesce(try_cast(usd_rate as decimal(18, 10)) > 0, false)"
        )
    },
    day="file_day",
    dated=Column("date", "date", "Day of the rate.", nullable=False),
    period=DAILY,
    formats=CSV,
    lookback=5,
)
_META_VALUE = text("meta_value", "Meta's word, in lower case.", False)
_META_CASTS = {"meta_value": "lower(nfc_normalize({text}))"}
META_COUNTRY_MAPPING = Feed(
    "meta_country_mapping",
    META_ADS,
    "meta_country_mapping",
    columns=(
        _META_VALUE,
        text("country_code", "ISO 3166 code of two letters.", False),
    ),
    words={"meta_value": _NAMIBIA, "country_code": _NAMIBIA},
    casts={**_META_CASTS, "country_code": "upper({text})"},
    key=("meta_value",),
    formats=CSV,
)
META_DEVICE_MAPPING = Feed(
    "meta_device_mapping",
    META_ADS,
    "meta_device_mapping",
    columns=(
        _META_VALUE,
        text("store", "Store.", False),
        text("platform", "Platform.", False),
    ),
    casts=_META_CASTS,
    key=("meta_value",),
    formats=CSV,
)
FEEDS = (
    *(EVENTS, USERS, *AD_PERFORMANCE.values(), CURRENCY_FX),
    *(META_COUNTRY_MAPPING, META_DEVICE_MAPPING),
)

"""The source tables of the ad metrics.

Belongs here: declarations of what is landed.
Does not belong here: files and their fields (``landing.py``), what is computed (``tables.py``).
"""

from __future__ import annotations

import os
from datetime import timedelta

from analytics_assets.core.declaration import Check, Table
from analytics_assets.domains.ad_metrics.landing import (
    AD_PERFORMANCE,
    AXES,
    CURRENCY_FX,
    EVENTS,
    FEEDS,
    META_COUNTRY_MAPPING,
    META_DEVICE_MAPPING,
    USERS,
)
from analytics_assets.domains.ad_metrics.sources import EventsSource
from analytics_assets.landing.rejected import rejected_records
from analytics_assets.landing.sources import FileSource


def _expected(variable: str) -> timedelta | None:
    """Exports come every day, where a setting names a folder: the sample brings nothing new."""
    return timedelta(days=2) if os.environ.get(variable) else None


mixpanel_events = EventsSource(EVENTS).table(
    "ad_metrics/mixpanel_events",
    "Mixpanel's event export as landed; of an event that came twice, what came last.",
    expected_every=_expected(EVENTS.folder.variable),
)
mixpanel_users = FileSource(USERS).table(
    "ad_metrics/mixpanel_users", "Mixpanel's people export: where each user came from."
)


def _ad_performance(axis: str) -> Table:
    feed = AD_PERFORMANCE[axis]
    return FileSource(feed).table(
        f"ad_metrics/{feed.name}",
        "Meta Insights at ad level" + (f", by {axis}." if axis != "all" else "."),
        checks=(_numbers(axis),),
        expected_every=_expected(feed.folder.variable),
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


AD_PERFORMANCE_DAILY = tuple(map(_ad_performance, AXES))
currency_fx = FileSource(CURRENCY_FX).table("ad_metrics/currency_fx", "Exchange rates by day.")
meta_country_mapping = FileSource(META_COUNTRY_MAPPING).table(
    "ad_metrics/meta_country_mapping",
    "Names of countries -> ISO code. A two-letter code stands for itself.",
)
meta_device_mapping = FileSource(META_DEVICE_MAPPING).table(
    "ad_metrics/meta_device_mapping",
    "Devices -> store and platform; the platform is the device breakdown.",
)
rejected_record = rejected_records("ad_metrics/rejected_record", FEEDS)

SOURCES = (
    mixpanel_events,
    mixpanel_users,
    *AD_PERFORMANCE_DAILY,
    currency_fx,
    meta_country_mapping,
    meta_device_mapping,
    rejected_record,
)

"""The source tables of the ad metrics.

Belongs here: declarations of what is landed.
Does not belong here: files and their fields (``landing.py``), what is computed (``tables.py``).
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from analytics_assets.core.declaration import Check, Table
from analytics_assets.core.table_set import TableSet
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
from analytics_assets.domains.ad_metrics.sources import EventsSource, InsightsSource, UsersSource
from analytics_assets.domains.ad_metrics.words import WORDS
from analytics_assets.landing.rejected import rejected_records
from analytics_assets.landing.sources import FileSource

tables = TableSet("ad_metrics", Path(__file__).parent / "sql", WORDS)


def _expected(variable: str) -> timedelta | None:
    """Exports come every day, where a setting names a folder: the sample brings nothing new."""
    return timedelta(days=2) if os.environ.get(variable) else None


mixpanel_events = tables.source(
    "mixpanel_events",
    EventsSource(EVENTS),
    description="Mixpanel's event export as landed; of an event that came twice, what came last.",
    expected_every=_expected(EVENTS.folder.variable),
)
mixpanel_users = tables.source(
    "mixpanel_users",
    UsersSource(USERS),
    description="Mixpanel's people export: where each user came from.",
)


def _ad_performance(axis: str) -> Table:
    feed = AD_PERFORMANCE[axis]
    return tables.source(
        feed.name,
        InsightsSource(feed),
        description="Meta Insights at ad level" + (f", by {axis}." if axis != "all" else "."),
        checks=(_numbers(axis),),
        expected_every=_expected(feed.folder.variable),
    )


def _numbers(axis: str) -> Check:
    name = "ad_metrics.ad_performance_daily" + ("" if axis == "all" else f"_{axis}")
    return Check(
        "numbers",
        "Spend, impressions, clicks and actions are numbers",
        f"""select _partition, ad_id, adset_id, campaign_id, breakdown_value, part, spend,
    impressions, clicks, actions
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
currency_fx = tables.source(
    "currency_fx", FileSource(CURRENCY_FX), description="Exchange rates by day."
)
meta_country_mapping = tables.source(
    "meta_country_mapping",
    FileSource(META_COUNTRY_MAPPING),
    description="Names of countries -> ISO code. A two-letter code stands for itself.",
)
meta_device_mapping = tables.source(
    "meta_device_mapping",
    FileSource(META_DEVICE_MAPPING),
    description="Devices -> store and platform; the platform is the device breakdown.",
)
rejected_record = rejected_records(tables, FEEDS)

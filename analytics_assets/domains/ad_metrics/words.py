"""The words of the ad metrics: names of events, ages at which values are final, defaults.

Belongs here: every number and name of the rules, once, and exact arithmetic in SQL.
Does not belong here: the rules (``sql/``).
"""

from __future__ import annotations

import os

from analytics_assets.core.refusals import DeclarationError
from analytics_assets.warehouse.session import literal

TRIAL_STARTED = "RC Trial started"
TRIAL_CONVERTED = "RC Trial converted"
TRIAL_CANCELLED = "RC Trial cancelled"
INITIAL_PURCHASE = "RC Initial purchase"
RENEWAL = "RC Renewal"
CANCELLATION = "RC Cancellation"
# In the order in which events of one moment are taken.
KNOWN_EVENTS = (
    TRIAL_STARTED,
    INITIAL_PURCHASE,
    TRIAL_CONVERTED,
    TRIAL_CANCELLED,
    RENEWAL,
    CANCELLATION,
)


def event_names(setting: str) -> dict[str, str]:
    """What an event may be called in an export -> what it is called here.

    An integration of RevenueCat's that nobody changed sends ``rc_trial_started_event``. Others are
    in the setting, as ``Trial begun=RC Trial started``, by commas.
    """
    names = {name: name for name in KNOWN_EVENTS}
    names |= {f"{name.lower().replace(' ', '_')}_event": name for name in KNOWN_EVENTS}
    for pair in filter(None, map(str.strip, setting.split(","))):
        theirs, _, ours = (part.strip() for part in pair.rpartition("="))
        if not theirs or ours not in KNOWN_EVENTS:
            raise DeclarationError(
                f"MIXPANEL_EVENT_NAMES: {pair!r} says the name of no event. Give each as"
                f" Your name=RC Trial started; after = stands one of {', '.join(KNOWN_EVENTS)}"
            )
        names[theirs] = ours
    return names


EVENT_NAMES = event_names(os.environ.get("MIXPANEL_EVENT_NAMES", ""))
# Breakdowns of Meta's Insights: rows that differ in one of them are parts of a sum.
BREAKDOWNS = (
    *("age", "gender", "country", "region", "dma", "user_segment_key", "frequency_value"),
    *("publisher_platform", "platform_position", "device_platform", "impression_device"),
    "hourly_stats_aggregated_by_advertiser_time_zone",
    "hourly_stats_aggregated_by_audience_time_zone",
    *("product_id", "place_page_id", "ad_format_asset", "body_asset", "call_to_action_asset"),
    *("description_asset", "image_asset", "link_url_asset", "title_asset", "video_asset"),
    *("media_asset_url", "media_creator", "media_destination_url", "media_format"),
    *("media_origin_url", "media_text_content", "media_type", "creative_relaxation_asset_type"),
    *("flexible_format_asset_type", "gen_ai_asset_type", "landing_destination", "is_auto_advance"),
    *("signal_source_bucket", "sot_attribution_model_type", "sot_channel", "rule_set_id"),
    *(
        "comscore_market",
        "comscore_market_code",
        "mdsa_landing_destination",
        "standard_event_content_type",
    ),
    *("is_conversion_id_modeled", "conversion_destination", "skan_campaign_id"),
    *("skan_conversion_id", "skan_version", "coarse_conversion_value", "fidelity_type"),
    *("hsid", "postback_sequence_index", "redownload", "marketing_messages_btn_name"),
    *("app_id", "user_persona_id", "user_persona_name"),
)
# What stands where an id was to be put in, or where there is none.
NO_ID = (
    r"(?im)^\s*(null|none|nil|undefined|nan|n/?a|unknown|[(]?not[ _]set[)]?|-+)\s*$"
    r"|[{][{]|[}][}]|%7b%7b|^\s*__\w+__\s*$"
)
# Days after a user's first day from which events no longer count.
REACH_DAYS = 60
# Days after the start of a trial within which it converts or is cancelled.
TRIAL_ENDS_WITHIN = 31
# First day of age at which something is so.
POST_TRIAL, CONVERSION_KNOWN, TRIAL_REFUND_KNOWN, PURCHASE_REFUND_KNOWN = 7, 8, 38, 31
MATURED_USERS = 12
DEFAULT_RATES = {"trial_conversion": 25, "trial_refund": 20, "purchase_refund": 40}
# Neighbouring prices are one bucket within the greater of these.
PRICE_SHARE, PRICE_USD = "0.175", "5"


def action_types(variable: str, default: str) -> str:
    """The setting's list of Meta action types as an SQL list."""
    names = (os.environ.get(variable) or default).split(",")
    return ", ".join(literal(name.strip()) for name in names if name.strip())


def amount_sql(text: str) -> str:
    """SQL of the amount that a text is; NULL where it is none."""
    return f"try_cast({text} as decimal(20, 6))"


def quotient(numerator: str, denominator: str, places: int) -> str:
    """SQL of a division of whole numbers, rounded half away from zero; 0 where it is undefined.

    Both sides are exact; DuckDB's own division goes through floating point, and a half cent would
    then fall either way.
    """
    top = f"cast({numerator} as hugeint) * {10**places}"
    bottom = f"cast({denominator} as hugeint)"
    rounded = f"(2 * abs({top}) + {bottom}) // (2 * {bottom})"
    return (
        f"case when {denominator} > 0 then cast(sign({top}) * ({rounded}) as decimal(28, 0))"
        f" * cast({10**-places:.{places}f} as decimal({places + 1}, {places})) else 0 end"
    )


WORDS = {
    "trial_started": literal(TRIAL_STARTED),
    "trial_converted": literal(TRIAL_CONVERTED),
    "trial_cancelled": literal(TRIAL_CANCELLED),
    "initial_purchase": literal(INITIAL_PURCHASE),
    "renewal": literal(RENEWAL),
    "cancellation": literal(CANCELLATION),
    "known_events": ", ".join(map(literal, EVENT_NAMES)),
    "event_name": "case event "
    + " ".join(f"when {literal(sent)} then {literal(ours)}" for sent, ours in EVENT_NAMES.items())
    + " end",
    "no_id": literal(NO_ID),
    "amount": amount_sql("stated"),
    "event_order": " ".join(
        f"when {literal(name)} then {order}" for order, name in enumerate(KNOWN_EVENTS)
    ),
    "reach_days": str(REACH_DAYS),
    "trial_ends_within": str(TRIAL_ENDS_WITHIN),
    "post_trial": str(POST_TRIAL),
    "conversion_known": str(CONVERSION_KNOWN),
    "trial_refund_known": str(TRIAL_REFUND_KNOWN),
    "purchase_refund_known": str(PURCHASE_REFUND_KNOWN),
    "matured_users": str(MATURED_USERS),
    "price_share": PRICE_SHARE,
    "price_usd": PRICE_USD,
    **{f"default_{name}": str(rate) for name, rate in DEFAULT_RATES.items()},
}

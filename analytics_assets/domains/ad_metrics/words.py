"""The words of the ad metrics: names of events, ages at which values are final, defaults.

Belongs here: every number and name of the rules, once, and exact arithmetic in SQL.
Does not belong here: the rules (``sql/``).
"""

from __future__ import annotations

import os

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
    "known_events": ", ".join(map(literal, KNOWN_EVENTS)),
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

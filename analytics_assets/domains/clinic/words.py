"""The words of the clinic: code lists, and the SQL that spells a value one way.

Belongs here: allowed values, and text -> moment, doctor, device, as SQL.
Does not belong here: headers of files (``layouts.py``), thresholds (``suites.py``).
"""

from __future__ import annotations

from collections.abc import Sequence

from analytics_assets.warehouse.session import literal

TRAFFIC_SOURCES = (
    "Referral",
    "Direct",
    "Organic Search",
    "Meta Ads",
    "Apple Ads",
    "Google Ads",
)
STATUSES = ("Attended", "Not Attended")
GROUPS = ("Test", "Control")
EVENTS = ("reminder_sent", "reminder_viewed", "appointment_confirmed", "attended_appointment")
GREATEST_AGE = 120
UNKNOWN = "Unknown"

_MOMENTS = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S.%f",
)


def listed(values: Sequence[str]) -> str:
    """The values as an SQL list."""
    return ", ".join(map(literal, values))


def moment_sql(text: str) -> str:
    """Moment without a time zone of an ISO date, with or without a time; NULL for other text."""
    return f"try_strptime({text}, [{listed(_MOMENTS)}])"


def doctor_sql(text: str) -> str:
    """``Dr.David``, ``dr  David`` and ``Dr. David`` as ``Dr. David``."""
    spaced = rf"regexp_replace(trim({text}), '\s+', ' ', 'g')"
    return rf"regexp_replace({spaced}, '^dr(\.\s*|\s+)', 'Dr. ', 'i')"


def one_of_sql(text: str, values: Sequence[str]) -> str:
    """The value as the code list spells it, whatever its case; NULL outside the list."""
    cases = " ".join(f"when {literal(value.lower())} then {literal(value)}" for value in values)
    return f"case lower(trim({text})) {cases} end"


def age_sql(text: str) -> str:
    """Whole years from 0 to ``GREATEST_AGE``; NULL for other text."""
    years = f"try_cast({text} as integer)"
    return f"case when {years} between 0 and {GREATEST_AGE} then {years} end"

"""The axes along which births are counted: places, times and characteristics.

Belongs here: key and attribute columns of each axis.
Does not belong here: tables (``tables.py``).
"""

from __future__ import annotations

from analytics_assets.core import calendar
from analytics_assets.core.columns import Dimension, text

STATE_CODE = text("state_code", "State (IBGE code, 00 unknown).", False)
REGION = Dimension(
    "region",
    (
        text("region_code", "Region (IBGE code, 0 unknown).", False),
        text("region_name", "Name of the region.", False),
    ),
)
STATE = Dimension(
    "state",
    (
        STATE_CODE,
        text("state_abbreviation", "Abbreviation of the state.", False),
        text("state_name", "Name of the state.", False),
        *REGION.columns,
    ),
)
MUNICIPALITY = Dimension(
    "municipality",
    (
        text(
            "municipality_code",
            "Municipality (IBGE, 7 digits; unknown: 00000 after the state's, or 0000000).",
            False,
        ),
        text("municipality_name", "Name of the municipality.", False),
        *STATE.columns,
    ),
)
FACILITY = Dimension(
    "facility",
    (
        text("cnes_code", "Health facility (CNES, 0000000 none or unknown).", False),
        text("facility_name", "Name of the facility.", False),
    ),
)
OCCUPATION = Dimension(
    "occupation",
    (
        text("occupation_code", "Occupation of the mother (CBO, 000000 unknown).", False),
        text("occupation_name", "Name of the occupation.", False),
    ),
)
BREAKDOWN = Dimension(
    "breakdown",
    (
        text("breakdown", "What the births are broken down by.", False),
        text("category", "Code in the breakdown's code list, or unknown.", False),
    ),
    keys=2,
)
YEAR = calendar.year("birth", since=2000)
MONTH = calendar.month("birth", since=2000)
WEEK = calendar.week("week_start", "Monday of the week of birth.")
DAY = calendar.day("date", "Date of birth.")

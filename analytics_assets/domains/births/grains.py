"""The axes along which births are counted: places, times and characteristics.

Belongs here: key and attribute columns of each axis.
Does not belong here: tables (``tables.py``).
"""

from __future__ import annotations

from dataclasses import replace

from analytics_assets.core import calendar
from analytics_assets.core.columns import Bins, Column, Dimension, text

STATE_CODE = text("state_code", "State (IBGE code, 00 unknown).", False, told=True)
REGION = Dimension(
    "region",
    (
        text("region_code", "Region (IBGE code, 0 unknown).", False, told=True),
        text("region_name", "Name of the region.", False, told=True),
    ),
)
STATE = Dimension(
    "state",
    (
        STATE_CODE,
        text("state_abbreviation", "Abbreviation of the state.", False, told=True),
        text("state_name", "Name of the state.", False, told=True),
        *REGION.columns,
    ),
)
# Attributes of a state, which its region decides.
STATE_WORDS = {
    "states": """states as (
    select * from births.dim_state
),

regions as (
    select * from births.dim_region
)""",
    "state_columns": ",\n".join(
        f"{'regions' if column in REGION.columns else 'states'}.{column.name}"
        for column in STATE.columns
    ),
}
MUNICIPALITY = Dimension(
    "municipality",
    (
        text(
            "municipality_code",
            "Municipality (IBGE, 7 digits; unknown: 00000 after the state's, or 0000000).",
            False,
            told=True,
        ),
        text("municipality_name", "Name of the municipality.", False, told=True),
        *STATE.columns,
    ),
)
# The mother's, and not that of the birth.
RESIDENCE_STATE, RESIDENCE_MUNICIPALITY = (
    replace(place, role="residence") for place in (STATE, MUNICIPALITY)
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
        text(
            "occupation_code", "Occupation of the mother (CBO, 000000 unknown).", False, told=True
        ),
        text("occupation_name", "Name of the occupation.", False, told=True),
    ),
)
BREAKDOWN = Dimension(
    "breakdown",
    (
        text("breakdown", "What the births are broken down by.", False, told=True),
        text("category", "Code in the breakdown's code list, or unknown.", False, told=True),
    ),
    keys=2,
    each="breakdown",
)
AGE_GROUP = Dimension(
    "maternal_age_group",
    (text("maternal_age_group", "Age group of the mother, or unknown.", False, told=True),),
)
# Unknown is a number of its own, as on the forms: its births are of known weight, too.
UNKNOWN_AGE = 99
AGE = Dimension(
    "maternal_age",
    (
        Column(
            "maternal_age",
            "integer",
            f"Age of the mother; {UNKNOWN_AGE} unknown.",
            "years",
            nullable=False,
        ),
    ),
)


def bins(of: str, width: int, unit: str) -> Dimension:
    """The axis of a histogram of births by what is known of them, such as birth_weight."""
    about = f"Least {of.replace('_', ' ')} of the bin, which is {width} {unit} wide."
    column = Column(f"{of}_from", "integer", about, unit, nullable=False)
    cut = Bins(of, width, unit, f"{of}_known")
    return Dimension(f"{of}_bin_{width}", (column,), bins=cut)


YEAR = calendar.year("birth", since=2000)
MONTH = calendar.month("birth", since=2000)
WEEK = calendar.week("week_start", "Monday of the week of birth.")
DAY = calendar.day("date", "Date of birth.")

"""The axes along which births are counted: places, times and characteristics.

Belongs here: key and attribute columns of each axis.
Does not belong here: tables (``tables.py``).
"""

from __future__ import annotations

from analytics_assets.core.columns import CALENDAR, Column, Dimension

STATE_CODE = Column("state_code", "text", "State (IBGE code, 00 unknown).", nullable=False)
REGION = Dimension(
    "region",
    (
        Column("region_code", "text", "Region (IBGE code, 0 unknown).", nullable=False),
        Column("region_name", "text", "Name of the region.", nullable=False),
    ),
)
STATE = Dimension(
    "state",
    (
        STATE_CODE,
        Column("state_abbreviation", "text", "Abbreviation of the state.", nullable=False),
        Column("state_name", "text", "Name of the state.", nullable=False),
        *REGION.columns,
    ),
)
MUNICIPALITY = Dimension(
    "municipality",
    (
        Column(
            "municipality_code",
            "text",
            "Municipality (IBGE, 7 digits; unknown: 00000 after the state's, or 0000000).",
            nullable=False,
        ),
        Column("municipality_name", "text", "Name of the municipality.", nullable=False),
        *STATE.columns,
    ),
)
FACILITY = Dimension(
    "facility",
    (
        Column(
            "cnes_code", "text", "Health facility (CNES, 0000000 none or unknown).", nullable=False
        ),
        Column("facility_name", "text", "Name of the facility.", nullable=False),
    ),
)
OCCUPATION = Dimension(
    "occupation",
    (
        Column(
            "occupation_code",
            "text",
            "Occupation of the mother (CBO, 000000 unknown).",
            nullable=False,
        ),
        Column("occupation_name", "text", "Name of the occupation.", nullable=False),
    ),
)
BREAKDOWN = Dimension(
    "breakdown",
    (
        Column("breakdown", "text", "What the births are broken down by.", nullable=False),
        Column(
            "category", "text", "Code in the breakdown's code list, or unknown.", nullable=False
        ),
    ),
    keys=2,
)
_YEAR = Column("year", "integer", "Year of birth.", "year", nullable=False, minimum=2000)
_MONTH = Column("month", "integer", "Month of birth.", "month", False, minimum=1, maximum=12)
YEAR = Dimension(
    "year",
    (_YEAR,),
    date_sql="make_date(year, 1, 1)",
    from_date=CALENDAR,
)
MONTH = Dimension(
    "month",
    (_YEAR, _MONTH),
    keys=2,
    date_sql="make_date(year, month, 1)",
    from_date=CALENDAR,
)
WEEK = Dimension(
    "week",
    (Column("week_start", "date", "Monday of the week of birth.", nullable=False),),
    date_sql="week_start",
    from_date={"week_start": "cast(date_trunc('week', {date}) as date)"},
)
DAY = Dimension(
    "day",
    (Column("date", "date", "Date of birth.", nullable=False),),
    date_sql="date",
    from_date={"date": "{date}"},
)

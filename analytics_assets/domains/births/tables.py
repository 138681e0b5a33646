"""The tables of the births domain, one declaration each.

Belongs here: declarations. Everything else about a table derives from its own.
Does not belong here: reading files (``sources.py``), the code book (``columns.py``).
"""

from __future__ import annotations

import os
from datetime import timedelta

from analytics_assets.core.columns import (
    Column,
    DeclarationError,
    Dimension,
    Strata,
    text,
)
from analytics_assets.core.declaration import Publish, Table
from analytics_assets.core.partitions import MONTHLY, YEARLY
from analytics_assets.core.small_cells import protect, public_name
from analytics_assets.domains.births import dimensions, distributions
from analytics_assets.domains.births.checks import READABLE, STILL_READABLE
from analytics_assets.domains.births.columns import (
    AGE_GROUPS,
    COLUMN_NAMES,
    SOURCE_COLUMNS,
    WEIGHT_CLASSES,
    bands_sql,
    place_joins_sql,
    typed_sql,
    unreadable_sql,
)
from analytics_assets.domains.births.grains import (
    BREAKDOWN,
    DAY,
    FACILITY,
    MONTH,
    MUNICIPALITY,
    OCCUPATION,
    REGION,
    RESIDENCE_MUNICIPALITY,
    RESIDENCE_STATE,
    STATE,
    STATE_WORDS,
    WEEK,
    YEAR,
)
from analytics_assets.domains.births.measures import (
    BIRTH_MEASURES,
    CORE_MEASURES,
    FLAGS,
    counted_by,
)
from analytics_assets.domains.births.rejected import BIRTH_DATE, LOSSES, REASON, counts
from analytics_assets.domains.births.sources import HealthFacilitySource, SinascSource
from analytics_assets.landing.readable import rows_still_landed
from analytics_assets.landing.shares import rejected_share
from analytics_assets.warehouse.session import literal

tables = dimensions.tables.copy()

# ---- sources ---------------------------------------------------------------------

_ORIGIN = (
    text("source_file", "File that the record came in.", False, told=True),
    text("source_state", "State that the file is of, BR for all.", False, told=True),
    Column("source_year", "integer", "Year that the file is of.", "year", nullable=False),
    Column(
        "source_row",
        "bigint",
        "Number of the record in its file; of an unreadable line, minus the line's number.",
        nullable=False,
    ),
)
_LANDED = (
    *(
        Column(c.name, "text", f"{c.description} As landed.", personal=c.personal)
        for c in SOURCE_COLUMNS
    ),
    *_ORIGIN,
    text("unreadable_line", "A line that could not be split into columns."),
)

raw_births = tables.source(
    "raw_births",
    SinascSource(),
    period=YEARLY,
    columns=_LANDED,
    unique=("source_file", "source_row"),
    slice_period=MONTHLY,
    slice_sql=f"case when year({BIRTH_DATE}) = source_year"
    f" then strftime({BIRTH_DATE}, '%Y-%m') end",
    checks=(rejected_share(counts=counts("births.raw_births")), rows_still_landed(LOSSES)),
    description="Birth records as landed, text throughout, with the file and row they came from.",
    # A year's files are published once a year, and not always in the same month.
    expected_every=timedelta(days=550),
)
raw_health_facilities = tables.source(
    "raw_health_facilities",
    HealthFacilitySource(),
    columns=FACILITY.columns,
    unique=("cnes_code",),
    description="Names of health facilities, from a CNESDO file in the landing folder if there is"
    " one.",
)


# ---- from SQL -----------------------------------------------------------------------------------


_FACT_COLUMNS = (
    text(
        "birth_id",
        "State, year and row number of the record in its source: stable.",
        False,
        told=True,
    ),
    *(column.declared() for column in SOURCE_COLUMNS),
    *(flag.column() for flag in FLAGS),
    text("birth_municipality_code", "Municipality of birth, 0000000 unknown.", False),
    text("residence_municipality_code", "Municipality of residence, 0000000 unknown.", False),
    text("cnes_code", "Health facility, 0000000 none or unknown.", False),
    text("occupation_code", "Occupation, 000000 unknown.", False),
    text("maternal_age_group", "Age group of the mother, or unknown.", False),
    text("birth_weight_class", "Class of birth weight, or unknown.", False),
    text("unreadable_columns", "Columns whose text could not be read, so NULL here."),
)
rejected_births = tables.from_sql(
    "rejected_births",
    layer="sources",
    period=YEARLY,
    words={"reason": REASON, "columns": ", ".join(COLUMN_NAMES)},
    columns=(
        *_ORIGIN,
        text("reason", "Why the record is not a birth of its year.", False),
        *_LANDED[-1:],
        *_LANDED[: len(SOURCE_COLUMNS)],
    ),
    time_column="make_date(source_year, 1, 1)",
    unique=("source_file", "source_row"),
    description="Records without a readable date of birth in their file's year, with the reason.",
)
fact_births = tables.from_sql(
    "fact_births",
    layer="facts",
    period=MONTHLY,
    columns=_FACT_COLUMNS,
    time_column="DTNASC",
    unique=("birth_id",),
    keeps_rows=True,
    alike_in="left(birth_municipality_code, 2)",
    checks=(READABLE, STILL_READABLE),
    words={
        "birth_date": BIRTH_DATE,
        "raw_columns": ",\n".join(f"landed.{n} as raw_{n}" for n in COLUMN_NAMES),
        "typed_columns": ",\n".join(
            f"{typed_sql(column)} as {column.name}" for column in SOURCE_COLUMNS
        ),
        "place_joins": place_joins_sql(),
        "flags": ",\n".join(f"{flag.rule} as {flag.name}" for flag in FLAGS),
        "unreadable_columns": unreadable_sql(),
        "maternal_age_groups": bands_sql("IDADEMAE", AGE_GROUPS, "45+"),
        "birth_weight_classes": bands_sql("PESO", WEIGHT_CLASSES, "4000+"),
        "columns": ",\n".join(column.name for column in _FACT_COLUMNS[1:]),
    },
    description="One row per birth: the 61 columns of the record, typed, and what derives from"
    " them.",
)


def _publish(*indexes: str, core: bool = False) -> Publish:
    """That counts of births are promoted; small ones only where no threshold is set.

    ``core``: of large tables beyond those of the brief, the core of the measures.
    """
    threshold = os.environ.get("BIRTHS_PUBLICATION_THRESHOLD") or "0"
    if not threshold.isdecimal():
        raise DeclarationError(
            f"BIRTHS_PUBLICATION_THRESHOLD is {threshold!r}: give a whole number, 0 for none"
        )
    whole = not core or os.environ.get("BIRTHS_PUBLISH_ALL_MEASURES") == "1"
    return Publish(indexes, int(threshold), measures=() if whole else CORE_MEASURES)


_YEAR = {"time": "year(DTNASC) as year", "time_names": "cells.year"}
_MONTH = {
    "time": f"{_YEAR['time']},\nmonth(DTNASC) as month",
    "time_names": "cells.year,\ncells.month",
}


def _from_births(name: str, *grain: Dimension, **declared) -> Table:
    """An aggregate that counts the births themselves."""
    return tables.from_sql(
        name,
        layer="aggregates",
        grain=grain,
        measures=BIRTH_MEASURES,
        measured_from=fact_births,
        **declared,
    )


def _rollup(
    name: str,
    finer: Table,
    *grain: Dimension,
    indexes: tuple[str, ...] = (),
    core: bool = False,
    **declared,
) -> Table:
    """An aggregate that adds up a finer one, promoted."""
    publish = _publish(*indexes, core=core)
    return tables.rollup(name, finer, *grain, publish=publish, **declared)


_BREAKDOWNS = {
    "maternal_age_group": "maternal_age_group",
    "schooling": "ESCMAE",
    "race": "RACACOR",
    "sex": "SEXO",
    "prenatal_visits": "CONSULTAS",
    "plurality": "GRAVIDEZ",
    "gestation_class": "GESTACAO",
    "birth_weight_class": "birth_weight_class",
    "delivery": "PARTO",
    "robson_group": "TPROBSON",
}
# What the classes are made of.
_READ_BY = {"maternal_age_group": "IDADEMAE", "birth_weight_class": "PESO"}

agg_municipality_daily = _from_births(
    "agg_municipality_daily",
    DAY,
    MUNICIPALITY,
    file="by_municipality",
    words={
        **STATE_WORDS,
        "time": "DTNASC as date",
        "time_names": "cells.date",
        "municipality": "birth_municipality_code",
    },
    period=MONTHLY,
    # Millions of rows with small cells, so somebody has to want them there.
    publish=_publish() if os.environ.get("BIRTHS_PUBLISH_MUNICIPALITY_DAILY") == "1" else None,
    description="Births by municipality and day; promoted only when switched on.",
)
agg_residence_municipality_monthly = _from_births(
    "agg_residence_municipality_monthly",
    MONTH,
    RESIDENCE_MUNICIPALITY,
    file="by_municipality",
    words={**STATE_WORDS, **_MONTH, "municipality": "residence_municipality_code"},
    period=MONTHLY,
    publish=_publish(core=True),
    description="Births, by residence, by municipality and month.",
)
agg_cnes_monthly = _from_births(
    "agg_cnes_monthly",
    MONTH,
    FACILITY,
    file="by_named_code",
    words={
        **_MONTH,
        "code": "cnes_code",
        "unknown": "0000000",
        "unknown_name": "None or unknown",
        "name": "facility_name",
        "names": "facilities",
        "names_table": raw_health_facilities.sql_name,
    },
    period=MONTHLY,
    publish=_publish(core=True),
    description="Births by health facility and month.",
)
agg_occupation_yearly = _from_births(
    "agg_occupation_yearly",
    YEAR,
    OCCUPATION,
    file="by_named_code",
    words={
        **_YEAR,
        "code": "occupation_code",
        "unknown": "000000",
        "unknown_name": "Unknown",
        "name": "occupation_name",
        "names": "occupations",
        "names_table": "births.dim_occupation",
    },
    period=YEARLY,
    publish=_publish(),
    description="Births by occupation of the mother and year.",
)
_BY_PLACE = ("municipality_code, year",)

agg_state_daily = _rollup("agg_state_daily", agg_municipality_daily, DAY, STATE)
agg_region_daily = _rollup("agg_region_daily", agg_state_daily, DAY, REGION)
agg_daily = _rollup("agg_daily", agg_region_daily, DAY)

agg_municipality_weekly = _rollup(
    "agg_municipality_weekly", agg_municipality_daily, WEEK, MUNICIPALITY, core=True
)

agg_municipality_monthly = _rollup(
    "agg_municipality_monthly", agg_municipality_daily, MONTH, MUNICIPALITY, indexes=_BY_PLACE
)
agg_state_monthly = _rollup(
    "agg_state_monthly", agg_municipality_monthly, MONTH, STATE, alike_in="state_code"
)
agg_region_monthly = _rollup("agg_region_monthly", agg_state_monthly, MONTH, REGION)
agg_monthly = _rollup("agg_monthly", agg_region_monthly, MONTH)

agg_municipality_yearly = _rollup(
    "agg_municipality_yearly", agg_municipality_monthly, YEAR, MUNICIPALITY, indexes=_BY_PLACE
)
agg_state_yearly = _rollup(
    "agg_state_yearly", agg_municipality_yearly, YEAR, STATE, alike_in="state_code"
)
agg_region_yearly = _rollup("agg_region_yearly", agg_state_yearly, YEAR, REGION)
agg_yearly = _rollup("agg_yearly", agg_region_yearly, YEAR)

agg_demographic_yearly = _from_births(
    "agg_demographic_yearly",
    YEAR,
    STATE,
    BREAKDOWN,
    period=YEARLY,
    each=("breakdown",),
    decides={name: counted_by(_READ_BY.get(name, column)) for name, column in _BREAKDOWNS.items()},
    parts_of=agg_state_yearly,
    publish=_publish("breakdown, year"),
    strata=(Strata("age", "category", ("breakdown", "maternal_age_group")),),
    words={
        **STATE_WORDS,
        "breakdown": "case "
        + " ".join(
            f"when grouping({column}) = 0 then {literal(name)}"
            for name, column in _BREAKDOWNS.items()
        )
        + " end",
        "category": "coalesce(" + ", ".join(_BREAKDOWNS.values()) + ", 'unknown')",
        "grouping_sets": ", ".join(
            f"(year(DTNASC), left(birth_municipality_code, 2), {column})"
            for column in _BREAKDOWNS.values()
        ),
    },
    description="Births by state, year and one characteristic at a time.",
)

agg_cnes_yearly = _rollup("agg_cnes_yearly", agg_cnes_monthly, YEAR, FACILITY)

agg_residence_municipality_yearly = _rollup(
    "agg_residence_municipality_yearly",
    agg_residence_municipality_monthly,
    YEAR,
    RESIDENCE_MUNICIPALITY,
    indexes=_BY_PLACE,
    core=True,
)
agg_residence_state_monthly = _rollup(
    "agg_residence_state_monthly",
    agg_residence_municipality_monthly,
    MONTH,
    RESIDENCE_STATE,
    core=True,
)
agg_residence_state_yearly = _rollup(
    "agg_residence_state_yearly",
    agg_residence_municipality_yearly,
    YEAR,
    RESIDENCE_STATE,
    core=True,
)

# Nearly all of their cells are small, so with a threshold they are not promoted.
distributions.declare(tables, fact_births, promoted=not _publish().threshold)

# What follows is computed from what readers get, so it can give away no more.
tables.derive(protect(tables.all))

dim_health_facility = tables.from_sql(
    "dim_health_facility",
    layer="aggregates",
    unique=("cnes_code",),
    publish=Publish(),
    words={"facilities": public_name(agg_cnes_yearly)},
    columns=(
        *FACILITY.columns,
        Column("first_year", "integer", "First year with births.", "year", nullable=False),
        Column("last_year", "integer", "Last year with births.", "year", nullable=False),
        Column("total_births", "integer", "Births in all years.", "births", False, minimum=0),
    ),
    description="Health facilities with births.",
)

TABLES = tables.all

"""The tables of the births domain, one declaration each.

Belongs here: declarations. Everything else about a table derives from its own.
Does not belong here: reading files (``sources.py``), the code book (``columns.py``).
"""

from __future__ import annotations

from pathlib import Path

from analytics_assets.births.columns import (
    COLUMN_NAMES,
    REFERENCE,
    SOURCE_COLUMNS,
    date_sql,
    place_joins_sql,
    typed_sql,
    unreadable_sql,
)
from analytics_assets.births.measures import BIRTH_MEASURES, FLAGS
from analytics_assets.births.sources import (
    HealthFacilitySource,
    SinascSource,
)
from analytics_assets.core.declaration import (
    Check,
    Column,
    Dimension,
    Publish,
    Table,
    read_sql,
)
from analytics_assets.core.lineage import upstream_of
from analytics_assets.core.partitions import MONTHLY, WEEKLY, YEARLY
from analytics_assets.core.rollups import measures_sql
from analytics_assets.warehouse.reference import ReferenceSource
from analytics_assets.warehouse.session import literal

# Shares of unreadable values above this say that a file has other columns or codes than it should.
MAX_UNREADABLE_SHARE = 0.05

_NAMES = ", ".join(measure.name for measure in BIRTH_MEASURES.measures)
_MEASURES = measures_sql(BIRTH_MEASURES.measures)


# ---- axes ---------------------------------------------------------------------------------------

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
            "Municipality (IBGE, 7 digits; <state>00000 and 0000000 unknown).",
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
    from_date={"year": "cast(year({date}) as integer)"},
)
MONTH = Dimension(
    "month",
    (_YEAR, _MONTH),
    keys=2,
    date_sql="make_date(year, month, 1)",
    from_date={"year": "cast(year({date}) as integer)", "month": "cast(month({date}) as integer)"},
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


# ---- sources and dimensions ---------------------------------------------------------------------

_ORIGIN = (
    Column("source_file", "text", "File that the record came in.", nullable=False),
    Column("source_state", "text", "State that the file is of, BR for all.", nullable=False),
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
    Column("unreadable_line", "text", "A line that could not be split into columns."),
)
_BIRTH_DATE = date_sql("DTNASC")

raw_births = Table(
    "births/raw_births",
    layer="sources",
    period=YEARLY,
    columns=_LANDED,
    source=SinascSource(),
    unique=("source_file", "source_row"),
    slice_period=MONTHLY,
    slice_sql=f"case when year({_BIRTH_DATE}) = source_year"
    f" then strftime({_BIRTH_DATE}, '%Y-%m') end",
    description="Birth records as landed, text throughout, with the file and row they came from.",
)
raw_health_facilities = Table(
    "births/raw_health_facilities",
    layer="sources",
    columns=FACILITY.columns,
    unique=("cnes_code",),
    source=HealthFacilitySource(),
    description="Names of health facilities, from a CNESDO file in the landing folder if there is"
    " one.",
)


def _reference(name: str, file: str, description: str, *columns: Column, where: str = "") -> Table:
    """A dimension that ships with the package."""
    return Table(
        f"births/{name}",
        layer="dimensions",
        columns=columns,
        unique=(columns[0].name,),
        source=ReferenceSource(REFERENCE / file, where),
        publish=Publish(),
        description=description,
    )


dim_region = _reference("dim_region", "regions.csv", "The five regions.", *REGION.columns)
dim_state = _reference(
    "dim_state",
    "states.csv",
    "The 27 states.",
    *STATE.columns[:3],
    REGION.columns[0],
)
dim_municipality = _reference(
    "dim_municipality",
    "municipalities.csv",
    "The municipalities, and one unknown in each state.",
    *MUNICIPALITY.columns[:2],
    STATE_CODE,
    Column("is_capital", "integer", "1 for the capital of its state.", nullable=False),
    Column("latitude", "decimal", "Latitude of its seat.", "degrees", minimum=-90, maximum=90),
    Column("longitude", "decimal", "Longitude of its seat.", "degrees", minimum=-180, maximum=180),
)
dim_occupation = _reference(
    "dim_occupation",
    "occupations.csv",
    "Occupations (CBO-2002, and CBO-1994 before 2006).",
    *OCCUPATION.columns,
    Column("classification", "text", "Which classification the code is of.", nullable=False),
)
CODE_LISTS = {
    "dim_birth_place": "birth_place",
    "dim_marital_status": "marital_status",
    "dim_schooling": "schooling",
    "dim_schooling_2010": "schooling_2010",
    "dim_gestation_class": "gestation_class",
    "dim_plurality": "plurality",
    "dim_delivery": "delivery",
    "dim_prenatal_visits": "prenatal_visits",
    "dim_sex": "sex",
    "dim_race": "race",
    "dim_anomaly": "anomaly",
    "dim_presentation": "presentation",
    "dim_labour_induced": "labour_induced",
    "dim_cesarean_before_labour": "caesarean_before_labour",
    "dim_parity": "parity",
    "dim_robson_group": "robson_group",
    "dim_kotelchuck": "kotelchuck",
    "dim_maternal_age_group": "maternal_age_group",
    "dim_birth_weight_class": "birth_weight_class",
}
code_list_tables = tuple(
    _reference(
        name,
        "code_lists.csv",
        f"Code list: {code_list.replace('_', ' ')}.",
        Column("code", "text", "Code as stored.", nullable=False),
        Column("label", "text", "Meaning in English.", nullable=False),
        Column(
            "label_pt", "text", "Meaning in Portuguese, as the code book has it.", nullable=False
        ),
        Column("position", "integer", "Order in which to show it.", nullable=False),
        where=f"list = {literal(code_list)}",
    )
    for name, code_list in CODE_LISTS.items()
)


# ---- from SQL -----------------------------------------------------------------------------------

_known: dict[str, Table] = {
    table.sql_name: table
    for table in (
        raw_births,
        raw_health_facilities,
        dim_region,
        dim_state,
        dim_municipality,
        dim_occupation,
        *code_list_tables,
    )
}


def _from_sql(name: str, **declared) -> Table:
    """A table whose rows ``sql/<name>.sql`` selects; what it reads is found in the SQL."""
    replacements = {"measures": _MEASURES, "measure_names": _NAMES, **declared.pop("words", {})}
    sql = read_sql(Path(__file__).parent / "sql" / f"{name}.sql", replacements)
    table = Table(f"births/{name}", sql=sql, reads=upstream_of(sql, _known), **declared)
    _known[table.sql_name] = table
    return table


def _bands(column: str, bands: tuple[tuple[str, int], ...], last: str) -> str:
    """CASE branches of consecutive bands: (code, first value that is above it)."""
    branches = [f"when {column} < {above} then {literal(code)}" for code, above in bands]
    return " ".join([*branches, f"when {column} is not null then {literal(last)}"])


_AGE_GROUPS = (
    ("<15", 15),
    ("15-19", 20),
    ("20-24", 25),
    ("25-29", 30),
    ("30-34", 35),
    ("35-39", 40),
    ("40-44", 45),
)
_WEIGHT_CLASSES = (
    ("<500", 500),
    ("500-999", 1000),
    ("1000-1499", 1500),
    ("1500-2499", 2500),
    ("2500-2999", 3000),
    ("3000-3999", 4000),
)
_FACT_COLUMNS = (
    Column(
        "birth_id",
        "text",
        "State, year and row number of the record in its source: stable.",
        nullable=False,
    ),
    *(column.declared() for column in SOURCE_COLUMNS),
    *(flag.column() for flag in FLAGS),
    Column(
        "birth_municipality_code", "text", "Municipality of birth, 0000000 unknown.", nullable=False
    ),
    Column(
        "residence_municipality_code",
        "text",
        "Municipality of residence, 0000000 unknown.",
        nullable=False,
    ),
    Column("cnes_code", "text", "Health facility, 0000000 none or unknown.", nullable=False),
    Column("occupation_code", "text", "Occupation, 000000 unknown.", nullable=False),
    Column("maternal_age_group", "text", "Age group of the mother, or unknown.", nullable=False),
    Column("birth_weight_class", "text", "Class of birth weight, or unknown.", nullable=False),
    Column("unreadable_columns", "text", "Columns whose text could not be read, so NULL here."),
)
_READABLE = Check(
    "values_readable",
    f"At most {MAX_UNREADABLE_SHARE:.0%} of a column's values are outside its code book",
    sql=f"""
with named as (
    select _partition, unnest(string_split(unreadable_columns, ',')) as column_name, birth_id
    from births.fact_births
    where unreadable_columns is not null
),
counted as (
    select _partition, column_name, count(*) as unreadable, min(birth_id) as first_record,
        max(birth_id) as last_record
    from named group by all
),
births as (select _partition, count(*) as births from births.fact_births group by all)
select counted.*, births.births, round(100.0 * unreadable / births, 1) as percent
from counted join births using (_partition)
where unreadable > 2 and unreadable > {MAX_UNREADABLE_SHARE} * births
order by all""",
    advice="Look at these records in births.raw_births (source_file, source_row): the file may have"
    " shifted columns, other codes or another layout. Mend the file and run again.",
)

rejected_births = _from_sql(
    "rejected_births",
    layer="facts",
    period=YEARLY,
    words={"birth_date": _BIRTH_DATE, "columns": ", ".join(COLUMN_NAMES)},
    columns=(
        *_ORIGIN,
        Column("reason", "text", "Why the record is not a birth of its year.", nullable=False),
        *_LANDED[-1:],
        *_LANDED[: len(SOURCE_COLUMNS)],
    ),
    time_column="make_date(source_year, 1, 1)",
    unique=("source_file", "source_row"),
    description="Records without a readable date of birth in their file's year, with the reason.",
)
fact_births = _from_sql(
    "fact_births",
    layer="facts",
    period=MONTHLY,
    columns=_FACT_COLUMNS,
    time_column="DTNASC",
    unique=("birth_id",),
    keeps_rows=True,
    checks=(_READABLE,),
    words={
        "birth_date": _BIRTH_DATE,
        "raw_columns": ",\n        ".join(f"landed.{n} as raw_{n}" for n in COLUMN_NAMES),
        "typed_columns": ",\n        ".join(
            f"{typed_sql(column)} as {column.name}" for column in SOURCE_COLUMNS
        ),
        "place_joins": place_joins_sql(),
        "flags": ",\n        ".join(f"{flag.rule} as {flag.name}" for flag in FLAGS),
        "unreadable_columns": unreadable_sql(),
        "maternal_age_groups": _bands("IDADEMAE", _AGE_GROUPS, "45+"),
        "birth_weight_classes": _bands("PESO", _WEIGHT_CLASSES, "4000+"),
        "columns": ",\n    ".join(column.name for column in _FACT_COLUMNS[1:]),
    },
    description="One row per birth: the 61 columns of the record, typed, and what derives from"
    " them.",
)


def _from_births(name: str, *grain: Dimension, **declared) -> Table:
    """An aggregate that counts the births themselves."""
    return _from_sql(
        name,
        layer="aggregates",
        grain=grain,
        measures=BIRTH_MEASURES,
        measured_from=fact_births,
        **declared,
    )


def _rollup(
    name: str, of: Table, period, *grain: Dimension, indexes: tuple[str, ...] = (), description: str
) -> Table:
    """An aggregate that adds up a finer one."""
    table = Table(
        f"births/{name}",
        layer="aggregates",
        rollup_of=of,
        period=period,
        grain=grain,
        measures=BIRTH_MEASURES,
        publish=Publish(indexes),
        description=description,
    )
    _known[table.sql_name] = table
    return table


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

agg_municipality_daily = _from_births(
    "agg_municipality_daily",
    DAY,
    MUNICIPALITY,
    period=MONTHLY,
    description="Births by municipality and day. Not promoted: its cells are small.",
)
agg_residence_municipality_monthly = _from_births(
    "agg_residence_municipality_monthly",
    MONTH,
    MUNICIPALITY,
    period=MONTHLY,
    publish=Publish(("year, month",)),
    description="Births by municipality of residence and month.",
)
agg_cnes_monthly = _from_births(
    "agg_cnes_monthly",
    MONTH,
    FACILITY,
    period=MONTHLY,
    publish=Publish(("year, month",)),
    description="Births by health facility and month.",
)
agg_occupation_yearly = _from_births(
    "agg_occupation_yearly",
    YEAR,
    OCCUPATION,
    period=YEARLY,
    publish=Publish(),
    description="Births by occupation of the mother and year.",
)
agg_demographic_yearly = _from_births(
    "agg_demographic_yearly",
    YEAR,
    STATE,
    BREAKDOWN,
    period=YEARLY,
    each=("breakdown",),
    publish=Publish(("breakdown, year",)),
    words={
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

agg_state_daily = _rollup(
    "agg_state_daily",
    agg_municipality_daily,
    MONTHLY,
    DAY,
    STATE,
    indexes=("date",),
    description="Births by state and day.",
)
agg_region_daily = _rollup(
    "agg_region_daily",
    agg_state_daily,
    MONTHLY,
    DAY,
    REGION,
    indexes=("date",),
    description="Births by region and day.",
)
agg_daily = _rollup("agg_daily", agg_region_daily, MONTHLY, DAY, description="Births by day.")

agg_municipality_weekly = _rollup(
    "agg_municipality_weekly",
    agg_municipality_daily,
    WEEKLY,
    WEEK,
    MUNICIPALITY,
    indexes=("week_start",),
    description="Births by municipality and week.",
)

agg_municipality_monthly = _rollup(
    "agg_municipality_monthly",
    agg_municipality_daily,
    MONTHLY,
    MONTH,
    MUNICIPALITY,
    indexes=("year, month", "municipality_code, year"),
    description="Births by municipality and month.",
)
agg_state_monthly = _rollup(
    "agg_state_monthly",
    agg_municipality_monthly,
    MONTHLY,
    MONTH,
    STATE,
    description="Births by state and month.",
)
agg_region_monthly = _rollup(
    "agg_region_monthly",
    agg_state_monthly,
    MONTHLY,
    MONTH,
    REGION,
    description="Births by region and month.",
)
agg_monthly = _rollup(
    "agg_monthly", agg_region_monthly, MONTHLY, MONTH, description="Births by month."
)

agg_municipality_yearly = _rollup(
    "agg_municipality_yearly",
    agg_municipality_monthly,
    YEARLY,
    YEAR,
    MUNICIPALITY,
    indexes=("municipality_code, year",),
    description="Births by municipality and year.",
)
agg_state_yearly = _rollup(
    "agg_state_yearly",
    agg_municipality_yearly,
    YEARLY,
    YEAR,
    STATE,
    description="Births by state and year.",
)
agg_region_yearly = _rollup(
    "agg_region_yearly",
    agg_state_yearly,
    YEARLY,
    YEAR,
    REGION,
    description="Births by region and year.",
)
agg_yearly = _rollup("agg_yearly", agg_region_yearly, YEARLY, YEAR, description="Births by year.")

agg_cnes_yearly = _rollup(
    "agg_cnes_yearly",
    agg_cnes_monthly,
    YEARLY,
    YEAR,
    FACILITY,
    description="Births by health facility and year.",
)
agg_residence_municipality_yearly = _rollup(
    "agg_residence_municipality_yearly",
    agg_residence_municipality_monthly,
    YEARLY,
    YEAR,
    MUNICIPALITY,
    description="Births by municipality of residence and year.",
)
agg_residence_state_monthly = _rollup(
    "agg_residence_state_monthly",
    agg_residence_municipality_monthly,
    MONTHLY,
    MONTH,
    STATE,
    description="Births by state of residence and month.",
)
agg_residence_state_yearly = _rollup(
    "agg_residence_state_yearly",
    agg_residence_municipality_yearly,
    YEARLY,
    YEAR,
    STATE,
    description="Births by state of residence and year, as official statistics count them.",
)

dim_health_facility = _from_sql(
    "dim_health_facility",
    layer="dimensions",
    unique=("cnes_code",),
    publish=Publish(),
    columns=(
        *FACILITY.columns,
        Column("first_year", "integer", "First year with births.", "year", nullable=False),
        Column("last_year", "integer", "Last year with births.", "year", nullable=False),
        Column("total_births", "integer", "Births in all years.", "births", False, minimum=0),
    ),
    description="Health facilities with births.",
)

TABLES: tuple[Table, ...] = tuple(_known.values())

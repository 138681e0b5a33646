"""How questions read from single births, typed by hand, and made-up births to ask about."""

from __future__ import annotations

from datetime import date
from typing import Any

from analytics_assets.core.catalogue import Catalogue
from analytics_assets.domains.births.columns import AGE_GROUPS, WEIGHT_CLASSES, bands_sql
from analytics_assets.domains.births.measures import BIRTH_MEASURES, FLAGS
from analytics_assets.domains.births.tables import TABLES
from analytics_assets_tests.asking import Facts
from analytics_assets_tests.built import Built

_REGION = {"region_code", "region_name"}
_STATE = {"state_code", "state_abbreviation", "state_name"} | _REGION
_TOWN = {"municipality_code", "municipality_name"} | _STATE
_HOME = {f"residence.{name}" for name in _STATE}
_HOME_TOWN = {f"residence.{name}" for name in _TOWN}
_KIND = {"breakdown", "category"}
KEPT = {
    "agg_daily": ("day", set()),
    "agg_region_daily": ("day", _REGION),
    "agg_state_daily": ("day", _STATE),
    "agg_municipality_weekly": ("week", _TOWN),
    "agg_monthly": ("month", set()),
    "agg_region_monthly": ("month", _REGION),
    "agg_state_monthly": ("month", _STATE),
    "agg_municipality_monthly": ("month", _TOWN),
    "agg_yearly": ("year", set()),
    "agg_region_yearly": ("year", _REGION),
    "agg_state_yearly": ("year", _STATE),
    "agg_municipality_yearly": ("year", _TOWN),
    "agg_cnes_monthly": ("month", {"cnes_code", "facility_name"}),
    "agg_cnes_yearly": ("year", {"cnes_code", "facility_name"}),
    "agg_occupation_yearly": ("year", {"occupation_code", "occupation_name"}),
    "agg_demographic_yearly": ("year", _STATE | _KIND),
    "agg_residence_municipality_monthly": ("month", _HOME_TOWN),
    "agg_residence_municipality_yearly": ("year", _HOME_TOWN),
    "agg_residence_state_monthly": ("month", _HOME),
    "agg_residence_state_yearly": ("year", _HOME),
}
KEPT |= {
    "agg_birth_weight_yearly": ("year", _STATE | {"maternal_age_group", "birth_weight_from"}),
    "agg_birth_weight_by_age_yearly": ("year", {"maternal_age", "birth_weight_from"}),
    "agg_gestational_weeks_yearly": ("year", _STATE | {"gestational_weeks_from"}),
    "agg_maternal_age_yearly": ("year", _STATE | {"maternal_age_from"}),
}
WORDS = {
    "state_code": "left(birth_municipality_code, 2)",
    "state_abbreviation": "birth_state.state_abbreviation",
    "region_name": "birth_region.region_name",
    "municipality_code": "birth_municipality_code",
    "municipality_name": "coalesce(birth_town.municipality_name, 'Not in the code list')",
    "residence.state_code": "left(residence_municipality_code, 2)",
    "residence.region_name": "home_region.region_name",
    "residence.municipality_code": "residence_municipality_code",
    "cnes_code": "cnes_code",
    "occupation_code": "occupation_code",
    "breakdown": "breakdown",
    "category": "category",
    "maternal_age_group": "maternal_age_group",
    "maternal_age": "coalesce(IDADEMAE, 99)",
}
_SOURCE = """
select births.*{more} from births.fact_births as births
left join births.dim_municipality as birth_town
    on birth_town.municipality_code = birth_municipality_code
left join births.dim_state as birth_state
    on birth_state.state_code = left(birth_municipality_code, 2)
left join births.dim_region as birth_region on birth_region.region_code = birth_state.region_code
left join births.dim_state as home_state
    on home_state.state_code = left(residence_municipality_code, 2)
left join births.dim_region as home_region on home_region.region_code = home_state.region_code"""

_CATEGORIES = {
    "maternal_age_group": "maternal_age_group", "schooling": "ESCMAE", "race": "RACACOR",
    "sex": "SEXO", "prenatal_visits": "CONSULTAS", "plurality": "GRAVIDEZ",
    "gestation_class": "GESTACAO", "birth_weight_class": "birth_weight_class",
    "delivery": "PARTO", "robson_group": "TPROBSON",
}  # fmt: skip
_EXPANDED = " union all ".join(
    _SOURCE.format(more=f", birth_town, birth_state, birth_region, home_region, '{name}' as"
                   f" breakdown, coalesce({column}, 'unknown') as category")
    for name, column in _CATEGORIES.items()
)  # fmt: skip
FACTS = Facts(
    source=_SOURCE.format(more=", birth_town, birth_state, birth_region, home_region"),
    expanded={"breakdown": _EXPANDED, "category": _EXPANDED},
    day="DTNASC",
    words=WORDS,
    kept=KEPT,
    unlike={"agg_demographic_yearly": {"breakdown"}},
    values={
        "state_code": ("12", "35"), "state_abbreviation": ("AC", "SP", "XX"),
        "region_name": ("Norte", "Sudeste"), "municipality_code": ("1200401", "3550308"),
        "residence.state_code": ("12", "35"), "cnes_code": ("0000000", "2701006"),
        "breakdown": ("sex", "maternal_age_group"), "category": ("1", "unknown"),
        "maternal_age": ("25", "99"), "maternal_age_group": ("25-29", "unknown"),
        "year": ("2022", "2023", "2024"), "month": ("2023-05",), "quarter": ("2023-Q2",),
    },
    measures={measure.name: measure.sql for measure in BIRTH_MEASURES.measures},
    spans=(
        ("2023", date(2023, 1, 1), date(2023, 12, 31)),
        ("2023..2024", date(2023, 1, 1), date(2024, 12, 31)),
        ("2023-02..2024-01", date(2023, 2, 1), date(2024, 1, 31)),
        ("2023-Q2..2024-Q1", date(2023, 4, 1), date(2024, 3, 31)),
        ("2023-01-02..2023-06-04", date(2023, 1, 2), date(2023, 6, 4)),
        ("2023-03-11..2024-02-03", date(2023, 3, 11), date(2024, 2, 3)),
    ),
)  # fmt: skip
METRICS = (
    "total_births", "cesarean_rate", "cesarean_count", "preterm_known", "preterm_rate",
    "mean_birth_weight", "birth_weight_sum", "birth_weight_known",
    "maternal_age_known", "first_pregnancy_rate", "cesarean_pct",
)  # fmt: skip
GIVEN = ("fact_births", "raw_health_facilities", "dim_municipality", "dim_state", "dim_region",
         "dim_occupation")  # fmt: skip
_PLACES = """
insert into births.dim_region by name select * from (values ('1', 'Norte'), ('3', 'Sudeste'))
    as t (region_code, region_name);
insert into births.dim_state by name select * from (values ('12', 'AC', 'Acre', '1'),
    ('35', 'SP', 'São Paulo', '3'), ('33', 'RJ', 'Rio', '3'))
    as t (state_code, state_abbreviation, state_name, region_code);
insert into births.dim_municipality by name select * from (values ('1200401', 'Rio Branco'),
    ('3550308', 'São Paulo'), ('3304557', 'Rio de Janeiro'), ('3534708', 'Rio Branco'))
    as t (municipality_code, municipality_name);
"""


def made_up(births: int) -> str:
    """SQL of so many births of 15 months, with everything unknown now and then."""

    def one_of(of: str, *values: str) -> str:
        listed = ", ".join(f"'{value}'" for value in values)
        return f"[{listed}, null][1 + (hash(n, '{of}') % {len(values) + 1})::integer]"

    towns = "['1200401', '3550308', '3304557', '3534708', '3599999']"
    columns = {
        "birth_id": "n::varchar",
        "DTNASC": "date '2022-12-01' + (hash(n, 'day') % 460)::integer",
        "birth_municipality_code": f"{towns}[1 + (hash(n, 'town') % 5)::integer]",
        "residence_municipality_code": f"{towns}[1 + (hash(n, 'home') % 5)::integer]",
        "cnes_code": "['0000000', '2701006'][1 + (hash(n, 'cnes') % 2)::integer]",
        "occupation_code": "['000000', '621005'][1 + (hash(n, 'work') % 2)::integer]",
        "PESO": "case when hash(n, 'no') % 9 > 0 then 2000 + (hash(n, 'g') % 3000)::integer end",
        "IDADEMAE": "case when hash(n, 'age') % 9 > 0 then 14 + (hash(n, 'age') % 34)::integer end",
        "SEMAGESTAC": "case when hash(n, 'week') % 9 > 0 then 30 + (hash(n) % 12)::integer end",
        **{name: one_of(name, "1", "2", "3") for name in _CATEGORIES.values() if name.isupper()},
        **{flag.name: f"nullif(hash(n, '{flag.name}') % 3, 2) = 1" for flag in FLAGS},
    }
    listed = ", ".join(f"{sql} as {name}" for name, sql in columns.items())
    classes = {
        "maternal_age_group": bands_sql("IDADEMAE", AGE_GROUPS, "45+"),
        "birth_weight_class": bands_sql("PESO", WEIGHT_CLASSES, "4000+"),
    }
    more = "".join(f", case {sql} else 'unknown' end as {name}" for name, sql in classes.items())
    drawn = f"select {listed} from range({births}) as t (n)"
    return f"insert into births.fact_births by name select *{more} from ({drawn})"


def built_births(births: int) -> Any:
    """A DuckDB session of so many births and every aggregate of them."""
    wanted = [t for t in TABLES if t.name in GIVEN or (t.layer == "aggregates" and t.grain)]
    built = Built(wanted, GIVEN)
    built.session.execute(_PLACES)
    built.session.execute(made_up(births))
    built.build()
    return built.session


CATALOGUE = Catalogue([table for table in TABLES if table.publish and table.grain])

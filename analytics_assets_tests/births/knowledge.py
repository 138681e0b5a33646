"""What a reader of the published tables of births knows of them, typed by hand."""

from __future__ import annotations

from analytics_assets.domains.births.measures import BIRTH_MEASURES
from analytics_assets_tests.reader import Knowledge, Of

MEASURES = [measure.name for measure in BIRTH_MEASURES.measures]
TOTAL = "total_births"
_DAY, _WEEK = ("day", "date"), ("week", "week_start")
_MONTH, _YEAR = ("month", "make_date(year, month, 1)"), ("year", "make_date(year, 1, 1)")
_STATE, _REGION = ("state", ("state_code",)), ("region", ("region_code",))
_TOWN, _HOME_STATE = ("municipality_code",), ("home state", ("state_code",))
TABLES = {
    "agg_daily": Of("whole", (), *_DAY),
    "agg_region_daily": Of("region", ("region_code",), *_DAY),
    "agg_state_daily": Of("state", ("state_code",), *_DAY, _REGION),
    "agg_municipality_weekly": Of("municipality", _TOWN, *_WEEK, _STATE),
    "agg_monthly": Of("whole", (), *_MONTH),
    "agg_region_monthly": Of("region", ("region_code",), *_MONTH),
    "agg_state_monthly": Of("state", ("state_code",), *_MONTH, _REGION),
    "agg_municipality_monthly": Of("municipality", _TOWN, *_MONTH, _STATE),
    "agg_yearly": Of("whole", (), *_YEAR),
    "agg_region_yearly": Of("region", ("region_code",), *_YEAR),
    "agg_state_yearly": Of("state", ("state_code",), *_YEAR, _REGION),
    "agg_municipality_yearly": Of("municipality", _TOWN, *_YEAR, _STATE),
    "agg_cnes_monthly": Of("facility", ("cnes_code",), *_MONTH),
    "agg_cnes_yearly": Of("facility", ("cnes_code",), *_YEAR),
    "agg_occupation_yearly": Of("occupation", ("occupation_code",), *_YEAR),
    "agg_demographic_yearly": Of(
        "category", ("state_code", "breakdown", "category"), *_YEAR, _STATE
    ),
    "agg_residence_municipality_monthly": Of("home", _TOWN, *_MONTH, _HOME_STATE),
    "agg_residence_municipality_yearly": Of("home", _TOWN, *_YEAR, _HOME_STATE),
    "agg_residence_state_monthly": Of("home state", ("state_code",), *_MONTH),
    "agg_residence_state_yearly": Of("home state", ("state_code",), *_YEAR),
}
# Known of the same births, because by the same column.
SAME = {
    "birth_weight_known": ("low_birth_weight_known", "very_low_birth_weight_known",
                           "extremely_low_birth_weight_known", "high_birth_weight_known"),
    "maternal_age_known": ("adolescent_pregnancy_known", "very_young_pregnancy_known",
                           "geriatric_pregnancy_known"),
    "low_apgar1_known": ("critical_apgar1_known",),
    "apgar5_known": ("low_apgar5_known", "critical_apgar5_known"),
}  # fmt: skip
_OTHERS = {other for others in SAME.values() for other in others}
WITHIN = [
    *((name, name.replace("_count", "_known")) for name in MEASURES if name.endswith("_count")),
    *((name, TOTAL) for name in MEASURES if name.endswith("_known")),
    ("extreme_preterm_count", "preterm_count"),
    ("extreme_preterm_known", "preterm_known"),
    ("very_low_birth_weight_count", "low_birth_weight_count"),
    ("extremely_low_birth_weight_count", "very_low_birth_weight_count"),
    ("critical_apgar1_count", "low_apgar1_count"),
    ("critical_apgar5_count", "low_apgar5_count"),
    ("very_young_pregnancy_count", "adolescent_pregnancy_count"),
]
APART = [
    ("low_birth_weight_count", "high_birth_weight_count", "birth_weight_known"),
    ("adolescent_pregnancy_count", "geriatric_pregnancy_count", "maternal_age_known"),
]
RANGES = {
    f"{stem}_sum": (f"{stem}_known", least, most)
    for stem, least, most in (
        ("birth_weight", 100, 9998),
        ("maternal_age", 8, 70),
        ("gestational_weeks", 15, 46),
        ("apgar5", 0, 10),
    )
}
# Groups of measures that only the total, and who is born elsewhere, say anything of.
_STEMS = [
    ["cesarean"], ["hospital_birth"], ["multiple_birth"], ["preterm", "extreme_preterm"],
    ["low_birth_weight", "very_low_birth_weight", "extremely_low_birth_weight",
     "high_birth_weight", "birth_weight"],
    ["low_apgar1", "critical_apgar1"], ["low_apgar5", "critical_apgar5", "apgar5"],
    ["adolescent_pregnancy", "very_young_pregnancy", "geriatric_pregnancy", "maternal_age"],
    ["prenatal_adequate"], ["first_pregnancy"], ["previous_cesarean"],
    ["previous_normal_delivery"], ["congenital_anomaly"], ["gestational_weeks"], [],
]  # fmt: skip
ELSEWHERE, PLACED = "birth_location_differs_count", "birth_location_differs_known"
GROUPS = [
    [n for n in MEASURES if n in (TOTAL, ELSEWHERE, PLACED) or n.rpartition("_")[0] in stems]
    for stems in _STEMS
]
# Breakdown -> stems of the measures that its column is read for.
DECIDES = {
    "maternal_age_group": ("adolescent_pregnancy", "very_young_pregnancy", "geriatric_pregnancy"),
    "prenatal_visits": ("prenatal_adequate",),
    "plurality": ("multiple_birth",),
    "gestation_class": ("preterm", "extreme_preterm"),
    "birth_weight_class": ("low_birth_weight", "very_low_birth_weight",
                           "extremely_low_birth_weight", "high_birth_weight"),
    "delivery": ("cesarean",),
}  # fmt: skip

BIRTHS = Knowledge(
    "births",
    TABLES,
    MEASURES,
    TOTAL,
    WITHIN,
    SAME,
    APART,
    RANGES,
    {
        breakdown: [f"{stem}_{what}" for stem in stems for what in ("count", "known")]
        for breakdown, stems in DECIDES.items()
    },
    (ELSEWHERE, PLACED, "municipality", "home"),
    lambda town: town.endswith("00000"),
)

"""The dimension tables that ship with the package: places, occupations and code lists.

Belongs here: declarations of tables whose rows are facts of the code book or of geography.
Does not belong here: dimensions that depend on births (``tables.py``).
"""

from __future__ import annotations

from pathlib import Path

from analytics_assets.core.columns import Column, text
from analytics_assets.core.declaration import Publish, Table
from analytics_assets.core.table_set import TableSet
from analytics_assets.domains.births.columns import REFERENCE
from analytics_assets.domains.births.grains import (
    MUNICIPALITY,
    OCCUPATION,
    REGION,
    STATE,
    STATE_CODE,
)
from analytics_assets.landing.reference import ReferenceSource
from analytics_assets.warehouse.session import literal

tables = TableSet("births", Path(__file__).parent / "sql")


def _reference(name: str, file: str, description: str, *columns: Column, where: str = "") -> Table:
    """A dimension that ships with the package."""
    return tables.source(
        name,
        ReferenceSource(REFERENCE / file, where),
        layer="dimensions",
        columns=columns,
        unique=(columns[0].name,),
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
    text("classification", "Which classification the code is of.", False, told=True),
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
for _name, _code_list in CODE_LISTS.items():
    _reference(
        _name,
        "code_lists.csv",
        f"Code list: {_code_list.replace('_', ' ')}.",
        text("code", "Code as stored.", False, told=True),
        text("label", "Meaning in English.", False, told=True),
        text("label_pt", "Meaning in Portuguese, as the code book has it.", False, told=True),
        Column("position", "integer", "Order in which to show it.", nullable=False),
        where=f"list = {literal(_code_list)}",
    )

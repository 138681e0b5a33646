"""The regulator's workbooks: their names, headers and the columns that these become.

Belongs here: one ``Layout`` for each kind of workbook.
Does not belong here: reading one (``workbooks.py``).
"""

from __future__ import annotations

import re

from analytics_assets.domains.bank_kpis.workbooks import Layout, plain

INSTITUTION = ("institucion", "cve institucion", "cve inst", "clave")
PERIOD = ("cve periodo", "periodo")
DATE = ("fecha",)

STAGES = {"1": "etapa_1", "2": "etapa_2", "3": "etapa_3", "VR": "etapa_vr"}
SEGMENTS = {
    "total": "Cartera Total",
    "comercial": "Créditos Comerciales",
    "consumo": "Créditos de Consumo",
    "vivienda": "Créditos a la Vivienda",
    "empresarial": "Actividad Empresarial o Comercial",
    "financieras": "Entidades Financieras",
    "gubernamentales": "Entidades Gubernamentales",
}
_RESERVES = {
    "Reservas Etapa todas": "reservas_total",
    "Res Actividad Empresarial o Comercial Etapa todas": "reservas_empresarial",
    "Res Entidades Financieras Etapa todas": "reservas_financieras",
    "Res Entidades Gubernamentales Etapa todas": "reservas_gubernamentales",
    "Res Créditos de Consumo Etapa todas": "reservas_consumo",
    "Res Créditos a la Vivienda Etapa todas": "reservas_vivienda",
}
STATED_TOTAL = "cartera_total_archivo"


def _plain(values: dict[str, str]) -> dict[str, str]:
    return {plain(header): column for header, column in values.items()}


PORTFOLIO = Layout(
    INSTITUTION,
    PERIOD,
    DATE,
    _plain(
        {
            **{
                f"{header} Etapa {stage}": f"{segment}_{suffix}"
                for segment, header in SEGMENTS.items()
                for stage, suffix in STAGES.items()
            },
            "Cartera de Crédito Total Etapa todas": STATED_TOTAL,
            **_RESERVES,
        }
    ),
    required=("total_etapa_1", "total_etapa_3", "reservas_total"),
)
ICAP = Layout(
    INSTITUTION,
    PERIOD,
    DATE,
    _plain({"ICAP Total": "icap", "ICAP": "icap", "CCB": "ccb", "CCF": "ccf"}),
    required=("icap",),
    ratios=True,
    limit=1.5,
    typical=True,
)
TDA = Layout(
    INSTITUTION,
    PERIOD,
    DATE,
    _plain({"TDA": "tda", "TDA Cartera Total": "tda", "TDA Total": "tda"}),
    required=("tda",),
    ratios=True,
)
WRITE_OFFS = Layout(
    INSTITUTION,
    PERIOD,
    DATE,
    _plain(
        {
            "LIB_CASTIGOS_COMERC": "castigos_comercial",
            "LIB_CASTIGOS_CONSUMO": "castigos_consumo",
            "LIB_CASTIGOS_VIVIENDA": "castigos_vivienda",
            "LIB_OTROS_CASTIGOS": "castigos_otros",
            "QUITAS_COMER": "quitas_comercial",
            "QUITAS_CONSUMO": "quitas_consumo",
            "QUITAS_VIVIENDA": "quitas_vivienda",
            "QUITAS_OTROS": "quitas_otros",
        }
    ),
    required=("castigos_comercial", "castigos_consumo", "castigos_vivienda"),
)


def _named(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"{pattern}.*\.xls[xmb]?", re.IGNORECASE)


FILES = {
    "cnbv_portfolio": _named("CNBV_Cartera"),
    "cnbv_icap": _named("ICAP"),
    "cnbv_tda": _named("TDA"),
    "cnbv_write_offs": _named("CASTIGOS"),
}
INSTITUTIONS = _named("Instituciones")
LAYOUTS = {
    "cnbv_portfolio": PORTFOLIO,
    "cnbv_icap": ICAP,
    "cnbv_tda": TDA,
    "cnbv_write_offs": WRITE_OFFS,
}

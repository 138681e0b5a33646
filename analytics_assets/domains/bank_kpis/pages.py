"""How banks are looked at: a metric over the months, next to others, and in order.

Belongs here: declarations for the dashboard.
Does not belong here: what a metric is (``reference/metrics.csv``), the repository's questions.
"""

from __future__ import annotations

from datetime import date

from analytics_assets.dashboard import figures
from analytics_assets.dashboard.declared import (
    Asked,
    Cell,
    Chart,
    Choice,
    Display,
    DomainPages,
    Found,
    Own,
    Page,
)
from analytics_assets.dashboard.results import Result, Series
from analytics_assets.dashboard.words import Text, labelled, number
from analytics_assets.domains.bank_kpis.metrics import Metric, read_metrics
from analytics_assets.domains.bank_kpis.repository import MetricRepository, UnknownCode

WIDE = "bank_kpis/monthly_kpis"
SYSTEM, _FIRST = "SISTEMA", 20
METRICS = {metric.metric_code: metric for metric in read_metrics() if metric.is_active}


def _display(metric: Metric) -> Display:
    """As the list of metrics says; ratios are stored from 0 to 1 and read as percentages."""
    percent = metric.metric_type == "ratio"
    return Display(100 if percent else 1, "percent" if percent else metric.unit, metric.precision)


async def _ranking(asked: Asked) -> Found | None:
    """The first banks of the month, by the repository of the brief: no groups, no system."""
    code, month = asked.chosen["metric"], asked.chosen["month"]
    if WIDE not in asked.tables or not month:
        return None
    metric, display = METRICS[code], _display(METRICS[code])

    day = date.fromisoformat(f"{month}-01")
    descending = asked.chosen["order"] != "least"
    try:
        found = await asked.database.attempt(
            lambda: MetricRepository(asked.database.engine).get_ranking(
                code, day, _FIRST, descending
            )
        )
    except UnknownCode:
        return Found(empty=_NONE.to(asked.language))
    if not found:
        return Found(empty=_NONE.to(asked.language))
    values = tuple(float(value.value) * display.scale for value in found)
    names = tuple(value.bank_code for value in found)
    result = Result(names, names, (Series("", values),), len(names))
    title = f"{metric.metric_name}, {month}"
    figure = figures.bars(result, title, display.unit, asked.language)
    head = labelled(metric.metric_name, display.unit, asked.language)
    rows = tuple(
        (
            Cell(str(place)),
            Cell(name),
            Cell(number(value, asked.language, display.digits), value),
        )
        for place, (name, value) in enumerate(zip(names, values, strict=True), start=1)
    )
    columns = ("#", Text("Bank", "Banco").to(asked.language), head)
    return Found((metric.description,), columns, rows, figure, unit=display.unit)


_NONE = Text(
    "No bank has a value of this metric in this month.",
    "Nenhum banco tem valor desta métrica neste mês.",
)


PAGES = DomainPages(
    pages=(
        Page(
            "banks",
            Text("Banks", "Bancos"),
            Text(
                "Months of Mexican banks as their regulator (CNBV) publishes them.",
                "Meses dos bancos mexicanos como os publica o regulador (CNBV).",
            ),
            controls=(
                Choice(
                    "metric",
                    Text("Metric", "Métrica"),
                    {
                        code: Text(metric.metric_name, metric.metric_name)
                        for code, metric in sorted(
                            METRICS.items(), key=lambda item: item[0] != "imor"
                        )
                    },
                ),
                Choice(
                    "bank", Text("Bank", "Banco"), of_table=WIDE, axis="banco_norm", default="INVEX"
                ),
                Choice(
                    "other",
                    Text("Compared with", "Comparado com"),
                    {
                        "system": Text("the system", "o sistema"),
                        "largest": Text("the greatest values", "os maiores valores"),
                    },
                ),
                Choice("month", Text("Month", "Mês"), of_table=WIDE, axis="month"),
                Choice(
                    "order",
                    Text("Ranking from", "Classificação a partir"),
                    {
                        "most": Text("the greatest", "do maior"),
                        "least": Text("the least", "do menor"),
                    },
                ),
            ),
            parts=(
                Chart(
                    Text("Evolution", "Evolução"),
                    lambda c: {
                        "table": WIDE,
                        "chart": "line",
                        "measure": c["metric"],
                        "banco_norm": c["bank"],
                    },
                ),
                Chart(
                    Text("Comparison", "Comparação"),
                    lambda c: {
                        "table": WIDE,
                        "chart": "line",
                        "measure": c["metric"],
                        "split": "banco_norm",
                        "banco_norm": [c["bank"], *({SYSTEM} - {c["bank"]})]
                        if c["other"] == "system"
                        else "",
                    },
                ),
                Own(Text("Ranking of the month", "Classificação do mês"), _ranking, wide=True),
            ),
        ),
    ),
    labels={
        "banco_norm": Text("Bank", "Banco"),
        "month": "Mês",
        **{code: Text(m.metric_name, m.metric_name) for code, m in METRICS.items()},
    },
    descriptions={
        "cartera_total": "Crédito em todas as etapas: 1, 2, 3 e a valor justo (VR).",
        "cartera_comercial_total": "Crédito comercial em todas as etapas: empresas, entidades"
        " financeiras e governamentais.",
        "cartera_consumo_total": "Crédito ao consumo em todas as etapas.",
        "cartera_vivienda_total": "Crédito à habitação em todas as etapas.",
        "cartera_empresarial_total": "Crédito a empresas em todas as etapas, parte do comercial.",
        "cartera_financieras_total": "Crédito a entidades financeiras em todas as etapas, parte do"
        " comercial.",
        "cartera_gubernamentales_total": "Crédito a entidades governamentais em todas as etapas,"
        " parte do comercial.",
        "cartera_vencida_total": "Crédito na etapa 3, vencido.",
        "reservas_etapa_todas": "Reservas para perdas de crédito em todas as etapas; negativas,"
        " como o regulador as publica.",
        "perdida_esperada_total": "Perda esperada como valor: as reservas, positivas.",
        "perdida_esperada": "Reservas sobre a carteira total.",
        "imor": "Etapa 3 sobre a carteira total.",
        "imor_comercial": "Etapa 3 sobre todas as etapas da carteira comercial.",
        "imor_consumo": "Etapa 3 sobre todas as etapas da carteira de consumo.",
        "imor_vivienda": "Etapa 3 sobre todas as etapas da carteira de habitação.",
        "icor": "Reservas sobre a etapa 3.",
        "icap": "Capital líquido sobre ativos ponderados pelo risco, como o regulador o publica.",
        "ccb": "Capital básico sobre ativos ponderados pelo risco, como o regulador o publica.",
        "ccf": "Capital fundamental sobre ativos ponderados pelo risco, como o regulador o"
        " publica.",
        "tda": "Crédito vencido com as baixas de doze meses; como o regulador o publica.",
        "ct_etapa_1": "Etapa 1 sobre a carteira total.",
        "ct_etapa_2": "Etapa 2 sobre a carteira total.",
        "ct_etapa_3": "Etapa 3 sobre a carteira total; o mesmo que IMOR.",
        "ct_etapa_vr": "Crédito a valor justo sobre a carteira total.",
        "market_share_pct": "Carteira total sobre a do sistema: instituição 5, ou 21 para o que é"
        " consolidado.",
        "castigos_comercial": "Crédito comercial baixado no mês.",
        "castigos_consumo": "Crédito ao consumo baixado no mês.",
        "castigos_vivienda": "Crédito à habitação baixado no mês.",
        "castigos_total": "Crédito baixado no mês.",
        "quitas_total": "Parte das dívidas que o banco perdoou no mês.",
        "value": "O valor; razões são de 0 a 1.",
        "old_value": "O valor anterior; vazio onde não havia nenhum.",
        "new_value": "O valor desde então; vazio onde não há mais nenhum.",
    },
    display={WIDE: {code: _display(metric) for code, metric in METRICS.items()}},
)

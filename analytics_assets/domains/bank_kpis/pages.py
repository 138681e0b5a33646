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
    display={WIDE: {code: _display(metric) for code, metric in METRICS.items()}},
)

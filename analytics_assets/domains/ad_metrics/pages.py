"""How ads are looked at: campaigns, adsets and ads with the course of their last days.

Belongs here: declarations for the dashboard, and the two tables that it has beside the usual views.
Does not belong here: what a metric means (``measures.py``); sums and their ratios, which are those
of the brief's routes (``api.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from analytics_assets.api.listing import view_of
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
from analytics_assets.dashboard.words import Language, Text, number
from analytics_assets.domains.ad_metrics.api import (
    BREAKDOWN,
    DAILY,
    HIERARCHY,
    NAMES,
    totals_sql,
)

ROW_DAYS, OVERVIEW_DAYS, MOST_ROWS = 14, 28, 100
# From here on it pays, and pays well; of fewer conversions nothing can be said.
PAYS, PAYS_WELL, FEWEST_CONVERSIONS = 1.0, 1.5, 5
_BELOW = {"campaign": "adset", "adset": "ad"}
_TONES = {
    "good": Text("pays well", "compensa bem"),
    "even": Text("pays", "compensa"),
    "bad": Text("loses", "dá prejuízo"),
    "few": Text("too few conversions to judge", "conversões de menos para julgar"),
}
_COLUMNS = (
    ("spend", Text("Spend, USD", "Gasto, USD"), 2),
    ("estimated_revenue_adjusted", Text("Revenue, USD", "Receita, USD"), 2),
    ("profit", Text("Profit, USD", "Lucro, USD"), 2),
    ("estimated_roas", Text("ROAS", "ROAS"), 2),
    ("mixpanel_trials_started", Text("Trials", "Testes"), 0),
    ("mixpanel_purchases", Text("Purchases", "Compras"), 0),
    ("mixpanel_cost_per_trial", Text("Cost per trial, USD", "Custo por teste, USD"), 2),
)
_LEVELS = {
    "campaign": Text("campaigns", "campanhas"),
    "adset": Text("adsets", "conjuntos"),
    "ad": Text("ads", "anúncios"),
}
_KINDS = {
    "country": Text("country", "país"),
    "region": Text("region", "região"),
    "device": Text("device", "dispositivo"),
}


def tone(roas: float | None, conversions: float) -> str:
    """What a return on spend says, where there are enough conversions to say anything."""
    if roas is None or conversions < FEWEST_CONVERSIONS:
        return "few"
    return "good" if roas >= PAYS_WELL else "even" if roas >= PAYS else "bad"


def _range(asked: Asked) -> dict[str, Any]:
    return {
        "start_date": date.fromisoformat(asked.chosen["from"]),
        "end_date": date.fromisoformat(asked.chosen["to"]),
    }


def _there(asked: Asked, *keys: str) -> bool:
    return "to" in asked.chosen and all(key in asked.tables for key in keys)


async def _overview(asked: Asked) -> Found | None:
    """All campaigns together over the range, and the course of four weeks to its end."""
    if not _there(asked, DAILY):
        return None
    days, daily = _range(asked), view_of(asked.tables[DAILY])
    condition = "entity_type = 'campaign'"
    (totals,) = await asked.database.read(totals_sql(daily, "1 as one", condition), days) or [None]
    end = days["end_date"]
    first = end - timedelta(days=OVERVIEW_DAYS - 1)
    course = await asked.database.read(
        totals_sql(daily, "date", condition) + " order by date",
        {"start_date": first, "end_date": end},
    )
    if totals is None:
        return Found(empty=_NOTHING.to(asked.language))
    by_day = {row.date: row._asdict() for row in course}
    spend = [by_day.get(first + timedelta(days=n)) for n in range(OVERVIEW_DAYS)]
    rows = []
    for name, label, digits in _COLUMNS:
        line = tuple(None if day is None else float(day[name]) for day in spend)
        title = _said(line, asked.language)
        value = number(float(getattr(totals, name)), asked.language, digits)
        rows.append((Cell(label.to(asked.language)), Cell(value), Cell("", line=line, title=title)))
    columns = (
        _METRIC.to(asked.language),
        _IN_RANGE.to(asked.language),
        _FOUR_WEEKS.to(asked.language),
    )
    return Found(columns=columns, rows=tuple(rows))


async def _entities(asked: Asked) -> Found | None:
    """Campaigns, the adsets of one or the ads of one, each with the course of fourteen days."""
    if not _there(asked, DAILY, NAMES, HIERARCHY):
        return None
    level, within = asked.chosen["level"], asked.chosen.get("within", "")
    daily, names = view_of(asked.tables[DAILY]), view_of(asked.tables[NAMES])
    condition = "entity_type = %(level)s"
    parent = next((above for above, below in _BELOW.items() if below == level), "")
    if within and parent:
        hierarchy = view_of(asked.tables[HIERARCHY])
        inside = f"select {level}_id from {hierarchy} where {parent}_id = %(within)s"
        condition += f" and entity_id in ({inside})"
    values = {**_range(asked), "level": level, "within": within, "most": MOST_ROWS}
    found = await asked.database.read(
        f"select found.*, names.canonical_name as name, count(*) over () as total from"
        f" ({totals_sql(daily, 'entity_id as id', condition)}) as found left join {names} as names"
        " on names.entity_type = %(level)s and names.entity_id = found.id"
        " order by found.spend desc, found.id limit %(most)s",
        values,
    )
    if not found:
        return Found(empty=_NOTHING.to(asked.language))
    lines = await course(
        asked.database, daily, level, [row.id for row in found], values["end_date"]
    )
    rows = tuple(
        _row(asked, level, row, lines.get(row.id, {}), values["end_date"]) for row in found
    )
    heads = (_LEVELS[level], _COURSE, *(label for _, label, _ in _COLUMNS))
    about = [_COLOURS.to(asked.language)]
    if found[0].total > len(found):
        about.append(f"{len(found)} / {found[0].total}")
    columns = tuple(text.to(asked.language).capitalize() for text in heads[:1])
    columns += tuple(text.to(asked.language) for text in heads[1:])
    return Found(tuple(about), columns, rows)


async def course(
    database: Any, daily: str, level: str, ids: Sequence[str], end: date
) -> Mapping[str, Mapping[date, Any]]:
    """Entity -> day -> revenue, spend and conversions of the fourteen days to ``end``."""
    rows = await database.read(
        f"select entity_id, date, adjusted_estimated_revenue_usd as revenue, meta_spend as spend,"
        f" mixpanel_trial_count + mixpanel_purchase_count as conversions from {daily}"
        " where entity_type = %(level)s and entity_id = any(%(ids)s)"
        " and date between %(first)s and %(end)s",
        {"level": level, "ids": list(ids), "first": end - timedelta(days=ROW_DAYS - 1), "end": end},
    )
    found: dict[str, dict[date, Any]] = {}
    for row in rows:
        found.setdefault(row.entity_id, {})[row.date] = row
    return found


def _row(
    asked: Asked, level: str, row: Any, days: Mapping[date, Any], end: date
) -> tuple[Cell, ...]:
    language = asked.language
    order = [days.get(end - timedelta(days=back)) for back in range(ROW_DAYS - 1, -1, -1)]
    line = tuple(float(day.revenue / day.spend) if day and day.spend else None for day in order)
    spend = sum(day.spend for day in days.values())
    roas = sum(day.revenue for day in days.values()) / spend if spend else None
    said = tone(roas, sum(day.conversions for day in days.values()))
    word = _TONES[said].to(language)
    link = ""
    if below := _BELOW.get(level):
        chosen = {name: asked.chosen[name] for name in ("from", "to", "breakdown", "measure")}
        link = asked.link("pages/ads", level=below, within=row.id, **chosen)
    cells = [
        Cell(row.name or row.id, link=link),
        Cell(word, line=line, tone=said, title=f"{_said(line, language)}: {word}"),
    ]
    for name, _, digits in _COLUMNS:
        value = float(getattr(row, name))
        cells.append(Cell(number(value, language, digits), value))
    return tuple(cells)


def _said(line: Sequence[float | None], language: Language) -> str:
    known = [value for value in line if value is not None]
    if not known:
        return _NOTHING.to(language)
    ends = " \N{RIGHTWARDS ARROW} ".join(number(v, language, 2) for v in (known[0], known[-1]))
    return f"{ends} ({len(known)}/{len(line)})"


_NOTHING = Text("No day of the range has metrics.", "Nenhum dia do intervalo tem métricas.")
_METRIC = Text("Metric", "Métrica")
_IN_RANGE = Text("In the range", "No intervalo")
_FOUR_WEEKS = Text("28 days to its end", "28 dias até o fim")
_COURSE = Text("ROAS, 14 days to the end", "ROAS, 14 dias até o fim")
_COLOURS = Text(
    f"Revenue over spend: from {PAYS_WELL:g} it pays well, from {PAYS:g} it pays, below it loses;"
    f" fewer than {FEWEST_CONVERSIONS} trials and purchases in 14 days are too few to judge.",
    f"Receita sobre gasto: a partir de {PAYS_WELL:g} compensa bem, a partir de {PAYS:g} compensa,"
    f" abaixo dá prejuízo; menos de {FEWEST_CONVERSIONS} testes e compras em 14 dias não bastam.",
)
_DESCRIPTIONS = {
    "meta_spend": "Gasto na Meta.",
    "meta_impressions": "Impressões.",
    "meta_clicks": "Cliques.",
    "meta_trial_count": "Testes que a Meta conta.",
    "meta_purchase_count": "Compras que a Meta conta.",
    "mixpanel_trial_count": "Usuários distintos que iniciaram um teste.",
    "mixpanel_post_trial_count": "Usuários distintos que iniciaram um teste ao menos 7 dias antes"
    " do fim dos dados.",
    "mixpanel_converted_count": "Usuários distintos que passaram do teste e converteram.",
    "mixpanel_trial_refund_count": "Usuários distintos que converteram e foram reembolsados.",
    "mixpanel_purchase_count": "Usuários distintos que compraram diretamente.",
    "mixpanel_purchase_refund_count": "Usuários distintos que compraram diretamente e foram"
    " reembolsados.",
    "actual_revenue_usd": "Receita de conversões e compras.",
    "actual_refunds_usd": "Reembolsos, como valor positivo.",
    "net_actual_revenue_usd": "Receita menos reembolsos.",
    "estimated_revenue_usd": "Soma do valor atual dos usuários.",
    **{
        f"{name}_rate_total": f"Soma das taxas estimadas de {said} destes usuários: dividida pelo"
        " número deles é a média, em qualquer intervalo."
        for name, said in (
            ("trial_conversion", "conversão de testes"),
            ("trial_refund", "reembolso de testes"),
            ("purchase_refund", "reembolso de compras"),
        )
    },
    "trial_conversion_rate_estimated": "Média das taxas estimadas dos usuários em teste.",
    "trial_conversion_rate_actual": "Convertidos entre os que passaram do teste.",
    "trial_refund_rate_estimated": "Média das taxas estimadas dos usuários convertidos.",
    "trial_refund_rate_actual": "Reembolsados entre os convertidos.",
    "purchase_refund_rate_estimated": "Média das taxas estimadas dos que compraram diretamente.",
    "purchase_refund_rate_actual": "Reembolsados entre os que compraram diretamente.",
    "trial_accuracy_ratio": "Testes do Mixpanel para 100 da Meta; 100 onde a Meta não tem nenhum.",
    "purchase_accuracy_ratio": "Compras do Mixpanel para 100 da Meta; 100 onde a Meta não tem"
    " nenhuma.",
    "mixpanel_cost_per_trial": "Gasto por teste do Mixpanel.",
    "mixpanel_cost_per_purchase": "Gasto por compra do Mixpanel.",
    "meta_cost_per_trial": "Gasto por teste da Meta.",
    "meta_cost_per_purchase": "Gasto por compra da Meta.",
    "click_to_trial_rate": "Testes do Mixpanel por 100 cliques.",
    "adjusted_estimated_revenue_usd": "Receita estimada / (razão de precisão / 100): a dos testes"
    " ou a das compras, o que for mais (se iguais, testes); sem ajuste onde a razão é 0.",
    "profit_usd": "Receita estimada ajustada menos gasto.",
    "estimated_roas": "Receita estimada ajustada por 1 USD de gasto.",
}
_MEASURES = {
    "meta_spend": Text("spend", "gasto"),
    "estimated_revenue_usd": Text("estimated revenue", "receita estimada"),
    "mixpanel_trial_count": Text("trials", "testes"),
    "mixpanel_purchase_count": Text("purchases", "compras"),
}
PAGES = DomainPages(
    pages=(
        Page(
            "ads",
            Text("Ads", "Anúncios"),
            Text(
                "Campaigns, adsets and ads: what they cost, and what their users are worth.",
                "Campanhas, conjuntos e anúncios: quanto custam e quanto valem seus usuários.",
            ),
            controls=(
                Choice("level", Text("Level", "Nível"), _LEVELS),
                Choice("breakdown", Text("Broken down by", "Detalhado por"), _KINDS),
                Choice("measure", Text("Measure of the charts", "Medida dos gráficos"), _MEASURES),
            ),
            dates=DAILY,
            free=("within",),
            parts=(
                Own(Text("All campaigns", "Todas as campanhas"), _overview),
                Chart(
                    Text("By day", "Por dia"),
                    lambda c: {
                        "table": "ad_metrics/daily_mixpanel_metrics_overview",
                        "chart": "line",
                        "measure": c["measure"],
                        "from": c.get("from"),
                        "to": c.get("to"),
                    },
                ),
                Own(
                    Text("Campaigns, adsets, ads", "Campanhas, conjuntos, anúncios"),
                    _entities,
                    wide=True,
                ),
                Chart(
                    Text("By country, region or device", "Por país, região ou dispositivo"),
                    lambda c: {
                        "table": BREAKDOWN,
                        "chart": "line",
                        "split": "breakdown_value",
                        "entity_type": "campaign",
                        "breakdown_type": c["breakdown"],
                        "measure": c["measure"],
                        "from": c.get("from"),
                        "to": c.get("to"),
                    },
                ),
                Chart(
                    Text("The last day, broken down", "O último dia, detalhado"),
                    lambda c: {
                        "table": BREAKDOWN,
                        "chart": "bars",
                        "by": "breakdown_value",
                        "entity_type": "campaign",
                        "breakdown_type": c["breakdown"],
                        "measure": c["measure"],
                        "at": c.get("to"),
                    },
                ),
            ),
        ),
    ),
    labels={
        "entity_type": Text("Level", "Nível"),
        "entity_id": "Identificador",
        "breakdown_type": Text("Broken down by", "Detalhado por"),
        "breakdown_value": Text("Value", "Valor"),
        "meta_spend": Text("Spend", "Gasto"),
        "meta_impressions": Text("Impressions", "Impressões"),
        "meta_clicks": Text("Clicks", "Cliques"),
        "mixpanel_trial_count": Text("Trials", "Testes"),
        "mixpanel_purchase_count": Text("Purchases", "Compras"),
        "estimated_revenue_usd": Text("Estimated revenue", "Receita estimada"),
        "profit_usd": Text("Profit", "Lucro"),
        "estimated_roas": Text("Estimated ROAS", "ROAS estimado"),
        "day": "Dia",
    },
    descriptions=_DESCRIPTIONS,
    display={
        key: {
            name: Display(unit="USD", digits=2)
            for name in (
                "meta_spend",
                "actual_revenue_usd",
                "actual_refunds_usd",
                "net_actual_revenue_usd",
                "estimated_revenue_usd",
                "adjusted_estimated_revenue_usd",
                "profit_usd",
            )
        }
        for key in (DAILY, BREAKDOWN, "ad_metrics/daily_mixpanel_metrics_overview")
    },
)

"""How the experiments are looked at: what an intervention changed, user by user.

Belongs here: declarations for the dashboard, and the figures of both analyses.
Does not belong here: the analyses (``analysis/``): what is drawn is what production has of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from analytics_assets.api.listing import view_of
from analytics_assets.core.contracts import quoted
from analytics_assets.dashboard.declared import (
    Asked,
    Cell,
    Chart,
    Choice,
    DomainPages,
    Found,
    Own,
    Page,
)
from analytics_assets.dashboard.figures import COLOURS, Figure
from analytics_assets.dashboard.words import Language, Text, number
from analytics_assets.domains.behavior.words import EVENT_TYPES, PHASES

DAILY, ITS, ABAB = (
    "behavior/public_daily_performance",
    "behavior/public_its_analysis",
    "behavior/public_abab_analysis",
)
ALL = "all"
_BEFORE, _AFTER = PHASES[:2]
_OUTCOMES = {
    "mean_score": Text("mean score", "pontuação média"),
    "events": Text("number of events", "número de eventos"),
}
_NOTHING = Text("There is no analysis of this user.", "Não há análise deste usuário.")
_REFUSED = Text("This series cannot be analysed: {why}", "Esta série não pode ser analisada: {why}")
_WORDS = {
    "observed": Text("observed", "observado"),
    "fitted": Text("fitted", "ajustado"),
    "counterfactual": Text("as it would have gone on", "como teria continuado"),
    "mean": Text("mean of the phase", "média da fase"),
    "since": Text("Days since the intervention began", "Dias desde o início da intervenção"),
    "day": Text("Day", "Dia"),
    "value": Text("Value", "Valor"),
    "quantity": Text("Quantity", "Grandeza"),
    "estimate": Text("Estimate", "Estimativa"),
    "low": Text("95 % from", "95 % de"),
    "high": Text("to", "a"),
    "p": Text("p-value", "valor p"),
    "level_change": Text("Change at the start", "Mudança no início"),
    "slope_change": Text("Change of the trend, a day", "Mudança da tendência, por dia"),
    "slope_before": Text("Trend before, a day", "Tendência antes, por dia"),
    "effect": Text("Intervention less baseline, points", "Intervenção menos linha de base, pontos"),
}
_ITS_MODEL = Text(
    "A straight line through the first baseline, and another through the first intervention. The"
    " dashes go on with the first line: what would have been without the intervention.",
    "Uma reta pela primeira linha de base e outra pela primeira intervenção. Os traços continuam a"
    " primeira: o que teria sido sem a intervenção.",
)
_ITS_COUNTS = Text(
    "Of events the lines are of their logarithm, and changes are factors: 1 is no change.",
    "Para eventos as retas são do logaritmo, e as mudanças são fatores: 1 é nenhuma mudança.",
)
_ITS_ALL = Text(
    "For all: the mean of the users' own estimates, over the mean of their days around the start.",
    "Para todos: a média das estimativas de cada usuário, sobre a média dos dias.",
)
_ABAB_MODEL = Text(
    "Baseline and intervention twice (ABAB). The effect is the mean score under intervention less"
    " that in baseline; chance is judged by all days on which phases could have begun.",
    "Linha de base e intervenção duas vezes (ABAB). O efeito é a média sob intervenção menos a da"
    " linha de base; o acaso é julgado por todos os dias em que as fases podiam começar.",
)


def _said(name: str, language: Language) -> str:
    return _WORDS[name].to(language)


async def _one(asked: Asked, key: str, outcome: str = "") -> Any:
    """The row of the chosen subject, or ``None``."""
    also = " and outcome = %(outcome)s" if outcome else ""
    table = asked.tables[key]
    columns = ", ".join(quoted(column.name) for column in table.promoted.all_columns)
    rows = await asked.database.read(
        f"select {columns} from {view_of(table)} where subject = %(subject)s{also}",
        {"subject": asked.chosen["user"], "outcome": outcome},
    )
    return rows[0] if rows else None


async def _days(asked: Asked, phases: Sequence[str]) -> list[Any]:
    """Days of the chosen user, or of all, with the phase, events and mean score."""
    one = "" if asked.chosen["user"] == ALL else " and pseudonym = %(user)s"
    return list(
        await asked.database.read(
            "select pseudonym, day, phase, events, cast(mean_score as double precision) as"
            f" mean_score from {view_of(asked.tables[DAILY])} where phase = any(%(phases)s){one}"
            " order by 1, 2",
            {"phases": list(phases), "user": asked.chosen["user"]},
        )
    )


# ---- interrupted time series --------------------------------------------------------------------


async def _its(asked: Asked) -> Found | None:
    """Observed points, both lines, and how the first would have gone on."""
    if not {DAILY, ITS} <= asked.tables.keys():
        return None
    language, outcome = asked.language, asked.chosen["outcome"]
    row = await _one(asked, ITS, outcome)
    if row is None:
        return Found(empty=_NOTHING.to(language))
    counts = outcome == "events"
    about = [_ITS_MODEL.to(language)]
    about += [_ITS_COUNTS.to(language)] if counts else []
    about += [_ITS_ALL.to(language)] if asked.chosen["user"] == ALL else []
    about += [text for text in (row.model, row.warning) if text]
    if row.refusal:
        return Found(tuple(about), empty=_REFUSED.to(language).format(why=row.refusal))
    points = around_start(await _days(asked, (_BEFORE, _AFTER)), outcome)
    lines = segments(points, row, counts)
    figure = _its_figure(points, lines, language, _OUTCOMES[outcome].to(language))
    names = ("level_change", "slope_change", "slope_before")
    return Found(tuple(about), *_estimates(row, names, language), figure)


def around_start(days: Sequence[Any], outcome: str) -> dict[int, float]:
    """Days since the intervention began -> the mean of the users who have such a day; a day
    without events counts as none of them."""
    series: dict[str, dict[Any, Any]] = {}
    for row in days:
        series.setdefault(row.pseudonym, {})[row.day] = row
    found: dict[int, list[float]] = {}
    shared: list[tuple[int, int]] = []
    for own in series.values():
        starts = [day for day, row in own.items() if row.phase == _AFTER]
        if not starts:
            continue
        start, first, last = min(starts), min(own), max(own)
        shared.append(((first - start).days, (last - start).days))
        for since in range((first - start).days, (last - start).days + 1):
            row = next((r for d, r in own.items() if (d - start).days == since), None)
            value = getattr(row, outcome) if row else 0.0 if outcome == "events" else None
            if value is not None:
                found.setdefault(since, []).append(float(value))
    if not shared:
        return {}
    # Of days that only some users have, the mean would be of other users.
    low, high = max(first for first, _ in shared), min(last for _, last in shared)
    return {n: sum(v) / len(v) for n, v in sorted(found.items()) if low <= n <= high}


def segments(
    points: Mapping[int, float], row: Any, counts: bool
) -> dict[str, list[tuple[int, float]]]:
    """The fitted lines and the first one continued, from the estimates that production has.

    Where the first line lies is ``level_before``; of all users, who have no common one, it goes
    through the mean of their points.
    """
    before = {n: value for n, value in points.items() if n < 0}
    slope, level, turn = (
        float(getattr(row, name)) for name in ("slope_before", "level_change", "slope_change")
    )
    if counts:
        slope, level, turn = (math.log(value) for value in (slope, level, turn))
    if row.level_before is not None:
        known = float(row.level_before)
        start = math.log(known) if counts and known else known
    elif counts:
        spread = sum(math.exp(slope * n) for n in before)
        start = math.log(sum(before.values()) / spread) if spread and sum(before.values()) else 0.0
    else:
        start = sum(v - slope * n for n, v in before.items()) / max(len(before), 1)
    shown = math.exp if counts else float
    line = {n: start + slope * n for n in points}
    fitted = {n: v + (level + turn * n if n >= 0 else 0.0) for n, v in line.items()}
    return {
        "fitted": [(n, shown(v)) for n, v in fitted.items()],
        "counterfactual": [(n, shown(v)) for n, v in line.items() if n >= 0],
    }


def _its_figure(
    points: Mapping[int, float],
    lines: Mapping[str, Sequence[tuple[int, float]]],
    language: Language,
    label: str,
) -> Figure:
    before = [p for p in lines["fitted"] if p[0] < 0]
    after = [p for p in lines["fitted"] if p[0] >= 0]
    name = _said("fitted", language)
    traces = [
        _marks(list(points.items()), _said("observed", language), COLOURS[4]),
        _line(before, name, COLOURS[0]),
        _line(after, name, COLOURS[0]) | {"showlegend": False},
        _line(lines["counterfactual"], _said("counterfactual", language), COLOURS[1], "dash"),
    ]
    layout = _layout(_said("since", language), label)
    layout["shapes"] = [
        {"type": "line", "x0": -0.5, "x1": -0.5, "yref": "paper", "y0": 0, "y1": 1,
         "line": {"color": "#52606d", "dash": "dot", "width": 1}}
    ]  # fmt: skip
    return {"data": traces, "layout": layout}


# ---- ABAB ---------------------------------------------------------------------------------------


async def _abab(asked: Asked) -> Found | None:
    """Observed points by phase, their means, the effect and what it rests on."""
    if not {DAILY, ABAB} <= asked.tables.keys():
        return None
    language = asked.language
    row = await _one(asked, ABAB)
    if row is None:
        return Found(empty=_NOTHING.to(language))
    about = [_ABAB_MODEL.to(language)]
    about += [f"WWC: {row.rating}"] if row.rating else []
    about += [row.warning] if row.warning else []
    if row.refusal:
        return Found(tuple(about), empty=_REFUSED.to(language).format(why=row.refusal))
    columns, cells = _estimates(row, ("effect",), language)
    more = [
        (name.replace("_", " "), getattr(row, name))
        for name in ("nap", "tau_u", "within_case_smd", "between_case_smd", "designs")
    ]
    cells += tuple(
        (Cell(name), Cell(number(float(value), language, 2)), Cell(""), Cell(""), Cell(""))
        for name, value in more
        if value is not None
    )
    figure = None
    if asked.chosen["user"] != ALL:
        figure = _abab_figure(await _days(asked, PHASES), language)
    return Found(tuple(about), columns, cells, figure)


def _abab_figure(days: Sequence[Any], language: Language) -> Figure:
    traces = []
    for n, phase in enumerate(PHASES):
        own = [(d.day.isoformat(), d.mean_score) for d in days if d.phase == phase]
        own = [(day, value) for day, value in own if value is not None]
        if not own:
            continue
        colour = COLOURS[0] if n % 2 else COLOURS[4]
        middle = sum(value for _, value in own) / len(own)
        ends = [(own[0][0], middle), (own[-1][0], middle)]
        traces += [
            _marks(own, phase.replace("_", " "), colour, ("circle-open", "circle")[n % 2]),
            _line(ends, _said("mean", language), colour) | {"showlegend": n == 0},
        ]
    return {
        "data": traces,
        "layout": _layout(_said("day", language), _OUTCOMES["mean_score"].to(language)),
    }


def _estimates(
    row: Any, names: Sequence[str], language: Language
) -> tuple[tuple[str, ...], tuple[tuple[Cell, ...], ...]]:
    heads = ("quantity", "estimate", "low", "high", "p")
    columns = tuple(_said(name, language) for name in heads)
    rows = []
    for name in names:
        values = [getattr(row, name + end) for end in ("", "_low", "_high", "_p_value")]
        texts = [number(None if v is None else float(v), language, 3) for v in values]
        rows.append((Cell(_said(name, language)), *(Cell(text) for text in texts)))
    return columns, tuple(rows)


def _marks(
    points: Sequence[tuple[Any, float]], name: str, colour: str, symbol: str = "circle"
) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "marker": {"color": colour, "size": 7, "symbol": symbol},
    }


def _line(
    points: Sequence[tuple[Any, float]], name: str, colour: str, dash: str = "solid"
) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "line": {"color": colour, "dash": dash, "width": 2.5},
    }


def _layout(x: str, y: str) -> Figure:
    return {
        "height": 400,
        "margin": {"l": 8, "r": 16, "t": 16, "b": 8},
        "xaxis": {"title": {"text": x}, "automargin": True, "zeroline": False},
        "yaxis": {"title": {"text": y}, "automargin": True, "rangemode": "tozero"},
        "legend": {"orientation": "h", "y": -0.25},
    }


PAGES = DomainPages(
    pages=(
        Page(
            "experiments",
            Text("Experiments", "Experimentos"),
            Text(
                "What an intervention changed in the behaviour of users, who are pseudonyms here.",
                "O que uma intervenção mudou no comportamento dos usuários, aqui pseudônimos.",
            ),
            controls=(
                Choice(
                    "user",
                    Text("User", "Usuário"),
                    {ALL: Text("all users", "todos os usuários")},
                    of_table=DAILY,
                    axis="pseudonym",
                ),
                Choice("outcome", Text("Outcome", "Desfecho"), _OUTCOMES),
            ),
            parts=(
                Own(Text("Interrupted time series", "Série temporal interrompida"), _its),
                Own(Text("ABAB: with and without", "ABAB: com e sem"), _abab),
                Chart(
                    Text("Events exported a day", "Eventos exportados por dia"),
                    lambda c: {
                        "table": "behavior/export_quality",
                        "chart": "line",
                        "measure": "total_rows",
                    },
                ),
                Chart(
                    Text("Users a day", "Usuários por dia"),
                    lambda c: {
                        "table": "behavior/export_quality",
                        "chart": "line",
                        "measure": "unique_users",
                    },
                ),
            ),
        ),
    ),
    labels={
        "pseudonym": Text("User", "Usuário"),
        "phase": Text("Phase", "Fase"),
        "events": Text("Events", "Eventos"),
        "mean_score": Text("Mean score", "Pontuação média"),
        "total_rows": Text("Events", "Eventos"),
        "unique_users": Text("Users", "Usuários"),
        "day": Text("Day", "Dia"),
    },
    descriptions={
        "total_rows": "Eventos.",
        "unique_users": "Usuários.",
        "events": "Eventos.",
        "scored_events": "Eventos com pontuação.",
        "score_sum": "Soma das pontuações.",
        "mean_score": "Pontuação média.",
        **{f"{name.lower()}_rows": f"Eventos {name}." for name in EVENT_TYPES},
        **{f"{name.lower()}_rows": f"Eventos na fase {name}." for name in PHASES},
    },
)

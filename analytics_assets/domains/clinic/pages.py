"""How the clinic is looked at: who comes, and the steps of the reminder test.

Belongs here: declarations for the dashboard.
Does not belong here: what is counted (``tables.py``).
"""

from __future__ import annotations

from typing import Any

from analytics_assets.api.listing import view_of
from analytics_assets.dashboard.declared import (
    Asked,
    Cell,
    Chart,
    Choice,
    Chosen,
    DomainPages,
    Found,
    Own,
    Page,
)
from analytics_assets.dashboard.figures import COLOURS
from analytics_assets.dashboard.words import Text, number

MONTHLY, FUNNEL = "clinic/agg_appointments_monthly", "clinic/agg_ab_funnel_daily"
EVENTS = "clinic/fct_ab_events"
_MEASURES = {
    "attendance_rate": Text("Attendance", "Comparecimento"),
    "appointments": Text("Appointments", "Consultas"),
    "not_attended": Text("Not attended", "Faltas"),
}


def _by(axis: str) -> Any:
    def ask(chosen: Chosen) -> dict[str, Any]:
        return {
            "table": MONTHLY,
            "chart": "bars",
            "by": axis,
            "measure": chosen["measure"],
            "at": chosen["month"],
        }

    return ask


async def _funnel(asked: Asked) -> Found | None:
    """Events of both groups, in the order of the steps, and what they cannot tell."""
    if FUNNEL not in asked.tables:
        return None
    table = asked.tables[FUNNEL]
    rows = await asked.database.read(
        f'select event_name, "group", sum(events)::bigint as events from {view_of(table)}'
        " group by 1, 2"
    )
    if not rows:
        return Found((table.description,), empty=_NONE.to(asked.language))
    counted = {(row.event_name, row.group): int(row.events) for row in rows}
    events = asked.tables.get(EVENTS)
    named = next((c.values for c in events.columns if c.name == "event_name"), ()) if events else ()
    steps = [*named, *sorted({name for name, _ in counted} - set(named))]
    groups = sorted({group for _, group in counted}, reverse=True)
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": group,
            "y": steps,
            "x": [counted.get((step, group), 0) for step in steps],
            "marker": {"color": COLOURS[n], "pattern": {"shape": ("", "/", "x")[n % 3]}},
            "text": [number(counted.get((step, group), 0), asked.language) for step in steps],
            "textposition": "outside",
            "cliponaxis": False,
            "hovertemplate": "%{y}: %{text}<extra>%{fullData.name}</extra>",
        }
        for n, group in enumerate(groups)
    ]
    layout = {
        "barmode": "group",
        "height": 90 + 60 * len(steps),
        "margin": {"l": 8, "r": 16, "t": 16, "b": 8},
        "yaxis": {"autorange": "reversed", "automargin": True},
        "xaxis": {"rangemode": "tozero", "automargin": True, "tickformat": ","},
        "legend": {"orientation": "h", "y": -0.15},
    }
    columns = (Text("Event", "Evento").to(asked.language), *groups)
    cells = tuple(
        (
            Cell(step),
            *(Cell(number(counted.get((step, g), 0), asked.language)) for g in groups),
        )
        for step in steps
    )
    about = (_BIAS.to(asked.language), table.description)
    return Found(about, columns, cells, {"data": traces, "layout": layout}, unit="events")


_NONE = Text("No event is promoted.", "Nenhum evento foi publicado.")
_BIAS = Text(
    "Do not compare the attendance of the groups by these counts:",
    "Não compare o comparecimento dos grupos por estas contagens:",
)
PAGES = DomainPages(
    pages=(
        Page(
            "clinic",
            Text("Clinic", "Clínica"),
            Text(
                "Attendance by reason, doctor and source, and the reminder test.",
                "Comparecimento por motivo, médico e origem, e o teste de lembretes.",
            ),
            controls=(
                Choice("measure", Text("Measure", "Medida"), _MEASURES),
                Choice("month", Text("Month", "Mês"), of_table=MONTHLY, axis="month"),
            ),
            parts=(
                Chart(
                    Text("Over the months", "Ao longo dos meses"),
                    lambda c: {"table": MONTHLY, "chart": "line", "measure": c["measure"]},
                ),
                Chart(Text("By reason", "Por motivo"), _by("appointment_reason")),
                Chart(Text("By doctor", "Por médico"), _by("doctor_name")),
                Chart(Text("By source", "Por origem"), _by("traffic_source")),
                Own(Text("Reminder test", "Teste de lembretes"), _funnel, wide=True),
            ),
        ),
    ),
    labels={
        **_MEASURES,
        "attended": Text("Attended", "Comparecimentos"),
        "status_known": Text("Known status", "Situação conhecida"),
        "events": Text("Events", "Eventos"),
        "appointment_reason": Text("Reason", "Motivo"),
        "doctor_name": Text("Doctor", "Médico"),
        "traffic_source": Text("Source", "Origem"),
        "appointment_status": Text("Status", "Situação"),
        "gender": "Sexo",
        "age": "Idade",
        "known_patient": Text("Known patient", "Paciente conhecido"),
        "group": "Grupo",
        "event_name": Text("Event", "Evento"),
        "month": "Mês",
        "day": "Dia",
        "year": "Ano",
    },
    descriptions={
        "age": "Média da idade; sem valor onde é implausível.",
        "appointments": "Consultas.",
        "attended": "Consultas a que o paciente veio.",
        "not_attended": "Consultas a que o paciente não veio.",
        "status_known": "Consultas de que se sabe se o paciente veio.",
        "attendance_rate": "Proporção das consultas de situação conhecida a que o paciente veio.",
        "events": "Eventos.",
        "patients": "Pacientes com esse evento no dia. Não se soma: um paciente pode tê-lo em"
        " vários dias.",
    },
)

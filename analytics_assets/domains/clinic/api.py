"""Routes of the clinic: events of the reminder test, appointments, app profiles.

Belongs here: which mart is served where, and its filters.
Does not belong here: how a list is read (``listing.py``), or how patients are known in production.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter

from analytics_assets.api.database import Database
from analytics_assets.api.filters import Filter, equal_to
from analytics_assets.api.listing import Listing, serve_list
from analytics_assets.api.meta import V1
from analytics_assets.api.models import Text, parameter_type
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Table

_EQUAL = {
    "ab_events": ("clinic/fct_ab_events", ("patient_id", "group", "event_name")),
    "appointments": (
        "clinic/fct_appointments",
        ("patient_id", "appointment_status", "doctor_name", "appointment_reason"),
    ),
    "app_profiles": ("clinic/dim_patient_from_app_profiles", ("traffic_source",)),
}


def router(tables: Sequence[Table], database: Database) -> APIRouter:
    """A route for each mart that is promoted."""
    routes = APIRouter(prefix=V1, tags=["clinic"])
    known = {table.key: table for table in tables}
    for path, (key, equal) in _EQUAL.items():
        if key in known:
            columns = {column.name: column for column in known[key].promoted.all_columns}
            filters = (*(equal_to(columns[name]) for name in equal), *_others(path, columns))
            serve_list(routes, f"/{path}/", Listing(known[key], filters), database)
    return routes


def _others(path: str, columns: Any) -> tuple[Filter, ...]:
    if path == "ab_events":
        return (
            _compared("since", ">=", columns["event_datetime"], "From this moment on."),
            _compared("before", "<", columns["event_datetime"], "Before this moment."),
        )
    if path == "appointments":
        return (
            _compared("date_from", ">=", columns["appointment_date"], "First day, inclusive."),
            _compared("date_to", "<=", columns["appointment_date"], "Last day, inclusive."),
        )
    about = "Text within the device's name, in upper or lower case; % and _ stand for themselves."
    return (Filter("device_like", Text, "device ilike {value}", about, _within),)


def _compared(name: str, sign: str, column: Any, description: str) -> Filter:
    sql = f"{quoted(column.name)} {sign} {{value}}"
    return Filter(name, parameter_type(column), sql, description)


def _within(text: str) -> str:
    """A LIKE pattern that is met by what holds this very text."""
    for wildcard in ("\\", "%", "_"):
        text = text.replace(wildcard, "\\" + wildcard)
    return f"%{text}%"

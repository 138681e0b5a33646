"""Routes of the clinic: events of the reminder test, appointments, app profiles.

Belongs here: which mart is served where, and the filters that the brief words itself.
Does not belong here: how a list is read (``listing.py``), or how patients are known in production.
"""

from collections.abc import Sequence

from fastapi import APIRouter

from analytics_assets.api.database import Database
from analytics_assets.api.filters import Filter, equal_to
from analytics_assets.api.listing import Listing, serve_list
from analytics_assets.api.meta import V1
from analytics_assets.api.models import LocalMoment, Text, readable
from analytics_assets.core.declaration import Table

# Path -> the mart that is served there, and what it is asked by beside its key and its time.
_MARTS = {
    "ab_events": ("clinic/fct_ab_events", ("group", "event_name")),
    "appointments": (
        "clinic/fct_appointments",
        ("appointment_status", "doctor_name", "appointment_reason"),
    ),
    "app_profiles": ("clinic/dim_patient_from_app_profiles", ("traffic_source",)),
}


def router(tables: Sequence[Table], database: Database) -> APIRouter:
    """A route for each mart that is promoted."""
    routes = APIRouter(prefix=V1, tags=["clinic"])
    known = {table.key: table for table in tables}
    for path, (key, equal) in _MARTS.items():
        if key in known:
            columns = {column.name: column for column in readable(known[key])}
            more = (*(equal_to(columns[name]) for name in equal), *_WORDED.get(path, ()))
            serve_list(routes, f"/{path}/", Listing(known[key], more), database)
    return routes


def _within(text: str) -> str:
    """A LIKE pattern that is met by what holds this very text."""
    for wildcard in ("\\", "%", "_"):
        text = text.replace(wildcard, "\\" + wildcard)
    return f"%{text}%"


_WORDED = {
    "ab_events": (
        Filter("since", LocalMoment, "event_datetime >= {value}", "From this moment on."),
        Filter("before", LocalMoment, "event_datetime < {value}", "Before this moment."),
    ),
    "app_profiles": (
        Filter(
            "device_like",
            Text,
            "device ilike {value}",
            "Text within the device's name, in upper or lower case; % and _ stand for themselves.",
            _within,
        ),
    ),
}

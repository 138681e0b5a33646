"""The drop folder: what its files are called, and what their rows are landed as.

Belongs here: the feeds, each declared once.
Does not belong here: headers of other people's files (``layouts.py``), the meaning of a value
(``words.py``).
"""

from __future__ import annotations

from dataclasses import replace

from analytics_assets.core.columns import KEY_LENGTH, Column, text
from analytics_assets.core.partitions import MONTHLY
from analytics_assets.domains.clinic.layouts import (
    AB_TEST_DATA,
    APP_DATA,
    APPOINTMENTS_DATA,
    COOKIE_CATS,
    PUBLIC_NO_SHOWS,
)
from analytics_assets.domains.clinic.words import (
    EVENTS,
    GROUPS,
    STATUSES,
    TRAFFIC_SOURCES,
    age_sql,
    doctor_sql,
    moment_sql,
    one_of_sql,
)
from analytics_assets.landing.feed import Feed
from analytics_assets.landing.folder import LandingFolder
from analytics_assets.landing.formats import CSV

DROPPED = LandingFolder("CLINIC_SOURCE", "clinic")


PATIENT_ID = Column(
    "patient_id",
    "text",
    "The patient's number, as landed.",
    nullable=False,
    max_length=KEY_LENGTH,
    personal=True,
)

# A record without a patient holds its month back; it is not put aside as one that cannot be read.
_GIVEN_ID = replace(PATIENT_ID, nullable=True)
# A spreadsheet writes a long number with few of its digits: patients become one.
_ROUNDED = {
    "patient_id was rounded by a spreadsheet": (
        "regexp_full_match(patient_id, '[0-9]+([.,][0-9]+)?[eE][+]?[0-9]+')"
    )
}


def _unnumbered(sql: str) -> str:
    """What tells an appointment apart that has no number."""
    return f"case when appointment_number is null then {sql} end"


APP_PROFILE = Feed(
    "app_profile",
    DROPPED,
    "app_data*",
    columns=(
        _GIVEN_ID,
        text("traffic_source", "Where the patient came from, as landed."),
        text("device", "The patient's device, as landed."),
    ),
    layouts=(APP_DATA,),
    key=("patient_id",),
    reads={"traffic_source": one_of_sql("traffic_source", TRAFFIC_SOURCES)},
    rejects=_ROUNDED,
    formats=CSV,
)
APPOINTMENT = Feed(
    "appointment",
    DROPPED,
    "appointments_data*",
    columns=(
        _GIVEN_ID,
        text("age", "Age as landed."),
        text("gender", "Gender as landed."),
        text("doctor_name", "The doctor as landed.", max_length=KEY_LENGTH),
        text("appointment_reason", "Reason of the visit.", max_length=KEY_LENGTH),
        text("appointment_date", "Day of the visit as landed, perhaps with a time."),
        text("appointment_status", "Whether the patient came, as landed."),
        text("booked_at", "When the visit was booked, where the file says so."),
        Column(
            "appointment_number",
            "text",
            "Number of the appointment, where the file has one.",
            personal=True,
        ),
    ),
    layouts=(APPOINTMENTS_DATA, PUBLIC_NO_SHOWS),
    # Where there is a number, it is the appointment, whatever else of it is corrected.
    key=(
        "appointment_number",
        _unnumbered("patient_id"),
        _unnumbered(f"lower({doctor_sql('doctor_name')})"),
        _unnumbered("lower(appointment_reason)"),
        _unnumbered(moment_sql("appointment_date")),
    ),
    moves="appointment_number is not null",
    reads={
        "age": age_sql("age"),
        "appointment_status": one_of_sql("appointment_status", STATUSES),
        "booked_at": moment_sql("booked_at"),
    },
    rejects=_ROUNDED,
    day=f"cast({moment_sql('appointment_date')} as date)",
    period=MONTHLY,
    formats=CSV,
)
AB_EVENT = Feed(
    "ab_event",
    DROPPED,
    "ab_test_data*",
    columns=(
        _GIVEN_ID,
        text("group", "Group of the test as landed."),
        text("event_name", "The event as landed."),
        text("event_datetime", "Moment of the event as landed; no time zone is said."),
    ),
    layouts=(AB_TEST_DATA, COOKIE_CATS),
    rejects=_ROUNDED,
    key=("patient_id", "lower(event_name)", moment_sql("event_datetime")),
    reads={
        "group": one_of_sql('"group"', GROUPS),
        "event_name": one_of_sql("event_name", EVENTS),
    },
    day=f"cast({moment_sql('event_datetime')} as date)",
    period=MONTHLY,
    formats=CSV,
)
FEEDS = (APP_PROFILE, APPOINTMENT, AB_EVENT)

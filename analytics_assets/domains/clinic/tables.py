"""The tables of the clinic, one declaration each.

Belongs here: declarations. Everything else about a table derives from its own.
Does not belong here: reading files (``sources.py``), thresholds (``suites.py``).
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from analytics_assets.core import calendar
from analytics_assets.core.columns import Column, Dimension, Measure, MeasureList, Ratio, text
from analytics_assets.core.declaration import Publish, Table
from analytics_assets.core.partitions import DAILY
from analytics_assets.core.table_set import TableSet
from analytics_assets.core.validation import Personal
from analytics_assets.domains.clinic.comparison import START, STEPS, comparison_rows
from analytics_assets.domains.clinic.landing import (
    AB_EVENT,
    APP_PROFILE,
    APPOINTMENT,
    DROPPED,
    FEEDS,
    PATIENT_ID,
)
from analytics_assets.domains.clinic.sources import PseudonymSource
from analytics_assets.domains.clinic.suites import (
    AB_EVENT_SUITE,
    APP_PROFILE_SUITE,
    APPOINTMENT_SUITE,
    GROUPS_ALIKE,
    ONE_GROUP,
    known_patients,
)
from analytics_assets.domains.clinic.words import (
    EVENTS,
    GREATEST_AGE,
    GROUPS,
    STATUSES,
    TRAFFIC_SOURCES,
    UNKNOWN,
    age_sql,
    doctor_sql,
    moment_sql,
    one_of_sql,
)
from analytics_assets.landing.feed import Feed
from analytics_assets.landing.rejected import rejected_records

# By default production knows patients by their keyed hash.
PATIENT_IDS = os.environ.get("CLINIC_PUBLISH_PATIENT_IDS", "") not in ("", "0")
tables = TableSet(
    "clinic",
    Path(__file__).parent / "sql",
    {"patient": "patient_id" if PATIENT_IDS else "patient_key", "unknown": UNKNOWN},
)
_EXPECTED = timedelta(days=7) if os.environ.get(DROPPED.variable) else None


def _hash(name: str, description: str) -> Column:
    return Column(name, "text", f"{description} (keyed hash).", nullable=False, told=True)


# ---- sources ------------------------------------------------------------------------------------

_PATIENT_KEY = _hash("patient_key", "The patient")
_BY_DAY = "strftime(day, '%Y-%m-%d')"


def _landed(feed: Feed, key: Column, description: str, **declared: Any) -> Table:
    given = (key, _PATIENT_KEY, *feed.landed_columns, PATIENT_ID)
    return tables.source(
        feed.name,
        PseudonymSource(feed, key.name),
        description=description,
        columns=tuple({column.name: column for column in given}.values()),
        expected_every=_EXPECTED,
        **declared,
    )


_BY_DAYS: dict[str, Any] = {"slice_period": DAILY, "slice_sql": _BY_DAY}
app_profile = _landed(
    APP_PROFILE,
    _PATIENT_KEY,
    "App profiles as landed, a row a patient, as the last file has it.",
    checks=APP_PROFILE_SUITE,
)
appointment = _landed(
    APPOINTMENT,
    _hash("appointment_key", "Patient, doctor, reason, date and number"),
    "Appointments as landed, each as the last file has it.",
    checks=APPOINTMENT_SUITE,
    **_BY_DAYS,
)
ab_event = _landed(
    AB_EVENT,
    _hash("event_key", "Patient, event and moment"),
    "Events of the reminder test as landed, each as the last file has it.",
    checks=AB_EVENT_SUITE,
    **_BY_DAYS,
)
rejected_record = rejected_records(tables, FEEDS)

# ---- staging ------------------------------------------------------------------------------------

_PROFILE = (
    text("traffic_source", "Where the patient came from; NULL if unknown.", values=TRAFFIC_SOURCES),
    text("device", "Operating system and its version, or the device as landed."),
    text("os", "Operating system of the device.", values=("iOS", "Android")),
    text("os_version", "Version of the operating system."),
)
_VISIT = (
    Column("age", "integer", "Age; NULL if implausible.", "years", True, 0, GREATEST_AGE),
    text("gender", "Female, Male, or as landed."),
    text("doctor_name", "The doctor, spelled one way."),
    text("appointment_reason", "Reason of the visit."),
    Column("appointment_date", "date", "Day of the visit.", nullable=False),
    text("appointment_status", "Whether the patient came; NULL if unknown.", values=STATUSES),
)
_HAPPENED = (
    text("group", "Group of the test; NULL if unknown.", values=GROUPS),
    text("event_name", "The event; NULL if unknown.", values=EVENTS),
    Column("event_date", "date", "Day of the event.", nullable=False),
    Column("event_datetime", "datetime", "Moment of the event, local time.", nullable=False),
)

stg_app_profile = tables.from_sql(
    "stg_app_profile",
    layer="staging",
    columns=(_PATIENT_KEY, PATIENT_ID, *_PROFILE),
    unique=("patient_key",),
    keeps_rows=True,
    words={
        "traffic_source": one_of_sql("traffic_source", TRAFFIC_SOURCES),
        "os": "case when device ilike 'ios%' then 'iOS'"
        " when device ilike 'android%' then 'Android' end",
    },
    description="App profiles, typed and spelled one way.",
)
stg_appointment = tables.from_sql(
    "stg_appointment",
    layer="staging",
    period=DAILY,
    time_column="appointment_date",
    columns=(_hash("appointment_key", "The appointment"), _PATIENT_KEY, PATIENT_ID, *_VISIT),
    unique=("appointment_key",),
    keeps_rows=True,
    words={
        "age": age_sql("age"),
        "gender": "case when lower(gender) in ('f', 'female') then 'Female'"
        " when lower(gender) in ('m', 'male') then 'Male' else gender end",
        "doctor": doctor_sql("doctor_name"),
        "status": one_of_sql("appointment_status", STATUSES),
    },
    description="Appointments, typed and spelled one way.",
)
stg_ab_event = tables.from_sql(
    "stg_ab_event",
    layer="staging",
    period=DAILY,
    time_column="event_date",
    columns=(_hash("event_key", "The event"), _PATIENT_KEY, PATIENT_ID, *_HAPPENED),
    unique=("event_key",),
    keeps_rows=True,
    words={
        "group": one_of_sql('"group"', GROUPS),
        "event_name": one_of_sql("event_name", EVENTS),
        "moment": moment_sql("event_datetime"),
    },
    description="Events of the reminder test, typed and spelled one way.",
)
_SEEN = (
    text("traffic_source", "Where the patient came from; NULL if unknown.", values=TRAFFIC_SOURCES),
    Column(
        "known_patient", "boolean", "The patient has an app profile; NULL where nobody has one."
    ),
)
# A changed profile touches the days of its patient alone: facts read their own day of this table,
# and never all profiles.
patient_day = tables.from_sql(
    "patient_day",
    layer="staging",
    slice_period=DAILY,
    slice_sql=_BY_DAY,
    columns=(
        Column("day", "date", "Day of an appointment or event.", nullable=False),
        _PATIENT_KEY,
        *_SEEN,
    ),
    unique=("day", "patient_key"),
    checks=(ONE_GROUP, GROUPS_ALIKE),
    description="The patients of each day's appointments and events, and where they came from.",
)

# ---- marts --------------------------------------------------------------------------------------

_PATIENT = Column(
    "patient_id",
    "text",
    "The patient's number." if PATIENT_IDS else "The patient (keyed hash of the number).",
    nullable=False,
    personal=PATIENT_IDS,
)


def _mart(name: str, *indexes: str, **declared) -> Table:
    personal: Personal = "promoted" if PATIENT_IDS else "refused"
    return tables.from_sql(
        name,
        layer="marts",
        keeps_rows=True,
        publish=Publish(indexes=indexes, personal=personal),
        **declared,
    )


dim_patient_from_app_profiles = _mart(
    "dim_patient_from_app_profiles",
    columns=(_PATIENT, *_PROFILE),
    unique=("patient_id",),
    description="Patients with an app profile.",
)
fct_appointments = _mart(
    "fct_appointments",
    "appointment_date",
    "patient_id",
    period=DAILY,
    time_column="appointment_date",
    columns=(_hash("appointment_id", "The appointment"), _PATIENT, *_VISIT, *_SEEN),
    unique=("appointment_id",),
    checks=known_patients("clinic.fct_appointments"),
    description="Appointments with the source of the patient.",
)
fct_ab_events = _mart(
    "fct_ab_events",
    "event_date",
    "patient_id",
    period=DAILY,
    time_column="event_date",
    columns=(_hash("event_id", "The event"), _PATIENT, *_HAPPENED, *_SEEN),
    unique=("event_id",),
    checks=known_patients("clinic.fct_ab_events"),
    description="Events of the reminder test. Of Control only attendance is logged.",
)

# ---- aggregates ---------------------------------------------------------------------------------


def _key(name: str, description: str) -> Dimension:
    return Dimension(name, (Column(name, "text", f"{description}, or Unknown.", nullable=False),))


_BY = (
    _key("appointment_reason", "Reason of the visit"),
    _key("doctor_name", "The doctor"),
    _key("traffic_source", "Where the patient came from"),
)
_ATTENDANCE = MeasureList(
    (
        Measure("appointments", "count(*)", "Appointments.", "appointments"),
        Measure(
            "attended",
            "count(*) filter (where appointment_status = 'Attended')",
            "Appointments to which the patient came.",
            "appointments",
        ),
        Measure(
            "not_attended",
            "count(*) filter (where appointment_status = 'Not Attended')",
            "Appointments to which the patient did not come.",
            "appointments",
            usually="0",
        ),
        Measure(
            "status_known",
            "count(appointment_status)",
            "Appointments of which it is known whether the patient came.",
            "appointments",
            usually="appointments",
        ),
    ),
    (
        Ratio(
            "attendance_rate",
            "attended",
            "status_known",
            "Share of the appointments with a known status to which the patient came.",
            "percent",
            100,
        ),
    ),
)
_POINTS = "percentage points"
_FUNNEL = MeasureList((Measure("events", "count(*)", "Events.", "events"),))

agg_appointments_daily = tables.from_sql(
    "agg_appointments_daily",
    layer="aggregates",
    period=DAILY,
    grain=(calendar.day("appointment_date", "Day of the visits."), *_BY),
    measures=_ATTENDANCE,
    measured_from=fct_appointments,
    publish=Publish(),
    description="Attendance by day, reason, doctor and traffic source.",
)
agg_appointments_monthly = tables.rollup(
    "agg_appointments_monthly",
    agg_appointments_daily,
    calendar.month(),
    *_BY,
    publish=Publish(),
    description="Attendance by month, reason, doctor and traffic source.",
)
agg_ab_funnel_daily = tables.from_sql(
    "agg_ab_funnel_daily",
    layer="aggregates",
    period=DAILY,
    grain=(
        calendar.day("event_date", "Day of the events."),
        _key("group", "Group of the test"),
        _key("event_name", "The event"),
    ),
    columns=(
        Column(
            "patients",
            "integer",
            "Patients with such an event on the day. Not to be added up: one may have it on more"
            " days.",
            "patients",
            nullable=False,
            minimum=1,
        ),
    ),
    measures=_FUNNEL,
    measured_from=fct_ab_events,
    publish=Publish(),
    description="Events of the reminder test by day, group and event. Biased: of Control only"
    " attendance is logged, so that its patients who did not come are not here at all, and those of"
    " Test are. Attendance of Test and Control must not be compared by these counts; divide by the"
    " patients assigned to each group, which this log does not have.",
)


def _of_group(group: str) -> tuple[Column, ...]:
    name = group.lower()
    return (
        Column(
            f"{name}_patients",
            "integer",
            f"Patients of {group} with {START}.",
            "patients",
            nullable=False,
            minimum=0,
        ),
        Column(
            f"{name}_reached",
            "integer",
            "Those of them with the step.",
            "patients",
            nullable=False,
            minimum=0,
        ),
        Column(f"{name}_share", "decimal6", "Their share.", "percent", minimum=0, maximum=100),
    )


ab_step_comparison = tables.from_sql(
    "ab_step_comparison",
    layer="aggregates",
    compute=comparison_rows,
    words={"start": START},
    columns=(
        text("event_name", "The step.", nullable=False, values=tuple(STEPS)),
        *(column for group in GROUPS for column in _of_group(group)),
        Column("difference", "decimal6", "Share of Test less that of Control.", _POINTS),
        Column("difference_low", "decimal6", "Lower end of its 95 % interval (Newcombe).", _POINTS),
        Column("difference_high", "decimal6", "Upper end of its 95 % interval.", _POINTS),
        Column("p_value", "decimal6", "Of no difference: score test.", minimum=0, maximum=1),
        text("refusal", "Why the groups cannot be compared by this step."),
    ),
    unique=("event_name",),
    description="Shares of the patients who were sent a reminder that reached each step, Test and"
    " Control compared where both groups log the step and the reminder.",
)

TABLES = tables.all

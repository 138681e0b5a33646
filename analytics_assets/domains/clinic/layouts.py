"""The headers that a file may have, and how each becomes our columns.

Belongs here: file headers, and the mapping of other people's headers and values to ours.
Does not belong here: reading a file, the meaning of a value (``words.py``).

A file is known by its header, not by its name. The two layouts beside the clinic's own are those of
public sets, so that they load as they are:

``public no-shows`` (Kaggle, "Medical Appointment No Shows"): ``No-show`` = Yes means that the visit
was missed; a number like ``29872499824296.0`` is a whole number; the set names no doctor and no
reason; ``AppointmentID`` tells apart two visits of a patient on a day.

``cookie cats`` (DataCamp, an A/B test of a game): ``gate_30``, the old version, is Control and
``gate_40`` is Test; each player was sent a reminder, viewed it if he came back after a day, and
attended if he came back after seven. The set has no dates: the test begins on 2017-01-01.
"""

from __future__ import annotations

from analytics_assets.landing.feed import Layout

APP_DATA = Layout("app_data", ("patient_id", "traffic_source", "device"))
APPOINTMENTS_DATA = Layout(
    "appointments_data",
    (
        "patient_id",
        "age",
        "gender",
        "doctor_name",
        "appointment_reason",
        "appointment_date",
        "appointment_status",
    ),
)
PUBLIC_NO_SHOWS = Layout(
    "public no-shows",
    (
        "patientid",
        "appointmentid",
        "gender",
        "scheduledday",
        "appointmentday",
        "age",
        "no-show",
    ),
    {
        "patient_id": r"regexp_replace(patientid, '\.0$', '')",
        "appointment_date": "rtrim(appointmentday, 'Z')",
        "appointment_status": "case lower(\"no-show\") when 'no' then 'Attended'"
        " when 'yes' then 'Not Attended' else \"no-show\" end",
        "booked_at": "rtrim(scheduledday, 'Z')",
        "appointment_number": "appointmentid",
    },
)
AB_TEST_DATA = Layout("ab_test_data", ("patient_id", "group", "event_name", "event_datetime"))
COOKIE_CATS = Layout(
    "cookie cats",
    ("userid", "version", "retention_1", "retention_7"),
    {
        "patient_id": "userid",
        "group": "case version when 'gate_30' then 'Control' when 'gate_40' then 'Test'"
        " else version end",
        "event_name": "step.event_name",
        "event_datetime": "cast(date '2017-01-01' + step.after_days as varchar)",
    },
    expand="join (values ('reminder_sent', 0), ('reminder_viewed', 1), ('attended_appointment', 7))"
    " as step (event_name, after_days) on step.after_days = 0"
    " or (step.after_days = 1 and upper(retention_1) = 'TRUE')"
    " or (step.after_days = 7 and upper(retention_7) = 'TRUE')",
)
# As the clinic itself sends them.
OWN_LAYOUTS = (APP_DATA, APPOINTMENTS_DATA, AB_TEST_DATA)

"""The brief's three suites, as checks: ``public__app_profile``, ``_appointment``, ``_ab_event``.

Belongs here: thresholds, bounds, and the SQL that selects what breaks them.
Does not belong here: contracts of single columns, which stand with their tables (``tables.py``).

A check with a threshold is two: below it, it fails and the partition is held back; from there to
100 % it warns. Both show each offending value and its count.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date
from typing import Any

from analytics_assets.core.columns import DeclarationError
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Check
from analytics_assets.core.partitions import START
from analytics_assets.domains.clinic.words import (
    EVENTS,
    GREATEST_AGE,
    GROUPS,
    STATUSES,
    TRAFFIC_SOURCES,
    age_sql,
    listed,
    moment_sql,
)

# Of a day's few rows so many may be of patients without a profile, whatever their share is.
FEW = 2
KNOWN_PATIENTS = 0.95
# Chi-square of one degree of freedom: a difference that chance makes in one of a hundred tests.
_CHI_SQUARE = 6.635
_ADVICE = "Mend the values at their source and send the file again."


def _in_set(table: str, column: str, values: Sequence[str], threshold: float) -> tuple[Check, ...]:
    name = quoted(column)
    found = f"coalesce({name}, '(blank)')"
    sql = f"""
with judged as (
    -- A month is stored by day, and judged as a whole.
    select left(_partition, 7) as part, {found} as value, {found} in ({listed(values)}) as good
    from {table}
),
shares as (
    select part, count(*) as of_rows, count(*) filter (where good) / count(*) as share
    from judged group by part
)
select part as _partition, value, count(*) as rows, of_rows,
    round(100 * share, 2) as percent_good
from judged join shares using (part)
where not good and share {{compared}} {threshold}
group by all"""
    at_fault = f"coalesce(_row.{name}, '(blank)') = _broken.value"
    return _both(
        column,
        f"of {column} at least {threshold:.0%} are one of {', '.join(values)}",
        f"{sql} order by rows desc, value",
        _ADVICE,
        at_fault,
        told="value",
        words=(*values, "(blank)"),
        times="rows",
    )


def _both(
    name: str, description: str, sql: str, advice: str, at_fault: str, **told: Any
) -> tuple[Check, Check]:
    """What holds back and what warns; ``told``: what both say of what they find."""
    described = description[0].upper() + description[1:]
    return (
        Check(
            f"{name}_share",
            described,
            sql.replace("{compared}", "<"),
            advice,
            at_fault=at_fault,
            **told,
        ),
        Check(
            f"{name}_values",
            f"Not quite all: {description}",
            sql.replace("{compared}", ">="),
            advice,
            blocking=False,
            **told,
        ),
    )


def _bound(variable: str, default: date) -> date:
    text = os.environ.get(variable) or default.isoformat()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise DeclarationError(f"{variable}={text}: give a day as YYYY-MM-DD") from error


FIRST_DAY = _bound("CLINIC_FIRST_DAY", START)
LAST_DAY = _bound("CLINIC_LAST_DAY", date.max)

_WITHIN_BOUNDS = Check(
    "appointment_date_within_bounds",
    f"Appointments are from {FIRST_DAY} to {LAST_DAY}",
    sql=f"""
select left(_partition, 7) as _partition, day, count(*) as rows from clinic.appointment
where day not between date '{FIRST_DAY}' and date '{LAST_DAY}' group by all
order by rows desc, day""",
    advice="Mend the dates, or set CLINIC_FIRST_DAY and CLINIC_LAST_DAY.",
    at_fault="_row.day = _broken.day",
    told="day",
    words=(),
    times="rows",
)
_AGES = Check(
    "age_plausible",
    f"Ages are whole years from 0 to {GREATEST_AGE}",
    sql=f"""
select left(_partition, 7) as _partition, age, count(*) as rows from clinic.appointment
where age is not null and {age_sql("age")} is null group by all
order by rows desc, age""",
    advice=f"{_ADVICE} The age is NULL in staging and marts.",
    blocking=False,
    told="age",
    words=(),
    times="rows",
)
_BOOKED_BEFORE = Check(
    "booked_before_visit",
    "Appointments are booked on their day or before, where a file says when",
    sql=f"""
select left(_partition, 7) as _partition, cast({moment_sql("booked_at")} as date) as booked_on,
    day, count(*) as rows
from clinic.appointment where cast({moment_sql("booked_at")} as date) > day
group by all order by day, booked_on""",
    advice=f"{_ADVICE} One of the two dates is wrong; the day of the visit is taken as it is.",
    blocking=False,
)
APP_PROFILE_SUITE = _in_set("clinic.app_profile", "traffic_source", TRAFFIC_SOURCES, 0.95)
APPOINTMENT_SUITE = (
    *_in_set("clinic.appointment", "appointment_status", STATUSES, 0.95),
    _WITHIN_BOUNDS,
    _AGES,
    _BOOKED_BEFORE,
)
AB_EVENT_SUITE = (
    *_in_set("clinic.ab_event", "group", GROUPS, 0.95),
    *_in_set("clinic.ab_event", "event_name", EVENTS, 0.90),
)


def known_patients(table: str) -> tuple[Check, ...]:
    """That the patients of a day's rows have a profile; not judged where there are no profiles."""
    return _both(
        "patients_known",
        f"of a day's rows at least {KNOWN_PATIENTS:.0%} are of patients with an app profile, or"
        f" all but {FEW}",
        f"""
select *, round(100 * (1 - rows / of_rows), 2) as percent_known,
    rows || ' of ' || of_rows as counted
from (
    select _partition, count(*) filter (where not known_patient) as rows, count(*) as of_rows
    from {table} where known_patient is not null group by _partition
)
where rows > 0
    and (case when rows > {FEW} then of_rows - rows else of_rows end) {{compared}}
        {KNOWN_PATIENTS} * of_rows""",
        "Send app_data.csv with these patients.",
        "not _row.known_patient",
        told="counted",
    )


ONE_GROUP = Check(
    "one_group_a_patient",
    "A patient is in the test group or in the control group, never in both",
    sql="""
select 'all' as _partition, count(*) as patients, sum(events) as events
from (
    select patient_key, count(*) as events from clinic.stg_ab_event
    group by 1 having count(distinct "group") > 1
)
having count(*) > 0""",
    advice="Who was in both groups cannot be counted for either: mend the assignment.",
    blocking=False,
)
GROUPS_ALIKE = Check(
    "groups_alike",
    "Where both groups are sent reminders, equally many patients of each are, but for chance",
    sql=f"""
select * from (
    select 'all' as _partition,
        count(distinct patient_key) filter (where "group" = 'Test') as test,
        count(distinct patient_key) filter (where "group" = 'Control') as control,
        round((test - control) * (test - control) / nullif(test + control, 0), 2) as chi_square
    from clinic.stg_ab_event where event_name = 'reminder_sent'
)
where test > 0 and control > 0 and chi_square > {_CHI_SQUARE}""",
    advice="The assignment or the log is not what it should be: do not compare the groups before"
    " that is explained.",
    blocking=False,
)

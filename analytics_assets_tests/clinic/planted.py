"""The defects that are planted for the checks of the clinic's tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from analytics_assets import settings
from analytics_assets.warehouse.lake import Lake
from analytics_assets_tests.clinic import landed as clinic
from analytics_assets_tests.warehouse.planted import Defect, Site, judged


def in_clinic(
    name: str, partition: str, *deliveries: tuple[str, Sequence[clinic.Row]]
) -> Callable[[Site, Defect], str]:
    """Land these files of the clinic, build what the table reads, then see the table judged."""

    def plant(site: Site, defect: Defect) -> str:
        with site.home(site.new_folder().name) as home, pytest.MonkeyPatch.context() as patch:
            patch.setenv("CLINIC_SOURCE", str(home / "drop"))
            drop = clinic.Folder(home / "drop")
            for feed, rows in deliveries:
                drop.send(feed, rows)
            table = clinic.TABLE[name]
            clinic.settle(clinic.upstream(table))
            return judged(Lake(settings.load().lake), table, partition, defect)

    return plant


def out_of_bounds(site: Site, defect: Defect) -> str:
    """Bounds are read when the code location is loaded: here they are those of another clinic."""
    table = clinic.TABLE["appointment"]
    (check,) = (check for check in table.checks if check.name == defect.check)
    assert "2000-01-01" in check.sql
    bounded = replace(
        check,
        sql=check.sql.replace("2000-01-01", "2025-03-05"),
        description=check.description.replace("2000-01-01", "2025-03-05"),
    )
    checks = tuple(bounded if one is check else one for one in table.checks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(clinic.TABLE, "appointment", replace(table, checks=checks))
        return in_clinic("appointment", "2025-03", (clinic.VISIT, VISITS))(site, defect)


def booked_late(site: Site, defect: Defect) -> str:
    header = (*clinic.HEADERS[clinic.VISIT], "booked_at")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(clinic.HEADERS, clinic.VISIT, header)
        rows = [
            (*visit, "2025-03-05" if n == 7 else "2025-03-04") for n, visit in enumerate(VISITS)
        ]
        return in_clinic("appointment", "2025-03", (clinic.VISIT, rows))(site, defect)


def booked_once(site: Site, defect: Defect) -> str:
    """A file says again when two visits were booked, in words that are no date."""
    header = (*clinic.HEADERS[clinic.VISIT], "booked_at")
    with site.home(site.new_folder().name) as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLINIC_SOURCE", str(home / "drop"))
        drop = clinic.Folder(home / "drop")
        drop.send(clinic.VISIT, [(*one, "2025-03-01") for one in VISITS], header=header)
        clinic.settle({"appointment"})
        again = [(*one, "1st of March") for one in VISITS[:2]]
        drop.send(clinic.VISIT, again, "_again", header)
        table = clinic.TABLE["appointment"]
        return judged(Lake(settings.load().lake), table, "2025-03", defect)


VISITS = [clinic.visit(n) for n in range(100)]
EVENTS = [clinic.event(n) for n in range(100)]

DEFECTS = (
    Defect(
        "traffic_source_share",
        "a file in which one source in ten is of no list",
        ("are one of Referral", "(aaaaaa: 10)", "send the file again"),
        in_clinic(
            "app_profile",
            "all",
            (
                clinic.PROFILE,
                [clinic.profile(n, "Direct" if n % 10 else "TikTok") for n in range(100)],
            ),
        ),
        quarantined=10,
    ),
    Defect(
        "traffic_source_values",
        "a source of a patient that is of no list",
        ("Not quite all", "(aaaaaa: 1)"),
        in_clinic(
            "app_profile",
            "all",
            (
                clinic.PROFILE,
                [clinic.profile(n, "Direct" if n else "TikTok") for n in range(100)],
            ),
        ),
        blocks=False,
    ),
    Defect(
        "appointment_status_share",
        "a month in which a status in ten is of no list",
        ("are one of Attended, Not Attended", "(aa-aaaa: 10)"),
        in_clinic(
            "appointment",
            "2025-03",
            (clinic.VISIT, [*VISITS[10:], *(clinic.visit(n, status="No-show") for n in range(10))]),
        ),
        quarantined=10,
    ),
    Defect(
        "appointment_status_values",
        "a status that is of no list",
        ("Not quite all", "(aa-aaaa: 1)"),
        in_clinic(
            "appointment",
            "2025-03",
            (clinic.VISIT, [*VISITS[1:], clinic.visit(0, status="No-show")]),
        ),
        blocks=False,
    ),
    Defect(
        "appointment_date_within_bounds",
        "an appointment before CLINIC_FIRST_DAY",
        ("2025-03-04: 100", "CLINIC_FIRST_DAY"),
        out_of_bounds,
        quarantined=100,
    ),
    Defect(
        "age_plausible",
        "an age below 0",
        ("(-1: 1)", "NULL in staging"),
        in_clinic(
            "appointment",
            "2025-03",
            (clinic.VISIT, [*VISITS[1:], clinic.visit(0, age="-1")]),
        ),
        blocks=False,
    ),
    Defect(
        "booked_before_visit",
        "a visit on the day before it was booked",
        ("booked on their day or before", "1 found"),
        booked_late,
        blocks=False,
    ),
    Defect(
        "group_share",
        "a month in which one event in ten is of no group",
        ("are one of Test, Control", "(gate_30: 10)"),
        in_clinic(
            "ab_event",
            "2025-03",
            (clinic.EVENT, [*EVENTS[10:], *(clinic.event(n, "gate_30") for n in range(10))]),
        ),
        quarantined=10,
    ),
    Defect(
        "group_values",
        "an event that is of no group",
        ("Not quite all", "(gate_30: 1)"),
        in_clinic("ab_event", "2025-03", (clinic.EVENT, [*EVENTS[1:], clinic.event(0, "gate_30")])),
        blocks=False,
    ),
    Defect(
        "event_name_share",
        "a month in which more than one event in ten is of no list",
        ("are one of reminder_sent", "(reminder_open: 11)"),
        in_clinic(
            "ab_event",
            "2025-03",
            (
                clinic.EVENT,
                [*EVENTS[11:], *(clinic.event(n, name="reminder_open") for n in range(11))],
            ),
        ),
        quarantined=11,
    ),
    Defect(
        "event_name_values",
        "an event that is of no list",
        ("Not quite all", "(reminder_open: 1)"),
        in_clinic(
            "ab_event",
            "2025-03",
            (clinic.EVENT, [*EVENTS[1:], clinic.event(0, name="reminder_open")]),
        ),
        blocks=False,
    ),
    Defect(
        "rejected_share",
        "a file of a month in which six rows in a hundred have an age for a date",
        ("at most 5.0% are rejected", "6 of 100 rows", "appointment_date is no date"),
        in_clinic(
            "appointment",
            "2025-03",
            (clinic.VISIT, [*VISITS[6:], *(clinic.visit(n, "40") for n in range(6))]),
        ),
    ),
    Defect(
        "values_still_readable",
        "a file that says again when visits were booked, in words",
        ("booked_at: 2, such as 9aa aa aaaaa", "confirm_promotion"),
        booked_once,
        quarantined=2,
    ),
    Defect(
        "files_landed",
        "a file without a date that there is",
        ("Every file is of a feed and can be read", "none of its 1 rows can be landed"),
        in_clinic("rejected_record", "all", (clinic.VISIT, [clinic.visit(1, "2025-02-31")])),
        blocks=False,
    ),
    Defect(
        "one_group_a_patient",
        "a patient in both groups",
        ("never in both", "mend the assignment"),
        in_clinic(
            "patient_day",
            "all",
            (clinic.EVENT, [*EVENTS, clinic.event(0, "Control", "attended_appointment")]),
        ),
        blocks=False,
    ),
    Defect(
        "groups_alike",
        "twice as many patients in one group as in the other",
        ("equally many patients", "do not compare the groups"),
        in_clinic(
            "patient_day",
            "all",
            (clinic.EVENT, [clinic.event(n, "Test" if n % 3 else "Control") for n in range(100)]),
        ),
        blocks=False,
    ),
    Defect(
        "patients_known_share",
        "a day of which six patients in a hundred have no profile",
        ("are of patients with an app profile", "(6 of 100)", "Send app_data.csv"),
        in_clinic(
            "fct_appointments",
            "2025-03-04",
            (clinic.PROFILE, [clinic.profile(n) for n in range(94)]),
            (clinic.VISIT, VISITS),
        ),
        quarantined=6,
    ),
    Defect(
        "patients_known_values",
        "a day of which one patient has no profile",
        ("Not quite all", "(1 of 100)", "Send app_data.csv"),
        in_clinic(
            "fct_ab_events",
            "2025-03-03",
            (clinic.PROFILE, [clinic.profile(n) for n in range(99)]),
            (clinic.EVENT, EVENTS),
        ),
        blocks=False,
    ),
)

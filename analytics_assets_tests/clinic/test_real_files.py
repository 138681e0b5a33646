"""The public appointments and the public A/B test, landed as they are; counted here from the file.

Known of them (``layouts.py`` says how they are mapped): one patient number is no whole number, and
the first 5,000 appointments hold none of the defects that the later ones have, so those are added.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from analytics_assets_tests.clinic.landed import EVENT, VISIT, Folder, query, settle


@pytest.fixture(scope="module")
def appointments(real_data: Path) -> list[dict[str, str]]:
    with (real_data / "clinic" / "no_shows_first_5000.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_appointments_load(
    drop: Folder, real_data: Path, appointments: list[dict[str, str]]
) -> None:
    shutil.copy(real_data / "clinic" / "no_shows_first_5000.csv", drop.path / f"{VISIT}_real.csv")
    # As in line 99,833 of the whole set, and in five that were booked after the visit.
    defects = [
        {**appointments[0], "AppointmentID": "1", "Age": "-1"},
        {**appointments[1], "AppointmentID": "2", "ScheduledDay": "2016-05-10T10:51:53Z"},
    ]
    with (drop.path / f"{VISIT}_defects.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(appointments[0]))
        writer.writeheader()
        writer.writerows(defects)
    _, findings = settle()
    assert [(f.check, f.partition, f.blocking) for f in findings] == [
        ("age_plausible", "2016-04", False),
        ("booked_before_visit", "2016-04", False),
    ]
    assert findings[0].rows == [{"age": "-1", "rows": 1}]
    assert query("select count(*), count(age) from clinic.fct_appointments") == [
        (len(appointments) + 2, len(appointments) + 1)
    ]
    missed = sum(row["No-show"] == "Yes" for row in appointments)
    assert query("select sum(not_attended) from clinic.agg_appointments_monthly") == [(missed,)]
    days = {row["AppointmentDay"][:10] for row in appointments}
    assert query("select count(distinct appointment_date) from clinic.fct_appointments") == [
        (len(days),)
    ]
    assert query("select count(*) from clinic.rejected_record") == [(0,)]


def test_the_test_of_reminders_loads(drop: Folder, real_data: Path) -> None:
    path = real_data / "clinic" / "cookie_cats.csv"
    shutil.copy(path, drop.path / f"{EVENT}_real.csv")
    with path.open(newline="") as file:
        players = list(csv.DictReader(file))
    _, findings = settle()
    test = sum(player["version"] == "gate_40" for player in players)
    control = len(players) - test
    (mismatch,) = findings
    assert (mismatch.check, mismatch.blocking) == ("groups_alike", False)
    assert (mismatch.rows[0]["test"], mismatch.rows[0]["control"]) == (test, control)
    assert float(mismatch.rows[0]["chi_square"]) == pytest.approx(
        (test - control) ** 2 / len(players), abs=0.01
    )
    expected = {
        ("reminder_sent", "Test"): test,
        ("reminder_sent", "Control"): control,
        **{
            (name, group): sum(
                player[column] == "TRUE" and player["version"] == gate for player in players
            )
            for name, column in (
                ("reminder_viewed", "retention_1"),
                ("attended_appointment", "retention_7"),
            )
            for group, gate in (("Test", "gate_40"), ("Control", "gate_30"))
        },
    }
    found = query(
        'select event_name, "group", sum(events), sum(patients) from clinic.agg_ab_funnel_daily'
        " group by all"
    )
    assert {(name, group): events for name, group, events, _ in found} == expected
    assert all(events == patients for _, _, events, patients in found)
    # As analyses of this set publish them: both versions keep fewer players, the new one fewest.
    compared = query(
        "select round(difference, 2), round(p_value, 4), refusal from clinic.ab_step_comparison"
        " where event_name <> 'appointment_confirmed' order by event_name"
    )
    assert [tuple(map(str, row)) for row in compared] == [
        ("-0.82", "0.0016", "None"),
        ("-0.59", "0.0744", "None"),
    ]


def test_groups_that_are_not_mapped_hold_the_month_back(drop: Folder, real_data: Path) -> None:
    """The same file under the clinic's own header: its groups are no groups of ours."""
    with (real_data / "clinic" / "cookie_cats.csv").open(newline="") as file:
        players = [row for _, row in zip(range(2000), csv.DictReader(file), strict=False)]
    drop.send(
        EVENT,
        [(p["userid"], p["version"], "reminder_sent", "2017-01-01 00:00:00") for p in players],
    )
    _, findings = settle(["ab_event"])
    (failure,) = findings
    assert (failure.check, failure.blocking) == ("group_share", True)
    counts = {row["value"]: row["rows"] for row in failure.rows}
    assert sum(counts.values()) == 2000
    assert counts["gate_30"] == sum(p["version"] == "gate_30" for p in players)

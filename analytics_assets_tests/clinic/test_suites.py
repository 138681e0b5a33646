"""The three suites: pass on good data, warn up to the threshold, fail below it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analytics_assets.warehouse.audit import Finding
from analytics_assets.warehouse.quarantine import Quarantine
from analytics_assets_tests.clinic.landed import (
    EVENT,
    PROFILE,
    TABLE,
    VISIT,
    Folder,
    build,
    event,
    lake,
    profile,
    query,
    settle,
    upstream,
    visit,
)

# Column -> feed, table, threshold in percent, and a row of a month with this value.
ENUMS = {
    "traffic_source": (
        PROFILE,
        "app_profile",
        95,
        lambda n, month, value: profile(n, value or "Direct"),
    ),
    "appointment_status": (
        VISIT,
        "appointment",
        95,
        lambda n, month, value: visit(n, f"{month}-{n % 5 + 1:02}", value or "Attended"),
    ),
    "group": (
        EVENT,
        "ab_event",
        95,
        lambda n, month, value: event(n, value or "Test", moment=f"{month}-{n % 5 + 1:02}"),
    ),
    "event_name": (
        EVENT,
        "ab_event",
        90,
        lambda n, month, value: event(n, name=value or "reminder_sent", moment=f"{month}-01"),
    ),
}


@pytest.mark.parametrize("column", ENUMS)
def test_a_share_of_values(drop: Folder, column: str) -> None:
    feed, name, percent, row = ENUMS[column]
    table = TABLE[name]

    def judge(month: str, bad: int) -> list[Finding]:
        values = ["wrong", "Other", *["wrong"] * bad][:bad] + [""] * (100 - bad)
        drop.send(feed, [row(n, month, value) for n, value in enumerate(values)], month)
        findings = build(table, ["all" if feed == PROFILE else month]).findings
        return [found for found in findings if found.check != "values_still_readable"]

    # Profiles have no months: a value that was good would be held back for being lost.
    assert feed == PROFILE or judge("2025-03", 0) == []
    live = lake().files(table)
    (warning,) = judge("2025-04", 100 - percent)
    assert (warning.check, warning.blocking) == (f"{column}_values", False)
    assert lake().files(table) != live
    counts = {found["value"]: found["rows"] for found in warning.rows}
    assert counts == {"wrong": 99 - percent, "aaaaa": 1}
    live = lake().files(table)
    (failure,) = judge("2025-05", 101 - percent)
    assert (failure.check, failure.blocking) == (f"{column}_share", True)
    assert {found["value"]: found["rows"] for found in failure.rows} == {
        "wrong": 100 - percent,
        "aaaaa": 1,
    }
    assert f"wrong: {100 - percent}" in failure.message
    assert lake().files(table) == live
    assert held_back(name) == [(101 - percent,)]


def test_a_month_is_released_when_it_is_mended(drop: Folder) -> None:
    rows = [visit(n, f"2025-03-{n % 10 + 1:02}") for n in range(100)]
    drop.send(VISIT, rows)
    settle(["appointment"])
    more = [visit(n, f"2025-03-{n % 10 + 1:02}") for n in range(100, 105)]
    drop.send(VISIT, [(*row[:-1], "Perhaps") for row in more], "_worse")
    settle(["appointment"])
    drop.send(VISIT, [visit(109, "2025-03-10", "Perhaps")], "_still_worse")
    _, (failure,) = settle(["appointment"])
    assert failure.check == "appointment_status_share"
    # Those that are live already hold it back, too.
    assert held_back("appointment") == [(6,)]
    drop.send(VISIT, more, "_mended")
    _, (warning,) = settle(["appointment"])
    assert warning.message.count("aaaaaaa: 1") == 1
    assert Quarantine(lake(), TABLE["appointment"]).files() == {}


def held_back(name: str) -> list[tuple]:
    select = Quarantine(lake(), TABLE[name]).select_sql()
    return query(f"select count(*) from ({select})")


def test_a_corrected_day_is_judged_with_its_month(drop: Folder) -> None:
    """One row in ten of a day is bad, one in a hundred of its month."""
    rows = [visit(n, f"2025-03-{n % 10 + 1:02}") for n in range(100)]
    drop.send(VISIT, rows)
    settle(["appointment"])
    drop.send(VISIT, [visit(103, "2025-03-04", "Perhaps")], "_correction")
    (finding,) = build(TABLE["appointment"], ["2025-03"]).findings
    assert not finding.blocking
    assert finding.rows[0]["of_rows"] == 101


def test_a_blank_is_no_status(drop: Folder) -> None:
    drop.send(VISIT, [visit(n, status="" if n < 4 else "Attended") for n in range(100)])
    (finding,) = build(TABLE["appointment"], ["2025-03"]).findings
    assert "(blank): 4" in finding.message


def test_a_patient_is_never_missing(drop: Folder) -> None:
    drop.send(VISIT, [visit(1), ["", *visit(1)[1:]]])
    drop.send(PROFILE, [profile(1), ["", "Direct", ""]])
    drop.send(EVENT, [event(1), ["", *event(1)[1:]]])
    _, findings = settle(["appointment", "app_profile", "ab_event"])
    assert [(f.check, f.blocking) for f in findings] == [("contract", True)] * 3
    assert all("patient_id is missing: 1 rows" in finding.summary for finding in findings)


def test_bad_records_are_reported(drop: Folder) -> None:
    header = ("patient_id", "age", "gender", "doctor_name", "appointment_reason")
    header += ("appointment_date", "appointment_status", "booked_at")
    rows = [[*visit(1, age="-1"), "2025-03-05 10:00:00"], [*visit(2), "2025-03-04 10:00:00"]]
    drop.send(VISIT, rows, header=header)
    drop.send(EVENT, [event(1), event(1, "Control", "attended_appointment"), event(2)])
    _, findings = settle()
    assert sorted(finding.check for finding in findings) == [
        "age_plausible",
        "booked_before_visit",
        "one_group_a_patient",
    ]
    assert not any(finding.blocking for finding in findings)
    assert query("select age from clinic.fct_appointments order by age") == [(40,), (None,)]


def test_patients_are_known(drop: Folder) -> None:
    drop.send(PROFILE, [profile(n) for n in range(58)])
    drop.send(VISIT, [visit(n) for n in range(59)] + [visit(n, "2025-03-05") for n in range(61)])
    _, findings = settle()
    (warning, failure) = sorted(findings, key=lambda finding: finding.partition)
    assert (warning.check, warning.partition) == ("patients_known_values", "2025-03-04")
    assert warning.rows[0]["rows"] == 1
    # 3 of 61 are fewer than 5 %.
    assert (failure.check, failure.blocking) == ("patients_known_values", False)
    drop.send(VISIT, [visit(n, "2025-03-06") for n in range(50, 62)], "_more")
    _, findings = settle()
    assert ("patients_known_share", True) in [(f.check, f.blocking) for f in findings]


def test_rows_are_as_many_in_source_staging_and_marts(drop: Folder) -> None:
    drop.send(PROFILE, [profile(n) for n in range(7)])
    drop.send(VISIT, [visit(n, f"2025-03-{n + 1:02}") for n in range(7)] + [visit(1, "2025-03-02")])
    drop.send(EVENT, [event(n) for n in range(5)])
    settle()
    for layers in (
        ("app_profile", "stg_app_profile", "dim_patient_from_app_profiles"),
        ("appointment", "stg_appointment", "fct_appointments"),
        ("ab_event", "stg_ab_event", "fct_ab_events"),
    ):
        counts = {query(f"select count(*) from clinic.{name}")[0][0] for name in layers}
        assert len(counts) == 1
        assert counts.pop() >= 5


@pytest.mark.parametrize(
    "name", ["stg_app_profile", "stg_ab_event", "fct_appointments", "dim_patient_from_app_profiles"]
)
def test_a_lost_row_holds_a_table_back(drop: Folder, name: str) -> None:
    drop.send(PROFILE, [profile(n) for n in range(3)])
    drop.send(VISIT, [visit(n) for n in range(3)])
    drop.send(EVENT, [event(n) for n in range(3)])
    table = TABLE[name]
    settle(upstream(table))
    assert table.sql
    lossy = replace(table, sql=f"select * from ({table.sql}) limit 2")
    partition = {"stg_ab_event": "2025-03-03", "fct_appointments": "2025-03-04"}.get(name, "all")
    (finding,) = build(lossy, [partition]).findings
    assert (finding.check, finding.blocking) == ("reconciles", True)
    assert "3 rows read, 2 written" in finding.summary


def test_volume_knows_the_day_of_the_week(drop: Folder) -> None:
    """Six rows are usual for a Sunday, and none too many for a Monday of thirty."""
    rows = []
    for number in range(36):
        day = 1 + number
        date = f"2025-{3 + (day > 31):02}-{day - 31 * (day > 31):02}"
        sunday = number % 7 == 1
        rows += [visit(n, date) for n in range(6 if sunday else 30)]
    drop.send(VISIT, rows)
    settle(["appointment", "stg_appointment"])
    # A second Monday's worth of rows on a Sunday, and a Sunday's on a Monday.
    drop.send(VISIT, [visit(n, "2025-03-16") for n in range(30)], "_sunday")
    _, findings = settle(["appointment", "stg_appointment"])
    assert [(f.check, f.partition, f.blocking) for f in findings] == [
        ("volume", "2025-03-16", False)
    ]

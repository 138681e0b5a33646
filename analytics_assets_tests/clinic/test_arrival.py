"""Files that come again, corrected, doubled, late, damaged or gone."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from analytics_assets.core.source import SourceError
from analytics_assets.landing import reading
from analytics_assets_tests.clinic.landed import (
    EVENT,
    PROFILE,
    TABLE,
    VISIT,
    Folder,
    behind,
    build,
    days_of,
    event,
    profile,
    query,
    settle,
    visit,
)

STATUSES = "select appointment_date, appointment_status, count(*) from clinic.fct_appointments"


def statuses() -> list[tuple]:
    return query(f"{STATUSES} group by all order by all")


def send_all(drop: Folder) -> None:
    drop.send(PROFILE, [profile(n) for n in range(6)])
    drop.send(
        VISIT,
        [visit(n, f"2025-03-{day:02}") for n in range(6) for day in (3, 4, 5)]
        + [visit(0, "2025-04-01")],
    )
    drop.send(EVENT, [event(n) for n in range(6)])


def test_a_file_sent_twice_changes_nothing(drop: Folder) -> None:
    send_all(drop)
    _, findings = settle()
    assert findings == []
    assert behind() == []
    for path in sorted(drop.path.iterdir()):
        drop.touch(path)
        copy = path.with_name(f"{path.stem}_again.csv")
        copy.write_bytes(path.read_bytes())
        drop.touch(copy)
    assert behind() == []


def test_lines_in_another_order_change_nothing(drop: Folder) -> None:
    drop.send(PROFILE, [profile(n) for n in range(6)])
    settle(["app_profile"])
    drop.send(PROFILE, [profile(n) for n in reversed(range(6))])
    assert behind([TABLE["app_profile"]]) == []


def test_a_corrected_status_touches_its_day_and_its_month_only(drop: Folder) -> None:
    send_all(drop)
    settle()
    before = {name: days_of(name) for name in TABLE}
    drop.send(VISIT, [visit(1, "2025-03-04", "Not Attended")], "_correction")
    assert behind() == [("appointment", "2025-03")]
    changed, _ = settle()
    assert changed == {
        "appointment": ["2025-03"],
        "stg_appointment": ["2025-03-04"],
        "fct_appointments": ["2025-03-04"],
        "agg_appointments_daily": ["2025-03-04"],
        "agg_appointments_monthly": ["2025-03"],
    }
    moved = {
        key for key, uri in days_of("appointment").items() if before["appointment"].get(key) != uri
    }
    assert moved == {"2025-03-04"}
    assert (date(2025, 3, 4), "Not Attended", 1) in statuses()
    assert query("select sum(not_attended) from clinic.agg_appointments_monthly") == [(1,)]


def test_the_file_that_came_last_counts(drop: Folder) -> None:
    drop.send(VISIT, [visit(1, status="Attended")], "_z")
    drop.send(VISIT, [visit(1, status="Not Attended")], "_a")
    settle()
    assert statuses() == [(date(2025, 3, 4), "Not Attended", 1)]


def test_of_files_that_came_at_once_the_last_by_name_counts(drop: Folder) -> None:
    first = drop.send(VISIT, [visit(1, status="Attended")], "_b")
    second = drop.send(VISIT, [visit(1, status="Not Attended")], "_a")
    for path in (first, second):
        os.utime(path, (1_750_000_000, 1_750_000_000))
    settle()
    assert statuses() == [(date(2025, 3, 4), "Attended", 1)]


def test_what_came_last_stands_though_it_was_there_before(drop: Folder) -> None:
    first = drop.send(VISIT, [visit(1), visit(2)])
    settle(["appointment"])
    drop.send(VISIT, [visit(1, status="Not Attended")], "_correction")
    settle(["appointment"])
    drop.touch(first)
    settle(["appointment"])
    assert query("select distinct appointment_status from clinic.appointment") == [("Attended",)]
    drop.touch(first)
    assert behind([TABLE["appointment"]]) == []


def test_what_was_landed_stays_when_its_file_is_gone(drop: Folder) -> None:
    gone = drop.send(VISIT, [visit(1), visit(2, "2025-04-01")])
    drop.send(VISIT, [visit(3)], "_later")
    settle(["appointment"])
    before = days_of("appointment")
    gone.unlink()
    settle(["appointment"])
    assert days_of("appointment") == before
    assert behind([TABLE["appointment"]]) == []
    drop.send(VISIT, [visit(4)], "_later")
    settle(["appointment"])
    assert query("select count(*) from clinic.appointment") == [(4,)]


def test_spellings_of_a_doctor_are_one_appointment(drop: Folder) -> None:
    drop.send(VISIT, [visit(1, doctor="Dr.David"), visit(2, doctor="dr  David")])
    drop.send(VISIT, [visit(1, status="Not Attended")], "_correction")
    settle()
    assert query(
        "select doctor_name, appointment_status from clinic.fct_appointments order by 2"
    ) == [("Dr. David", "Attended"), ("Dr. David", "Not Attended")]


def test_duplicates_inside_a_file_are_counted_and_the_last_line_counts(drop: Folder) -> None:
    drop.send(VISIT, [visit(1), visit(1), visit(2), visit(1, status="Not Attended"), visit(3)])
    drop.send(PROFILE, [profile(1), profile(1, "Referral")])
    settle(["app_profile"])
    report = build(TABLE["appointment"], ["2025-03"]).reports["2025-03"]
    counted = {name: report[f"rows {name}"] for name in ("offered", "landed", "repeated")}
    assert counted == {"offered": 5, "landed": 3, "repeated": 2}
    settle()
    assert statuses() == [
        (date(2025, 3, 4), "Attended", 2),
        (date(2025, 3, 4), "Not Attended", 1),
    ]
    assert query("select traffic_source from clinic.dim_patient_from_app_profiles") == [
        ("Referral",)
    ]


def test_a_new_profile_touches_the_days_of_its_patient_only(drop: Folder) -> None:
    send_all(drop)
    drop.send(VISIT, [visit(9, "2025-04-02")], "_unknown")
    settle()
    drop.send(PROFILE, [profile(9, "Referral")], "_more")
    changed, _ = settle()
    assert changed["patient_day"] == ["all"]
    assert changed["fct_appointments"] == ["2025-04-02"]
    assert "fct_ab_events" not in changed
    assert behind() == []


def test_what_cannot_be_landed_is_named(drop: Folder) -> None:
    bad = [visit(2, "31/02/2025"), visit(3, "1999-12-31"), ["4", "40"]]
    drop.send(VISIT, [visit(1), *bad, *(visit(n) for n in range(5, 65))])
    drop.send(PROFILE, [["1"]], header=["number"])
    (drop.path / "notes.txt").write_text("hello")
    _, findings = settle()
    assert [finding.check for finding in findings] == ["rejected_share", "files_landed"]
    assert not any(finding.blocking for finding in findings)
    found = query("select feed, file, file_row, reason from clinic.rejected_record order by all")
    assert [row[:2] for row in found] == [
        ("", "notes.txt"),
        ("app_profile", "app_data.csv"),
        *[("appointment", "appointments_data.csv")] * 3,
    ]
    assert "lacks patient_id, traffic_source, device" in found[1][3]
    assert [row[2:] for row in found[2:]] == [
        (2, "appointment_date is no date"),
        (3, "appointment_date is before 2000-01-01"),
        (5, "the line cannot be split into the columns of the header"),
    ]
    assert query("select count(*) from clinic.fct_appointments") == [(61,)]


def test_a_day_to_come_is_landed_when_it_has_come(
    drop: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "today", lambda: date(2025, 3, 4))
    drop.send(VISIT, [visit(1), visit(1, "2025-03-05")])
    drop.send(VISIT, [visit(1, status="Not Attended")], "_correction")
    settle()
    assert query("select reason from clinic.rejected_record") == [("the day has not come yet",)]
    monkeypatch.setattr(reading, "today", lambda: date(2025, 3, 5))
    assert behind() == [("appointment", "2025-03"), ("rejected_record", "all")]
    settle()
    assert statuses() == [
        (date(2025, 3, 4), "Not Attended", 1),
        (date(2025, 3, 5), "Attended", 1),
    ]
    assert query("select count(*) from clinic.rejected_record") == [(0,)]


def test_a_missing_folder_is_named(drop: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLINIC_SOURCE", str(drop.path / "nowhere"))
    with pytest.raises(SourceError, match="CLINIC_SOURCE"):
        TABLE["appointment"].source.inputs()


def test_a_file_that_is_no_text_holds_back_nothing_else(drop: Folder) -> None:
    drop.send(VISIT, [visit(1)])
    (drop.path / "appointments_data_x.csv").write_bytes(b"\xff\xfe\x00\x01")
    settle()
    assert query("select count(*) from clinic.fct_appointments") == [(1,)]
    ((file, reason),) = query("select file, reason from clinic.rejected_record")
    assert file == "appointments_data_x.csv"
    assert "UTF-8" in reason


_ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["03", "04"]), st.sampled_from("AN")), max_size=6
)
_DELIVERIES = st.lists(st.tuples(_ROWS, st.booleans()), min_size=1, max_size=5)


@hypothesis_settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(_DELIVERIES)
def test_each_row_is_as_the_last_file_has_it(tmp_path_factory, deliveries) -> None:
    """However many files were landed at once: the law of an upsert."""
    folder: Path = tmp_path_factory.mktemp("law")
    expected: dict[tuple[int, str], str] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANALYTICS_HOME", str(folder / "home"))
        patch.setenv("CLINIC_SOURCE", str(folder / "drop"))
        drop = Folder(folder / "drop")
        for number, (rows, land_now) in enumerate(deliveries):
            expected.update({(patient, day): status for patient, day, status in rows})
            lines = [visit(p, f"2025-03-{day}", status) for p, day, status in rows]
            drop.send(VISIT, lines, f"_{9 - number}")
            if land_now:
                land_without_checks()
        land_without_checks()
        found = query("select patient_id, day, appointment_status from clinic.appointment")
    assert {(int(patient), f"{day:%d}"): status for patient, day, status in found} == expected


def land_without_checks() -> None:
    appointment = replace(TABLE["appointment"], checks=())
    settle(tables=[appointment])

"""Files of the clinic that people sent, with their right values."""

from __future__ import annotations

import os
import shutil
from datetime import date
from pathlib import Path

from analytics_assets.warehouse.audit import Finding
from analytics_assets_tests.cases import case
from analytics_assets_tests.clinic.landed import (
    PROFILE,
    TABLE,
    VISIT,
    Folder,
    behind,
    profile,
    query,
    settle,
    visit,
)

_HEADER = (
    *("patient_id", "age", "gender", "doctor_name", "appointment_reason"),
    *("appointment_date", "appointment_status", "appointment_number"),
)


def bring(drop: Folder, name: str) -> None:
    """Copy the files of a case, in the order of their names."""
    for path in sorted(case(name).rglob("*.csv")):
        drop.touch(Path(shutil.copyfile(path, drop.path / path.name)))


def appointments() -> list[tuple]:
    return query(
        "select appointment_date, doctor_name, appointment_status from clinic.fct_appointments"
        " order by all"
    )


def blocking(findings: list[Finding]) -> list[str]:
    return [finding.check for finding in findings if finding.blocking]


def test_a_moved_appointment_is_one(drop: Folder) -> None:
    bring(drop, "other/19_clinic_moved_appointment")
    settle()
    assert appointments() == [(date(2025, 3, 11), "Dr. David", "Attended")]


def test_what_has_a_number_is_that_number_whatever_is_corrected(drop: Folder) -> None:
    """Day, month, doctor, reason and patient; landed at each step, as the sender overwrites it."""
    first = (*visit(1), "5001")
    for row in (
        first,
        (*visit(1, "2025-04-02", doctor="Dr. Ann"), "5001"),
        (*visit(2, "2025-03-04", reason="Cough"), "5001"),
    ):
        drop.send(VISIT, [row, (*visit(7, "2025-05-01"), "6001")], header=_HEADER)
        settle()
        (found, other) = appointments()
        assert (f"{found[0]}", found[1]) == (row[5], row[3])
        assert other[0] == date(2025, 5, 1)
    assert behind() == []
    drop.send(VISIT, [visit(1, status="Not Attended"), visit(2)], "_without_number")
    settle()
    assert len(appointments()) == 4


def test_patients_that_were_rounded_are_refused(drop: Folder) -> None:
    bring(drop, "other/21_clinic_rounded_ids")
    _, findings = settle()
    assert blocking(findings) == ["rejected_share"]
    assert "patient_id was rounded by a spreadsheet" in findings[0].message
    assert query("select count(*) from clinic.appointment") == [(0,)]
    assert len(query("select 1 from clinic.rejected_record where file_row is not null")) == 2


def test_names_go_by_the_numbers_in_them(drop: Folder) -> None:
    bring(drop, "more/08_clinic_names_in_number_order")
    for path in drop.path.iterdir():
        os.utime(path, (1_750_000_000, 1_750_000_000))
    settle()
    assert appointments() == [(date(2024, 4, 4), "Dr. Lima", "Attended")]


def test_nul_in_a_name_loses_no_appointment(drop: Folder) -> None:
    bring(drop, "other/09_nul_in_text/clinic")
    _, findings = settle()
    assert findings == []
    assert [row[1] for row in appointments()] == ["Dr. Ann", "Dr. David"]


def test_a_reason_that_is_too_long_holds_nothing_else_back(drop: Folder) -> None:
    bring(drop, "other/25_clinic_long_reason")
    drop.send(PROFILE, [profile(n) for n in range(20)], "_more")
    drop.send(VISIT, [visit(n, "2025-03-05") for n in range(20)], "_more")
    _, findings = settle()
    assert blocking(findings) == []
    (found,) = query("select reason from clinic.rejected_record where file_row is not null")
    assert found == ("appointment_reason has more than 500 characters",)
    assert query("select max(length(appointment_reason)) < 500 from clinic.appointment") == [
        (True,)
    ]


def test_a_value_that_goes_back_stands(drop: Folder) -> None:
    for number, status in enumerate(("Attended", "Not Attended", "Attended")):
        drop.send(VISIT, [visit(1, status=status)], f"_{number}")
        settle(["appointment"])
    assert query("select appointment_status from clinic.appointment") == [("Attended",)]
    assert behind([TABLE["appointment"]]) == []

"""Texts of any kind in every free text column, up to what readers get."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from analytics_assets.definitions import build
from analytics_assets.domains.clinic.tables import TABLES
from analytics_assets_tests.clinic.landed import HEADERS, PROFILE, VISIT, profile, visit
from analytics_assets_tests.conftest import make_workspace
from analytics_assets_tests.workspace import failures

# As a file has it, and as readers get it.
_TEXTS = {
    "Dr. Nu\0l": "Dr. Nul",
    'Dr. "Quote" \'s': 'Dr. "Quote" \'s',
    "Dr. \u202eright to left\u202c \u05d0\u05d1": "Dr. \u202eright to left\u202c \u05d0\u05d1",
    "Dr. e\u0301": "Dr. e\u0301",
    "Dr. \u00e9": "Dr. \u00e9",
    "Dr. \U0001f600 \ufffd": "Dr. \U0001f600 \ufffd",
    "Dr. \\u0000 \\N \\": "Dr. \\u0000 \\N \\",
    "Dr. ; | , %s {} $$": "Dr. ; | , %s {} $$",
}
_LONG = "x" * 100_000


@pytest.mark.slow
def test_any_text_is_promoted_and_a_long_one_is_rejected_alone(
    tmp_path: Path, postgres: str
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        for workspace in make_workspace(tmp_path, postgres, monkeypatch):
            drop = tmp_path / "drop"
            drop.mkdir()
            monkeypatch.setenv("CLINIC_SOURCE", str(drop))
            people = range(60)
            visits = [
                visit(n, doctor=odd, reason=odd) for n, odd in zip(people, _TEXTS, strict=False)
            ]
            visits += [visit(n) for n in people[len(_TEXTS) :]]
            _write(drop, VISIT, [*visits, visit(0, reason=_LONG)])
            _write(drop, PROFILE, [profile(n, device=odd) for n, odd in enumerate(_TEXTS)])
            _write(drop, f"{PROFILE}_more", [profile(n) for n in people[len(_TEXTS) :]])
            assert failures(workspace.refresh(build(TABLES), TABLES)) == []
            found = workspace.production(
                "select doctor_name, appointment_reason from clinic.agg_appointments_daily"
                " where doctor_name <> 'Dr. David'"
            )
            rejected = workspace.warehouse("select reason from clinic.rejected_record")
    assert sorted(found) == sorted((text, text) for text in _TEXTS.values())
    assert rejected == [("appointment_reason has more than 500 characters",)]


def _write(drop: Path, name: str, rows: list) -> None:
    with (drop / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEADERS[name.removesuffix("_more")], *rows])

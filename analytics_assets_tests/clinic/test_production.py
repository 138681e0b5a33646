"""What readers get: the brief's queries, attendance, and no patient unasked."""

from __future__ import annotations

import hashlib
import hmac
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from analytics_assets.core.declaration import Table
from analytics_assets.definitions import build
from analytics_assets.domains.clinic.sample import generate
from analytics_assets.domains.clinic.sources import KEY
from analytics_assets.domains.clinic.tables import TABLES, agg_ab_funnel_daily
from analytics_assets_tests.clinic.landed import TABLE
from analytics_assets_tests.conftest import make_workspace
from analytics_assets_tests.workspace import Workspace, failures, materialised

DAYS = 8


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[Workspace]:
    """Eight days of the sample, built and promoted by the real definitions."""
    folder = tmp_path_factory.mktemp("clinic")
    with pytest.MonkeyPatch.context() as monkeypatch:
        for workspace in make_workspace(folder, postgres, monkeypatch):
            monkeypatch.setenv("CLINIC_SOURCE", str(folder / "drop"))
            monkeypatch.delenv("CLINIC_PSEUDONYM_KEY", raising=False)
            generate(folder / "drop", days=DAYS, patients=150)
            assert failures(workspace.refresh(build(TABLES), TABLES)) == []
            yield workspace


def files() -> dict[str, list[list[str]]]:
    folder = Path(os.environ["CLINIC_SOURCE"])
    return {
        path.stem: [line.split(",") for line in path.read_text().splitlines()[1:]]
        for path in sorted(folder.glob("*.csv"))
    }


def test_row_counts(promoted: Workspace) -> None:
    """The brief's first query, on the sources; the marts that are promoted have as many rows."""
    counts = promoted.warehouse(
        "select 'app_profile' as tbl, count(*) from clinic.app_profile"
        " union all select 'appointment', count(*) from clinic.appointment"
        " union all select 'ab_event', count(*) from clinic.ab_event"
    )
    drawn = files()
    visits = drawn["appointments_data"]
    assert dict(counts) == {
        "app_profile": len(drawn["app_data"]),
        # One line is doubled, one has no date.
        "appointment": len(visits) - 2,
        "ab_event": len(drawn["ab_test_data"]),
    }
    found = promoted.production(
        "select 'app_profile' as tbl, count(*) from dim_patient_from_app_profiles"
        " union all select 'appointment', count(*) from fct_appointments"
        " union all select 'ab_event', count(*) from fct_ab_events"
    )
    assert dict(found) == dict(counts)


def test_the_queries_on_marts(promoted: Workspace) -> None:
    patients = promoted.production("select * from dim_patient_from_app_profiles limit 5")
    assert len(patients) == 5
    visits = promoted.production("select * from fct_appointments limit 5")
    assert len(visits) == 5
    key = KEY.file().read_text().encode()
    known = {
        hmac.new(key, row[0].encode(), hashlib.sha256).hexdigest()[:32]: row
        for row in files()["app_data"]
    }
    for patient, source, device, system, version in patients:
        assert source in (known[patient][1], None)
        assert device == f"{system} {version}"


def test_attendance_is_that_of_the_file(promoted: Workspace) -> None:
    visits = {tuple(row) for row in files()["appointments_data"] if "/" not in row[5]}
    attended = sum(row[6] == "Attended" for row in visits)
    for table in ("agg_appointments_daily", "agg_appointments_monthly"):
        ((total, came, rate),) = promoted.production(
            "select sum(appointments), sum(attended),"
            f" round(100.0 * sum(attended) / sum(status_known), 4) from {table}"
        )
        assert (total, came) == (len(visits), attended)
        assert 70 < rate < 90
    names = {row[0] for row in promoted.production("select doctor_name from fct_appointments")}
    assert names == {"Dr. David", "Dr. Amara", "Dr. Chen", "Dr. Ruiz", "Dr. Novak"}


def test_the_funnel_says_that_it_is_biased(promoted: Workspace) -> None:
    ((comment,),) = promoted.production(
        "select obj_description('clinic.agg_ab_funnel_daily'::regclass)"
    )
    assert comment == agg_ab_funnel_daily.description
    assert "Biased" in comment
    assert promoted.production(
        "select distinct event_name from agg_ab_funnel_daily where \"group\" = 'Control'"
    ) == [("attended_appointment",)]


def test_patients_are_nowhere_but_in_the_lake(
    promoted: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    ids = {row[0] for row in files()["app_data"]} | {"999999"}
    tables = [
        row[0]
        for row in promoted.production(
            "select table_name from information_schema.tables where table_schema = 'clinic'"
        )
    ]
    assert len(tables) == 6
    for table in tables:
        values = promoted.production(f'select * from clinic."{table}"')
        assert not {str(value) for row in values for value in row} & ids
    events = "".join(
        entry.to_json()
        for run in promoted.instance.get_runs()
        for entry in promoted.instance.all_logs(run.run_id)
    )
    configs = repr([run.run_config for run in promoted.instance.get_runs()])
    key = KEY.file().read_text()
    for text in (events, configs, caplog.text):
        assert key not in text
        assert not [one for one in ids if f'"{one}"' in text or f"| {one} |" in text]


def marts(tables: Sequence[Table]) -> set[tuple]:
    """How each mart holds and publishes its patients."""
    return {
        (t.publish.personal, c.personal, "patient_id as patient_id" in t.sql)
        for t in tables
        for c in t.columns
        if t.layer == "marts" and c.name == "patient_id" and t.publish and t.sql
    }


def test_ids_are_promoted_only_when_switched_on() -> None:
    """The switch is read when the code location is loaded, so another process has it on."""
    assert marts(TABLES) == {("refused", False, False)}
    code = (
        "from analytics_assets.domains.clinic.tables import TABLES\n"
        "from analytics_assets_tests.clinic.test_production import marts\n"
        "assert marts(TABLES) == {('promoted', True, True)}, marts(TABLES)\n"
    )
    switched = {**os.environ, "CLINIC_PUBLISH_PATIENT_IDS": "1"}
    subprocess.run([sys.executable, "-c", code], env=switched, check=True)


def test_a_corrected_status_reaches_production(promoted: Workspace) -> None:
    day = "2025-01-07"
    row = next(row for row in files()["appointments_data"] if row[5] == day)
    status = "Not Attended" if row[6] == "Attended" else "Attended"
    before = promoted.production(
        f"select appointment_status, count(*) from fct_appointments"
        f" where appointment_date = '{day}' group by 1"
    )
    folder = Path(os.environ["CLINIC_SOURCE"])
    (folder / "appointments_data_correction.csv").write_text(
        ",".join(TABLE["appointment"].source.feed.layouts[0].header)
        + "\n"
        + ",".join([*row[:6], status])
        + "\n"
    )
    definitions = build(TABLES)
    ran = promoted.refresh(definitions, TABLES)
    assert failures(ran) == []
    whole = {("clinic/patient_day", "all")}
    assert materialised(ran) - whole == {
        ("clinic/appointment", "2025-01"),
        *[
            (f"{prefix}clinic/{name}", key)
            for name, key in (
                ("fct_appointments", day),
                ("agg_appointments_daily", day),
                ("agg_appointments_monthly", "2025-01"),
            )
            for prefix in ("", "production/")
        ],
        ("clinic/stg_appointment", day),
    }
    after = dict(
        promoted.production(
            f"select appointment_status, count(*) from fct_appointments"
            f" where appointment_date = '{day}' group by 1"
        )
    )
    assert after[status] == dict(before).get(status, 0) + 1
    assert promoted.refresh(definitions, TABLES) == []

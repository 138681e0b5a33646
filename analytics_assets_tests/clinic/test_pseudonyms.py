"""The keyed hash of a patient: stable, different by key, and the key nowhere to be seen."""

from __future__ import annotations

import hashlib
import hmac
import stat

import pytest

from analytics_assets.core.source import SourceError
from analytics_assets.domains.clinic.sources import KEY as OWN
from analytics_assets_tests.clinic.landed import (
    EVENT,
    PROFILE,
    VISIT,
    Folder,
    behind,
    event,
    profile,
    query,
    settle,
    visit,
)

KEY = "0123456789abcdef-a-key-for-tests"
IDS = "select patient_id from clinic.dim_patient_from_app_profiles order by 1"


def hashed(patient: str, key: str) -> str:
    return hmac.new(key.encode(), patient.encode(), hashlib.sha256).hexdigest()[:32]


@pytest.mark.parametrize("key", [KEY, "long " * 30 + "key"])
def test_it_is_hmac_sha256(drop: Folder, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("CLINIC_PSEUDONYM_KEY", key)
    drop.send(PROFILE, [profile(1), profile(29872499824296)])
    drop.send(VISIT, [visit(1)])
    drop.send(EVENT, [event(1)])
    settle()
    assert query(IDS) == sorted([(hashed("1", key),), (hashed("29872499824296", key),)])
    for table in ("fct_appointments", "fct_ab_events"):
        assert query(f"select patient_id from clinic.{table}") == [(hashed("1", key),)]


def test_it_is_stable_and_differs_by_key(drop: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    drop.send(PROFILE, [profile(1)])
    drop.send(VISIT, [visit(1), visit(1, "2025-04-01")])
    settle()
    first = query(IDS)
    drop.send(VISIT, [visit(2)], "_more")
    settle()
    assert query(IDS) == first
    monkeypatch.setenv("CLINIC_PSEUDONYM_KEY", KEY)
    assert ("appointment", "2025-03") in behind()
    settle()
    assert behind() == []
    assert query(IDS) == [(hashed("1", KEY),)] != first
    assert query("select distinct patient_id from clinic.fct_appointments order by 1") == sorted(
        [(hashed("1", KEY),), (hashed("2", KEY),)]
    )
    monkeypatch.delenv("CLINIC_PSEUDONYM_KEY")
    settle()
    assert query(IDS) == first


def test_the_generated_key_is_its_owners_alone(drop: Folder) -> None:
    drop.send(PROFILE, [profile(1)])
    settle()
    path = OWN.file()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text()) == 64
    assert [other.name for other in path.parent.glob(".clinic*")] == []


def test_a_weak_key_is_refused(drop: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLINIC_PSEUDONYM_KEY", "secret")
    with pytest.raises(SourceError, match="at least 16") as caught:
        OWN.check_value()
    assert "secret" not in str(caught.value)

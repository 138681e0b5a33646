"""A drop folder and a home of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from analytics_assets_tests.clinic.landed import Folder


@pytest.fixture
def drop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CLINIC_SOURCE", str(tmp_path / "drop"))
    monkeypatch.delenv("CLINIC_PSEUDONYM_KEY", raising=False)
    return Folder(tmp_path / "drop")

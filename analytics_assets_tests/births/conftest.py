"""A landing folder with a published lake behind it, without Dagster and without production."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from analytics_assets_tests.births.landed import csv_text, land, records

GOOD = 40


@pytest.fixture(scope="session")
def _published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose lake holds 40 births of 2023 and 40 of 2024, and their landing folder."""
    folder = tmp_path_factory.mktemp("published")
    (folder / "landing").mkdir()
    for year in (2023, 2024):
        (folder / "landing" / f"SINASC_{year}.csv").write_text(csv_text(records(GOOD, year)))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("ANALYTICS_HOME", str(folder / "home"))
        monkeypatch.setenv("SINASC_SOURCE", str(folder / "landing"))
        assert not land([2023, 2024]).errors
    return folder


@pytest.fixture
def published(_published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A landing folder with the file of 2023; 40 births of 2023 and of 2024 are live."""
    shutil.copytree(_published, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SINASC_SOURCE", str(tmp_path / "landing"))
    (tmp_path / "landing" / "SINASC_2024.csv").unlink()
    return tmp_path / "landing"

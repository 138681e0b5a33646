"""A landing folder of workbooks with a lake behind it, and the same with production; no Dagster."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from analytics_assets.domains.bank_kpis.sample import generate
from analytics_assets_tests.bank_kpis.books import WIDE, Bank
from analytics_assets_tests.conftest import as_admin

BANKS = (40012, 40059, 40138, 40158)


@pytest.fixture
def bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bank:
    """An empty landing folder and an empty lake."""
    return Bank.at(tmp_path, monkeypatch)


@pytest.fixture
def wide(bank: Bank) -> Bank:
    """The same, of which the star is not built."""
    bank.tables = WIDE
    return bank


@pytest.fixture(scope="module")
def module_bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """The same, for tests that build once and then only read."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Bank.at(tmp_path_factory.mktemp("bank"), monkeypatch)


@pytest.fixture(scope="package")
def sound(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[tuple[Path, str]]:
    """Four banks, three months, built and promoted once: a folder and a database, to be copied."""
    folder, database = tmp_path_factory.mktemp("sound"), f"sound_{uuid4().hex}"
    as_admin(postgres, f"create database {database} owner promoter")
    with pytest.MonkeyPatch.context() as monkeypatch:
        bank = Bank.at(folder, monkeypatch)
        generate(bank.folder, months=3, banks=BANKS)
        assert not any(finding.blocking for finding in bank.build(run_id="first"))
        _point_at(monkeypatch, postgres, database)
        bank.promote()
    yield folder, database
    as_admin(postgres, f"drop database {database} with (force)")


@pytest.fixture(scope="module")
def module_promoted(sound: tuple[Path, str], postgres: str) -> Iterator[Bank]:
    """It itself, for tests that only read."""
    folder, database = sound
    with pytest.MonkeyPatch.context() as monkeypatch:
        _point_at(monkeypatch, postgres, database)
        yield Bank.at(folder, monkeypatch)


@pytest.fixture
def filled(sound: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bank:
    """A copy of it, without production."""
    shutil.copytree(sound[0], tmp_path, dirs_exist_ok=True)
    return Bank.at(tmp_path, monkeypatch)


@pytest.fixture
def promoted(
    sound: tuple[Path, str], postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bank]:
    """A copy of it."""
    folder, template = sound
    database = f"test_{uuid4().hex}"
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    as_admin(postgres, f"create database {database} owner promoter template {template}")
    _point_at(monkeypatch, postgres, database)
    yield Bank.at(tmp_path, monkeypatch)
    as_admin(postgres, f"drop database {database} with (force)")


def _point_at(monkeypatch: pytest.MonkeyPatch, postgres: str, database: str) -> None:
    monkeypatch.setenv("PRODUCTION_URL", f"postgresql://promoter@/{database}?host={postgres}")
    monkeypatch.setenv("DAGSTER_PG_URL", f"postgresql://dagster@/dagster?host={postgres}")

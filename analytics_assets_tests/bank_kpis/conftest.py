"""A landing folder of workbooks with a lake behind it, without Dagster and without production."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics_assets_tests.bank_kpis.books import Bank


@pytest.fixture
def bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bank:
    """An empty landing folder and an empty lake."""
    return Bank.at(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def module_bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """The same, for tests that build once and then only read."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Bank.at(tmp_path_factory.mktemp("bank"), monkeypatch)

"""What the tests of faults share: a shop, its home and production, and a checker of all three."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from analytics_assets_tests.faults.checker import Checker
from analytics_assets_tests.faults.runs import Runs
from analytics_assets_tests.faults.shop import Shop
from analytics_assets_tests.workspace import Workspace


@pytest.fixture
def seed() -> int:
    return int(os.environ.get("SEED") or 1)


@pytest.fixture
def shop(workspace: Workspace, seed: int, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setenv("TOY_SOURCE", str(workspace.source))
    # What a test restates is not for people to confirm.
    monkeypatch.setenv("PROMOTION_GATE_PERCENT", "100")
    return Shop(workspace.source, seed)


@pytest.fixture
def trials(postgres: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The database in which backups are verified."""
    url = f"postgresql://promoter@/analytics_restore?host={postgres}"
    monkeypatch.setenv("RESTORE_URL", url)
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("drop schema if exists toy, toy_store, promotion cascade")
    connection.close()
    return url


@pytest.fixture
def checker(shop: Shop, trials: str, workspace: Workspace) -> Checker:
    reader = os.environ["PRODUCTION_URL"].replace("promoter@", "dashboard_reader@")
    return Checker(Path(os.environ["ANALYTICS_HOME"]), shop.folder, reader, trials)


@pytest.fixture
def runs(shop: Shop, trials: str, tmp_path: Path) -> Iterator[Runs]:
    runs = Runs(tmp_path)
    yield runs
    runs.end()

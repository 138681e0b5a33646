"""Operational databases with a few made-up events in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from analytics_assets.domains.behavior.sample import generate
from analytics_assets_tests.behavior.database import Database
from analytics_assets_tests.conftest import as_admin


@pytest.fixture(scope="session")
def _template(postgres: str) -> str:
    """A database with 6 users in 12 days, to be copied."""
    as_admin(postgres, "create database few_events owner promoter")
    generate(f"postgresql://promoter@/few_events?host={postgres}", users=6, days=12, fewest=3)
    return "few_events"


@pytest.fixture
def database(
    _template: str, postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """Some 500 events of 12 days, and an empty lake."""
    name = f"events_{uuid4().hex}"
    as_admin(postgres, f"create database {name} template {_template} owner promoter")
    url = f"postgresql://promoter@/{name}?host={postgres}"
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BEHAVIOR_SOURCE_URL", url)
    yield Database(url)
    as_admin(postgres, f"drop database {name} with (force)")

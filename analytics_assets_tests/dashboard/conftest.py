"""The dashboard over a filled production database, served on a real port."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from analytics_assets import registry, settings
from analytics_assets.core.declaration import Table
from analytics_assets.dashboard.app import create_app
from analytics_assets.dashboard.declared import DomainPages
from analytics_assets.dashboard.settings import DashboardSettings
from analytics_assets.production.promotion import production_engine
from analytics_assets_tests.api.conftest import (  # noqa: F401
    Production,
    data,
    own_production,
    production,
    served,
    writer,
)
from analytics_assets_tests.api.filled import TABLES

OURS = DashboardSettings()


@contextmanager
def shown(
    database: Production,
    own: DashboardSettings = OURS,
    tables: Sequence[Table] = TABLES,
    pages: Mapping[str, DomainPages] | None = None,
) -> Iterator[httpx.Client]:
    """A client of a dashboard of its own."""
    declared = registry.pages() if pages is None else pages
    app = create_app(tables, declared, database.reader, own, settings.load())
    with served(app, own) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def dashboard(production: Production) -> Iterator[httpx.Client]:  # noqa: F811
    """For tests that only look."""
    with shown(production) as client:
        yield client


def page(client: httpx.Client, path: str, **asked: Any) -> str:
    """A page that is there."""
    answer = client.get(path, params=asked or None)
    assert answer.status_code == 200, answer.text
    return answer.text


def figures(text: str) -> list[Any]:
    """The figures of a page."""
    return [json.loads(one) for one in re.findall(r'data-figure="[^"]+">(.*?)</script>', text)]


def value_of(database: Production, sql: str) -> Any:
    """What production says itself."""
    with production_engine(database.promoter) as engine, engine.connect() as connection:
        return connection.scalar(sa.text(sql))

"""What the tests of production share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from analytics_assets import settings
from analytics_assets.production import server
from analytics_assets.production.promotion import production_engine
from analytics_assets_tests.workspace import Workspace


@pytest.fixture
def engine(workspace: Workspace) -> Iterator[sa.Engine]:
    """As the one who promotes, who owns everything in production."""
    with production_engine(server.urls(settings.load()).promoter) as engine:
        yield engine

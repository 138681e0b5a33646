"""A running UI for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics_assets_tests.integration.dagster_dev import (
    DagsterDev,
    dagster_dev,
    metadata_database,
)
from analytics_assets_tests.integration.landing import land_year
from analytics_assets_tests.workspace import Workspace


@pytest.fixture(scope="module")
def landed(module_workspace: Workspace) -> Path:
    """The one file in the module's landing folder."""
    return land_year(module_workspace.source)


@pytest.fixture(scope="module")
def dev(
    module_workspace: Workspace,
    landed: Path,
    postgres: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[DagsterDev]:
    """UI and daemon of the module's workspace; nothing is materialised yet."""
    home = tmp_path_factory.mktemp("dagster") / "home"
    with metadata_database(postgres) as url, dagster_dev(home, url) as running:
        yield running

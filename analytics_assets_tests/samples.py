"""The generated sample of a domain, built and promoted as a new user would have it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics_assets import registry
from analytics_assets.definitions import build
from analytics_assets_tests.workspace import Workspace, failures


def built_sample(name: str, postgres: str) -> Iterator[Workspace]:
    """A workspace of one domain alone, with no setting of its own."""
    from analytics_assets_tests.conftest import make_workspace

    domain = registry.domain(name)
    # The socket of the embedded server has a path of at most 107 bytes.
    with (
        tempfile.TemporaryDirectory(prefix="sample", dir="/tmp") as folder,
        pytest.MonkeyPatch.context() as monkeypatch,
    ):
        for workspace in make_workspace(Path(folder), postgres, monkeypatch):
            for setting in domain.settings:
                monkeypatch.delenv(setting.variable, raising=False)
            monkeypatch.setenv("ANALYTICS_DOMAINS", name)
            for sample in domain.samples:
                sample()
            workspace.definitions = build(domain.tables)
            ran = workspace.refresh(workspace.definitions, domain.tables)
            assert failures(ran) == []
            yield workspace

"""The whole OpenAPI document, tried by schemathesis with all its checks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

# Importing them registers them.
from analytics_assets_tests.api import schema_hooks

_HOOKS = schema_hooks.__name__
_FEW = settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="session")
def document(client: httpx.Client) -> dict[str, Any]:
    """All of it but cursors: a valid one is one that was given out (``test_lists.py``)."""
    found = client.get("/openapi.json").json()
    for methods in found["paths"].values():
        for operation in methods.values():
            parameters = operation.get("parameters", [])
            operation["parameters"] = [p for p in parameters if p["name"] != "cursor"]
    return found


@pytest.fixture(scope="session")
def few(document: dict[str, Any]) -> dict[str, Any]:
    """Of the lists that derive from declarations alone, which are alike, one of each domain."""
    lists = [path for path in document["paths"] if re.search(r"/tables/\w+\.\w+/rows$", path)]
    kept = {path.split(".")[0]: path for path in lists}.values()
    paths = {p: m for p, m in document["paths"].items() if p not in lists or p in kept}
    return {**document, "paths": paths}


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_route_keeps_its_contract(
    client: httpx.Client, few: dict[str, Any], mode: GenerationMode
) -> None:
    """A few valid, or invalid, requests of each route."""
    schema = schemathesis.openapi.from_dict(few)
    tried = set()
    for result in schema.get_all_operations():
        operation: Any = result.ok()

        @_FEW
        @given(case=operation.as_strategy(generation_mode=mode))
        def keeps_its_contract(case: schemathesis.Case) -> None:
            case.call_and_validate(base_url=str(client.base_url), timeout=60)

        # A route without parameters has no invalid request that the document can tell of.
        with suppress(Unsatisfiable):
            keeps_its_contract()
            tried.add(operation.label)
    assert len(tried) > 25


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_route_keeps_its_contract_for_long(
    client: httpx.Client, document: dict[str, Any], tmp_path: Path
) -> None:
    """Every phase of schemathesis' own runner."""
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    command = [os.path.join(os.path.dirname(sys.executable), "schemathesis"), "run"]
    command += [str(tmp_path / "openapi.json"), f"--url={client.base_url}", "--checks=all"]
    command += [f"--max-examples={os.environ.get('EXAMPLES') or 100}"]
    command += ["--seed=1", "--suppress-health-check=all", "--request-timeout=60"]
    ran = subprocess.run(
        command,
        env={**os.environ, "SCHEMATHESIS_HOOKS": _HOOKS},
        capture_output=True,
        text=True,
    )
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout[-20_000:]

"""The whole OpenAPI document, tried by schemathesis with all its checks."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
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


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_route_keeps_its_contract(client: httpx.Client, mode: GenerationMode) -> None:
    """A few valid, or invalid, requests of each route."""
    schema = schemathesis.openapi.from_url(f"{client.base_url}/openapi.json")
    tried = set()
    for result in schema.get_all_operations():
        operation: Any = result.ok()

        @_FEW
        @given(case=operation.as_strategy(generation_mode=mode))
        def keeps_its_contract(case: schemathesis.Case) -> None:
            case.call_and_validate(timeout=60)

        # A route without parameters has no invalid request that the document can tell of.
        with suppress(Unsatisfiable):
            keeps_its_contract()
            tried.add(operation.label)
    assert len(tried) > 25


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_route_keeps_its_contract_for_long(client: httpx.Client) -> None:
    """Every phase of schemathesis' own runner."""
    command = [os.path.join(os.path.dirname(sys.executable), "schemathesis"), "run"]
    command += [f"{client.base_url}/openapi.json", "--checks=all", "--max-examples=100"]
    command += ["--seed=1", "--suppress-health-check=all", "--request-timeout=60"]
    ran = subprocess.run(
        command,
        env={**os.environ, "SCHEMATHESIS_HOOKS": _HOOKS},
        capture_output=True,
        text=True,
    )
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout[-20_000:]

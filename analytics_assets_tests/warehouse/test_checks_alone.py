"""Checks run on their own, as the UI's "Execute" button asks for them."""

from __future__ import annotations

import dagster as dg

from analytics_assets.domains.births.sample import generate
from analytics_assets.domains.births.tables import agg_state_monthly
from analytics_assets_tests.workspace import Workspace, failures, with_upstream


def evaluate(workspace: Workspace, job: str, key: list[str]) -> dict[str, bool]:
    selection = dg.AssetSelection.checks_for_assets(dg.AssetKey(key))
    definitions = dg.Definitions.merge(
        workspace.definitions,
        dg.Definitions(jobs=[dg.define_asset_job("only_checks", selection=selection)]),
    )
    result = definitions.resolve_job_def("only_checks").execute_in_process(
        instance=workspace.instance
    )
    assert result.success
    return {found.check_name: found.passed for found in result.get_asset_check_evaluations()}


def test_what_is_live_is_judged_again(workspace: Workspace) -> None:
    generate(workspace.source, births=600, states=("AC",), first_year=2024, years=1, dbf_years=0)
    assert not failures(workspace.refresh(tables=with_upstream(agg_state_monthly)))
    before = workspace.versions()
    assert evaluate(workspace, "births_monthly", ["births", "agg_state_monthly"]) == {
        "contract": True, "reconciles": True,
    }  # fmt: skip
    assert evaluate(workspace, "births_monthly", ["births", "fact_births"]) == {
        "contract": True, "reconciles": True, "values_readable": True,
        "values_still_readable": True, "volume": True,
    }  # fmt: skip
    assert evaluate(workspace, "x", ["production", "births", "agg_state_monthly"]) == {
        "equals_warehouse": True
    }
    assert workspace.versions() == before

"""The one line that CONTRIBUTING shows is all that a new aggregate takes."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import WEEKLY
from analytics_assets.definitions import build
from analytics_assets.dictionary import dictionary
from analytics_assets.domains.births import tables
from analytics_assets.domains.births.sample import generate
from analytics_assets_tests.workspace import Workspace, failures, with_upstream

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"


@pytest.fixture
def added() -> Table:
    """The table that the diff declares."""
    text = CONTRIBUTING.read_text().split("```diff")[1].split("```")[0]
    lines = [line[1:] for line in text.splitlines() if line.startswith("+")]
    assert len(lines) == 1
    names = dict(vars(tables))
    exec(lines[0], names)
    table = names["agg_region_weekly"]
    tables.tables._known.pop(table.sql_name)
    return table


def test_one_line_gives_everything(added: Table, workspace: Workspace) -> None:
    generate(
        workspace.source, births=1500, states=("AC", "SP"), first_year=2024, years=1, dbf_years=0
    )
    all_tables = with_upstream(tables.agg_region_yearly, added)
    definitions = build(all_tables)
    ran = workspace.refresh(definitions, all_tables)
    assert not failures(ran)

    graph = definitions.resolve_asset_graph()
    for key in (["births", "agg_region_weekly"], ["production", "births", "agg_region_weekly"]):
        node = graph.get(dg.AssetKey(key))
        assert node.partitions_def == WEEKLY.definition
        assert node.metadata["dagster/column_schema"].columns
        lineage = node.metadata["dagster/column_lineage"]
        assert "total_births" in lineage.deps_by_column
    checks = {
        evaluation.check_name
        for _, result in ran
        for evaluation in result.get_asset_check_evaluations()
        if evaluation.asset_key.path[-1] == "agg_region_weekly" and evaluation.passed
    }
    assert checks >= {"contract", "reconciles", "equals_warehouse"}

    weekly = workspace.production(
        "select region_name, sum(total_births), sum(cesarean_count) from agg_region_weekly"
        " group by 1 order by 1"
    )
    assert weekly == workspace.production(
        "select region_name, sum(total_births), sum(cesarean_count) from agg_region_yearly"
        " group by 1 order by 1"
    )
    assert len(weekly) == 2
    (described,) = workspace.production(
        "select obj_description('births.agg_region_weekly'::regclass)"
    )
    assert described == ("Births by region and week.",)

    assert "births.agg_region_weekly" in dictionary(all_tables)

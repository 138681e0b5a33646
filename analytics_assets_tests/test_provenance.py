"""A partition is followed to the files that it comes from; a question at the command line."""

from __future__ import annotations

from datetime import date

import pytest

from analytics_assets import asked
from analytics_assets.core.source import SourceError
from analytics_assets.provenance import steps
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets_tests.toy import Memory, settle, toy_tables
from analytics_assets_tests.workspace import Workspace


def test_a_partition_is_followed_to_its_source(workspace: Workspace) -> None:
    source = Memory()
    source.months = {
        "2024-01": [(date(2024, 1, 5), "a", 500)],
        "2024-02": [(date(2024, 2, 5), "a", 500)],
    }
    tables = toy_tables(source)
    *_, yearly = tables
    settle(tables, workspace.lake)
    snapshot = Snapshot(workspace.lake)
    found = list(steps(snapshot, tables, yearly, "2024"))
    assert [(step.table, step.partition, step.depth) for step in found] == [
        ("toy.agg_yearly", "2024", 0),
        ("toy.agg_shop_monthly", "2024-01", 1),
        ("toy.agg_shop_daily", "2024-01", 2),
        ("toy.fact_sales", "2024-01-05", 3),
        ("toy.raw_sales", "2024-01", 4),
        ("toy.agg_shop_monthly", "2024-02", 1),
        ("toy.agg_shop_daily", "2024-02", 2),
        ("toy.fact_sales", "2024-02-05", 3),
        ("toy.raw_sales", "2024-02", 4),
    ]
    assert [step.inputs for step in found if step.is_source] == [("memory",), ("memory",)]
    assert str(found[4]).splitlines()[1].strip() == "files: memory"
    assert "rows, built 20" in str(found[0])
    assert "run test" in str(found[0])
    with pytest.raises(SourceError, match="it was never built in this home"):
        list(steps(snapshot, tables, yearly, "1999"))


def test_a_question_that_cannot_be_read_is_one_sentence(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where nothing is promoted yet."""
    assert asked.ask("births by", "table") == 1
    assert capsys.readouterr().err == "by: nothing follows it\n"
    assert asked.ask("total_births by year of births", "table") == 1
    assert "nothing that counts this is promoted yet" in capsys.readouterr().err
    assert asked.why("agg_yearly", "total_births", "year = 2024") == 1
    assert "not promoted yet" in capsys.readouterr().err

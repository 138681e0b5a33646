"""What the command line tells of runs is what is recorded and live, also where a step failed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.test_utils import create_run_for_test

from analytics_assets.automation.jobs import MOST_REPEATS, _tried
from analytics_assets.automation.plan import RECIPE_TAG, PlannedRun
from analytics_assets.automation.refresh import execute, refresh
from analytics_assets.automation.summary import Done, Recorded, count, print_table
from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets.definitions import build
from analytics_assets_tests.toy import Memory, rows, toy_tables
from analytics_assets_tests.workspace import Workspace

# A shop that is in no code list holds its day back: two of three days are good.
MONTH = "2024-02"
SALES = [(date(2024, 2, day), shop, 5) for day, shop in ((5, "a"), (6, "b"), (6, "b"), (7, "z"))]
FACT = "toy/fact_sales"


def judged_in_the_fact(source: Memory) -> list[Table]:
    """Sales by month, whose source takes any shop and whose fact does not."""
    raw, fact, daily, monthly, *_ = toy_tables(source)
    raw = replace(raw, columns=tuple(replace(column, values=()) for column in raw.columns))
    fact = replace(fact, reads=(raw,))
    daily = replace(daily, reads=(fact,), measured_from=fact)
    return [raw, fact, daily, replace(monthly, rollup_of=daily)]


def refreshed(workspace: Workspace, definitions: dg.Definitions, tables: list) -> tuple[Done, list]:
    done, ran = Done(), []
    recorded = Recorded(workspace.instance)
    for run, result in refresh(definitions, tables, workspace.instance):
        count(result, recorded, done)
        ran.append((run, result))
    return done, ran


def metadata(result: Any, asset: str, name: str) -> dict[str, Any]:
    """Partition -> what its materialisation says under this name."""
    found = {}
    for event in result.all_events:
        if event.event_type_value == "ASSET_MATERIALIZATION":
            entry = event.step_materialization_data.materialization
            if "/".join(entry.asset_key.path) == asset:
                found[entry.partition] = entry.metadata[name].value
    return found


def test_good_partitions_of_a_failed_step_are_counted(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Memory()
    source.months = {MONTH: SALES, "2024-03": [(date(2024, 3, 1), "a", 5)]}
    tables = judged_in_the_fact(source)
    definitions = build(tables)
    done, _ = refreshed(workspace, definitions, tables)
    fact = done.table[FACT]
    live = [file for file in workspace.lake.files(tables[1]) if file.rows]
    assert len(live) == 3
    assert fact.rows == sum(file.rows for file in live) == len(rows(workspace.lake, tables[1])) == 4
    assert fact.partitions == 3
    # The contract, by the run that found it and by that of March, which tells what is held back.
    assert fact.failed == 2
    assert [problem for problem in done.problems if "shop not in its code list" in problem]
    print_table(done.table)
    printed = {
        line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()[3:]
    }
    assert printed[FACT][1:4] == ["4", str(fact.passed), "2"]

    # Mended, only what was held back is counted, and production says what it copied.
    source.months[MONTH] = [*SALES[:3], (date(2024, 2, 7), "c", 5)]
    done, ran = refreshed(workspace, definitions, tables)
    assert (done.table[FACT].rows, done.table[FACT].failed, done.problems) == (1, 0, [])
    copied = "production/toy/agg_shop_monthly"
    ((run, result),) = [pair for pair in ran if metadata(pair[1], copied, "changed")]
    assert set(metadata(result, copied, "changed").values()) == {True}
    again = execute(definitions, run, workspace.instance)
    assert metadata(again, copied, "changed") == {}, "it is told of what became visible only"


def test_the_same_run_is_asked_for_a_few_times_only() -> None:
    run = PlannedRun("toy_daily", (), UNPARTITIONED, "all", "all", (), "recipe")
    assert 2 <= MOST_REPEATS <= 10
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(MOST_REPEATS):
            create_run_for_test(instance, tags={RECIPE_TAG: run.recipe})  # no worker takes it
            assert not _tried(instance, run)
            asked = create_run_for_test(instance, tags={RECIPE_TAG: run.recipe})
            for what in (DagsterEventType.RUN_START, DagsterEventType.RUN_SUCCESS):
                instance.report_dagster_event(DagsterEvent(what.value, run.job), asked.run_id)
        assert _tried(instance, run)

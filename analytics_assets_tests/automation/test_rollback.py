"""Taking back: tables and production to an earlier moment and forward again, holds and the gate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from analytics_assets.core.declaration import Table
from analytics_assets.definitions import build
from analytics_assets.production.review import Change
from analytics_assets_tests.toy import Memory, rows, toy_tables
from analytics_assets_tests.workspace import Ran, Workspace, failures, materialised

FIRST = {
    "2024-01": [(date(2024, 1, 5), "a", 500), (date(2024, 1, 9), "b", 2000)],
    "2024-02": [(date(2024, 2, 5), "c", 1500)],
}
RESTATED = FIRST | {"2024-01": [(date(2024, 1, 5), "a", 700), (date(2024, 1, 9), "b", 2100)]}


class Toy:
    """The toy domain in a workspace, with what a person does to it in the UI."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.memory = Memory()
        self.tables = toy_tables(self.memory)
        self.definitions = build(self.tables)

    def load(self, months: dict[str, Any]) -> Ran:
        self.memory.months = dict(months)
        return self.refresh()

    def refresh(self) -> Ran:
        return self.workspace.refresh(self.definitions, self.tables)

    def run(self, job: str, **config: Any) -> dg.ExecuteInProcessResult:
        return self.workspace.run(job, self.definitions, **config)

    def warehouse(self) -> dict[str, list[tuple[Any, ...]]]:
        return {table.key: rows(self.workspace.lake, table) for table in self.tables}

    def production(self) -> dict[str, list[tuple[Any, ...]]]:
        return {
            table.key: sorted(self.workspace.production(f"select * from {table.sql_name}"), key=str)
            for table in self.tables
            if table.publish
        }

    def table(self, name: str) -> Table:
        return next(table for table in self.tables if table.name == name)


@pytest.fixture
def toy(workspace: Workspace) -> Toy:
    return Toy(workspace)


@pytest.fixture(scope="module")
def restated(module_workspace: Workspace) -> Toy:
    """Two versions, for questions that change nothing."""
    toy = Toy(module_workspace)
    toy.load(FIRST)
    toy.load(RESTATED)
    return toy


def moment() -> str:
    return datetime.now(timezone.utc).isoformat()


def told(result: dg.ExecuteInProcessResult) -> str:
    """What the run told people: why it failed, or the table that it shows."""
    for event in result.all_events:
        if event.event_type_value == "STEP_FAILURE":
            described = event.step_failure_data.user_failure_data
            return str(described.description if described else event.step_failure_data.error)
    (output,) = (e for e in result.all_events if e.event_type_value == "STEP_OUTPUT")
    return str(output.step_output_data.metadata["what"].value)


def test_a_domain_goes_back_and_forward_again(toy: Toy) -> None:
    toy.load(FIRST)
    then, before = moment(), (toy.warehouse(), toy.production())
    toy.load(RESTATED)
    later, after = moment(), (toy.warehouse(), toy.production())
    assert before != after

    assert toy.run("rollback_table", table="toy", moment=then).success
    assert not failures(toy.refresh())
    assert (toy.warehouse(), toy.production()) == before
    assert toy.refresh() == [], "what was rolled back is rebuilt from the input that stays"

    assert toy.run("rollback_table", table="toy", moment=later).success
    assert not failures(toy.refresh())
    assert (toy.warehouse(), toy.production()) == after
    assert toy.refresh() == []


def test_new_input_ends_a_rollback(toy: Toy) -> None:
    toy.load(FIRST)
    then = moment()
    toy.load(RESTATED)
    toy.run("rollback_table", table="toy", moment=then)
    toy.load(RESTATED | {"2024-01": [(date(2024, 1, 5), "a", 900), (date(2024, 1, 9), "b", 2000)]})
    assert toy.workspace.production("select cents from toy.agg_yearly") == [(4400,)]


def test_tables_downstream_follow_a_single_table(toy: Toy) -> None:
    fact = toy.table("fact_sales")
    toy.load(FIRST)
    before, first = toy.production(), toy.workspace.lake.version(fact)
    toy.load(RESTATED)
    newest = toy.workspace.lake.version(fact)
    result = toy.run("rollback_table", table=fact.key, version=first, partitions=["2024-01-05"])
    assert "2024-01-05" in told(result)
    assert "2024-01-09" not in told(result)
    toy.refresh()
    assert toy.workspace.production("select cents from toy.agg_yearly") == [(500 + 2100 + 1500,)]
    toy.run("rollback_table", table=fact.key, version=first)
    toy.refresh()
    assert toy.production() == before
    assert toy.workspace.lake.version(fact) > newest, "rolling back is a new version"
    # By hand it is built from what there is.
    toy.definitions.resolve_job_def("toy_daily").execute_in_process(
        instance=toy.workspace.instance,
        asset_selection=[dg.AssetKey(["toy", "fact_sales"])],
        partition_key="2024-01-05",
    )
    toy.refresh()
    assert toy.workspace.production("select cents from toy.agg_yearly") == [(700 + 2000 + 1500,)]


def test_production_alone_goes_back_until_confirmed(toy: Toy) -> None:
    toy.load(FIRST)
    then, before, warehouse = moment(), toy.production(), toy.warehouse()
    toy.load(RESTATED | {"2024-03": [(date(2024, 3, 1), "a", 1)]})
    after, newer = toy.production(), toy.warehouse()
    assert warehouse != newer

    assert toy.run("rollback_production", table="*", moment=then).success
    assert (toy.production(), toy.warehouse()) == (before, newer)
    assert toy.refresh() == [], "it is promoted again at once"

    assert "2024-01" in told(toy.run("confirm_promotion", table="toy"))
    toy.refresh()
    assert toy.production() == after


def test_the_gate_holds_a_large_change_until_it_is_confirmed(toy: Toy) -> None:
    toy.load(FIRST)
    before = toy.production()
    ran = toy.load(FIRST | {"2024-01": [(date(2024, 1, 5), "a", 1)]})
    message = "\n".join(failures(ran))
    assert "toy/agg_shop_monthly 2024-01: on hold: cents would go from 2,500 to 1" in message
    assert "confirm_promotion" in message
    assert ("production/toy/agg_shop_monthly", "2024-01") not in materialised(ran)
    held = before.keys() - {"toy/agg_yearly", "toy/agg_weekly"}
    assert {key: toy.production()[key] for key in held} == {key: before[key] for key in held}
    assert toy.refresh() == [], "what is on hold is asked for again"

    toy.run("confirm_promotion", table="toy")
    assert not failures(toy.refresh())
    assert toy.workspace.production("select cents from toy.agg_shop_monthly where month = 1") == [
        (1,)
    ]


def test_what_was_on_hold_gives_way_to_a_better_version(toy: Toy) -> None:
    toy.load(FIRST)
    toy.load(FIRST | {"2024-01": [(date(2024, 1, 5), "a", 1)]})
    assert not failures(toy.load(RESTATED))
    assert toy.workspace.production("select cents from toy.agg_yearly") == [(4300,)]


def test_the_change_is_kept_with_the_promotion(toy: Toy) -> None:
    toy.load(FIRST)
    toy.load(RESTATED)
    kept = toy.workspace.production(
        "select table_name, partition, change from promotion.ledger where change is not null"
        " and table_name = 'toy/agg_shop_monthly' order by id"
    )
    assert ("toy/agg_shop_monthly", "2024-01") in {row[:2] for row in kept}
    change = next(row[2] for row in kept if row[1] == "2024-01")
    assert (change["rows added"], change["rows removed"], change["rows changed"]) == (0, 0, 2)
    assert change["cents"] == "2,500 -> 2,800"


def test_a_diff_changes_nothing(toy: Toy) -> None:
    toy.load(FIRST)
    then = moment()
    toy.load(RESTATED)
    toy.run("rollback_production", table="toy/agg_yearly", moment=then)
    toy.run("confirm_promotion", table="toy")
    before, ledger = toy.production(), toy.workspace.ledger()
    shown = told(toy.run("promotion_diff", table="toy/agg_yearly"))
    assert "4,000 -> 4,300" in shown
    assert (toy.production(), toy.workspace.ledger()) == (before, ledger)


def _lose_files(toy: Toy) -> dict[str, Any]:
    """Last of all, as they do not come back."""
    table = toy.table("agg_yearly")
    for file in toy.workspace.lake.files(table, 1):
        Path(file.uri).unlink()
    return {"table": table.key, "version": 1}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (lambda toy: {"table": "toy/none", "version": 1}, "no table or domain 'toy/none'"),
        (lambda toy: {"table": "toy", "version": 1}, "Each table counts its own versions"),
        (lambda toy: {"table": "toy"}, "either a version or a moment"),
        (lambda toy: {"table": "toy", "moment": "yesterday"}, "'yesterday' is not a moment"),
        (lambda toy: {"table": "toy/agg_yearly", "version": 99}, "has no version 99; it has 0 to"),
        (_lose_files, "1 of its files are gone"),
    ],
)
def test_what_cannot_be_rolled_back_says_why(
    restated: Toy, config: Callable[[Toy], dict[str, Any]], reason: str
) -> None:
    asked, before = config(restated), restated.warehouse()
    result = restated.run("rollback_table", **asked)
    assert not result.success
    assert reason in told(result)
    assert restated.warehouse() == before


def test_what_changes_for_weeks_puts_nothing_on_hold() -> None:
    table = toy_tables(Memory())[3]
    assert table.measures
    late = tuple(replace(m, late=m.name == "cents") for m in table.measures.measures)
    change = Change("2024-01", 0, 0, 1, {"cents": (0, 4000), "sales": (400, 500)})
    assert change.largest(table) == (1.0, "cents")
    assert change.largest(replace(table, measures=replace(table.measures, measures=late))) == (
        0.2,
        "sales",
    )
    assert Change("2024-01", 0, 0, 1, {"cents": (-4000, -1000)}).largest(table) == (0.75, "cents")

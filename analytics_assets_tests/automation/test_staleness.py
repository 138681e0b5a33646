"""Which partitions are behind, why and since when, on a real lake and server.

Belongs here: the answer after what happens to data, and what is stale by a declaration.
Does not belong here: telling people (``test_alerts.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone

import dagster as dg
import pytest

from analytics_assets.automation.checks import failing_checks
from analytics_assets.automation.jobs import present
from analytics_assets.automation.operations import STALENESS, stale_assets
from analytics_assets.automation.plan import plan
from analytics_assets.automation.refresh import execute
from analytics_assets.automation.staleness import Lag, as_text, stale, staleness
from analytics_assets.core.columns import DeclarationError, Measure, MeasureList
from analytics_assets.core.declaration import Check, Table
from analytics_assets.core.source import SourceError
from analytics_assets.definitions import build
from analytics_assets.production.review import confirm, put_on_hold
from analytics_assets.warehouse.ledger import now
from analytics_assets.warehouse.rollback_table import roll_back
from analytics_assets_tests.toy import Memory, Sale, settle, toy_tables
from analytics_assets_tests.workspace import Workspace

JANUARY: list[Sale] = [(date(2024, 1, 5), "a", 500), (date(2024, 1, 9), "b", 2000)]
FEBRUARY: list[Sale] = [(date(2024, 2, 5), "c", 1500), (date(2024, 2, 6), "a", 10)]
RESTATED: list[Sale] = [(date(2024, 2, 5), "c", 1400), (date(2024, 2, 6), "a", 10)]
REFUSED: list[Sale] = [(date(2024, 2, 5), "c", -1), (date(2024, 2, 6), "a", 10)]
RAW, FACT, DAILY = "toy/raw_sales", "toy/fact_sales", "toy/agg_shop_daily"
DAYS = ["2024-02-05", "2024-02-06"]
FEBRUARY_KEYS = {
    "toy/agg_shop_daily": ["2024-02"],
    "toy/agg_shop_monthly": ["2024-02"],
    # Every week of the month is computed from it, also those without sales.
    "toy/agg_weekly": ["2024-01-29", "2024-02-05", "2024-02-12", "2024-02-19", "2024-02-26"],
    "toy/agg_yearly": ["2024"],
}


class DatedMemory(Memory):
    """A source that says when its input came."""

    moment = datetime(2024, 3, 1, tzinfo=timezone.utc)

    def arrived(self, key: str, names: Sequence[str]) -> datetime | None:
        return self.moment


@pytest.fixture
def source() -> DatedMemory:
    memory = DatedMemory()
    memory.months = {"2024-01": JANUARY, "2024-02": FEBRUARY}
    return memory


def ask(tables: Sequence[Table]) -> list[Lag]:
    with present() as (snapshot, engine):
        return staleness(tables, snapshot, engine)


def behind(tables: Sequence[Table]) -> dict[tuple[str, str], list[str]]:
    """(asset, why) -> partitions, of everything that is behind."""
    return {(lag.asset, lag.why): list(lag.partitions) for lag in ask(tables)}


def in_production(keys: dict[str, list[str]]) -> dict[str, list[str]]:
    return {f"production/{key}": partitions for key, partitions in keys.items()}


def because(why: str, keys: dict[str, list[str]]) -> dict[tuple[str, str], list[str]]:
    return {(asset, why): partitions for asset, partitions in keys.items()}


def test_what_was_never_built_is_behind_and_nothing_else(
    source: DatedMemory, workspace: Workspace
) -> None:
    tables = toy_tables(source)
    assert behind(tables) == {(RAW, "never built"): ["2024-01", "2024-02"]}
    settle(tables[:2], workspace.lake)
    # The rest has never been built, and production has nothing of it yet.
    assert behind(tables) == {
        (DAILY, "never built"): ["2024-01", "2024-02"],
        ("production/toy/agg_shop_daily", f"waits for {DAILY}"): ["2024-01", "2024-02"],
    }


def test_a_restated_month_then_its_promotion(source: DatedMemory, workspace: Workspace) -> None:
    tables = toy_tables(source)
    definitions = build(tables)
    workspace.refresh(definitions, tables)
    assert ask(tables) == []
    assert as_text([]) == "Nothing is behind."

    source.months["2024-02"] = RESTATED
    waiting = {FACT: DAYS, **FEBRUARY_KEYS, **in_production(FEBRUARY_KEYS)}
    assert behind(tables) == {
        (RAW, "its source changed"): ["2024-02"],
        **because(f"waits for {RAW}", waiting),
    }
    assert {lag.since for lag in ask(tables)} == {DatedMemory.moment}

    before = now()
    settle(tables[:1], workspace.lake)
    # Landing shows that one day has changed and the other has not.
    after = {FACT: ["2024-02-05"], **FEBRUARY_KEYS, **in_production(FEBRUARY_KEYS)}
    own = {(FACT, f"{RAW} changed"): after.pop(FACT)}
    assert behind(tables) == {**own, **because(f"waits for {FACT}", after)}
    assert all(lag.since and before <= lag.since + timedelta(seconds=1) for lag in ask(tables))
    assert all(lag.built and lag.built < before for lag in ask(tables))

    settle(tables, workspace.lake)
    changed = {**FEBRUARY_KEYS, "toy/agg_weekly": ["2024-02-05"]}
    assert behind(tables) == because("not promoted", in_production(changed))
    assert all(lag.built and lag.built < before for lag in ask(tables))
    yearly = tables[-1]
    with present() as (snapshot, engine), engine.begin() as connection:
        offered = {f.key: f.fingerprint for f in snapshot.files(yearly)}["2024"]
        put_on_hold(connection, yearly, {"2024": (offered, "sales fell by 90 %")}, "run", "run")
    why = "on hold until it is confirmed: sales fell by 90 %"
    assert behind(tables)["production/toy/agg_yearly", why] == ["2024"]
    with present() as (snapshot, engine):
        with engine.begin() as connection:
            confirm(connection, yearly)
        runs = plan(tables, snapshot, engine)
    for run in runs:
        assert execute(definitions, run, workspace.instance).success
    assert ask(tables) == []


def test_a_refused_month_is_named_with_its_checks(
    source: DatedMemory, workspace: Workspace
) -> None:
    tables = toy_tables(source)
    settle(tables, workspace.lake)
    source.months["2024-02"] = REFUSED
    settle(tables, workspace.lake)
    found = {key: parts for key, parts in behind(tables).items() if "production" not in key[0]}
    assert found == {
        (RAW, "refused by contract"): ["2024-02"],
        **because(f"waits for {RAW}", {FACT: DAYS, **FEBRUARY_KEYS}),
    }
    source.months["2024-02"] = FEBRUARY
    settle(tables, workspace.lake)
    assert not [key for key in behind(tables) if "production" not in key[0]]


def test_what_was_rolled_back_is_named_and_nothing_waits_for_it(
    source: DatedMemory, workspace: Workspace
) -> None:
    _, fact, *_ = tables = toy_tables(source)
    settle(tables, workspace.lake)
    version = workspace.lake.version(fact)
    assert version is not None
    source.months["2024-02"] = RESTATED
    settle(tables, workspace.lake)
    roll_back(workspace.lake, [fact], version, "run")
    settle(tables, workspace.lake)
    with present() as (snapshot, engine):
        found = [lag for lag in staleness(tables, snapshot, engine) if lag.layer == "warehouse"]
        assert stale(found, tables, snapshot, now() + timedelta(days=999)) == []
    assert [(lag.asset, lag.partitions) for lag in found] == [(FACT, ("2024-02-05",))]
    assert found[0].why.startswith("rolled back")


def test_a_changed_declaration_is_a_reason(source: DatedMemory, workspace: Workspace) -> None:
    raw, fact, *_ = tables = toy_tables(source)
    settle(tables[:2], workspace.lake)
    changed = replace(fact, sql=f"{fact.sql} and true")
    assert behind([raw, changed]) == {
        (FACT, "its SQL changed"): ["2024-01-05", "2024-01-09", "2024-02-05", "2024-02-06"]
    }
    (lag,) = ask([raw, changed])
    assert lag.spans() == ["2024-01-05", "2024-01-09", "2024-02-05 to 2024-02-06"]


def test_a_source_that_cannot_be_looked_at_is_in_the_answer(
    source: DatedMemory, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = toy_tables(source)

    def gone() -> None:
        raise SourceError("it is gone", "the till", "Put it back")

    monkeypatch.setattr(source, "inputs", gone)
    why = "its source cannot be looked at: the till: it is gone. Put it back"
    assert behind(tables) == {(RAW, why): []}


def test_stale_is_what_is_behind_for_longer_than_declared(
    source: DatedMemory, workspace: Workspace
) -> None:
    raw, fact, *rest = toy_tables(source)
    tables = [replace(raw, fresh_within=timedelta(hours=2)), fact, *rest]
    settle(tables, workspace.lake)
    source.months["2024-02"] = RESTATED
    with present() as (snapshot, engine):
        lags = staleness(tables, snapshot, engine)
        in_time = stale(lags, tables, snapshot, DatedMemory.moment + timedelta(hours=2))
        (late,) = stale(lags, tables, snapshot, DatedMemory.moment + timedelta(hours=3))
        never = [replace(tables[0], fresh_within=None)]
        lag = replace(lags[0], table=never[0])
        assert stale([lag], never, snapshot, DatedMemory.moment + timedelta(days=999)) == []
    assert in_time == []
    assert late.asset == RAW
    assert late.what == (
        "2024-02 behind since 2024-03-01 00:00 UTC, allowed are 2 hours: its source changed."
        " 9 assets wait for it."
    )


def test_a_source_that_brings_nothing_new_is_stale(
    source: DatedMemory, workspace: Workspace
) -> None:
    raw = replace(toy_tables(source)[0], expected_every=timedelta(days=40))
    settle([raw], workspace.lake)
    with present() as (snapshot, _):
        assert stale([], [raw], snapshot, now() + timedelta(days=39)) == []
        (late,) = stale([], [raw], snapshot, now() + timedelta(days=41))
    assert late.asset == RAW
    assert "its source has brought nothing new since" in late.what
    with pytest.raises(DeclarationError, match="expected_every"):
        replace(toy_tables(source)[1], expected_every=timedelta(days=40))


def test_the_asset_keeps_the_answer_and_its_check_fails_when_something_is_stale(
    source: DatedMemory, workspace: Workspace
) -> None:
    tables = toy_tables(source)
    job = build(tables).resolve_job_def("operations_staleness")
    assert job.execute_in_process(instance=workspace.instance).success
    found, _ = stale_assets(workspace.instance)
    assert list(found) == [RAW]  # never built, and its input came in March 2024
    event = workspace.instance.get_latest_materialization_event(STALENESS)
    assert event
    assert event.asset_materialization
    metadata = event.asset_materialization.metadata
    assert metadata["partitions behind"].value == 2
    assert metadata["by table"].value == {RAW: 2}
    assert "2024-01 to 2024-02 | never built | 2024-03-01" in str(metadata["behind"].value)
    key = dg.AssetCheckKey(STALENESS, "nothing_is_stale")
    records = workspace.instance.event_log_storage.get_asset_check_execution_history(key, 1)
    assert records[0].status.value == "FAILED"


CHEAP = Check(
    "not_cheap",
    "No turnover below a tenth",
    "select * from toy.agg_shop_daily where cents < 10",
    "",
)


def test_readers_are_told_which_checks_fail_by_which_rows_until_they_pass(
    source: DatedMemory, workspace: Workspace
) -> None:
    raw, fact, daily, *rest = toy_tables(source)
    tables = [raw, fact, replace(daily, checks=(replace(CHEAP, blocking=False),)), *rest]
    definitions = build(tables)
    asked = "select asset, check_name, holds_back, partitions, what, keys from promotion.failing"

    def told() -> list[tuple]:
        workspace.refresh(definitions, tables)
        job = definitions.resolve_job_def("operations_staleness")
        assert job.execute_in_process(instance=workspace.instance).success
        # The toy's own seasons are too few to judge drift by.
        return [row for row in workspace.production(asked) if row[1] == "not_cheap"]

    source.months["2024-01"] = [*JANUARY, (date(2024, 1, 9), "c", 7)]
    found = "- 2024-01: not_cheap: No turnover below a tenth: 1 found."
    # Of a word that no declaration knows the shape is told.
    keys = ["2024-01: day 2024-01-09, shop a"]
    assert told() == [(DAILY, "not_cheap", False, 1, found, keys)]
    hidden = MeasureList((Measure("sales", "count(*)", "Sales.", "sales", withheld=True),))
    key = dg.AssetCheckKey(dg.AssetKey(DAILY.split("/")), "not_cheap")
    (silent,) = failing_checks(workspace.instance, [key], [replace(tables[2], measures=hidden)])
    assert (silent.partitions, silent.what, silent.keys) == (1, "", [])
    source.months["2024-01"] = JANUARY
    assert told() == []


def test_what_has_no_time_of_its_own_is_behind_since_it_was_first_seen(
    workspace: Workspace,
) -> None:
    source = Memory()
    source.months = {"2024-01": JANUARY}
    job = build(toy_tables(source)).resolve_job_def("operations_staleness")
    seen = []
    for _ in range(2):
        job.execute_in_process(instance=workspace.instance)
        event = workspace.instance.get_latest_materialization_event(STALENESS)
        assert event
        assert event.asset_materialization
        seen.append(event.asset_materialization.metadata["first seen"].value)
    assert seen[0] == seen[1]
    assert list(seen[0]) == [f"{RAW}: never built"]

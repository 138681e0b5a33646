"""Nothing changes its meaning unseen: what becomes of live rows when their declaration changes.

Belongs here: rows rebuilt, live rows judged anew, and partitions for which there is no source, on
a real lake. Does not belong here: which changes count (``core/test_meaning.py``).
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow
import pytest
from deltalake import write_deltalake
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from analytics_assets import settings
from analytics_assets.automation.jobs import present
from analytics_assets.automation.plan import plan
from analytics_assets.automation.staleness import staleness
from analytics_assets.core.declaration import Check, Table
from analytics_assets.core.source import Landing
from analytics_assets.definitions import build as definitions_of
from analytics_assets.warehouse.build import Builder
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.ledger import BuildLedger
from analytics_assets.warehouse.outcome import Outcome
from analytics_assets.warehouse.quarantine import Quarantine
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.toy import WEEK, Memory, Sale, rows, settle, toy_tables
from analytics_assets_tests.workspace import Workspace, failures, materialised

MAY: list[Sale] = [(date(2020, 5, day), "a", 100 * day) for day in (4, 5, 11, 18)]
JUNE: list[Sale] = [(date(2020, 6, 2), "b", 2000), (date(2020, 6, 3), "c", 3000)]
SUNDAYS = replace(WEEK, from_date={"week": "cast(date_trunc('week', {date}) as date) + 6"})
SMALL = Check(
    "sales_are_small",
    "Sales are small",
    "select _partition, sold_on, shop, cents from toy.fact_sales where cents > 10",
    "Mend them.",
    at_fault="_broken.cents = _row.cents",
)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path))
    return Lake(settings.load().lake)


@pytest.fixture
def source() -> Memory:
    source = Memory()
    source.months = {"2020-05": MAY, "2020-06": JUNE}
    return source


def build(lake: Lake, table: Table, partitions: Sequence[str]) -> Outcome:
    log = logging.getLogger("changed")
    log.setLevel(logging.CRITICAL)
    with open_session(settings.load()) as session:
        return Builder(session, Snapshot(lake), "test", log).build(table, partitions)


def behind(lake: Lake, table: Table) -> dict[str, set[str]]:
    """Why -> partitions."""
    found: dict[str, set[str]] = {}
    for one in Snapshot(lake).behind(table):
        found.setdefault(one.why, set()).add(one.partition)
    return found


def live(lake: Lake, table: Table) -> set[str]:
    return set(BuildLedger(lake).read()[table.key])


def with_maximum(table: Table, cents: int | None) -> Table:
    sold_on, shop, price = table.columns
    return replace(table, columns=(sold_on, shop, replace(price, maximum=cents)))


# ---- rows ---------------------------------------------------------------------------------------


def test_the_axis_of_a_rollup_changes_every_week(lake: Lake, source: Memory) -> None:
    tables = toy_tables(source)
    settle(tables, lake)
    sundays = replace(tables[4], grain=(SUNDAYS,))
    assert behind(lake, sundays) == {"its derived SQL and time axis changed": live(lake, tables[4])}
    before = rows(lake, tables[4])
    build(lake, sundays, sorted(live(lake, sundays)))
    assert {row[0].weekday() for row in before} == {0}
    assert {row[0].weekday() for row in rows(lake, sundays)} == {6}
    assert behind(lake, sundays) == {}


class Picky(Memory):
    """Lands no sale of 100 cents."""

    @contextmanager
    def land(self, landing: Landing) -> Iterator[list[str]]:
        with super().land(landing) as selects:
            yield [f"select * from ({sql}) where {CHOSEN}" for sql in selects]


CHOSEN = "cents > 400"


def test_another_choice_of_rows_lands_everything_again(lake: Lake, source: Memory) -> None:
    raw = toy_tables(source)[0]
    settle([raw], lake)
    picky = Picky()
    picky.months = source.months
    (why,) = behind(lake, replace(raw, source=picky))
    where = "test_changed_declarations.py"
    assert why == f"its source's code ({where}: CHOSEN, {where}: Picky) changed"
    settle([replace(raw, source=picky)], lake)
    assert len(rows(lake, raw)) == 5


def test_a_changed_time_column_is_seen(lake: Lake, source: Memory) -> None:
    tables = toy_tables(source)
    settle(tables[:2], lake)
    other = replace(tables[1], time_column="sold_on + 0")
    assert behind(lake, other) == {"its time axis changed": live(lake, other)}


def test_a_ledger_of_an_earlier_release_is_read_and_its_rows_built_once(
    lake: Lake, source: Memory
) -> None:
    tables = toy_tables(source)[:2]
    settle(tables, lake)
    versions = {table.key: lake.files(table) for table in tables}
    known = BuildLedger(lake).read()
    later = ("contract_version", "meaning", "fails", "published", "checksum")
    old = [
        {n: v for n, v in b.as_row().items() if n not in later} | {"code_version": "of then"}
        for entries in known.values()
        for b in entries.values()
    ]
    uri = f"{lake.root}/_builds"
    write_deltalake(
        uri, pyarrow.Table.from_pylist(old), mode="overwrite", schema_mode="overwrite",
        partition_by=["table"],
    )  # fmt: skip
    assert behind(lake, tables[0]) == {"its declaration changed": {"2020-05", "2020-06"}}
    assert settle(tables[:1], lake) == []
    assert behind(lake, tables[0]) == {}
    assert set(behind(lake, tables[1])) == {"its declaration changed"}
    assert settle(tables, lake) == []
    assert {table.key: lake.files(table) for table in tables} == versions


# ---- the contract -------------------------------------------------------------------------------


def test_a_check_that_every_row_breaks_finds_live_rows(lake: Lake, source: Memory) -> None:
    tables = toy_tables(source)
    settle(tables, lake)
    before = lake.files(tables[1])
    strict = replace(tables[1], checks=(SMALL,))
    assert behind(lake, strict) == {"its check sales_are_small is new": live(lake, strict)}
    assert {one.unjudged for one in Snapshot(lake).behind(strict)} == {True}

    outcome = build(lake, strict, sorted(live(lake, strict)))

    assert outcome.failed() == outcome.judged == live(lake, strict)
    assert outcome.changed == []
    assert lake.files(tables[1]) == before
    assert set(Quarantine(lake, strict).files()) == live(lake, strict)
    assert Snapshot(lake).failing(strict) == live(lake, strict)
    assert Snapshot(lake).blocked_by(strict, SMALL.name) == sorted(live(lake, strict))
    why = "fails sales_are_small, which is newer than its rows"
    assert behind(lake, strict) == {why: live(lake, strict)}
    assert {one.refused for one in Snapshot(lake).behind(strict)} == {True}


def test_a_lower_maximum_finds_those_that_exceed_it(lake: Lake, source: Memory) -> None:
    tables = toy_tables(source)
    fact = with_maximum(tables[1], 5000)
    settle([tables[0], fact], lake)
    strict = with_maximum(fact, 1500)
    (why,) = behind(lake, strict)
    assert why == "its rule cents > 1500 is new; its rule cents > 5000 is gone"
    findings = settle([strict], lake)
    assert {f.partition for f in findings} == {"2020-05-18", "2020-06-02", "2020-06-03"}
    assert settle([strict], lake) == []


def test_a_looser_contract_heals(lake: Lake, source: Memory) -> None:
    raw, fact, *_ = toy_tables(source)
    settle([raw, fact], lake)
    settle([with_maximum(fact, 10)], lake)
    assert Snapshot(lake).failing(fact) == live(lake, fact)
    looser = with_maximum(fact, 9999)
    assert set(behind(lake, looser)) == {
        "its rule cents > 10 is gone; its rule cents > 9999 is new"
    }
    outcome = build(lake, looser, sorted(live(lake, looser)))
    assert outcome.reports == {key: {"judged anew": True} for key in live(lake, looser)}
    assert Snapshot(lake).failing(looser) == set()
    assert Quarantine(lake, looser).files() == {}
    assert behind(lake, looser) == {}


def test_a_check_that_does_not_block_warns(lake: Lake, source: Memory) -> None:
    raw, fact, *_ = toy_tables(source)
    settle([raw, fact], lake)
    warned = replace(fact, checks=(replace(SMALL, blocking=False),))
    outcome = build(lake, warned, sorted(live(lake, warned)))
    assert {f.blocking for f in outcome.findings} == {False}
    assert outcome.failed() == Snapshot(lake).failing(warned) == set()
    assert behind(lake, warned) == {}


def test_by_hand_it_is_tried_again_and_fails_again(lake: Lake, source: Memory) -> None:
    raw, fact, *_ = toy_tables(source)
    settle([raw, fact], lake)
    strict = replace(fact, checks=(SMALL,))
    settle([strict], lake)
    entries = BuildLedger(lake).read()
    outcome = build(lake, strict, ["2020-06-02"])
    assert [f.check for f in outcome.findings] == [SMALL.name]
    assert BuildLedger(lake).read() == entries


def test_rows_whose_source_is_gone_are_judged_too(lake: Lake, source: Memory) -> None:
    raw = toy_tables(source)[0]
    settle([raw], lake)
    source.months = {"2020-06": JUNE}
    sold_on, shop, cents, position = raw.columns
    strict = replace(raw, columns=(sold_on, shop, replace(cents, minimum=1000), position))
    why = "its rule cents < 0 is gone; its rule cents < 1000 is new"
    assert behind(lake, strict) == {why: {"2020-05", "2020-06"}}
    findings = settle([strict], lake)
    assert {f.partition for f in findings} == {"2020-05"}
    (failing,) = Snapshot(lake).behind(strict)
    assert (failing.partition, failing.refused) == ("2020-05", True)
    assert build(lake, strict, ["2020-05"]).failed() == {"2020-05"}
    assert len(rows(lake, raw)) == 6


def test_what_was_refused_is_tried_by_another_contract(lake: Lake, source: Memory) -> None:
    raw, fact, *_ = toy_tables(source)
    strict = replace(fact, checks=(SMALL,))
    assert settle([raw, strict], lake)
    assert settle([raw, strict], lake) == []
    assert settle([fact], lake) == []
    assert len(rows(lake, fact)) == 6


def test_corrected_rows_are_judged_by_their_build(lake: Lake, source: Memory) -> None:
    raw, fact, *_ = toy_tables(source)
    settle([raw, fact], lake)
    strict = replace(fact, checks=(SMALL,))
    settle([strict], lake)
    source.months["2020-06"] = [(date(2020, 6, 2), "b", 5), (date(2020, 6, 3), "c", 3000)]
    assert settle([raw, strict], lake) == []
    assert Snapshot(lake).failing(strict) == live(lake, strict) - {"2020-06-02"}


sale = st.tuples(
    st.sampled_from([date(2020, 5, 4), date(2020, 5, 5), date(2020, 6, 2)]),
    st.sampled_from("abc"),
    st.integers(0, 40),
)
event = st.one_of(
    st.tuples(st.just("arrive"), st.lists(sale, min_size=1, max_size=6)),
    st.tuples(st.just("rule"), st.sampled_from([None, 10, 20, 30])),
)


@hypothesis_settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(event, min_size=2, max_size=5))
def test_live_rows_are_always_judged_by_the_newest_contract(events: list[tuple[str, Any]]) -> None:
    """What is live and current either passes the newest rule, or is known to fail it."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANALYTICS_HOME", folder)
        lake, source, maximum = Lake(f"{folder}/lake"), Memory(), None
        for what, value in [("arrive", [(date(2020, 5, 4), "a", 15)]), *events]:
            if what == "arrive":
                source.months = {month: [] for month in source.months}
                for one in value:
                    source.months.setdefault(f"{one[0]:%Y-%m}", []).append(one)
            else:
                maximum = value
            raw, fact, *_ = toy_tables(source)
            fact = with_maximum(fact, maximum)
            settle([raw, fact], lake)
            snapshot = Snapshot(lake)
            found = rows(lake, fact)
            for key in live(lake, fact):
                if not snapshot.is_current(fact, key):
                    continue
                assert not snapshot.is_unjudged(fact, key)
                worst = max((r[2] for r in found if f"{r[0]}" == key), default=0)
                broken = maximum is not None and worst > maximum
                assert (key in snapshot.failing(fact)) == broken


# ---- as runs ------------------------------------------------------------------------------------


def ask(
    workspace: Workspace, tables: Sequence[Table], names: Sequence[str], job: str, **tags: str
) -> dg.ExecuteInProcessResult:
    """Assets materialised by hand."""
    return (
        definitions_of(tables)
        .resolve_job_def(job)
        .execute_in_process(
            instance=workspace.instance,
            asset_selection=[dg.AssetKey(["toy", name]) for name in names],
            tags={f"dagster/{name}": key for name, key in tags.items()},
            raise_on_error=False,
        )
    )


def test_a_new_check_in_a_run(workspace: Workspace, source: Memory) -> None:
    """It judges, fails and is named; nothing that follows from the rows runs."""
    tables = toy_tables(source)
    workspace.refresh(definitions_of(tables), tables)
    strict = [tables[0], replace(tables[1], checks=(SMALL,)), *toy_tables(source)[2:]]
    with present() as (snapshot, engine):
        planned = plan(strict, snapshot, engine)
    assert {key for run in planned for key in run.assets} == {dg.AssetKey(["toy", "fact_sales"])}

    ran = workspace.refresh(definitions_of(strict), strict)

    (*said,) = failures(ran)
    assert said
    assert all("Live rows fail a rule that is newer than they are" in one for one in said)
    assert "Not published" not in "".join(said)
    assert materialised(ran) == set()
    evaluations = [e for _, result in ran for e in result.get_asset_check_evaluations()]
    failed = {e.check_name: e.severity for e in evaluations if not e.passed}
    assert failed == {SMALL.name: dg.AssetCheckSeverity.ERROR}
    assert workspace.refresh(definitions_of(strict), strict) == []
    with present() as (snapshot, engine):
        lags = {(lag.asset, lag.state, lag.why) for lag in staleness(strict, snapshot, engine)}
    why = "fails sales_are_small, which is newer than its rows"
    assert ("toy/fact_sales", "refused", why) in lags
    assert ("toy/agg_yearly", "waits", "waits for toy/fact_sales") in lags
    assert ("production/toy/agg_yearly", "waits", "waits for toy/fact_sales") in lags

    ran = workspace.refresh(definitions_of(tables), tables)
    assert not failures(ran)
    (event,) = [
        e.step_materialization_data.materialization.metadata
        for _, result in ran
        for e in result.all_events
        if e.event_type_value == "ASSET_MATERIALIZATION" and e.partition == "2020-05-04"
    ]
    assert event["judged anew"].value is True


def evaluations(result: dg.ExecuteInProcessResult) -> set[str]:
    return {e.asset_key.path[-1] for e in result.get_asset_check_evaluations()}


def test_a_partition_without_a_source_stays_unmaterialised(
    workspace: Workspace, source: Memory
) -> None:
    tables = toy_tables(source)
    names = ["raw_sales", "agg_shop_daily", "agg_shop_monthly"]
    result = ask(workspace, tables, names, "toy_monthly", partition="2021-01")
    assert result.success
    assert materialised([(None, result)]) == set()  # type: ignore[list-item]
    assert evaluations(result) == set()
    assert BuildLedger(workspace.lake).read() == {}


def test_of_a_range_those_with_a_source_are_materialised_all_the_way(
    workspace: Workspace, source: Memory
) -> None:
    tables = toy_tables(source)
    settle(tables[:2], workspace.lake)
    span = {
        "asset_partition_range_start": "2020-05",
        "asset_partition_range_end": "2020-07",
    }
    names = ["raw_sales", "agg_shop_daily", "agg_shop_monthly"]
    result = ask(workspace, tables, names, "toy_monthly", **span)
    assert result.success
    expected = {(f"toy/{name}", key) for name in names for key in ("2020-05", "2020-06")}
    assert materialised([(None, result)]) == expected  # type: ignore[list-item]
    assert evaluations(result) == set(names)


def test_a_table_without_partitions_and_without_input_stays_unmaterialised(
    workspace: Workspace, source: Memory
) -> None:
    raw = toy_tables(source)[0]
    whole = Table(
        "toy/all_sales",
        "facts",
        "All sales.",
        columns=raw.columns,
        sql="select sold_on, shop, cents, position from toy.raw_sales",
        reads=(raw,),
    )
    source.months = {}
    result = ask(workspace, [raw, whole], ["all_sales"], "toy_unpartitioned")
    assert result.success
    assert materialised([(None, result)]) == set()  # type: ignore[list-item]
    assert evaluations(result) == set()


def test_a_partition_whose_input_is_gone_is_emptied(lake: Lake, source: Memory) -> None:
    raw, fact, *_ = toy_tables(source)
    settle([raw, fact], lake)
    source.months["2020-06"] = JUNE[:1]
    settle([raw], lake)
    outcome = build(lake, fact, ["2020-06-03", "2020-06-09"])
    assert (outcome.absent, outcome.changed) == (["2020-06-09"], ["2020-06-03"])
    assert len(rows(lake, fact)) == 5


def test_of_a_range_with_a_bad_partition_the_good_ones_are_materialised(
    workspace: Workspace, source: Memory
) -> None:
    source.broken = {"2020-05"}
    span = {"asset_partition_range_start": "2020-05", "asset_partition_range_end": "2020-07"}
    result = ask(workspace, toy_tables(source), ["raw_sales"], "toy_monthly", **span)
    assert not result.success
    (said,) = failures([(None, result)])  # type: ignore[list-item]
    assert said.startswith("Not published, the live partitions stay as they were:\ntoy/raw_sales")
    found = workspace.instance.get_materialized_partitions(dg.AssetKey(["toy", "raw_sales"]))
    assert found == {"2020-06"}

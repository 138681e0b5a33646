"""Releases: what follows from one input becomes visible at once, and is looked at ever after."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import dagster as dg
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets import settings
from analytics_assets.api.database import Database
from analytics_assets.api.meta import read_health
from analytics_assets.api.settings import ApiSettings
from analytics_assets.automation import problems
from analytics_assets.automation.jobs import present
from analytics_assets.automation.refresh import refresh
from analytics_assets.automation.staleness import Lag, staleness
from analytics_assets.core.declaration import Check, Publish, Table
from analytics_assets.core.partitions import DAILY, MONTHLY, UNPARTITIONED, WEEKLY, YEARLY
from analytics_assets.production import backup, freshness, server
from analytics_assets.production.outlook import Due, clusters, span
from analytics_assets.production.release import release
from analytics_assets.warehouse.ledger import now
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.toy import Memory, settle, toy_tables
from analytics_assets_tests.workspace import Workspace, definitions_of, failures, materialised

FIRST = {
    "2023-03": [(date(2023, 3, 7), "a", 100), (date(2023, 3, 8), "b", 200)],
    "2024-01": [(date(2024, 1, 5), "a", 500), (date(2024, 1, 9), "b", 2000)],
    "2024-02": [(date(2024, 2, 5), "c", 1500)],
}
RESTATED = FIRST | {"2024-01": [(date(2024, 1, 5), "a", 700), (date(2024, 1, 9), "b", 2100)]}
GRAINS = ("agg_shop_daily", "agg_shop_monthly", "agg_weekly", "agg_yearly")
# One statement, and so one snapshot.
TOTALS = "select " + ", ".join(f"(select coalesce(sum(cents), 0)::int from {g})" for g in GRAINS)


class Toy:
    """The toy domain in a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.memory = Memory()
        self.tables: Sequence[Table] = toy_tables(self.memory)

    @property
    def definitions(self) -> dg.Definitions:
        """What Dagster has of them."""
        return definitions_of(tuple(self.tables))

    def load(self, months: dict) -> list:
        self.memory.months = dict(months)
        return self.refresh()

    def refresh(self) -> list:
        return self.workspace.refresh(tables=self.tables)

    def totals(self) -> tuple[int, ...]:
        (row,) = self.workspace.production(TOTALS)
        return row

    def total(self) -> int:
        """Of all grains, which have the same."""
        (one,) = set(self.totals())
        return one

    def behind(self) -> list[Lag]:
        with present() as (snapshot, engine):
            return staleness(self.tables, snapshot, engine)

    def why(self) -> dict[str, str]:
        """Asset -> why it is behind."""
        return {lag.asset: lag.why for lag in self.behind()}

    def health(self) -> dict[str, str]:
        """Table -> its state, as the API says at this moment."""

        async def asked() -> dict[str, str]:
            database = Database(server.urls(settings.load()).reader, ApiSettings())
            try:
                found = await read_health(database, [t for t in self.tables if t.publish])
            finally:
                await database.close()
            return {table.name: table.state for table in found.tables}

        return asyncio.run(asked())

    def looked_at(self) -> None:
        """As the hourly look leaves it that finds nothing."""
        with present() as (_, engine), engine.begin() as connection:
            late = [freshness.Late(t.key, None, 0) for t in self.tables if t.publish]
            freshness.tell_readers(connection, late, now())

    def alerts(self) -> dict[str, str]:
        """Title -> what people were told since the first event, what is over again included."""
        watch = problems.Watch()
        problems.read_events(self.workspace.instance, watch, now().timestamp() + 60, "http://ui")
        assert all(problem.over for problem in watch.problems.values())
        return {problem.title: problem.what for problem in watch.problems.values()}

    def by_hand(self, statement: str) -> None:
        with present() as (_, engine), engine.begin() as connection:
            connection.execute(sa.text(statement))

    def entered(self) -> list[tuple[int, str, str]]:
        """Release, table and partition of every entry of the ledger that has rows."""
        return self.workspace.production(
            "select release_id, table_name, partition from promotion.ledger"
            " where fingerprint <> '' order by id"
        )

    def table(self, name: str) -> Table:
        return next(table for table in self.tables if table.name == name)

    def change(self, name: str, **changes: object) -> None:
        """Declare one table otherwise, and those that are computed from it from that."""
        done: dict[str, Table] = {}
        for table in self.tables:
            own = changes if table.name == name else {}
            upstream = tuple(done.get(read.key, read) for read in table.reads)
            of = done.get(table.rollup_of.key) if table.rollup_of else None
            finer = done.get(table.measured_from.key) if table.measured_from else None
            parts = {"reads": upstream, "rollup_of": of, "measured_from": finer}
            done[table.key] = replace(table, **{**parts, **own})
        self.tables = list(done.values())


@pytest.fixture
def toy(workspace: Workspace) -> Toy:
    return Toy(workspace)


def test_tables_of_production_add_up_after_every_run(toy: Toy) -> None:
    toy.load(FIRST)
    toy.memory.months = dict(RESTATED)
    before, seen = toy.total(), []
    definitions = toy.definitions
    for _, result in refresh(definitions, toy.tables, toy.workspace.instance):
        assert result.success
        seen.append(toy.total())
    assert len(seen) > 3, "the year, the months and the weeks are computed by runs of their own"
    assert set(seen[:-1]) == {before}
    assert seen[-1] == before + 300


def test_a_release_is_one_and_every_asset_knows_its_partitions(toy: Toy) -> None:
    ran = toy.load(FIRST)
    assert {number for number, *_ in toy.entered()} == {1}
    (partitions,) = toy.workspace.production("select partitions from promotion.release")
    assert partitions == (len(toy.entered()),)
    told = {(asset, key) for asset, key in materialised(ran) if asset.startswith("production/")}
    assert told == {(f"production/{table}", key) for _, table, key in toy.entered()}
    key = dg.AssetCheckKey(dg.AssetKey(["production", "toy", "agg_yearly"]), "equals_warehouse")
    (record,) = toy.workspace.instance.event_log_storage.get_asset_check_execution_history(key, 1)
    assert record.status.value == "SUCCEEDED"


def test_a_hold_holds_all_that_follows_from_the_same_input(toy: Toy) -> None:
    toy.load(FIRST)
    before = toy.total()
    months = FIRST | {
        "2023-03": [(date(2023, 3, 7), "a", 150), (date(2023, 3, 8), "b", 200)],
        "2024-01": [(date(2024, 1, 5), "a", 1)],
    }
    said = "\n".join(failures(toy.load(months)))
    assert "toy/agg_shop_monthly 2024-01: on hold: cents would go from 2,500 to 1" in said
    assert "follow from the same input wait with it" in said
    assert toy.total() == before + 50, "another year waits for nobody"
    assert toy.refresh() == [], "what is on hold is asked for again"
    why = toy.why()
    assert why["production/toy/agg_shop_monthly"].startswith("on hold until it is confirmed")
    assert "2024-01-01 is on hold and 3 more" in why["production/toy/agg_yearly"]

    # Another month of the year: it would not add up with the year without January.
    assert toy.load(months | {"2024-02": [(date(2024, 2, 5), "c", 1400)]})
    assert toy.total() == before + 50

    result = toy.workspace.run("confirm_promotion", toy.definitions, table="toy/agg_weekly")
    assert result.success
    assert not failures(toy.refresh())
    assert toy.total() == 350 + 1 + 1400
    assert toy.behind() == []


def test_what_moves_between_months_is_released_all_or_none(toy: Toy) -> None:
    """A month that is on hold keeps the other one and the year, which would not add up with it."""
    toy.load(FIRST)
    before = toy.total()
    moved = FIRST | {
        "2024-01": [(date(2024, 1, 5), "a", 10)],
        "2024-02": [*FIRST["2024-02"], (date(2024, 2, 6), "b", 2490)],
    }
    assert any("on hold" in said for said in failures(toy.load(moved)))
    assert toy.total() == before, "of all grains, which have the same"
    monthly = "select month, sum(cents)::int from agg_shop_monthly where year = 2024 group by 1"
    assert sorted(toy.workspace.production(monthly)) == [(1, 2500), (2, 1500)]
    assert toy.workspace.run("confirm_promotion", toy.definitions, table="toy").success
    assert not failures(toy.refresh())
    assert sorted(toy.workspace.production(monthly)) == [(1, 10), (2, 3990)]
    assert toy.total() == before


def test_a_table_that_fails_its_audit_keeps_back_what_it_would_not_add_up_with(toy: Toy) -> None:
    refusing = Check(
        "no_week_above_2300",
        "No week sells for more than 2300",
        sql="select _partition, week from toy.agg_weekly where cents > 2300",
        advice="Look at it.",
    )
    toy.change("agg_weekly", checks=(refusing,))
    toy.load(FIRST)
    before = toy.total()
    toy.load(
        FIRST
        | {
            "2023-03": [(date(2023, 3, 7), "a", 150), (date(2023, 3, 8), "b", 200)],
            "2024-01": [(date(2024, 1, 5), "a", 500), (date(2024, 1, 9), "b", 2400)],
        }
    )
    assert toy.total() == before + 50
    why = toy.why()
    assert why["toy/agg_weekly"] == "refused by no_week_above_2300"
    assert "toy/agg_weekly 2024-01-08 is not current" in why["production/toy/agg_yearly"]
    assert "refused by no_week_above_2300" in why["production/toy/agg_yearly"]
    toy.load(RESTATED)
    assert toy.total() == 300 + 700 + 2100 + 1500
    assert toy.behind() == []


def test_a_month_that_is_refused_at_its_source_keeps_nobody_back(toy: Toy) -> None:
    toy.load(FIRST)
    before = toy.total()
    toy.memory.broken = {"2024-01"}
    toy.load(RESTATED | {"2024-02": [(date(2024, 2, 5), "c", 1600)]})
    assert toy.total() == before + 100


WEEKS_2024 = ["2024-01-01", "2024-01-08", "2024-02-05"]


@pytest.mark.parametrize(
    ("statement", "named", "state", "copied"),
    [
        (
            "drop schema toy cascade; drop schema toy_store cascade",
            {f"production/toy/{name}": "its table is gone from production" for name in GRAINS},
            "missing",
            "all",
        ),
        (
            "drop table toy_store.agg_weekly cascade",
            {"production/toy/agg_weekly": "its table is gone from production"},
            "missing",
            {("toy/agg_weekly", week) for week in ["2023-03-06", *WEEKS_2024]},
        ),
        (
            "delete from toy_store.agg_weekly where week = '2024-01-08'",
            {"production/toy/agg_weekly": "promoter wrote to it beside the releases (delete)"},
            "altered",
            {("toy/agg_weekly", "2024-01-08")},
        ),
        (
            "update toy_store.agg_yearly set cents = cents + 1 where year = 2024",
            {"production/toy/agg_yearly": "promoter wrote to it beside the releases (update)"},
            "altered",
            {("toy/agg_yearly", "2024")},
        ),
        (
            "insert into toy_store.agg_yearly (year, sales, cents) values (1999, 1, 1)",
            {"production/toy/agg_yearly": "promoter wrote to it beside the releases (insert)"},
            "altered",
            set(),
        ),
        (
            "truncate toy_store.agg_shop_daily",
            {"production/toy/agg_shop_daily": "promoter wrote to it beside the releases (trunc"},
            "altered",
            {("toy/agg_shop_daily", month) for month in FIRST},
        ),
        (
            "drop view toy.agg_yearly",
            {"production/toy/agg_yearly": "its view is gone from production"},
            "missing",
            set(),
        ),
        (
            "create or replace view toy.agg_yearly as select year, cast(sales as integer) as"
            " sales, cast(big_sales as integer) as big_sales, cast(cents + 1 as bigint) as cents,"
            " cast(1 as numeric(18, 4)) as big_share from toy_store.agg_yearly",
            {"production/toy/agg_yearly": "its view was changed beside the releases"},
            "altered",
            set(),
        ),
        (
            "alter table toy_store.agg_yearly disable trigger note_write",
            {"production/toy/agg_yearly": "its table was made anew, or a trigger of it switched"},
            "altered",
            set(),
        ),
        (
            "drop schema promotion cascade",
            {f"production/toy/{name}": "the ledger of its releases is lost" for name in GRAINS},
            "altered",
            "entered",
        ),
        (
            "delete from promotion.ledger where table_name = 'toy/agg_weekly'"
            " and partition = '2024-01-08'",
            {"production/toy/agg_weekly": "the ledger of its releases is lost, or part of it"},
            "altered",
            "entered",
        ),
    ],
)
def test_what_is_done_to_production_is_named_and_mended_and_nothing_else_is_copied(
    toy: Toy, statement: str, named: dict[str, str], state: str, copied: object
) -> None:
    toy.load(FIRST)
    before, entered = toy.workspace.production(TOTALS), len(toy.entered())
    assert toy.behind() == []
    toy.looked_at()
    assert toy.health() == {f"toy.{name}": "fresh" for name in GRAINS}
    toy.by_hand(statement)
    found = toy.why()
    assert found.keys() == named.keys()
    assert all(found[asset].startswith(why) for asset, why in named.items()), found
    touched = {asset.replace("production/toy/", "toy.") for asset in named}
    assert {name: told for name, told in toy.health().items() if told != "fresh"} == dict.fromkeys(
        touched, state
    )

    ran = toy.refresh()
    assert [run.job for run, _ in ran] == ["toy_release"]
    assert not failures(ran)
    assert toy.behind() == []
    assert toy.workspace.production(TOTALS) == before
    assert toy.refresh() == []
    toy.looked_at()
    assert set(toy.health().values()) == {"fresh"}
    alerts = toy.alerts()
    assert alerts.keys() == {f"check equals_warehouse of {asset} (WARN)" for asset in named}
    for asset, why in named.items():
        assert alerts[f"check equals_warehouse of {asset} (WARN)"].startswith(why)
    sent = [
        int(str(event.step_materialization_data.materialization.metadata["bytes sent"].value))
        for _, result in ran
        for event in result.all_events
        if event.event_type_value == "ASSET_MATERIALIZATION"
    ]
    again = {(table, key) for _, table, key in toy.entered()[entered:]}
    if copied == "all":
        assert len(again) == entered
    elif copied == "entered":
        assert len(toy.entered()) == entered, "what is there is entered, and not copied"
        assert not any(sent)
    else:
        assert again == copied


def test_an_older_backup_restored_behind_its_back_is_named_and_mended(
    toy: Toy, postgres: str
) -> None:
    toy.load(FIRST)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESTORE_URL", f"postgresql://promoter@/analytics_restore?host={postgres}")
        made, _ = backup.back_up(settings.load(), toy.tables, now(), logging.getLogger("backup"))
        assert made
        toy.load(RESTATED)
        toy.looked_at()
        after, entered = toy.total(), len(toy.entered())
        assert set(toy.health().values()) == {"fresh"}
        name = server.urls(settings.load()).promoter.partition("?")[0].rpartition("/")[2]
        backup.restore(settings.load(), made.name, name, name, logging.getLogger("backup"))
    assert toy.total() == after - 300
    older = len(toy.entered())
    assert older < entered
    lags = toy.why()
    assert lags.keys() == {f"production/toy/{name}" for name in GRAINS}
    assert set(toy.health().values()) == {"altered"}

    ran = toy.refresh()
    assert not failures(ran)
    assert toy.total() == after
    assert toy.refresh() == []
    copied = {(table, key) for _, table, key in toy.entered()[older:]}
    assert copied == {
        ("toy/agg_shop_daily", "2024-01"),
        ("toy/agg_shop_monthly", "2024-01"),
        ("toy/agg_weekly", "2024-01-01"),
        ("toy/agg_weekly", "2024-01-08"),
        ("toy/agg_yearly", "2024"),
    }
    toy.looked_at()
    assert set(toy.health().values()) == {"fresh"}
    assert toy.alerts().keys() == {
        f"check equals_warehouse of production/toy/{name} (WARN)" for name in GRAINS
    }


def test_an_empty_table_of_another_shape_is_made_anew(toy: Toy) -> None:
    with present() as (snapshot, engine), open_session(settings.load()) as session:
        release(engine, session, snapshot, toy.tables, "run")
    toy.by_hand("comment on table toy_store.agg_yearly is 'of an earlier release'")
    assert toy.why() == {
        "production/toy/agg_yearly": "its rows are stored in another way than declared; the next"
        " run compares it with the warehouse"
    }
    toy.refresh()
    assert toy.behind() == []
    assert toy.refresh() == []


def test_what_waits_and_was_lost_comes_back_as_it_was(toy: Toy) -> None:
    """The version that readers had, from the lake, and not the one that is on hold."""
    toy.load(FIRST)
    before = toy.workspace.production("select * from toy.agg_yearly order by 1")
    toy.load(FIRST | {"2024-01": [(date(2024, 1, 5), "a", 1)]})
    for statement in (
        "update toy_store.agg_yearly set cents = 0",
        "drop table toy_store.agg_yearly cascade",
    ):
        toy.by_hand(statement)
        toy.refresh()
        assert toy.workspace.production("select * from toy.agg_yearly order by 1") == before
        assert toy.total() == 4300


def test_an_asset_that_is_materialised_by_hand_makes_the_release(toy: Toy) -> None:
    yearly = dg.AssetKey(["production", "toy", "agg_yearly"])

    def by_hand() -> dg.ExecuteInProcessResult:
        job = toy.definitions.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            instance=toy.workspace.instance,
            asset_selection=[yearly],
            partition_key="2024",
            raise_on_error=False,
        )

    def changed(result: dg.ExecuteInProcessResult) -> list[object]:
        return [
            event.step_materialization_data.materialization.metadata["changed"].value
            for event in result.all_events
            if event.event_type_value == "ASSET_MATERIALIZATION" and event.asset_key == yearly
        ]

    toy.load(FIRST)
    toy.memory.months = dict(RESTATED)
    settle(toy.tables, toy.workspace.lake)
    result = by_hand()
    assert (result.success, changed(result)) == (True, [True])
    assert toy.total() == 4600, "all tables of the domain are released with it"
    result = by_hand()
    assert (result.success, changed(result)) == (True, [False])

    toy.memory.months = FIRST | {"2024-01": [(date(2024, 1, 5), "a", 1)]}
    settle(toy.tables, toy.workspace.lake)
    result = by_hand()
    assert (result.success, changed(result)) == (False, [])
    assert "toy/agg_yearly 2024: waits with what follows" in failures([(None, result)])[0]
    assert toy.total() == 4600


def test_what_only_production_has_stays_until_somebody_says_otherwise(workspace: Workspace) -> None:
    """A lake that was lost, and of which not all can be built again."""
    toy = Toy(workspace)
    toy.load(FIRST)
    shutil.rmtree(settings.load().lake)
    rest = {month: rows for month, rows in FIRST.items() if month != "2024-01"}
    toy.load(rest)
    assert toy.total() == 4300
    assert "this is the only copy" in toy.why()["production/toy/agg_shop_daily"]
    assert workspace.run("confirm_promotion", toy.definitions, table="toy").success
    toy.refresh()
    assert toy.total() == 1800
    toy.load(rest | {"2022-05": [(date(2022, 5, 5), "a", 20)]})
    assert toy.total() == 1820
    toy.load(rest | {"2022-05": []})
    assert toy.total() == 1800, "what was built here leaves by itself"


def test_a_release_is_taken_back_by_its_number(toy: Toy) -> None:
    toy.load(FIRST)
    before = toy.total()
    toy.load(RESTATED)
    after = toy.total()
    definitions = toy.definitions
    assert toy.workspace.run("rollback_production", definitions, release=2).success
    assert toy.total() == before
    assert toy.refresh() == [], "it is promoted again at once"
    kinds = toy.workspace.production("select id, kind, why from promotion.release order by id")
    assert [kind for _, kind, _ in kinds] == ["release", "release", "rollback"]
    assert "put back to" in kinds[-1][2]
    assert toy.workspace.run("confirm_promotion", definitions, table="toy/agg_yearly").success
    toy.refresh()
    assert toy.total() == after
    result = toy.workspace.run("rollback_production", definitions, release=99)
    assert not result.success


def test_what_production_refuses_is_one_sentence_and_changes_nothing(toy: Toy) -> None:
    toy.load(FIRST)
    toy.by_hand("create materialized view public.mine as select * from toy.agg_yearly")
    toy.change("agg_yearly", publish=Publish(("cents",)))
    (said,) = failures(toy.load(RESTATED))
    assert said == (
        "toy/agg_yearly: public.mine is made from it and is no plain view, so it cannot be made"
        " again. Drop it, try again, and make it anew. Nothing was changed"
    )
    assert toy.total() == 4300
    toy.by_hand("drop materialized view public.mine")
    assert not failures(toy.refresh())
    assert toy.total() == 4600


def test_a_renamed_table_leaves_nothing_behind(toy: Toy) -> None:
    toy.load(FIRST)
    toy.change("agg_yearly", publish=Publish(name="years"))
    assert toy.why() == {"production/toy/agg_yearly": "not promoted"}
    toy.refresh()
    assert toy.workspace.production("select sum(cents)::int from toy.years") == [(4300,)]
    assert toy.workspace.production(
        "select to_regclass('toy.agg_yearly')::text, to_regclass('toy.years')::text"
    ) == [(None, "years")]
    assert toy.behind() == []


# ---- what moves together ------------------------------------------------------------------------

PERIODS = {"day": DAILY, "month": MONTHLY, "week": WEEKLY, "year": YEARLY, "all": UNPARTITIONED}
_DAILY, _MONTHLY = toy_tables(Memory())[2:4]
DECLARED = {
    name: replace(_MONTHLY, key=f"toy/{name}", period=period, rollup_of=_DAILY)
    for name, period in PERIODS.items()
}
due = st.builds(
    lambda name, day: Due(
        DECLARED[name], PERIODS[name].key(date(2024, 1, 1) + timedelta(days=day)), "f", "why"
    ),
    st.sampled_from(sorted(PERIODS)),
    st.integers(0, 1500),
)


@given(st.lists(due, max_size=40, unique_by=lambda one: one.place))
def test_partitions_that_share_a_day_move_together_and_no_others(dues: list[Due]) -> None:
    groups = clusters(dues)
    assert sorted(d.place for group in groups for d in group) == sorted(d.place for d in dues)
    number = {d.place: n for n, group in enumerate(groups) for d in group}
    for one in dues:
        for other in dues:
            (start, end), (since, until) = (span(d.table, d.partition) for d in (one, other))
            if start < until and since < end:
                assert number[one.place] == number[other.place]
    for group in groups:
        days = sorted(span(d.table, d.partition) for d in group)
        reached = days[0][1]
        for start, end in days[1:]:
            assert start < reached, "nothing ties them together"
            reached = max(reached, end)

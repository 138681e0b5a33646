"""The whole domain as Dagster builds it: planted effects found, pictures shown, nobody named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics_assets import settings
from analytics_assets.domains.behavior.pseudonyms import KEY
from analytics_assets.domains.behavior.sample import Effects, generate
from analytics_assets.domains.behavior.tables import TABLES
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets_tests.behavior.database import Database
from analytics_assets_tests.conftest import as_admin, make_workspace
from analytics_assets_tests.workspace import Ran, Workspace, failures, materialised

DAYS, EFFECT = 40, 9.0


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory, postgres: str
) -> Iterator[tuple[Workspace, Database, Ran]]:
    """Six users in 40 days, of whom the sixth stops after half of them."""
    as_admin(postgres, "create database built_events owner promoter")
    database = Database(f"postgresql://promoter@/built_events?host={postgres}")
    generate(database.url, users=6, days=DAYS, events_a_day=12, effects=Effects(level=EFFECT))
    database.run(
        'delete from behavioral_events where "userId" = (select max("userId") from'
        " behavioral_events) and \"timestamp\" >= '2024-01-09T00:00Z'"
    )
    with pytest.MonkeyPatch.context() as patch:
        for workspace in make_workspace(tmp_path_factory.mktemp("built"), postgres, patch):
            patch.setenv("BEHAVIOR_SOURCE_URL", database.url)
            yield workspace, database, workspace.refresh(tables=TABLES)


def test_everything_is_built_once(built: tuple[Workspace, Database, Ran]) -> None:
    workspace, _, ran = built
    assert failures(ran) == []
    done = materialised(ran)
    promoted = {f"production/{table.key}" for table in TABLES if table.publish}
    assert {asset for asset, _ in done} == {table.key for table in TABLES} | promoted
    built_once = [key for key in done if not key[0].startswith("production/")]
    assert len(built_once) == 4 * DAYS + 5
    assert workspace.refresh(tables=TABLES) == []
    snapshot = Snapshot(workspace.lake)
    assert [table.key for table in TABLES if snapshot.behind(table)] == []


def test_quality_and_performance_add_up(built: tuple[Workspace, Database, Ran]) -> None:
    workspace, database, _ = built
    events = len(database.rows())
    ((total, types, phases),) = workspace.warehouse(
        "select sum(total_rows), sum(card_reviewed_rows), sum(baseline_1_rows + baseline_2_rows"
        " + intervention_a_1_rows + intervention_a_2_rows + experiment_phase_nulls)"
        " from behavior.export_quality"
    )
    assert total == phases == events
    assert 0 < types < events
    ((daily, mean),) = workspace.warehouse(
        "select sum(events), sum(score_sum) / sum(scored_events) from behavior.daily_performance"
    )
    ((expected,),) = database.run(
        'select avg("sessionPerformanceScore")::float from behavioral_events'
    )
    assert daily == events
    assert float(mean) == pytest.approx(expected)


def test_planted_effects_are_found(built: tuple[Workspace, Database, Ran]) -> None:
    workspace, _, _ = built
    ((low, high, p_value),) = workspace.warehouse(
        "select effect_low, effect_high, effect_p_value from behavior.abab_analysis"
        " where subject = 'all'"
    )
    assert low < EFFECT < high
    assert p_value < 0.01
    refused = workspace.warehouse(
        "select refusal from behavior.abab_analysis where refusal is not null"
    )
    assert len(refused) == 1
    rows = workspace.warehouse(
        "select outcome, count(*), count(refusal) from behavior.its_analysis group by 1 order by 1"
    )
    assert rows == [("events", 7, 1), ("mean_score", 7, 1)]


def test_pictures_are_shown_and_nobody_is_named(built: tuple[Workspace, Database, Ran]) -> None:
    _, database, ran = built
    users = [user for (user,) in database.run('select distinct "userId" from behavioral_events')]
    pictures = set()
    for _, result in ran:
        for event in result.all_events:
            assert not [user for user in users if user in str(event)]
            if event.event_type_value == "ASSET_MATERIALIZATION":
                entry = event.step_materialization_data.materialization
                if any("data:image/svg" in str(value.value) for value in entry.metadata.values()):
                    pictures.add(entry.asset_key.path[-1])
    assert pictures >= {"its_analysis", "abab_analysis"}


def test_a_late_row_reaches_its_day_and_the_analyses(
    built: tuple[Workspace, Database, Ran],
) -> None:
    workspace, database, _ = built
    before = {table.key: workspace.lake.fingerprints(table) for table in TABLES}
    database.insert_like("2024-01-10", "c" + "9" * 24)
    ran = workspace.refresh(tables=TABLES)
    assert failures(ran) == []
    changed = {
        (table.name, key)
        for table in TABLES
        for key, value in workspace.lake.fingerprints(table).items()
        if before[table.key].get(key) != value
    }
    assert changed <= {
        ("behavioral_events", "2024-01-10"),
        ("daily_performance", "2024-01-10"),
        ("export_quality", "2024-01-10"),
        ("its_analysis", "all"),
        ("abab_analysis", "all"),
        ("public_daily_performance", "2024-01-10"),
        ("public_its_analysis", "all"),
        ("public_abab_analysis", "all"),
    }
    assert {name for name, _ in changed} >= {"behavioral_events", "export_quality"}


def test_the_view_is_straight_over_parquet(built: tuple[Workspace, Database, Ran]) -> None:
    workspace, database, _ = built
    ((view,),) = workspace.warehouse(
        "select sql from duckdb_views() where schema_name = 'behavior'"
        " and view_name = 'behavioral_events'"
    )
    assert "read_parquet" in view
    assert Path(settings.load().lake).name in view
    ((count,),) = workspace.warehouse("select count(*) from behavior.behavioral_events")
    assert count == len(database.rows())


def test_readers_know_users_by_pseudonyms_alone(built: tuple[Workspace, Database, Ran]) -> None:
    workspace, _, _ = built
    found = workspace.warehouse("select distinct user_id from behavior.daily_performance")
    users = {user for (user,) in found}
    hashes = set(KEY.hashes(sorted(users)))
    for table, column in (
        ("daily_performance", "pseudonym"),
        ("its_analysis", "subject"),
        ("abab_analysis", "subject"),
    ):
        names = workspace.production(f"select distinct {column} from behavior.{table}")
        assert {name for (name,) in names} - {"all"} <= hashes
        (text,) = workspace.production(f"select string_agg(t::text, ' ') from behavior.{table} t")[
            0
        ]
        assert not [user for user in users if user in text]
        rows = workspace.warehouse(f"select count(*) from behavior.{table}")
        assert workspace.production(f"select count(*) from behavior.{table}") == rows

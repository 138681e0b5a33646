"""What readers get: the brief's own queries, names and indexes; and no user ids unasked."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from analytics_assets import settings
from analytics_assets.definitions import build
from analytics_assets.domains.ad_metrics.sample import FIRST_DAY, write
from analytics_assets.domains.ad_metrics.tables import (
    TABLES,
    daily_mixpanel_metrics,
    daily_mixpanel_metrics_breakdown,
    id_hierarchy_mapping,
)
from analytics_assets_tests.ad_metrics.landed import metrics, small_world
from analytics_assets_tests.conftest import make_workspace
from analytics_assets_tests.workspace import Workspace, failures, materialised

DAYS = 10


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[Workspace]:
    """Ten days of ads, built and promoted by the real definitions, without the births."""
    folder = tmp_path_factory.mktemp("ads")
    with pytest.MonkeyPatch.context() as monkeypatch:
        for workspace in make_workspace(folder, postgres, monkeypatch):
            write(small_world(3, DAYS, ads=5, users=4), folder / "mixpanel", folder / "meta_ads")
            assert failures(workspace.refresh(build(TABLES), TABLES)) == []
            yield workspace


def busiest(workspace: Workspace) -> str:
    return workspace.production(
        "select entity_id from daily_mixpanel_metrics where entity_type = 'campaign'"
        " group by 1 order by sum(meta_spend) desc limit 1"
    )[0][0]


def test_single_day_and_range(promoted: Workspace) -> None:
    campaign = busiest(promoted)
    (day,) = promoted.production(
        "select meta_spend, trial_users_count, mixpanel_trial_count from daily_mixpanel_metrics"
        f" where entity_type = 'campaign' and entity_id = '{campaign}' and date = '2025-01-10'"
    )
    assert day[1] == day[2]
    ((spend, trials, _),) = promoted.production(
        "select sum(meta_spend) as total_spend, sum(trial_users_count) as total_trials,"
        " avg(trial_accuracy_ratio) as avg_accuracy from daily_mixpanel_metrics"
        f" where entity_type = 'campaign' and entity_id = '{campaign}'"
        " and date between '2025-01-01' and '2025-01-14'"
    )
    found = [
        row
        for (kind, entity, day, axis, _), row in metrics(promoted.lake).items()
        if (kind, entity, axis) == ("campaign", campaign, "") and day.isoformat() <= "2025-01-14"
    ]
    assert spend == sum(row["meta_spend"] for row in found) > 0
    assert trials == sum(row["mixpanel_trial_count"] for row in found) > 0


def test_country_breakdown_of_a_day(promoted: Workspace) -> None:
    found = promoted.production(
        "select breakdown_value as country_code, meta_spend, trial_users_count,"
        " adjusted_estimated_revenue_usd from daily_mixpanel_metrics_breakdown"
        f" where entity_type = 'campaign' and entity_id = '{busiest(promoted)}'"
        " and date = '2025-01-10' and breakdown_type = 'country'"
    )
    assert len(found) > 1


def test_overall_and_country_for_14_days(promoted: Workspace) -> None:
    """The brief's critical query; that it left out breakdown_type is mended."""
    campaign = busiest(promoted)
    where = (
        f"where entity_type = 'campaign' and entity_id = '{campaign}'"
        " and date between '2025-01-01' and '2025-01-14'"
    )
    rows = promoted.production(
        "select 'overall' as breakdown_type, 'ALL' as country_code,"
        " sum(meta_spend) as total_spend, sum(mixpanel_trial_count) as total_trials,"
        " sum(mixpanel_purchase_count) as total_purchases,"
        " sum(adjusted_estimated_revenue_usd) as total_revenue, sum(profit_usd) as total_profit,"
        f" avg(trial_accuracy_ratio) as avg_trial_accuracy from daily_mixpanel_metrics {where}"
        " union all"
        " select 'country' as breakdown_type, breakdown_value as country_code,"
        " sum(meta_spend) as total_spend, sum(trial_users_count) as total_trials,"
        " sum(purchase_users_count) as total_purchases,"
        " sum(adjusted_estimated_revenue_usd) as total_revenue, sum(profit_usd) as total_profit,"
        " avg(trial_accuracy_ratio) as avg_trial_accuracy"
        f" from daily_mixpanel_metrics_breakdown {where} and breakdown_type = 'country'"
        " group by country_code order by breakdown_type, total_spend desc"
    )
    overall = [row for row in rows if row[0] == "overall"]
    countries = [row for row in rows if row[0] == "country"]
    assert len(overall) == 1
    for column in (2, 3, 4):
        assert sum(row[column] for row in countries) == overall[0][column]


@pytest.mark.parametrize("days", [14, 28])
def test_sparklines(promoted: Workspace, days: int) -> None:
    last = FIRST_DAY + timedelta(days=DAYS - 1)
    found = promoted.production(
        "select date, meta_spend, adjusted_estimated_revenue_usd, profit_usd,"
        " mixpanel_purchase_count, mixpanel_trial_count, trial_accuracy_ratio,"
        " purchase_accuracy_ratio from daily_mixpanel_metrics"
        f" where entity_type = 'campaign' and entity_id = '{busiest(promoted)}'"
        f" and date between date '{last}' - {days - 1} and date '{last}' order by date"
    )
    there = min(days, DAYS)
    assert [row[0] for row in found] == [last - timedelta(days=n) for n in range(there)][::-1]


def test_the_overview_is_all_campaigns(promoted: Workspace) -> None:
    """The brief's overview sparkline, which left out the level and so counted everything thrice."""
    selected = "select date, sum(meta_spend), sum(adjusted_estimated_revenue_usd), sum(profit_usd)"
    grouped = "group by date order by date"
    campaigns = promoted.production(
        f"{selected} from daily_mixpanel_metrics where entity_type = 'campaign' {grouped}"
    )
    assert len(campaigns) == DAYS
    overview = promoted.production(f"{selected} from daily_mixpanel_metrics_overview {grouped}")
    assert overview == campaigns
    ads = promoted.production(
        f"{selected} from daily_mixpanel_metrics where entity_type = 'ad' {grouped}"
    )
    assert [row[1] for row in ads] == [row[1] for row in campaigns]


def test_rates_of_a_range_are_those_of_its_sums(promoted: Workspace) -> None:
    """Counted anew from the user lists of the warehouse, not averaged over days."""
    ((actual, expected, roas),) = promoted.production(
        "select round(100.0 * sum(mixpanel_converted_count)"
        " / nullif(sum(mixpanel_post_trial_count), 0), 4),"
        " round(sum(trial_conversion_rate_total) / nullif(sum(mixpanel_trial_count), 0), 4),"
        " round(sum(estimated_revenue_usd) / nullif(sum(meta_spend), 0), 4)"
        " from daily_mixpanel_metrics where entity_type = 'ad'"
    )
    ads = [row for key, row in metrics(promoted.lake).items() if key[0] == "ad" and not key[3]]
    converted = sum(len(json.loads(row["converted_user_ids"])) for row in ads)
    over = sum(len(json.loads(row["post_trial_user_ids"])) for row in ads)
    assert float(actual) == pytest.approx(100 * converted / over, abs=1e-4)
    average = sum(row["trial_conversion_rate_actual"] for row in ads) / len(ads)
    assert abs(float(actual) - float(average)) > 1
    assert 0 < expected < 100
    assert roas > 0


def test_grain_and_indexes(promoted: Workspace) -> None:
    indexes = " ".join(
        row[0]
        for row in promoted.production(
            "select indexdef from pg_indexes where schemaname = 'ad_metrics_store'"
        )
    )
    for columns in (
        "(entity_type, entity_id, date)",
        "(entity_type, entity_id, date, breakdown_type, breakdown_value)",
        "(date, entity_type)",
        "(breakdown_type, breakdown_value, date)",
    ):
        assert columns in indexes


def test_an_ad_that_moved_has_a_history(promoted: Workspace) -> None:
    rows = promoted.production(
        f"select ad_id, adset_id, first_seen_date, last_seen_date from {id_hierarchy_mapping.name}"
        " where ad_id = '12030004' order by first_seen_date"
    )
    assert len(rows) == 2
    assert rows[0][1] != rows[1][1]
    assert rows[0][3] < rows[1][2]


def test_spend_only_days_are_there(promoted: Workspace) -> None:
    ((count,),) = promoted.production(
        "select count(*) from daily_mixpanel_metrics where meta_spend > 0"
        " and mixpanel_trial_count = 0 and mixpanel_purchase_count = 0"
    )
    assert count > 0


def test_the_nightly_run_rebuilds_the_changed_day_and_nothing_else(promoted: Workspace) -> None:
    """Meta restates one day of its lookback; the schedules ask for that day, by name."""
    path = Path(os.environ["META_ADS_SOURCE"]) / "ad_performance_daily" / "2025-01-10.jsonl"
    row = json.loads(path.read_text().splitlines()[0])
    path.write_text(path.read_text().replace(f'"spend": "{row["spend"]}"', '"spend": "777.77"', 1))
    definitions = build(TABLES)
    (schedule,) = [s for s in definitions.schedules or () if s.name == "ad_metrics_daily_nightly"]
    with dg.build_schedule_context(
        instance=promoted.instance, repository_def=definitions.get_repository_def()
    ) as context:
        asked = schedule.evaluate_tick(context).run_requests
    assert [request.tags["dagster/partition"] for request in asked or ()] == ["2025-01-10"]
    ran = promoted.refresh(definitions, TABLES)
    assert failures(ran) == []
    daily = {
        "ad_metrics/ad_performance_daily",
        "ad_metrics/ad_performance",
        "ad_metrics/daily_mixpanel_metrics",
        "ad_metrics/daily_mixpanel_metrics_breakdown",
        "ad_metrics/daily_mixpanel_metrics_overview",
        "production/ad_metrics/daily_mixpanel_metrics",
        "production/ad_metrics/daily_mixpanel_metrics_breakdown",
        "production/ad_metrics/daily_mixpanel_metrics_overview",
    }
    whole = {"ad_metrics/id_name_mapping", "ad_metrics/id_hierarchy_mapping"}
    whole |= {f"production/{name}" for name in whole}
    rebuilt = materialised(ran)
    assert {(name, key) for name, key in rebuilt if key != "all"} == {
        (name, "2025-01-10") for name in daily
    }
    assert {name for name, key in rebuilt if key == "all"} <= whole
    assert promoted.refresh(definitions, TABLES) == []


def test_a_window_of_days_is_the_partition_mapping(promoted: Workspace) -> None:
    graph = build(TABLES).resolve_asset_graph()
    node = graph.get(dg.AssetKey(["ad_metrics", "user_product_lifecycles"]))
    mapping = node.partition_mappings[dg.AssetKey(["ad_metrics", "user_product_events"])]
    assert (mapping.start_offset, mapping.end_offset) == (0, 60)


def test_user_ids_are_nowhere_but_in_the_lake(
    promoted: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    names = {
        row[0]
        for row in promoted.production(
            "select column_name from information_schema.columns"
            " where table_schema in ('ad_metrics', 'ad_metrics_store')"
        )
    }
    assert not {name for name in names if name.endswith(("_user_ids", "_users_list"))}
    assert "distinct_id" not in names
    events = repr(
        [
            entry.to_json()
            for run in promoted.instance.get_runs()
            for entry in promoted.instance.all_logs(run.run_id)
        ]
    )
    assert len(events) > 10_000
    assert "$device" not in events
    assert "$device" not in caplog.text


def test_user_ids_are_promoted_when_switched_on(promoted: Workspace) -> None:
    switched = [
        replace(table, publish=replace(table.publish, personal="promoted"))
        if table in (daily_mixpanel_metrics, daily_mixpanel_metrics_breakdown)
        else table
        for table in TABLES
    ]
    from analytics_assets.production import server
    from analytics_assets.production.parity import compare
    from analytics_assets.production.promotion import production_engine
    from analytics_assets.warehouse.builds import Snapshot
    from analytics_assets.warehouse.session import open_session
    from analytics_assets_tests.workspace import promote

    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    config = settings.load()
    table = next(t for t in switched if t.name == "daily_mixpanel_metrics")
    snapshot = Snapshot(promoted.lake)
    with (
        open_session(config) as session,
        production_engine(server.urls(config).promoter) as engine,
    ):
        for chosen in (table, daily_mixpanel_metrics):
            with engine.connect() as connection:
                keys = [file.key for file in snapshot.files(chosen)]
                promote(engine, session, snapshot, chosen, keys, "switch")
                assert compare(connection, session, snapshot, chosen).differences == []
            if chosen is table:
                found = promoted.production(
                    "select trial_users_list, trial_user_ids, trial_users_count"
                    " from daily_mixpanel_metrics where trial_users_count > 1 limit 5"
                )
                assert found
                for listed, same, count in found:
                    assert listed == same
                    assert len(json.loads(listed)) == count
    columns = promoted.production("select * from daily_mixpanel_metrics limit 0")
    assert columns == []
    assert Path(config.home).exists()

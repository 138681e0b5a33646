"""Each threshold of the monitoring, firing and not firing."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import dagster as dg
import pytest

from analytics_assets.core.contracts import asset_key
from analytics_assets.domains.behavior.monitoring import (
    failed_runs,
    slow_days,
    unlike_a_week_before,
)
from analytics_assets.domains.behavior.sources import EXPORT_SECONDS
from analytics_assets.domains.behavior.tables import behavioral_events, export_quality
from analytics_assets_tests.behavior.database import Database, build

DAY = "2024-01-05"
_OF_DAY = f"(\"timestamp\" at time zone 'UTC')::date = '{DAY}'"
NOW = datetime.now(timezone.utc)


def instance_with(succeeded: int, failed: int) -> dg.DagsterInstance:
    """An instance in which so many runs exported events."""
    instance = dg.DagsterInstance.ephemeral()
    statuses = [dg.DagsterRunStatus.SUCCESS] * succeeded + [dg.DagsterRunStatus.FAILURE] * failed
    for status in statuses:
        instance.add_run(
            dg.DagsterRun(
                job_name="behavior_daily",
                run_id=dg._core.utils.make_new_run_id(),
                status=status,
                asset_selection=frozenset({asset_key(behavioral_events)}),
            )
        )
    return instance


@pytest.mark.parametrize(
    ("succeeded", "failed", "fires"), [(19, 1, False), (18, 1, True), (0, 0, False)]
)
def test_exports_succeed_in_95_percent_of_7_days(succeeded: int, failed: int, fires: bool) -> None:
    instance = instance_with(succeeded, failed)
    assert bool(failed_runs(instance, NOW + timedelta(minutes=1))) == fires
    assert not failed_runs(instance, NOW + timedelta(days=8)), "older runs do not count"


@pytest.mark.parametrize(("seconds", "fires"), [(600.0, False), (600.5, True)])
def test_an_export_takes_at_most_10_minutes(seconds: float, fires: bool) -> None:
    instance = dg.DagsterInstance.ephemeral()
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key(behavioral_events), partition=DAY, metadata={EXPORT_SECONDS: seconds}
        )
    )
    found = slow_days(instance, NOW)
    assert found == ([f"{DAY}: 600 s"] if fires else [])
    assert slow_days(instance, NOW + timedelta(days=8)) == []


@pytest.mark.parametrize(("rows", "fires"), [(150, False), (151, True), (50, False), (49, True)])
def test_rows_change_by_at_most_half_from_a_week_before(rows: int, fires: bool) -> None:
    counts = {"2024-01-05": 100, "2024-01-11": 10_000, "2024-01-12": rows}
    assert bool(unlike_a_week_before(counts, ["2024-01-12"], NOW)) == fires
    assert unlike_a_week_before(counts, ["2024-01-11"], NOW) == [], "there is no week before"
    running = datetime(2024, 1, 12, 9, tzinfo=timezone.utc)
    assert unlike_a_week_before(counts, ["2024-01-12"], running) == [], "the day is not over"


def warnings_of(database: Database) -> set[str]:
    build(days=[DAY])
    outcome = build(export_quality, [DAY])
    assert outcome.failed() == set(), "they warn and never block"
    return {finding.check for finding in outcome.findings}


def test_at_least_5_users(database: Database) -> None:
    ids = database.run(f'select distinct "userId" from behavioral_events where {_OF_DAY}')
    keep = [user for (user,) in ids][:5]
    assert len(keep) == 5
    database.run(
        f'delete from behavioral_events where {_OF_DAY} and not "userId" = any(%s)', [keep]
    )
    assert warnings_of(database) == set()
    database.run(f'delete from behavioral_events where {_OF_DAY} and "userId" = %s', [keep[0]])
    assert warnings_of(database) == {"enough_users"}


@pytest.mark.parametrize("column", ["dayOfWeek", "timeOfDay", "sessionPerformanceScore"])
def test_at_most_10_percent_of_what_is_required_is_null(database: Database, column: str) -> None:
    ids = [i for (i,) in database.run(f"select id from behavioral_events where {_OF_DAY} limit 30")]
    database.run(f"delete from behavioral_events where {_OF_DAY} and not id = any(%s)", [ids])
    database.run(f'update behavioral_events set "sessionPerformanceScore" = 50 where {_OF_DAY}')
    empty = f'update behavioral_events set "{column}" = null where id = any(%s)'
    database.run(empty, [ids[:3]])
    assert warnings_of(database) == set()
    database.run(empty, [ids[:4]])
    assert warnings_of(database) == {"required_not_null"}


def test_the_phase_is_null_in_at_most_90_percent(database: Database) -> None:
    ids = [i for (i,) in database.run(f"select id from behavioral_events where {_OF_DAY} limit 30")]
    database.run(f"delete from behavioral_events where {_OF_DAY} and not id = any(%s)", [ids])
    empty = 'update behavioral_events set "experimentPhase" = null where id = any(%s)'
    database.run(empty, [ids[:27]])
    assert warnings_of(database) == set()
    database.run(empty, [ids[:28]])
    assert warnings_of(database) == {"phases_known"}

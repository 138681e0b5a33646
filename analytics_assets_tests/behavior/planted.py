"""The defects that are planted for the checks of behavioural events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import dagster as dg
import pytest

from analytics_assets import settings
from analytics_assets.core.declaration import Table
from analytics_assets.domains.behavior.sample import generate
from analytics_assets.domains.behavior.sources import EXPORT_SECONDS
from analytics_assets.domains.behavior.tables import TABLES, behavioral_events, export_quality
from analytics_assets.warehouse.lake import Lake
from analytics_assets_tests.behavior.database import Database
from analytics_assets_tests.conftest import as_admin
from analytics_assets_tests.warehouse.planted import Defect, Site, build, evaluated, judged, only

# A Friday, and the one after it.
EVENT_DAY, NEXT_WEEK = "2024-01-05", "2024-01-12"
_ONE_EVENT = (
    "id = (select min(id) from behavioral_events"
    f" where (\"timestamp\" at time zone 'UTC')::date = '{EVENT_DAY}')"
)
_EVENTS_OF_DAY = f"(\"timestamp\" at time zone 'UTC')::date = '{EVENT_DAY}'"


@contextmanager
def events(site: Site) -> Iterator[Database]:
    """An operational database with the events of 6 users in 14 days, and an empty lake."""
    name = f"planted_events_{uuid4().hex}"
    as_admin(site.postgres, f"create database {name} owner promoter")
    database = Database(f"postgresql://promoter@/{name}?host={site.postgres}")
    generate(database.url, users=6, days=14, fewest=3)
    with site.home(name), pytest.MonkeyPatch.context() as patch:
        patch.setenv("BEHAVIOR_SOURCE_URL", database.url)
        yield database
    as_admin(site.postgres, f"drop database {name} with (force)")


def in_events(statement: str, *tables: Table) -> Callable[[Site, Defect], str]:
    """Change the operational database; the last of the tables is judged."""

    def plant(site: Site, defect: Defect) -> str:
        with events(site) as database:
            database.run(statement)
            for upstream in tables[:-1]:
                assert not build(Lake(settings.load().lake), upstream, [EVENT_DAY]).failed()
            return judged(Lake(settings.load().lake), tables[-1], EVENT_DAY, defect)

    return plant


def old_event(site: Site, defect: Defect) -> str:
    """It belongs to no day, and so is judged with the first one that there is."""
    with events(site) as database:
        database.run(
            'update behavioral_events set "timestamp" = \'1999-12-31T23:00Z\', "dayOfWeek" = 4,'
            f' "timeOfDay" = 23 where {_ONE_EVENT}'
        )
        return judged(Lake(settings.load().lake), behavioral_events, "2000-01-01", defect)


def monitored(plant: Callable[[dg.DagsterInstance, Database], None]) -> Callable[..., str]:
    """What a check of the exports says of what was planted in instance, database and lake."""

    def planted(site: Site, defect: Defect) -> str:
        with site.workspace() as workspace, events(site) as database:
            plant(workspace.instance, database)
            key = dg.AssetCheckKey(dg.AssetKey(["behavior", "behavioral_events"]), defect.check)
            return evaluated(workspace, TABLES, only(key))

    return planted


def failed_exports(instance: dg.DagsterInstance, database: Database) -> None:
    for status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS):
        exports = frozenset({dg.AssetKey(["behavior", "behavioral_events"])})
        instance.add_run(
            dg.DagsterRun(job_name="behavior_daily", status=status, asset_selection=exports)
        )


def slow_export(instance: dg.DagsterInstance, database: Database) -> None:
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            ["behavior", "behavioral_events"],
            partition=EVENT_DAY,
            metadata={EXPORT_SECONDS: 601.0},
        )
    )


def doubled_day(instance: dg.DagsterInstance, database: Database) -> None:
    rows = len(database.rows(NEXT_WEEK))
    for number in range(rows):
        database.insert_like(NEXT_WEEK, f"c{number:024}")
    days = [EVENT_DAY, NEXT_WEEK]
    assert not build(Lake(settings.load().lake), behavioral_events, days).failed()


DEFECTS = (
    Defect(
        "contract",
        "an identifier of another form",
        ("userId not like ^c[a-z0-9]{24}$: 1 rows", "Mend"),
        in_events(
            f"update behavioral_events set \"userId\" = 'me' where {_ONE_EVENT}", behavioral_events
        ),
        quarantined=1,
    ),
    Defect(
        "timestamp_in_day",
        "an event in the year 1999",
        ("within the day of its partition: 1 found", "in the future or before 2000"),
        old_event,
        quarantined=1,
    ),
    Defect(
        "agrees_with_timestamp",
        "hours of another time zone",
        ("are those of the timestamp", "which has to be UTC"),
        in_events(
            'update behavioral_events set "timeOfDay" = mod("timeOfDay" + 1, 24)'
            f" where {_ONE_EVENT}",
            behavioral_events,
        ),
        quarantined=1,
    ),
    Defect(
        "phase_has_context",
        "a phase of an experiment of which nothing is known",
        ("has a contextMetadataId: 1 found", "Add the context"),
        in_events(
            f'update behavioral_events set "contextMetadataId" = null where {_ONE_EVENT}',
            behavioral_events,
        ),
        quarantined=1,
    ),
    Defect(
        "enough_users",
        "a day on which one user did everything",
        ("At least 5 users", "still records everybody"),
        in_events(
            f"delete from behavioral_events where {_EVENTS_OF_DAY} and"
            ' "userId" <> (select min("userId") from behavioral_events)',
            behavioral_events,
            export_quality,
        ),
        blocks=False,
    ),
    Defect(
        "required_not_null",
        "a day without scores",
        ("At most 10% of what the analyses need is NULL", "the release"),
        in_events(
            f'update behavioral_events set "sessionPerformanceScore" = null where {_EVENTS_OF_DAY}',
            behavioral_events,
            export_quality,
        ),
        blocks=False,
    ),
    Defect(
        "phases_known",
        "a day without experiments",
        ("NULL in at most 90%", "whether experiments still run"),
        in_events(
            f'update behavioral_events set "experimentPhase" = null where {_EVENTS_OF_DAY}',
            behavioral_events,
            export_quality,
        ),
        blocks=False,
    ),
    Defect(
        "export_success",
        "an export of two that failed",
        ("1 of 2 exports failed in 7 days", "failed runs"),
        monitored(failed_exports),
        blocks=False,
    ),
    Defect(
        "export_duration",
        "an export of a day that took 601 seconds",
        ("2024-01-05: 601 s", "index"),
        monitored(slow_export),
        blocks=False,
    ),
    Defect(
        "same_weekday",
        "a day with twice as many rows as a week before",
        ("a week before", "lost or doubled"),
        monitored(doubled_day),
        blocks=False,
    ),
)

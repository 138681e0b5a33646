"""How long Dagster's history is kept: events, evaluations of checks, runs, and their output.

Belongs here: deleting what is old and no answer to what is so now.
Does not belong here: versions of the lake (``warehouse/retention.py``), backups, ticks of schedules
and sensors, which Dagster's daemon deletes (``dagster.yaml``).

Dagster deletes runs with all their events, and an asset whose last materialisation goes with its
run counts as never made. So the last event of each kind of each asset and partition stays, and the
last evaluation of each check, with the runs that they are of.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from dagster import DagsterEventType
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable

from analytics_assets.production import records, server
from analytics_assets.production.promotion import production_engine
from analytics_assets.settings import Settings

_OF_ASSETS = (
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.ASSET_OBSERVATION,
    DagsterEventType.ASSET_FAILED_TO_MATERIALIZE,
)
# A server's own log is copied and cut off beyond this, because the server goes on writing to it.
_MOST_LOG_BYTES = 10 * 2**20


def forget(settings: Settings, before: datetime) -> dict[str, int]:
    """Delete what happened before a moment; returns what of, and how much."""
    done = {}
    with production_engine(server.urls(settings).dagster) as engine:
        for what, statement in _statements(before):
            with engine.begin() as connection:
                done[what] = connection.execute(statement).rowcount
    with production_engine(server.urls(settings).promoter) as engine, engine.begin() as connection:
        if records.there(connection):
            done["entries of the promotion log"] = connection.execute(_promotions(before)).rowcount
    done["folders of output"] = _delete_output(settings.dagster_home / "storage", before)
    _rotate(settings.home / "postgres" / "log")
    return done


def _statements(before: datetime) -> Iterator[tuple[str, sa.Delete]]:
    """What goes, in the order in which the one needs the other."""
    # Dagster's columns have no time zone and are UTC.
    moment = before.replace(tzinfo=None)
    events, checks = SqlEventLogStorageTable.c, AssetCheckExecutionsTable.c
    last_events = (
        sa.select(sa.func.max(events.id))
        .where(events.dagster_event_type.in_([kind.value for kind in _OF_ASSETS]))
        .group_by(events.asset_key, events.dagster_event_type, events.partition)
    )
    last_checks = sa.select(sa.func.max(checks.id)).group_by(
        checks.asset_key, checks.check_name, checks.partition
    )
    unfinished = sa.select(RunsTable.c.run_id).where(
        RunsTable.c.status.not_in([status.value for status in FINISHED_STATUSES])
    )
    yield (
        "events",
        sa.delete(SqlEventLogStorageTable).where(
            events.timestamp < moment,
            events.id.not_in(last_events),
            events.run_id.not_in(unfinished),
        ),
    )
    yield (
        "tags of events",
        sa.delete(AssetEventTagsTable).where(
            AssetEventTagsTable.c.event_timestamp < moment,
            AssetEventTagsTable.c.event_id.not_in(sa.select(events.id)),
        ),
    )
    yield (
        "evaluations of checks",
        sa.delete(AssetCheckExecutionsTable).where(
            checks.evaluation_event_timestamp < moment,
            checks.id.not_in(last_checks),
            checks.run_id.not_in(unfinished),
        ),
    )
    yield (
        "runs",
        sa.delete(RunsTable).where(
            RunsTable.c.end_time < before.timestamp(),
            RunsTable.c.run_id.not_in(unfinished),
            ~sa.exists().where(events.run_id == RunsTable.c.run_id),
            ~sa.exists().where(checks.run_id == RunsTable.c.run_id),
        ),
    )
    yield (
        "tags of runs",
        sa.delete(RunTagsTable).where(RunTagsTable.c.run_id.not_in(sa.select(RunsTable.c.run_id))),
    )


def _promotions(before: datetime) -> sa.Delete:
    """Entries that were replaced before the moment: what production held since can still be told.

    Releases stay: who made which change visible, a line each.
    """
    entries, later = records.ledger.c, records.ledger.alias("later")
    return sa.delete(records.ledger).where(
        sa.exists().where(
            later.c.table_name == entries.table_name,
            later.c.partition == entries.partition,
            later.c.id > entries.id,
            later.c.promoted_at < before,
        )
    )


def _delete_output(folder: Path, before: datetime) -> int:
    """What steps printed, in a folder for each run."""
    old = [path for path in folder.glob("*") if path.stat().st_mtime < before.timestamp()]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
    return len(old)


def _rotate(log: Path) -> None:
    with suppress(OSError):
        if log.stat().st_size > _MOST_LOG_BYTES:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            with log.open("r+b") as opened:
                opened.truncate(0)

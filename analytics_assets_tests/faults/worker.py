"""A process that does what a night or a job does, to be killed by tests.

Belongs here: the toy domain over files, so that processes share it; building, promoting, backing
up, rolling back, restoring and cleaning it; and a trace of how far it came, from which a killing
test aims and counts.
Does not belong here: killing, or judging what is left.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa

from analytics_assets import settings
from analytics_assets.automation import refresh as by_itself
from analytics_assets.automation.refresh import refresh
from analytics_assets.core.source import Landing
from analytics_assets.definitions import build
from analytics_assets.production import backup, reporting, rollback_production, server
from analytics_assets.production.promotion import Move, production_engine
from analytics_assets.warehouse import rollback_table, table_assets
from analytics_assets.warehouse.build import Builder
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.catalogue import mend_catalogue
from analytics_assets.warehouse.lake import Lake, open_lake
from analytics_assets.warehouse.ledger import BuildLedger, now
from analytics_assets.warehouse.retention import vacuum
from analytics_assets.warehouse.session import literal, open_session
from analytics_assets_tests.toy import toy_tables

LOG = logging.getLogger("worker")
_RETENTION = timedelta(days=30)
# Statements of a release that touch what readers see.
_STORED = re.compile(r"(delete from|insert into) \"\w+_store\"\.", re.IGNORECASE)
# How far a run had come, in order; the trace names one of these at every step.
PHASES = {
    "start": "planning, nothing built yet",
    "build": "staging and auditing",
    "publish": "publishing: the Delta commit",
    "published": "published, not in the build ledger",
    "record": "writing the build ledger",
    "recorded": "in the build ledger, not in the catalogue",
    "catalogue": "rewriting the catalogue",
    "between": "between two steps or runs",
    "promote": "promoting: copying rows",
    "replace": "promoting: replacing rows",
    "commit": "promoting: the commit",
    "promoted": "promoted, Dagster not told",
    "backup": "backing up",
    "dump": "backing up: dumping",
    "verify": "restoring a backup, on trial or to stay",
    "verified": "restored; a new backup put in place",
    "clean": "deleting what no version needs",
    "end": "done",
}


class Folder:
    """Sales as one CSV file a month, below ``TOY_SOURCE``."""

    def _files(self) -> dict[str, Path]:
        return {path.stem: path for path in sorted(Path(os.environ["TOY_SOURCE"]).glob("*.csv"))}

    def inputs(self) -> dict[str, dict[str, str]]:
        return {
            month: {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
            for month, path in self._files().items()
        }

    @contextmanager
    def land(self, landing: Landing) -> Iterator[list[str]]:
        path = self._files()[landing.key]
        yield [
            f"select * from read_csv({literal(str(path))}, header = true, columns = {{"
            "'sold_on': 'date', 'shop': 'varchar', 'cents': 'integer', 'position': 'integer'})"
        ]


TABLES = toy_tables(Folder())  # type: ignore[arg-type]
DEFINITIONS = build(TABLES)


class Trace:
    """Where a run is: each step is a line of a file, with its moment, which a kill leaves whole."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.phase = ""

    def mark(self, phase: str) -> None:
        if phase != self.phase:
            self.phase = phase
            os.write(self._file, f"{phase} {time.monotonic_ns()}\n".encode())

    def around(self, owner: Any, name: str, phase: str, then: str) -> None:
        """Mark the start and the end of every call of a function."""
        real: Callable[..., Any] = getattr(owner, name)

        def traced(*args: Any, **kwargs: Any) -> Any:
            self.mark(phase)
            result = real(*args, **kwargs)
            self.mark(then)
            return result

        setattr(owner, name, traced)

    def statement(self, *event: Any) -> None:
        """Within a promotion: the first statement that touches what readers see."""
        if self.phase == "promote" and _STORED.match(str(event[2])):
            self.mark("replace")

    def commit(self, _connection: sa.Connection) -> None:
        if self.phase == "replace":
            self.mark("commit")


def work(environment: Mapping[str, str], how: str, as_of: datetime, trace_path: Path) -> None:
    """Do what ``how`` says, as of a moment for what is made; raises failures.

    ``by dagster`` brings everything up to date and backs it up; ``by hand`` it is the same
    building, publishing and promoting in a quarter of the time. ``back to <moment>`` puts warehouse
    and production back, ``restore <backup>`` production; ``clean`` deletes all older versions.
    """
    os.environ.update(environment)
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    trace = Trace(trace_path)
    trace.around(Builder, "build", "build", "recorded")
    trace.around(Lake, "publish", "publish", "published")
    trace.around(BuildLedger, "record", "record", "recorded")
    trace.around(table_assets, "refresh_catalogue", "catalogue", "between")
    trace.around(by_itself, "mend_catalogue", "catalogue", "between")
    trace.around(reporting, "release", "promote", "promoted")
    trace.around(Move, "load", "promote", "promote")
    trace.around(backup, "dump", "dump", "backup")
    trace.around(backup, "load", "verify", "verified")
    sa.event.listen(sa.Engine, "before_cursor_execute", trace.statement)
    sa.event.listen(sa.Engine, "commit", trace.commit)
    trace.mark("start")
    what, _, which = how.partition(" ")
    if what == "by":
        _by_dagster(trace) if which == "dagster" else _by_hand()
        trace.mark("backup")
        backup.back_up(settings.load(), TABLES, as_of, LOG)
    elif what == "back":
        _back_to(datetime.fromisoformat(which.removeprefix("to ")))
    elif what == "restore":
        current = settings.load()
        database = str(sa.make_url(server.urls(current).promoter).database)
        backup.restore(current, which, database, database, LOG)
    else:
        trace.mark("clean")
        later = now() + 2 * _RETENTION
        for _ in vacuum(open_lake(settings.load().lake), TABLES, _RETENTION, later):
            pass
    trace.mark("end")


def _by_dagster(trace: Trace) -> None:
    for run, result in refresh(DEFINITIONS, TABLES, dg.DagsterInstance.ephemeral()):
        if not result.success:
            said = [e.message for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
            raise RuntimeError(f"{run}: {said}")
        trace.mark("between")


def _by_hand() -> None:
    current = settings.load()
    lake = open_lake(current.lake)
    with (
        open_session(current) as session,
        production_engine(server.urls(current).promoter) as engine,
    ):
        for table in TABLES:
            snapshot = Snapshot(lake)
            partitions = [b.partition for b in snapshot.behind(table) if not b.refused]
            if partitions:
                outcome = Builder(session, snapshot, "by hand", LOG).build(table, partitions)
                if outcome.failed():
                    raise RuntimeError([finding.message for finding in outcome.findings])
                table_assets.refresh_catalogue(current, snapshot, [table])
        reporting.release(engine, session, Snapshot(lake), TABLES, "by hand")
    mend_catalogue(current, Snapshot(lake), TABLES)


def _back_to(moment: datetime) -> None:
    current = settings.load()
    lake = open_lake(current.lake)
    rollback_table.roll_back(lake, TABLES, moment, "back")
    with (
        open_session(current) as session,
        production_engine(server.urls(current).promoter) as engine,
    ):
        rollback_production.roll_back(engine, session, Snapshot(lake), TABLES, moment, "back")

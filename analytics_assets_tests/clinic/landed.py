"""A drop folder in a test, and the tables built from it without Dagster."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from analytics_assets import settings
from analytics_assets.core.declaration import Table, in_dependency_order
from analytics_assets.domains.clinic.landing import FEEDS
from analytics_assets.domains.clinic.tables import TABLES
from analytics_assets.warehouse.audit import Finding
from analytics_assets.warehouse.build import Builder
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.outcome import Outcome
from analytics_assets.warehouse.session import expose, open_session

TABLE = {table.name: table for table in TABLES}
HEADERS = {feed.files.rstrip("*"): feed.layouts[0].header for feed in FEEDS}
PROFILE, VISIT, EVENT = "app_data", "appointments_data", "ab_test_data"
_LOG = logging.getLogger("clinic_tests")
_LOG.setLevel(logging.CRITICAL)
Row = Sequence[str]


def profile(patient: int, source: str = "Direct", device: str = "IOS 17.2") -> Row:
    return str(patient), source, device


def visit(
    patient: int,
    day: str = "2025-03-04",
    status: str = "Attended",
    age: str = "40",
    doctor: str = "Dr. David",
    reason: str = "Checkup",
) -> Row:
    return str(patient), age, "F", doctor, reason, day, status


def event(
    patient: int,
    group: str = "Test",
    name: str = "reminder_sent",
    moment: str = "2025-03-03 09:00:00",
) -> Row:
    return str(patient), group, name, moment


class Folder:
    """A drop folder; each file that is sent came a second after the one before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._clock = 1_750_000_000
        path.mkdir(parents=True, exist_ok=True)

    def send(
        self, feed: str, rows: Iterable[Row], name: str = "", header: Row = (), again: bool = False
    ) -> Path:
        """Write ``<feed><name>.csv``."""
        path = self.path / f"{feed}{name}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header or HEADERS[feed], *rows])
        self.touch(path)
        return path

    def touch(self, path: Path) -> None:
        self._clock += 1
        os.utime(path, (self._clock, self._clock))


def lake() -> Lake:
    return Lake(settings.load().lake)


def settle(
    only: Collection[str] | None = None, tables: Sequence[Table] = TABLES
) -> tuple[dict[str, list[str]], list[Finding]]:
    """Build all that is behind; table -> partitions with a new version, and what was found."""
    changed: dict[str, list[str]] = {}
    findings: list[Finding] = []
    for table in in_dependency_order(tables):
        if only is not None and table.name not in only:
            continue
        keys = [b.partition for b in Snapshot(lake()).behind(table) if not b.refused]
        if keys:
            outcome = build(table, keys)
            findings += outcome.findings
            if outcome.changed:
                changed[table.name] = outcome.changed
    return changed, findings


def upstream(table: Table) -> set[str]:
    """Names of all tables that it is computed from, near and far."""
    return {name for one in table.upstream for name in (one.name, *upstream(one))}


def build(table: Table, keys: Sequence[str]) -> Outcome:
    with open_session(settings.load()) as session:
        return Builder(session, Snapshot(lake()), "test", _LOG).build(table, keys)


def behind(tables: Sequence[Table] = TABLES) -> list[tuple[str, str]]:
    """(table, partition) of all that is behind."""
    snapshot = Snapshot(lake())
    return [(b.table.name, b.partition) for table in tables for b in snapshot.behind(table)]


def query(sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query on the live tables."""
    with open_session(settings.load()) as session:
        for table in TABLES:
            expose(session, table, [file.uri for file in lake().files(table)])
        return session.execute(sql).fetchall()


def days_of(table: str) -> dict[str, str]:
    """Storage key -> file that holds it: changes with every new version."""
    return {file.key: file.uri for file in lake().files(TABLE[table])}

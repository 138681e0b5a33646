"""A toy feed and its tables, built from files without Dagster.

Belongs here: what tests of landing share. Does not belong here: a word of any domain.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from analytics_assets import settings
from analytics_assets.core.columns import Column, text
from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import DAILY
from analytics_assets.core.table_set import TableSet
from analytics_assets.landing.feed import Feed
from analytics_assets.landing.folder import LandingFolder
from analytics_assets.landing.rejected import rejected_records
from analytics_assets.landing.sources import FileSource
from analytics_assets.warehouse.audit import Finding
from analytics_assets.warehouse.build import Builder
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.session import expose, open_session

FOLDER = LandingFolder("PROBE_SOURCE", "probe")
READINGS = Feed(
    "readings",
    FOLDER,
    "levels*",
    columns=(
        text("station", "Where.", nullable=False),
        Column("measured_at", "datetime", "When.", nullable=False),
        Column("level_cm", "integer", "How high.", "cm"),
    ),
    spellings={"measured_at": ("measured_at", "time"), "station": ("station", "estación")},
    key=("station", "measured_at"),
    day="cast(measured_at as date)",
    period=DAILY,
)
HEADER = ("station", "time", "level_cm")
_LOG = logging.getLogger("landing_tests")
_LOG.setLevel(logging.CRITICAL)
_clock = [1_700_000_000]


@contextmanager
def new_folder(root: Path) -> Iterator[Path]:
    """An empty landing folder in a home of its own."""
    home = root / uuid4().hex
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANALYTICS_HOME", str(home))
        patch.setenv("PROBE_SOURCE", str(home / "drop"))
        (home / "drop").mkdir(parents=True)
        yield home / "drop"


def came(path: Path) -> Path:
    """Say that a file came after all before it."""
    _clock[0] += 1
    os.utime(path, (_clock[0], _clock[0]))
    return path


def send(
    folder: Path, name: str, rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER
) -> Path:
    """Write a CSV file as a person would: values are not quoted."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    lines = [",".join(row) for row in (header, *rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return came(path)


def declare(feed: Feed = READINGS, source: type[FileSource] = FileSource) -> tuple[Table, Table]:
    """The table of the feed, and that of its rejected rows."""
    tables = TableSet("probe")
    landed = tables.source("readings", source(feed), description="Levels.")
    return landed, rejected_records(tables, [feed])


def settle(*tables: Table) -> list[Finding]:
    """Build all that is behind; what was found."""
    lake = Lake(settings.load().lake)
    found: list[Finding] = []
    for table in tables:
        keys = [b.partition for b in Snapshot(lake).behind(table) if not b.refused]
        if keys:
            with open_session(settings.load()) as session:
                built = Builder(session, Snapshot(lake), "test", _LOG).build(table, keys)
            found += built.findings
    return found


def query(sql: str, *tables: Table) -> list[tuple[Any, ...]]:
    """Rows of a query on the live tables."""
    lake = Lake(settings.load().lake)
    with open_session(settings.load()) as session:
        for table in tables:
            expose(session, table, [file.uri for file in lake.files(table)])
        return session.execute(sql).fetchall()

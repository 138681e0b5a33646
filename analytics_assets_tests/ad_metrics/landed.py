"""Landing folders in a test, and the tables built from them without Dagster."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from analytics_assets import settings
from analytics_assets.core.contracts import sql_type
from analytics_assets.core.declaration import Table, in_dependency_order
from analytics_assets.core.source import Landing, SourceError
from analytics_assets.domains.ad_metrics.measures import BREAKDOWN, DAY, ENTITY
from analytics_assets.domains.ad_metrics.sample import FIRST_DAY
from analytics_assets.domains.ad_metrics.sample.world import World, draw
from analytics_assets.domains.ad_metrics.tables import (
    TABLES,
    daily_mixpanel_metrics,
    daily_mixpanel_metrics_breakdown,
)
from analytics_assets.warehouse.audit import Finding
from analytics_assets.warehouse.build import Builder
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.session import expose, open_session

_LOG = logging.getLogger("ad_metrics_tests")
_LOG.setLevel(logging.CRITICAL)


def small_world(seed: int, days: int = 70, ads: int = 6, users: int = 8) -> World:
    return draw(seed, FIRST_DAY, days, ads, users)


def settle(lake: Lake) -> tuple[dict[str, list[str]], list[Finding]]:
    """Build all that is behind; table -> new partitions, and what held others back."""
    changed: dict[str, list[str]] = {}
    findings: list[Finding] = []
    with open_session(settings.load()) as session:
        snapshot = Snapshot(lake)
        builder = Builder(session, snapshot, "test", _LOG)
        for table in in_dependency_order(TABLES):
            behind = snapshot.behind(table)
            keys = [found.partition for found in behind if not found.refused]
            if keys:
                outcome = builder.build(table, keys)
                findings += [finding for finding in outcome.findings if finding.blocking]
                if outcome.changed:
                    changed[table.name] = outcome.changed
    return changed, findings


def rows(lake: Lake, table: Table) -> list[dict[str, Any]]:
    """All rows of a table."""
    with open_session(settings.load()) as session:
        expose(session, table, [file.uri for file in lake.files(table)])
        return _read(session, table)


def _read(session: duckdb.DuckDBPyConnection, table: Table) -> list[dict[str, Any]]:
    names = [column.name for column in table.stored_columns]
    found = session.execute(f"select {', '.join(names)} from {table.sql_name}").fetchall()
    return [dict(zip(names, row, strict=True)) for row in found]


Metrics = dict[tuple, dict[str, Any]]


def metrics(lake: Lake) -> Metrics:
    """Both tables: (entity type, id, day, breakdown type, value) -> the other columns."""
    return _by_key(lambda table: rows(lake, table))


@dataclass
class AllAtOnce:
    """All tables by the SQL alone, over all that landed: no lake, no partitions."""

    session: duckdb.DuckDBPyConnection
    refused: dict[tuple[str, str], str] = field(default_factory=dict)
    reports: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def rows(self, columns: str, table: str, more: str = "order by all") -> list[tuple]:
        """What a query finds, with money as text."""
        found = self.session.execute(f"select {columns} from ad_metrics.{table} {more}").fetchall()
        return [tuple(str(v) if isinstance(v, Decimal) else v for v in row) for row in found]

    def spend(self) -> dict[str, str]:
        """Day -> spend of all ads."""
        where = "where entity_type = 'ad' group by all order by all"
        return dict(self.rows("date::varchar, sum(meta_spend)", "daily_mixpanel_metrics", where))


@contextmanager
def all_at_once() -> Iterator[AllAtOnce]:
    """Build all that can be landed; the rest is in ``refused``, by table and partition."""
    with open_session(settings.load()) as session:
        found = AllAtOnce(session)
        session.execute("create schema ad_metrics")
        for table in in_dependency_order(TABLES):
            columns = ", ".join(f"{c.name} {sql_type(c)}" for c in table.stored_columns)
            session.execute(f"create table {table.sql_name} ({columns})")
            insert = f"insert into {table.sql_name} by name"
            if table.source is None:
                session.execute(f"{insert} {table.sql}")
                continue
            for key in table.source.inputs():
                landing = Landing(session, key, {}, lambda sql: {})
                try:
                    with table.source.land(landing) as selects:
                        for select in selects:
                            session.execute(f"{insert} {select}")
                except SourceError as error:
                    found.refused[table.name, key] = str(error)
                found.reports[table.name, key] = landing.report
        yield found


def metrics_of_sql() -> Metrics:
    """The metrics of ``all_at_once``, where everything can be landed."""
    with all_at_once() as found:
        assert found.refused == {}
        return _by_key(lambda table: _read(found.session, table))


def _by_key(read: Callable[[Table], list[dict[str, Any]]]) -> Metrics:
    keys = [name for axis in (ENTITY, DAY, BREAKDOWN) for name in axis.key_names]
    found: Metrics = {}
    for table in (daily_mixpanel_metrics, daily_mixpanel_metrics_breakdown):
        for row in read(table):
            key = tuple(row.pop(name, "") for name in keys)
            assert key not in found
            found[key] = row
    return found


def point_at(monkeypatch: Any, folder: Path) -> tuple[Path, Path]:
    """Make ``folder`` hold a home and two landing folders, which the settings name."""
    monkeypatch.setenv("ANALYTICS_HOME", str(folder / "home"))
    monkeypatch.setenv("MIXPANEL_SOURCE", str(folder / "mixpanel"))
    monkeypatch.setenv("META_ADS_SOURCE", str(folder / "meta_ads"))
    return folder / "mixpanel", folder / "meta_ads"


CASES = next(
    (found for up in Path(__file__).parents if (found := up / "shared" / "cases").is_dir()),
    Path("shared/cases"),
)
DAILY_FOLDERS = [f"ad_performance_daily{axis}" for axis in ("", "_country", "_region", "_device")]


def empty_folders(mixpanel: Path, meta: Path) -> None:
    """What has to be there: two landing folders in which nothing landed."""
    for folder in (mixpanel / "events", mixpanel / "users", *(meta / n for n in DAILY_FOLDERS)):
        folder.mkdir(parents=True, exist_ok=True)


def case(name: str, monkeypatch: Any, folder: Path) -> tuple[Path, Path]:
    """A copy of the landing folders of a shared case, with what it leaves out as empty folders."""
    shared = CASES / name
    if not shared.is_dir():
        pytest.skip(f"needs {shared}")
    ours = point_at(monkeypatch, folder)
    for target, theirs in zip(ours, (("mixpanel", "mix"), ("meta_ads", "meta")), strict=True):
        for one in theirs:
            if (shared / one).is_dir():
                shutil.copytree(shared / one, target)
    empty_folders(*ours)
    return ours


def edit(path: Path, change: Callable[[list[dict]], None]) -> None:
    """Change the lines of a JSONL file."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    change(lines)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def fields(event: dict) -> dict:
    """The fields of an event in either layout."""
    return event.get("properties", event)


def pay_in_francs(events: list[dict]) -> None:
    """Make the first event a purchase in a currency that has no rate."""
    fields(events[0]).update(revenue=5, currency="CHF", product_id="gold.weekly")
    name = "event" if "event" in events[0] else "event_name"
    events[0][name] = "RC Initial purchase"


def differences(found: dict, expected: dict, most: int = 10) -> Sequence[Any]:
    """Cells in which two sets of rows differ."""
    wrong: list[Any] = [("only here", key) for key in sorted(found.keys() - expected.keys())]
    wrong += [("only expected", key) for key in sorted(expected.keys() - found.keys())]
    for key in sorted(found.keys() & expected.keys()):
        assert found[key].keys() == expected[key].keys()
        wrong += [
            (key, name, value, expected[key][name])
            for name, value in found[key].items()
            if value != expected[key][name]
        ]
    return wrong[:most]


def day(text: str) -> date:
    return date.fromisoformat(text)

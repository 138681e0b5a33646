"""What tests share: a real PostgreSQL server, and workspaces with their own lake and database."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest

from analytics_assets.domains.ad_metrics.sample import generate
from analytics_assets_tests.workspace import Workspace

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"


# A shell makes what it runs in the background ignore SIGINT, and Dagster then ignores SIGTERM, too:
# what it starts for a run would never end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> None:
    """Dagster's log of every event would bury a failure."""
    import logging

    logging.getLogger("dagster").setLevel(logging.CRITICAL)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Socket folder of a server for the whole session; ``TEST_POSTGRES`` is of one that runs."""
    if running := os.environ.get("TEST_POSTGRES"):
        yield running
        return
    from analytics_assets.production import server

    # A Unix socket's path is at most 107 bytes; pytest's own folders are longer than that.
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        yield server._start(Path(folder) / "data")


@pytest.fixture
def workspace(
    tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workspace]:
    """An empty home, landing folder and production database."""
    yield from make_workspace(tmp_path, postgres, monkeypatch)


@pytest.fixture(scope="module")
def module_workspace(
    tmp_path_factory: pytest.TempPathFactory, postgres: str
) -> Iterator[Workspace]:
    """The same, for tests that build once and then only read."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield from make_workspace(tmp_path_factory.mktemp("workspace"), postgres, monkeypatch)


@pytest.fixture(scope="module")
def sample(request: pytest.FixtureRequest, postgres: str) -> Iterator[Workspace]:
    """The sample of the domain that is the fixture's parameter, built and promoted."""
    from analytics_assets_tests.samples import built_sample

    yield from built_sample(request.param, postgres)


def make_workspace(
    folder: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workspace]:
    """A workspace whose environment is set for the duration of the iterator."""
    database = f"test_{uuid4().hex}"
    as_admin(postgres, f"create database {database} owner promoter")
    source = folder / "landing"
    source.mkdir()
    monkeypatch.setenv("ANALYTICS_HOME", str(folder / "home"))
    monkeypatch.setenv("SINASC_SOURCE", str(source))
    for name in ("CNBV_SOURCE", "CLINIC_SOURCE"):
        (folder / name).mkdir()
        monkeypatch.setenv(name, str(folder / name))
    # Folders in which nothing landed: a test that wants ads writes some.
    generate(folder / "mixpanel", folder / "meta_ads", days=0)
    monkeypatch.setenv("MIXPANEL_SOURCE", str(folder / "mixpanel"))
    monkeypatch.setenv("META_ADS_SOURCE", str(folder / "meta_ads"))
    # Processes that are started have only the domain that has something to land.
    monkeypatch.setenv("ANALYTICS_DOMAINS", "births")
    monkeypatch.setenv("PRODUCTION_URL", f"postgresql://promoter@/{database}?host={postgres}")
    monkeypatch.setenv("DAGSTER_PG_URL", f"postgresql://dagster@/dagster?host={postgres}")
    yield Workspace(source)
    as_admin(postgres, f"drop database {database} with (force)")


def as_admin(postgres: str, statement: str) -> None:
    """One statement as superuser, outside a transaction."""
    admin = psycopg2.connect(host=postgres, user="postgres", dbname="postgres")
    admin.autocommit = True
    with closing(admin), admin.cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of published files; tests that need it are skipped where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"the published files are not here ({REAL_DATA})")
    return REAL_DATA

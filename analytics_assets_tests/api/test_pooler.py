"""Production behind PgBouncer in transaction mode: what is read, and the limits of each read."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg2
import pytest
import sqlalchemy as sa

from analytics_assets.api.app import create_app
from analytics_assets.api.database import Database
from analytics_assets.api.errors import Problem
from analytics_assets.api.settings import ApiSettings
from analytics_assets.domains.behavior import postgres as behavior
from analytics_assets_tests.api.conftest import PATIENT, Production, served
from analytics_assets_tests.api.filled import TABLES
from analytics_assets_tests.api.test_proxies import free_port, running
from analytics_assets_tests.cases import case

PGBOUNCER = shutil.which("pgbouncer")
_CONFIG = """
[databases]
{name} = host={host} dbname={name} user={user} pool_size=1
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
logfile = {folder}/log
{more}
"""
_SETTINGS = (
    "select current_setting('transaction_read_only') as read_only, current_setting('TimeZone') as"
    " zone, current_setting('statement_timeout') as timeout, current_setting('DateStyle') as style"
)


@contextmanager
def pooled(url: str, mode: str = "transaction", more: str = "") -> Iterator[str]:
    """The URL of the same database through a pooler with one connection for everybody."""
    if PGBOUNCER is None:
        pytest.skip("pgbouncer is not installed (Debian: pgbouncer)")
    there, port = sa.make_url(url), free_port()
    host = there.query["host"]
    command = [PGBOUNCER]
    # Its own folder: it refuses to run as root, and another user reads no folder of pytest.
    with tempfile.TemporaryDirectory(prefix="pgbouncer", dir="/tmp") as name:
        folder = Path(name)
        config = folder / "pgbouncer.ini"
        config.write_text(
            _CONFIG.format(
                name=there.database, host=host, user=there.username, port=port, mode=mode,
                folder=folder, more=more,
            )
        )  # fmt: skip
        if os.getuid() == 0:
            # Only the server's own user reaches the server's socket.
            owner = pwd.getpwuid(os.stat(str(host)).st_uid)
            for path in (folder, config):
                os.chown(path, owner.pw_uid, owner.pw_gid)
            command += ["-u", owner.pw_name]
        with running([*command, str(config)], port):
            yield f"postgresql://{there.username}@127.0.0.1:{port}/{there.database}"


def read(url: str, *statements: str, settings: ApiSettings = PATIENT) -> list[object]:
    """The first row of each, or what a client is told."""

    async def all_of() -> list[object]:
        database, found = Database(url, settings), []
        for sql in statements:
            try:
                found.append(tuple((await database.read(sql))[0]))
            except Problem as problem:
                found.append(problem.code)
            except Exception as error:
                found.append(type(getattr(error, "orig", error)).__name__)
        await database.close()
        return found

    return asyncio.run(all_of())


def of_the_case() -> str:
    """The settings of the pooler that once broke every read, but for its port."""
    found = ConfigParser()
    found.read(case("other/24_pgbouncer") / "pgbouncer.ini")
    return "\n".join(f"{k} = {v}" for k, v in found["pgbouncer"].items() if k != "listen_port")


@pytest.mark.parametrize("more", ["", "ignore_startup_parameters = options", "the case"])
def test_each_read_has_its_limits(production: Production, more: str) -> None:
    """Also after another program left the shared connection as it likes it."""
    more = of_the_case() if more == "the case" else more
    with pooled(production.promoter, more=more) as url:
        for _ in range(2):
            limits, written, slow = read(
                url,
                _SETTINGS,
                "create table births.left_behind (n int)",
                "select pg_sleep(2)",
                settings=ApiSettings(statement_timeout=0.25),
            )
            assert limits == ("on", "UTC", "250ms", "ISO, MDY")
            assert written == "ReadOnlySqlTransaction"
            assert slow == "timeout"
            other = psycopg2.connect(url)
            other.autocommit = True
            with other.cursor() as cursor:
                cursor.execute("show statement_timeout")
                assert cursor.fetchone() == ("0",) or _ == 1, "what the API set is gone"
                cursor.execute("set statement_timeout = 77777; set timezone = 'Asia/Tokyo'")
            other.close()


def test_the_lists_answer_through_it(production: Production) -> None:
    with pooled(production.reader) as url:
        births = [table for table in TABLES if table.key == "births/agg_state_yearly"]
        with served(create_app(births, (), url, PATIENT)) as base:
            for path in ("tables/agg_state_yearly/rows", "meta/health", "meta/counts"):
                answer = httpx.get(f"{base}/api/v1/{path}")
                assert answer.status_code == 200, answer.text


def test_a_pooler_of_statements_is_refused(production: Production) -> None:
    """There is no transaction that could be limited."""
    with pooled(production.reader, mode="statement") as url:
        (told,) = read(url, "select 1")
        assert told == "database_unavailable"


def test_the_export_of_behavior_reads_through_it(
    production: Production, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pooled(production.promoter) as url:
        monkeypatch.setenv(behavior.VARIABLE, url)
        with behavior.connected() as connection, connection.cursor() as cursor:
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
            for _ in range(2):
                cursor.execute(f"{_SETTINGS}, current_setting('transaction_isolation')")
                assert cursor.fetchone() == ("on", "UTC", "0", "ISO, MDY", "repeatable read")
                connection.rollback()

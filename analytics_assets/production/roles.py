"""Roles and databases of a PostgreSQL server, and what a reader may do there.

Belongs here: making them, on the embedded server and on one that an administrator names.
Does not belong here: rights on what is promoted (``records.py``, ``schema.py``).
"""

from __future__ import annotations

import secrets
from contextlib import closing
from dataclasses import dataclass

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT, connection, cursor, encrypt_password
from sqlalchemy.engine import URL, make_url

PROMOTER, READER, METADATA = "promoter", "dashboard_reader", "dagster"
PRODUCTION_DATABASE, METADATA_DATABASE = "analytics", "dagster"
RESTORE_DATABASE = "analytics_restore"
# Raised with every change of the set-up, which is then done again in homes that exist.
SET_UP = "2"
_OWNERS = {
    PRODUCTION_DATABASE: PROMOTER,
    # Restoring a backup to try it takes a database; this one spares the promoter the right to
    # create any.
    RESTORE_DATABASE: PROMOTER,
    METADATA_DATABASE: METADATA,
}
# A dashboard can neither write nor take all connections, or keep one busy or waiting for ever.
_READER_LIMITS = (
    "connection limit 20",
    "set default_transaction_read_only = on",
    "set statement_timeout = '60s'",
    "set idle_in_transaction_session_timeout = '60s'",
)


@dataclass(frozen=True)
class Made:
    """A setting for the URL of a role in its database; ``known``: whether it has the password."""

    variable: str
    url: str
    known: bool


def set_up_embedded(socket: str) -> None:
    """Roles and databases of the embedded server; the only thing ever done as superuser."""
    admin_connection = psycopg2.connect(host=socket, user="postgres", dbname="postgres")
    with closing(admin_connection):
        _set_up(admin_connection, {})
        with admin_connection.cursor() as admin:
            for database in ("postgres", "template1"):
                _keep_to_owner(admin, database)
            admin.execute("alter system set max_wal_size = '2GB'")
            # From the next start on: the moment before the socket's folder is closed is closed,
            # too.
            admin.execute("alter system set unix_socket_permissions = '0700'")
            admin.execute("select pg_reload_conf()")


def set_up(admin_url: str) -> list[Made]:
    """The same on another server, by somebody who may create roles and databases there.

    A role that is new gets a password, one that is there keeps its own. Returns the settings by
    which they are reached. What is there already is left, but for the reader's limits and who may
    connect. Raises ``psycopg2.Error``.
    """
    parsed = make_url(admin_url).set(drivername="postgresql")
    admin_connection = psycopg2.connect(parsed.render_as_string(hide_password=False))
    passwords = {role: secrets.token_urlsafe(24) for role in (PROMOTER, READER, METADATA)}
    with closing(admin_connection):
        there = _set_up(admin_connection, passwords)
        with admin_connection.cursor() as admin:
            admin.execute("show port")
            port = int((admin.fetchone() or ["5432"])[0])
    passwords |= dict.fromkeys(there, "PASSWORD")
    return [
        Made(variable, _reached(parsed, port, role, passwords[role], database), role not in there)
        for variable, role, database in (
            ("PRODUCTION_URL", PROMOTER, PRODUCTION_DATABASE),
            ("PRODUCTION_READER_URL", READER, PRODUCTION_DATABASE),
            ("RESTORE_URL", PROMOTER, RESTORE_DATABASE),
            ("DAGSTER_PG_URL", METADATA, METADATA_DATABASE),
        )
    ]


def _reached(admin: URL, port: int, role: str, password: str, database: str) -> str:
    """The admin's address with another user. A socket knows users by their own names, so whoever
    came by one is sent to the port."""
    named = str(admin.query.get("host", ""))
    if (not admin.host and not named) or named.startswith("/"):
        admin = URL.create("postgresql", host="localhost", port=port)
    url = admin.difference_update_query(["user", "password", "dbname"])
    url = url.set(username=role, password=password, database=database)
    return url.render_as_string(hide_password=False)


def _set_up(admin_connection: connection, passwords: dict[str, str]) -> set[str]:
    """Roles, databases, limits; returns the roles that were there."""
    admin_connection.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
    there = set()
    with admin_connection.cursor() as admin:
        for role in (PROMOTER, READER, METADATA):
            if not create_role(admin, role, passwords.get(role)):
                there.add(role)
        for database, owner in _OWNERS.items():
            create_database(admin, database, owner)
        for statement in _READER_LIMITS:
            admin.execute(f"alter role {READER} {statement}")
    return there


def create_role(admin: cursor, role: str, password: str | None = None) -> bool:
    """Make a role that may log in; ``False`` if it is there, and is left as it is."""
    admin.execute("select 1 from pg_roles where rolname = %s", [role])
    if admin.fetchone():
        return False
    admin.execute(sql.SQL("create role {} login").format(sql.Identifier(role)))
    if password:
        # A server may log statements: it is told what it would keep.
        kept = encrypt_password(password, role, admin, "scram-sha-256")
        change = sql.SQL("alter role {} password {}")
        admin.execute(change.format(sql.Identifier(role), sql.Literal(kept)))
    return True


def create_database(admin: cursor, database: str, owner: str) -> None:
    """Make a database that nobody but its owner, and in production the reader, connects to.

    Who is no superuser has to be a member of the owner to give it something; for that time only.
    """
    identifier, of_owner = sql.Identifier(database), sql.Identifier(owner)
    admin.execute("select rolsuper from pg_roles where rolname = current_user")
    (superuser,) = admin.fetchone() or (False,)
    if not superuser:
        admin.execute(sql.SQL("grant {} to current_user").format(of_owner))
    admin.execute("select 1 from pg_database where datname = %s", [database])
    if not admin.fetchone():
        admin.execute(sql.SQL("create database {} owner {}").format(identifier, of_owner))
    _keep_to_owner(admin, database)
    if database == PRODUCTION_DATABASE:
        admin.execute(
            sql.SQL("grant connect on database {} to {}").format(identifier, sql.Identifier(READER))
        )
    if database == METADATA_DATABASE:
        # Losing the last moments of Dagster's event log in a crash costs a rerun, not data;
        # waiting for the disk at every event costs minutes of a long backfill.
        admin.execute(f"alter database {METADATA_DATABASE} set synchronous_commit = off")
    if not superuser:
        admin.execute(sql.SQL("revoke {} from current_user").format(of_owner))


def _keep_to_owner(admin: cursor, database: str) -> None:
    admin.execute(sql.SQL("revoke all on database {} from public").format(sql.Identifier(database)))

"""What production keeps of itself: the schema ``promotion``.

Belongs here: the tables of releases, ledger, holds, what is behind or fails, known relations and
foreign writes, their rights, and the trigger by which PostgreSQL says that somebody else wrote.
Does not belong here: the tables that people read (``schema.py``), judging any of it
(``standing.py``).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from analytics_assets.core.contracts import quoted
from analytics_assets.production.roles import READER
from analytics_assets.settings import user

SCHEMA = "promotion"
# The trigger of every stored table, and the setting by which a release tells it to be silent.
TRIGGER, _RELEASING = "note_write", "analytics_assets.releasing"
_metadata = sa.MetaData(schema=SCHEMA)
# What became visible in one transaction: tables of one domain, all of them or none.
release = sa.Table(
    "release",
    _metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("domain", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("partitions", sa.Integer, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp()),
    sa.Column("by_user", sa.Text),
    sa.Index("release_latest", "domain", sa.desc("id")),
)
ledger = sa.Table(
    "ledger",
    _metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("table_name", sa.Text, nullable=False),
    sa.Column("partition", sa.Text, nullable=False),
    sa.Column("delta_version", sa.BigInteger, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("checksum", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("promoted_at", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp()),
    sa.Column("change", postgresql.JSONB(none_as_null=True)),
    sa.Column("release_id", sa.BigInteger),
    sa.Index("ledger_latest", "table_name", "partition", sa.desc("id")),
)
# Versions that are not to be promoted until somebody confirms them. ``decision`` is common to all
# that were put on hold for one reason, and is confirmed as one.
hold = sa.Table(
    "hold",
    _metadata,
    sa.Column("table_name", sa.Text, primary_key=True),
    sa.Column("partition", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("confirmed", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("since", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp()),
    sa.Column("decision", sa.Text),
    sa.Column("confirmed_by", sa.Text),
    sa.Column("confirmed_at", sa.DateTime(timezone=True)),
)
# The relations that a table was last seen to lie in, by what PostgreSQL alone gives them: numbers
# of the stored table and its dictionaries, and how many triggers are at work (``16385 16390 2t``);
# the number of the view and the transaction that defined it.
relation = sa.Table(
    "relation",
    _metadata,
    sa.Column("table_name", sa.Text, primary_key=True),
    sa.Column("published", sa.Text, nullable=False),
    sa.Column("store", sa.Text, nullable=False),
    sa.Column("view", sa.Text, nullable=False),
    sa.Column("entries", sa.Text, nullable=False),
)
# Stored tables that somebody else wrote to since they were last compared with the warehouse.
written = sa.Table(
    "written",
    _metadata,
    sa.Column("relation", sa.Text, primary_key=True),
    sa.Column("since", sa.DateTime(timezone=True), nullable=False),
    sa.Column("by_role", sa.Text, nullable=False),
    sa.Column("how", sa.Text, nullable=False),
    sa.Column("number", sa.Text),
)
# How far each promoted table was behind when it was last looked; for readers, who see no warehouse.
behind = sa.Table(
    "behind",
    _metadata,
    sa.Column("table_name", sa.Text, primary_key=True),
    sa.Column("since", sa.DateTime(timezone=True)),
    sa.Column("partitions", sa.Integer, nullable=False),
    sa.Column("looked_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("unaudited", sa.Text),
)
# The checks that failed when they were last made, with keys of a few rows, for readers as well.
failing = sa.Table(
    "failing",
    _metadata,
    sa.Column("asset", sa.Text, primary_key=True),
    sa.Column("check_name", sa.Text, primary_key=True),
    sa.Column("holds_back", sa.Boolean, nullable=False),
    sa.Column("partitions", sa.Integer, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("keys", postgresql.ARRAY(sa.Text), nullable=False),
    sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
)
_FOR_READERS = (release, ledger, behind, failing, relation, written, hold)
# Columns that a schema made by an earlier release lacks.
LATER = (
    ledger.c.change,
    ledger.c.release_id,
    hold.c.decision,
    behind.c.unaudited,
    release.c.by_user,
    hold.c.confirmed_by,
    hold.c.confirmed_at,
)
# The writer need not have any right here, so the function runs as its owner.
_NOTE_WRITE = f"""
create or replace function {SCHEMA}.{TRIGGER}() returns trigger
language plpgsql security definer set search_path = pg_catalog as $note$
begin
    if current_setting('{_RELEASING}', true) is distinct from pg_current_xact_id()::text then
        insert into {SCHEMA}.written values (
            format('"%s"."%s"', tg_table_schema, tg_table_name), clock_timestamp(), session_user,
            lower(tg_op), tg_relid
        ) on conflict (relation) do nothing;
    end if;
    return null;
end $note$"""


def there(connection: sa.Connection) -> bool:
    """Whether production was ever prepared, by this or an earlier release."""
    return bool(connection.scalar(sa.text(f"select to_regclass('{ledger}') is not null")))


def up_to_date(connection: sa.Connection) -> bool:
    """Whether all tables of this release are there."""
    names = ", ".join(f"to_regclass('{table}')" for table in _metadata.tables.values())
    return bool(connection.scalar(sa.text(f"select num_nulls({names}) = 0")))


def _has_later(connection: sa.Connection) -> bool:
    pairs = ", ".join(f"(to_regclass('{c.table}'), '{c.name}')" for c in LATER)
    found = f"select count(*) from pg_attribute where (attrelid, attname) in ({pairs})"
    return connection.scalar(sa.text(f"{found} and not attisdropped")) == len(LATER)


def complete(connection: sa.Connection) -> None:
    """Make what is not there yet, or was not in an earlier release."""
    if up_to_date(connection) and _has_later(connection) and _readers_may(connection):
        return
    wait_for_others(connection)
    connection.execute(sa.text(f"create schema if not exists {SCHEMA}"))
    _metadata.create_all(connection)
    for column in LATER:
        kind = column.type.compile(postgresql.dialect())
        connection.execute(
            sa.text(f"alter table {column.table} add column if not exists {column.name} {kind}")
        )
    connection.execute(sa.text(_NOTE_WRITE.replace(":", "\\:")))
    _grant(connection, (SCHEMA,))
    if _has_reader(connection):
        for table in _FOR_READERS:
            connection.execute(sa.text(f"grant select on {table} to {READER}"))


def prepare(connection: sa.Connection, domain: str) -> None:
    """Schemas, tables and rights of a domain; does nothing the second time."""
    complete(connection)
    known = set(connection.scalars(sa.text("select nspname from pg_namespace")))
    schemas = {domain, f"{domain}_store"}
    if schemas <= known:
        return
    wait_for_others(connection)
    for schema in sorted(schemas):
        connection.execute(sa.text(f"create schema if not exists {quoted(schema)}"))
    _grant(connection, (domain,))
    # Every domain answers without its schema, too.
    domains = sorted(
        {name.removesuffix("_store") for name in known if name.endswith("_store")} | {domain}
    )
    database = connection.scalar(sa.text("select current_database()"))
    path = ", ".join(quoted(name) for name in [*domains, "public"])
    connection.execute(sa.text(f"alter database {quoted(str(database))} set search_path = {path}"))


def _has_reader(connection: sa.Connection) -> bool:
    asked = sa.text("select 1 from pg_roles where rolname = :role")
    return bool(connection.scalar(asked, {"role": READER}))


def _readers_may(connection: sa.Connection) -> bool:
    """Whether readers, where there are any, have the rights of this release."""
    if not _has_reader(connection):
        return True
    rights = ", ".join(f"('{table}')" for table in _FOR_READERS)
    asked = (
        f"select bool_and(has_table_privilege('{READER}', name, 'select')) from (values {rights})"
    )
    return bool(connection.scalar(sa.text(f"{asked} as wanted (name)")))


def _grant(connection: sa.Connection, schemas: Iterable[str]) -> None:
    if _has_reader(connection):
        for schema in schemas:
            connection.execute(sa.text(f"grant usage on schema {quoted(schema)} to {READER}"))


def begin_writing(connection: sa.Connection, domain: str) -> None:
    """Have the domain to oneself until the transaction ends, and write to it as the product.

    Two releases of a domain end as one after the other.
    """
    connection.execute(
        sa.text("select pg_advisory_xact_lock(hashtext(:name))"), {"name": f"release {domain}"}
    )
    prepare(connection, domain)
    connection.execute(
        sa.text(f"select set_config('{_RELEASING}', pg_current_xact_id()\\:\\:text, true)")
    )


class OpenRelease:
    """A release under way; it has a number, and is one, once something is entered."""

    def __init__(
        self, connection: sa.Connection, domain: str, kind: str, run_id: str, why: str = ""
    ) -> None:
        self._connection = connection
        self._values = {"domain": domain, "kind": kind, "partitions": 0, "why": why}
        self._number = 0
        self.run_id = run_id

    @property
    def number(self) -> int:
        """Its number; its moment is that of all its ledger entries."""
        if not self._number:
            insert = sa.insert(release).returning(release.c.id)
            values = self._values | {"run_id": self.run_id, "by_user": user()}
            self._number = int(self._connection.scalar(insert, values))
        return self._number

    def close(self) -> int:
        """Enter how much it holds; returns its number, 0 where it became none."""
        if self._number:
            entered = ledger.c.release_id == self._number
            counted = sa.select(sa.func.count()).where(entered).scalar_subquery()
            mine = release.c.id == self._number
            self._connection.execute(sa.update(release).where(mine).values(partitions=counted))
        return self._number


def moment(connection: sa.Connection, number: int) -> datetime | None:
    """When a release was made."""
    return connection.scalar(sa.select(release.c.made_at).where(release.c.id == number))


def watch(connection: sa.Connection, relation_name: str) -> None:
    """Have PostgreSQL note who else writes to a stored table."""
    connection.execute(
        sa.text(
            f"create or replace trigger {TRIGGER} after insert or update or delete or truncate"
            f" on {relation_name} execute function {SCHEMA}.{TRIGGER}()"
        )
    )


def wait_for_others(connection: sa.Connection) -> None:
    """Let one transaction at a time create what tables share; IF NOT EXISTS is blind to others."""
    connection.execute(sa.text("select pg_advisory_xact_lock(hashtext('production.schema'))"))

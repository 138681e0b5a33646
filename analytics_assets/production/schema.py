"""The shape of production: schemas, tables, the views that people read, indexes and rights.

Belongs here: declaration -> DDL, through SQLAlchemy.
Does not belong here: how a row is encoded (``encoding.py``), moving rows (``promotion.py``).

Readers see ``<domain>.<table>``, a view with every column and ratio; rows lie in
``<domain>_store``, encoded (``encoding.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from analytics_assets.core.columns import Column, Type
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Table
from analytics_assets.production.encoding import (
    OVERFLOW,
    Dictionary,
    dictionaries,
    halved,
    measure_defaults,
    store_schema,
    stored_keys,
    stored_name,
    view_sql,
)
from analytics_assets.production.server import READER

LEDGER_SCHEMA = "promotion"
_OF = " of "
_TYPES: dict[Type, sa.types.TypeEngine] = {
    "text": sa.Text(),
    "integer": sa.Integer(),
    "bigint": sa.BigInteger(),
    "boolean": sa.Boolean(),
    "date": sa.Date(),
    "timestamp": sa.DateTime(timezone=True),
    "datetime": sa.DateTime(),
    "decimal": sa.Numeric(18, 4),
    "decimal6": sa.Numeric(18, 6),
    "money": sa.Numeric(18, 2),
    "percent": sa.Numeric(7, 4),
}
_HALF: dict[Type, sa.types.TypeEngine] = {"integer": sa.SmallInteger(), "bigint": sa.Integer()}
_ALIGNED = [
    sa.BigInteger,
    sa.DateTime,
    sa.Integer,
    sa.Date,
    sa.SmallInteger,
    sa.Boolean,
    sa.Numeric,
    sa.Text,
]
_metadata = sa.MetaData(schema=LEDGER_SCHEMA)
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
    sa.Index("ledger_latest", "table_name", "partition", sa.desc("id")),
)
# Versions that are not to be promoted until somebody confirms them.
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
)
# How far each promoted table was behind when it was last looked; for readers, who see no warehouse.
behind = sa.Table(
    "behind",
    _metadata,
    sa.Column("table_name", sa.Text, primary_key=True),
    sa.Column("since", sa.DateTime(timezone=True)),
    sa.Column("partitions", sa.Integer, nullable=False),
    sa.Column("looked_at", sa.DateTime(timezone=True), nullable=False),
)


def store_table(table: Table) -> sa.Table:
    """The table that holds the rows.

    Wide columns first and text last: PostgreSQL pads where a wider column follows. The array, which
    is mostly NULL, comes after them all.
    """
    in_half, named = halved(table), _in_dictionaries(table)
    columns = [sa.Column(d.reference, sa.Integer(), nullable=False) for d in dictionaries(table)]
    columns += [
        sa.Column(
            column.name,
            (_HALF if column.name in in_half else _TYPES)[column.type],
            nullable=_nullable(table, column),
        )
        for column in table.stored_columns
        if column.name not in named
    ]
    columns.sort(key=lambda column: _ALIGNED.index(type(column.type)))
    if in_half:
        columns.append(sa.Column(OVERFLOW, postgresql.ARRAY(sa.BigInteger())))
    key = stored_keys(table, table.unique_columns)
    keys = [sa.PrimaryKeyConstraint(*key)] if key else []
    name = table.published_name
    stored = sa.Table(name, sa.MetaData(), *columns, *keys, schema=store_schema(table))
    assert table.publish
    for index in table.publish.indexes:
        names = stored_keys(table, (column.strip() for column in index.split(",")))
        sa.Index(f"{name}_{'_'.join(names)}"[:63], *(stored.c[column] for column in names))
    return stored


def incoming_table(table: Table, name: str) -> sa.Table:
    """A temporary table of the declared columns, which goes with the transaction."""
    return sa.Table(
        name,
        sa.MetaData(),
        *(sa.Column(column.name, _TYPES[column.type]) for column in table.stored_columns),
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DROP",
    )


def _dictionary_table(dictionary: Dictionary) -> sa.Table:
    columns = [sa.Column(c.name, _TYPES[c.type], nullable=c.nullable) for c in dictionary.columns]
    # The keys are the first columns, so this index finds a tuple by its key, too.
    unique = sa.UniqueConstraint(
        *(column.name for column in columns), postgresql_nulls_not_distinct=True
    )
    return sa.Table(
        dictionary.name,
        sa.MetaData(),
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
        *columns,
        unique,
        schema=dictionary.schema,
    )


def _in_dictionaries(table: Table) -> set[str]:
    return {column.name for d in dictionaries(table) for column in d.columns}


def _nullable(table: Table, column: Column) -> bool:
    encoded = measure_defaults(table).keys() | halved(table).keys()
    return column.nullable or column.name in encoded


def prepare(connection: sa.Connection, domain: str) -> None:
    """Schemas, ledger and rights of a domain; does nothing the second time."""
    known = set(connection.scalars(sa.text("select nspname from pg_namespace")))
    if {LEDGER_SCHEMA, domain, f"{domain}_store"} <= known:
        add_what_came_later(connection)
        return
    _wait_for_others(connection)
    for schema in (LEDGER_SCHEMA, domain, f"{domain}_store"):
        connection.execute(sa.text(f"create schema if not exists {quoted(schema)}"))
    _metadata.create_all(connection)
    _grant(connection, domain)
    # Every domain answers without its schema, too.
    domains = sorted(
        {name.removesuffix("_store") for name in known if name.endswith("_store")} | {domain}
    )
    database = connection.scalar(sa.text("select current_database()"))
    path = ", ".join(quoted(name) for name in [*domains, "public"])
    connection.execute(sa.text(f"alter database {quoted(str(database))} set search_path = {path}"))


def add_what_came_later(connection: sa.Connection) -> None:
    """What a ledger made by an earlier release lacks."""
    if connection.scalar(sa.text("select to_regclass(:name)"), {"name": str(behind)}):
        return
    _wait_for_others(connection)
    connection.execute(
        sa.text(f"alter table {LEDGER_SCHEMA}.ledger add column if not exists change jsonb")
    )
    _metadata.create_all(connection)
    _grant(connection)


def _grant(connection: sa.Connection, *domains: str) -> None:
    if connection.execute(
        sa.text("select 1 from pg_roles where rolname = :role"), {"role": READER}
    ).scalar():
        for schema in (*domains, LEDGER_SCHEMA):
            connection.execute(sa.text(f"grant usage on schema {quoted(schema)} to {READER}"))
        for table in (ledger, behind):
            connection.execute(sa.text(f"grant select on {table} to {READER}"))


def stored_bytes(connection: sa.Connection, domain: str) -> dict[str, int]:
    """Table -> bytes on disk, indexes included."""
    rows = connection.execute(
        sa.text(
            "select relname, pg_total_relation_size(c.oid) as bytes from pg_class c"
            " join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname = :schema and c.relkind = 'r'"
        ),
        {"schema": f"{domain}_store"},
    )
    return {row.relname: row.bytes for row in rows}


def shape_differs(connection: sa.Connection, table: Table) -> bool:
    """Whether the stored table is missing, or its rows are stored or read in another way."""
    found = connection.scalar(
        sa.text("select obj_description(to_regclass(:name), 'pg_class')"),
        {"name": stored_name(table)},
    )
    return found != _shape(table)


def _shape(table: Table) -> str:
    """Checksum of all that decides how rows are stored and read; kept as the table's comment."""
    dialect = postgresql.dialect()
    stored = store_table(table)
    parts: list[sa.schema.ExecutableDDLElement] = [
        sa.schema.CreateTable(stored),
        *map(sa.schema.CreateIndex, sorted(stored.indexes, key=lambda index: str(index.name))),
    ]
    text = "".join(str(part.compile(dialect=dialect)) for part in parts) + view_sql(table)
    held = f"{_OF}{table.key}" if table.published_name != table.name else ""
    return f"shape {hashlib.sha256(text.encode()).hexdigest()[:16]}{held}"


def holder(connection: sa.Connection, table: Table) -> str | None:
    """The key of the table whose rows are stored under this one's published name."""
    found = connection.scalar(
        sa.text("select obj_description(to_regclass(:name), 'pg_class')"),
        {"name": stored_name(table)},
    )
    if not found:
        return None
    return found.partition(_OF)[2] or f"{table.domain}/{table.published_name}"


def view_name(table: Table) -> str:
    """The view that readers see, in SQL."""
    return f"{quoted(table.domain)}.{quoted(table.published_name)}"


def create(connection: sa.Connection, table: Table) -> None:
    """A new, empty table and view in place of any of another shape, in the caller's transaction."""
    view = view_name(table)
    connection.execute(sa.text(f"drop view if exists {view}"))
    for dictionary in dictionaries(table):
        _create_once(connection, dictionary)
    stored = store_table(table)
    stored.drop(connection, checkfirst=True)
    stored.create(connection)
    connection.execute(sa.text(f"comment on table {stored_name(table)} is '{_shape(table)}'"))
    connection.execute(sa.text(f"create view {view} as {view_sql(table)}"))
    for name, text in _comments(table):
        connection.execute(sa.text(f"comment on {name} is {_literal(text)}"))
    if connection.execute(
        sa.text("select 1 from pg_roles where rolname = :role"), {"role": READER}
    ).scalar():
        connection.execute(sa.text(f"grant select on {view} to {READER}"))


def _create_once(connection: sa.Connection, dictionary: Dictionary) -> None:
    wanted = _dictionary_table(dictionary)
    if not sa.inspect(connection).has_table(wanted.name, schema=wanted.schema):
        _wait_for_others(connection)
        wanted.create(connection, checkfirst=True)


def _wait_for_others(connection: sa.Connection) -> None:
    """Let one transaction at a time create what tables share; IF NOT EXISTS is blind to others."""
    connection.execute(sa.text("select pg_advisory_xact_lock(hashtext('production.schema'))"))


def _comments(table: Table) -> Iterable[tuple[str, str]]:
    view = view_name(table)
    yield f"view {view}", table.description
    aliases = table.publish.aliases if table.publish else {}
    for alias, name in aliases.items():
        yield f"column {view}.{quoted(alias)}", f"The same as {name}."
    for column in table.all_columns:
        unit = f" [{column.unit}]" if column.unit else ""
        yield f"column {view}.{quoted(column.name)}", column.description + unit


def _literal(text: str) -> str:
    # COMMENT takes no parameter; a colon would read as one of SQLAlchemy's.
    return "'" + text.replace("'", "''").replace(":", "\\:") + "'"

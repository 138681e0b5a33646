"""The shape of production: schemas, tables, the views that people read, indexes and rights.

Belongs here: declaration -> DDL, through SQLAlchemy.
Does not belong here: moving rows (``promotion.py``).

Readers see ``<domain>.<table>``, a view with every column and ratio. Rows lie in ``<domain>_store``
with a measure NULL where it has its most frequent value, which a PostgreSQL row stores for free:
small places have mostly zeros.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Column, Table, Type
from analytics_assets.production.server import READER

LEDGER_SCHEMA = "promotion"
_TYPES: dict[Type, sa.types.TypeEngine] = {
    "text": sa.Text(),
    "integer": sa.Integer(),
    "bigint": sa.BigInteger(),
    "boolean": sa.Boolean(),
    "date": sa.Date(),
    "decimal": sa.Numeric(18, 4),
}
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
    sa.Index("ledger_latest", "table_name", "partition", sa.desc("id")),
)


def store_schema(table: Table) -> str:
    """The schema of the stored rows, which readers have no right to."""
    return f"{table.domain}_store"


def store_table(table: Table, name: str | None = None) -> sa.Table:
    """The table that holds the rows."""
    defaults = measure_defaults(table)
    columns = [
        sa.Column(column.name, _TYPES[column.type], nullable=_nullable(column, defaults))
        for column in table.stored_columns
    ]
    keys = [sa.PrimaryKeyConstraint(*table.unique_columns)] if table.unique_columns else []
    stored = sa.Table(
        name or table.name, sa.MetaData(), *columns, *keys, schema=store_schema(table)
    )
    assert table.publish
    for index in table.publish.indexes:
        names = [column.strip() for column in index.split(",")]
        sa.Index(f"{table.name}_{'_'.join(names)}"[:63], *(stored.c[name] for name in names))
    return stored


def _nullable(column: Column, defaults: dict[str, str]) -> bool:
    return column.nullable or column.name in defaults


def measure_defaults(table: Table) -> dict[str, str]:
    """Measure -> SQL of its most frequent value."""
    measures = table.measures.measures if table.measures else ()
    return {m.name: m.usually for m in measures if m.usually is not None}


def view_sql(table: Table) -> str:
    """The SELECT behind the view that readers see."""
    defaults = measure_defaults(table)
    columns = ", ".join(
        f"coalesce({quoted(c.name)}, {defaults[c.name]}) as {quoted(c.name)}"
        if c.name in defaults
        else quoted(c.name)
        for c in table.stored_columns
    )
    rows = f"select {columns} from {quoted(store_schema(table))}.{quoted(table.name)}"
    ratios = table.measures.ratios if table.measures else ()
    computed = "".join(f", {ratio.sql()} as {quoted(ratio.name)}" for ratio in ratios)
    return f"select rows.*{computed} from ({rows}) as rows"


def prepare(connection: sa.Connection, domain: str) -> None:
    """Schemas, ledger and rights of a domain; does nothing the second time."""
    known = set(connection.scalars(sa.text("select nspname from pg_namespace")))
    if {LEDGER_SCHEMA, domain, f"{domain}_store"} <= known:
        return
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


def _grant(connection: sa.Connection, domain: str) -> None:
    if connection.execute(
        sa.text("select 1 from pg_roles where rolname = :role"), {"role": READER}
    ).scalar():
        for schema in (domain, LEDGER_SCHEMA):
            connection.execute(sa.text(f"grant usage on schema {quoted(schema)} to {READER}"))
        connection.execute(sa.text(f"grant select on {LEDGER_SCHEMA}.ledger to {READER}"))


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
    """Whether the stored table is missing, or has other columns than the declaration."""
    found = connection.execute(
        sa.text(
            "select column_name, data_type from information_schema.columns"
            " where table_schema = :schema and table_name = :name order by ordinal_position"
        ),
        {"schema": store_schema(table), "name": table.name},
    ).all()
    dialect = postgresql.dialect()
    declared = [
        (column.name, column.type.compile(dialect).lower().split("(")[0])
        for column in store_table(table).columns
    ]
    return [tuple(row) for row in found] != declared


def create(connection: sa.Connection, table: Table) -> None:
    """A new, empty table and view in place of any of another shape, in the caller's transaction."""
    view = f"{quoted(table.domain)}.{quoted(table.name)}"
    connection.execute(sa.text(f"drop view if exists {view}"))
    stored = store_table(table)
    stored.drop(connection, checkfirst=True)
    stored.create(connection)
    connection.execute(sa.text(f"create view {view} as {view_sql(table)}"))
    for name, text in _comments(table):
        connection.execute(sa.text(f"comment on {name} is {_literal(text)}"))
    if connection.execute(
        sa.text("select 1 from pg_roles where rolname = :role"), {"role": READER}
    ).scalar():
        connection.execute(sa.text(f"grant select on {view} to {READER}"))


def _comments(table: Table) -> Iterable[tuple[str, str]]:
    view = f"{quoted(table.domain)}.{quoted(table.name)}"
    yield f"view {view}", table.description
    for column in table.all_columns:
        unit = f" [{column.unit}]" if column.unit else ""
        yield f"column {view}.{quoted(column.name)}", column.description + unit


def _literal(text: str) -> str:
    # COMMENT takes no parameter; a colon would read as one of SQLAlchemy's.
    return "'" + text.replace("'", "''").replace(":", "\\:") + "'"

"""The shape of production: tables, the views that people read, indexes and rights.

Belongs here: declaration -> DDL, through SQLAlchemy.
Does not belong here: how a row is encoded (``encoding.py``), moving rows (``promotion.py``), what
production keeps of itself (``records.py``).

Readers see ``<domain>.<table>``, a view with every column and ratio; rows lie in
``<domain>_store``, encoded (``encoding.py``). What decides how rows lie, and what decides how they
are read, have a checksum each: where only the second differs, no row is copied.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from analytics_assets.core.columns import Column, Type
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Table
from analytics_assets.production import records
from analytics_assets.production.encoding import (
    BINS,
    COUNTS,
    OVERFLOW,
    Dictionary,
    dictionaries,
    halved,
    measure_defaults,
    packed,
    store_schema,
    stored_keys,
    stored_name,
    view_sql,
)
from analytics_assets.production.roles import READER

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
        if column.name not in named and column.name not in (packed(table) or ())
    ]
    columns.sort(key=lambda column: _ALIGNED.index(type(column.type)))
    if in_half:
        columns.append(sa.Column(OVERFLOW, postgresql.ARRAY(sa.BigInteger())))
    for name in (BINS, COUNTS) if packed(table) else ():
        columns.append(sa.Column(name, postgresql.ARRAY(sa.Integer()), nullable=False))
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


@dataclass(frozen=True)
class Shape:
    """What decides how a table's rows lie, and how they are read, as checksums; and its key."""

    rows: str
    surface: str
    key: str

    def __str__(self) -> str:
        return f"rows {self.rows} surface {self.surface} of {self.key}"

    @classmethod
    def parse(cls, comment: str | None) -> Shape | None:
        """From the comment of a stored table; ``None`` where it is none of ours."""
        found = re.fullmatch(r"rows (\w+) surface (\w+) of (\S+)", comment or "")
        return cls(*found.groups()) if found else None


_shapes: dict[int, tuple[Table, Shape]] = {}


def shape(table: Table) -> Shape:
    """The shape that is declared; worked out once for a declaration, as each plan asks."""
    # A declaration compares, and so hashes, all that it is made of.
    if id(table) not in _shapes:
        _shapes[id(table)] = (table, _shape(table))
    return _shapes[id(table)][1]


def _shape(table: Table) -> Shape:
    dialect = postgresql.dialect()
    stored = store_table(table)
    # What a NULL stands for, and the place of a measure in the array, decide about rows, too.
    rows = [
        str(sa.schema.CreateTable(stored).compile(dialect=dialect)),
        repr((measure_defaults(table), halved(table))),
    ]
    surface = [
        *(str(sa.schema.CreateIndex(index).compile(dialect=dialect)) for index in _indexes(stored)),
        view_sql(table),
        repr(list(_comments(table))),
    ]
    return Shape(_checksum("".join(rows)), _checksum("".join(surface)), table.key)


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _indexes(stored: sa.Table) -> list[sa.Index]:
    return sorted(stored.indexes, key=lambda index: str(index.name))


def present_shape(connection: sa.Connection, table: Table) -> Shape | None:
    """The shape of what lies under the table's published name now."""
    return Shape.parse(
        connection.scalar(
            sa.text("select obj_description(to_regclass(:name), 'pg_class')"),
            {"name": stored_name(table)},
        )
    )


def view_name(table: Table) -> str:
    """The view that readers see, in SQL."""
    return f"{quoted(table.domain)}.{quoted(table.published_name)}"


def create(connection: sa.Connection, table: Table, indexed: bool = True) -> None:
    """A new, empty table and view in place of any of another shape, in the caller's transaction.

    To make indexes when the rows are there takes half the time: leave them to ``index`` then.
    """
    connection.execute(sa.text(f"drop view if exists {view_name(table)}"))
    for dictionary in dictionaries(table):
        _create_once(connection, dictionary)
    stored = store_table(table)
    stored.drop(connection, checkfirst=True)
    connection.execute(sa.schema.CreateTable(stored))
    if indexed:
        index(connection, table)
    records.watch(connection, stored_name(table))
    _show(connection, table)


def dress(connection: sa.Connection, table: Table) -> None:
    """Make indexes, view, comments and rights anew over the rows as they lie."""
    connection.execute(sa.text(f"drop view if exists {view_name(table)}"))
    index(connection, table)
    _show(connection, table)


def index(connection: sa.Connection, table: Table) -> None:
    """Make the declared indexes, and take away those that are not."""
    declared = {str(index.name): index for index in _indexes(store_table(table))}
    present = set(
        connection.scalars(
            sa.text(
                "select c.relname from pg_index i join pg_class c on c.oid = i.indexrelid"
                " where i.indrelid = to_regclass(:name) and not i.indisprimary"
            ),
            {"name": stored_name(table)},
        )
    )
    for name in sorted(present - declared.keys()):
        connection.execute(sa.text(f"drop index {quoted(store_schema(table))}.{quoted(name)}"))
    for name in sorted(declared.keys() - present):
        declared[name].create(connection)


def drop(connection: sa.Connection, domain: str, published: str) -> None:
    """Take away what readers saw under a name that is not used any more."""
    connection.execute(sa.text(f"drop view if exists {quoted(domain)}.{quoted(published)}"))
    stored = f"{quoted(f'{domain}_store')}.{quoted(published)}"
    connection.execute(sa.text(f"drop table if exists {stored}"))


def _show(connection: sa.Connection, table: Table) -> None:
    view = view_name(table)
    connection.execute(sa.text(f"comment on table {stored_name(table)} is '{shape(table)}'"))
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
        records.wait_for_others(connection)
        wanted.create(connection, checkfirst=True)
        records.watch(connection, dictionary.sql_name)


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

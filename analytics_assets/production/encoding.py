"""How promoted rows lie on disk, and how they read.

Belongs here: which declared columns are stored as what, and the SQL of both directions.
Does not belong here: DDL (``schema.py``), or running any of it (``promotion.py``).

Written plainly, half of a row of small counts would be names and zeros. So, without loss:

- a measure is NULL where it has its most frequent value: a NULL takes no space in a row;
- codes and names of an axis lie once, in a dictionary, and rows hold its number;
- the bins of a histogram lie as two arrays in one row, the least numbers and the counts: a row of
  its own and its key would cost each some 80 bytes;
- a measure lies in half its bytes where it fits; what does not fit lies in one array at the end of
  the row, at the measure's place, and the array of most rows is NULL. A second column for each
  measure would cost every row the bits that say which columns are NULL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from analytics_assets.core.columns import Column, Dimension
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Table

# The columns of a histogram: the least number of each bin that has any, and how many it has.
BINS, COUNTS = "_bins", "_counts"
# The column of what does not fit: an array of bigint, which holds no byte for a NULL.
OVERFLOW = "_big"
# What a type of half the bytes holds: at least minus this, and less than this.
_HALF = {"integer": 2**15, "bigint": 2**31}


def store_schema(table: Table) -> str:
    """The schema of the stored rows, which readers have no right to."""
    return f"{table.domain}_store"


def stored_name(table: Table) -> str:
    """The table of the stored rows, in SQL."""
    return f"{quoted(store_schema(table))}.{quoted(table.published_name)}"


@dataclass(frozen=True)
class Dictionary:
    """The table of an axis' distinct tuples, shared by the tables of a domain.

    Its name holds a checksum of its columns: where an axis changes, tables move to the new
    dictionary one by one, and those that did not yet keep reading the old one.
    """

    schema: str
    name: str
    reference: str
    columns: tuple[Column, ...]

    @classmethod
    def of(cls, table: Table, dimension: Dimension) -> Dictionary:
        shape = [(column.name, column.type, column.nullable) for column in dimension.columns]
        checksum = hashlib.sha256(repr(shape).encode()).hexdigest()[:8]
        return cls(
            store_schema(table),
            f"{dimension.name}_{checksum}",
            f"{dimension.name}_id",
            dimension.columns,
        )

    @property
    def sql_name(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    def column(self, name: str) -> str:
        """One of its columns in SQL that joins it."""
        return f"{quoted(self.name)}.{quoted(name)}"


def packed(table: Table) -> tuple[str, str] | None:
    """The columns of bin and count of a histogram, whose bins lie in one row; none of others."""
    bins = [dimension.columns[0].name for dimension in table.grain if dimension.bins]
    measures = table.measures.measures if table.measures else ()
    if len(bins) != 1 or len(measures) != 1 or table.columns:
        return None
    return bins[0], measures[0].name


def row_count_sql(table: Table) -> str:
    """SQL of how many declared rows a stored one holds."""
    return f"cardinality({BINS})" if packed(table) else "1"


def dictionaries(table: Table) -> list[Dictionary]:
    """One for each axis that has attributes, ordered by name.

    Not for an axis of time: partitions are deleted by it.
    """
    return sorted(
        (
            Dictionary.of(table, dimension)
            for dimension in table.grain
            if len(dimension.columns) > dimension.keys
            and not dimension.date_sql
            and table.time_column not in {column.name for column in dimension.columns}
        ),
        key=lambda dictionary: dictionary.name,
    )


def measure_defaults(table: Table) -> dict[str, str]:
    """Measure -> SQL of its most frequent value."""
    measures = table.measures.measures if table.measures else ()
    return {m.name: m.usually for m in measures if m.usually is not None}


def halved(table: Table) -> dict[str, int]:
    """Measure that lies in half the bytes of its type -> its place in the array of overflow."""
    measures = table.measures.measures if table.measures and not packed(table) else ()
    names = [measure.name for measure in measures if measure.type in _HALF]
    return {name: place for place, name in enumerate(names, start=1)}


def stored_keys(table: Table, names: Iterable[str]) -> list[str]:
    """The stored columns that hold these declared ones, for keys and indexes."""
    by_reference = {c.name: d.reference for d in dictionaries(table) for c in d.columns}
    within = (packed(table) or ("",))[0]
    return list(dict.fromkeys(by_reference.get(name, name) for name in names if name != within))


def view_sql(table: Table) -> str:
    """The SELECT behind the view that readers see: every column and ratio as declared."""
    sql = _decoded(table)
    columns = ", ".join(f"{sql[c.name]} as {quoted(c.name)}" for c in table.stored_columns)
    # Left, because a left join to a unique column costs nothing where no name is asked for.
    joins = "".join(
        f" left join {d.sql_name} on {d.column('id')} = stored.{quoted(d.reference)}"
        for d in dictionaries(table)
    )
    if pack := packed(table):
        bin_, count = map(quoted, pack)
        # Of a row whose other columns are asked for, the arrays are read once.
        joins += (
            f" cross join lateral unnest(stored.{BINS}, stored.{COUNTS}) as bins ({bin_}, {count})"
        )
    rows = f"select {columns} from {stored_name(table)} as stored{joins}"
    ratios = table.measures.ratios if table.measures else ()
    computed = "".join(f", {ratio.sql()} as {quoted(ratio.name)}" for ratio in ratios)
    aliases = table.publish.aliases if table.publish else {}
    renamed = "".join(f", {quoted(name)} as {quoted(alias)}" for alias, name in aliases.items())
    return f"select rows.*{computed}{renamed} from ({rows}) as rows"


def _decoded(table: Table) -> dict[str, str]:
    """Declared column -> SQL of its value, over the stored columns."""
    sql = {c.name: d.column(c.name) for d in dictionaries(table) for c in d.columns}
    usual, places = measure_defaults(table), halved(table)
    for column in table.stored_columns:
        if column.name in sql:
            continue
        if column.name in (packed(table) or ()):
            sql[column.name] = f"bins.{quoted(column.name)}"
            continue
        values = [f"stored.{quoted(column.name)}"]
        if column.name in places:
            values.append(f"cast(stored.{OVERFLOW}[{places[column.name]}] as {column.type})")
        if column.name in usual:
            # A number, or a measure before this one.
            values.append(sql.get(usual[column.name], usual[column.name]))
        sql[column.name] = f"coalesce({', '.join(values)})" if len(values) > 1 else values[0]
    return sql


def declared_sql(table: Table, incoming: str) -> str:
    """The SELECT of the declared columns from rows as they are sent."""
    usual = measure_defaults(table)
    sql: dict[str, str] = {}
    for column in table.stored_columns:
        value = quoted(column.name)
        if column.name in usual:
            value = f"coalesce({value}, {sql.get(usual[column.name], usual[column.name])})"
        sql[column.name] = value
    columns = ", ".join(f"{value} as {quoted(name)}" for name, value in sql.items())
    return f"select {columns} from {incoming}"


def dictionary_sql(table: Table, incoming: str) -> list[str]:
    """The INSERTs of what the dictionaries do not know yet of the rows in ``incoming``.

    Everybody inserts in one order, so that two promotions wait for each other at most one way.
    """
    statements = []
    for dictionary in dictionaries(table):
        columns = ", ".join(quoted(column.name) for column in dictionary.columns)
        statements.append(
            f"insert into {dictionary.sql_name} ({columns})"
            f" select {columns} from {incoming} except select {columns} from {dictionary.sql_name}"
            f" order by {columns} on conflict do nothing"
        )
    return statements


def insert_sql(table: Table, incoming: str) -> str:
    """The INSERT of the rows in ``incoming``, which come in order of their key."""
    joined = dictionaries(table)
    named = {column.name for dictionary in joined for column in dictionary.columns}
    fits = _fits_sql(table)
    sql = {d.reference: d.column("id") for d in joined}
    for column in table.stored_columns:
        if column.name in fits:
            sql[column.name] = f"case when {fits[column.name]} then {_sent(column.name)} end"
        elif column.name not in named:
            sql[column.name] = _sent(column.name)
    if fits:
        all_fit = " and ".join(fits.values())
        rest = ", ".join(
            f"case when not {fit} then {_sent(name)} end" for name, fit in fits.items()
        )
        sql[OVERFLOW] = f"case when not ({all_fit}) then cast(array[{rest}] as bigint[]) end"
    joins = "".join(f" join {d.sql_name} on {_same_tuple(d)}" for d in joined)
    end = ""
    if pack := packed(table):
        bin_, count = (sql.pop(name) for name in pack)
        end = f" group by {', '.join(sql.values())}"
        sql[BINS], sql[COUNTS] = (f"array_agg({own} order by {bin_})" for own in (bin_, count))
        end += (
            f" order by {', '.join(sql[name] for name in stored_keys(table, table.unique_columns))}"
        )
    columns = ", ".join(quoted(name) for name in sql)
    return (
        f"insert into {stored_name(table)} ({columns}) select {', '.join(sql.values())}"
        f" from {incoming} as incoming{joins}{end}"
    )


def _fits_sql(table: Table) -> dict[str, str]:
    """Measure -> condition that a row as sent holds it in half the bytes; NULL where it is NULL."""
    places = halved(table)
    half = {c.name: _HALF[c.type] for c in table.stored_columns if c.name in places}
    return {
        name: f"({_sent(name)} between {-limit} and {limit - 1})" for name, limit in half.items()
    }


def _sent(name: str) -> str:
    return f"incoming.{quoted(name)}"


def _same_tuple(dictionary: Dictionary) -> str:
    # A hash join needs "=", so the comparison that knows NULL is left to columns that have any.
    return " and ".join(
        f"{dictionary.column(column.name)}"
        f" {'is not distinct from' if column.nullable else '='} {_sent(column.name)}"
        for column in dictionary.columns
    )

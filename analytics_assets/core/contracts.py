"""A declaration, said in the words of other tools.

Belongs here: declaration -> Dagster's key and table schema, Arrow and pandera schema, PostgreSQL
types, and the SQL predicates by which a row breaks its contract.
Does not belong here: running any of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow

from analytics_assets.core.columns import KEY_LENGTH, Column, Type
from analytics_assets.core.declaration import Table

if TYPE_CHECKING:
    import pandera.pandas as pa

# What an entry of an index of PostgreSQL may have, but for what it adds itself.
_KEY_BYTES = 2_600
_ARROW: Mapping[Type, pyarrow.DataType] = {
    "text": pyarrow.string(),
    "integer": pyarrow.int32(),
    "bigint": pyarrow.int64(),
    "boolean": pyarrow.bool_(),
    "date": pyarrow.date32(),
    "timestamp": pyarrow.timestamp("us", "UTC"),
    "datetime": pyarrow.timestamp("us"),
    "decimal": pyarrow.decimal128(18, 4),
    "decimal6": pyarrow.decimal128(18, 6),
    "money": pyarrow.decimal128(18, 2),
    "percent": pyarrow.decimal128(7, 4),
}
_SQL: dict[Type, str] = {
    "text": "text",
    "integer": "integer",
    "bigint": "bigint",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp with time zone",
    "datetime": "timestamp",
    "decimal": "decimal(18, 4)",
    "decimal6": "decimal(18, 6)",
    "money": "decimal(18, 2)",
    "percent": "decimal(7, 4)",
}


def sql_type(column: Column) -> str:
    """The column's type; DuckDB and PostgreSQL know it by the same name."""
    return _SQL[column.type]


def arrow_type(column: Column) -> pyarrow.DataType:
    """The column's type as it is stored."""
    return _ARROW[column.type]


def quoted(name: str) -> str:
    """A declared name as an SQL identifier that keeps its case."""
    return '"' + name.replace('"', '""') + '"'


def arrow_schema(table: Table) -> pyarrow.Schema:
    """Schema of the stored columns."""
    return pyarrow.schema(
        [pyarrow.field(column.name, arrow_type(column)) for column in table.stored_columns]
    )


def asset_key(table: Table) -> dg.AssetKey:
    """The key under which Dagster knows the table."""
    return dg.AssetKey(table.key.split("/"))


def table_schema(table: Table, lineage: dg.TableColumnLineage | None = None) -> dg.TableSchema:
    """What Dagster's UI shows as the table's columns.

    The UI of the open-source release draws no column lineage, so the descriptions say it, too.
    """
    sources = lineage.deps_by_column if lineage else {}
    stored = {column.name for column in table.stored_columns}
    unique = table.unique_columns
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                sql_type(column),
                description=_described(column, column.name in stored, sources.get(column.name, ())),
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable, unique=unique == (column.name,), other=_limits(column)
                ),
                tags={"personal": ""} if column.personal else {},
            )
            for column in table.all_columns
        ],
        constraints=dg.TableConstraints(other=[f"unique: {', '.join(unique)}"] if unique else []),
    )


def _described(column: Column, stored: bool, sources: Sequence[dg.TableColumnDep]) -> str:
    unit = f" [{column.unit}]" if column.unit else ""
    text = f"{column.description}{unit}" + ("" if stored else " Computed where it is read.")
    named = [f"{dep.asset_key.path[-1]}.{dep.column_name}" for dep in sources]
    if not named:
        return text
    more = f" and {len(named) - 4} more" if len(named) > 4 else ""
    return f"{text} From {', '.join(named[:4])}{more}."


def _limits(column: Column) -> list[str]:
    limits = []
    if column.minimum is not None:
        limits.append(f">= {column.minimum:g}")
    if column.maximum is not None:
        limits.append(f"<= {column.maximum:g}")
    if column.values:
        limits.append("one of " + ", ".join(column.values))
    if column.max_length is not None:
        limits.append(f"at most {column.max_length:,} characters")
    if column.pattern:
        limits.append(f"like {column.pattern}")
    return limits


@dataclass(frozen=True)
class Rule:
    """One way to break the contract: ``broken_sql`` is true for a row that does."""

    name: str
    broken_sql: str


def rules(table: Table) -> list[Rule]:
    """All rules of the columns that can be judged row by row."""
    columns = _judged(table.stored_columns, _indexed(table))
    found = [rule for column in columns for rule in _column_rules(column)]
    return [*found, *_size_rules(columns, table.unique_columns)]


def _indexed(table: Table) -> set[str]:
    """The columns of which PostgreSQL keeps an index."""
    indexes = table.publish.indexes if table.publish else ()
    return {*table.unique_columns, *(n.strip() for index in indexes for n in index.split(","))}


def key_rules(columns: Sequence[Column], key: Collection[str]) -> list[Rule]:
    """How a row of these columns can have a longer key than an index of PostgreSQL takes."""
    columns = [c for c in _judged(columns, key) if c.name in key and _is_free(c)]
    return [*map(_length_rule, columns), *_size_rules(columns, key)]


def _size_rules(columns: Sequence[Column], key: Collection[str]) -> list[Rule]:
    texts = [column for column in columns if column.name in key and _is_free(column)]
    if len(texts) < 2:
        return []
    size = " + ".join(f"coalesce(strlen({quoted(column.name)}), 0)" for column in texts)
    return [Rule(f"its key has more than {_KEY_BYTES:,} bytes", f"{size} > {_KEY_BYTES}")]


def _judged(columns: Sequence[Column], key: Collection[str]) -> list[Column]:
    """These columns, those of a key or index with the length that it may have."""
    return [
        replace(column, max_length=column.max_length or KEY_LENGTH)
        if column.name in key and _is_free(column)
        else column
        for column in columns
    ]


def _is_free(column: Column) -> bool:
    """Whether any text may stand in it."""
    return column.type == "text" and not column.values and not column.pattern


def _column_rules(column: Column) -> Iterable[Rule]:
    name = quoted(column.name)
    if not column.nullable:
        yield Rule(f"{column.name} is missing", f"{name} is null")
    if column.minimum is not None:
        yield Rule(f"{column.name} < {column.minimum:g}", f"{name} < {column.minimum:g}")
    if column.maximum is not None:
        yield Rule(f"{column.name} > {column.maximum:g}", f"{name} > {column.maximum:g}")
    if column.values:
        listed = ", ".join("'" + value.replace("'", "''") + "'" for value in column.values)
        yield Rule(f"{column.name} not in its code list", f"{name} not in ({listed})")
    if column.max_length is not None:
        yield _length_rule(column)
    if column.pattern:
        pattern = column.pattern.replace("'", "''")
        yield Rule(
            f"{column.name} not like {column.pattern}",
            f"not regexp_full_match({name}, '{pattern}')",
        )


def _length_rule(column: Column) -> Rule:
    return Rule(
        f"{column.name} has more than {column.max_length:,} characters",
        f"length({quoted(column.name)}) > {column.max_length}",
    )


def pandera_schema(table: Table) -> pa.DataFrameSchema:
    """The contract as pandera knows it; explains failing rows, and serves tests and notebooks."""
    import pandera.pandas as pa  # with pandas, over a second that most runs never need

    return pa.DataFrameSchema(
        {
            column.name: pa.Column(None, _checks(column), nullable=column.nullable, required=True)
            for column in _judged(table.stored_columns, _indexed(table))
        },
        unique=list(table.unique_columns) or None,
        name=table.sql_name,
    )


def _checks(column: Column) -> list[pa.Check]:
    import pandera.pandas as pa  # with pandas, over a second that most runs never need

    checks: list[pa.Check] = []
    if column.minimum is not None:
        checks.append(pa.Check.ge(column.minimum))
    if column.maximum is not None:
        checks.append(pa.Check.le(column.maximum))
    if column.values:
        checks.append(pa.Check.isin(column.values))
    if column.max_length is not None:
        checks.append(pa.Check.str_length(max_value=column.max_length))
    if column.pattern:
        checks.append(pa.Check.str_matches(rf"(?:{column.pattern})\Z"))
    return checks


def failure_cases(table: Table, rows: Any) -> list[dict[str, Any]]:
    """Column, check and value of each failure in a frame of rows, as pandera finds them."""
    import pandera.pandas as pa  # with pandas, over a second that most runs never need

    try:
        pandera_schema(table).validate(rows, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases[["column", "check", "failure_case", "index"]]
        return cases.astype(str).to_dict("records")
    return []

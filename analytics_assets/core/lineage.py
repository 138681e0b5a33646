"""Where each column of a table comes from, read from its SQL.

Belongs here: SQL -> upstream tables and columns, as Dagster shows them.
Does not belong here: running SQL.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import dagster as dg
import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope

from analytics_assets.core.contracts import asset_key
from analytics_assets.core.declaration import Table
from analytics_assets.core.refusals import Place, declared_at, no_such, refusal
from analytics_assets.core.rollups import build_sql
from analytics_assets.core.sql_files import FileSql


class UnreadableSql(Exception):
    """What is wrong with SQL, and the line on which it is."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.line = line


def tables_in(sql: str) -> set[str]:
    """``domain.table`` names that a SELECT reads, common table expressions left out.

    By DuckDB's own parser, since every process asks this of all tables as it starts: a parser in
    Python takes ten times as long. Raises ``UnreadableSql``.
    """
    (text,) = _parser().execute("select json_serialize_sql(?)", [str(sql)]).fetchall()[0]
    nodes: list[dict[str, Any]] = []

    def seen(node: dict[str, Any]) -> dict[str, Any]:
        nodes.append(node)
        return node

    tree = json.loads(text, object_hook=seen)
    if tree["error"]:
        if tree["error_type"] == "not implemented":
            raise UnreadableSql("it is no SELECT", 1)
        before = sql.encode()[: int(tree.get("position") or 0)]
        raise UnreadableSql(str(tree["error_message"]).rstrip("."), before.count(b"\n") + 1)
    local = {
        entry["key"] for node in nodes if "cte_map" in node for entry in node["cte_map"]["map"]
    }
    return {
        f"{node['schema_name']}.{node['table_name']}"
        for node in nodes
        if node.get("type") == "BASE_TABLE"
        if node["schema_name"] or node["table_name"] not in local
    }


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


def upstream_of(key: str, sql: str, known: Mapping[str, Table]) -> tuple[Table, ...]:
    """The declared tables that the SELECT of the table ``key`` reads, itself left out.

    ``DeclarationError`` for SQL that cannot be read and for a table that is unknown.
    """
    try:
        names = tables_in(sql) - {key.replace("/", ".")}
    except UnreadableSql as error:
        raise refusal(key, f"its SQL: {error}", _place(key, sql, error.line)) from None
    for name in sorted(names - known.keys()):
        why = f"its SQL reads what is not declared before it: {no_such('table', name, known)}"
        raise refusal(key, why, place_of(key, sql, name))
    return tuple(known[name] for name in sorted(names))


def place_of(key: str, sql: str, name: str) -> Place | None:
    """Where a name stands in the SQL of the table ``key``."""
    lines = (number for number, line in enumerate(sql.splitlines(), 1) if name in line)
    return _place(key, sql, next(lines, None))


def _place(key: str, sql: str, line: int | None = None) -> Place | None:
    return sql.place(line or 1) if isinstance(sql, FileSql) else declared_at(key)


@cache
def column_lineage(table: Table) -> dg.TableColumnLineage | None:
    """Upstream columns of every stored column; ``None`` for a table that comes from a source."""
    if table.source is not None:
        return None
    by_name = {upstream.sql_name: upstream for upstream in table.upstream}
    domains = {upstream.domain for upstream in table.upstream}
    schema: dict[str, object] = {
        domain: {
            upstream.name: {column.name: column.type for column in upstream.stored_columns}
            for upstream in table.upstream
            if upstream.domain == domain
        }
        for domain in domains
    }
    tree = sqlglot.parse_one(build_sql(table), dialect="duckdb")
    tree = qualify(tree, schema=schema, dialect="duckdb", validate_qualify_columns=False)
    scope = build_scope(tree)
    if scope is None:
        return None
    found = _Columns(by_name).of_scope(scope)
    deps = {
        column.name: [
            dg.TableColumnDep(asset_key=asset_key(by_name[name]), column_name=source)
            for name, source in sorted(found.get(column.name.lower(), set()))
        ]
        for column in table.stored_columns
    }
    return dg.TableColumnLineage({name: dep for name, dep in deps.items() if dep})


class _Columns:
    """Walks scopes from the sources up, remembering each so that a wide table stays linear."""

    def __init__(self, tables: dict[str, Table]) -> None:
        self._tables = tables
        self._known: dict[int, dict[str, set[tuple[str, str]]]] = {}

    def of_scope(self, scope: Scope) -> dict[str, set[tuple[str, str]]]:
        """Output column (lower case) -> {(table, column)}."""
        if id(scope) in self._known:
            return self._known[id(scope)]
        result: dict[str, set[tuple[str, str]]] = {}
        if isinstance(scope.expression, exp.SetOperation):
            for branch in scope.set_operation_scopes:
                for name, sources in self.of_scope(branch).items():
                    result.setdefault(name, set()).update(sources)
        elif isinstance(scope.expression, exp.Query):  # not VALUES: those come from nowhere
            for projection in scope.expression.selects:
                name = projection.alias_or_name.lower()
                result[name] = self._of_expression(projection, scope)
        self._known[id(scope)] = result
        return result

    def _of_expression(self, expression: exp.Expr, scope: Scope) -> set[tuple[str, str]]:
        found: set[tuple[str, str]] = set()
        for column in expression.find_all(exp.Column):
            source = scope.sources.get(column.table)
            if isinstance(source, Scope):
                found |= self.of_scope(source).get(column.name.lower(), set())
            elif isinstance(source, exp.Table):
                table = self._tables.get(f"{source.db}.{source.name}")
                names = {c.name.lower(): c.name for c in table.stored_columns} if table else {}
                if table and column.name.lower() in names:
                    found.add((table.sql_name, names[column.name.lower()]))
        return found

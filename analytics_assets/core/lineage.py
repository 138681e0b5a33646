"""Where each column of a table comes from, read from its SQL.

Belongs here: SQL -> upstream tables and columns, as Dagster shows them.
Does not belong here: running SQL.
"""

from __future__ import annotations

from functools import cache

import dagster as dg
import sqlglot
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope

from analytics_assets.core.columns import DeclarationError
from analytics_assets.core.declaration import Table
from analytics_assets.core.rollups import build_sql


def tables_in(sql: str) -> set[str]:
    """``domain.table`` names that a SELECT reads, common table expressions left out."""
    tree = sqlglot.parse_one(sql, dialect="duckdb")
    local = {cte.alias for cte in tree.find_all(exp.CTE)}
    return {
        f"{table.db}.{table.name}"
        for table in tree.find_all(exp.Table)
        if not (table.name in local and not table.db) and table.name
    }


def upstream_of(sql: str, known: dict[str, Table]) -> tuple[Table, ...]:
    """The declared tables that a SELECT reads; ``DeclarationError`` names one that is unknown."""
    names = sorted(tables_in(sql))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise DeclarationError(f"SQL reads tables that are not declared before it: {unknown}")
    return tuple(known[name] for name in names)


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
            dg.TableColumnDep(
                asset_key=dg.AssetKey(by_name[name].key.split("/")), column_name=source
            )
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

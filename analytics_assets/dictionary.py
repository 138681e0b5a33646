"""What there is, as text for people: every domain and every table, from their declarations.

Belongs here: the data dictionary and the page of domains, as Markdown.
Does not belong here: what Dagster's UI or the API show, which is derived where they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from analytics_assets.core.contracts import sql_type
from analytics_assets.core.declaration import Table
from analytics_assets.core.domain import Domain


def dictionary(tables: Iterable[Table]) -> str:
    """One section a table: what it is, where it comes from, its columns."""
    return "\n".join(line for table in tables for line in _section(table))


def _section(table: Table) -> Iterator[str]:
    yield f"## {table.sql_name}\n\n{table.description}\n"
    yield f"Partitions: {table.period.name}. From: {_origin(table)}. {_promoted(table)}.\n"
    yield "| column | type | unit | description |\n|---|---|---|---|"
    for column in table.all_columns:
        yield f"| {column.name} | {sql_type(column)} | {column.unit} | {column.description} |"
    yield ""


def _origin(table: Table) -> str:
    return ", ".join(upstream.sql_name for upstream in table.upstream) or "its source"


def _promoted(table: Table) -> str:
    return "Promoted" if table.publish else "Not promoted"


def overview(domains: Iterable[tuple[str, Domain]]) -> str:
    """One section a domain: what it takes and gives, its settings, its tables."""
    return "\n".join(line for name, domain in domains for line in _domain(name, domain))


def _domain(name: str, domain: Domain) -> Iterator[str]:
    yield f"## {name}\n\n{domain.about[0].upper()}{domain.about[1:]}.\n"
    yield "| setting | default | what |\n|---|---|---|"
    for setting in domain.settings:
        yield f"| `{setting.variable}` | {setting.default} | {setting.description} |"
    yield "\n| table | what | partitions | from | promoted |\n|---|---|---|---|---|"
    for table in domain.tables:
        promoted = f"`{table.published_name}`" if table.publish else ""
        yield (
            f"| `{table.name}` | {table.description} | {table.period.name} | {_origin(table)} |"
            f" {promoted} |"
        )
    yield ""

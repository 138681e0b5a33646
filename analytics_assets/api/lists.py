"""Every promoted table as a list, by itself.

Belongs here: where the list of a table is, and that a table is found by its name.
Does not belong here: how a list is read (``listing.py``), lists that a brief words in its own way
(the domain's ``api.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query

from analytics_assets.api.database import Database
from analytics_assets.api.errors import Problem, documented
from analytics_assets.api.filters import filters_of
from analytics_assets.api.listing import Listing, serve_list
from analytics_assets.api.models import NoParameters
from analytics_assets.core.declaration import Table

ROWS = "/tables/{name}/rows"


def lists_router(prefix: str, tables: Sequence[Table], database: Database) -> APIRouter:
    """``/tables/<domain>.<table>/rows`` of each, with filters by its key and time."""
    routes = APIRouter(prefix=prefix)
    for name, table in named(tables).items():
        listing = Listing(table, filters_of(table))
        serve_list(routes, ROWS.format(name=name), listing, database, tags=[table.domain])

    @routes.get(ROWS, responses=documented(404, 422), response_model=None, tags=["meta"])
    async def no_such_list(name: str, query: Annotated[NoParameters, Query()]) -> Any:
        """Answers what no list does: says what a table is called."""
        full = table_name(tables, name)
        raise Problem(404, "not_found", f"Its rows are at {prefix}{ROWS.format(name=full)}.")

    return routes


def named(tables: Sequence[Table]) -> Mapping[str, Table]:
    """``domain.table``, as production has it -> the table."""
    return {f"{table.domain}.{table.published_name}": table for table in tables}


def table_name(tables: Sequence[Table], name: str) -> str:
    """The full name of a table that is called with or without its schema; ``Problem`` for none."""
    known = named(tables)
    found = [full for full in known if name in (full, full.partition(".")[2])]
    if len(found) > 1:
        raise Problem(404, "not_found", f"There are {' and '.join(found)}: say which.")
    if not found:
        raise Problem(404, "not_found", "There is no such table; /api/v1/tables has them all.")
    return found[0]

"""Every promoted table as a list, by itself.

Belongs here: where the list of a table is, and that a table is found by its name.
Does not belong here: how a list is read (``listing.py``), lists that a brief words in its own way
(the domain's ``api.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, Request, Response

from analytics_assets.api.database import Database
from analytics_assets.api.errors import Problem, documented
from analytics_assets.api.listing import Listing, serve_list
from analytics_assets.core.declaration import Table
from analytics_assets.core.refusals import nearest_word

ROWS = "/tables/{name}/rows"


def lists_routers(
    prefix: str, tables: Sequence[Table], database: Database
) -> tuple[APIRouter, APIRouter]:
    """``/tables/<domain>.<table>/rows`` of each, with filters by its key and time: what answers for
    all of them, and what describes them one by one.

    FastAPI tries the routes of a router one by one and reads parameters one by one, which takes
    twice as long as a page that is kept. So the first is to be asked before the second.
    """
    answering, described = APIRouter(prefix=prefix), APIRouter(prefix=prefix)
    lists = {name: Listing(table) for name, table in named(tables).items()}
    for name, listing in lists.items():
        path = ROWS.format(name=name)
        serve_list(described, path, listing, database, tags=[listing.table.domain])
    routes = dict(zip(lists, described.routes, strict=True))

    @answering.get(ROWS, responses=documented(404, 422, 503), response_model=None, tags=["meta"])
    async def rows(name: str, request: Request) -> Response:
        """The rows of a table, with its schema or without; 404 names them all."""
        full = name if name in lists else table_name(tables, name)
        request.scope["route"] = routes[full]  # for the log and the metrics, which tell the table
        listing = lists[full]
        return await listing.answer(database, request, listing.query(request.query_params))

    return answering, described


def named(tables: Sequence[Table]) -> Mapping[str, Table]:
    """``domain.table``, as production has it -> the table."""
    return {f"{table.domain}.{table.published_name}": table for table in tables}


def table_name(tables: Sequence[Table], name: str) -> str:
    """The full name of a table that is called with or without its schema; ``Problem`` for none."""
    known = named(tables)
    found = [full for full in known if name in (full, full.partition(".")[2])]
    if len(found) > 1:
        raise Problem(404, "ambiguous", f"There are {' and '.join(found)}: say which.")
    if not found:
        near = nearest_word(name, [*known, *(full.partition(".")[2] for full in known)])
        meant = f"; did you mean {near}?" if near else "."
        there = ", ".join(sorted(known))
        raise Problem(404, "not_found", f"There is no such table{meant} There are {there}.")
    return found[0]

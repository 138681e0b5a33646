"""A promoted table as a list with filters, order, pages and an ETag.

Belongs here: parameters -> one statement -> a page.
Does not belong here: which tables are lists, and where (``lists.py``), and what their filters are
(``filters.py``).

A page, its total and the table's version come from one statement, so from one moment. The cursor
holds the sort value and the key of the last row, and the next page begins after them: whatever is
promoted meanwhile, a row that stays is read exactly once.
"""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from analytics_assets.api.database import Database
from analytics_assets.api.errors import bad_value, documented
from analytics_assets.api.filters import PAGING, Filter, filters_of
from analytics_assets.api.formats import ABOUT_FORMAT, Format, documented_formats, streamed
from analytics_assets.api.models import (
    choice_type,
    cursor_type,
    field_type,
    page_model,
    query_model,
    readable,
    row_model,
)
from analytics_assets.api.versions import (
    hashed,
    json_response,
    seen_by,
    tagged,
    unchanged,
    version_sql,
)
from analytics_assets.core.columns import Column
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Table

MOST_ROWS = 1000
_MOST_SKIPPED = 100_000_000
_TOTALS_KEPT = 10_000
# Whether the client has this version already.
_KNOWN = "(state.version <> '' and (%(any)s or state.version = any(%(seen)s::text[])))"


@dataclass(frozen=True)
class Beside:
    """Columns computed beside those of a page: SQL that joins them to ``page``."""

    columns: tuple[Column, ...] = ()
    expressions: tuple[str, ...] = ()
    join: str = ""


@dataclass(frozen=True)
class Listing:
    """A table as a list: with the filters that its declaration gives it, and ``more``."""

    table: Table
    more: tuple[Filter, ...] = ()
    beside: Beside = Beside()
    _totals: OrderedDict[Any, tuple[str, int]] = field(default_factory=OrderedDict)

    @cached_property
    def filters(self) -> tuple[Filter, ...]:
        """What it can be asked for, each name once."""
        return tuple({f.name: f for f in (*filters_of(self.table), *self.more)}.values())

    @cached_property
    def columns(self) -> dict[str, Column]:
        """The table's readable columns by name."""
        return {column.name: column for column in readable(self.table)}

    @cached_property
    def query_model(self) -> type[BaseModel]:
        """The parameters: filters, and which page in which order."""
        orders = tuple(name for column in self.columns for name in (column, f"-{column}"))
        fields: dict[str, Any] = {
            f.name: (f.type | None, Field(None, description=f.description)) for f in self.filters
        }
        fields |= {
            "limit": (int, Field(100, ge=1, le=MOST_ROWS, description="Rows of a page.")),
            "offset": (int, Field(0, ge=0, le=_MOST_SKIPPED, description="Rows to skip.")),
            "cursor": (
                str | None,
                Field(
                    None,
                    max_length=8000,
                    description="next_cursor of the page before, asked with the same parameters."
                    " Unlike an offset it loses and doubles no row while data change.",
                ),
            ),
            "sort": (
                Literal[orders] | None,
                Field(
                    None,
                    description="Column to sort by, with - in descending order; rows without a"
                    " value come last, equal ones in order of the key. By default the key.",
                ),
            ),
            "columns": (
                choice_type(list(self.row_model.model_fields)) | None,
                Field(None, description="Columns of the answer, by commas. By default all."),
            ),
            "format": (Format, Field("json", description=ABOUT_FORMAT)),
        }
        if not self.table.unique_columns:
            del fields["cursor"]
        return query_model(f"{self.row_model.__name__}Query", fields)

    @cached_property
    def row_model(self) -> type[BaseModel]:
        """A row of the answer."""
        words = [self.table.domain, self.table.published_name]
        if self.beside.columns:
            words += ["with", *(column.name for column in self.beside.columns)]
        name = "".join(word.capitalize() for word in "_".join(words).split("_"))
        columns = (*self.columns.values(), *self.beside.columns)
        return row_model(name, self.table.description, columns)

    @cached_property
    def page_model(self) -> type[BaseModel]:
        """The answer."""
        return page_model(self.row_model)

    def query(self, parameters: Mapping[str, str]) -> BaseModel:
        """What is asked for, as FastAPI reads it; raises ``RequestValidationError``."""
        try:
            return self.query_model.model_validate(dict(parameters))
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from None

    async def answer(self, database: Database, request: Request, query: BaseModel) -> Response:
        """A page, or 304 where the client has it already; raises ``Problem``."""
        asked = query.model_dump()
        filters = {n: v for n, v in asked.items() if n not in PAGING and v is not None}
        order = _Order(self.columns, self.table.unique_columns, asked["sort"])
        chosen = asked["columns"].split(",") if asked["columns"] else self.row_model.model_fields
        names = list(dict.fromkeys((*chosen, *order.names)))
        bound = hashed(self.table.key, sorted(filters.items(), key=repr), asked["sort"])
        after = order.values_of(asked["cursor"], bound) if asked.get("cursor") else None
        if after and asked["offset"]:
            raise bad_value("offset", "give it or a cursor, not both")
        label = hashed(bound, sorted(asked.items(), key=repr), names)
        if asked["format"] != "json":
            most = asked["limit"] if "limit" in query.model_fields_set else None
            statement = self._statement(names, filters, order, after, counted=False)
            bounds = {"limit": most, "offset": asked["offset"], "key": self.table.key}
            shown = list(dict.fromkeys(chosen))
            return await self._file(database, asked["format"], shown, statement, bounds, label)
        seen = seen_by(request, label)
        if kept := await database.kept.standing(self.table.key, label):
            if seen.any or kept.version in seen.versions:
                return unchanged(label, kept.version)
            return json_response(kept.body, label, kept.version)
        known_version, known_total = self._totals.get(bound, ("", 0))
        bounds = {"limit": asked["limit"] + 1, "offset": asked["offset"], "key": self.table.key}
        bounds |= {"seen": seen.versions, "any": seen.any}
        bounds |= {"known_version": known_version, "known_total": known_total}
        # To plan the count takes as long as the page, so it is asked for only where it is unknown.
        for counted in (False, True) if known_version else (True,):
            sql, values = self._statement(names, filters, order, after, counted)
            rows = await database.read(sql, values | bounds, by_name=False)
            version, total = rows[0][:2]
            if total is not None:
                break
        if version and (seen.any or version in seen.versions):
            return unchanged(label, version)
        self._remember(bound, version, total)
        data = [dict(zip(names, row[3:], strict=True)) for row in rows if row[2]]
        more = len(data) > asked["limit"]
        data = data[: asked["limit"]]
        page = {
            "data": [{name: row[name] for name in chosen} for row in data],
            "total": total,
            "limit": asked["limit"],
            "offset": asked["offset"],
            # Rows without a key may be equal, and nothing says after which of them to go on.
            "next_cursor": order.cursor(data[-1], bound)
            if more and self.table.unique_columns
            else None,
        }
        body = to_json(page)
        database.kept.keep(label, version, body)
        return json_response(body, label, version)

    async def _file(
        self,
        database: Database,
        format_: str,
        names: Sequence[str],
        statement: tuple[str, dict[str, Any]],
        bounds: dict[str, Any],
        label: str,
    ) -> Response:
        """All rows as a file; the first batch says of which version."""
        sql, values = statement
        unseen = {"seen": [], "any": False, "known_version": "", "known_total": 0}
        batches = database.stream(sql, values | bounds | unseen)
        first = await anext(batches)
        columns = {**self.columns, **{column.name: column for column in self.beside.columns}}

        async def rows() -> AsyncIterator[list[Any]]:
            yield [row[3 : 3 + len(names)] for row in first if row[2]]
            async for batch in batches:
                yield [row[3 : 3 + len(names)] for row in batch]

        name = f"{self.table.domain}.{self.table.published_name}"
        headers = tagged(label, first[0][0])
        return streamed(format_, name, [columns[name] for name in names], rows(), headers)

    def _remember(self, bound: str, version: str, total: int) -> None:
        if version:
            self._totals[bound] = (version, total)
            self._totals.move_to_end(bound)
            while len(self._totals) > _TOTALS_KEPT:
                self._totals.popitem(last=False)

    def _statement(
        self,
        names: Sequence[str],
        filters: Mapping[str, Any],
        order: _Order,
        after: Sequence[Any] | None,
        counted: bool,
    ) -> tuple[str, dict[str, Any]]:
        """``counted``: whether rows are counted where the total is not of this version."""
        values: dict[str, Any] = {}
        conditions = ["true"]
        for known in self.filters:
            if known.name in filters:
                values[f"f_{known.name}"] = known.to_sql(filters[known.name])
                sql = known.sql.replace("%", "%%")
                conditions.append(f"({sql.replace('{value}', f'%(f_{known.name})s')})")
        matching = " and ".join(conditions)
        if after is not None:
            begins, bound = order.after(after)
            conditions.append(begins)
            values |= bound
        computed = dict(
            zip((c.name for c in self.beside.columns), self.beside.expressions, strict=True)
        )
        read = ", ".join(computed.get(name) or f"page.{quoted(name)}" for name in names)
        # What is computed beside a page may read any column of it.
        beside = not computed.keys().isdisjoint(names)
        needed = ", ".join(map(quoted, self.columns if beside else names))
        view = view_of(self.table)
        total = f"(select count(*) from {view} where {matching})" if counted else "null"
        # What is not needed is not computed: PostgreSQL evaluates a sub-select when it gets there.
        return (
            f"""
with state as materialized (select {version_sql("%(key)s")} as version),
page as materialized (
    select {needed} from {view}
    where not (select {_KNOWN} from state) and {" and ".join(conditions)}
    order by {order.sql()} limit %(limit)s offset %(offset)s
)
select state.version,
    case when state.version = %(known_version)s then %(known_total)s::bigint
        when {_KNOWN} then 0
        else {total} end as total,
    page.is_row, {read}
from state left join (select true as is_row, * from page) as page on true
{self.beside.join if beside else ""}
order by {order.sql("page.")}""",
            values,
        )


def serve_list(
    router: APIRouter, path: str, listing: Listing, database: Database, **more: Any
) -> None:
    """Add the list to a router; ``more``: as of any route, such as its tags."""

    async def read(request: Request, query: BaseModel) -> Response:
        return await listing.answer(database, request, query)

    # Known only now; FastAPI reads parameters from the annotation.
    read.__annotations__["query"] = Annotated[listing.query_model, Query()]
    router.add_api_route(
        path,
        read,
        name=listing.table.published_name,
        description=listing.table.description,
        response_model=listing.page_model,
        responses={
            200: {"content": documented_formats()},
            304: {"description": "Not changed."},
            **documented(422, 503),
        },
        **more,
    )


def view_of(table: Table) -> str:
    """The view that readers see."""
    return f"{quoted(table.domain)}.{quoted(table.published_name)}"


class _Order:
    """A total order of rows: by one column or none, ties by the key."""

    def __init__(self, columns: Mapping[str, Column], key: Sequence[str], sort: str | None) -> None:
        self._key = [columns[name] for name in key or columns]
        name = (sort or "").removeprefix("-")
        self._sort = columns[name] if name else None
        self._descending = (sort or "").startswith("-")

    def sql(self, of: str = "") -> str:
        parts = [f"{of}{quoted(column.name)}" for column in self._key]
        if self._sort:
            direction = "desc" if self._descending else "asc"
            parts.insert(0, f"{_comparable(self._sort, of)} {direction} nulls last")
        return ", ".join(parts)

    def cursor(self, row: Mapping[str, Any], bound: str) -> str:
        """A text that says where this row is in this order, of what it is bound to."""
        places = [row[column.name] for column in self._columns]
        return base64.urlsafe_b64encode(to_json([bound, *places])).decode().rstrip("=")

    def values_of(self, cursor: str, bound: str) -> list[Any]:
        """The values of the row that a cursor was made of; ``Problem`` for any other text."""
        try:
            padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
            found = json.loads(base64.b64decode(padded, b"-_", validate=True))
            whose, *places = found
            if whose != bound or len(places) != len(self._columns):
                raise ValueError
            return [
                # Rows without a value are sorted, but none is without a key.
                None
                if value is None and place < len(self._columns) - len(self._key)
                else TypeAdapter(cursor_type(column)).validate_python(value)
                for place, (column, value) in enumerate(zip(self._columns, places, strict=True))
            ]
        except (ValueError, TypeError, RecursionError, ValidationError):
            what = "it is no cursor of these parameters; begin again without one"
            raise bad_value("cursor", what) from None

    def after(self, places: Sequence[Any]) -> tuple[str, dict[str, Any]]:
        """The condition that a row comes after these values, and the values to bind."""
        bound = {f"c{position}": value for position, value in enumerate(places)}
        names = [f"%(c{position})s" for position in range(len(places))]
        if not self._sort:
            return _greater(self._key, names), bound
        value, ties = _comparable(self._sort), _greater(self._key, names[1:])
        if places[0] is None:
            del bound["c0"]
            return f"({value} is null and {ties})", bound
        beyond = "<" if self._descending else ">"
        return (
            f"({value} {beyond} {names[0]} or {value} is null or {value} = {names[0]} and {ties})",
            bound,
        )

    @property
    def names(self) -> list[str]:
        """The columns that say where a row is in this order."""
        return [column.name for column in self._columns]

    @property
    def _columns(self) -> list[Column]:
        return [self._sort, *self._key] if self._sort else self._key


def _comparable(column: Column, of: str = "") -> str:
    """A column as it is sorted and compared: a decimal as the number that a cursor can hold."""
    name = f"{of}{quoted(column.name)}"
    return f"cast({name} as double precision)" if field_type(column.type) is float else name


def _greater(key: Sequence[Column], names: Sequence[str]) -> str:
    columns = ", ".join(quoted(column.name) for column in key)
    # Implied by the second condition, but alone in being of use to an index of the first column.
    return f"{quoted(key[0].name)} >= {names[0]} and ({columns}) > ({', '.join(names)})"

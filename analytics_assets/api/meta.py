"""Routes about the API and the tables themselves.

Belongs here: health, counts, metrics, the data dictionary.
Does not belong here: rows of tables.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from analytics_assets.api.database import Database
from analytics_assets.api.errors import Problem, documented
from analytics_assets.api.gate import HEALTH, RateLimit
from analytics_assets.api.lists import named, table_name
from analytics_assets.api.models import NoParameters, ShortPage, ShortQuery, readable, short_page
from analytics_assets.api.requests import Metrics
from analytics_assets.api.seen import SEEN
from analytics_assets.api.settings import ApiSettings
from analytics_assets.core.contracts import sql_type
from analytics_assets.core.declaration import Table
from analytics_assets.production.records import SCHEMA
from analytics_assets.production.schema import view_name

V1 = "/api/v1"
State = Literal["fresh", "behind", "stale", "unaudited", "altered", "missing", "unknown"]
# What is behind is looked at every hour; two missed looks say that nobody does any more.
_LOOKED_WITHIN = timedelta(hours=3)
_LIVE = f"""
select table_name, sum(rows)::bigint as rows, max(promoted_at) as promoted_at
from (
    select distinct on (table_name, partition) table_name, rows, fingerprint, promoted_at
    from {SCHEMA}.ledger order by table_name, partition, id desc
) as latest
where fingerprint <> '' group by table_name"""
_BEHIND = f"select table_name, since, partitions, looked_at, unaudited from {SCHEMA}.behind"
_SHOWN = """
select n.nspname || '.' || c.relname as table_name
from pg_class as c join pg_namespace as n on n.oid = c.relnamespace where c.relkind = 'v'"""


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class TableHealth(BaseModel):
    """A promoted table.

    behind: partitions differ from what their input would give now; stale: for longer than the table
    may be; unaudited: rows fail a rule that is newer than they are; altered: somebody changed it,
    its view or its ledger beside the releases; missing: nothing is promoted, although something
    could be, or the table is not there; unknown: nobody has looked for three hours.
    """

    name: str
    state: State
    rows: int = Field(ge=0)
    last_promoted: datetime | None
    behind_since: datetime | None
    partitions_behind: int = Field(ge=0)


class Health(BaseModel):
    """Whether what is served can be relied on; degraded where a table is not fresh or behind."""

    status: Literal["ok", "degraded"]
    database: Literal["up"] = "up"
    last_promotion: datetime | None
    looked_at: datetime | None = Field(description="When it was last looked what is behind.")
    tables: list[TableHealth]


class ColumnSchema(BaseModel):
    """A column as it is declared."""

    name: str
    type: str
    unit: str
    description: str
    nullable: bool
    minimum: float | None
    maximum: float | None
    values: list[str]


class TableSummary(BaseModel):
    """A promoted table."""

    name: str
    description: str
    period: str = Field(description="How it is cut into partitions, which are promoted whole.")
    unique_columns: list[str] = Field(description="The columns that identify a row.")


class TableSchema(TableSummary):
    """A promoted table and its columns."""

    columns: list[ColumnSchema]


_Nothing = Annotated[NoParameters, Query()]


def watch_router(metrics: Metrics, settings: ApiSettings) -> APIRouter:
    """What watches the process: ``/healthz`` and ``/metrics``."""
    router = APIRouter(tags=["watch"])
    limit = RateLimit(settings.health_per_minute)

    @router.get(HEALTH, dependencies=[Depends(limit)], responses=documented(422, 429))
    async def healthz(query: _Nothing) -> Alive:
        """Whether the process answers; says nothing of production."""
        return Alive()

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **documented(422)},
    )
    async def prometheus(query: _Nothing) -> Response:
        """Metrics for Prometheus."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router


def meta_router(tables: Sequence[Table], database: Database) -> APIRouter:
    """Health, counts, and the data dictionary."""
    known = named(tables)
    router = APIRouter(prefix=V1, tags=["meta"])

    @router.get("/meta/health", responses=documented(422, 503))
    async def health(query: _Nothing) -> Health:
        """Production, its last promotion, and how fresh each table is."""
        return await read_health(database, tables)

    @router.get("/meta/counts", responses=documented(422, 503))
    async def counts(query: _Nothing) -> dict[str, Annotated[int, Field(ge=0)]]:
        """Rows of each promoted table: as the ledger has them, where nobody wrote beside it."""
        live, seen = await _rows(database, _LIVE), await _rows(database, SEEN)
        shown = await _rows(database, _SHOWN)
        return {
            name: await _count(database, table, live, seen) if name in shown else 0
            for name, table in known.items()
        }

    @router.get("/tables", responses=documented(422))
    async def dictionary(query: Annotated[ShortQuery, Query()]) -> ShortPage[TableSummary]:
        """The promoted tables, in order of their names."""
        listed = [TableSummary(**_summary(name, known[name])) for name in sorted(known)]
        return short_page(listed, query)

    @router.get("/tables/{name}", responses=documented(404, 422))
    @router.get("/tables/{name}/schema", responses=documented(404, 422))
    async def schema(name: str, query: _Nothing) -> TableSchema:
        """One table, with or without its schema, and its columns."""
        full = table_name(tables, name)
        columns = [
            ColumnSchema(
                name=column.name,
                type=sql_type(column),
                unit=column.unit,
                description=column.description,
                nullable=column.nullable,
                minimum=column.minimum,
                maximum=column.maximum,
                values=list(column.values),
            )
            for column in readable(known[full])
        ]
        return TableSchema(**_summary(full, known[full]), columns=columns)

    return router


async def read_health(database: Database, tables: Sequence[Table]) -> Health:
    """The health of these tables now; raises ``Problem`` where production does not answer."""
    live, behind = await _rows(database, _LIVE), await _rows(database, _BEHIND)
    seen, shown = await _rows(database, SEEN), await _rows(database, _SHOWN)
    return health_of(tables, live, behind, seen, shown, datetime.now(timezone.utc))


async def _count(
    database: Database, table: Table, live: Mapping[str, Any], seen: Mapping[str, Any]
) -> int:
    if _untouched(seen.get(table.key)):
        return live[table.key].rows if table.key in live else 0
    (row,) = await database.read(f"select count(*) as rows from {view_name(table)}")
    return row.rows


async def _rows(database: Database, sql: str) -> dict[str, Any]:
    """Table -> its row; none before anything was promoted."""
    try:
        return {row.table_name: row for row in await database.read(sql)}
    except Problem as problem:
        if problem.code == "not_promoted":
            return {}
        raise


def health_of(
    tables: Sequence[Table],
    live: Mapping[str, Any],
    behind: Mapping[str, Any],
    seen: Mapping[str, Any],
    shown: Collection[str],
    as_of: datetime,
) -> Health:
    """The answer, from the ledger, from what was last found behind, and from what readers see."""
    found = []
    for table in sorted(tables, key=_name):
        promoted, lag = live.get(table.key), behind.get(table.key)
        if _name(table) not in shown:
            state: State = "missing"
        elif not _untouched(seen.get(table.key)):
            state = "altered"
        else:
            state = _state(table, promoted, lag, as_of)
        found.append(
            TableHealth(
                name=_name(table),
                state=state,
                rows=promoted.rows if promoted else 0,
                last_promoted=promoted.promoted_at if promoted else None,
                behind_since=lag.since if lag else None,
                partitions_behind=lag.partitions if lag else 0,
            )
        )
    well = all(table.state in ("fresh", "behind") for table in found)
    return Health(
        status="ok" if well else "degraded",
        last_promotion=max((row.promoted_at for row in live.values()), default=None),
        looked_at=max((row.looked_at for row in behind.values()), default=None),
        tables=found,
    )


def _untouched(seen: Any) -> bool:
    """Whether all is as the last release left it."""
    return seen is not None and bool(seen.untouched)


def _state(table: Table, promoted: Any, lag: Any, as_of: datetime) -> State:
    known = lag is not None and as_of - lag.looked_at <= _LOOKED_WITHIN
    # Nothing promoted is right where there is nothing to promote.
    if promoted is None and not (known and lag.since is None):
        return "missing"
    if not known:
        return "unknown"
    if lag.unaudited:
        return "unaudited"
    if lag.since is None:
        return "fresh"
    late = table.fresh_within is not None and as_of - lag.since > table.fresh_within
    return "stale" if late else "behind"


def _name(table: Table) -> str:
    return f"{table.domain}.{table.published_name}"


def _summary(name: str, table: Table) -> dict[str, Any]:
    return {
        "name": name,
        "description": table.description,
        "period": table.period.name,
        "unique_columns": list(table.unique_columns),
    }

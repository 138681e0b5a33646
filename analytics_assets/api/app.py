"""The app: routes over the tables that it is given.

Belongs here: putting the parts together, in order.
Does not belong here: naming a table, or finding out which there are: they are handed in, so that
nothing here has to import what builds them.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI, Security
from fastapi.middleware.cors import CORSMiddleware

from analytics_assets.api.ask import ask_router
from analytics_assets.api.asking import Asker
from analytics_assets.api.database import Database
from analytics_assets.api.errors import documented, handle_errors
from analytics_assets.api.gate import guard
from analytics_assets.api.lists import lists_routers
from analytics_assets.api.meta import V1, meta_router, watch_router
from analytics_assets.api.proxies import Proxies
from analytics_assets.api.requests import Metrics, Requests
from analytics_assets.api.settings import ApiSettings
from analytics_assets.core.declaration import Table

_ABOUT = (
    "What is promoted, read-only. Lists have `limit`, `offset` or a `cursor`, and a `total`;"
    " every error is `{success, error, error_code}`. A value is null where it is unknown, or"
    " withheld because it is small."
)


Router = Callable[[Sequence[Table], Database], APIRouter]


def create_app(
    tables: Sequence[Table], routers: Sequence[Router], url: str, settings: ApiSettings
) -> FastAPI:
    """The app over the promoted ones of these tables; ``url``: production, as its reader.

    ``routers``: the routes that domains word themselves, given what is promoted.
    """
    promoted = [table for table in tables if table.publish]
    database, metrics = Database(url, settings), Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await database.close()

    refusals = (401, 403) if settings.guarded else (403,)
    app = FastAPI(
        title="analytics_assets",
        version="1",
        description=_ABOUT,
        lifespan=lifespan,
        dependencies=[Security(guard(settings))],
        responses=documented(*refusals),
    )
    handle_errors(app)
    rows, described = lists_routers(V1, promoted, database)
    app.include_router(rows)
    app.include_router(watch_router(metrics, settings))
    app.include_router(meta_router(promoted, database))
    app.include_router(ask_router(Asker(promoted, database)))
    app.include_router(described)
    for router in routers:
        app.include_router(router(promoted, database))
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=[
                "Authorization",
                "X-API-Key",
                "Content-Type",
                "If-None-Match",
                "X-Request-Id",
            ],
            expose_headers=["X-Request-Id", "ETag", "Retry-After"],
        )
    if settings.trusted_proxies:
        app.add_middleware(Proxies, addresses=settings.trusted_proxies)
    app.add_middleware(Requests, metrics=metrics, body_timeout=settings.body_timeout)
    app.state.metrics = metrics
    return app

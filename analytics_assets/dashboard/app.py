"""The pages over HTTP: routes, the language, errors as pages, and what a browser may load.

Belongs here: requests -> pages and files.
Does not belong here: what is on them; naming a table or a domain: they are handed in.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from analytics_assets.api.database import Database
from analytics_assets.api.errors import Problem, bad_value
from analytics_assets.api.gate import HEALTH
from analytics_assets.api.lists import table_name
from analytics_assets.api.meta import Health, read_health, watch_router
from analytics_assets.api.proxies import Proxies
from analytics_assets.api.requests import Metrics, Requests
from analytics_assets.core.declaration import Table
from analytics_assets.dashboard import composed, shapes, table_page
from analytics_assets.dashboard.asking import Asking
from analytics_assets.dashboard.choosing import Parameters, simple
from analytics_assets.dashboard.declared import DomainPages
from analytics_assets.dashboard.gate import guard
from analytics_assets.dashboard.rendering import Pages
from analytics_assets.dashboard.settings import DashboardSettings
from analytics_assets.dashboard.site import Site
from analytics_assets.dashboard.words import LANGUAGES, Language
from analytics_assets.settings import Settings

_HERE = Path(__file__).parent
_MOST_FOUND = 50
# Nothing is loaded from elsewhere, whatever a page or a value in it says.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
    " blob:; connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_FOR_LONG = {"Cache-Control": "private, max-age=31536000, immutable"}


def create_app(
    tables: Sequence[Table],
    declared: Mapping[str, DomainPages],
    url: str,
    settings: DashboardSettings,
    config: Settings,
) -> FastAPI:
    """The app over the promoted ones of these tables; ``url``: production, as its reader.

    ``declared``: domain -> what it says of its pages.
    """
    promoted = [table for table in tables if table.publish]
    database, metrics = Database(url, settings), Metrics()
    site = Site(promoted, declared, Asking(database), config)
    pages = Pages(site)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await database.close()

    app = FastAPI(
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Security(guard(settings))],
    )
    app.include_router(watch_router(metrics, settings))
    _files(app, site)
    _pages(app, site, pages)
    _errors(app, pages)
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=5)
    if settings.trusted_proxies:
        app.add_middleware(Proxies, addresses=settings.trusted_proxies)
    app.add_middleware(_Headers)
    app.add_middleware(Requests, metrics=metrics, body_timeout=settings.body_timeout)
    app.state.metrics = metrics
    return app


class _Headers:
    """What every answer tells the browser."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        await self._app(scope, receive, answer)


def _language(request: Request) -> Language:
    asked = request.query_params.get("lang")
    if asked is not None:
        if asked not in LANGUAGES:
            raise bad_value("lang", f"should be {' or '.join(LANGUAGES)}")
        return asked
    accepted = request.headers.get("accept-language", "").lower().split(",")
    first = next((a.strip()[:2] for a in accepted if a.strip()[:2] in LANGUAGES), "en")
    return first  # type: ignore[return-value]


def _parameters(request: Request) -> Parameters:
    found: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        if "\0" in value or len(value) > 500 or len(name) > 100:
            raise bad_value(name[:100], "is too long, or no text")
        if name != "lang":
            found.setdefault(name, []).append(value)
    return found


def _pages(app: FastAPI, site: Site, pages: Pages) -> None:
    @app.get("/")
    async def home(request: Request) -> HTMLResponse:
        """What there is: composed pages and all promoted tables with their freshness."""
        health = await _health(site, site.tables)
        return pages.home(_language(request), health)

    @app.get("/pages/{name}")
    async def page(name: str, request: Request) -> HTMLResponse:
        """A composed page."""
        language = _language(request)
        domain, declared = site.page(name)
        found = await composed.compose(site, domain, declared, _parameters(request), language)
        own = [table for table in site.tables if domain in ("", table.domain)]
        health = await _health(site, own)
        return pages.composed(domain, declared, found, health, language)

    @app.get("/tables/{name}.csv")
    async def as_csv(name: str, request: Request) -> Response:
        """The numbers of a view, or rows, as CSV."""
        language = _language(request)
        looks = site.find(name)
        columns, rows = await table_page.csv_of(site, looks, _parameters(request), language)
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows(rows)
        file = f'attachment; filename="{looks.table.domain}.{looks.table.published_name}.csv"'
        # A byte order mark, as spreadsheets otherwise take UTF-8 for something else.
        body = "\ufeff" + text.getvalue()
        return Response(body, media_type="text/csv", headers={"Content-Disposition": file})

    @app.get("/tables/{name}/values/{axis}")
    async def values(name: str, axis: str, request: Request) -> JSONResponse:
        """Values of an axis whose name or code holds the text ``q``."""
        looks = site.find(name)
        found = looks.axis(axis)
        if found is None:
            raise Problem(404, "not_found", f"There is no axis {axis[:100]!r} here.")
        wanted = simple(request.query_params.get("q", "")[:100])
        extent = await site.asking.extent(looks)
        there = await site.asking.values(looks, extent, found, {}) if extent.version else ()
        hits = [v for v in there if wanted in simple(v.text) or wanted in str(v.key)]
        hits.sort(key=lambda v: not simple(v.text).startswith(wanted))
        listed = [{"value": f"{v.text} ({v.key})"} for v in hits[:_MOST_FOUND]]
        return JSONResponse(listed)

    @app.get("/tables/{name}")
    async def table(name: str, request: Request) -> HTMLResponse:
        """The page of a promoted table."""
        language = _language(request)
        looks = site.find(name)
        full = table_name(site.tables, name)
        shown = await table_page.shown(site, full, looks, _parameters(request), language)
        health = await _health(site, [looks.table])
        return pages.table(full, looks, shown, health, language)


async def _health(site: Site, tables: Sequence[Table]) -> Health:
    return await read_health(site.asking.database, tables)


def _files(app: FastAPI, site: Site) -> None:
    assets = {path.name: path for path in (_HERE / "assets").iterdir()}
    assets["plotly.min.js"] = plotly_js()

    @app.get("/assets/{version}/{name}")
    async def asset(version: str, name: str) -> Response:
        """Scripts and styles, which the version in their address makes last."""
        if name not in assets:
            raise Problem(404, "not_found", "There is no such file.")
        return FileResponse(assets[name], headers=_FOR_LONG)

    @app.get("/shapes/{axis}.geojson")
    async def geojson(axis: str) -> Response:
        """The simplified shapes of an axis."""
        known = {a for own in site.declared.values() for a in own.maps}
        path = shapes.kept(site.settings, axis) if axis in known else None
        if path is None:
            raise Problem(404, "not_found", "There are no shapes of it.")
        return FileResponse(path, media_type="application/geo+json", headers=_FOR_LONG)


def plotly_js() -> Path:
    """Plotly's library for browsers, which its Python package brings; that is not imported."""
    found = find_spec("plotly")
    assert found
    assert found.origin
    return Path(found.origin).parent / "package_data" / "plotly.min.js"


def _errors(app: FastAPI, pages: Pages) -> None:
    def said(request: Request, problem: Problem) -> Response:
        path = request.scope["path"]
        if path in (HEALTH, "/metrics") or "/values/" in path:
            return problem.response()
        try:
            language = _language(request)
        except Problem:
            language = "en"
        return pages.error(problem, path, language)

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:
        return said(request, error)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        # Starlette raises it again, and the log has it.
        text = "Something failed here. The log has it under the request's id."
        return said(request, Problem(500, "internal_error", text))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return said(request, bad_value("request", "cannot be read"))

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        text = "There is no such page." if error.status_code == 404 else str(error.detail)
        return said(request, Problem(error.status_code, "refused", text, error.headers))

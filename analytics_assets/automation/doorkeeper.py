"""Whom Dagster's UI answers: it has no login, and whoever may ask it may launch and delete.

Belongs here: the Host and Origin of a request, and how every webserver of a home comes to look.
Does not belong here: a login, which a reverse proxy in front of it has.

A page of somebody else that is open in a browser of this machine can send requests to the UI, and
by DNS rebinding read the answers. So the UI answers only requests for a local name or the address
of ``ANALYTICS_URL``, and none that another site sends. Dagster would take a mutation from the
address of an image, too: no query is answered by GET.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from dagster import DagsterInstance
from dagster._core.instance.ref import InstanceRef
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from analytics_assets import settings

_QUERIES = "/graphql"


class GuardedInstance(DagsterInstance):
    """Dagster's instance, of which every webserver that serves it keeps others out.

    However it is started: `analytics-assets run`, `dagster dev` or `dagster-webserver`.
    """

    @classmethod
    def config_schema(cls) -> dict[str, Any]:
        """Settings in ``dagster.yaml`` beside those of Dagster: none."""
        return {}

    @classmethod
    def config_defaults(cls, base_dir: str) -> Any:
        """As Dagster has them."""
        return InstanceRef.config_defaults(base_dir)

    def optimize_for_webserver(self, *args: Any, **named: Any) -> None:
        """What a webserver calls before it makes its app, and nothing else does."""
        super().optimize_for_webserver(*args, **named)
        _guard()


def _guard() -> None:
    from dagster_webserver.webserver import DagsterWebserver

    build = DagsterWebserver.build_middleware

    def build_middleware(self: Any) -> list[Middleware]:
        return [Middleware(Doorkeeper, [settings.load().ui_url]), *build(self)]

    DagsterWebserver.build_middleware = build_middleware  # type: ignore[method-assign]


class Doorkeeper:
    """Answers requests of this machine and of ``addresses`` (URLs); others get 403 and why."""

    def __init__(self, app: ASGIApp, addresses: Collection[str]) -> None:
        self._app = app
        self._addresses = [urlsplit(address) for address in addresses]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        why = "" if scope["type"] == "lifespan" else self._refused(scope)
        if not why:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": why})
        else:
            await PlainTextResponse(f"{why}\n", 403)(scope, receive, send)

    def _refused(self, scope: Scope) -> str:
        """Why it is not answered; empty: it is."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        site = headers.get(b"sec-fetch-site", "none")
        opens_page = headers.get(b"sec-fetch-mode") == "navigate"
        is_get = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        if not self._is_ours(host):
            return (
                "The UI answers to localhost and to the address of ANALYTICS_URL alone. Set"
                " ANALYTICS_URL to the address by which you reach it."
            )
        if origin is not None and not self._is_same(origin, host):
            return "The UI takes no requests from another site."
        if origin is None and site not in ("none", "same-origin") and not (is_get and opens_page):
            return "The UI takes no requests from another site."
        if is_get and scope["path"].endswith(_QUERIES) and "html" not in headers.get(b"accept", ""):
            return "Queries are answered by POST alone."
        return ""

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return _is_local(name) or name in {address.hostname for address in self._addresses}

    def _is_same(self, origin: str, host: str) -> bool:
        """Whether a page is one of the UI: where it was asked for, or as a proxy has it."""
        known = {f"{address.scheme}://{address.netloc}" for address in self._addresses}
        return origin in known or origin in (f"http://{host}", f"https://{host}")


def _is_local(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False

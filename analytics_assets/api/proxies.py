"""Proxies in front of the API: whom they speak for.

Belongs here: which of them are believed, and where a client is sent to behind one.
Does not belong here: who may ask (``gate.py``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

_SPOKEN_FOR = "analytics_assets.spoken_for"
_SIGNS = frozenset(
    b"forwarded via x-forwarded x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto"
    b" x-forwarded-server x-real-ip x-client-ip true-client-ip cf-connecting-ip".split()
)
_FIRST = re.compile(rb"https?://[^/]*([^?]*)(.*)", re.S)


class Proxies(ProxyHeadersMiddleware):
    """Client and scheme as a trusted proxy has them; ``X-Forwarded-For`` of others says nothing."""

    def __init__(self, app: ASGIApp, addresses: Collection[str]) -> None:
        super().__init__(app, list(addresses))  # type: ignore[arg-type]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        client = scope.get("client")
        if scope["type"] == "http" and client and client[0] in self.trusted_hosts:
            scope[_SPOKEN_FOR] = any(name == b"x-forwarded-for" for name, _ in scope["headers"])
        await super().__call__(scope, receive, send)


def trusted(addresses: Collection[str]) -> Any:
    """Addresses and networks as something that an address is in."""
    return Proxies(_nothing, addresses).trusted_hosts


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """No app."""


def by_trusted_proxy(scope: Scope) -> bool:
    """Whether a trusted proxy passed this on."""
    return _SPOKEN_FOR in scope


def of_unknown_client(scope: Scope) -> bool:
    """Whether a proxy passed this on that says not, or is not believed, whose it is.

    A proxy that is not told to name the client is known by HTTP/1.0, which nginx speaks unless it
    is told otherwise, and browsers and programs do not.
    """
    if scope.get(_SPOKEN_FOR):
        return False
    signs = any(name in _SIGNS for name, _ in scope["headers"])
    return signs or scope.get("http_version") == "1.0"


def beside(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Headers of a redirect to the same path with or without a slash, told from where it is.

    So a client stays with the scheme, host and prefix that it knows, whatever the proxy passes on.
    """
    return [
        (name, _relative(value)) if name.lower() == b"location" else (name, value)
        for name, value in headers
    ]


def _relative(location: bytes) -> bytes:
    found = _FIRST.fullmatch(location)
    if found is None:
        return location
    path, query = found.groups()
    last = path.rstrip(b"/").rpartition(b"/")[2]
    return (b"./" + last + b"/" if path.endswith(b"/") else b"../" + last) + query

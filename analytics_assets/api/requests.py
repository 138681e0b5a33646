"""What happens to every request: an id, a line in the log, metrics, and a limit of its size.

Belongs here: the outermost layer, which also answers what nobody else caught.
Does not belong here: errors that are expected (``errors.py``).

The log names routes, never addresses, parameters or bodies: those may hold personal data.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import time
import traceback
from datetime import datetime, timezone
from uuid import uuid4

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from analytics_assets.api.errors import Problem
from analytics_assets.api.proxies import beside

LOG = logging.getLogger("analytics_assets.api")
UNMATCHED = "unmatched"
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_MOST_BYTES = 64 * 1024
MOST_HEAD_BYTES = 32 * 1024
_CLOSE = {"Connection": "close"}
_TOO_LONG = (431, "headers_too_large", "The address and headers are too long.", _CLOSE)
_FAILED = (500, "internal_error", "Something failed here. The log has it under the request's id.")


class JsonLines(logging.Formatter):
    """A record as one line of JSON: its own fields, or its message."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        fields = record.msg if isinstance(record.msg, dict) else {"message": record.getMessage()}
        return json.dumps({"time": moment.isoformat(), "level": record.levelname.lower(), **fields})


def log_to_stdout() -> None:
    """One line of JSON for each record of the API and its server."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    for name in (LOG.name, "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)


class Metrics:
    """What Prometheus reads, of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "http_requests_total",
            "Requests.",
            ["method", "path", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "http_request_duration_seconds",
            "Duration of requests.",
            ["method", "path"],
            registry=self.registry,
        )
        self.active = Gauge(
            "http_requests_in_progress", "Requests being answered.", registry=self.registry
        )
        self.refused = Counter(
            "http_connections_refused_total",
            "Connections that were ended before they were a request, or before they were read.",
            ["reason"],
            registry=self.registry,
        )


class Requests:
    """The outermost ASGI layer of the app. ``HEAD`` is answered as ``GET``, without the body."""

    def __init__(self, app: ASGIApp, metrics: Metrics, body_timeout: float) -> None:
        self.app, self.metrics, self._body_timeout = app, metrics, body_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id, started, status = _request_id(scope), time.perf_counter(), 0
        head = scope["method"] == "HEAD"
        asked = {**scope, "method": "GET"} if head else scope

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id.encode()),
                ]
                if status == 307:
                    message["headers"] = beside(message["headers"])
            elif head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        self.metrics.active.inc()
        try:
            if _head_bytes(scope) > MOST_HEAD_BYTES:
                await Problem(*_TOO_LONG).response()(scope, receive, answer)
            else:
                await self.app(asked, _limited(receive, self._body_timeout), answer)
        except Exception as error:
            LOG.error({"request_id": request_id, **_without_values(error)})
            if not status:
                await Problem(*_FAILED).response()(scope, receive, answer)
        finally:
            self.metrics.active.dec()
            # The route is found on the way, and written into what was passed on.
            self._note(
                {**asked, "method": scope["method"]},
                request_id,
                status,
                time.perf_counter() - started,
            )

    def _note(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        # A path that is no route's is the client's own text.
        path = getattr(scope.get("route"), "path", UNMATCHED)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.metrics.requests.labels(method, path, status).inc()
        self.metrics.seconds.labels(method, path).observe(seconds)
        LOG.info(
            {
                "request_id": request_id,
                "method": method,
                "path": path,
                "status_code": status,
                "duration_ms": round(seconds * 1000, 2),
            }
        )


def _request_id(scope: Scope) -> str:
    given = next((v.decode("latin-1") for k, v in scope["headers"] if k == b"x-request-id"), "")
    return given if _ID.fullmatch(given) else uuid4().hex


def _head_bytes(scope: Scope) -> int:
    line = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    return line + sum(len(name) + len(value) for name, value in scope["headers"])


def _limited(receive: Receive, seconds: float) -> Receive:
    """The same, until a body is longer, or takes longer, than any that is asked for."""
    received, done = 0, False
    begun = time.monotonic()

    async def limited() -> Message:
        nonlocal received, done
        if done:  # what comes now is the end of the connection
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), begun + seconds - time.monotonic())
        except asyncio.TimeoutError:
            raise HTTPException(408, headers=_CLOSE) from None
        done = not message.get("more_body", False)
        received += len(message.get("body", b""))
        if received > _MOST_BYTES:
            raise HTTPException(413, headers=_CLOSE)
        return message

    return limited


def _without_values(error: BaseException) -> dict[str, object]:
    """What failed and where; an exception's text may hold values of the request."""
    frames = traceback.extract_tb(error.__traceback__)
    cause = getattr(error, "orig", None)
    return {
        "error": type(error).__qualname__,
        "cause": type(cause).__qualname__ if cause else None,
        "at": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }

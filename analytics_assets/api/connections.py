"""What a connection may cost before it is a request: time, bytes, and how many there are.

Belongs here: what has to be seen below the app, which knows a request only by its whole headers.
Does not belong here: the limits of a request that is read (``requests.py``).

A connection that waits for headers gives way to a newer one where there are too many, the oldest
first: half-sent requests, however many, shut nobody out. One that is being answered never does.
"""

from __future__ import annotations

import asyncio
import resource
from collections import Counter, OrderedDict
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from analytics_assets.api.errors import Problem
from analytics_assets.api.proxies import trusted
from analytics_assets.api.requests import MOST_HEAD_BYTES, Metrics
from analytics_assets.api.settings import ApiSettings

# Descriptors that are no client's: the pool, the log, files that are read.
_OWN_DESCRIPTORS = 100
_BACKLOG = 64
_WORDS = {
    400: (b"Bad Request", "bad_request", "This is no request of HTTP/1.1 that can be read."),
    408: (b"Request Timeout", "request_timeout", "The request did not end in time."),
    429: (b"Too Many Requests", "too_many_connections", "You have too many connections."),
    431: (b"Request Header Fields Too Large", "headers_too_large", "The headers are too long."),
    503: (b"Service Unavailable", "too_many_connections", "There are too many connections."),
}


class Connections:
    """All connections of a server: how many there are of whom, and which of them wait."""

    def __init__(self, settings: ApiSettings, metrics: Metrics) -> None:
        self.settings, self._metrics = settings, metrics
        self._trusted = trusted(settings.trusted_proxies)
        self._most = min(settings.connections, _descriptors())
        self._of: Counter[str] = Counter()
        self._waiting: OrderedDict[Any, str] = OrderedDict()

    def admit(self, connection: Any, address: str) -> int:
        """Count it; the status to refuse it with, or 0. A proxy speaks for many clients."""
        self._of[address] += 1
        crowded = self._of[address] > self.settings.client_connections
        if crowded and address not in self._trusted and not self._make_room(address):
            return 429
        if self._of.total() > self._most and not self._make_room():
            return 503
        return 0

    def waits(self, connection: Any, address: str) -> None:
        """It has to send headers; its place is that of its first wait."""
        self._waiting.setdefault(connection, address)

    def answered(self, connection: Any) -> None:
        """It has sent them."""
        self._waiting.pop(connection, None)

    def gone(self, connection: Any, address: str) -> None:
        """It is closed."""
        self.answered(connection)
        self._of[address] -= 1
        if self._of[address] <= 0:
            del self._of[address]

    def refused(self, reason: str) -> None:
        """Count what is refused."""
        self._metrics.refused.labels(reason).inc()

    def _make_room(self, address: str | None = None) -> bool:
        for connection, whose in self._waiting.items():
            if address in (None, whose):
                self.answered(connection)
                connection.end("displaced")
                return True
        return False


def _descriptors() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(_BACKLOG, soft - _OWN_DESCRIPTORS) if soft > 0 else 2**31


class _Bounded(asyncio.Protocol):
    """uvicorn's protocol with these limits, which it has no options for.

    ``cycle`` is the request that is being answered, or the last one.
    """

    _bounds: Connections
    transport: Any
    cycle: Any
    client: Any
    loop: Any

    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _received = 0
    _address: str | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        if status := self._bounds.admit(self, self._address):
            self.end("connections", status)
        else:
            self._has_to_send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unlimited()
        if self._address is not None:
            self._bounds.gone(self, self._address)
            self._address = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        # Of a body that nobody read, no more is taken than of headers.
        self._received += 0 if self._answering else len(data)
        if self._received > MOST_HEAD_BYTES and b"\r\n\r\n" not in data[:MOST_HEAD_BYTES]:
            self.end("headers_size", 431)
            return
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._answering:
            self._received = 0
            self._unlimited("_deadline")
            self._bounds.answered(self)
        else:
            self._has_to_send()

    def on_response_complete(self) -> None:
        super().on_response_complete()  # type: ignore[misc]
        self._received = 0
        self._unlimited("_deadline")
        if not self._answering:
            self._bounds.waits(self, self._address or "")
        if self.transport.get_write_buffer_size():
            self._to_be_read()

    def pause_writing(self) -> None:
        super().pause_writing()
        # Answers to requests that were sent one upon the other wait here, too.
        self._to_be_read()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unlimited("_unread")

    def _to_be_read(self) -> None:
        if self._unread is None:
            self._unread = self.loop.call_later(self._bounds.settings.answer_timeout, self._deaf)

    def _deaf(self) -> None:
        self._unread = None
        if self.transport.get_write_buffer_size():
            self.end("answer_not_read")

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _has_to_send(self) -> None:
        """Headers, in so long; what comes meanwhile, byte by byte, does not make it longer."""
        self._bounds.waits(self, self._address or "")
        if self._deadline is None:
            self._deadline = self.loop.call_later(self._bounds.settings.headers_timeout, self._late)

    def _late(self) -> None:
        self._deadline = None
        self.end("headers_timeout", 408 if self._received else 0)

    def _unlimited(self, *timers: str) -> None:
        for name in timers or ("_deadline", "_unread"):
            if (timer := getattr(self, name)) is not None:
                timer.cancel()
                setattr(self, name, None)

    def send_400_response(self, msg: str) -> None:
        """As uvicorn has it, in the one shape of every error."""
        self.end("no_http", 400)

    def end(self, reason: str, status: int = 0) -> None:
        """Close it, with an answer where there is a status and all answers before are read."""
        self._bounds.refused(reason)
        self._bounds.answered(self)
        self._unlimited()
        if not status or self.transport.get_write_buffer_size():
            self.transport.abort()
            return
        phrase, code, text = _WORDS[status]
        body = bytes(Problem(status, code, text).response().body)
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"retry-after: 5\r\nconnection: close\r\n\r\n%s" % (status, phrase, len(body), body)
        )
        self.transport.close()


def protocol(connections: Connections, base: Any = AutoHTTPProtocol) -> type[asyncio.Protocol]:
    """uvicorn's protocol, one or the other that it has, within the limits of these connections."""
    return type("BoundedProtocol", (_Bounded, base), {"_bounds": connections})

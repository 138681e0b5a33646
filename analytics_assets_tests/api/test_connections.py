"""What never becomes a request: half-sent headers, too many connections, long headers."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from analytics_assets.api.app import create_app
from analytics_assets.api.connections import Connections, protocol
from analytics_assets.api.requests import Metrics
from analytics_assets.api.settings import ApiSettings
from analytics_assets_tests.api.conftest import served

KEY = "k" * 20
LIMITS = ApiSettings(
    keys=(KEY,),
    health_per_minute=1_000_000,
    headers_timeout=0.4,
    body_timeout=0.4,
    answer_timeout=0.4,
    client_connections=20,
    connections=40,
)
HALF = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
WHOLE = HALF + b"\r\n"


@contextmanager
def limited(base: Any, limits: ApiSettings = LIMITS) -> Iterator[str]:
    app = create_app((), (), "postgresql://nobody@127.0.0.1:1/none", limits)
    http = protocol(Connections(limits, app.state.metrics), base)
    with served(app, limits, http=http) as url:
        yield url


@pytest.fixture(scope="module", params=[HttpToolsProtocol, H11Protocol])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """With either parser that uvicorn may find."""
    with limited(request.param) as found:
        yield found


def connect(url: str, source: str = "127.0.0.1") -> socket.socket:
    parts = urlsplit(url)
    address = (str(parts.hostname), int(parts.port or 0))
    return socket.create_connection(address, timeout=10, source_address=(source, 0))


def told(connection: socket.socket) -> bytes:
    """All that is answered until the other side ends it."""
    found = b""
    try:
        while data := connection.recv(65536):
            found += data
    except ConnectionResetError:
        pass
    return found


def refused(url: str) -> dict[str, float]:
    """Reason -> how many, as Prometheus reads it."""
    text = httpx.get(f"{url}/metrics", headers={"X-API-Key": KEY}).raise_for_status().text
    found = re.findall(r'http_connections_refused_total\{reason="(\w+)"\} ([\d.]+)', text)
    return {reason: float(count) for reason, count in found}


def error(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    found = json.loads(body)
    assert found["success"] is False
    assert b"connection: close" in head.lower()
    return int(head.split()[1]), found["error_code"]


@pytest.mark.parametrize("sent", [HALF, b"G"])
def test_half_sent_headers_end(url: str, sent: bytes) -> None:
    before = refused(url).get("headers_timeout", 0)
    with connect(url) as half:
        half.sendall(sent)
        assert error(told(half)) == (408, "request_timeout")
    assert refused(url)["headers_timeout"] == before + 1


def test_a_byte_now_and_then_is_no_progress(url: str) -> None:
    with connect(url) as drip:
        drip.sendall(HALF)
        drip.settimeout(0.05)
        answer = b""
        for _ in range(200):
            try:
                drip.sendall(b"x")
                answer = drip.recv(1000)
                break
            except TimeoutError:
                continue
    assert error(answer) == (408, "request_timeout")


@pytest.mark.parametrize(
    "sent", [b"G@T / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\r\n\r\n", b"GET  /a b c\r\n\r\n"]
)
def test_what_is_no_http_is_refused_in_the_one_shape(url: str, sent: bytes) -> None:
    with connect(url) as odd:
        odd.sendall(sent)
        assert error(told(odd)) == (400, "bad_request")


def test_a_connection_that_sends_nothing_ends_without_a_word(url: str) -> None:
    with connect(url) as silent:
        assert told(silent) == b""


@pytest.mark.parametrize("path", ["/nothing", "/healthz"])
def test_a_body_that_nobody_reads_holds_no_connection(url: str, path: str) -> None:
    with connect(url) as drip:
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
        drip.sendall(head.encode() + b"x")
        drip.settimeout(0.05)
        for _ in range(400):
            try:
                drip.sendall(b"x")
                if not drip.recv(65536):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        else:
            raise AssertionError("it is still open")


def test_long_headers_are_refused_whole_or_in_parts(url: str) -> None:
    before = refused(url).get("headers_size", 0)
    with connect(url) as long:
        long.sendall(HALF + b"X-Long: " + b"x" * 40_000)
        assert error(told(long)) == (431, "headers_too_large")
    assert refused(url)["headers_size"] == before + 1
    with connect(url) as whole:
        whole.sendall(HALF + b"X-Long: " + b"x" * 33_000 + b"\r\n\r\n")
        assert error(told(whole)) == (431, "headers_too_large")
    fine = httpx.get(f"{url}/healthz", headers={"X-Long": "x" * 30_000})
    assert fine.status_code == 200


def test_half_sent_requests_shut_nobody_out_and_are_counted() -> None:
    """Neither from elsewhere nor from the same address; more than the process may have."""
    patient = 60
    with (
        ExitStack() as open_,
        limited(
            HttpToolsProtocol, ApiSettings(keys=(KEY,), headers_timeout=patient, connections=150)
        ) as crowded,
    ):
        for number in range(600):
            half = open_.enter_context(connect(crowded, f"127.0.0.{2 + number % 4}"))
            half.sendall(HALF)
        for source in ("127.0.0.2", "127.0.0.9"):
            with connect(crowded, source) as honest:
                honest.sendall(WHOLE)
                assert honest.recv(1000).startswith(b"HTTP/1.1 200")
        assert refused(crowded)["displaced"] >= 450


def test_who_is_being_answered_is_not_displaced() -> None:
    """Where all of them are, a new one is refused; a proxy speaks for many clients."""
    limits = Connections(ApiSettings(client_connections=2, connections=3), Metrics())
    assert [limits.admit(object(), "a") for _ in range(3)] == [0, 0, 429]
    assert limits.admit(object(), "b") == 503
    proxied = ApiSettings(client_connections=2, trusted_proxies=("10.0.0.0/8",))
    limits = Connections(proxied, Metrics())
    assert [limits.admit(object(), "10.0.0.1") for _ in range(5)] == [0] * 5
    limits.gone(None, "10.0.0.1")


def test_an_answer_that_nobody_reads_ends(url: str) -> None:
    """The document is longer than what the system keeps for a client that does not read."""
    asked = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    before = refused(url).get("answer_not_read", 0)
    with connect(url) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(0.05)
        with suppress(TimeoutError):
            deaf.sendall(asked * 20_000)
        for _ in range(200):
            if refused(url).get("answer_not_read", 0) > before:
                break
            time.sleep(0.05)
    assert refused(url).get("answer_not_read") == before + 1, refused(url)

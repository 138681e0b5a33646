"""The real command, and clients that send half a request, or a byte now and then."""

from __future__ import annotations

import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from analytics_assets_tests.api.conftest import Production, commanded, empty_production
from analytics_assets_tests.api.test_connections import HALF, connect, error, told

PATH = "/api/dashboard/analytics/data"
BODY = json.dumps({"start_date": "2025-01-01", "end_date": "2025-01-02"}).encode()
HEAD = (
    f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(BODY)}\r\n\r\n"
).encode()
SECONDS = 1.0


@pytest.fixture(scope="module")
def unfilled(postgres: str) -> Iterator[Production]:
    """Production as it is before the first promotion: what a client sends is read in any case."""
    with empty_production(postgres) as found:
        yield found


@pytest.fixture(scope="module")
def url(unfilled: Production, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("API_BODY_TIMEOUT", str(SECONDS))
        patch.setenv("ANALYTICS_DOMAINS", "ad_metrics")
        with commanded(unfilled, tmp_path_factory.mktemp("home")) as (found, _):
            yield found


def posted(url: str) -> int:
    """What a client is answered that sends all at once."""
    return httpx.post(
        f"{url}{PATH}", content=BODY, headers={"Content-Type": "application/json"}, timeout=30
    ).status_code


def test_a_body_that_is_sent_byte_by_byte_ends(url: str) -> None:
    whole = posted(url)
    begun = time.monotonic()
    with connect(url) as drip:
        drip.sendall(HEAD)
        drip.settimeout(0.1)
        answer = b""
        for byte in BODY * 10:
            try:
                drip.sendall(bytes([byte]))
                answer += drip.recv(65536)
                break
            except TimeoutError:
                continue
        seconds = time.monotonic() - begun
        drip.settimeout(10)
        answer += told(drip)
    assert error(answer) == (408, "request_timeout")
    assert SECONDS <= seconds < 0.1 * len(BODY)
    assert posted(url) == whole != 408


@pytest.mark.parametrize("sent", [b"", BODY[:1], BODY[:-1]], ids=["none", "a byte", "all but one"])
def test_a_body_that_is_half_sent_ends(url: str, sent: bytes) -> None:
    begun = time.monotonic()
    with connect(url) as half:
        half.sendall(HEAD + sent)
        assert error(told(half)) == (408, "request_timeout")
    assert SECONDS <= time.monotonic() - begun < 10 * SECONDS


def test_a_body_that_comes_in_time_in_parts_is_answered(url: str) -> None:
    with connect(url) as slow:
        slow.sendall(HEAD.replace(b"Host", b"Connection: close\r\nHost"))
        for at in range(0, len(BODY), 30):
            time.sleep(0.1)
            slow.sendall(BODY[at : at + 30])
        answer = told(slow)
    assert int(answer.split()[1]) == posted(url)


@pytest.mark.slow
def test_more_half_sent_requests_than_descriptors_shut_nobody_out(
    unfilled: Production, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,100 of them at 1,024 descriptors, from ten addresses."""
    few, many = 1_024, 1_100
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4 * many:
        pytest.skip(f"this test itself needs {4 * many} descriptors, and may have {hard}")
    monkeypatch.setenv("ANALYTICS_DOMAINS", "ad_metrics")
    monkeypatch.setenv("API_HEADERS_TIMEOUT", "30")
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    try:
        with commanded(unfilled, tmp_path) as (base, process), ExitStack() as open_:
            resource.setrlimit(resource.RLIMIT_NOFILE, (4 * many, hard))
            held: list[socket.socket] = []
            for number in range(many):
                half = open_.enter_context(connect(base, f"127.0.0.{2 + number % 20}"))
                half.sendall(HALF)
                held.append(half)
                if number % 100 == 0 or number >= few - 50:
                    assert httpx.get(f"{base}/api/v1/tables", timeout=10).status_code == 200, number
            for half in held:
                half.close()
            assert httpx.get(f"{base}/api/v1/tables", timeout=10).status_code == 200
            assert process.poll() is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "Traceback" not in (tmp_path / "log").read_text()

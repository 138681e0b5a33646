"""Who is answered: keys, tokens, this machine alone; rate limit, CORS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest

from analytics_assets import cli
from analytics_assets.api import settings as api_settings
from analytics_assets.api.app import create_app
from analytics_assets.api.gate import _valid
from analytics_assets.api.settings import ApiSettings, ApiSettingsError
from analytics_assets_tests.api.conftest import Production, client_of

KEY, OTHER, SECRET = "k" * 20, "o" * 20, "s" * 32


def token(secret: str = SECRET, audience: str = "dashboard", seconds: int = 3600) -> str:
    return jwt.encode({"exp": time.time() + seconds, "aud": audience}, secret, "HS256")


@pytest.fixture(scope="module")
def guarded(production: Production) -> Iterator[httpx.Client]:
    keys = ApiSettings(
        host="0.0.0.0", keys=(OTHER, KEY), jwt_secret=SECRET, jwt_audience="dashboard"
    )
    with client_of(production, keys) as client:
        yield client


def routes(client: httpx.Client) -> list[tuple[str, str]]:
    paths = client.get("/openapi.json").json()["paths"]
    return [(path, method.upper()) for path, methods in paths.items() for method in methods]


def test_with_keys_every_route_but_healthz_refuses_without_one(
    guarded: httpx.Client, client: httpx.Client
) -> None:
    asked = 0
    for path, method in routes(client):
        answer = guarded.request(method, path)
        if path != "/healthz":
            assert answer.status_code == 401, path
            assert answer.json()["error_code"] == "unauthorized"
            assert answer.headers["www-authenticate"] == "Bearer"
            asked += 1
    assert asked > 25


@pytest.mark.parametrize(
    ("headers", "let_in"),
    [
        ({"X-API-Key": KEY}, True),
        ({"X-API-Key": OTHER}, True),
        ({"Authorization": f"Bearer {KEY}"}, True),
        ({"Authorization": f"Bearer {token()}"}, True),
        ({"X-API-Key": KEY[:-1]}, False),
        ({"X-API-Key": "é" * 20}, False),
        ({"X-API-Key": ""}, False),
        ({"Authorization": f"Basic {KEY}"}, False),
        ({"X-API-Key": token()}, False),
        ({"Authorization": f"Bearer {token('x' * 32)}"}, False),
        ({"Authorization": f"Bearer {token(audience='other')}"}, False),
        ({"Authorization": f"Bearer {token(seconds=-5)}"}, False),
        ({"Authorization": f"Bearer {token(audience='')}"}, False),
        (
            {"Authorization": "Bearer " + jwt.encode({"aud": "dashboard"}, SECRET, "HS256")},
            False,
        ),
        ({"Authorization": "Bearer " + jwt.encode({"exp": 9e9}, None, "none")}, False),
    ],
)
def test_keys_and_tokens(guarded: httpx.Client, headers: dict[str, str], let_in: bool) -> None:
    encoded = {name: value.encode() for name, value in headers.items()}
    assert (guarded.get("/api/v1/tables", headers=encoded).status_code == 200) is let_in


@pytest.mark.parametrize("audience", ["dashboard", "x", ["x", "dashboard"], ["x"], None])
def test_without_an_audience_a_token_of_another_service_is_refused(audience: Any) -> None:
    own = {"exp": time.time() + 60} | ({"aud": audience} if audience else {})
    told = jwt.encode(own, SECRET, "HS256")
    assert _valid(told, ApiSettings(jwt_secret=SECRET)) is (audience is None)
    meant = bool(audience) and "dashboard" in audience
    assert _valid(told, ApiSettings(jwt_secret=SECRET, jwt_audience="dashboard")) is meant


def test_without_keys_only_this_machine_is_answered(production: Production) -> None:
    app = create_app((), (), production.reader, ApiSettings())

    async def status(address: str, host: str) -> int:
        transport = httpx.ASGITransport(app, client=(address, 5))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return (await client.get("/api/v1/tables", headers={"Host": host})).status_code

    import asyncio

    for host in ("localhost", "127.0.0.1:8000", "[::1]:8000"):
        assert asyncio.run(status("127.0.0.1", host)) == 200
    assert asyncio.run(status("::1", "localhost")) == 200
    # From elsewhere; and from a page that calls this machine by a name of its own.
    assert asyncio.run(status("192.0.2.7", "localhost")) == 403
    assert asyncio.run(status("127.0.0.1", "rebound.example")) == 403
    assert asyncio.run(status("127.0.0.1", "[")) == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.com"])
def test_without_keys_it_listens_nowhere_else(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("API_HOST", host)
    with pytest.raises(ApiSettingsError, match="API_KEYS or API_JWT_SECRET"):
        api_settings.load()
    monkeypatch.setenv("API_KEYS", KEY)
    assert api_settings.load().host == host


def test_the_command_says_so(
    monkeypatch: pytest.MonkeyPatch, production: Production, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("API_HOST", "0.0.0.0")
    monkeypatch.setenv("PRODUCTION_URL", production.promoter)
    assert cli.main(["api"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("API_HOST is 0.0.0.0, which others can reach: set API_KEYS")
    assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("API_KEYS", "short", "at least 16 characters"),
        ("API_JWT_SECRET", "short", "at least 32 bytes"),
        ("API_PORT", "http", "a number above 0"),
        ("API_POOL_SIZE", "0", "a number above 0"),
    ],
)
def test_bad_settings_are_refused_without_showing_secrets(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ApiSettingsError, match=f"{name}.*{message}"):
        api_settings.load()
    assert KEY not in repr(ApiSettings(keys=(KEY,), jwt_secret=SECRET))
    assert SECRET not in repr(ApiSettings(keys=(KEY,), jwt_secret=SECRET))


def test_the_31st_request_for_health_within_a_minute_is_refused(production: Production) -> None:
    with client_of(production, ApiSettings(), "clinic") as client:
        statuses = [client.get("/healthz").status_code for _ in range(31)]
        assert statuses == [200] * 30 + [429]
        refused = client.get("/healthz")
        assert refused.json()["error_code"] == "rate_limited"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert client.get("/api/v1/tables").status_code == 200


def test_a_minute_later_it_is_answered_again() -> None:
    from types import SimpleNamespace

    from analytics_assets.api.errors import Problem
    from analytics_assets.api.gate import RateLimit

    now = [0.0]
    limit = RateLimit(2, lambda: now[0])
    one: Any = SimpleNamespace(client=SimpleNamespace(host="a"))
    other: Any = SimpleNamespace(client=SimpleNamespace(host="b"))
    limit(one)
    now[0] = 30.0
    limit(one)
    with pytest.raises(Problem) as refused:
        limit(one)
    assert refused.value.headers == {"Retry-After": "30"}
    limit(other)
    now[0] = 60.0
    limit(one)
    with pytest.raises(Problem):
        limit(one)


def test_other_sites_are_let_in_only_where_configured(production: Production) -> None:
    asking = {"Origin": "https://one.example", "Access-Control-Request-Method": "GET"}
    with client_of(production, ApiSettings(), "clinic") as client:
        assert (
            "access-control-allow-origin"
            not in client.get("/api/v1/tables", headers=asking).headers
        )
        assert client.options("/api/v1/tables", headers=asking).status_code == 405
    allowed = ApiSettings(cors_origins=("https://one.example",))
    with client_of(production, allowed, "clinic") as client:
        answer = client.options("/api/v1/tables", headers=asking)
        assert answer.headers["access-control-allow-origin"] == "https://one.example"
        cached = {**asking, "Access-Control-Request-Headers": "if-none-match, x-api-key"}
        assert client.options("/api/v1/tables", headers=cached).status_code == 200
        other = client.options(
            "/api/v1/tables", headers={**asking, "Origin": "https://two.example"}
        )
        assert "access-control-allow-origin" not in other.headers

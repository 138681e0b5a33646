"""Who is let in, what a browser may load, and what a lost database looks like."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from analytics_assets.api.settings import ApiSettingsError
from analytics_assets.dashboard import settings as own_settings
from analytics_assets.dashboard.settings import DashboardSettings
from analytics_assets.production import server
from analytics_assets.production.promotion import production_engine
from analytics_assets_tests.api.conftest import Production, empty_production
from analytics_assets_tests.api.filled import promote, rows_of
from analytics_assets_tests.dashboard.conftest import page, shown
from analytics_assets_tests.dashboard.test_tables import YEARLY
from analytics_assets_tests.faults.test_outages import start, stop_at_once

KEY = "a key of sixteen characters"
PATH = "/tables/births.agg_state_yearly"


def basic(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"anybody:{key}".encode()).decode()}


def test_without_keys_only_this_machine_is_answered(dashboard: httpx.Client) -> None:
    for headers in ({"Host": "evil.example"}, {"X-Forwarded-For": "203.0.113.9"}):
        assert dashboard.get("/", headers=headers).status_code == 403


def test_nothing_may_be_loaded_from_elsewhere(dashboard: httpx.Client) -> None:
    answer = dashboard.get("/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe-eval" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "http://" not in answer.text.replace(str(dashboard.base_url), "")
    assert "https://" not in answer.text


def test_a_key_is_a_password(production: Production) -> None:
    with shown(production, DashboardSettings(keys=(KEY,)), [YEARLY], {}) as client:
        asked = client.get(PATH)
        assert asked.status_code == 401
        assert asked.headers["www-authenticate"].startswith("Basic")
        assert client.get(PATH, headers=basic(KEY[:-1])).status_code == 401
        assert client.get(PATH, headers={"Authorization": "Basic ???"}).status_code == 401
        for headers in (basic(KEY), {"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}):
            assert client.get(PATH, headers=headers).status_code == 200
        assert client.get("/healthz").status_code == 200


def test_a_login_is_believed_of_a_trusted_proxy_alone(production: Production) -> None:
    named = {"X-Remote-User": "ana", "X-Forwarded-For": "203.0.113.9"}
    ours = DashboardSettings(trusted_proxies=("127.0.0.1",), login_header="X-Remote-User")
    others = DashboardSettings(trusted_proxies=("10.0.0.1",), login_header="X-Remote-User")
    with shown(production, ours, [YEARLY], {}) as client:
        assert client.get(PATH, headers=named).status_code == 200
        assert client.get(PATH, headers=named | {"X-Remote-User": ""}).status_code == 401
    with shown(production, others, [YEARLY], {}) as client:
        assert client.get(PATH, headers=named).status_code == 403


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"host": "0.0.0.0"}, "DASHBOARD_HOST"),
        ({"login_header": "X-User"}, "API_TRUSTED_PROXIES"),
        ({"login_header": "X User", "trusted_proxies": ("10.0.0.1",)}, "no name of a header"),
        ({"keys": ("short",)}, "API_KEYS"),
    ],
)
def test_settings_that_let_anybody_in_are_refused(own: dict[str, object], said: str) -> None:
    with pytest.raises(ApiSettingsError, match=said):
        DashboardSettings(**own)  # type: ignore[arg-type]
    DashboardSettings(host="0.0.0.0", keys=(KEY,))


def test_a_port_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHBOARD_PORT", "x")
    with pytest.raises(ApiSettingsError, match="DASHBOARD_PORT"):
        own_settings.load()
    monkeypatch.setenv("DASHBOARD_PORT", "8123")
    assert own_settings.load().port == 8123


@pytest.fixture
def stoppable(data: Path) -> Iterator[Production]:
    with empty_production(server._start(data)) as found:
        with production_engine(found.promoter) as engine, engine.begin() as connection:
            promote(connection, YEARLY, rows_of(YEARLY))
        yield found


def test_a_database_that_stops_and_comes_back(data: Path, stoppable: Production) -> None:
    with shown(stoppable, tables=[YEARLY], pages={}) as client:
        before = page(client, PATH)
        stop_at_once(data)
        answer = client.get(PATH)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert 'http-equiv="refresh"' in answer.text
        assert "Production does not answer" in answer.text
        start(data)
        assert page(client, PATH) == before

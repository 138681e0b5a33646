"""Whom the UI answers, by the headers of a request; the real webserver: ``integration/test_ui``."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from analytics_assets.automation.doorkeeper import Doorkeeper

ADDRESS = "https://ui.example.org:8443"
OWN, FOREIGN = "http://127.0.0.1:3000", "http://evil.example"


async def _answers(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "answered"})


def answered(method: str = "POST", path: str = "/graphql", **headers: str) -> bool:
    """Whether a request with these headers reaches the app; a websocket: method ``WS``."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "websocket" if method == "WS" else "http",
        "method": method,
        "path": path,
        "headers": [
            (name.replace("_", "-").encode(), value.encode())
            for name, value in {"host": "127.0.0.1:3000", **headers}.items()
        ],
    }
    asyncio.run(Doorkeeper(_answers, [ADDRESS])(scope, receive, send))
    kinds = [message["type"] for message in sent]
    refused = ["websocket.close"] if method == "WS" else ["http.response.start"]
    assert kinds == ["answered"] or (kinds[:1] == refused and sent[0].get("status") in (403, None))
    return kinds == ["answered"]


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("localhost:3000", True),
        ("127.0.0.1", True),
        ("[::1]:3000", True),
        ("ui.example.org:8443", True),
        ("UI.example.org", True),
        ("evil.example:3000", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("10.0.0.1:3000", False),
        ("0.0.0.0", False),
        ("user@localhost.", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_a_name_by_which_the_ui_is_reached(host: str, is_ours: bool) -> None:
    assert answered(host=host) is is_ours
    assert answered("WS", host=host) is is_ours
    assert answered("GET", "/", host=host) is is_ours


@pytest.mark.parametrize(
    ("origin", "is_same"),
    [
        (OWN, True),
        (ADDRESS, True),
        (FOREIGN, False),
        ("null", False),
        ("http://127.0.0.1:8888", False),
        ("http://127.0.0.1:3000.evil.example", False),
        ("http://ui.example.org:8443", False),
        ("", False),
    ],
)
def test_where_a_request_comes_from(origin: str, is_same: bool) -> None:
    assert answered(origin=origin) is is_same
    assert answered("WS", origin=origin) is is_same


def test_what_a_browser_says_of_a_request_without_an_origin() -> None:
    assert answered()
    assert answered(sec_fetch_site="same-origin")
    for site in ("cross-site", "same-site"):
        assert not answered(sec_fetch_site=site)
        assert not answered("GET", "/runs", sec_fetch_site=site, sec_fetch_mode="no-cors")
        # A link in a chat opens a page.
        assert answered("GET", "/runs", sec_fetch_site=site, sec_fetch_mode="navigate")


def test_an_image_launches_nothing() -> None:
    assert not answered("GET", accept="image/png")
    assert answered("GET", accept="text/html,*/*")

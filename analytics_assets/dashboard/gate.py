"""Who is let in to the pages.

Belongs here: keys as a browser can send them, and the login of a proxy that is trusted.
Does not belong here: keys, tokens and the rule of this machine alone (``api/gate.py``).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable

from fastapi import Request
from fastapi.security import HTTPAuthorizationCredentials

from analytics_assets.api import gate
from analytics_assets.api.errors import Problem
from analytics_assets.api.proxies import by_trusted_proxy
from analytics_assets.dashboard.settings import LOGIN, DashboardSettings

_ASK = {"WWW-Authenticate": 'Basic realm="analytics-assets", charset="UTF-8"'}


def guard(settings: DashboardSettings) -> Callable[[Request], Awaitable[None]]:
    """A dependency that refuses whoever may not see the pages.

    A key is a password of HTTP Basic, with any name: that is what a browser can ask for.
    """
    known = gate.guard(settings)

    async def admit(request: Request) -> None:
        if settings.login_header and by_trusted_proxy(request.scope):
            if request.headers.get(settings.login_header, "").strip():
                return
            if not settings.guarded:
                raise Problem(401, "unauthorized", f"The proxy names nobody in {LOGIN}.")
        if not settings.guarded:
            await known(request)
            return
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        key = request.headers.get("x-api-key")
        if scheme.lower() == "basic":
            key, rest = _password(rest), ""
        bearer = HTTPAuthorizationCredentials(scheme=scheme, credentials=rest) if rest else None
        try:
            await known(request, key, bearer)
        except Problem as problem:
            text = "Log in with any name, and a key of API_KEYS as the password."
            raise Problem(problem.status, problem.code, text, _ASK) from None

    return admit


def _password(credentials: str) -> str | None:
    try:
        text = base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return text.partition(":")[2] or None

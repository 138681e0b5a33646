"""Who may ask, and how often.

Belongs here: API keys, tokens, the rule that without them only this machine is answered, and the
rate limit.
Does not belong here: what is answered.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from typing import Annotated

import jwt
from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from analytics_assets.api.errors import Problem
from analytics_assets.api.proxies import of_unknown_client
from analytics_assets.api.settings import ApiSettings, is_local

HEALTH = "/healthz"
_MOST_ADDRESSES = 10_000
_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(:\d+)?")
_key_header = APIKeyHeader(name="X-API-Key", auto_error=False)
_bearer = HTTPBearer(auto_error=False)


def guard(settings: ApiSettings) -> Callable[..., Awaitable[None]]:
    """A dependency that refuses whoever may not ask; every route but ``/healthz`` has it.

    It waits for nothing, and is ``async`` since FastAPI runs what is not in another thread.
    """
    digests = [_digest(key) for key in settings.keys]

    async def local(request: Request) -> None:
        if of_unknown_client(request.scope):
            raise Problem(
                403,
                "forbidden",
                "A proxy passed this on, so it need not be of this machine: set API_KEYS or"
                " API_JWT_SECRET; or API_TRUSTED_PROXIES, and let the proxy set X-Forwarded-For.",
            )
        # A page in a browser can be made to call 127.0.0.1 by another name; then Host tells.
        host = _HOST.fullmatch(request.headers.get("host") or "localhost")
        client = request.client.host if request.client else "localhost"
        if not (host and is_local(host[1]) and is_local(client)):
            raise Problem(
                403,
                "forbidden",
                "Without API_KEYS or API_JWT_SECRET only this machine is answered.",
            )

    async def keyed(
        request: Request,
        key: Annotated[str | None, Security(_key_header)],
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    ) -> None:
        if request.scope["path"] == HEALTH:
            return
        given = [text for text in (key, bearer.credentials if bearer else None) if text]
        if not any(_known(text, digests) for text in given) and not (
            bearer and _valid(bearer.credentials, settings)
        ):
            raise Problem(
                401,
                "unauthorized",
                "Send a key in X-API-Key, or a key or token as Authorization: Bearer.",
                {"WWW-Authenticate": "Bearer"},
            )

    return keyed if settings.guarded else local


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _known(key: str, digests: list[bytes]) -> bool:
    # Every key is compared, and all of it, so that the time taken tells nothing.
    return sum(hmac.compare_digest(_digest(key), digest) for digest in digests) > 0


def _valid(token: str, settings: ApiSettings) -> bool:
    if not settings.jwt_secret:
        return False
    # Without an audience of its own, the API refuses tokens that have one: they are another's.
    try:
        jwt.decode(
            token,
            settings.jwt_secret or "",
            algorithms=["HS256"],
            audience=settings.jwt_audience,
            options={"require": ["exp"]},
        )
    except jwt.PyJWTError:
        return False
    return True


class RateLimit:
    """At most ``per_minute`` requests of an address in any 60 seconds."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = per_minute, clock
        self._asked: OrderedDict[str, deque[float]] = OrderedDict()

    def __call__(self, request: Request) -> None:
        """Count a request; raises ``Problem`` (429) for one too many."""
        address = request.client.host if request.client else ""
        asked, now = self._asked.setdefault(address, deque()), self._clock()
        self._asked.move_to_end(address)
        if len(self._asked) > _MOST_ADDRESSES:
            self._asked.popitem(last=False)
        while asked and now - asked[0] >= 60:
            asked.popleft()
        if len(asked) >= self._most:
            wait = max(1, round(60 - (now - asked[0])))
            raise Problem(
                429,
                "rate_limited",
                f"At most {self._most} requests a minute. Try again in {wait} seconds.",
                {"Retry-After": str(wait)},
            )
        asked.append(now)

"""Settings of the API, read from the environment.

Belongs here: where it listens, who may ask, and how long it waits for production.
Does not belong here: where production is (``analytics_assets/settings.py``).
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field

_SECRET_BYTES, _KEY_LENGTH = 32, 16


class ApiSettingsError(ValueError):
    """Settings with which the API must not start; says which and what to do, shows no secret."""


@dataclass(frozen=True)
class ApiSettings:
    """Where the API listens and who may ask it.

    ``keys`` and ``jwt_secret`` (HS256) are secrets; with neither, only this machine is answered.
    Timeouts are in seconds. ``health_per_minute``: requests to ``/healthz`` from one address.
    ``trusted_proxies``: addresses and networks whose word on a client's address is believed.
    ``kept_mb``: of answers that are kept while their table stands, in millions of bytes.
    ``connections``, ``client_connections``: at once, of all and of one address that is no proxy's.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    keys: tuple[str, ...] = field(default=(), repr=False)
    jwt_secret: str | None = field(default=None, repr=False)
    jwt_audience: str | None = None
    cors_origins: tuple[str, ...] = ()
    pool_size: int = 10
    pool_timeout: float = 5
    statement_timeout: float = 10
    kept_mb: float = 64
    health_per_minute: int = 30
    trusted_proxies: tuple[str, ...] = ()
    connections: int = 10_000
    client_connections: int = 100
    headers_timeout: float = 10
    body_timeout: float = 10
    answer_timeout: float = 60

    def __post_init__(self) -> None:
        if any(len(key) < _KEY_LENGTH for key in self.keys):
            raise ApiSettingsError(f"API_KEYS: give keys of at least {_KEY_LENGTH} characters")
        if self.jwt_secret is not None and len(self.jwt_secret.encode()) < _SECRET_BYTES:
            raise ApiSettingsError(f"API_JWT_SECRET: give at least {_SECRET_BYTES} bytes")
        for address in self.trusted_proxies:
            try:
                ipaddress.ip_network(address)
            except ValueError:
                raise ApiSettingsError(
                    f"API_TRUSTED_PROXIES: {address!r} is no address and no network such as"
                    " 10.0.0.0/8; a name or * would let anybody say who they are"
                ) from None
        if not self.guarded and not is_local(self.host):
            raise ApiSettingsError(
                f"API_HOST is {self.host}, which others can reach: set API_KEYS or API_JWT_SECRET,"
                " or listen on 127.0.0.1"
            )

    @property
    def guarded(self) -> bool:
        """Whether a key or token is asked for."""
        return bool(self.keys or self.jwt_secret)


def is_local(host: str) -> bool:
    """Whether only this machine can reach, or is, this host."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def load() -> ApiSettings:
    """The settings as the environment has them now; raises ``ApiSettingsError``."""

    def number(name: str, default: float, or_none: bool = False) -> float:
        text = os.environ.get(name) or str(default)
        try:
            value = float(text)
        except ValueError:
            value = -1
        if not 0 <= value < float("inf") or not (value or or_none):
            least = "of 0 or more" if or_none else "above 0"
            raise ApiSettingsError(f"{name} is {text!r}: give a number {least}")
        return value

    return ApiSettings(
        host=os.environ.get("API_HOST") or "127.0.0.1",
        port=int(number("API_PORT", 8000)),
        keys=_listed("API_KEYS"),
        jwt_secret=os.environ.get("API_JWT_SECRET") or None,
        jwt_audience=os.environ.get("API_JWT_AUDIENCE") or None,
        cors_origins=_listed("API_CORS_ORIGINS"),
        pool_size=int(number("API_POOL_SIZE", 10)),
        pool_timeout=number("API_POOL_TIMEOUT", 5),
        statement_timeout=number("API_STATEMENT_TIMEOUT", 10),
        kept_mb=number("API_KEPT_MB", 64, or_none=True),
        trusted_proxies=_listed("API_TRUSTED_PROXIES"),
        connections=int(number("API_CONNECTIONS", 10_000)),
        client_connections=int(number("API_CLIENT_CONNECTIONS", 100)),
        headers_timeout=number("API_HEADERS_TIMEOUT", 10),
        body_timeout=number("API_BODY_TIMEOUT", 10),
        answer_timeout=number("API_ANSWER_TIMEOUT", 60),
    )


def _listed(name: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in (os.environ.get(name) or "").split(",") if part.strip())

"""Settings of the dashboard, read from the environment.

Belongs here: where it listens, and who is let in.
Does not belong here: what it has in common with the API (``api/settings.py``): keys, proxies, pool.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from analytics_assets.api import settings as api_settings
from analytics_assets.api.settings import ApiSettings, ApiSettingsError, is_local

HOST, PORT = "DASHBOARD_HOST", "DASHBOARD_PORT"
LOGIN = "DASHBOARD_LOGIN_HEADER"
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")


@dataclass(frozen=True)
class DashboardSettings(ApiSettings):
    """The API's settings, with an address of its own.

    ``login_header``: in which header a trusted proxy names whom it has let in.
    """

    login_header: str = ""

    def __post_init__(self) -> None:
        if self.login_header and not _HEADER.fullmatch(self.login_header):
            raise ApiSettingsError(
                f"{LOGIN}: {self.login_header!r} is no name of a header, such as X-Remote-User"
            )
        if self.login_header and not self.trusted_proxies:
            raise ApiSettingsError(
                f"{LOGIN}: anybody could send it; name the proxy that sets it in"
                " API_TRUSTED_PROXIES"
            )
        if not (self.guarded or self.login_header or is_local(self.host)):
            raise ApiSettingsError(
                f"{HOST} is {self.host}, which others can reach: set API_KEYS or API_JWT_SECRET,"
                f" or {LOGIN}, or listen on 127.0.0.1"
            )
        # What the API refuses of keys and proxies is refused here, too; hosts are judged above.
        ApiSettings(
            keys=self.keys, jwt_secret=self.jwt_secret, trusted_proxies=self.trusted_proxies
        )


def load() -> DashboardSettings:
    """The settings as the environment has them now; raises ``ApiSettingsError``."""
    shared = {**vars(api_settings.load())}
    port = os.environ.get(PORT) or "8050"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ApiSettingsError(f"{PORT} is {port!r}: give a number below 65536")
    shared |= {"host": os.environ.get(HOST) or "127.0.0.1", "port": int(port)}
    return DashboardSettings(**shared, login_header=os.environ.get(LOGIN) or "")

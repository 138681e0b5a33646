"""The server process.

Belongs here: starting the app on its address, and stopping it when it has answered.
Does not belong here: the app (``app.py``).
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import uvicorn
from fastapi import FastAPI

from analytics_assets import settings
from analytics_assets.api import settings as api_settings
from analytics_assets.api.app import Router, create_app
from analytics_assets.api.connections import Connections, protocol
from analytics_assets.api.requests import MOST_HEAD_BYTES, log_to_stdout
from analytics_assets.api.settings import ApiSettings
from analytics_assets.core.declaration import Table
from analytics_assets.production import server

_LAST_ANSWERS = 10


def serve(tables: Sequence[Table], routers: Sequence[Router]) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is being answered, for up to 10 seconds.

    Raises ``ApiSettingsError`` for settings that would let anybody in.
    """
    config = api_settings.load()
    app = create_app(tables, routers, server.urls(settings.load()).reader, config)
    run(app, config)


def run(app: FastAPI, config: ApiSettings) -> None:
    """Serve an app, with the API's log and limits, until SIGTERM or SIGINT."""
    log_to_stdout()
    serving = uvicorn.Server(server_config(app, config))
    with suppress(KeyboardInterrupt):
        serving.run()
    if not serving.started:
        sys.exit(3)


def server_config(app: FastAPI, config: ApiSettings, **more: Any) -> uvicorn.Config:
    """How the server serves; ``more``: other options of uvicorn."""
    options = {
        "host": config.host,
        "port": config.port,
        "http": protocol(Connections(config, app.state.metrics)),
        "ws": "none",
        # The app logs requests itself, without what may be personal in them.
        "log_config": None,
        "access_log": False,
        "server_header": False,
        # Whom a proxy speaks for is read by the app, of those that are trusted.
        "proxy_headers": False,
        "timeout_graceful_shutdown": _LAST_ANSWERS,
        # Its own bound of headers is above ours, which says what is wrong.
        "h11_max_incomplete_event_size": 4 * MOST_HEAD_BYTES,
    }
    return uvicorn.Config(app, **{**options, **more})

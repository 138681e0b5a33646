"""The server process.

Belongs here: starting the app on its address, and stopping it when it has answered.
Does not belong here: the app (``app.py``).
"""

from collections.abc import Sequence

import uvicorn

from analytics_assets import settings
from analytics_assets.api import settings as api_settings
from analytics_assets.api.app import Router, create_app
from analytics_assets.api.requests import log_to_stdout
from analytics_assets.core.declaration import Table
from analytics_assets.production import server

_LAST_ANSWERS = 10


def serve(tables: Sequence[Table], routers: Sequence[Router]) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is being answered, for up to 10 seconds.

    Raises ``ApiSettingsError`` for settings that would let anybody in.
    """
    config = api_settings.load()
    app = create_app(tables, routers, server.urls(settings.load()).reader, config)
    log_to_stdout()
    uvicorn.run(
        app,
        host=config.host,
        port=config.port,
        # The app logs requests itself, without what may be personal in them.
        log_config=None,
        access_log=False,
        server_header=False,
        # The address of a client is that of its connection, not what a header says.
        proxy_headers=False,
        timeout_graceful_shutdown=_LAST_ANSWERS,
    )

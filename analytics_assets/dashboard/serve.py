"""The server process of the dashboard.

Belongs here: starting the app on its address.
Does not belong here: the app (``app.py``), how a server is bounded (``api/serve.py``).
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Mapping, Sequence

from analytics_assets import settings
from analytics_assets.api.serve import run
from analytics_assets.core.declaration import Table
from analytics_assets.dashboard import settings as own_settings
from analytics_assets.dashboard import shapes
from analytics_assets.dashboard.app import create_app
from analytics_assets.dashboard.declared import DomainPages
from analytics_assets.production import server


def serve(tables: Sequence[Table], declared: Mapping[str, DomainPages]) -> None:
    """Serve until SIGTERM or SIGINT; raises ``ApiSettingsError`` for settings that let all in."""
    own, config = own_settings.load(), settings.load()
    _shapes(config, declared)
    app = create_app(tables, declared, server.urls(config).reader, own, config)
    print(f"Dashboard on http://{own.host}:{own.port}", file=sys.stderr, flush=True)
    run(app, own)


def _shapes(config: settings.Settings, declared: Mapping[str, DomainPages]) -> None:
    """Simplify files that settings name, in a process that gives its memory back."""
    maps = {axis: drawn for own in declared.values() for axis, drawn in own.maps.items()}
    if not shapes.has_news(config, maps):
        return
    child = multiprocessing.get_context("spawn").Process(
        target=shapes.prepare_and_tell, args=(config, maps)
    )
    child.start()
    child.join()

"""`dashboard`: the process that serves the pages.

Belongs here: handing the declarations of what is promoted to a process that has nothing else of the
platform, and starting the app there.
Does not belong here: the app (``dashboard/app.py``), how a server is bounded (``api/serve.py``).

To declare a table imports what builds it: Dagster, pandas, DuckDB, 280 MB. What is served needs
none of it, so the process that read the declarations becomes another one that gets them alone.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from analytics_assets import settings
from analytics_assets.core import troubles
from analytics_assets.core.declaration import Table
from analytics_assets.dashboard import settings as own_settings
from analytics_assets.dashboard import shapes
from analytics_assets.dashboard.handover import bare, packed, unpacked


def become(tables: Sequence[Table]) -> None:
    """Become the process that serves these tables; raises ``ApiSettingsError`` before."""
    own_settings.load()
    with tempfile.TemporaryFile() as handed:
        handed.write(packed([bare(table) for table in tables if table.publish]))
        handed.seek(0)
        os.set_inheritable(handed.fileno(), True)
        sys.stdout.flush()
        command = [sys.executable, "-m", __name__, str(handed.fileno())]
        os.execv(sys.executable, command)


def _shapes(config: settings.Settings, declared: Mapping[str, Any]) -> None:
    """Simplify files that settings name, in a process that gives its memory back."""
    maps = {axis: drawn for own in declared.values() for axis, drawn in own.maps.items()}
    if shapes.has_news(config, maps):
        child = multiprocessing.get_context("spawn").Process(
            target=shapes.prepare_and_tell, args=(config, maps)
        )
        child.start()
        child.join()


def main(descriptor: int) -> int:
    """Serve the tables that a file has until SIGTERM or SIGINT; returns the exit code."""
    from analytics_assets import registry
    from analytics_assets.api.serve import run
    from analytics_assets.dashboard.app import create_app
    from analytics_assets.production import server

    with os.fdopen(descriptor, "rb") as handed:
        tables = unpacked(handed.read())
    try:
        own, config, declared = own_settings.load(), settings.load(), registry.pages()
        _shapes(config, declared)
        app = create_app(tables, declared, server.urls(config).reader, own, config)
        print(f"The dashboard is on http://{own.host}:{own.port}", file=sys.stderr, flush=True)
        run(app, own)
    except Exception as error:
        print(troubles.said(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))

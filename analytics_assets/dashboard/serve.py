"""The server process of the dashboard.

Belongs here: handing the declarations of what is promoted to a process that has nothing else of the
platform, and starting the app there.
Does not belong here: the app (``app.py``), how a server is bounded (``api/serve.py``).

To declare a table imports what builds it: Dagster, pandas, DuckDB, 280 MB. What is served needs a
tenth of that, so the process that read the declarations becomes another one that gets them alone.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from analytics_assets import settings
from analytics_assets.core import troubles
from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import PERIODS, Period
from analytics_assets.dashboard import settings as own_settings

# What a table is built and judged by, and what it is without.
_BUILDING: Mapping[str, Any] = {
    **dict.fromkeys(
        ("source", "sql", "compute", "rollup_of", "measured_from", "parts_of", "place")
    ),
    **dict.fromkeys(("reads", "checks", "proven_by"), ()),
    "reach": {},
    "decides": {},
}


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


def bare(table: Table) -> Table:
    """A table as production has it, without what builds it."""
    promoted = table.promoted
    assert promoted.publish
    # It is promoted already: asked again, it is itself.
    publish = replace(promoted.publish, measures=(), personal="promoted")
    kept = {field.name: getattr(promoted, field.name) for field in fields(Table)}
    found = object.__new__(Table)
    for name, value in {**kept, **_BUILDING, "publish": publish}.items():
        # A declaration without an origin would be refused, and this one is no new one.
        object.__setattr__(found, name, value)
    return found


class _Packer(pickle.Pickler):
    def persistent_id(self, value: Any) -> str | None:
        # There is one object of each period, which is compared as itself.
        return value.name if isinstance(value, Period) else None


class _Unpacker(pickle.Unpickler):
    def persistent_load(self, name: Any) -> Period:
        return next(period for period in PERIODS if period.name == name)


def packed(tables: Sequence[Table]) -> bytes:
    """Tables as bytes for a process of the same version."""
    into = io.BytesIO()
    _Packer(into).dump(list(tables))
    return into.getvalue()


def unpacked(given: bytes) -> list[Table]:
    """The tables again."""
    return list(_Unpacker(io.BytesIO(given)).load())


def _shapes(config: settings.Settings, declared: Mapping[str, Any]) -> None:
    """Simplify files that settings name, in a process that gives its memory back."""
    from analytics_assets.dashboard import shapes

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

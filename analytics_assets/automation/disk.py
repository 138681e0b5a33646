"""What lies on the disk and in the databases, by kind.

Belongs here: how much of it there is.
Does not belong here: deleting any of it (``history.py``, ``warehouse/retention.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow.fs
import sqlalchemy as sa

from analytics_assets.core.declaration import Table
from analytics_assets.production import server
from analytics_assets.production.promotion import production_engine
from analytics_assets.settings import Settings
from analytics_assets.warehouse.lake import Lake, open_lake

LIVE, OLDER, ASIDE, LOGS = (
    "lake: what is live",
    "lake: older versions",
    "lake: put aside as damaged",
    "lake: logs and ledger",
)
_FOLDERS = ("backups", "archive", "copies", "samples", "scratch", "dagster")


def of_lake(lake: Lake, tables: Sequence[Table]) -> dict[str, int]:
    """Bytes of the lake by kind."""
    fs, base = lake.folder("")
    live = {file.uri.removeprefix(f"{lake.root}/") for t in tables for file in lake.files(t)}
    sizes = dict.fromkeys((LIVE, OLDER, ASIDE, LOGS), 0)
    selector = pyarrow.fs.FileSelector(base, recursive=True, allow_not_found=True)
    for info in fs.get_file_info(selector):
        if info.type is pyarrow.fs.FileType.File:
            sizes[_kind(info.path.removeprefix(base).lstrip("/"), live)] += info.size
    return sizes


def _kind(path: str, live: set[str]) -> str:
    if path.startswith("_damaged/") or "/_damaged/" in path:
        return ASIDE
    if path in live:
        return LIVE
    return LOGS if path.startswith("_") or "/_delta_log/" in path else OLDER


def by_kind(settings: Settings, tables: Sequence[Table]) -> dict[str, int]:
    """Bytes of everything that the installation keeps."""
    found = of_lake(open_lake(settings.lake), tables)
    for name in _FOLDERS:
        folder = settings.backup_folder if name == "backups" else settings.home / name
        found[name] = sum(_sizes(folder))
    found["warehouse.duckdb"] = sum(_sizes(settings.catalogue))
    urls = server.urls(settings)
    for name, url in (("production", urls.promoter), ("Dagster's history", urls.dagster)):
        with production_engine(url) as engine, engine.connect() as connection:
            size = connection.scalar(sa.text("select pg_database_size(current_database())"))
            found[f"PostgreSQL: {name}"] = int(size or 0)
    return found


def as_text(sizes: Mapping[str, int]) -> str:
    """A line for each kind, in MB."""
    width = max(map(len, sizes))
    rows = [*sizes.items(), ("together", sum(sizes.values()))]
    return "\n".join(f"{name:<{width}}  {size / 1e6:>10,.1f} MB" for name, size in rows)


def _sizes(path: Path) -> Iterator[int]:
    for one in (path, *path.rglob("*")):
        # A run may take its own away at this very moment.
        with suppress(OSError):
            if one.is_file() and not one.is_symlink():
                yield one.stat().st_size

"""Landing folders in which there is nothing that can be landed.

Belongs here: telling that of each folder, whatever its source. What was landed before stays, so no
table is behind for it, and nobody would learn of it.
Does not belong here: why a file cannot be landed (its source says so).
"""

from __future__ import annotations

from collections.abc import Sequence

from analytics_assets.core.declaration import Table
from analytics_assets.core.source import DatedSource, OutspokenSource, SourceError, place
from analytics_assets.landing.sources import FileSource


def unusable(tables: Sequence[Table]) -> dict[str, str]:
    """The first table of each such folder -> a sentence on it."""
    found: dict[str, tuple[str, bool]] = {}
    for table in tables:
        source = table.source
        # A source that knows when its input came, and what is wrong with it, reads files.
        if isinstance(source, DatedSource) and isinstance(source, OutspokenSource):
            where = (
                place(source.feed.folder.path) if isinstance(source, FileSource) else table.domain
            )
            key, before = found.get(where, (table.key, False))
            found[where] = (key, before or _has_some(source))
    return {
        key: f"{where}: nothing in the landing folder can be landed. Put files there that can, or"
        " set the folder of your files"
        for where, (key, is_some) in found.items()
        if not is_some
    }


def _has_some(source: DatedSource) -> bool:
    try:
        return source.usable() if isinstance(source, FileSource) else bool(source.inputs())
    except SourceError:  # told where it is read
        return False

"""When what a source reads came to where it is read.

Belongs here: the one reading of a file's times that all sources of files share.
Does not belong here: which files a source has (its domain knows).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path


def arrived(folder: Path, names: Iterable[str]) -> datetime | None:
    """When the first of these files came into the folder, or changed there; ``None``: gone."""
    moments = []
    for name in names:
        with suppress(FileNotFoundError):
            # Not st_mtime: a copy may keep the time of its original.
            moments.append((folder / name).stat().st_ctime)
    return datetime.fromtimestamp(min(moments), timezone.utc) if moments else None

"""What each file of a feed holds, day by day, without reading one again that has not changed.

Belongs here: the note of what is known of files. It may be deleted at any time.
Does not belong here: reading a file (``reading.py``), which rows count (``sources.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from analytics_assets import settings
from analytics_assets.landing.feed import Feed
from analytics_assets.landing.files import LandedFile
from analytics_assets.landing.reading import READER, Content, look_into
from analytics_assets.warehouse.notes import note, noted
from analytics_assets.warehouse.session import open_session


def contents(feed: Feed, files: Sequence[LandedFile]) -> dict[LandedFile, Content]:
    """File -> what it holds. Only new and changed files are read."""
    # Another declaration reads another content from the same file.
    as_declared = repr((READER, feed.folder.path, replace(feed, expected=None)))
    digest = hashlib.sha256(as_declared.encode()).hexdigest()[:16]
    name = f"{feed.name}-{digest}"
    known = noted(name)
    found: dict[str, Any] = {}
    changed = []
    for file in files:
        before = known.get(file.path.name)
        if before and before["state"] == file.state:
            found[file.path.name] = before
        else:
            changed.append(file)
    if changed:
        with open_session(settings.load()) as session:
            for file in changed:
                content = look_into(session, feed, file)
                found[file.path.name] = {"state": file.state, **asdict(content)}
    if found != known:
        note(name, found)
    return {file: _content(found[file.path.name]) for file in files}


def _content(noted: dict[str, Any]) -> Content:
    kept = {name: value for name, value in noted.items() if name != "state"}
    return Content(**kept | {"unknown": tuple(noted["unknown"])})

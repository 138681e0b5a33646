"""What each file of the drop folder holds, day by day, without reading it again.

Belongs here: the note of what is known of the files that have not changed.
Does not belong here: reading a file (``reader.py``), merging it with what is live
(``sources.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from analytics_assets.domains.clinic.landing import DROPPED, Content, DropFile, Feed
from analytics_assets.domains.clinic.reader import READER, look_into
from analytics_assets.warehouse.notes import note, noted


def contents(feed: Feed, files: Iterable[DropFile]) -> dict[Path, Content]:
    """File -> what it holds. Only new and changed files are read.

    What is known of the others is remembered in a note, which may be deleted at any time.
    """
    place = hashlib.sha256(f"{DROPPED.path} {READER}".encode()).hexdigest()[:16]
    name = f"clinic-{feed.name}-{place}"
    known = noted(name)
    found = {}
    changed = []
    for file in files:
        before = known.get(file.path.name)
        if before and before["state"] == file.state:
            found[file.path.name] = before
        else:
            changed.append(file)
    for path, content in look_into(feed, changed).items():
        (state,) = (file.state for file in changed if file.path == path)
        found[path.name] = {"state": state, **asdict(content)}
    if found != known:
        note(name, found)
    return {
        file.path: Content(**{k: v for k, v in found[file.path.name].items() if k != "state"})
        for file in files
    }

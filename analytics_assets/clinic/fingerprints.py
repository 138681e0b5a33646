"""What each file of the drop folder holds, day by day, without reading it again.

Belongs here: the note of what is known of the files that have not changed.
Does not belong here: reading a file (``reader.py``), merging it with what is live
(``sources.py``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

from analytics_assets import settings
from analytics_assets.clinic.landing import DROPPED, Content, DropFile, Feed
from analytics_assets.clinic.reader import READER, look_into


def contents(feed: Feed, files: Iterable[DropFile]) -> dict[Path, Content]:
    """File -> what it holds. Only new and changed files are read.

    What is known of the others is remembered in a note, which may be deleted at any time.
    """
    place = hashlib.sha256(f"{DROPPED.path} {READER}".encode()).hexdigest()[:16]
    note = settings.load().home / "fingerprints" / f"clinic-{feed.name}-{place}.json"
    try:
        known = json.loads(note.read_text())
    except (OSError, ValueError):
        known = {}
    noted = {}
    changed = []
    for file in files:
        before = known.get(file.path.name)
        if before and before["state"] == file.state:
            noted[file.path.name] = before
        else:
            changed.append(file)
    for path, content in look_into(feed, changed).items():
        (state,) = (file.state for file in changed if file.path == path)
        noted[path.name] = {"state": state, **asdict(content)}
    if noted != known:
        note.parent.mkdir(parents=True, exist_ok=True)
        draft = note.with_name(f".{note.name}-{uuid4().hex}")
        draft.write_text(json.dumps(noted))
        draft.replace(note)
    return {
        file.path: Content(**{k: v for k, v in noted[file.path.name].items() if k != "state"})
        for file in files
    }

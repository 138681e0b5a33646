"""What each file of a feed holds, day by day, without reading one again that has not changed.

Belongs here: the note of what is known of files. It may be deleted at any time.
Does not belong here: looking into a file (``looking.py``), which rows count (``sources.py``).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from analytics_assets import settings
from analytics_assets.core.source import place
from analytics_assets.landing.feed import Feed
from analytics_assets.landing.files import LandedFile
from analytics_assets.landing.formats import CSV, JSON
from analytics_assets.landing.looking import Content, look_into
from analytics_assets.landing.reading import READER
from analytics_assets.warehouse.notes import note, noted
from analytics_assets.warehouse.session import open_session

_AGAIN_AFTER = 60.0
# Files are read at once up to so many and so many bytes.
_AT_ONCE, _SMALL = 50, 32 * 2**20


def contents(feed: Feed, files: Sequence[LandedFile]) -> dict[LandedFile, Content]:
    """File -> what it holds. Only new and changed files are read."""
    # By what all machines call the folder: they share what is noted.
    as_declared = repr((READER, Path(place(feed.folder.path)), feed.declaration))
    digest = hashlib.sha256(as_declared.encode()).hexdigest()[:16]
    name = f"{feed.name}-{digest}"
    known = noted(name, shared=True)
    ends = [file.window[1] for file in files if file.window]
    restated = max(ends) - timedelta(days=feed.lookback) if ends else date.min
    found: dict[str, Any] = {}
    changed = []
    for file in files:
        again = feed.lookback and file.window and file.window[1] > restated
        state = f"{file.state}-{_digest(file)}" if again else file.state
        before = known.get(file.path.name)
        # One that has left the lookback was noted with its digest.
        is_known = before and (before["state"] == state or before["state"].startswith(f"{state}-"))
        if before and is_known and not _may_have_passed(before):
            found[file.path.name] = before
        else:
            changed.append((file, state))
    read = _read(feed, [file for file, _ in changed])
    for file, state in changed:
        content, before = read[file], known.get(file.path.name)
        then = {"left": _left(before, content), "had": _had(before)}
        tried = {"tried": time.time()} if content.passes else {}
        found[file.path.name] = {"state": state, **asdict(content), **then, **tried}
    if found != known:
        note(name, found, shared=True)
    return {file: _content(found[file.path.name]) for file in files}


def _read(feed: Feed, files: Sequence[LandedFile]) -> dict[LandedFile, Content]:
    """What these files hold. Small texts are read many at once, and side by side; what is large, or
    unpacks to it, has all memory for itself."""
    if not files:
        return {}
    config = settings.load()
    with open_session(config) as session, ThreadPoolExecutor(config.threads) as pool:

        def beside(files: Sequence[LandedFile]) -> dict[LandedFile, Content]:
            with session.cursor() as own:
                return look_into(own, feed, files)

        small = [f for f in files if f.size < _SMALL and f.path.suffix.lower() in (*CSV, *JSON)]
        found: dict[LandedFile, Content] = {}
        for read in pool.map(beside, _lots(small, config.threads)):
            found |= read
        for file in files:
            if file not in found:
                found |= look_into(session, feed, [file])
        return found


def _lots(files: Sequence[LandedFile], threads: int) -> Iterator[list[LandedFile]]:
    """Files to read at once: as many as fit, and no fewer lots than threads."""
    most = min(_AT_ONCE, -(-len(files) // threads))
    lot: list[LandedFile] = []
    for file in files:
        if lot and (len(lot) == most or sum(f.size for f in lot) + file.size > _SMALL):
            yield lot
            lot = []
        lot.append(file)
    if lot:
        yield lot


def _may_have_passed(noted: Mapping[str, Any]) -> bool:
    """Whether a file that could not be read as things were is tried again: not by every look of one
    run, since it may be one that takes minutes until it is refused."""
    return bool(noted.get("passes")) and time.time() - noted["tried"] > _AGAIN_AFTER


def _left(before: Mapping[str, Any] | None, content: Content) -> dict[str, Any]:
    """Row -> day and time of change, as a file had the rows that it has elsewhere now, or not."""
    if before is None:
        return {}
    changed = _changed(before)
    had = {**before["left"], **{row: [day, changed] for row, day in before["moving"].items()}}
    return {row: at for row, at in had.items() if content.moving.get(row) != at[0]}


def _had(before: Mapping[str, Any] | None) -> dict[str, dict[str, int]]:
    """Day -> fingerprint and time of change, of all contents that a file had for it."""
    if before is None:
        return {}
    had = {day: dict(prints) for day, prints in before.get("had", {}).items()}
    for day, content in before["days"].items():
        had.setdefault(day, {})[content] = _changed(before)
    return had


def _changed(noted: Mapping[str, Any]) -> int:
    return int(noted["state"].split("-")[1])


def _digest(file: LandedFile) -> str:
    checksum = hashlib.sha256()
    with file.path.open("rb") as opened:
        while block := opened.read(2**20):
            checksum.update(block)
    return checksum.hexdigest()[:16]


def _content(noted: dict[str, Any]) -> Content:
    kept = {name: value for name, value in noted.items() if name not in ("state", "tried")}
    tuples = {name: tuple(kept[name]) for name in ("unknown", "notes", "problem")}
    return Content(**kept | tuples)

"""Which files a folder holds, of which feed and period, and in which order they came.

Belongs here: names, periods and states of files.
Does not belong here: what is in them (``known.py``), which rows count (``sources.py``).

Files came in the order of their time of change, and of their names where that is equal: by numbers
in them as numbers, so that 9 is before 10.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from analytics_assets.core.partitions import MONTHLY, START, YEARLY
from analytics_assets.landing.feed import Feed
from analytics_assets.landing.folder import no_file


@dataclass(frozen=True)
class LandedFile:
    """A file of a feed; ``state`` changes when its content may have. ``window``: the first day, and
    the first day after, that its name says."""

    path: Path
    state: str
    changed: int
    window: tuple[date, date] | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        return int(self.state.split("-")[0])


def files_of(feed: Feed) -> list[LandedFile]:
    """The feed's files, the first to come first; ``SourceError`` if the folder cannot be read."""
    found = []
    for path in _beside(feed):
        match = feed.pattern.fullmatch(path.name)
        if match and not no_file(path):
            try:
                status = path.stat()
                window = _window({k: v for k, v in match.groupdict().items() if v})
            except FileNotFoundError:
                continue  # taken away meanwhile: it is as if it had never been there
            except ValueError:
                continue  # no such day: a strange file
            found.append(LandedFile(path, _state(status), status.st_mtime_ns, window))
    # Microseconds: below them a mirrored file has something else than time.
    return sorted(found, key=lambda file: (file.changed // 1000, *_counted(file.path.name)))


def _counted(name: str) -> tuple[list[tuple[str, int]], str]:
    """Sorts names by the numbers in them; of names that count alike one is first, whatever."""
    parts = re.split(r"([0-9]+)", name)
    return [(t, int(n or 0)) for t, n in zip(parts[::2], [*parts[1::2], ""], strict=True)], name


def unchanged(file: LandedFile) -> bool:
    """Whether it is there as it was when it was seen."""
    try:
        return _state(file.path.stat()) == file.state
    except FileNotFoundError:
        return False


def _state(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"


def _beside(feed: Feed) -> list[Path]:
    """What is in the folder of a feed; nothing where the folder of one is missing that need not be
    there."""
    folder = feed.folder
    if feed.below and not feed.expected and folder.path / feed.below not in folder.files():
        return []
    return folder.files(feed.below)


def strange_files(feeds: Collection[Feed]) -> dict[Path, str]:
    """What lies in the folders of these feeds and is of none of them, by its name -> what to do."""
    claimed = {file.path for feed in feeds for file in files_of(feed)}
    claimed |= {feed.folder.path / feed.below for feed in feeds if feed.below}
    names: dict[Path, list[str]] = {}
    for feed in feeds:
        for path in _beside(feed):
            names.setdefault(path, []).append(feed.files)
    for folder in {feed.folder for feed in feeds}:
        for path in folder.files() if folder.path.is_dir() else ():
            # What lies above the folders of all feeds may be of any.
            names.setdefault(path, [f.files for f in feeds if f.folder == folder])
    return {
        path: _strange(path, wanted)
        for path, wanted in sorted(names.items())
        if path not in claimed and os.path.lexists(path)
    }


def _strange(path: Path, wanted: list[str]) -> str:
    kind = no_file(path)
    if path.is_dir():
        return f"it is {kind}, and what is in it is not looked at; move its files out of it"
    if kind:
        return f"it is {kind}, not a file; move it out of the folder"
    return f"its name is of no feed; call it {' or '.join(dict.fromkeys(wanted))}"


def _window(said: dict[str, str]) -> tuple[date, date] | None:
    """Of the words of a name; ``ValueError`` where it says no possible period."""
    if "year" in said:
        found = YEARLY.window(said["year"])
    elif "month" in said:
        found = MONTHLY.window(said["month"])
    elif "first" in said:
        first = date.fromisoformat(said["first"])
        found = (first, date.fromisoformat(said.get("last", said["first"])) + timedelta(days=1))
    else:
        return None
    if not START <= found[0] < found[1]:
        raise ValueError
    return found

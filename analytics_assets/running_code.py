"""Which code is at work in a home: two codes that build by turns would undo each other's work.

Belongs here: one word for the code on the disk, and notes of who serves and who built with which.
Does not belong here: which rows a change of code changes (``core/meaning.py``).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from analytics_assets import home
from analytics_assets.core.source import SourceError
from analytics_assets.settings import Settings

_KINDS = (".py", ".sql", ".csv", ".txt", ".yaml")
_SERVED, _BUILT = "served_code", "built_code"


def on_disk() -> str:
    """One word for the files of the package as they are now."""
    return _digest(tuple(_files(str(Path(__file__).parent))))


def note_served(settings: Settings, word: str) -> None:
    """This code starts runs from now on: whoever loads it for the UI and the daemon says so."""
    (settings.home / _SERVED).write_text(word)


def note_built(settings: Settings) -> bool:
    """This code builds here; whether another one did before."""
    note, word = settings.home / _BUILT, on_disk()
    before = note.read_text() if note.exists() else ""
    if before != word:
        note.write_text(word)
    return before != word


def refuse_beside_other(settings: Settings) -> None:
    """``SourceError`` where a `run` with other code serves this home.

    Its daemon would build anew what this code builds, and so on.
    """
    note = settings.home / _SERVED
    if home.is_served(settings) and not (note.exists() and note.read_text() == on_disk()):
        raise SourceError(
            "an `analytics-assets run` with other code serves this folder",
            str(settings.home),
            "Restart it, or reload its code location in the UI; it builds what is behind.",
        )


def _files(folder: str) -> Iterator[tuple[str, int, int]]:
    for entry in sorted(os.scandir(folder), key=lambda one: one.name):
        if entry.is_dir():
            yield from _files(entry.path)
        elif entry.name.endswith(_KINDS):
            told = entry.stat()
            yield entry.path, told.st_mtime_ns, told.st_size


@lru_cache(maxsize=4)
def _digest(files: tuple[tuple[str, int, int], ...]) -> str:
    """Of what is in the files; they are read when size or time of any has changed."""
    digest, root = hashlib.sha256(), Path(__file__).parent
    for path, _, _ in files:
        digest.update(str(Path(path).relative_to(root)).encode())
        digest.update(hashlib.sha256(Path(path).read_bytes()).digest())
    return digest.hexdigest()

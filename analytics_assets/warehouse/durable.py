"""Folders that are there whole or not at all, and stay there.

Belongs here: drafts, checksums, making the disk keep what was written.
Does not belong here: what is in them (``archive.py``, ``production/backup.py``).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

_DRAFT = ".draft-"
_BLOCK = 1 << 20


@contextmanager
def drafted(target: Path) -> Iterator[Path]:
    """A hidden folder to fill; it becomes ``target`` when the block ends well, else it goes."""
    draft = target.with_name(f"{_DRAFT}{uuid4().hex}")
    draft.mkdir(mode=0o700, parents=True)
    try:
        yield draft
        for path in (*draft.iterdir(), draft):
            _sync(path)
        draft.rename(target)
        _sync(target.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def delete(folder: Path) -> None:
    """Delete a folder; half deleted it is hidden."""
    hidden = folder.with_name(f"{_DRAFT}{uuid4().hex}")
    folder.rename(hidden)
    shutil.rmtree(hidden)


def clear_drafts(folder: Path) -> None:
    """Delete what killed processes left in a folder that nobody else writes to now."""
    for leftover in folder.glob(f"{_DRAFT}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

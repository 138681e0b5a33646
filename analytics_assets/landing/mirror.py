"""A landing folder in an object store, mirrored into a folder of this machine.

Belongs here: fetching what is new or changed there, and dropping what is gone.
Does not belong here: the store's client (``warehouse/object_store.py``), which files count
(``files.py``).

A mirrored file has its object's size and time of change. Stores tell that time in seconds, so the
nanoseconds are of the object's checksum: two contents of one size in one second differ, and every
machine sees the same.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from analytics_assets import settings
from analytics_assets.core.source import SourceUnavailable, called
from analytics_assets.landing.scratch import scratch_folder
from analytics_assets.warehouse.object_store import Object, ObjectStore
from analytics_assets.warehouse.storage import open_storage

_ATTEMPTS = 4
_LONGEST_NAME = 255


def mirror_of(url: str) -> Path:
    """The folder of this machine that has the files of the URL; whoever is told of one of them is
    told its URL."""
    folder = settings.load().home / "landing" / sha256(url.encode()).hexdigest()[:8]
    called(folder, url)
    return folder


def refresh(url: str, variable: str) -> Path:
    """Make the mirror as the store is now; returns it.

    Raises ``SourceUnavailable``, and drops nothing, where that cannot be known. A store has no
    empty folders: one that holds nothing is taken for one that is not there.
    """
    folder, store = mirror_of(url), open_storage(url)
    assert isinstance(store, ObjectStore)
    to_do = f"See that it is there and may be read, or set {variable} to the folder of your files"
    try:
        found = store.objects()
        if not found:
            raise SourceUnavailable("there is no file in the landing folder", url, to_do)
        wanted = _local(found)
        _drop(folder, wanted)
        for name, object_ in wanted.items():
            if _state(folder / name) != (object_.size, _moment(object_)):
                _fetch(store, object_, folder / name)
    except OSError as error:
        why = error.strerror or str(error).split("\n")[0]
        told = f"the landing folder cannot be read ({why})"
        raise SourceUnavailable(told, url, to_do) from error
    return folder


def _local(found: Mapping[str, Object]) -> dict[str, Object]:
    """Name below the mirror -> object. What lies deeper than the folders of feeds, and what is
    under way, is left alone; a name that no file can have is changed, and so told as strange."""
    folders = {name.split("/")[0] for name in found if "/" in name}
    wanted = {}
    for name, object_ in found.items():
        parts = name.split("/")
        if len(parts) > 2 or (parts[-1].startswith(".") and parts[-1].strip(".")):
            continue
        if len(parts) == 2 and not parts[1]:
            continue  # the mark by which some tools keep an empty folder
        clashes = len(parts) == 1 and name in folders
        wanted["/".join(f"%{p[:60]}" if clashes or _no_name(p) else p for p in parts)] = object_
    return wanted


def _no_name(part: str) -> bool:
    return part in ("", ".", "..") or "\0" in part or len(part.encode()) > _LONGEST_NAME


def _moment(object_: Object) -> int:
    return object_.changed * 1000 + int(sha256(object_.tag.encode()).hexdigest()[:8], 16) % 1000


def _state(path: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        status = path.stat()
        return status.st_size, status.st_mtime_ns
    return None


def _fetch(store: ObjectStore, object_: Object, target: Path) -> None:
    """Whole or not at all. One that is taken away meanwhile is as if it had never been there."""
    with scratch_folder() as scratch:
        draft = scratch / "fetched"
        for _ in range(_ATTEMPTS):
            try:
                store.fetch(object_.name, draft)
                after = store.object(object_.name)
            except FileNotFoundError:
                target.unlink(missing_ok=True)
                return
            whole = draft.stat().st_size == object_.size
            if whole and (after.size, after.tag) == (object_.size, object_.tag):
                os.utime(draft, ns=(_moment(object_), _moment(object_)))
                target.parent.mkdir(parents=True, exist_ok=True)
                draft.replace(target)
                return
            object_ = after
    raise SourceUnavailable(
        "it changes while it is fetched", f"{store.root}/{object_.name}", "Run again"
    )


def _drop(folder: Path, wanted: Mapping[str, Object]) -> None:
    for path in sorted(folder.glob("**/*"), reverse=True):
        if path.is_dir():
            with suppress(OSError):  # something is in it
                path.rmdir()
        elif str(path.relative_to(folder)) not in wanted:
            path.unlink(missing_ok=True)

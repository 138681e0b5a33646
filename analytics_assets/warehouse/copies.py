"""Local copies of an object store's files, which DuckDB reads in their place.

Belongs here: keeping them within a size, and reading them under the store's names.
Does not belong here: fetching them (``object_store.py``), or verifying (``integrity.py``).

A published file never changes and has its checksum in its name, so a copy is good for ever. A
process reads all bytes of a file to verify it before it reads rows; with the copy it fetches them
once, and DuckDB, which would ask ten times for each file's size, reads at the speed of the disk.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Lock, get_ident
from typing import Any
from uuid import uuid4

from fsspec.spec import AbstractFileSystem


class Copies:
    """Local copies below a folder, up to so many bytes; those used longest ago go first."""

    def __init__(self, folder: Path, most: float, fetch: Callable[[str, Path], None]) -> None:
        self._folder = folder
        self._most = most
        self._fetch = fetch
        self._lock = Lock()
        self._since_trim = most  # so the first one looks what earlier processes left

    def get(self, name: str) -> str:
        """Path of the copy, fetched where it is not there; whole or not at all."""
        target = self._folder / name
        try:
            os.utime(target)
        except FileNotFoundError:
            try:
                self._fetched(name, target)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                # What fills the disk may be other copies, which can be fetched again.
                with self._lock:
                    self._trim(0)
                self._fetched(name, target)
        return str(target)

    def _fetched(self, name: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{uuid4().hex}")
        try:
            self._fetch(name, draft)
            self._keep(draft, target)
        finally:
            draft.unlink(missing_ok=True)

    def adopt(self, name: str, file: str) -> None:
        """Make a local file the copy."""
        target = self._folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        self._keep(Path(file), target)

    def drop(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)

    def _keep(self, file: Path, target: Path) -> None:
        with self._lock:
            self._since_trim += file.stat().st_size
            # A tenth may be too much: to look at all copies for each new one would cost more.
            if self._since_trim > self._most / 10:
                self._trim(self._most)
                self._since_trim = 0
        file.replace(target)

    def _trim(self, most: float) -> None:
        found: list[tuple[float, int, Path]] = []
        for path in self._folder.rglob("*.parquet"):
            with suppress(FileNotFoundError):
                state = path.stat()
                found.append((state.st_mtime, state.st_size, path))
        size: float = sum(bytes_ for _, bytes_, _ in found)
        for _, bytes_, path in sorted(found):
            if size <= most:
                return
            # Who has it open goes on reading; who asks again fetches it again.
            path.unlink(missing_ok=True)
            size -= bytes_


class _Opened:
    """A copy that several threads read at once: DuckDB seeks and reads in two calls, and another
    thread comes in between. So each has a place of its own."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDONLY)
        self._places: dict[int, int] = {}

    def seek(self, place: int, _whence: int = 0) -> int:
        self._places[get_ident()] = place
        return place

    def tell(self) -> int:
        return self._places.get(get_ident(), 0)

    def read(self, count: int) -> bytes:
        place = self.tell()
        data = os.pread(self._file, count, place)
        self._places[get_ident()] = place + len(data)
        return data

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        self.close()


class ReadByCopies(AbstractFileSystem):
    """What DuckDB takes for the store: the copies, under the store's names."""

    cachable = False

    def __init__(self, root: str, copied: Callable[[str], str]) -> None:
        super().__init__()
        self.protocol = (root.split("://")[0],)
        self._copied = copied

    def open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        return _Opened(self._copied(path))

    def glob(self, path: str, **_: Any) -> list[str]:
        return [path]

    def exists(self, path: str, **_: Any) -> bool:
        return True

    def isdir(self, path: str) -> bool:
        return False

    def size(self, path: str) -> int:
        return os.stat(self._copied(path)).st_size

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        return {"name": path, "size": self.size(path), "type": "file"}

    def modified(self, path: str) -> datetime:
        # They never change, and the time of a copy says only when it was last used.
        return datetime.fromtimestamp(0)

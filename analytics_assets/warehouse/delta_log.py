"""A Delta table's log, read on rather than anew.

Belongs here: knowing the current version of a table, and what was made of it, at little cost.
Does not belong here: what is in a version (``lake.py``, ``builds.py``), or writing one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

import pyarrow.fs
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

T = TypeVar("T")


@dataclass(frozen=True)
class Version(Generic[T]):
    """A version of a table, when its commit was written, and what was made of it."""

    delta: DeltaTable
    number: int
    written: int
    content: T


class DeltaLog(Generic[T]):
    """The log of the table at ``uri``, which is ``path`` on ``fs``; ``parse`` looks at a version.

    Every plan looks at every table. Reading on takes half a millisecond a table where nothing is
    new; reading a log anew and listing its files takes six.
    """

    def __init__(
        self,
        uri: str,
        fs: pyarrow.fs.FileSystem,
        path: str,
        options: Mapping[str, str],
        parse: Callable[[DeltaTable], T],
    ) -> None:
        self._uri = uri
        self._fs = fs
        self._path = path
        self._options = dict(options)
        self._parse = parse
        self._lock = Lock()
        self._last: Version[T] | None = None

    def current(self) -> Version[T] | None:
        """The version there is now; ``None`` before the first."""
        with self._lock:
            last = self._last
            # A lake may be deleted and made anew under a running process.
            if last is not None and self._written(last.number) == last.written:
                last.delta.update_incremental()
                delta: DeltaTable | None = last.delta
                if last.delta.version() == last.number:
                    return last
            else:
                delta = self.open()
            self._last = self._look(delta) if delta else None
            return self._last

    def open(self, version: int | None = None) -> DeltaTable | None:
        """The table, read anew; ``None`` where nothing was published yet."""
        try:
            return DeltaTable(self._uri, version=version, storage_options=self._options)
        except TableNotFoundError:
            return None

    def _look(self, delta: DeltaTable) -> Version[T]:
        number = delta.version()
        return Version(delta, number, self._written(number), self._parse(delta))

    def _written(self, number: int) -> int:
        commit = f"{self._path}/_delta_log/{number:020}.json"
        return self._fs.get_file_info(commit).mtime_ns or 0

"""A Delta table's log, read on rather than anew.

Belongs here: knowing the current version of a table, and what was made of it, at little cost; what
is wrong with a log that cannot be read.
Does not belong here: what is in a version (``lake.py``, ``builds.py``), writing one, or going back
to one that can be read (``log_repair.py``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

import pyarrow.fs
import pyarrow.parquet
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from analytics_assets.core.source import SourceError
from analytics_assets.core.telling import foreign
from analytics_assets.warehouse.storage import Storage

T = TypeVar("T")
LOG = "_delta_log"
COMMIT = re.compile(r"(\d{20})\.json")
CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\b.*\.parquet")
_LAST_CHECKPOINT = "_last_checkpoint"
_ACTIONS = {"add", "remove", "metaData", "protocol", "commitInfo", "txn", "cdc", "domainMetadata"}


class DamagedLog(SourceError):
    """A log that cannot be read. It stops its domain, as a landing folder does that cannot be."""


@dataclass(frozen=True)
class Version(Generic[T]):
    """A version of a table, when its commit was written, and what was made of it."""

    delta: DeltaTable
    number: int
    written: int
    content: T


class DeltaLog(Generic[T]):
    """The log of the table in the folder ``name``; ``parse`` looks at a version.

    Every plan looks at every table. Reading on takes half a millisecond a table where nothing is
    new; reading a log anew and listing its files takes six.
    """

    def __init__(self, storage: Storage, name: str, parse: Callable[[DeltaTable], T]) -> None:
        self._storage = storage
        self._uri = f"{storage.root}/{name}"
        self._fs = storage.fs
        self._path = f"{storage.base}/{name}"
        self._parse = parse
        self._lock = Lock()
        self._last: Version[T] | None = None

    def current(self) -> Version[T] | None:
        """The version there is now; ``None`` before the first."""
        with self._lock, self.explained():
            last = self._last
            # A lake may be deleted and made anew under a running process.
            if last is not None and self._written(last.number) == last.written:
                self._storage.patiently(last.delta.update_incremental)
                delta: DeltaTable | None = last.delta
                if last.delta.version() == last.number:
                    return last
            else:
                delta = self._opened()
            self._last = self._look(delta) if delta else None
            return self._last

    def open(self, version: int | None = None) -> DeltaTable | None:
        """The table, read anew; ``None`` where nothing was published yet."""
        with self.explained():
            return self._opened(version)

    def read(self, version: int) -> T | None:
        """What a version is, read anew."""
        with self.explained():
            delta = self._opened(version)
            return self._parse(delta) if delta else None

    def _opened(self, version: int | None = None) -> DeltaTable | None:
        try:
            return self._table(version)
        except TableNotFoundError:
            if not any(map(COMMIT.fullmatch, log_files(self._fs, self._path))):
                return None
        # Damaged, or made by another run at this very moment.
        return self._table(version)

    def _table(self, version: int | None) -> DeltaTable:
        options = dict(self._storage.delta_options)
        return self._storage.patiently(
            lambda: DeltaTable(self._uri, version=version, storage_options=options)
        )

    @contextmanager
    def explained(self, writing: bool = False) -> Iterator[None]:
        """``DamagedLog`` for the many ways in which Delta says that it cannot read something.

        What fails in ``writing`` is blamed on the log only where it is at fault: disks are full.
        """
        try:
            yield
        except (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
            raise
        except BaseException as error:  # a panic of deltalake is no Exception
            if away := self._storage.explain(error):
                raise away from error
            faults = log_faults(self._fs, self._path)
            if writing and not faults:
                raise
            where = f"{self._uri}/{LOG}/{min(faults)}" if faults else f"{self._uri}/{LOG}"
            why = faults[min(faults)] if faults else foreign(error) or type(error).__name__
            raise DamagedLog(
                f"the table's log cannot be read: {why}",
                where,
                "Run `analytics-assets repair`, which falls back to what can be read",
            ) from error

    def _look(self, delta: DeltaTable) -> Version[T]:
        number = delta.version()
        return Version(delta, number, self._written(number), self._parse(delta))

    def _written(self, number: int) -> int:
        commit = f"{self._path}/{LOG}/{number:020}.json"
        return self._fs.get_file_info(commit).mtime_ns or 0


def log_files(fs: pyarrow.fs.FileSystem, path: str) -> dict[str, pyarrow.fs.FileInfo]:
    """Name -> file, of a table's log."""
    selector = pyarrow.fs.FileSelector(f"{path}/{LOG}", allow_not_found=True)
    return {
        info.base_name: info
        for info in fs.get_file_info(selector)
        if info.type is pyarrow.fs.FileType.File
    }


def log_faults(fs: pyarrow.fs.FileSystem, path: str) -> dict[str, str]:
    """Name of a file of the log -> what is wrong with it; a name may be of a file that is gone."""
    files = log_files(fs, path)
    faults = {name: why for name, info in files.items() if (why := _fault(fs, info))}
    whole = [
        int(m[1]) for name in files.keys() - faults.keys() if (m := CHECKPOINT.fullmatch(name))
    ]
    commits = {int(m[1]) for name in files if (m := COMMIT.fullmatch(name))}
    # What is before a checkpoint may have been cleaned up.
    first = max(whole, default=-1) + 1
    for number in set(range(first, max(commits, default=-1) + 1)) - commits:
        faults[f"{number:020}.json"] = "it is missing"
    return faults


def _fault(fs: pyarrow.fs.FileSystem, info: pyarrow.fs.FileInfo) -> str | None:
    try:
        with fs.open_input_file(info.path) as file:
            if CHECKPOINT.fullmatch(info.base_name):
                pyarrow.parquet.read_table(file)
            elif COMMIT.fullmatch(info.base_name) or info.base_name == _LAST_CHECKPOINT:
                actions = [json.loads(line) for line in file.read().splitlines()]
                known = info.base_name == _LAST_CHECKPOINT or all(
                    action.keys() <= _ACTIONS for action in actions
                )
                if not actions or not known:
                    return "it is damaged"
                for action in actions:
                    # Statistics are JSON within JSON, which some readers parse and some do not.
                    json.loads((action.get("add") or {}).get("stats") or "{}")
    except (OSError, ValueError, AttributeError, TypeError, pyarrow.ArrowException):
        return "it is damaged"
    return None

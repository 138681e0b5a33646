"""Where the lake lies, as one value: its root, its file system, and what Delta and DuckDB need.

Belongs here: a local folder, and which kind a root is.
Does not belong here: an object store (``object_store.py``), what is kept there (``lake.py``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

import duckdb
import pyarrow.fs

from analytics_assets.core.source import SourceError
from analytics_assets.warehouse import durable

T = TypeVar("T")
# An escaped character for Delta, and patterns for DuckDB.
_MISREAD = re.compile(r"%[0-9A-Fa-f]{2}|[*?\[]")


def open_storage(root: str) -> Storage:
    """The process's one storage at a root: a folder, or the URL of an object store.

    Raises ``SourceError`` for a URL that nothing here can read.
    """
    return _opened(root, os.getpid())  # a client's connections do not outlive a fork


@cache
def _opened(root: str, _process: int) -> Storage:
    if "://" not in root:
        if misread := _MISREAD.search(root):
            raise SourceError(
                f"tables cannot be kept in a folder with {misread[0]!r} in its path",
                root,
                "Set ANALYTICS_HOME or ANALYTICS_LAKE to another",
            )
        return Storage(root)
    # Its packages are there only where somebody has an object store.
    from analytics_assets.warehouse.object_store import ObjectStore

    return ObjectStore(root)


class Storage:
    """A local folder. ``base`` is the root's name on ``fs``; files are written below ``drafts``,
    a local folder of the same tree, before they are put in place."""

    is_local = True

    def __init__(self, root: str) -> None:
        self.root = self.base = self.drafts = root
        self.fs: pyarrow.fs.FileSystem = pyarrow.fs.LocalFileSystem()
        # Of each Delta table: how it is reached, and what is said of it when it is made.
        self.delta_options: Mapping[str, str] = {}
        self.delta_properties: Mapping[str, str | None] = {}

    def path(self, uri: str) -> str:
        """The name that a URI below the root has on ``fs``."""
        return self.base + uri.removeprefix(self.root)

    def infos(self, uris: Iterable[str]) -> list[pyarrow.fs.FileInfo]:
        """What the file system says of these files, in their order."""
        return list(self.fs.get_file_info([self.path(uri) for uri in uris]))

    def put_in_place(self, draft: str, final: str) -> str:
        """Give a file below ``drafts`` the name ``final``, also below it; returns its URI."""
        os.replace(draft, final)
        return final

    @contextmanager
    def drafted(self, name: str, last: str) -> Iterator[Path]:
        """A local folder to fill; what is in it is then in the folder ``name``, whole or not at
        all for who looks for the file ``last`` in it."""
        with durable.drafted(Path(self.root, name)) as draft:
            yield draft

    def clear_drafts(self, name: str) -> None:
        """Delete what killed processes left in a folder that nobody else writes to now."""
        durable.clear_drafts(Path(self.root, name))

    def copied(self, uri: str) -> str:
        """A local file with the bytes that DuckDB reads of a URI; ``OSError`` where it is gone."""
        return uri

    def forget_copy(self, uri: str) -> None:
        """Have the file read from the store again."""

    def register(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let a DuckDB connection read URIs below the root."""

    def reach(self) -> None:
        """``SourceError`` where the store cannot be used as a lake, by name."""

    def patiently(self, read: Callable[[], T]) -> T:
        """What ``read`` gives, which may be asked again where an answer was cut off."""
        return read()

    def explain(self, error: BaseException) -> Exception | None:
        """The error of a store that cannot be reached now; ``None`` for any other."""
        return None

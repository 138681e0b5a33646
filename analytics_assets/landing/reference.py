"""Tables that ship with the package as CSV files.

Belongs here: reading such a file as a source.
Does not belong here: the files, which lie with their domain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets.core.source import Landing
from analytics_assets.warehouse.session import literal


class ReferenceSource:
    """The rows of a CSV file (UTF-8, header) that meet ``where``; empty cells are NULL."""

    def __init__(self, path: Path, where: str = "") -> None:
        self._path = path
        self._where = where

    def inputs(self) -> dict[str, dict[str, str]]:
        """The file's content; it changes only with the package."""
        digest = hashlib.sha256(self._path.read_bytes()).hexdigest()[:16]
        return {UNPARTITIONED.only_key: {self._path.name: digest}}

    @contextmanager
    def land(self, landing: Landing) -> Iterator[list[str]]:
        """All its rows."""
        where = f" where {self._where}" if self._where else ""
        yield [
            f"select * from read_csv({literal(str(self._path))}, header = true,"
            f" all_varchar = true, delim = ',', quote = '\"'){where}"
        ]

"""Going back to what can be read of damaged logs.

Belongs here: putting files of a log aside until the rest gives a version that can be read.
Does not belong here: rows, which the next run builds anew where the log and the ledger differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from analytics_assets.core.declaration import Table
from analytics_assets.warehouse.delta_log import (
    CHECKPOINT,
    COMMIT,
    LOG,
    DamagedLog,
    DeltaLog,
    log_faults,
    log_files,
)
from analytics_assets.warehouse.integrity import ASIDE, put_aside
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.ledger import BuildLedger


def repair(lake: Lake, tables: Sequence[Table]) -> Iterator[str]:
    """Make every log readable; one sentence for each table of which something was put aside.

    Give a lake that has read nothing yet: what counts is what is on the disk.
    """
    for table in tables:
        yield from _Repair(lake, table.key, lake.log_of(table)).run()
    yield from _Repair(lake, BuildLedger.NAME, BuildLedger(lake).log).run()


class _Repair:
    """One log's."""

    def __init__(self, lake: Lake, name: str, log: DeltaLog[Any]) -> None:
        self._lake = lake
        self._name = name
        self._log = log
        self._fs, self._path = lake.folder(name)
        self._aside: list[str] = []

    def run(self) -> Iterator[str]:
        """Put aside what cannot be read; a sentence if there was anything."""
        faults = log_faults(self._fs, self._path)
        files = log_files(self._fs, self._path)
        whole = [int(m[1]) for name in files.keys() - faults if (m := CHECKPOINT.fullmatch(name))]
        broken = [int(m[1]) for name in faults if (m := COMMIT.fullmatch(name))]
        # A checkpoint stands for all commits up to its own.
        needed = [number for number in broken if number > max(whole, default=-1)]
        self._put_aside(sorted(faults.keys() & files.keys()))
        if needed:
            self._put_aside_after(min(needed) - 1)
        version = self._last_readable()
        self._put_aside_after(version)
        if self._aside:
            left = (
                f"It is read as of version {version}" if version >= 0 else "Nothing is left of it"
            )
            yield f"{self._name}: {self._listed()}. {left}. The next run builds anew what differs"

    def _last_readable(self) -> int:
        """Number of the last version that can be read; -1 where none can."""
        with suppress(DamagedLog):
            current = self._log.current()
            return current.number if current else -1
        numbers = [int(m[1]) for name in self._files() if (m := COMMIT.fullmatch(name))]
        for number in sorted(numbers, reverse=True):
            with suppress(DamagedLog):
                self._log.read(number)
                return number
        return -1

    def _put_aside_after(self, version: int) -> None:
        """Put aside what is newer than a version; where there is none, all of it."""
        self._put_aside(
            name
            for name in self._files()
            if version < 0
            or ((m := COMMIT.fullmatch(name) or CHECKPOINT.fullmatch(name)) and int(m[1]) > version)
        )

    def _files(self) -> list[str]:
        return sorted(log_files(self._fs, self._path))

    def _put_aside(self, names: Iterable[str]) -> None:
        for name in names:
            put_aside(self._lake, f"{self._lake.root}/{self._name}/{LOG}/{name}")
            self._aside.append(name)

    def _listed(self) -> str:
        names = self._aside
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        were = "were" if len(names) > 1 else "was"
        return f"{', '.join(names[:3])}{more} of its log {were} put aside in {ASIDE}"

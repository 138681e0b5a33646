"""How long the lake keeps what is no longer live.

Belongs here: deleting files that no version of the retention needs, the log before it, and what
killed processes left in the scratch folder.
Does not belong here: going back to a version (``rollback_table.py``), archives (``archive.py``).

Delta's own vacuum is not used: once a checkpoint has forgotten a removal (after a week by default)
it judges the file by its age, and deletes what was live yesterday; and its clean-up of the log
deletes the version that was current when the retention began.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from stat import S_ISDIR
from urllib.parse import unquote

import pyarrow
import pyarrow.fs
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from analytics_assets.core.declaration import Table
from analytics_assets.settings import Settings
from analytics_assets.warehouse.delta_log import CHECKPOINT, COMMIT, LOG, DamagedLog
from analytics_assets.warehouse.lake import Lake

_BUILDS = "_builds"
_SCRATCH_KEPT = timedelta(days=1)


class RetentionError(RuntimeError):
    """Nothing of these tables was deleted; says why."""


@dataclass(frozen=True)
class Vacuumed:
    """What was deleted of a table; ``log_files`` are not among the files and bytes."""

    table: str
    files: int
    bytes: int
    log_files: int


def vacuum(
    lake: Lake, tables: Sequence[Table], retention: timedelta, as_of: datetime
) -> Iterator[Vacuumed]:
    """Clean each table, and the build ledger, of what is older than the retention.

    Every version that was current within the retention stays readable. No file is deleted that is
    younger: it may be staged by a run. Tables of which live files are missing are left alone and
    named in a ``RetentionError`` at the end.
    """
    problems = []
    for name in (*(table.key for table in tables), _BUILDS):
        try:
            delta = lake.log(name, lambda delta: delta).open()
            if delta is not None:
                yield _Cleaning(lake, name, delta, retention, as_of).run()
        except (RetentionError, DamagedLog) as error:
            problems.append(str(error))
    if problems:
        raise RetentionError("\n".join(problems))


class _Cleaning:
    """One table's."""

    def __init__(
        self, lake: Lake, name: str, delta: DeltaTable, retention: timedelta, as_of: datetime
    ) -> None:
        self._name = name
        self._delta = delta
        self._retention = retention
        self._since = int((as_of - retention).timestamp() * 1e9)
        self._fs, self._path = lake.folder(name)

    def run(self) -> Vacuumed:
        listed = self._listed()
        data = {
            path: info
            for path, info in listed.items()
            if path.endswith(".parquet") and not path.startswith(LOG)
        }
        log = {path.split("/")[1]: info for path, info in listed.items() if path.startswith(LOG)}
        needed = self._live(data.keys()) | self._removed_since(log)
        old = [info for path, info in data.items() if path not in needed and self._is_old(info)]
        for info in old:
            self._fs.delete_file(info.path)
        self._remove_empty_folders()
        return Vacuumed(
            self._name, len(old), sum(info.size for info in old), self._shorten_log(log)
        )

    def _listed(self) -> dict[str, pyarrow.fs.FileInfo]:
        """Path below the table's folder -> file."""
        selector = pyarrow.fs.FileSelector(self._path, recursive=True)
        return {
            info.path[len(self._path) + 1 :]: info
            for info in self._fs.get_file_info(selector)
            if info.type is pyarrow.fs.FileType.File
        }

    def _is_old(self, info: pyarrow.fs.FileInfo) -> bool:
        return info.mtime_ns is not None and info.mtime_ns < self._since

    def _live(self, there: Iterable[str]) -> set[str]:
        paths = pyarrow.table(self._delta.get_add_actions())["path"].to_pylist()
        live = {unquote(path) for path in paths}
        missing = sorted(live - set(there))
        if missing:
            raise RetentionError(
                f"{self._name}: {len(missing)} live files are missing, the first {missing[0]}."
                " Nothing of it was deleted. Roll the table back to a version whose files are"
                " there (rollback_table), or materialise the partitions"
            )
        return live

    def _removed_since(self, log: dict[str, pyarrow.fs.FileInfo]) -> set[str]:
        """Files that were live when the retention began, or later."""
        found = set()
        for name, info in log.items():
            if COMMIT.fullmatch(name) and not self._is_old(info):
                with self._fs.open_input_stream(info.path) as file:
                    actions = map(json.loads, file.read().splitlines())
                    found |= {unquote(a["remove"]["path"]) for a in actions if "remove" in a}
        return found

    def _remove_empty_folders(self) -> None:
        # Object stores have no folders. One that a run has just made to stage into stays.
        if not isinstance(self._fs, pyarrow.fs.LocalFileSystem):
            return
        for folder in Path(self._path).glob("*=*"):
            if folder.stat().st_mtime_ns < self._since:
                with suppress(OSError):
                    folder.rmdir()

    def _shorten_log(self, log: dict[str, pyarrow.fs.FileInfo]) -> int:
        """Write a checkpoint, and delete what is before the last one that is older than needed."""
        self._keep_log()
        if f"{self._delta.version():020}.checkpoint.parquet" not in log:
            self._delta.create_checkpoint()
        commits = {int(m[1]): log[name] for name in log if (m := COMMIT.fullmatch(name))}
        current_then = max((v for v, info in commits.items() if self._is_old(info)), default=-1)
        checkpoints = [int(m[1]) for name in log if (m := CHECKPOINT.fullmatch(name))]
        first = max((number for number in checkpoints if number <= current_then), default=0)
        old = [
            info
            for name, info in log.items()
            if (m := re.match(r"(\d{20})\.", name)) and int(m[1]) < first
        ]
        for info in old:
            self._fs.delete_file(info.path)
        return len(old)

    def _keep_log(self) -> None:
        """Have Delta's own clean-ups, of this or another program, keep what is kept here."""
        hours = int(self._retention.total_seconds() // 3600)
        wanted = {
            "delta.enableExpiredLogCleanup": "false",
            "delta.deletedFileRetentionDuration": f"interval {hours} hours",
        }
        configuration = self._delta.metadata().configuration
        if not wanted.items() <= configuration.items():
            # A run that commits at this moment wins; next time will do.
            with suppress(CommitFailedError):
                self._delta.alter.set_table_properties(wanted)


def clear_scratch(settings: Settings, as_of: datetime) -> tuple[int, int]:
    """Delete what killed processes left in the scratch folder; returns how many, and their bytes.

    What was written to within a day may be in use.
    """
    since = (as_of - _SCRATCH_KEPT).timestamp()
    drafts = settings.home.glob(f".{settings.catalogue.name}.*")
    found = size = 0
    for path in [*settings.scratch.glob("*"), *drafts]:
        # A run may take its own away at this very moment.
        with suppress(FileNotFoundError):
            entries = [entry.stat() for entry in (path, *path.rglob("*"))]
            if max(entry.st_mtime for entry in entries) < since:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                found += 1
                size += sum(entry.st_size for entry in entries if not S_ISDIR(entry.st_mode))
    return found, size

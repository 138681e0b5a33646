"""Falling back to what can be read of a damaged log.

Belongs here: putting files of a log aside until the rest gives a version, and going back to a version
of the build ledger whose rows can be read.
Does not belong here: rows, which the next run builds anew where the log and the ledger differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analytics_assets.core.declaration import Table
from analytics_assets.warehouse.builds import BuildLedger
from analytics_assets.warehouse.delta_log import (
    CHECKPOINT,
    COMMIT,
    LOG,
    DamagedLog,
    log_faults,
    log_files,
)
from analytics_assets.warehouse.integrity import ASIDE, put_aside
from analytics_assets.warehouse.lake import Lake

LEDGER = "_builds"


def repair(lake: Lake, tables: Sequence[Table]) -> Iterator[str]:
    """Make every log readable; one sentence for each table of which something was put aside."""
    for table in tables:
        read = lake.log(table.key, lambda delta: delta.get_add_actions())
        yield from _repaired(lake, table.key, read.current)
    yield from _repaired(lake, LEDGER, BuildLedger(lake).read)


def _repaired(lake: Lake, name: str, read) -> Iterator[str]:
    aside = _put_faults_aside(lake, name)
    if not _fails(read):
        if aside:
            yield f"{name}: {_listed(aside)}. {_now(lake, name)}."
        return
    if name == LEDGER and (version := _last_readable(lake)) is not None:
        yield f"{name}: its rows could not be read. It is as it was in version {version}."
        return
    fs, path = lake.folder(name)
    aside += sorted(log_files(fs, path))
    for file in log_files(fs, path):
        put_aside(lake, f"{lake.root}/{name}/{LOG}/{file}")
    yield f"{name}: {_listed(aside)}. Nothing of it can be read: the next run builds it anew."


def _put_faults_aside(lake: Lake, name: str) -> list[str]:
    """Put damaged files of a log aside, and the commits that cannot be read without them."""
    fs, path = lake.folder(name)
    faults = log_faults(fs, path)
    files = log_files(fs, path)
    broken = {int(m[1]) for fault in faults if (m := COMMIT.fullmatch(fault))}
    whole = {int(m[1]) for file in files.keys() - faults if (m := CHECKPOINT.fullmatch(file))}
    # A checkpoint stands for all commits up to its own.
    needed = {number for number in broken if number > max(whole, default=-1)}
    aside = {file for file in faults if file in files}
    if needed:
        aside |= {f for f in files if (m := COMMIT.fullmatch(f)) and int(m[1]) > min(needed)}
    for file in aside:
        put_aside(lake, f"{lake.root}/{name}/{LOG}/{file}")
    return sorted(aside)


def _fails(read) -> bool:
    try:
        read()
    except DamagedLog:
        return True
    return False


def _last_readable(lake: Lake) -> int | None:
    """Make the last version of the ledger whose rows can be read the current one."""
    log = lake.log(LEDGER, lambda delta: delta)
    try:
        delta = log.open()
        newest = delta.version() if delta else -1
    except DamagedLog:
        return None
    ledger = BuildLedger(lake)
    for version in range(newest - 1, -1, -1):
        if not _fails(lambda version=version: ledger.read_version(version)):
            assert delta is not None
            delta.restore(version, ignore_missing_files=True)
            return version
    return None


def _now(lake: Lake, name: str) -> str:
    current = lake.log(name, lambda delta: delta).current()
    if current is None:
        return "Nothing of it can be read: the next run builds it anew"
    return f"It is read as of version {current.number}; the next run mends the rest"


def _listed(files: Sequence[str]) -> str:
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    were = "were" if len(files) > 1 else "was"
    return f"{', '.join(files[:3])}{more} {were} put aside in {ASIDE}"

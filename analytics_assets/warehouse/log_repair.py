"""Falling back to what can be read of a damaged log.

Belongs here: putting files of a log aside until the rest gives a version, and going back to a
version of the build ledger whose rows can be read.
Does not belong here: rows, which the next run builds anew where the log and the ledger differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial

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

_NEXT = "The next run builds anew what differs"


def repair(lake: Lake, tables: Sequence[Table]) -> Iterator[str]:
    """Make every log readable; one sentence for each table of which something was put aside."""
    for table in tables:
        yield from _repaired(lake, table.key, partial(lake.version, table))
    ledger = BuildLedger(lake)
    yield from _repaired(lake, ledger.NAME, ledger.version, ledger.fall_back)


def _repaired(
    lake: Lake,
    name: str,
    version: Callable[[], int | None],
    fall_back: Callable[[], int | None] = lambda: None,
) -> Iterator[str]:
    aside = _put_faults_aside(lake, name)
    with suppress(DamagedLog):
        current = version()
        if aside and current is not None:
            yield f"{name}: {_listed(aside)}. It is read as of version {current}. {_NEXT}"
        elif aside:
            yield f"{name}: {_listed(aside)}. Nothing of it can be read. {_NEXT}"
        return
    with suppress(DamagedLog):
        if (older := fall_back()) is not None:
            yield f"{name}: its rows cannot be read. It is as it was in version {older}. {_NEXT}"
            return
    fs, path = lake.folder(name)
    aside += sorted(log_files(fs, path))
    _put_aside(lake, name, aside)
    yield f"{name}: {_listed(aside)}. Nothing of it can be read. {_NEXT}"


def _put_faults_aside(lake: Lake, name: str) -> list[str]:
    """Put damaged files of a log aside, and the commits that cannot be read without them."""
    fs, path = lake.folder(name)
    faults = log_faults(fs, path)
    files = log_files(fs, path)
    # A checkpoint stands for all commits up to its own.
    whole = [int(m[1]) for file in files.keys() - faults if (m := CHECKPOINT.fullmatch(file))]
    numbers = {file: int(m[1]) for file in {*files, *faults} if (m := COMMIT.fullmatch(file))}
    first = min(
        (numbers[f] for f in faults if f in numbers and numbers[f] > max(whole, default=-1)),
        default=None,
    )
    aside = {
        file
        for file in files
        if file in faults or (first is not None and numbers.get(file, -1) >= first)
    }
    _put_aside(lake, name, aside)
    return sorted(aside)


def _put_aside(lake: Lake, name: str, files: Iterable[str]) -> None:
    for file in files:
        put_aside(lake, f"{lake.root}/{name}/{LOG}/{file}")


def _listed(files: Sequence[str]) -> str:
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    were = "were" if len(files) > 1 else "was"
    return f"{', '.join(files[:3])}{more} of its log {were} put aside in {ASIDE}"

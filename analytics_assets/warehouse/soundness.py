"""Whether what is live of a table is what was published.

Belongs here: what each plan looks at: the files that there are, and the log beside the ledger.
Does not belong here: reading files (``integrity.py``), what is behind its inputs (``builds.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from analytics_assets.core.declaration import Table
from analytics_assets.warehouse.integrity import looked_at, published_words
from analytics_assets.warehouse.lake import Lake, StoredFile, partition_of

_LOST = "the table's log has lost what the build ledger says was published"
_TORN = "the table's log holds files of it that do not belong together"


class Entry(Protocol):
    """What the ledger says of a partition."""

    @property
    def live(self) -> bool: ...
    @property
    def published(self) -> str: ...
    @property
    def built_at(self) -> datetime: ...


@dataclass(frozen=True)
class Soundness:
    """Files that must not be used; partitions that must not, and why; partitions that a run has
    published which was killed before the ledger was written."""

    unsound: frozenset[str]
    broken: Mapping[str, str]
    unended: frozenset[str]


def judge(
    lake: Lake, table: Table, files: Sequence[StoredFile], entries: Mapping[str, Entry]
) -> Soundness:
    """Compare the live files with the disk and with the ledger's entries of their partitions."""
    damages = looked_at(lake, files)
    broken = {partition_of(table, d.file.key): f"a file of it {d.what}" for d in damages}
    for key in _torn(files):
        broken.setdefault(partition_of(table, key), _TORN)
    word = published_words(table, files)
    newest: dict[str, int] = {}
    for file in files:
        partition = partition_of(table, file.key)
        newest[partition] = max(newest.get(partition, 0), file.published)
    unended = set()
    for key, entry in entries.items():
        if not entry.live or not entry.published or entry.published == word(key):
            continue
        # The log is written before the ledger: ahead of it, it is of a run that was killed.
        if newest.get(key, 0) > entry.built_at.timestamp() * 1000:
            unended.add(key)
        else:
            broken.setdefault(key, _LOST)
    return Soundness(frozenset(d.file.uri for d in damages), broken, frozenset(unended))


def _torn(files: Sequence[StoredFile]) -> set[str]:
    """Storage keys with more than one fingerprint, or other rows than it counts."""
    rows: dict[str, dict[str, int]] = {}
    for file in files:
        own = rows.setdefault(file.key, {})
        own[file.fingerprint] = own.get(file.fingerprint, 0) + file.rows
    return {
        key
        for key, own in rows.items()
        if len(own) > 1 or any(name.split("-")[0] != f"{n:x}" for name, n in own.items())
    }

"""Whether files of the lake are the bytes that were published.

Belongs here: the checksum in a file's name, comparing files with it, putting aside what is damaged,
and one word for what is published of a partition.
Does not belong here: mending (``mending.py``), reading all files by night (``scrub.py``), logs
(``delta_log.py``).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import duckdb
import pyarrow.fs

from analytics_assets import settings
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Table
from analytics_assets.warehouse import durable
from analytics_assets.warehouse.audit import fingerprint
from analytics_assets.warehouse.lake import Lake, StoredFile, partition_of
from analytics_assets.warehouse.session import literal

# Below the lake's root: what is damaged is kept there, for people to look at.
ASIDE = "_damaged"
MISSING, DAMAGED = "is missing", "is damaged"
MENDED = "The next run mends it: run again"
_CHECKSUM = re.compile(r"-([0-9a-f]{32})\.parquet$")
# SHA-256, of which 128 bits tell files apart: 2,100 MB/s, BLAKE2b 1,400 on the same core.
_LETTERS = 32


class DamagedFiles(RuntimeError):
    """Files that must not be read: says which, where, and what to do."""


@dataclass(frozen=True)
class Damage:
    """A file that is not what was published: it ``is missing`` or ``is damaged``."""

    file: StoredFile
    what: str

    @property
    def table(self) -> str:
        """The key of the file's table."""
        return "/".join(self.file.uri.split("/_partition=")[0].split("/")[-2:])

    def __str__(self) -> str:
        aside = f" and was put aside in {ASIDE}" if self.what == DAMAGED else ""
        return f"{self.table} {self.file.key}: its file {self.file.uri} {self.what}{aside}"


def seal(lake: Lake, file: StoredFile) -> StoredFile:
    """Put a draft in place, named by the checksum of its bytes, which then goes wherever the file
    goes."""
    checksum = durable.checksum(Path(file.uri))[:_LETTERS]
    final = f"{file.uri.removesuffix('.parquet')}-{checksum}.parquet"
    return replace(file, uri=lake.storage.put_in_place(file.uri, final))


def verify(lake: Lake, files: Iterable[StoredFile]) -> None:
    """Raise ``DamagedFiles`` if any of the files is not what was published."""
    found = damaged(lake, files)
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise DamagedFiles(f"{found[0]}{more}. {MENDED}")


def damaged(lake: Lake, files: Iterable[StoredFile], again: bool = False) -> list[Damage]:
    """Those of the files that are not what was published; what is damaged is put aside.

    Give all files of a storage key. A process reads a file once, unless it changes or it is to be
    read ``again``; and ``LAKE_VERIFY_PERCENT`` of the files at all.
    """
    listed = list(files)
    found = looked_at(lake, listed)
    gone = {damage.file.uri for damage in found}
    percent = 100.0 if again else settings.load().lake_verify_percent
    unsealed: dict[str, list[StoredFile]] = {}
    for file, info in zip(listed, lake.infos(file.uri for file in listed), strict=True):
        state = (file.uri, info.mtime_ns, info.size)
        known = state in lake.verified and not again
        if file.uri in gone or known or random.random() * 100 >= percent:
            continue
        sealed = _CHECKSUM.search(file.uri)
        if sealed is None:
            unsealed.setdefault(file.uri.rsplit("/", 1)[0], []).append(file)
        elif not is_whole(lake, file.uri, again):
            found.append(Damage(file, DAMAGED))
            continue
        lake.verified.add(state)
    for own in unsealed.values():
        # A home of an earlier release: its files have no checksum, but their rows have one.
        if rows_fingerprint(lake, [file.uri for file in own]) != own[0].fingerprint:
            found += [Damage(file, DAMAGED) for file in own]
    for damage in found:
        put_aside(lake, damage.file.uri)
    return found


def looked_at(lake: Lake, files: Iterable[StoredFile]) -> list[Damage]:
    """Those of the files that are not there, or not in their size: 2.5 us a file."""
    listed = list(files)
    found = []
    for file, info in zip(listed, lake.infos(file.uri for file in listed), strict=True):
        if info.type is not pyarrow.fs.FileType.File:
            aside = lake.infos([_aside(lake, file.uri)])[0]
            there = aside.type is pyarrow.fs.FileType.File
            found.append(Damage(file, DAMAGED if there else MISSING))
        elif info.size != file.bytes:
            found.append(Damage(file, DAMAGED))
    return found


def is_whole(lake: Lake, uri: str, again: bool = True) -> bool:
    """Whether a file has the checksum that its name says; one without is taken as it is.

    Of an object store it is the copy that builds read, unless the store is to be read ``again``.
    """
    sealed = _CHECKSUM.search(uri)
    if sealed is None:
        return True
    if again:
        lake.storage.forget_copy(uri)
    try:
        whole = durable.checksum(Path(lake.storage.copied(uri)))[:_LETTERS] == sealed[1]
    except OSError:  # the disk does not give the bytes back
        whole = False
    if not whole:
        lake.storage.forget_copy(uri)
    return whole


def put_aside(lake: Lake, uri: str) -> None:
    """Move a damaged file of the lake where nothing reads it. It is never deleted."""
    fs, _ = lake.folder("")
    place = _aside(lake, uri)
    if lake.infos([place])[0].type is pyarrow.fs.FileType.File:
        place += f".{uuid4().hex}"  # files of logs come by the same name again
    target = lake.path(place)
    # Another process may have done so, and on a disk that is read-only it stays where it is.
    with suppress(OSError):
        fs.create_dir(target.rsplit("/", 1)[0], recursive=True)
        fs.move(lake.path(uri), target)


def rows_fingerprint(lake: Lake, uris: Sequence[str]) -> str | None:
    """The fingerprint of the rows of these files, in the columns that they have.

    ``None`` where they cannot be read.
    """
    read = f"read_parquet([{', '.join(map(literal, uris))}], hive_partitioning = false)"
    try:
        with duckdb.connect() as session:
            lake.storage.register(session)
            names = [row[0] for row in session.execute(f"describe select * from {read}").fetchall()]
            hashed = ", ".join(map(quoted, names))
            ((rows, hashes),) = session.execute(
                f"select count(*), coalesce(sum(hash({hashed})), 0) from {read}"
            ).fetchall()
    except duckdb.Error:
        return None
    return fingerprint(rows, hashes)


# ---- what is published of a partition -----------------------------------------------------------


def published_words(table: Table, files: Iterable[StoredFile]) -> Callable[[str], str]:
    """Partition -> one word for its storage keys, their fingerprints and rows."""
    rows: dict[str, dict[tuple[str, str], int]] = {}
    for file in files:
        own = rows.setdefault(partition_of(table, file.key), {})
        own[file.key, file.fingerprint] = own.get((file.key, file.fingerprint), 0) + file.rows

    def word(partition: str) -> str:
        content = repr(sorted(rows.get(partition, {}).items()))
        return sha256(content.encode()).hexdigest()[:16]

    return word


# ---- places -------------------------------------------------------------------------------------


def _aside(lake: Lake, uri: str) -> str:
    return f"{lake.root}/{ASIDE}{uri.removeprefix(lake.root)}"

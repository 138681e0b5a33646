"""Mending what is damaged with copies of the same rows.

Belongs here: finding files of a fingerprint in the table's folder, among what was put aside and in
the archive, and making them live; what a build is told of damage.
Does not belong here: finding damage (``integrity.py``), rebuilding from inputs (``build.py``).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pyarrow.fs
import pyarrow.parquet

from analytics_assets import settings
from analytics_assets.core.declaration import Table
from analytics_assets.warehouse import integrity
from analytics_assets.warehouse.archive import archive_of, archived_partitions
from analytics_assets.warehouse.audit import CONTRACT, Finding
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake, StoredFile, by_key, partition_of

_MENDED = "It is mended by this very run, or another line says why it cannot be."
_CHANGED = (
    f"Bring the source's files back and materialise it; the old ones lie in {integrity.ASIDE}."
)
_LOST = "Bring the source's file back, or roll the table back to a version that is whole."
_WRITTEN_TOGETHER = re.compile(r"[-_.]")


@dataclass(frozen=True)
class Mended:
    """Partitions that copies made whole, with their rows, and what to tell of all damaged ones."""

    rows: dict[str, int]
    findings: list[Finding]


def mend(snapshot: Snapshot, table: Table, partitions: Collection[str], run_id: str) -> Mended:
    """Give damaged files of these partitions back from copies with the very same rows.

    Rows of the same fingerprint are what was published, whatever has become of the inputs since: so
    nothing is lost and no rollback undone. What has no copy is left to be built anew.
    """
    own = [f for f in snapshot.files(table) if partition_of(table, f.key) in partitions]
    if integrity.damaged(snapshot.lake, own):
        snapshot.forget(table)
    broken = {key: why for key, why in snapshot.broken(table).items() if key in partitions}
    findings = [Finding(CONTRACT, k, broken[k], blocking=False, advice=_MENDED) for k in broken]
    live = by_key(snapshot.files(table))
    sound = {file.uri for file in snapshot.sound(table)}
    rows: dict[str, int] = {}
    for partition in broken:
        keys = [key for key in live if partition_of(table, key) == partition]
        damaged = [key for key in keys if not sound.issuperset(live[key].uris)]
        copies = [_copies(snapshot.lake, table, key, live[key].fingerprint) for key in damaged]
        files = [file for found in copies for file in found]
        if copies and all(copies) and _is_as_published(snapshot, table, partition, damaged, files):
            snapshot.lake.publish(table, files, damaged, {"run_id": run_id, "mended": "copies"})
            rows[partition] = sum(live[key].rows for key in keys)
    if rows:
        snapshot.forget(table)
    return Mended(rows, findings)


def _is_as_published(
    snapshot: Snapshot,
    table: Table,
    partition: str,
    replaced: Collection[str],
    files: Sequence[StoredFile],
) -> bool:
    """Whether the partition would be what the ledger says was published.

    Beside files that a log has lost, copies would make half of an older version look like a newer.
    """
    build = snapshot.build_of(table, partition)
    kept = [file for file in snapshot.files(table) if file.key not in replaced]
    word = integrity.published_words(table, [*kept, *files])(partition)
    return build is not None and build.published in ("", word)


def lost(snapshot: Snapshot, table: Table, partitions: Iterable[str]) -> list[Finding]:
    """Those of the partitions that are damaged: there is nothing left to make them anew from."""
    broken = snapshot.broken(table)
    found = []
    for key in sorted(broken.keys() & set(partitions)):
        build = snapshot.build_of(table, key)
        rows = f"its {build.rows:,} rows" if build else "its rows"
        what = (
            f"{broken[key]}, its source does not offer it any more, and no copy of {rows} is in an"
            " older version or the archive"
        )
        found.append(Finding(CONTRACT, key, what, advice=_LOST))
    return found


def changed_by_mending(
    snapshot: Snapshot,
    table: Table,
    partitions: Iterable[str],
    inputs: Mapping[str, Mapping[str, str]],
    word: Callable[[str], str],
) -> list[Finding]:
    """Damaged partitions that were built anew from the same inputs, and came out otherwise."""
    found = []
    for key in partitions:
        build = snapshot.build_of(table, key)
        same = build and build.published and build.inputs == inputs[key]
        if key in snapshot.broken(table) and build and same and word(key) != build.published:
            what = (
                f"it was damaged, and its inputs no longer give the {build.rows:,} rows that were"
                " published: what they give now is live"
            )
            found.append(Finding(CONTRACT, key, what, blocking=False, advice=_CHANGED))
    return found


def damaged_inputs(snapshot: Snapshot, table: Table, partition: str) -> Finding | None:
    """What the partition must not be computed from, because it is damaged."""
    found: list[str] = []
    for upstream in table.upstream:
        files = snapshot.feeding(upstream, table, [partition])
        damages = integrity.damaged(snapshot.lake, files)
        found += map(str, damages)
        told = {damage.file.key for damage in damages}
        broken = snapshot.broken(upstream)
        for key in dict.fromkeys(partition_of(upstream, f.key) for f in files if f.key not in told):
            if key in broken:
                found.append(f"{upstream.key} {key}: {broken[key]}")
    if not found:
        return None
    return Finding(CONTRACT, partition, "; ".join(found[:3]), advice=f"{integrity.MENDED}.")


def damaged_live(snapshot: Snapshot, table: Table) -> list[Finding]:
    """What is damaged of a table and of what it is compared with."""
    read = [file for one in (table, *table.upstream) for file in snapshot.files(one)]
    found = []
    for damage in integrity.damaged(snapshot.lake, read):
        own = damage.table == table.key
        key = partition_of(table, damage.file.key) if own else damage.file.key
        found.append(Finding(CONTRACT, key, str(damage), advice=f"{integrity.MENDED}."))
    return found


def _copies(lake: Lake, table: Table, key: str, fingerprint: str) -> list[StoredFile]:
    """Whole files that hold the rows of a storage key; empty where there are none."""
    folder = f"{lake.uri(table)}/_partition={key}"
    aside = f"{lake.root}/{integrity.ASIDE}/{table.key}/_partition={key}"
    for group in (*_groups(lake, folder), *_groups(lake, aside)):
        whole = all(integrity.is_whole(lake, uri) for uri in group)
        if whole and integrity.rows_fingerprint(lake, group) == fingerprint:
            return [_in_place(lake, table, uri, key, fingerprint) for uri in group]
    for archived in archived_partitions(table, archive_of(settings.load())):
        files = [f for f in archived.manifest["files"] if f["key"] == key]
        if files and all(f["fingerprint"] == fingerprint for f in files):
            paths = [archived.local(file) for file in files]
            if all(paths):
                return [_in_place(lake, table, str(path), key, fingerprint) for path in paths]
    return []


def _groups(lake: Lake, folder: str) -> Iterator[list[str]]:
    """The files of a folder, those that were written together as one."""
    fs, _ = lake.folder("")
    selector = pyarrow.fs.FileSelector(lake.path(folder), allow_not_found=True)
    groups: dict[str, list[str]] = {}
    for info in fs.get_file_info(selector):
        if info.extension == "parquet":
            name = _WRITTEN_TOGETHER.split(info.base_name)[0]
            groups.setdefault(name, []).append(f"{folder}/{info.base_name}")
    yield from groups.values()


def _in_place(lake: Lake, table: Table, place: str, key: str, fingerprint: str) -> StoredFile:
    """The file in the table's folder under its checksum; a copy where it lies elsewhere."""
    inside = place.startswith(f"{lake.uri(table)}/")
    own = place.startswith(f"{lake.root}/")
    bytes_ = Path(lake.storage.copied(place) if own else place)
    file = StoredFile(
        key,
        place,
        pyarrow.parquet.read_metadata(bytes_).num_rows,
        bytes_.stat().st_size,
        fingerprint,
    )
    if inside:
        return file
    draft = f"{lake.drafts(table.key, f'_partition={key}')}/{uuid4().hex}.parquet"
    shutil.copyfile(bytes_, draft)
    return integrity.seal(lake, replace(file, uri=draft))

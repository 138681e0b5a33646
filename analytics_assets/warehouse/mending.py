"""Mending what is damaged with copies of the same rows.

Belongs here: finding files of a fingerprint in the table's folder, among what was put aside and in
the archive, and making them live.
Does not belong here: finding damage (``integrity.py``), rebuilding from inputs (``build.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from uuid import uuid4

import pyarrow.fs
import pyarrow.parquet

from analytics_assets import settings
from analytics_assets.core.declaration import Table
from analytics_assets.warehouse import integrity
from analytics_assets.warehouse.archive import archived_partitions
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.durable import checksum
from analytics_assets.warehouse.lake import Lake, StoredFile, by_key, partition_of

_WRITTEN_TOGETHER = re.compile(r"[-_.]")


def mend(
    snapshot: Snapshot, table: Table, partitions: Iterable[str], run_id: str
) -> list[str]:
    """Give damaged files of these partitions back from copies with the very same rows.

    Returns the partitions that are whole again by it. Equal rows by their fingerprint are what was
    published, whatever has become of the inputs since: so nothing is lost and no rollback undone.
    """
    lake = snapshot.lake
    damaged: dict[str, list[str]] = {}
    sound = {file.uri for file in snapshot.sound(table)}
    live = by_key(snapshot.files(table))
    for key, stored in live.items():
        if not sound.issuperset(stored.uris):
            damaged.setdefault(partition_of(table, key), []).append(key)
    mended: list[str] = []
    for partition in partitions:
        copies: list[StoredFile] = []
        for key in damaged.get(partition, ()):
            own = _copies(lake, table, key, live[key].fingerprint)
            if not own:
                break
            copies += own
        else:
            if copies:
                keys = damaged[partition]
                lake.publish(table, copies, keys, {"run_id": run_id, "mended": "from copies"})
                mended.append(partition)
    return mended


def _copies(lake: Lake, table: Table, key: str, fingerprint: str) -> list[StoredFile]:
    """Whole files that hold the rows of a storage key; empty where there are none."""
    folder = f"{lake.uri(table)}/_partition={key}"
    aside = f"{lake.root}/{integrity.ASIDE}/{table.key}/_partition={key}"
    for group in (*_groups(lake, folder), *_groups(lake, aside)):
        whole = all(integrity.is_whole(lake, uri) for uri in group)
        if whole and integrity.rows_fingerprint(group) == fingerprint:
            return [_in_place(lake, folder, uri, key, fingerprint) for uri in group]
    for archived in archived_partitions(table, settings.load().home / "archive"):
        files = [f for f in archived.manifest["files"] if f["key"] == key]
        paths = [archived.folder / f["name"] for f in files]
        same = bool(files) and all(f["fingerprint"] == fingerprint for f in files)
        pairs = zip(files, paths, strict=True)
        if same and all(path.exists() and checksum(path) == f["sha256"] for f, path in pairs):
            return [_in_place(lake, folder, str(path), key, fingerprint) for path in paths]
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


def _in_place(lake: Lake, folder: str, place: str, key: str, fingerprint: str) -> StoredFile:
    """The file in the table's folder under its checksum; a copy where it lies elsewhere."""
    fs, _ = lake.folder("")
    inside = place.startswith(folder)
    uri = place if inside else f"{folder}/{uuid4().hex}.parquet"
    if not inside:
        fs.create_dir(lake.path(folder), recursive=True)
        own = place.startswith(lake.root)
        pyarrow.fs.copy_files(
            lake.path(place) if own else place,
            lake.path(uri),
            source_filesystem=fs if own else pyarrow.fs.LocalFileSystem(),
            destination_filesystem=fs,
        )
    with fs.open_input_file(lake.path(uri)) as file:
        rows = pyarrow.parquet.ParquetFile(file).metadata.num_rows
        size = file.size()
    stored = StoredFile(key, uri, rows, size, fingerprint)
    return stored if inside else integrity.seal(lake, stored)

"""Turning zip, gzip and DBF files into what DuckDB reads.

Belongs here: archives and DBF, and what a damaged one is told by.
Does not belong here: columns and rows (``formats.py``).
"""

from __future__ import annotations

import gzip
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast
from uuid import uuid4

from analytics_assets.core.source import SourceError

AGAIN = "Fetch it again"
# GDAL's name of it. A name that GDAL does not know, as latin-1, lets bytes through as they are, and
# DuckDB ends the session over text that is not UTF-8.
DBF_ENCODING = "ISO-8859-1"


def unpacked(path: Path, scratch: Path, formats: Sequence[str]) -> Path:
    """The file of one of these formats in a zip or gzip file, unpacked into ``scratch``.

    Raises ``SourceError`` naming ``path``.
    """
    try:
        if path.suffix.lower() == ".gz":
            target = scratch / f"{uuid4().hex}{path.with_suffix('').suffix.lower()}"
            with gzip.open(path) as whole, target.open("wb") as out:
                shutil.copyfileobj(cast(BinaryIO, whole), out)
        else:
            with zipfile.ZipFile(path) as archive:
                name = _only_one(path, archive, formats)
                target = scratch / f"{uuid4().hex}{PurePosixPath(name).suffix.lower()}"
                with archive.open(name) as packed, target.open("wb") as out:
                    shutil.copyfileobj(packed, out)
    except (zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(f"it is damaged ({error})", str(path), AGAIN) from error
    except (RuntimeError, NotImplementedError) as error:  # a password, a rare compression
        raise SourceError(
            f"it cannot be unpacked ({error})", str(path), "Unpack it by hand"
        ) from error
    if not target.stat().st_size:
        raise SourceError("the file in it is empty", str(path), AGAIN)
    return target


def _only_one(path: Path, archive: zipfile.ZipFile, formats: Sequence[str]) -> str:
    # macOS packs a hidden companion beside each file.
    inside = [
        name
        for name in archive.namelist()
        if name.lower().endswith(tuple(formats)) and not name.rsplit("/", 1)[-1].startswith(".")
    ]
    if len(inside) != 1:
        raise SourceError(
            f"it holds {len(inside)} files of {', '.join(formats)}",
            str(path),
            "Pack exactly one into it",
        )
    return inside[0]


def dbf_as_parquet(path: Path, dbf: Path, scratch: Path) -> Path:
    """The records of a DBF file as a Parquet file of text, in their order.

    Raises ``SourceError`` naming ``path``, the file that ``dbf`` is or was unpacked from.
    """
    import pyarrow
    import pyarrow.parquet
    import pyogrio

    _checklength_at(path, dbf)
    target = scratch / f"{uuid4().hex}.parquet"
    try:
        with pyogrio.open_arrow(dbf, encoding=DBF_ENCODING) as (_, stream):
            reader = pyarrow.RecordBatchReader.from_stream(stream)
            text = pyarrow.schema([(name, pyarrow.string()) for name in reader.schema.names])
            with pyarrow.parquet.ParquetWriter(target, text, compression="lz4") as writer:
                for batch in reader:
                    writer.write_table(pyarrow.Table.from_batches([batch]).cast(text))
    except (RuntimeError, ValueError, TypeError) as error:  # pyogrio's and pyarrow's are such
        raise SourceError(f"it is damaged, or no DBF file ({error})", str(path), AGAIN) from error
    return target


def _checklength_at(path: Path, dbf: Path) -> None:
    """A DBF says how many records it has; fewer bytes than that means it was cut off."""
    with dbf.open("rb") as file:
        header = file.read(12)
    records = int.from_bytes(header[4:8], "little")
    start, length = length_at(header, 8), length_at(header, 10)
    size = dbf.stat().st_size
    if not length or size < start:
        raise SourceError("it is damaged, or no DBF file", str(path), AGAIN)
    if size < start + records * length:
        have = (size - start) // length
        raise SourceError(
            f"it is cut off: {have:,} of {records:,} records are there", str(path), AGAIN
        )


def length_at(header: bytes, at: int) -> int:
    """A length that the header of a DBF or DBC file gives, in bytes."""
    return int.from_bytes(header[at : at + 2], "little")

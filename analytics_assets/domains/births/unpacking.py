"""Turning DBC, DBF, zip and gzip files into what DuckDB reads: Parquet and CSV.

Belongs here: archives and binary formats, and what a damaged one is told by.
Does not belong here: columns and rows (``readers.py``).
"""

from __future__ import annotations

import gzip
import shutil
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO, cast
from uuid import uuid4

from analytics_assets.core.source import SourceError

AGAIN = "Fetch it again"
# GDAL's name of it. A name that GDAL does not know, as latin-1, lets bytes through as they are, and
# DuckDB ends the session over text that is not UTF-8.
DBF_ENCODING = "ISO-8859-1"


def csv_inside(path: Path, scratch: Path) -> Path:
    """The CSV file in a zip or gzip file, unpacked into ``scratch``; raises ``SourceError``."""
    target = scratch / f"{uuid4().hex}.csv"
    try:
        if path.suffix.lower() == ".gz":
            with gzip.open(path) as unpacked, target.open("wb") as out:
                shutil.copyfileobj(cast(BinaryIO, unpacked), out)
        else:
            with (
                zipfile.ZipFile(path) as archive,
                archive.open(_only_csv(path, archive)) as packed,
                target.open("wb") as out,
            ):
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


def _only_csv(path: Path, archive: zipfile.ZipFile) -> str:
    # macOS packs a hidden companion beside each file.
    inside = [
        name
        for name in archive.namelist()
        if name.lower().endswith(".csv") and not name.rsplit("/", 1)[-1].startswith(".")
    ]
    if len(inside) != 1:
        raise SourceError(
            f"it holds {len(inside)} CSV files", str(path), "Pack exactly one into it"
        )
    return inside[0]


def dbf_as_parquet(path: Path, scratch: Path) -> Path:
    """The records of a DBC or DBF file as a Parquet file of text, in their order.

    Raises ``SourceError`` naming ``path``.
    """
    import pyarrow
    import pyarrow.parquet
    import pyogrio

    dbf = _unpacked(path, scratch) if path.suffix.lower() == ".dbc" else path
    _check_length(path, dbf)
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


def _unpacked(path: Path, scratch: Path) -> Path:
    """The DBF inside a DBC, at a fresh path: the unpackers do not truncate an existing file."""
    with path.open("rb") as file:
        start = file.read(12)
    # The unpacker takes memory by these numbers, and panics over nonsense.
    if len(start) < 12 or start[0] not in (0x03, 0x83) or not _length(start, 8):
        raise SourceError("it is damaged, or no DBC file", str(path), AGAIN)
    target = scratch / f"{uuid4().hex}.dbf"
    try:
        _decompress(path, target)
    except OSError:
        raise
    except BaseException as error:  # a panic in Rust is no Exception
        if isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError)):
            raise
        raise SourceError(f"it is damaged or cut off ({error})", str(path), AGAIN) from error
    return target


def _decompress(source: Path, target: Path) -> None:
    """``datasus-dbc`` has no wheel for every Python, ``dbc-to-dbf`` is slower."""
    try:
        import datasus_dbc
    except ImportError:
        from dbctodbf import DBCDecompress

        DBCDecompress().decompressFile(str(source), str(target))
    else:
        datasus_dbc.decompress(str(source), str(target))


def _check_length(path: Path, dbf: Path) -> None:
    """A DBF says how many records it has; fewer bytes than that means it was cut off."""
    with dbf.open("rb") as file:
        header = file.read(12)
    records = int.from_bytes(header[4:8], "little")
    start, length = _length(header, 8), _length(header, 10)
    size = dbf.stat().st_size
    if not length or size < start:
        raise SourceError("it is damaged, or no DBF file", str(path), AGAIN)
    if size < start + records * length:
        have = (size - start) // length
        raise SourceError(
            f"it is cut off: {have:,} of {records:,} records are there", str(path), AGAIN
        )


def _length(header: bytes, at: int) -> int:
    return int.from_bytes(header[at : at + 2], "little")

"""Turning zip, gzip, DBF and Excel files into what DuckDB reads.

Belongs here: archives, DBF and the first sheet of a workbook, and what a damaged one is told by.
Does not belong here: columns and rows (``formats.py``).

What reads DBF and Excel runs in a child process, which imports this module: it is quick to import.
"""

from __future__ import annotations

import csv
import gzip
import sys
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any
from uuid import uuid4

from analytics_assets import settings
from analytics_assets.core.source import SourceError
from analytics_assets.core.telling import foreign
from analytics_assets.landing.confined import MB, confined, too_large

AGAIN = "Fetch it again"
# GDAL's name of it. A name that GDAL does not know, as latin-1, lets bytes through as they are, and
# DuckDB ends the session over text that is not UTF-8.
DBF_ENCODING = "ISO-8859-1"
_BLOCK = 1 << 20


def unpacked(path: Path, scratch: Path, formats: Sequence[str]) -> Path:
    """The file of one of these formats in a zip or gzip file, unpacked into ``scratch``.

    Raises ``SourceError`` naming ``path``.
    """
    try:
        if path.suffix.lower() == ".gz":
            target = scratch / f"{uuid4().hex}{path.with_suffix('').suffix.lower()}"
            with gzip.open(path) as whole:
                _copy(path, whole, target)
        else:
            with zipfile.ZipFile(path) as archive:
                name = _only_one(path, archive, formats)
                target = scratch / f"{uuid4().hex}{PurePosixPath(name).suffix.lower()}"
                with archive.open(name) as packed:
                    _copy(path, packed, target)
    except (zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(f"it is damaged ({foreign(error)})", str(path), AGAIN) from error
    except RuntimeError as error:  # a password, a rare compression
        raise SourceError(
            f"it cannot be unpacked ({foreign(error)})", str(path), "Unpack it by hand"
        ) from error
    if not target.stat().st_size:
        raise SourceError("the file in it is empty", str(path), AGAIN)
    return target


def _copy(path: Path, packed: IO[bytes] | gzip.GzipFile, target: Path) -> None:
    """Unpack as much as a file may hold; a few bytes may stand for all that a disk has room for."""
    left = settings.load().landing_unpacked_mb * MB
    with target.open("wb") as out:
        while block := packed.read(_BLOCK):
            left -= len(block)
            if left < 0:
                raise too_large(path)
            out.write(block)


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


def dbf_as_parquet(path: Path, scratch: Path) -> Path:
    """The records of a DBF file as a Parquet file of text, in their order."""
    target = scratch / f"{uuid4().hex}.parquet"
    confined(write_dbf, path, path, target)
    return target


def write_dbf(path: Path, dbf: Path, target: Path) -> None:
    """The same, in the child; ``dbf`` is ``path`` or was unpacked from it."""
    # pyogrio looks for pandas, which takes longer to import than most files to read.
    sys.modules["pandas"] = None  # type: ignore[assignment]
    import pyarrow
    import pyarrow.parquet
    import pyogrio

    _check_length(path, dbf)
    try:
        with pyogrio.open_arrow(dbf, encoding=DBF_ENCODING) as (_, stream):
            reader = pyarrow.RecordBatchReader.from_stream(stream)
            text = pyarrow.schema([(name, pyarrow.string()) for name in reader.schema.names])
            with pyarrow.parquet.ParquetWriter(target, text, compression="lz4") as writer:
                for batch in reader:
                    writer.write_table(pyarrow.Table.from_batches([batch]).cast(text))
    except (RuntimeError, ValueError, TypeError) as error:  # pyogrio's and pyarrow's are such
        raise SourceError(
            f"it is damaged, or no DBF file ({foreign(error)})", str(path), AGAIN
        ) from error


def write_first_sheet(path: Path, target: Path) -> list[str]:
    """In the child: the header of a workbook's first sheet; the rows below it as CSV in ``target``,
    as many values in each, in quotes and divided by ``;``."""
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        with CalamineWorkbook.from_path(path) as workbook:
            rows = workbook.get_sheet_by_index(0).to_python()
    except CalamineError as error:
        raise SourceError("it cannot be read as an Excel workbook", str(path), AGAIN) from error
    if not rows:
        raise SourceError("its first sheet is empty", str(path), AGAIN)
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=";", quoting=csv.QUOTE_ALL)
        writer.writerows(map(_cell_text, row) for row in rows[1:])
    return [str(cell) for cell in rows[0]]


def _cell_text(cell: Any) -> str:
    """A cell as a CSV file would have it: 1, not 1.0."""
    text = str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
    return text.replace("\0", "")


def _check_length(path: Path, dbf: Path) -> None:
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

"""The DBC files of DATASUS: a DBF, compressed by an algorithm of its own.

Belongs here: unpacking one, and what a damaged one is told by.
Does not belong here: the DBF inside (``landing/unpacking.py``).

One child process does both, which imports this module: it is quick to import.
"""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from analytics_assets.core.source import SourceError
from analytics_assets.core.telling import foreign
from analytics_assets.landing.confined import confined
from analytics_assets.landing.unpacking import AGAIN, length_at, write_dbf


def dbc_as_parquet(path: Path, scratch: Path) -> Path:
    """The records of a DBC file as a Parquet file of text, in their order."""
    target = scratch / f"{uuid4().hex}.parquet"
    confined(write_dbc, path, target)
    return target


def write_dbc(path: Path, target: Path) -> None:
    """The same, in the child."""
    # The unpackers do not truncate a file that exists.
    dbf = target.with_suffix(".dbf")
    unpack(path, dbf)
    write_dbf(path, dbf, target)
    dbf.unlink()


def unpack(path: Path, target: Path) -> None:
    """The DBF inside a DBC, at ``target``; ``SourceError`` for a damaged one."""
    with path.open("rb") as file:
        start = file.read(12)
    # The unpacker takes memory by these numbers, and panics over nonsense.
    if len(start) < 12 or start[0] not in (0x03, 0x83) or not length_at(start, 8):
        raise SourceError("it is damaged, or no DBC file", str(path), AGAIN)
    try:
        _decompress(path, target)
    except OSError:
        raise
    except BaseException as error:  # a panic in Rust is no Exception
        if isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError)):
            raise
        raise SourceError(
            f"it is damaged or cut off ({foreign(error)})", str(path), AGAIN
        ) from error


def _decompress(source: Path, target: Path) -> None:
    """``datasus-dbc`` has no wheel for every Python, ``dbc-to-dbf`` is slower."""
    try:
        import datasus_dbc
    except ImportError:
        from dbctodbf import DBCDecompress

        DBCDecompress().decompressFile(str(source), str(target))
    else:
        datasus_dbc.decompress(str(source), str(target))

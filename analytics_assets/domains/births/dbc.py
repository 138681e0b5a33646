"""The DBC files of DATASUS: a DBF, compressed by an algorithm of its own.

Belongs here: unpacking one, and what a damaged one is told by.
Does not belong here: the DBF inside (``landing/unpacking.py``).
"""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from analytics_assets.core.source import SourceError
from analytics_assets.landing.unpacking import AGAIN, length_at


def dbf_inside(path: Path, scratch: Path) -> Path:
    """The DBF inside a DBC, at a fresh path: the unpackers do not truncate an existing file."""
    with path.open("rb") as file:
        start = file.read(12)
    # The unpacker takes memory by these numbers, and panics over nonsense.
    if len(start) < 12 or start[0] not in (0x03, 0x83) or not length_at(start, 8):
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

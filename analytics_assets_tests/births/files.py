"""Writing DBF and DBC files, which no package at hand writes."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence


def dbf_bytes(rows: Sequence[Mapping[str, str]], width: int = 12) -> bytes:
    """A DBF file of character columns, all ``width`` bytes wide."""
    names = list(rows[0])
    fields = b"".join(
        struct.pack("<11sc4xB15x", name.encode("ascii"), b"C", width) for name in names
    )
    start, length = 32 + len(fields) + 1, 1 + width * len(names)
    head = struct.pack("<BBBBIHH20x", 3, 124, 1, 1, len(rows), start, length)
    body = b"".join(
        b" " + b"".join(row[name].encode("latin-1").ljust(width) for name in names) for row in rows
    )
    return head + fields + b"\r" + body + b"\x1a"


def dbc_bytes(dbf: bytes) -> bytes:
    """A DBF file as DATASUS packs it: its header, four bytes, and the rest imploded (PKWARE DCL).

    Literals alone (a 0 and eight bits each) are a valid stream; 1, seven 0 and eight 1 end it.
    """
    start = struct.unpack_from("<H", dbf, 8)[0]
    bits = [bit for byte in dbf[start:] for bit in (0, *((byte >> n) & 1 for n in range(8)))]
    bits += [1] + [0] * 7 + [1] * 8
    bits += [0] * (-len(bits) % 8)
    packed = bytes(
        sum(bit << n for n, bit in enumerate(bits[at : at + 8])) for at in range(0, len(bits), 8)
    )
    return dbf[:start] + bytes(4) + b"\x00\x06" + packed

"""The text of a CSV file, before and beside DuckDB's reader.

Belongs here: encoding, header, counting lines, and telling lines that are records from lines that
are not.
Does not belong here: what a column means, and which share of bad lines is too many.
"""

from __future__ import annotations

import codecs
import csv
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

_BLOCK = 1 << 22
# A longer line is no record of some sixty short values; reading on would only cost memory.
MAX_LINE_BYTES = 1_000_000
# A value with line breaks in it is put together from at most so many lines.
_MAX_JOINED = 20
_SHOWN = 1000
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class NotText(ValueError):
    """The bytes are not those of a CSV file; says why."""


@dataclass(frozen=True)
class Text:
    """What the bytes are: encoding (as Python and DuckDB call it), lines, NUL bytes or not, and
    whether any value may have blanks around it."""

    encoding: str
    lines: int
    has_nul: bool
    may_have_blanks: bool


@dataclass(frozen=True)
class Header:
    """Column names, '' where unnamed, and the delimiter that the header shows."""

    names: list[str]
    delimiter: str

    @property
    def least(self) -> int:
        """Columns that a record must have: unnamed ones at the end come from a last delimiter."""
        return max((n for n, name in enumerate(self.names, 1) if name), default=0)


@dataclass(frozen=True)
class Sifted:
    """What was in a file: records (bad lines included), bad lines, and why the first is bad."""

    records: int
    unreadable: int
    first: str


def look_at(path: Path) -> Text:
    """Read all bytes once: half a second for a national year (0.9 GB)."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    encoding, lines, last = "utf-8", 0, b"\n"
    has_nul = may_have_blanks = False
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            lines += block.count(b"\n")
            has_nul = has_nul or b"\0" in block
            last = block[-1:]
            # Most files are nothing but ASCII, which takes a tenth of the time to see.
            is_ascii = block.isascii()
            may_have_blanks = may_have_blanks or not is_ascii or b" " in block
            if encoding == "utf-8" and not (is_ascii and not decoder.getstate()[0]):
                try:
                    decoder.decode(block)
                except UnicodeDecodeError:
                    encoding = "latin-1"
    return Text(encoding, lines + (last != b"\n"), has_nul, may_have_blanks)


def read_header(path: Path, encoding: str) -> Header:
    """The first line that is not blank; raises ``NotText``."""
    with path.open("rb") as file:
        start = file.read(2)
    if start in _UTF16:
        raise NotText("it is UTF-16 text, not UTF-8 or Latin-1")
    first = next((raw for _, raw in _lines(path) if raw.strip()), b"")
    if b"\0" in first:
        raise NotText("its header holds NUL bytes, so it is not UTF-8 or Latin-1 text")
    line = _decoded(first, encoding)
    if b"\r" in first.rstrip(b"\r\n"):
        raise NotText("its lines end in CR alone, not in LF or CRLF")
    delimiter = max(";,\t|", key=line.count)
    try:
        names = next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise NotText(f"its header cannot be read ({error})") from error
    return Header([name.strip() for name in names], delimiter)


def sift(path: Path, target: Path, encoding: str, header: Header) -> Sifted:
    """Rewrite a file so that any CSV reader reads the same rows from it.

    ``target`` has no header, ``;`` between columns and one line a record, in the order of the
    file: the columns of the header, then the record's number (of an unreadable line, minus the
    line's number) and the unreadable line. Slow, 20 s for a million records: for files that the
    fast reader does not read in full.
    """
    records, unreadable, first = 0, 0, ""
    width = len(header.names)
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\n")
        for line, fields, why, raw in _records(path, encoding, header):
            records += 1
            if fields is not None:
                writer.writerow([*fields, records, ""])
                continue
            unreadable += 1
            first = first or f"line {line}: {why}"
            shown = " ".join(raw.replace("\0", "\\0").split())[:_SHOWN]
            writer.writerow([""] * width + [-line, f"line {line} ({why}): {shown}"])
    return Sifted(records, unreadable, first)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each line; of one that is too long, only a start without line end."""
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            yield number, raw
            while len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
                raw = file.readline(MAX_LINE_BYTES + 1)


def _records(
    path: Path, encoding: str, header: Header
) -> Iterator[tuple[int, list[str] | None, str, str]]:
    """(line, values or None, why none, text) of each record, blank lines and header left out."""
    lines = ((n, raw) for n, raw in _lines(path) if raw.strip())
    next(lines, None)
    ahead: deque[tuple[int, bytes]] = deque()
    while True:
        ahead.extend(islice(lines, max(0, 1 - len(ahead))))
        if not ahead:
            return
        number, raw = ahead.popleft()
        text = _decoded(raw, encoding)
        fields, why = _split(raw, text, header)
        if fields is None and '"' in text and b"\0" not in raw:
            ahead.extend(islice(lines, _MAX_JOINED - len(ahead)))
            joined = _joined(text, (following for _, following in ahead), encoding, header)
            if joined is not None:
                fields, used = joined
                for _ in range(used):
                    ahead.popleft()
        yield number, fields, why, text


def _joined(
    text: str, following: Iterable[bytes], encoding: str, header: Header
) -> tuple[list[str], int] | None:
    """The record that starts in ``text`` and goes on in the next lines, and how many of them.

    A lost quote looks like the start of such a value and would swallow the good records up to the
    next lost quote: what holds the delimiters of two records is not one.
    """
    for used, raw in enumerate(following, 1):
        if b"\0" in raw:
            return None
        text = f"{text} {_decoded(raw, encoding)}"
        if text.count(header.delimiter) >= 2 * (header.least - 1) > 0:
            return None
        fields = _split(b"", text, header)[0]
        if fields is not None:
            return fields, used
    return None


def _split(raw: bytes, text: str, header: Header) -> tuple[list[str] | None, str]:
    """The values of a line, as many as the header has names; or None and why."""
    if b"\0" in raw:
        return None, "NUL bytes"
    if len(raw) > MAX_LINE_BYTES:
        return None, f"more than {MAX_LINE_BYTES:,} bytes"
    try:
        fields = next(csv.reader([text], delimiter=header.delimiter, strict=True), [])
    except csv.Error:
        return None, "a quote that does not close"
    width = len(header.names)
    if len(fields) < header.least or any(fields[width:]):
        return None, f"{len(fields)} columns, not {width}"
    return fields[:width] + [""] * (width - len(fields)), ""


def _decoded(raw: bytes, encoding: str) -> str:
    text = raw.decode(encoding, "replace").rstrip("\r\n")
    return text.removeprefix("\ufeff").replace("\r", " ")

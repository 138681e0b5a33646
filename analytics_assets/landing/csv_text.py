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

from analytics_assets.core.source import SourceError
from analytics_assets.core.telling import foreign

_BLOCK = 1 << 22
# A longer line is no record of some sixty short values; reading on would only cost memory.
MAX_LINE_BYTES = 1_000_000
# A value with line breaks in it is put together from at most so many lines.
_MAX_JOINED = 20
_SHOWN = 1000
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Text in UTF-8 with lines, or values, that somebody pasted in from Latin-1.
MIXED = "mixed"
_ODD_BYTES = "odd-bytes-are-latin-1"


def _as_latin(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error(_ODD_BYTES, _as_latin)


class NotText(ValueError):
    """The bytes are not those of a CSV file; says why."""


@dataclass(frozen=True)
class Text:
    """What the bytes are: encoding (as Python and DuckDB call it, or ``MIXED``), lines, NUL bytes
    or not, whether any value may have blanks around it, and whether lines end in CRLF and in LF."""

    encoding: str
    lines: int
    has_nul: bool
    may_have_blanks: bool
    has_mixed_ends: bool = False


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
    encoding, lines, crlf, last = "utf-8", 0, 0, b"\n"
    has_nul = may_have_blanks = False
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            lines += block.count(b"\n")
            crlf += block.count(b"\r\n") + (last == b"\r" and block[:1] == b"\n")
            has_nul = has_nul or b"\0" in block
            last = block[-1:]
            # Most files are nothing but ASCII, which takes a tenth of the time to see.
            is_ascii = block.isascii()
            may_have_blanks = may_have_blanks or not is_ascii or b" " in block
            if encoding == "utf-8" and not (is_ascii and not decoder.getstate()[0]):
                try:
                    decoder.decode(block)
                except UnicodeDecodeError:
                    encoding = _not_utf8(path)
    if decoder.getstate()[0] and encoding == "utf-8":
        encoding = MIXED
    return Text(encoding, lines + (last != b"\n"), has_nul, may_have_blanks, 0 < crlf < lines)


def _not_utf8(path: Path) -> str:
    """What a file is that is not UTF-8 throughout: that, but for some bytes, or Latin-1."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    valid = odd = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            text = decoder.decode(block)
            replaced = text.count("\ufffd") - block.count(b"\xef\xbf\xbd")
            odd += replaced
            valid += len(text) - len(text.encode("ascii", "ignore")) - replaced
    # In Latin-1 two letters stand beside each other by chance that could be one of UTF-8.
    return MIXED if valid > odd else "latin-1"


def read_header(path: Path, encoding: str) -> Header:
    """The first line that is not blank; raises ``NotText``, and ``SourceError`` where the last line
    is cut off."""
    with path.open("rb") as file:
        start = file.read(2)
    if start in _UTF16:
        raise NotText("it is UTF-16 text, not UTF-8 or Latin-1")
    lines = (raw for _, raw in lines_of(path) if raw.strip())
    first, second = next(lines, b""), next(lines, b"")
    if b"\0" in first:
        raise NotText("its header holds NUL bytes, so it is not UTF-8 or Latin-1 text")
    line = decoded(first, encoding)
    if b"\r" in first.rstrip(b"\r\n"):
        raise NotText("its lines end in CR alone, not in LF or CRLF")
    delimiter = max(";,\t|", key=line.count)
    try:
        names = next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise NotText(f"its header cannot be read ({foreign(error)})") from error
    header = Header([name.strip() for name in names], delimiter)
    # R writes its row names in front of the columns, and no name over them.
    wider = Header(["", *header.names], delimiter)
    one = _split(second, decoded(second, encoding), wider)[0]
    if one and one[-1] and header.least == len(header.names) > 1:
        header = wider
    # Where no line is a record, the last one says nothing.
    if '"' in decoded(second, encoding) or _split(b"", decoded(second, encoding), header)[0]:
        _refuse_cut_off(path, encoding, header)
    return header


def _refuse_cut_off(path: Path, encoding: str, header: Header) -> None:
    """``SourceError`` for a file whose last line has no end, and fewer columns or an open quote."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 2 * MAX_LINE_BYTES))
        tail = file.read()
    if tail.endswith((b"\n", b"\r")) or b"\n" not in tail:
        return
    lines = [decoded(raw, encoding) for raw in tail.splitlines()[-_MAX_JOINED:]]
    # A value with line breaks in it ends in the last line.
    ways = (" ".join(lines[at:]) for at in reversed(range(len(lines))))
    raw = tail[tail.rfind(b"\n") + 1 :].replace(b"\0", b"")
    for way in ways:
        fields = _split(b"", way.replace("\0", ""), header)[0]
        if fields is not None:
            return
        if '"' not in way:
            break
    if raw.strip():
        number = sum(1 for _ in lines_of(path))
        raise cut_off(path, f"line {number:,}")


def cut_off(path: Path, where: str) -> SourceError:
    """What is said of a file that ends too early, in any format."""
    return SourceError(f"it ends inside {where}: it was cut off", str(path), "Fetch it again")


def sift(
    path: Path, target: Path, encoding: str, header: Header, without_nul: bool = False
) -> Sifted:
    """Rewrite a file so that any CSV reader reads the same rows from it; ``without_nul``: NUL bytes
    are taken out, and make no line unreadable.

    ``target`` has no header, ``;`` between columns and one line a record, in the order of the
    file: the columns of the header, then the record's number (of an unreadable line, minus the
    line's number) and the unreadable line. Slow, 20 s for a million records: for files that the
    fast reader does not read in full.
    """
    records, unreadable, first = 0, 0, ""
    width = len(header.names)
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\n")
        for line, fields, why, raw in _records(path, encoding, header, without_nul):
            records += 1
            if fields is not None:
                writer.writerow([*fields, records, ""])
                continue
            unreadable += 1
            first = first or f"line {line}: {why}"
            shown = " ".join(raw.replace("\0", "\\0").split())[:_SHOWN]
            writer.writerow([""] * width + [-line, f"line {line} ({why}): {shown}"])
    return Sifted(records, unreadable, first)


def lines_of(path: Path, without_nul: bool = False) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each line; of one that is too long, only a start without line end."""
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            yield number, raw.replace(b"\0", b"") if without_nul else raw
            while len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
                raw = file.readline(MAX_LINE_BYTES + 1)


def _records(
    path: Path, encoding: str, header: Header, without_nul: bool
) -> Iterator[tuple[int, list[str] | None, str, str]]:
    """(line, values or None, why none, text) of each record, blank lines and header left out."""
    lines = ((n, raw) for n, raw in lines_of(path, without_nul) if raw.strip())
    next(lines, None)
    ahead: deque[tuple[int, bytes]] = deque()
    while True:
        ahead.extend(islice(lines, max(0, 1 - len(ahead))))
        if not ahead:
            return
        number, raw = ahead.popleft()
        text = decoded(raw, encoding)
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
        text = f"{text} {decoded(raw, encoding)}"
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


def decoded(raw: bytes, encoding: str) -> str:
    text = (
        raw.decode("utf-8", _ODD_BYTES) if encoding == MIXED else raw.decode(encoding, "replace")
    ).rstrip("\r\n")
    return text.removeprefix("\ufeff").replace("\r", " ")

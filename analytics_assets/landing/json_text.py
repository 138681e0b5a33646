"""The text of a JSON file, before DuckDB reads it.

Belongs here: what no reader takes and no document means: line ends of two kinds, bytes that are not
UTF-8, NUL, halves of a character, and where a file was cut off.
Does not belong here: which fields a document has (``fields.py``).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from uuid import uuid4

from analytics_assets.landing import csv_text

# An escaped backslash, a character of two halves, or a half or a NUL alone, which is no text.
_ESCAPES = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|(\\u0000)"
)
_MAY_HAVE_ESCAPES = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)")
_UNKNOWN = rb"\ufffd"
_WHOLE = re.compile(rb'(?:\xef\xbb\xbf)?\s*(\[|\{\s*"(data|paging)")')
_LONGEST_LAST = 4_194_304


def readable(path: Path, scratch: Path) -> tuple[Path, tuple[str, ...]]:
    """The file itself, or a copy in ``scratch`` that a JSON reader can read, and what was mended.

    ``SourceError`` for a file that ends inside a line.
    """
    text = csv_text.look_at(path)
    _refuse_cut_off(path, text)
    is_plain = text.encoding == "utf-8" and not text.has_nul and not text.has_mixed_ends
    if is_plain and not _has_escapes(path):
        return path, ()
    copy = scratch / f"{uuid4().hex}.json"
    halves = nul = 0
    with copy.open("wb") as file:
        for _, raw in csv_text.lines_of(path):
            nul += raw.count(b"\0")
            line = csv_text.decoded(raw.replace(b"\0", b""), text.encoding).encode()
            line, own_halves, own_nul = _without_escapes(line)
            halves, nul = halves + own_halves, nul + own_nul
            file.write(line + b"\n")
    notes = [f"{halves:,} halves of a character, replaced"] * bool(halves)
    notes += [f"{nul:,} NUL characters, taken out"] * bool(nul)
    if text.encoding != "utf-8":
        notes.append("bytes of Latin-1, read as such")
    return copy, tuple(notes)


def _has_escapes(path: Path) -> bool:
    with path.open("rb") as file:
        before = b""
        while block := file.read(1 << 22):
            if _MAY_HAVE_ESCAPES.search(before + block):
                return True
            before = block[-6:]
    return False


def _without_escapes(line: bytes) -> tuple[bytes, int, int]:
    """The line, and how many halves of characters and NULs it is without."""
    counts = [0, 0]

    def mended(found: re.Match[bytes]) -> bytes:
        if found.group(1):
            counts[0] += 1
            return _UNKNOWN
        if found.group(2):
            counts[1] += 1
            return b""
        return found.group()

    return _ESCAPES.sub(mended, line), counts[0], counts[1]


def is_whole(path: Path) -> bool:
    """Whether the file is an array, or an answer with ``data``, and not a document a line."""
    with path.open("rb") as file:
        return bool(_WHOLE.match(file.read(4096)))


def _refuse_cut_off(path: Path, text: csv_text.Text) -> None:
    """``SourceError`` for what is not closed, or a last line without an end that is no JSON."""
    whole = is_whole(path)
    with path.open("rb") as file:
        start = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        size = file.seek(0, 2)
        file.seek(max(0, size - _LONGEST_LAST))
        tail = file.read().rstrip(b"\0")
    end = tail.rstrip()
    if whole:
        is_cut = not end.endswith(b"]" if start == b"[" else b"}") or (
            size <= _LONGEST_LAST and _ends_early(end)
        )
    else:
        is_cut = bool(end) and not tail.endswith((b"\n", b"\r")) and not _is_json(end)
    if is_cut:
        raise csv_text.cut_off(path, f"line {text.lines:,}")


def _ends_early(whole: bytes) -> bool:
    text = whole.decode("utf-8", "replace").lstrip("\ufeff")
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.pos >= len(text)
    return False


def _is_json(tail: bytes) -> bool:
    """Whether the last line is a value of JSON, or too long to see."""
    line = tail[tail.rfind(b"\n") + 1 :]
    if len(line) >= _LONGEST_LAST:
        return True
    try:
        json.loads(line.decode("utf-8", "replace"))
    except ValueError:
        return False
    return True

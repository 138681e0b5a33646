"""Texts that files do hold, and what is meant to be left of each."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from analytics_assets.core.columns import KEY_LENGTH
from analytics_assets.landing.feed import Feed
from analytics_assets.landing.files import files_of

# Each begins with a letter of its own, so that none is another one when letters lose their case.
ODD = {
    "NUL": "a\0 b\0",
    "half a character": "b cut \ud83d",
    "the other half": "c \ude00 cut",
    "composed": "d \u00e9\u00f1",
    "decomposed": "e e\u0301n\u0303",
    "quotes": "f \"double\" 'single' `back`",
    "right to left": "g \u202e\u05d0\u05d1\u202c\u200f",
    "percent": "h 100% %s %(key)s %%",
    "SQL": "i'; drop table x; -- \\' $$ {value} :name",
    "control": "j \x01\x08\x1b[31m\x7f\x86.",
    "an escape that is none": "k \\u0000 \\N \\",
    "separators": "l ; | , <>& \xa0\u2003.",
    "beyond the first plane": "m \U0001f600\u200d\U0001f468 \ufeff.",
    "as long as a key": "n" * KEY_LENGTH,
}
# Nothing in it repeats, as else PostgreSQL would store it in a few bytes and take it for a key.
LONG = "z" + "".join(sha256(b"%d" % n).hexdigest() for n in range(1_600))[:100_000]


def left_of(text: str, mark: str = "\ufffd") -> str:
    """What is landed of it: NUL is taken out, and half a character becomes this mark of one."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.replace("\0", "").replace("\ufffd", mark).strip()


# So many rows of the file as it was that a share of them says nothing.
_AS_IT_WAS = 600


@dataclass(frozen=True)
class Spoilt:
    """The first file of a feed: to its rows came one for each odd text, which is in all
    ``columns``, and one for each of these with a far too long one there; now it has ``rows``."""

    feed: Feed
    columns: Sequence[str]
    rows: int


def spoil(feed: Feed, read: Sequence[str]) -> Spoilt:
    """Put odd texts into all columns of text of the first file of a feed, in rows like its first.

    ``read``: columns of text that hold a number, a day or JSON.
    """
    path = files_of(feed)[0].path
    rows = _rows(path)
    free = [
        column.name
        for column in feed.columns
        if column.type == "text" and column.name not in (*read, feed.rest)
    ]
    places = {name: _place(feed, name, rows[0]) for name in free}
    odd = [_changed(rows[0], dict.fromkeys(places.values(), text)) for text in ODD.values()]
    for number, place in enumerate(places.values()):
        others = dict.fromkeys(places.values(), f"y {number}")
        odd.append(_changed(rows[0], others | {place: LONG}))
    rows = rows * (1 + _AS_IT_WAS // len(rows)) + odd
    _write(path, rows)
    return Spoilt(feed, free, len(rows))


def _place(feed: Feed, name: str, row: Mapping[str, Any]) -> tuple[str, str]:
    """Where a column stands in a row: in an object of it, or in itself ('')."""
    for nest in ("", *feed.nests):
        inside = row.get(nest, {}) if nest else row
        for theirs in feed.names_of(name):
            if theirs in inside:
                return nest, theirs
    return "", feed.names_of(name)[0]


def _changed(row: Mapping[str, Any], values: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    found = json.loads(json.dumps(row))
    for (nest, name), value in values.items():
        (found[nest] if nest else found)[name] = value
    return found


def _rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file) if path.suffix == ".csv" else map(json.loads, file))


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    if path.suffix == ".csv":
        names = list(dict.fromkeys(name for row in rows for name in row))
        # A file of UTF-8 has no half a character: what writes one has replaced it.
        with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
            writer = csv.DictWriter(file, names, quoting=csv.QUOTE_ALL)
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))

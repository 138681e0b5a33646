"""Files that came out wrong, with names and numbers of made-up persons where other values belong.

Belongs here: the ways in which a good file becomes a bad one, and what was planted in all of them.
Does not belong here: where none of it may turn up (``test_told_values.py``).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

_FIRST = [
    "Zebulon",
    "Ottoline",
    "Quirina",
    "Thaddeus",
    "Wilhelmine",
    "Xanthippe",
    "Bartholomew",
    "Philomena",
]
_LAST = [
    "Quackenbush",
    "Fitzwarren",
    "Oyelaran",
    "Szczepanski",
    "Vandersloot",
    "Abernathy",
    "Nakamurazaki",
]
Rows = list[list[str]]


class Planter:
    """Makes values of persons, and remembers every one."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.words: set[str] = set()

    def person(self) -> str:
        """A number, a name, both, or an address, of somebody else each time."""
        number = str(self.random.randrange(9_110_000_000_000, 9_119_999_999_999))
        first, last = self.random.choice(_FIRST), self.random.choice(_LAST)
        mail = f"{first}.{last}{number[-6:]}@example.org"
        self.words |= {number, first, last}
        return self.random.choice([number, f"{first} {last}", f"{number} {first} {last}", mail])


# ---- tables -------------------------------------------------------------------------------------


def shifted(rows: Rows, planter: Planter) -> Rows:
    """A value too many in the front: all columns stand one place to the right."""
    return [[planter.person(), *row[:-1]] for row in rows]


def widened(rows: Rows, planter: Planter) -> Rows:
    return [[*row[:2], planter.person(), *row[2:]] for row in rows]


def swapped(rows: Rows, planter: Planter) -> Rows:
    """Two columns are exchanged, and a third holds who it was."""
    wide = len(rows[0])
    a, b, who = (planter.random.randrange(wide) for _ in range(3))
    for row in rows:
        row[a], row[b] = row[b], row[a]
        row[who] = planter.person()
    return rows


def some(rows: Rows, planter: Planter) -> Rows:
    """In a tenth of the rows one value is somebody's."""
    for row in planter.random.sample(rows, max(1, len(rows) // 10)):
        row[planter.random.randrange(len(row))] = planter.person()
    return rows


def numbered(rows: Rows, planter: Planter) -> Rows:
    """Every column with numbers holds numbers of persons in a few rows."""
    places = [i for i, value in enumerate(rows[0]) if value.replace(".", "").isdigit()] or [0]
    for row in rows[: max(2, len(rows) // 20)]:
        for place in places:
            row[place] = next(filter(str.isdigit, iter(planter.person, "")))
    return rows


TABLE_WAYS: tuple[Callable[[Rows, Planter], Rows], ...] = (
    shifted, widened, swapped, some, numbered,
)  # fmt: skip


def _columns(text: str) -> tuple[list[str], Rows, str]:
    delimiter = max(";,\t", key=text[: text.index("\n")].count)
    header, *rows = csv.reader(io.StringIO(text), delimiter=delimiter)
    return header, rows, delimiter


def _as_csv(header: list[str], rows: Rows, delimiter: str) -> str:
    written = io.StringIO()
    writer = csv.writer(written, delimiter=delimiter, lineterminator="\n")
    writer.writerows([header, *rows] if header else rows)
    return written.getvalue()


def _spoilt_csv(data: bytes, planter: Planter) -> bytes:
    header, rows, delimiter = _columns(data.decode())
    rows = planter.random.choice(TABLE_WAYS)(rows, planter)
    kind = planter.random.choice(["", "", "", "delimiter", "header", "names", "encoding", "cut"])
    if kind == "delimiter":
        delimiter = "\t" if delimiter != "\t" else ";"
    elif kind == "header":
        header = []
    elif kind == "names":
        header[planter.random.randrange(len(header))] = planter.person()
    text = _as_csv(header, rows, delimiter)
    if kind == "encoding":
        return (
            text.encode("utf-16") if planter.random.random() < 0.5 else b"\xff\xe3" + text.encode()
        )
    if kind == "cut":
        return text.encode()[: -planter.random.randrange(2, 40)] + b'"' + planter.person().encode()
    return text.encode()


# ---- documents and workbooks --------------------------------------------------------------------


def _places(document: Any) -> Iterator[tuple[dict[str, Any], str]]:
    if isinstance(document, dict):
        for name, value in document.items():
            yield document, name
            yield from _places(value)


def _spoilt_json(data: bytes, planter: Planter) -> bytes:
    documents = [json.loads(line) for line in data.splitlines() if line.strip()]
    kind = planter.random.choice(["one", "every", "names", "cut", "quoted"])
    which = planter.random.randrange(1_000)
    share = 0.1 if kind == "one" else 1.0
    for document in documents:
        places = list(_places(document))
        where, name = places[which % len(places)]
        if planter.random.random() <= share:
            where[name] = planter.person()
        if kind == "names":
            document[planter.person()] = planter.person()
    lines = [json.dumps(document) for document in documents]
    if kind == "quoted":
        lines = [line.replace('"', "'", 3) for line in lines]
    text = "\n".join(lines)
    return (text[: -len(lines[-1]) // 2] if kind == "cut" else text).encode()


def _spoilt_workbook(path: Path, planter: Planter) -> None:
    import xlsxwriter
    from python_calamine import CalamineWorkbook

    with CalamineWorkbook.from_path(path) as book:
        sheets = [(n, book.get_sheet_by_name(n).to_python()) for n in book.sheet_names]
    way = planter.random.choice(TABLE_WAYS)
    with xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd"}) as written:
        for name, (header, *rows) in sheets:
            texts = [[cell if isinstance(cell, str) else str(cell) for cell in row] for row in rows]
            spoilt = way([list(row) for row in texts], planter)
            page = written.add_worksheet(name)
            page.write_row(0, 0, header)
            for number, row in enumerate(spoilt, start=1):
                for place, text in enumerate(row):
                    same = place < len(header) and text == texts[number - 1][place]
                    cell = rows[number - 1][place] if same else text
                    page.write(number, place, cell)


def spoil(path: Path, planter: Planter) -> None:
    """Make a bad file of a good one."""
    if path.suffix == ".xlsx":
        _spoilt_workbook(path, planter)
        return
    spoilt = _spoilt_json if path.suffix == ".jsonl" else _spoilt_csv
    path.write_bytes(spoilt(path.read_bytes(), planter))

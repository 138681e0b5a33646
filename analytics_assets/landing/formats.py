"""A file of any known format as a relation of text, in the order of the file.

Belongs here: telling a format, unpacking, and what a damaged file is told by.
Does not belong here: what a column means (``layouts.py``), which files there are (``files.py``).

CSV with ``,`` ``;`` tab or ``|``, in UTF-8 or Latin-1; JSON as lines, an array, or an answer with
``data``; Excel and OpenDocument (the first sheet); Parquet; DBF. Each may be packed by gzip or zip.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb

from analytics_assets import settings
from analytics_assets.core.contracts import quoted
from analytics_assets.core.source import SourceError, SourceHindered
from analytics_assets.core.troubles import is_full
from analytics_assets.landing import csv_text, json_text
from analytics_assets.landing.confined import NOT_THE_FILE, beyond, confined
from analytics_assets.landing.unpacking import (
    AGAIN,
    dbf_as_parquet,
    unpacked,
    write_first_sheet,
)
from analytics_assets.warehouse.session import literal

CSV = (".csv", ".tsv", ".txt")
JSON = (".json", ".jsonl", ".ndjson")
EXCEL = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
FORMATS = (*CSV, *JSON, *EXCEL, ".parquet", ".dbf")
PACKED = (".gz", ".zip")
# What a row has beside the columns of its file.
OF_FILE = ("file_number", "file_row", "file_day", "file_end", "unreadable_line")
# An array of JSON is parsed whole; a longer one is no export of a period.
_LONGEST_DOCUMENT = 268_435_456
_LONGEST_LINE = 4_194_304


@dataclass(frozen=True)
class Relation:
    """Rows of a file: SQL that selects a column of text for each of ``names``, ``file_row`` and
    ``unreadable_line`` (a line that is no row, whose other columns are NULL).

    ``names``: the header in lower case. ``documents``: the one column ``document`` is JSON.
    ``notes``: what was mended so that it can be read. ``blanks``: values may have some around them.
    ``records``: rows that it gives where each line is one, if nobody has counted them yet.
    ``unnumbered``: the same SQL without ``file_row``, where only numbering keeps a session that
    preserves the order of rows from reading in all threads.
    """

    sql: str
    names: tuple[str, ...]
    documents: bool = False
    notes: tuple[str, ...] = ()
    blanks: bool = True
    records: int | None = None
    unnumbered: str = ""


_NO_DOCUMENTS = Relation(
    "select '' as document, 1 as file_row, '' as unreadable_line limit 0", ("document",), True
)


@contextmanager
def opened(session: Any, path: Path, scratch: Path, counted: bool = True) -> Iterator[Relation]:
    """The file's rows, good inside the block; ``SourceError`` that shows no value of the file.

    ``scratch``: a folder for what is unpacked. ``counted``: False where the caller compares what it
    read with ``records``, which saves a pass over the file.
    """
    try:
        suffix = _suffix(path)
        if not path.stat().st_size:
            if suffix not in JSON:
                raise SourceError("the file is empty", str(path), AGAIN)
            # No line is no event: somebody says that nothing happened.
            yield _NO_DOCUMENTS
            return
        is_packed = path.suffix.lower() in PACKED
        inner = unpacked(path, scratch, FORMATS) if is_packed else path
        read = _READERS[inner.suffix.lower()]
        relation = read(session, inner, scratch)
        # One record a line: where it is fewer, a lost quote has swallowed good ones.
        if counted and relation.records not in (None, _records(session, relation)):
            relation = _csv_rows(inner, scratch, line_by_line=True)
        yield relation
    except OSError as error:
        if error.errno in NOT_THE_FILE:
            raise
        raise SourceHindered(
            f"it cannot be read ({error.strerror or type(error).__name__})",
            str(path),
            "Give the user that runs this the right to read it, or fetch it again",
        ) from error
    except SourceError as error:
        # What is told is the file that came, not what was unpacked from it.
        raise error.of(str(path)) from error
    except csv_text.NotText as error:
        raise SourceError(
            str(error), str(path), "Save it as UTF-8 with lines that end in LF"
        ) from error
    except duckdb.OutOfMemoryException as error:
        what = "reading it takes more memory than there is"
        raise beyond(path, what, "ANALYTICS_MEMORY_LIMIT") from error
    except duckdb.Error as error:
        if is_full(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(scratch)) from None
        # What DuckDB says of a line may quote it, and a line may be about a person.
        hidden = ValueError(type(error).__name__)
        raise SourceError(
            "it cannot be read: it is damaged, or not UTF-8, or not of its format", str(path), AGAIN
        ) from hidden


def _suffix(path: Path) -> str:
    """That of the format, without that of the packing."""
    suffixes = [one.lower() for one in path.suffixes]
    return next((one for one in reversed(suffixes) if one not in PACKED), "")


def _csv(session: Any, path: Path, scratch: Path) -> Relation:
    return _csv_rows(path, scratch)


def _csv_rows(path: Path, scratch: Path, line_by_line: bool = False) -> Relation:
    """Rows of a CSV file; ``line_by_line``: those lines apart that are no records."""
    text = csv_text.look_at(path)
    header = csv_text.read_header(path, text.encoding)
    names = _names(path, header.names)
    columns = [f"c{number}" for number in range(len(names))]
    row, unreadable = "row_number() over ()", "cast(null as varchar)"
    records: int | None = text.lines - 1
    if line_by_line or text.has_nul or text.encoding == csv_text.MIXED:
        sifted, records = scratch / f"{uuid4().hex}.csv", None
        csv_text.sift(path, sifted, text.encoding, header, without_nul=True)
        source = read_csv_sql(sifted, [*columns, "row_number", "unreadable"], ";", "utf-8")
        row, unreadable = "abs(cast(row_number as bigint))", "nullif(unreadable, '')"
    else:
        source = read_csv_sql(path, columns, header.delimiter, text.encoding, header=True)
    listed = ", ".join(
        f"{column} as {quoted(name)}" for column, name in zip(columns, names, strict=True)
    )
    rows = f"{unreadable} as unreadable_line from {source}"
    return Relation(
        # The window makes DuckDB read the file in one thread, and so in order.
        f"select {listed}, {row} as file_row, {rows}",
        names,
        notes=_mended(text),
        blanks=text.may_have_blanks,
        records=records,
        unnumbered=f"select {listed}, {rows}" if records is not None else "",
    )


def _mended(text: csv_text.Text) -> tuple[str, ...]:
    """What was done so that the text can be read."""
    odd = ("bytes of Latin-1 in text of UTF-8, read as such",) * (text.encoding == csv_text.MIXED)
    return (*odd, *(("NUL bytes, taken out",) * text.has_nul))


def _records(session: Any, relation: Relation) -> int | None:
    # Columns that nobody asks for are not read, and so not judged.
    counts = f"select count(columns(* exclude file_row)), count(*) from ({relation.sql})"
    try:
        return int(session.execute(counts).fetchone()[-1])
    except duckdb.InvalidInputException:
        return None


def read_csv_sql(
    path: Path, columns: list[str], delimiter: str, encoding: str, header: bool = False
) -> str:
    """Table function of a CSV file that ``csv_text`` has looked at; all columns are text."""
    typed = ", ".join(f"'{column}': 'VARCHAR'" for column in columns)
    # Of mixed text DuckDB says that it is not UTF-8; then it is read line by line.
    known = "utf-8" if encoding == csv_text.MIXED else encoding
    return (
        f"read_csv({literal(str(path))}, auto_detect = false, header = {str(header).lower()},"
        f" delim = {literal(delimiter)}, quote = '\"', escape = '\"', columns = {{{typed}}},"
        f" encoding = '{known}', max_line_size = {2 * csv_text.MAX_LINE_BYTES})"
    )


def _json(session: Any, path: Path, scratch: Path) -> Relation:
    readable, notes = json_text.readable(path, scratch)
    if json_text.is_whole(readable):
        # An array on each line is a whole, too.
        documents = (
            "select cast(unnest(case when json_type(json) = 'ARRAY' then json_extract(json, '$[*]')"
            " when json_exists(json, '$.data') then json_extract(json, '$.data[*]')"
            " else [json] end) as varchar) as document"
            f" from read_json_objects({literal(str(readable))}, format = 'unstructured',"
            f" maximum_object_size = {_LONGEST_DOCUMENT})"
        )
    else:
        # JSON has no control characters, so one can delimit nothing.
        documents = (
            f"select document from read_csv({literal(str(readable))},"
            " columns = {'document': 'varchar'}, header = false, delim = '\x01', quote = '',"
            f" escape = '', auto_detect = false, max_line_size = {_LONGEST_LINE})"
            " where trim(document) <> ''"
        )
    # A plain "and" would look at the type of what is no JSON, which is an error.
    is_one = "case when json_valid(document) then json_type(document) = 'OBJECT' else false end"
    return Relation(
        f"select case when {is_one} then document end as document,"
        f" row_number() over () as file_row,"
        f" case when not {is_one} then document end as unreadable_line"
        f" from ({documents})",
        ("document",),
        documents=True,
        notes=notes,
    )


def _parquet(session: Any, path: Path, scratch: Path) -> Relation:
    source = f"read_parquet({literal(str(path))}, file_row_number = true)"
    described = session.execute(f"describe select * exclude (file_row_number) from {source}")
    own = [(name, kind) for name, kind, *_ in described.fetchall()]
    names = _names(path, [name for name, _ in own])
    listed = ", ".join(
        f"{text_sql(quoted(name), kind)} as {quoted(ours)}"
        for (name, kind), ours in zip(own, names, strict=True)
    )
    return Relation(
        f"select {listed}, file_row_number + 1 as file_row,"
        f" cast(null as varchar) as unreadable_line from {source}",
        names,
    )


def _dbf(session: Any, path: Path, scratch: Path) -> Relation:
    return _parquet(session, dbf_as_parquet(path, scratch), scratch)


def _excel(session: Any, path: Path, scratch: Path) -> Relation:
    target = scratch / f"{uuid4().hex}.csv"
    names = _names(path, confined(write_first_sheet, path, target))
    columns = [f"c{number}" for number in range(len(names))]
    listed = ", ".join(
        f"{column} as {quoted(name)}" for column, name in zip(columns, names, strict=True)
    )
    return Relation(
        f"select {listed}, row_number() over () + 1 as file_row,"
        " cast(null as varchar) as unreadable_line"
        f" from {read_csv_sql(target, columns, ';', 'utf-8')}",
        names,
    )


def text_sql(name: str, kind: str) -> str:
    """Text of a Parquet column as a CSV file would have it: 1, not 1.0 or 1.00, dates without time,
    and nothing for what is no number."""
    if kind in ("DOUBLE", "FLOAT"):
        text, whole = f"cast({name} as varchar)", f"try_cast({name} as bigint)"
        return (
            f"case when {whole} = {name} then cast({whole} as varchar)"
            f" when not isnan({name}) then {text} end"
        )
    if kind.startswith("DECIMAL"):
        return rf"regexp_replace(cast({name} as varchar), '[.]0+$|([.][0-9]*?)0+$', '\1')"
    if kind.startswith("TIMESTAMP"):
        midnight = f"{name} = date_trunc('day', {name})"
        date = f"cast(cast({name} as date) as varchar)"
        return f"case when {midnight} then {date} else cast({name} as varchar) end"
    return f"cast({name} as varchar)"


def _names(path: Path, header: list[str]) -> tuple[str, ...]:
    """The header in lower case; a column without a name is called by its place, and one that is
    called like what we add to a row has an underline before it."""
    most = settings.load().landing_max_columns
    if len(header) > most:
        what = f"it has {len(header):,} columns, more than {most:,}"
        raise beyond(path, what, "LANDING_MAX_COLUMNS")
    lower = (name.strip().lower() for name in header)
    names = [f"_{name}" if name in OF_FILE else name for name in lower]
    doubled = sorted({name for name in names if name and names.count(name) > 1})
    if doubled:
        raise SourceError(
            "its header names a column twice", str(path), "Keep one of the two columns"
        )
    return tuple(name or f"_column_{number}" for number, name in enumerate(names, start=1))


_Reader = Callable[[Any, Path, Path], Relation]
_READERS: dict[str, _Reader] = {
    **dict.fromkeys(CSV, _csv),
    **dict.fromkeys(JSON, _json),
    **dict.fromkeys(EXCEL, _excel),
    ".parquet": _parquet,
    ".dbf": _dbf,
}

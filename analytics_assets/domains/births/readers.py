"""Reading one SINASC file as text.

Belongs here: which columns and rows a file has, and every refusal of its content with the reason.
Does not belong here: which file is of which year (``landing.py``), archives and DBF files
(``unpacking.py``), the lines of a damaged CSV file (``csv_text.py``), the meaning of a column
(``columns.py``).
"""

from __future__ import annotations

import errno
from pathlib import Path
from uuid import uuid4

import duckdb

from analytics_assets.core.contracts import quoted
from analytics_assets.core.source import Landing, SourceError
from analytics_assets.domains.births.columns import COLUMN_NAMES, KNOWN_BUT_LEFT_OUT, RENAMED
from analytics_assets.domains.births.dbc import dbf_inside
from analytics_assets.domains.births.landing import LandedFile
from analytics_assets.landing import csv_text
from analytics_assets.landing.formats import read_csv_sql, text_sql
from analytics_assets.landing.unpacking import AGAIN, dbf_as_parquet, unpacked
from analytics_assets.warehouse.session import literal

# More unreadable lines than this say that the file is not what its name says; a few always pass.
MAX_UNREADABLE_SHARE = 0.05
MAX_UNREADABLE_FEW = 2
# Trouble of this machine, not of the file.
_NOT_THE_FILE = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_NULL = "cast(null as varchar)"


class FileReader:
    """Reads one file; each format ends as a relation of text columns, in the order of the file.

    ``scratch`` is a folder for unpacked files.
    """

    def __init__(self, landing: Landing, file: LandedFile, scratch: Path) -> None:
        self._landing = landing
        self._file = file
        self._scratch = scratch

    def select(self) -> str:
        """SELECT of the file's rows in the shape of ``raw_births``; raises ``SourceError``.

        All values were read once when it returns, so that whatever is wrong with the file is said
        here, where it has a name.
        """
        path = self._file.path
        try:
            with path.open("rb") as file:
                if not file.read(1):
                    raise self._error("the file is empty", AGAIN)
            if self._file.format in ("dbc", "dbf"):
                dbf = dbf_inside(path, self._scratch) if self._file.format == "dbc" else path
                return self._from_parquet(dbf_as_parquet(path, dbf, self._scratch))
            if self._file.format == "parquet":
                return self._from_parquet(path)
            if self._file.format == "csv":
                return self._from_csv(path)
            return self._from_csv(unpacked(path, self._scratch, (".csv",)))
        except OSError as error:
            if error.errno in _NOT_THE_FILE:
                raise
            raise self._error(
                f"it cannot be read ({error.strerror or error})",
                "Give the user that runs this the right to read it, or fetch it again",
            ) from error
        except csv_text.NotText as error:
            raise self._error(str(error), "Save it as UTF-8 with lines that end in LF") from error
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            raise self._error(f"it cannot be read ({str(error).splitlines()[0]})", AGAIN) from error

    def _error(self, what: str, to_do: str) -> SourceError:
        return SourceError(what, str(self._file.path), to_do)

    def _from_parquet(self, path: Path) -> str:
        source = f"read_parquet({literal(str(path))}, file_row_number = true)"
        described = self._landing.session.execute(f"describe select * from {source}").fetchall()
        own = [(name, kind) for name, kind, *_ in described if name != "file_row_number"]
        names = [name.strip().upper() for name, _ in own]
        texts = [f"trim({text_sql(quoted(name), kind)})" for name, kind in own]
        present = self._present(names, texts)
        return self._judged(self._select(source, present, "file_row_number + 1"))

    def _from_csv(self, path: Path) -> str:
        text = csv_text.look_at(path)
        header = csv_text.read_header(path, text.encoding)
        columns = [f"c{index}" for index in range(len(header.names))]
        # Trimming what needs none takes as long as reading it.
        texts = [f"trim({name})" for name in columns] if text.may_have_blanks else columns
        present = self._present([name.upper() for name in header.names], texts)
        source = read_csv_sql(path, columns, header.delimiter, text.encoding, header=True)
        # The window makes DuckDB read the file in one thread, and so in order.
        numbered = f"(select *, row_number() over () as row_number from {source})"
        select = self._select(numbered, present, "row_number")
        # One record a line: where it is fewer, a lost quote has swallowed good ones.
        if not text.has_nul and self._records_read_strictly(select) == text.lines - 1:
            return self._judged(select)
        target = self._scratch / f"{uuid4().hex}.csv"
        self._judge_lines(csv_text.sift(path, target, text.encoding, header), len(columns))
        source = read_csv_sql(target, [*columns, "row_number", "unreadable"], ";", "utf-8")
        row_number = "cast(row_number as bigint)"
        return self._judged(self._select(source, present, row_number, "nullif(unreadable, '')"))

    def _records_read_strictly(self, select: str) -> int | None:
        try:
            return sum(self._landing.read_through(select).values())
        except duckdb.InvalidInputException:
            return None

    def _judge_lines(self, sifted: csv_text.Sifted, width: int) -> None:
        bad = sifted.unreadable
        if bad > max(MAX_UNREADABLE_FEW, MAX_UNREADABLE_SHARE * sifted.records):
            raise self._error(
                f"{bad:,} of {sifted.records:,} lines cannot be split into the header's {width}"
                f" columns; {sifted.first}",
                "Look for another delimiter or lost quotes, or fetch the file again",
            )
        if bad:
            self._landing.report[f"{self._file.path.name}: unreadable lines"] = bad

    def _present(self, names: list[str], expressions: list[str]) -> dict[str, str]:
        """Column -> expression of its text; tells of columns that are missing or unknown."""
        doubled = sorted({name for name in names if name and names.count(name) > 1})
        if doubled:
            raise self._error(
                f"its header names {', '.join(doubled)} twice", "Keep one of the two columns"
            )
        found: dict[str, list[str]] = {}
        # Some files have a column under both of its names: its own goes first.
        for name, expression in sorted(
            zip(names, expressions, strict=True), key=lambda pair: pair[0] in RENAMED
        ):
            found.setdefault(RENAMED.get(name, name), []).append(f"nullif({expression}, '')")
        if "DTNASC" not in found:
            shown = [name for name in names if name]
            raise self._error(
                "it has no column DTNASC (date of birth); its columns are "
                + ", ".join(shown[:12])
                + (" ..." if len(shown) > 12 else ""),
                "Rename its columns to the names of the SINASC layout",
            )
        known = {"", *COLUMN_NAMES, *KNOWN_BUT_LEFT_OUT}
        self._note("columns missing", [name for name in COLUMN_NAMES if name not in found])
        self._note("unknown columns left out", sorted(found.keys() - known))
        return {
            name: f"coalesce({', '.join(found[name])})" for name in COLUMN_NAMES if name in found
        }

    def _note(self, what: str, names: list[str]) -> None:
        if names:
            self._landing.report[f"{self._file.path.name}: {what}"] = ", ".join(names)

    def _select(
        self, source: str, present: dict[str, str], row: str, unreadable: str = _NULL
    ) -> str:
        """The 61 columns, NULL where the file lacks one; ``row`` and ``unreadable`` are SQL."""
        columns = ", ".join(f"{present.get(name, _NULL)} as {name}" for name in COLUMN_NAMES)
        return (
            f"select {columns}, {literal(self._file.path.name)} as source_file,"
            f" {literal(self._file.state)} as source_state, {int(self._file.year)} as source_year,"
            f" {row} as source_row, {unreadable} as unreadable_line from {source}"
        )

    def _judged(self, select: str) -> str:
        """The SELECT, if it gives records of the file's year."""
        rows = self._landing.read_through(select)
        records = sum(rows.values())
        if not records:
            raise self._error("it has a header but no records", AGAIN)
        # Records with a readable date of birth in the year go into a slice of it.
        if records == rows.get(self._file.year, 0):
            ((example,),) = self._landing.session.execute(
                f"select min(DTNASC) from ({select})"
            ).fetchall()
            # Publishing it would put a year without births in the place of a good one.
            raise self._error(
                f"none of its {records:,} records has a date of birth (DTNASC) in"
                f" {self._file.year}; one has {(example or 'none')[:20]}",
                "Name it after the year it holds, or fetch it again",
            )
        return select

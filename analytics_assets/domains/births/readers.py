"""Reading one SINASC file as text.

Belongs here: which columns and rows a file has, and every refusal of its content with the reason.
Does not belong here: which file is of which year (``landing.py``), which records are no births
(``rejected.py``), dates (``dates.py``), the meaning of other columns (``columns.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from analytics_assets.core.contracts import quoted
from analytics_assets.core.source import Landing, SourceError, SourceHindered
from analytics_assets.core.telling import header
from analytics_assets.domains.births.columns import (
    COLUMN_NAMES,
    KNOWN_BUT_LEFT_OUT,
    RENAMED,
    SOURCE_COLUMNS,
)
from analytics_assets.domains.births.dates import day_first_sql, is_month_first
from analytics_assets.domains.births.dbc import dbc_as_parquet
from analytics_assets.domains.births.landing import LandedFile
from analytics_assets.landing.confined import NOT_THE_FILE
from analytics_assets.landing.feed import MISSING
from analytics_assets.landing.formats import Relation, opened
from analytics_assets.landing.unpacking import AGAIN
from analytics_assets.warehouse.session import literal

# Rows that are equal by chance: twins share every field. More of them are a file that was put
# together twice. What has fewer columns than this has equal rows without any fault.
MAX_REPEATED_SHARE = 0.05
MAX_REPEATED_FEW = 2
LEAST_COLUMNS = 10
_DATES = {column.name for column in SOURCE_COLUMNS if column.kind == "date"}
_NULL = "cast(null as varchar)"


class FileReader:
    """Reads one file, once: its text is kept in ``scratch`` in the order of the file."""

    def __init__(self, landing: Landing, file: LandedFile, scratch: Path) -> None:
        self._landing = landing
        self._file = file
        self._scratch = scratch
        self._columns = 0

    def select(self) -> str:
        """SELECT of the file's rows in the shape of ``raw_births``; raises ``SourceError``.

        All values were read when it returns, so that whatever is wrong with the file is said here,
        where it has a name.
        """
        kept: list[str] = []
        rows = 0
        for part in self._file.parts:
            target = literal(str(self._scratch / f"{uuid4().hex}.parquet"))
            written = self._keep(part, target)
            # A line that is no record has the number of its line, with a minus.
            number = f"{rows} + coalesce(abs(source_row), file_row_number + 1)"
            kept.append(
                "select * exclude (file_row_number) replace (case when unreadable_line is null"
                f" then {number} else -({number}) end as source_row)"
                f" from read_parquet({target}, file_row_number = true)"
            )
            rows += written
        if not rows:
            raise self._error("it has a header but no records", AGAIN)
        source = f"({' union all '.join(kept)})"
        columns = ", ".join(self._dated(source))
        select = (
            f"select {columns}, {literal(self._file.path.name)} as source_file,"
            f" {literal(self._file.state)} as source_state, {int(self._file.year)} as source_year,"
            f" source_row, unreadable_line from {source}"
        )
        self._judge(select, source)
        return select

    def _error(self, what: str, to_do: str) -> SourceError:
        return SourceError(what, str(self._file.path), to_do)

    def _keep(self, part: Path, target: str) -> int:
        """Write the text of a file, in its order; its rows."""
        relation = None
        try:
            with self._opened(part, counted=False) as relation:
                rows = self._copy(relation, target)
                if relation.records in (None, rows):
                    return rows
        except SourceError:
            if relation is None:
                raise
            # A line that is no record, which is told when each is counted.
        with self._opened(part) as relation:
            return self._copy(relation, target)

    def _copy(self, relation: Relation, target: str) -> int:
        own = self._present(relation)
        self._note("mended", relation.notes)
        columns = ", ".join(f"{own.get(n, self._missing(n))} as {n}" for n in COLUMN_NAMES)
        # The running number is not told apart: a file put together twice may count on.
        told = [name for name in relation.names if not re.match("contador$|_column_", name)]
        rows = relation.unnumbered or relation.sql
        # Where nothing numbers the rows, the file that is written does.
        row = "cast(null as bigint)" if relation.unnumbered else "cast(file_row as bigint)"
        with _in_order(self._landing.session):
            (written,) = self._landing.session.execute(
                f"copy (select {columns}, {row} as source_row, unreadable_line,"
                f" hash({', '.join(map(quoted, told))}) as same from ({rows}))"
                f" to {target} (format parquet, compression lz4)"
            ).fetchone()
        return int(written)

    @contextmanager
    def _opened(self, part: Path, counted: bool = True) -> Iterator[Relation]:
        """The rows of a file, wherever it had to be unpacked; errors name the file that came."""
        try:
            with part.open("rb") as file:
                file.read(1)
            inner = dbc_as_parquet(part, self._scratch) if part.suffix.lower() == ".dbc" else part
            with opened(self._landing.session, inner, self._scratch, counted) as relation:
                yield relation
        except SourceError as error:
            raise error.of(str(self._file.path)) from error
        except OSError as error:
            if error.errno in NOT_THE_FILE:
                raise
            raise SourceHindered(
                f"it cannot be read ({error.strerror or type(error).__name__})",
                str(self._file.path),
                "Give the user that runs this the right to read it, or fetch it again",
            ) from error

    def _present(self, relation: Relation) -> dict[str, str]:
        """Column -> SQL of its text; tells of columns that are missing or unknown."""
        names = relation.names
        found: dict[str, list[str]] = {}
        # Some files have a column under both of its names: its own goes first.
        for name in sorted(names, key=lambda name: name.upper() in RENAMED):
            ours = RENAMED.get(name.upper(), name.upper())
            found.setdefault(ours, []).append(_text_sql(quoted(name), relation.blanks))
        unnamed = {name for name in found if name.startswith("_COLUMN_")}
        if "DTNASC" not in found:
            # Without a header somebody's data stands there: of other names only the shape is told.
            shown = [header(name.upper()) for name in names if name.upper() not in unnamed]
            raise self._error(
                "it has no column DTNASC (date of birth); its columns are "
                + ", ".join(shown[:12])
                + (" ..." if len(shown) > 12 else ""),
                "Rename its columns to the names of the SINASC layout",
            )
        known = {*COLUMN_NAMES, *KNOWN_BUT_LEFT_OUT, *unnamed}
        self._note("columns missing", [name for name in COLUMN_NAMES if name not in found])
        self._note(
            "unknown columns left out", [header(name) for name in sorted(found.keys() - known)]
        )
        present = {
            name: f"coalesce({', '.join(found[name])})" for name in COLUMN_NAMES if name in found
        }
        self._columns = len(present)
        return present

    def _missing(self, name: str) -> str:
        """What stands for a column that the file lacks: a place is unknown in the file's state."""
        code = self._file.state_code
        return literal(f"{code}0000") if code and name in ("CODMUNNASC", "CODMUNRES") else _NULL

    def _note(self, what: str, names: Sequence[str]) -> None:
        if names:
            self._landing.report[f"{self._file.path.name}: {what}"] = ", ".join(names)

    def _dated(self, source: str) -> list[str]:
        """The columns, with the day before the month."""
        if not is_month_first(self._landing.session, source, self._file.path):
            return list(COLUMN_NAMES)
        self._landing.report[f"{self._file.path.name}: dates"] = "the month stands before the day"
        return [f"{day_first_sql(n)} as {n}" if n in _DATES else n for n in COLUMN_NAMES]

    def _judge(self, select: str, source: str) -> None:
        """``SourceError`` if these are not records, each once; how many are births is reported."""
        by_slice = self._landing.read_through(select)
        rows = sum(by_slice.values())
        # Records with a readable date of birth in the year go into a slice of it.
        rejected = by_slice.get(self._file.year, 0)
        ((repeated,),) = self._landing.session.execute(
            f"select sum(times - 1) from (select count(*) as times from {source}"
            " where DTNASC is not null group by same)"
        ).fetchall()
        repeats = f"{repeated or 0:,} rows equal in every column"
        self._landing.report[f"{self._file.path.name}: rows"] = (
            f"{rows:,} offered = {rows - rejected:,} landed + {rejected:,} rejected; {repeats}"
        )
        few = max(MAX_REPEATED_FEW, MAX_REPEATED_SHARE * rows)
        if (repeated or 0) > few and self._columns >= LEAST_COLUMNS:
            raise self._error(
                f"{repeats} but the running number, of {rows:,}",
                "Look whether it was put together twice, and fetch it again",
            )


@contextmanager
def _in_order(session: Any) -> Iterator[None]:
    """Rows are written in the order in which they are read, by all threads."""
    session.execute("set preserve_insertion_order = true")
    try:
        yield
    finally:
        session.execute("set preserve_insertion_order = false")


def _text_sql(column: str, blanks: bool) -> str:
    """A text without blanks around it, NULL for a word that says that there is nothing."""
    # Trimming what needs none takes a third as long as reading it.
    text = f"trim({column})" if blanks else column
    nothing = ", ".join(map(literal, ("", *MISSING)))
    # Nearly all values begin with a digit, which two comparisons tell.
    return (
        f"case when {text} >= '0' and {text} < ':' then {text}"
        f" when {text} not in ({nothing}) then {text} end"
    )

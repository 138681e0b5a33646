"""The SQL of declarations, tried on empty tables, so that a wrong word is found without data.

Belongs here: whether DuckDB understands what tables and their checks say, and what is told of it
where it does not.
Does not belong here: what a declaration says of itself (``core/validation.py``), or rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from hashlib import sha256

import duckdb

from analytics_assets.core.contracts import quoted, rules
from analytics_assets.core.declaration import Check, Table
from analytics_assets.core.refusals import DeclarationError, nearest_word, refusal
from analytics_assets.core.rollups import build_sql, totals_sql
from analytics_assets.core.sql_files import FileSql
from analytics_assets.warehouse.notes import note, noted
from analytics_assets.warehouse.session import expose, expose_live, expose_tallies

_ALIASES = re.compile(r"\nCandidate tables: (.*)")
_WRONG_NAME = re.compile(
    r'(?:[Cc]olumn(?: named)?|Referenced table|Table with name|Function with name) "?([\w.]+)"?'
)
_NOTE = "bound_sql"
_LINE = re.compile(r"^LINE (\d+):", re.MULTILINE)


def bind(tables: Sequence[Table]) -> None:
    """``DeclarationError`` for the first table whose SQL, checks or expressions are wrong."""
    # A name of Python is no table, though DuckDB would find it.
    config: dict[str, str | bool | int | float | list[str]] = {
        "python_enable_replacements": False,
        "threads": 1,
    }
    with duckdb.connect(config=config) as session:
        session.execute("set variable run_id = ''")
        session.execute("set variable run_time = timestamptz '2000-01-01 00:00:00+00'")
        for table in tables:
            _Binding(session, table).all()


def bind_new(tables: Sequence[Table]) -> None:
    """As ``bind``, of the tables that this home has not bound as they are declared now.

    Binding all takes longer than a night in which nothing is new.
    """
    known = noted(_NOTE)
    words = {table.key: _word(table) for table in tables}
    new = [table for table in tables if known.get(table.key) != words[table.key]]
    if new:
        bind(new)
        # On a disk that is read-only they are bound again.
        with suppress(OSError):
            note(_NOTE, known | words)


def _word(table: Table) -> str:
    """Changes with all that binding looks at."""
    read = [(upstream.key, upstream.meaning.rows["columns"]) for upstream in table.upstream]
    return sha256(
        repr((table.meaning.text, table.alike_in, read, duckdb.__version__)).encode()
    ).hexdigest()


class _Binding:
    """One table, in a session that has empty tables for what it reads."""

    def __init__(self, session: duckdb.DuckDBPyConnection, table: Table) -> None:
        self._session = session
        self._table = table

    def all(self) -> None:
        table = self._table
        read = (*table.upstream, table) if table.reads_itself else table.upstream
        for upstream in read:
            expose(self._session, upstream, ())
        try:
            if table.source is None:
                self._select(build_sql(table))
            expose(self._session, table, ())
            expose_tallies(self._session, table, ())
            expose_live(self._session, table, ())
            self._expressions()
            for check in table.checks:
                self._check(check)
        finally:
            # The next table may not read what this one does.
            for domain in {seen.domain for seen in (*read, table)}:
                self._session.execute(f"drop schema if exists {quoted(domain)} cascade")

    def _select(self, sql: str) -> None:
        given = self._described(sql, "its SQL")
        if self._table.compute:
            return
        lower = [name.lower() for name in given]
        for column in self._table.stored_columns:
            times = lower.count(column.name.lower())
            if times > 1:
                raise self._refused(
                    f"its SQL selects the column {column.name!r} {times} times", sql
                )
            if not times:
                near = nearest_word(column.name, given)
                meant = f"; did you mean its {near!r}?" if near else ""
                raise self._refused(
                    f"its SQL does not select the column {column.name!r}{meant}", sql
                )

    def _expressions(self) -> None:
        """What is spliced into statements over the table itself, or over what it counts."""
        table = self._table
        broken = " or ".join(rule.broken_sql for rule in rules(table)) or "true"
        own = {"a limit of its columns": broken}
        if table.source is None:
            own["its partition"] = table.partition_sql
        if table.slice_sql:
            own["slice_sql"] = table.slice_sql
        if table.alike_in:
            own["alike_in"] = table.alike_in
        for what, expression in own.items():
            self._described(f"select {expression} from {table.sql_name}", what)
        counted = table.measured_from
        if counted:
            if counted.time is None:
                raise table.refused(
                    f"nothing tells the day of a row of {counted.key}, which measured_from names"
                )
            key = table.period.key_sql(counted.time)
            what = f"what its measures count in {counted.key}"
            self._described(totals_sql(table, key, counted), what)

    def _check(self, check: Check) -> None:
        what = f"its check {check.name}"
        names = self._described(check.sql, what)
        for wanted in filter(None, ("_partition", check.told)):
            if wanted not in names:
                raise self._refused(f"{what} does not select {wanted!r}", check.sql)
        if check.at_fault:
            self._described(
                f"select 1 from {self._table.sql_name} as _row, ({check.sql}) as _broken"
                f" where {check.at_fault}",
                f"{what}, at_fault",
            )

    def _described(self, sql: str, what: str) -> list[str]:
        """The columns that a SELECT gives."""
        try:
            if len(self._session.extract_statements(sql)) != 1:
                raise self._refused(f"{what} has to be one statement", sql)
            return [row[0] for row in self._session.execute(f"describe {sql}").fetchall()]
        except duckdb.Error as error:
            said = str(error)
        line = _LINE.search(said)
        why = f"{what}: {_sentence(said, self._words())}"
        raise self._refused(why, sql, int(line[1]) if line else 1)

    def _words(self) -> Iterable[str]:
        seen = (*self._table.upstream, self._table)
        return [
            *(table.sql_name for table in seen),
            *(column.name for table in seen for column in table.stored_columns),
        ]

    def _refused(self, why: str, sql: str, line: int = 1) -> DeclarationError:
        place = sql.place(line) if isinstance(sql, FileSql) else self._table.place
        return refusal(self._table.key, why, place)


def _sentence(said: str, words: Iterable[str]) -> str:
    """What DuckDB says, without its picture of the line, and the word that was meant."""
    what = said.split("\n")[0].split(": ", 1)[-1].split(". You might")[0].rstrip("!. ")
    # So it calls the empty tables that SQL is bound to.
    what = what.replace("Values list", "table")
    if aliases := _ALIASES.search(said):
        words = re.findall(r'"(\w+)"', aliases[1])
    wrong = _WRONG_NAME.search(what)
    if wrong is None or "Ambiguous" in what or "must appear" in what:
        return what
    near = nearest_word(wrong[1], words)
    return f"{what}; did you mean {near!r}?" if near not in ("", wrong[1]) else what

"""The source of behavioural events: the table ``behavioral_events`` of an operational database.

Belongs here: which days it has, when they changed, and the export of one day.
Does not belong here: connections and their errors (``postgres.py``), the rules of an event
(``columns.py``).

Every event belongs to a day: one without a timestamp, or before 2000, to the first day there is,
and one in the future to today, where it breaks the contract instead of passing unseen.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timezone
from pathlib import Path
from typing import IO

import dagster as dg
import psycopg2
from psycopg2 import sql

from analytics_assets.core.contracts import sql_type
from analytics_assets.core.partitions import DAILY, START
from analytics_assets.core.source import Landing, SourceError
from analytics_assets.domains.behavior.columns import EVENT_COLUMNS
from analytics_assets.domains.behavior.postgres import VARIABLE, connected, patiently, source_url
from analytics_assets.landing.scratch import scratch_folder
from analytics_assets.warehouse.session import literal

TABLE = "behavioral_events"
BATCH_ROWS = 10_000
# DuckDB reads no longer lines without larger buffers.
_MAX_ROW_BYTES = 2_000_000
_INTEGERS = ("smallint", "integer", "bigint")
_MOMENTS = ("timestamp with time zone", "timestamp without time zone")
EXPORT_SECONDS = "export seconds"


def utc_today() -> date:
    return datetime.now(timezone.utc).date()


class BehavioralEventsSource:
    """Events by day; ``today`` is the last day that an event can belong to."""

    def __init__(self, today: Callable[[], date] = utc_today) -> None:
        self._today = today

    def inputs(self) -> dict[str, dict[str, str]]:
        """Day -> count of its rows, and the last and the sum of the transactions that wrote them.

        ``xmin``, the transaction that inserted or last updated a row, needs no column that every
        program remembers to set. Their sum also shows an update that began before the newest
        one and was committed after it, which a maximum hides.
        """
        return patiently(self._inputs)

    def _inputs(self) -> dict[str, dict[str, str]]:
        with connected() as connection, connection.cursor() as cursor:
            moment = _layout(cursor)["timestamp"]
            cursor.execute(
                sql.SQL(
                    "select day, count(*), max(written), sum(written) from ("
                    "select xmin::text::bigint as written,"
                    " greatest(least(coalesce(({})::date, %(start)s), %(today)s), %(start)s)"
                    " as day from {}) as rows group by day"
                ).format(sql.SQL(moment), sql.Identifier(TABLE)),
                {"start": START, "today": self._today()},
            )
            return {
                DAILY.key(day): {TABLE: f"{count}-{last}-{int(total):x}"}
                for day, count, last, total in cursor
            }

    @contextmanager
    def land(self, landing: Landing) -> Iterator[list[str]]:
        """A day's events as the database had them at one moment; leaves no file behind."""
        started = time.monotonic()
        tries = 0

        def attempt() -> int:
            nonlocal tries
            tries += 1
            return self._export(landing.key, file)

        with scratch_folder() as scratch:
            file = scratch / f"{landing.key}.csv"
            rows = patiently(attempt)
            seconds = round(time.monotonic() - started, 3)
            landing.report.update({"rows exported": rows, EXPORT_SECONDS: seconds, "tries": tries})
            yield [_read(file)] if rows else []

    def _export(self, day: str, file: Path) -> int:
        """Write the rows of a day, in order of time and id, as CSV; returns how many there are.

        Count and rows come from one snapshot. COPY is one statement, so there are no pages between
        which a row could move, and its rows pass through this process one at a time.
        """
        with connected() as connection, connection.cursor() as cursor:
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
            layout = _layout(cursor)
            where = self._condition(day, layout["timestamp"])
            table = sql.Identifier(TABLE)
            cursor.execute(sql.SQL("select count(*) from {} where ").format(table) + where)
            ((expected,),) = cursor.fetchall()
            columns = sql.SQL(", ").join(sql.SQL(column) for column in layout.values())
            query = sql.SQL(
                'copy (select {} from {} where {} order by "timestamp", "id")'
                " to stdout (format csv)"
            ).format(columns, table, where)
            with file.open("wb") as target:
                counted = _Counted(target, day, expected)
                cursor.copy_expert(query, counted)
        if counted.rows != expected:
            # A server that says it has sent everything, and has not, would be a lost day.
            raise psycopg2.OperationalError(f"{counted.rows} of {expected} rows arrived")
        return expected

    def _condition(self, day: str, moment: str) -> sql.Composable:
        """That a row belongs to a day, so that an index on the timestamp is of use."""
        start, end = DAILY.window(day)
        conditions = []
        # Written as moments of the column's own type: a cast column has no index.
        zone = "+00" if " at time zone " in moment else ""
        bound = sql.SQL('"timestamp" {} {}')
        first = bound.format(sql.SQL(">="), sql.Literal(f"{start} 00:00:00{zone}"))
        last = bound.format(sql.SQL("<"), sql.Literal(f"{end} 00:00:00{zone}"))
        if start > START:
            conditions.append(first)
        if start < self._today():
            conditions.append(last)
        within = sql.SQL(" and ").join(conditions) if conditions else sql.SQL("true")
        if start == START:
            within = sql.SQL('({} or "timestamp" is null)').format(within)
        return within


def _layout(cursor: psycopg2.extensions.cursor) -> dict[str, str]:
    """Column of an event -> SQL that reads it; ``SourceError`` says which columns do not fit."""
    cursor.execute(
        "select attname, format_type(atttypid, null) from pg_attribute"
        " where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped",
        [TABLE],
    )
    present = dict(cursor.fetchall())
    if not present:
        raise _unfit("there is no such table that can be read", f"Create it, or set {VARIABLE}")
    missing = [column.name for column in EVENT_COLUMNS if column.name not in present]
    if missing:
        raise _unfit(
            f"no columns {', '.join(missing)}", "Names are camelCase, as Prisma writes them"
        )
    found = {}
    for column in EVENT_COLUMNS:
        name, kind = f'"{column.name}"', present[column.name].split("(")[0]
        allowed = {"timestamp": _MOMENTS, "integer": _INTEGERS, "bigint": _INTEGERS}.get(
            column.type
        )
        if allowed and present[column.name] not in allowed:
            raise _unfit(f"{column.name} is {kind}", f"It has to be one of: {', '.join(allowed)}")
        if column.type == "timestamp":
            # Without a time zone it is UTC, as Prisma writes it.
            aware = present[column.name] == _MOMENTS[0]
            name = f"{name} at time zone 'UTC'" if aware else name
        found[column.name] = f"{name}::text" if column.type == "text" else name
    return found


def _unfit(what: str, to_do: str) -> SourceError:
    return SourceError(what, f"operational table {TABLE}", to_do)


class _Counted:
    """A file that counts the rows which COPY writes to it, one a call, and says how far it is."""

    def __init__(self, target: IO[bytes], day: str, expected: int) -> None:
        self.rows = 0
        self._target, self._day, self._expected = target, day, expected
        self._log = dg.get_dagster_logger("behavior")

    def write(self, row: bytes) -> int:
        if len(row) > _MAX_ROW_BYTES:
            raise _unfit(
                f"row {self.rows + 1:,} of {self._day} takes {len(row):,} bytes",
                f"Shorten its eventData: at most {_MAX_ROW_BYTES:,} can be read",
            )
        self.rows += 1
        if self.rows % BATCH_ROWS == 0:
            self._log.info("%s: %d of %d rows", self._day, self.rows, self._expected)
        return self._target.write(row)


def _read(file: Path) -> str:
    """SELECT of an exported file: an empty text in quotes is text, without quotes it is NULL."""
    typed = ", ".join(f"'{c.name}': '{sql_type(c).upper()}'" for c in EVENT_COLUMNS)
    return (
        f"select * from read_csv({literal(str(file))}, auto_detect = false, header = false,"
        " delim = ',', quote = '\"', escape = '\"', nullstr = '', allow_quoted_nulls = false,"
        f" new_line = '\\n', max_line_size = {2 * _MAX_ROW_BYTES}, columns = {{{typed}}})"
    )


def prepare_sample() -> None:
    """The generated events where no database is named."""
    from analytics_assets.domains.behavior.sample import generate

    if not os.environ.get(VARIABLE):
        url = source_url()
        if not _has_table():
            print("Generating the sample of behavioural events ...", flush=True)
            generate(url)


def _has_table() -> bool:
    with connected() as connection, connection.cursor() as cursor:
        cursor.execute("select to_regclass(%s)", [TABLE])
        return cursor.fetchone() != (None,)

"""Reading one file of the drop folder as text.

Belongs here: header, lines, duplicates inside a file, and rows without a usable day.
Does not belong here: the mapping of headers (``layouts.py``), what is new in a file
(``landing.py``).
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from analytics_assets import settings
from analytics_assets.core.contracts import quoted
from analytics_assets.core.partitions import START
from analytics_assets.core.source import SourceError
from analytics_assets.domains.clinic.landing import UNDATED, Content, DropFile, Feed
from analytics_assets.domains.clinic.layouts import Layout
from analytics_assets.domains.clinic.words import moment_sql
from analytics_assets.warehouse.audit import fingerprint
from analytics_assets.warehouse.session import literal, open_session

# Changes when another release reads the same file in another way.
READER = "1"
_REJECTED_LINES = "clinic_rejected_lines"


def parsed(session: Any, feed: Feed, file: DropFile) -> str:
    """The name of a temporary table of the file's rows, made once a session; ``SourceError``.

    Columns: ``file_row``, ``day`` (NULL for a row that has none), ``rejected`` (why), the feed's
    own, ``row_name`` (the natural key), ``copies`` (lines with this key; the last one is kept),
    ``versions`` (how many of them differ) and ``unreadable_line``.
    """
    digest = hashlib.sha256(f"{file.path} {file.state}".encode()).hexdigest()[:16]
    name = f"clinic_{feed.name}_{digest}"
    there = session.execute(
        "select 1 from duckdb_tables() where table_name = ? and temporary", [name]
    ).fetchone()
    if there is None:
        header = _header(file)
        layout = _layout(feed, file, header)
        try:
            session.execute(f"create temp table {name} as {_select(feed, file, layout, header)}")
            session.execute(
                f"insert into {name} by name select distinct line as file_row,"
                " 'the line cannot be split into the columns of the header' as rejected,"
                " csv_line as unreadable_line, 1 as copies, 1 as versions"
                f" from {_REJECTED_LINES}"
            )
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            session.execute(f"drop table if exists {name}")
            raise SourceError(
                f"it cannot be read ({str(error).splitlines()[0]})",
                str(file.path),
                "Save it as CSV in UTF-8 and send it again",
            ) from error
        finally:
            session.execute(f"drop table if exists {_REJECTED_LINES}")
            session.execute(f"drop table if exists {_REJECTED_LINES}_scans")
    return name


def look_into(feed: Feed, files: Sequence[DropFile]) -> dict[Path, Content]:
    """File -> what it holds, each read once."""
    found: dict[Path, Content] = {}
    if not files:
        return found
    with open_session(settings.load()) as session:
        for file in files:
            try:
                name = parsed(session, feed, file)
            except SourceError as error:
                found[file.path] = Content(problem=str(error))
                continue
            values = ", ".join(map(quoted, feed.columns))
            rows = session.execute(
                f"select {_day_key_sql(feed)}, count(*),"
                f" sum(hash({values}, rejected, unreadable_line)) from {name} group by 1"
            ).fetchall()
            prints = {day: fingerprint(count, hashes) for day, count, hashes in rows}
            rejected = prints.pop(None, "")
            found[file.path] = Content(dict(sorted(prints.items())), rejected)
            session.execute(f"drop table {name}")
    return found


def _day_key_sql(feed: Feed) -> str:
    key = "strftime(day, '%Y-%m-%d')" if feed.moment else literal(UNDATED)
    return f"case when rejected is null then {key} end"


def _header(file: DropFile) -> list[str]:
    try:
        with file.path.open(encoding="utf-8-sig", newline="") as text:
            names = next(csv.reader(text), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(
            f"its header cannot be read ({error})",
            str(file.path),
            "Save it as CSV in UTF-8 and send it again",
        ) from error
    except OSError as error:
        raise SourceError(
            f"it cannot be read ({error.strerror})",
            str(file.path),
            "Give the user that runs this the right to read it",
        ) from error
    return [name.strip().lower() for name in names]


def _layout(feed: Feed, file: DropFile, header: Sequence[str]) -> Layout:
    if len(set(header)) == len(header):
        for layout in feed.layouts:
            if set(layout.header) <= set(header):
                return layout
    # What stands there instead is not told: without a header it would be somebody's data.
    missing = [name for name in feed.layouts[0].header if name not in header]
    what = (
        f"its header lacks {', '.join(missing)}" if missing else "its header names a column twice"
    )
    raise SourceError(
        what, str(file.path), f"Its first line has to be {','.join(feed.layouts[0].header)}"
    )


def _select(feed: Feed, file: DropFile, layout: Layout, header: Sequence[str]) -> str:
    columns = ", ".join(f"{literal(name)}: 'varchar'" for name in header)
    own = ", ".join(map(quoted, feed.columns))
    rejected, day = "cast(null as varchar)", "cast(null as date)"
    if feed.moment:
        day = f"cast({moment_sql(quoted(feed.moment))} as date)"
        rejected = (
            f"case when {day} is null then '{feed.moment} is no date'"
            f" when {day} < date '{START}' then '{feed.moment} is before {START}' end"
        )
    return f"""
with lines as (
    -- The window makes DuckDB read the file in one thread, and so in order.
    select *, row_number() over () as file_row
    from read_csv(
        {literal(str(file.path))}, columns = {{{columns}}}, header = true, auto_detect = false,
        delim = ',', quote = '"', escape = '"', ignore_errors = true, store_rejects = true,
        rejects_table = '{_REJECTED_LINES}', rejects_scan = '{_REJECTED_LINES}_scans'
    )
),
ours as (
    select file_row, {layout.select_list(feed.columns, frozenset(header))}
    from lines {layout.expand}
),
judged as (
    select file_row, {day} as day, {rejected} as rejected, {own},
        {feed.row_name} as row_name
    from ours
)
select *, cast(null as varchar) as unreadable_line,
    count(*) over same as copies, count(distinct hash({own})) over same as versions
from judged
window same as (partition by row_name, case when rejected is not null then file_row end)
qualify row_number() over (
    partition by row_name, case when rejected is not null then file_row end order by file_row desc
) = 1"""

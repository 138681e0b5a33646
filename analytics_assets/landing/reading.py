"""Reading files of a feed: their rows, which of them are rejected, and which repeat others.

Belongs here: text -> typed rows, why a row is rejected, and the last of equal keys within a file.
Does not belong here: formats (``formats.py``), headers (``fields.py``), what a file is told to hold
(``looking.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb

from analytics_assets import settings
from analytics_assets.core.columns import Column
from analytics_assets.core.contracts import key_rules, quoted, sql_type
from analytics_assets.core.partitions import START
from analytics_assets.landing.feed import Feed
from analytics_assets.landing.fields import Fields, fields_of
from analytics_assets.landing.files import LandedFile
from analytics_assets.landing.formats import OF_FILE, Relation, opened
from analytics_assets.landing.scratch import scratch_folder
from analytics_assets.warehouse.session import literal

# Changes when another release reads the same file in another way.
READER = "5"
UNDATED = "all"
# A row that may move to another day, by a word for its key: keys may be personal.
MOVING = "left(md5(row_name), 16)"
_ZONED = r"[0-9]:[0-9]{2}.*([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)$"
_UNREADABLE = "the line cannot be split into the columns of the header"
_NO_DOCUMENT = "the line is no JSON object"


@contextmanager
def parsed(session: Any, feed: Feed, file: LandedFile) -> Iterator[str]:
    """The name of a temporary view or table of a file's rows.

    Columns: ``file_row``, ``day`` (NULL for a row that has none), ``rejected`` (why), ``record``
    (what a rejected row says), the feed's own, ``row_name`` (the key), and ``copies`` (rows of the
    file with this key, of which this is the last). ``SourceError`` naming what is wrong with it.
    """
    kept, name = literal(str(kept_rows(feed, file))), f"landed_{uuid4().hex[:16]}"
    try:
        session.execute(f"create temp view {name} as from read_parquet({kept})")
    except duckdb.Error:  # not kept, or damaged
        with (
            scratch_folder() as scratch,
            opened_file(session, feed, file, scratch) as one,
            table_of(session, feed, [one]) as name,
        ):
            yield name
    else:
        try:
            yield name
        finally:
            session.execute(f"drop view {name}")


def forget(feed: Feed, file: LandedFile) -> None:
    """Delete what was kept of a file: all of it has landed."""
    kept_rows(feed, file).unlink(missing_ok=True)


@dataclass(frozen=True)
class Opened:
    """A file that can be read, and how its columns become ours."""

    file: LandedFile
    relation: Relation
    fields: Fields


@contextmanager
def opened_file(
    session: Any, feed: Feed, file: LandedFile, scratch: Path, counted: bool = True
) -> Iterator[Opened]:
    with opened(session, file.path, scratch, counted) as relation:
        yield Opened(file, relation, fields_of(feed, relation, file.path))


@contextmanager
def table_of(session: Any, feed: Feed, files: Sequence[Opened]) -> Iterator[str]:
    """The table of the rows of files whose columns become ours in the same way, each with the place
    of its file among them."""
    name = f"landed_{uuid4().hex[:16]}"
    session.execute(f"create temp table {name} as {_select(feed, files)}")
    try:
        yield name
    finally:
        session.execute(f"drop table {name}")


def kept_rows(feed: Feed, file: LandedFile) -> Path:
    """Where the rows of a file wait between the look at it and its landing, for a day at most: then
    what nobody needed is cleared with the rest of the scratch folder."""
    which = sha256(repr((feed.declaration, str(file.path), file.state)).encode()).hexdigest()
    return settings.load().scratch / f"parsed-{which[:32]}.parquet"


def _select(feed: Feed, files: Sequence[Opened]) -> str:
    fields, documents = files[0].fields, files[0].relation.documents
    own = ", ".join(quoted(column.name) for column in feed.columns)
    texts = ", ".join(f"{quoted(c.name)} := {_text(feed, c)}" for c in feed.columns)
    typed = ", ".join(
        f"{_value(feed, column)} as {quoted(column.name)}"
        + (f", {quoted(column.name)} as {_text(feed, column)}" if _converted(feed, column) else "")
        for column in feed.columns
    )
    # A line that is no record is numbered as a line, and others as records: both may be the third.
    alike = "file_number, unreadable_line, "
    alike += (
        "case when rejected is not null then file_row end, row_name" if feed.key else "file_row"
    )
    newest = f"{feed.newest} desc nulls last, " if feed.newest else ""
    lines = " union all by name ".join(_lines(number, one) for number, one in enumerate(files))
    of_file = ", ".join(OF_FILE)
    return f"""
with lines as ({lines}),
fields as (select *{fields.beside} from lines),
ours as (select {of_file}, {fields.select} from fields {fields.expand}),
typed as (select {of_file}, {typed} from ours),
dated as (select *, {feed.day or "cast(null as date)"} as day from typed),
judged as (
    select *, {feed.row_name if feed.key else "cast(null as varchar)"} as row_name,
        {_rejected_sql(feed, documents)} as rejected
    from dated
)
select file_number, file_row, day, rejected, case when rejected is not null then
        coalesce(unreadable_line, cast(to_json(struct_pack({texts})) as varchar)) end as record,
    {own}, row_name, count(*) over (partition by {alike}) as copies
from judged
qualify row_number() over (partition by {alike} order by {newest}file_row desc) = 1"""


def _lines(number: int, one: Opened) -> str:
    """SELECT of a file's rows as text, with its place and the days that its name says."""
    window = one.file.window or (None, None)
    first, end = (f"cast({literal(str(d)) if d else 'null'} as date)" for d in window)
    return (
        f"select *, {number} as file_number, {first} as file_day, {end} as file_end"
        f" from ({one.relation.sql})"
    )


def _converted(feed: Feed, column: Column) -> bool:
    return column.type != "text" or column.name in feed.casts


def _text(feed: Feed, column: Column) -> str:
    """A column as the file has it, over ``typed``."""
    return quoted(f"_text_{column.name}" if _converted(feed, column) else column.name)


def _value(feed: Feed, column: Column) -> str:
    """The value of a column, over its text."""
    text = quoted(column.name)
    if column.name in feed.casts:
        return feed.casts[column.name].replace("{text}", text)
    if column.type == "text":
        return text
    if column.type == "percent" or column.unit in ("percent", "%"):
        text = f"trim(rtrim({text}, '%'))"
    cast = f"try_cast({text} as {sql_type(column)})"
    if column.type in ("integer", "bigint"):
        # DuckDB would round 12.5 to a whole number.
        return f"case when regexp_full_match({text}, '[+-]?[0-9]+([.]0*)?') then {cast} end"
    if column.type == "datetime":
        # DuckDB would drop the offset, and 06:00+02:00 would be the moment 06:00.
        return f"case when not regexp_matches({text}, '{_ZONED}') then {cast} end"
    return cast


def _problems(feed: Feed, documents: bool) -> list[str]:
    """WHEN of each way in which the values of a line are no row of the feed."""
    unreadable = literal(_NO_DOCUMENT if documents else _UNREADABLE)
    cases = [f"when unreadable_line is not null then {unreadable}"]
    for column in feed.columns:
        text, value = _text(feed, column), quoted(column.name)
        zone = " without a time zone" if column.type == "datetime" else ""
        wrong = literal(f"{column.name} is no {column.type}{zone}")
        if not column.nullable:
            cases.append(f"when {text} is null then {literal(f'{column.name} is missing')}")
        if column.max_length is not None:
            long = literal(f"{column.name} has more than {column.max_length:,} characters")
            cases.append(f"when length({value}) > {column.max_length} then {long}")
        if not column.nullable and _converted(feed, column):
            cases.append(f"when {value} is null then {wrong}")
        elif column.type != "text" and column.name not in feed.casts:
            cases.append(f"when {text} is not null and {value} is null then {wrong}")
    too_long = key_rules(feed.columns, feed.unique_columns)
    return [*cases, *(f"when {rule.broken_sql} then {literal(rule.name)}" for rule in too_long)]


def _rejected_sql(feed: Feed, documents: bool) -> str:
    cases = _problems(feed, documents)
    if feed.day:
        what = _dated_by(feed)
        cases.append(f"when day is null then {literal(what + ' is no date')}")
        cases.append(f"when day < date '{START}' then {literal(f'{what} is before {START}')}")
        cases.append(
            "when day < file_day or day >= file_end"
            f" then {literal('it is of another day than the name of the file says')}"
        )
    broken = {**feed.rejects, **feed.refuses}
    cases += [f"when {sql} then {literal(why)}" for why, sql in broken.items()]
    return f"case {' '.join(cases)} end"


def _dated_by(feed: Feed) -> str:
    """The column that dates a row, as far as its SQL tells."""
    words = set(re.findall(r"\w+", feed.day))
    return next((column.name for column in feed.columns if column.name in words), "the day")


def today() -> date:
    """The last day that rows may be of."""
    return date.today()


def due(day: str, last: date) -> bool:
    """Whether rows of this day are landed by now: there is no partition of a later one."""
    return day == UNDATED or START.isoformat() <= day <= last.isoformat()

"""Reading one file of a feed: its rows, which of them are rejected, and which repeat others.

Belongs here: text -> typed rows, why a row is rejected, the last of equal keys within a file, and
the fingerprint of what a file holds, day by day.
Does not belong here: formats (``formats.py``), headers (``fields.py``), what other files hold
(``sources.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
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
from analytics_assets.core.source import SourceError, SourceHindered, place
from analytics_assets.landing.feed import Feed
from analytics_assets.landing.fields import Fields, fields_of
from analytics_assets.landing.files import LandedFile
from analytics_assets.landing.formats import Relation, opened
from analytics_assets.landing.scratch import scratch_folder
from analytics_assets.warehouse.audit import fingerprint
from analytics_assets.warehouse.session import literal

# Changes when another release reads the same file in another way.
READER = "4"
UNDATED = "all"
# A row that may move to another day, by a word for its key: keys may be personal.
MOVING = "left(md5(row_name), 16)"
_ZONED = r"[0-9]:[0-9]{2}.*([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)$"
_UNREADABLE = "the line cannot be split into the columns of the header"
_NO_DOCUMENT = "the line is no JSON object"


@dataclass(frozen=True)
class Content:
    """What a file holds: the fingerprint of each day's rows, how many of each day it offers, and
    the fingerprint of the rejected ones.

    ``rows`` are all that it offers, of which ``rejected_rows`` cannot be landed, most for
    ``reason`` and the first of those in ``first_row``, and ``repeated`` are followed by a row of
    the same key. ``bad``: day -> rejected rows of it ('' where they say none). ``unknown``: columns
    without a name of ours. ``moving``: row -> day, of those that may move to another; ``left``: the
    same with the time of change, as the file had them before it was replaced. ``had``: day ->
    fingerprint -> time of change, of the rows of a day as the file had them then. ``notes``: what
    was mended. ``problem`` says why nothing of the file is landed, ``passes`` that it may
    be another time.
    """

    days: Mapping[str, str] = field(default_factory=dict)
    offered: Mapping[str, int] = field(default_factory=dict)
    rejected: str = ""
    rows: int = 0
    rejected_rows: int = 0
    repeated: int = 0
    bad: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    first_row: int = 0
    moving: Mapping[str, str] = field(default_factory=dict)
    left: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    had: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problem: tuple[str, ...] = ()
    passes: bool = False

    @property
    def refusal(self) -> SourceError:
        """The problem as an error."""
        return (SourceHindered if self.passes else SourceError)(*self.problem)

    @property
    def said(self) -> str:
        """The problem as a sentence; empty: there is none."""
        return str(self.refusal) if self.problem else ""


@contextmanager
def parsed(session: Any, feed: Feed, file: LandedFile) -> Iterator[str]:
    """The name of a temporary view or table of a file's rows.

    Columns: ``file_row``, ``day`` (NULL for a row that has none), ``rejected`` (why), ``record``
    (what a rejected row says), the feed's own, ``row_name`` (the key), and ``copies`` (rows of the
    file with this key, of which this is the last). ``SourceError`` naming what is wrong with it.
    """
    kept, name = literal(str(_kept(feed, file))), f"landed_{uuid4().hex[:16]}"
    try:
        session.execute(f"create temp view {name} as from read_parquet({kept})")
    except duckdb.Error:  # not kept, or damaged
        with _read(session, feed, file, name):
            yield name
    else:
        try:
            yield name
        finally:
            session.execute(f"drop view {name}")


def forget(feed: Feed, file: LandedFile) -> None:
    """Delete what was kept of a file: all of it has landed."""
    _kept(feed, file).unlink(missing_ok=True)


@contextmanager
def _read(session: Any, feed: Feed, file: LandedFile, name: str) -> Iterator[Content]:
    """The table ``name`` of a file's rows; gives what is to be told of how they were read."""
    try:
        with scratch_folder() as scratch, opened(session, file.path, scratch) as relation:
            fields = fields_of(feed, relation, file.path)
            session.execute(f"create temp table {name} as {_select(feed, file, relation, fields)}")
        yield Content(unknown=fields.unknown, notes=relation.notes)
    finally:
        session.execute(f"drop table if exists {name}")


def _kept(feed: Feed, file: LandedFile) -> Path:
    """Where the rows of a file wait between the look at it and its landing, for a day at most: then
    what nobody needed is cleared with the rest of the scratch folder."""
    which = sha256(repr((feed.declaration, str(file.path), file.state)).encode()).hexdigest()
    return settings.load().scratch / f"parsed-{which[:32]}.parquet"


def look_into(session: Any, feed: Feed, file: LandedFile) -> Content:
    """What a file holds; what is wrong with it as a whole is its ``problem``.

    Its rows are kept for the landing that follows: parsing costs more than all else that is done.
    """
    name = f"landed_{uuid4().hex[:16]}"
    try:
        with _read(session, feed, file, name) as read:
            kept = _kept(feed, file)
            draft = kept.with_name(f"{name}.parquet")
            session.execute(f"copy {name} to {literal(str(draft))} (format parquet)")
            draft.replace(kept)
            content = _content(session, feed, name)
    except SourceError as error:
        return Content(problem=error.parts, passes=error.passes)
    why = ""
    if content.reason in feed.refuses:
        why = f"its row {content.first_row:,} cannot be landed, nor the file: {content.reason}"
    elif (
        content.rejected_rows > feed.most_rejected * content.rows
        and feed.day
        and not (file.window or content.days or any(content.bad))
    ):
        # No row says which partition it would hold back.
        why = (
            f"none of its {content.rows:,} rows can be landed, most as {content.reason}, first row"
            f" {content.first_row:,}"
        )
    if why:
        problem = (why, place(file.path), "Look whether it is the right file, and send it again")
        return Content(
            problem=problem,
            rows=content.rows,
            rejected_rows=content.rows,
            rejected=content.rejected,
        )
    return replace(content, unknown=read.unknown, notes=read.notes)


def _content(session: Any, feed: Feed, name: str) -> Content:
    """What the table ``name`` of a file's rows holds."""
    values = ", ".join(quoted(column.name) for column in feed.columns)
    day = "strftime(day, '%Y-%m-%d')" if feed.day else literal(UNDATED)
    rows = session.execute(
        f"select rejected is null, {day}, sum(copies), count(*),"
        f" sum(hash({values}, rejected, record)) from {name} group by 1, 2 order by 2"
    ).fetchall()
    good = {key: (int(copies), count, hashes) for ok, key, copies, count, hashes in rows if ok}
    bad = {key or "": (int(copies), hashes) for ok, key, copies, _, hashes in rows if not ok}
    # Told is the row for which a file is refused, if there is one, or else what most rows have.
    refuses = f"rejected in ({', '.join(map(literal, ['', *feed.refuses]))})"
    reason, first = session.execute(
        f"select rejected, min(file_row) from {name} where rejected is not null"
        f" group by 1 order by {refuses} desc, sum(copies) desc, 2 limit 1"
    ).fetchone() or ("", 0)
    moving = (
        session.execute(
            f"select {MOVING}, {day} from {name} where rejected is null and ({feed.moves})"
        ).fetchall()
        if feed.moves
        else ()
    )
    count = sum(copies for copies, _ in bad.values())
    offered = {key: copies for key, (copies, _, _) in good.items()}
    return Content(
        days={key: fingerprint(n, hashes) for key, (_, n, hashes) in good.items()},
        offered=offered,
        rejected=fingerprint(count, sum(hashes for _, hashes in bad.values())) if bad else "",
        rows=sum(offered.values()) + count,
        rejected_rows=count,
        repeated=sum(copies - n for copies, n, _ in good.values()),
        bad={key: copies for key, (copies, _) in bad.items()},
        reason=reason,
        first_row=first,
        moving=dict(moving),
    )


def _select(feed: Feed, file: LandedFile, relation: Relation, fields: Fields) -> str:
    own = ", ".join(quoted(column.name) for column in feed.columns)
    window = file.window or (None, None)
    file_day, file_end = (f"cast({literal(str(d)) if d else 'null'} as date)" for d in window)
    texts = ", ".join(f"{quoted(c.name)} := {_text(feed, c)}" for c in feed.columns)
    typed = ", ".join(
        f"{_value(feed, column)} as {quoted(column.name)}"
        + (f", {quoted(column.name)} as {_text(feed, column)}" if _converted(feed, column) else "")
        for column in feed.columns
    )
    alike = "case when rejected is not null then file_row end, row_name" if feed.key else "file_row"
    newest = f"{feed.newest} desc nulls last, " if feed.newest else ""
    return f"""
with lines as (select *{fields.beside} from ({relation.sql})),
ours as (select file_row, unreadable_line, {fields.select} from lines {fields.expand}),
typed as (select file_row, unreadable_line, {file_day} as file_day,
    {file_end} as file_end, {typed} from ours),
dated as (select *, {feed.day or "cast(null as date)"} as day from typed),
judged as (
    select *, {feed.row_name if feed.key else "cast(null as varchar)"} as row_name,
        {_rejected_sql(feed, file, relation.documents)} as rejected
    from dated
)
select file_row, day, rejected, case when rejected is not null then
        coalesce(unreadable_line, cast(to_json(struct_pack({texts})) as varchar)) end as record,
    {own}, row_name, count(*) over (partition by {alike}) as copies
from judged
qualify row_number() over (partition by {alike} order by {newest}file_row desc) = 1"""


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


def _rejected_sql(feed: Feed, file: LandedFile, documents: bool) -> str:
    cases = _problems(feed, documents)
    if feed.day:
        what = _dated_by(feed)
        cases.append(f"when day is null then {literal(what + ' is no date')}")
        cases.append(f"when day < date '{START}' then {literal(f'{what} is before {START}')}")
    if file.window:
        first, end = file.window
        cases.append(
            f"when day < date '{first}' or day >= date '{end}'"
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

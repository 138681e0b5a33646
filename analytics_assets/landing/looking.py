"""What a file of a feed holds: how many rows of which days, their fingerprints, and what is wrong.

Belongs here: looking into many files at once, and the judgement of one as a whole.
Does not belong here: reading rows (``reading.py``), what was known before (``known.py``), which
rows count (``sources.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb

from analytics_assets.core.contracts import quoted
from analytics_assets.core.source import SourceError, SourceHindered, place
from analytics_assets.landing.feed import Feed
from analytics_assets.landing.fields import Fields
from analytics_assets.landing.files import LandedFile
from analytics_assets.landing.reading import (
    MOVING,
    UNDATED,
    Opened,
    forget,
    kept_rows,
    opened_file,
    table_of,
)
from analytics_assets.landing.scratch import scratch_folder
from analytics_assets.warehouse.audit import fingerprint
from analytics_assets.warehouse.session import literal


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


def look_into(session: Any, feed: Feed, files: Sequence[LandedFile]) -> dict[LandedFile, Content]:
    """What each file holds; what is wrong with one as a whole is its ``problem``.

    Their rows are kept for the landing that follows: parsing costs more than all else that is done.
    To plan the statement takes as long as to run it over some thousand rows, so files are read by
    one where they can be. One that cannot be read so, or not in full, is read again alone.
    """
    found = _together(session, feed, files) if len(files) > 1 else {}
    return {file: found.get(file) or _alone(session, feed, file) for file in files}


def _alone(session: Any, feed: Feed, file: LandedFile) -> Content:
    forget(feed, file)  # what was read of it beside others may not be all
    try:
        with scratch_folder() as scratch, opened_file(session, feed, file, scratch) as one:
            return _looked(session, feed, [one])[file]
    except SourceError as error:
        return Content(problem=error.parts, passes=error.passes)


def _together(session: Any, feed: Feed, files: Sequence[LandedFile]) -> dict[LandedFile, Content]:
    """What those of the files hold that can be read by few statements."""
    alike: dict[Fields, list[Opened]] = {}
    found: dict[LandedFile, Content] = {}
    with scratch_folder() as scratch, ExitStack() as stack:
        for file in files:
            with suppress(SourceError):
                one = stack.enter_context(opened_file(session, feed, file, scratch, counted=False))
                if not one.fields.expand:
                    alike.setdefault(one.fields, []).append(one)
        for own in alike.values():
            # What DuckDB says may be of any of them.
            with suppress(duckdb.Error, OSError):
                found |= _looked(session, feed, own)
        lines = {one.file: one.relation.records for own in alike.values() for one in own}
    # One record a line: where it is fewer, a lost quote has swallowed good ones.
    return {file: c for file, c in found.items() if lines[file] in (None, c.rows)}


def _looked(session: Any, feed: Feed, files: Sequence[Opened]) -> dict[LandedFile, Content]:
    """What files hold whose columns become ours in the same way."""
    with table_of(session, feed, files) as name:
        for number, one in enumerate(files):
            kept = kept_rows(feed, one.file)
            draft = kept.with_name(f"{name}.parquet")
            rows = f"from {name} where file_number = {number}"
            session.execute(f"copy ({rows}) to {literal(str(draft))} (format parquet)")
            draft.replace(kept)
        found = _contents(session, feed, name)
    return {
        one.file: _judged(feed, one, found.get(number, Content()))
        for number, one in enumerate(files)
    }


def _judged(feed: Feed, read: Opened, content: Content) -> Content:
    """What a file holds, or why nothing of it is landed."""
    file, why = read.file, ""
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
    return replace(content, unknown=read.fields.unknown, notes=read.relation.notes)


def _contents(session: Any, feed: Feed, name: str) -> dict[int, Content]:
    """What the table ``name`` holds of each file, by its place; nothing of one without rows."""
    values = ", ".join(quoted(column.name) for column in feed.columns)
    day = "strftime(day, '%Y-%m-%d')" if feed.day else literal(UNDATED)
    counted: dict[int, list[Any]] = {}
    for number, *row in session.execute(
        f"select file_number, rejected is null, {day}, sum(copies), count(*),"
        f" sum(hash({values}, rejected, record)) from {name} group by all order by 1, 3"
    ).fetchall():
        counted.setdefault(number, []).append(row)
    # Told is the row for which a file is refused, if there is one, or else what most rows have.
    refuses = f"rejected in ({', '.join(map(literal, ['', *feed.refuses]))})"
    reasons: dict[int, tuple[str, int]] = {}
    for number, reason, first in session.execute(
        f"select file_number, rejected, min(file_row) from {name} where rejected is not null"
        f" group by 1, 2 order by {refuses} desc, sum(copies) desc, 3, 2"
    ).fetchall():
        reasons.setdefault(number, (reason, first))
    moving: dict[int, dict[str, str]] = {}
    if feed.moves:
        for number, row, its_day in session.execute(
            f"select file_number, {MOVING}, {day} from {name}"
            f" where rejected is null and ({feed.moves})"
        ).fetchall():
            moving.setdefault(number, {})[row] = its_day
    return {
        number: _content(rows, reasons.get(number, ("", 0)), moving.get(number, {}))
        for number, rows in counted.items()
    }


def _content(rows: Sequence[Any], why: tuple[str, int], moving: Mapping[str, str]) -> Content:
    """What a file holds; ``rows``: of its good and its bad rows of each day how many there are,
    with and without those that repeat others, and the sum of their hashes."""
    good = {key: (int(copies), count, hashes) for ok, key, copies, count, hashes in rows if ok}
    bad = {key or "": (int(copies), hashes) for ok, key, copies, _, hashes in rows if not ok}
    count = sum(copies for copies, _ in bad.values())
    offered = {key: copies for key, (copies, _, _) in good.items()}
    reason, first = why
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
        moving=moving,
    )

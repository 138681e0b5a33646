"""The sources that derive from a feed: which rows of its files are a partition.

Belongs here: what files offer to the warehouse, as ``core.source.Source`` asks.
Does not belong here: names of files (``files.py``), what is in one (``looking.py``), the rows that
are in no table (``rejected.py``).

Of each day every distinct content of a file is an input, by its fingerprint, in the order in which
they came last: a file that is sent again, under whatever name and in whatever order of lines, is
none, unless another came between, and of a corrected file only the days that differ are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

from analytics_assets.core.contracts import quoted, sql_type
from analytics_assets.core.source import Landing, SourceError, Tally, place
from analytics_assets.landing import reading
from analytics_assets.landing.feed import Feed
from analytics_assets.landing.files import LandedFile, files_of, unchanged
from analytics_assets.landing.folder import arrived
from analytics_assets.landing.known import contents
from analytics_assets.landing.looking import Content
from analytics_assets.landing.readable import still_landed
from analytics_assets.landing.reading import UNDATED, due, forget, parsed
from analytics_assets.landing.reports import tell
from analytics_assets.landing.shares import FEW, rejected_share
from analytics_assets.warehouse.audit import rows_of
from analytics_assets.warehouse.session import literal

T = TypeVar("T")
MISSING = "missing"
_REJECTED = "rejected of "
_DAY = "strftime(day, '%Y-%m-%d')"
# Beside its own columns: the file's place in the order of arrival (0: none), and the row in it.
STAGED = "0 as rank, cast(0 as bigint) as copies, cast(0 as bigint) as file_row"


@dataclass(frozen=True)
class Part:
    """Days of a file, with the fingerprints of their rows."""

    file: LandedFile
    days: Mapping[str, str]


@dataclass(frozen=True)
class Look:
    """What was there: file -> what it held, in the order in which they came; partition -> what
    decides its rows, how many rows the files offer for it, and files that may hold some and cannot
    be read. ``named``: partitions that the names of files say. ``rejected``: partition -> files
    with rows that cannot be landed, and how many."""

    where: str
    on: date
    contents: Mapping[LandedFile, Content]
    parts: Mapping[str, Sequence[Part]]
    offered: Mapping[str, int]
    unreadable: Mapping[str, Sequence[LandedFile]]
    named: frozenset[str]
    rejected: Mapping[str, Mapping[LandedFile, Sequence[Tally]]]

    def has(self, key: str) -> bool:
        """Whether a file has rows of a partition, or a name that says it."""
        return key in self.parts or key in self.named


class FileSource:
    """The files of a feed. What they hold of a period is the period: of rows that are equal in the
    key the one counts that came last, and a row that is in no file any more is gone with it."""

    # Whether a partition waits for a file that cannot be read and may hold rows of it: without it
    # the period would be published short, and pass for complete.
    waits = True
    # A day is seldom so large that reading and writing it takes more than one thread.
    side_by_side = True

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self._last: list[Look] = []
        self._rejected_before: dict[str, int] = {}

    # ---- what is there --------------------------------------------------------------------------

    def look(self) -> Look:
        """See which files there are now; only those with news are read."""
        files, day = files_of(self.feed), reading.today()
        known = [(look.where, look.on, list(look.contents)) for look in self._last]
        hindered = any(c.passes for look in self._last for c in look.contents.values())
        if hindered or known != [(self._where, day, files)]:
            self._last[:] = [self._looked(contents(self.feed, files), day)]
        return self._last[0]

    def _seen(self) -> Look:
        """The last look, by which partitions are landed and told: to look for each of them anew
        would ask for all files as often as there are partitions."""
        if self._last and self._last[0].where == self._where:
            return self._last[0]
        return self.look()

    def _looked(self, found: Mapping[LandedFile, Content], day: date) -> Look:
        parts: dict[str, list[Part]] = {}
        offered: dict[str, int] = {}
        for file, days in self.deciding(found, day):
            for key, own in self._by_partition(days).items():
                parts.setdefault(key, []).append(Part(file, own))
        for content in found.values():
            for key, rows in self._by_partition(content.offered).items():
                offered[key] = offered.get(key, 0) + sum(rows.values())
        unreadable: dict[str, list[LandedFile]] = {}
        for file, content in found.items():
            if content.problem and self.waits:
                keys = self._named_by(file) if file.window else parts or [UNDATED]
                # An empty file beside others takes nothing away: nothing more happened.
                for key in (key for key in keys if file.size or key not in parts):
                    unreadable.setdefault(key, []).append(file)
        named = frozenset(key for file in found for key in self._named_by(file))
        rejected: dict[str, dict[LandedFile, list[Tally]]] = {}
        for file, content in found.items():
            for key, tallies in self._tallies(file, content, day).items():
                rejected.setdefault(key, {})[file] = tallies
        return Look(self._where, day, found, parts, offered, unreadable, named, rejected)

    def _tallies(self, file: LandedFile, content: Content, last: date) -> dict[str, list[Tally]]:
        """Partition -> what of a file that has rows of it is rejected: of all its rows, since any
        may be of any partition, and of those that are of this one."""
        if content.problem or not content.rejected_rows:
            return {}
        bad = self._by_partition(
            {day: n for day, n in content.bad.items() if day and due(day, last)}
        )
        good = self._by_partition({day: n for day, n in content.offered.items() if due(day, last)})
        why = content.reason, content.first_row
        whole = Tally(file.path.name, content.rows, content.rejected_rows, *why)
        found = {key: [whole] for key in (*good, *self._named_by(file))}
        for key, days in bad.items():
            rows = sum(days.values())
            offered = rows + sum(good.get(key, {}).values())
            is_told = rows > FEW or not content.days
            if is_told and not file.window and key not in found:
                found[key] = [whole]
            if is_told and not file.window and offered < content.rows:
                own = Tally(f"{file.path.name} of {key}", offered, rows, *why)
                found.setdefault(key, [whole]).append(own)
        return found

    def tallies(self, key: str) -> Iterable[Tally]:
        """Of each file with rows of a partition what of it cannot be landed."""
        look = self._seen()
        files = look.rejected.get(key, {})
        before = self._rejected_before.get(key, 0)
        anew = sum(look.contents[file].rejected_rows for file in files) - before
        for found in files.values():
            for tally in found:
                yield replace(tally, anew=anew)

    def deciding(
        self, found: Mapping[LandedFile, Content], last: date
    ) -> list[tuple[LandedFile, dict[str, str]]]:
        """Files and their days that decide rows, in order: of equal contents those of the file that
        came last, which may take back what was between."""
        newest_first = distinct(reversed(list(found.items())), last)
        return list(reversed(newest_first.items()))

    def _by_partition(self, days: Mapping[str, T]) -> dict[str, dict[str, T]]:
        found: dict[str, dict[str, T]] = {}
        for day, value in days.items():
            found.setdefault(self.partition(day), {})[day] = value
        return found

    def partition(self, day: str) -> str:
        """The partition that a day is of."""
        return day if day == UNDATED else self.feed.period.key(date.fromisoformat(day))

    def _named_by(self, file: LandedFile) -> list[str]:
        """Partitions of the period that the name of a file says, as far as it has come."""
        if not file.window:
            return []
        tomorrow = reading.today() + timedelta(days=1)
        return self.feed.period.keys_between(file.window[0], min(file.window[1], tomorrow))

    def inputs(self) -> Mapping[str, Mapping[str, str]]:
        """Partition -> day -> fingerprints of the contents that files have for it."""
        look = self.look()
        inputs: dict[str, dict[str, str]] = {}
        for key, parts in look.parts.items():
            by_day: dict[str, list[str]] = {}
            for part in parts:
                for day, content in part.days.items():
                    by_day.setdefault(day, []).append(content)
            inputs[key] = {day: self.one_input(found) for day, found in by_day.items()}
        for key, files in look.unreadable.items():
            inputs.setdefault(key, {}).update({file.path.name: file.state for file in files})
        for key in look.named - inputs.keys():
            inputs[key] = {"no rows": "0"}
        for key, bad in look.rejected.items():
            # A file that is mended may have the same good rows as before.
            prints = {f"{_REJECTED}{f.path.name}": look.contents[f].rejected for f in bad}
            inputs.setdefault(key, {}).update(prints)
        for key in set(self.feed.expected() if self.feed.expected else ()) - inputs.keys():
            inputs[key] = {MISSING: self.feed.name}
        return inputs

    def one_input(self, found: Sequence[str]) -> str:
        """The fingerprint of the contents of a day, in the order in which they came."""
        return ",".join(found)

    def arrived(self, key: str, names: Collection[str]) -> datetime | None:
        """When the first file with any of these days came or changed."""
        parts = self._seen().parts.get(key, ())
        return arrived(part.file.path for part in parts if part.days.keys() & set(names))

    def usable(self) -> bool:
        """Whether any file can be landed."""
        return any(not content.problem for content in self.look().contents.values())

    def problems(self) -> list[str]:
        """Files that cannot be read, or are not what they seem; periods that lack one."""
        missing = [key for key, names in self.inputs().items() if MISSING in names]
        found = [content.said for content in self.look().contents.values() if content.problem]
        if missing:
            spans = self.feed.period.spans(missing)
            shown = ", ".join(
                first if first == last else f"{first} to {last}" for first, last in spans
            )
            found.append(f"{self._where}: no file of {shown}")
        return found

    @property
    def _where(self) -> str:
        return place(self.feed.folder.path / self.feed.below)

    # ---- its table ------------------------------------------------------------------------------

    @property
    def declared(self) -> dict[str, Any]:
        """What follows for the table that the files land in."""
        feed = self.feed
        return {
            "columns": feed.landed_columns,
            "unique": self.unique,
            "period": feed.period,
            "time_column": feed.dated.name if feed.day else None,
            "checks": (
                rejected_share(feed.told_rejected, feed.most_rejected),
                *still_landed(feed, self.unique, self.waits),
            ),
        }

    @property
    def unique(self) -> tuple[str, ...]:
        """The columns by which a landed row is known."""
        return self.feed.unique_columns

    def columns(self) -> str:
        """The columns of a row as it lands."""
        return ", ".join(quoted(column.name) for column in self.feed.landed_columns)

    # ---- landing --------------------------------------------------------------------------------

    @contextmanager
    def land(self, landing: Landing) -> Iterator[Sequence[str]]:
        """The partition's rows; ``SourceError`` where it has no file that can be landed."""
        # What the build is recorded with is what was there at the last look.
        look = self._seen()
        if not all(unchanged(part.file) for part in look.parts.get(landing.key, ())):
            look = self.look()
        self._refuse(look, landing.key)
        self._rejected_before[landing.key] = sum(
            rows_of(print_)
            for name, print_ in landing.built_from.items()
            if name.startswith(_REJECTED)
        )
        parts = self.news(look.parts.get(landing.key, ()), landing)
        session, rows = landing.session, f"last_{uuid4().hex[:16]}"
        with self.staged(landing, look, parts) as staged:
            session.execute(f"create temp table {rows} as {self._last_sql(staged)}")
        try:
            self.report(landing, look, parts, rows)
            with self.landed(session, rows) as select:
                yield [select]
        finally:
            session.execute(f"drop table {rows}")

    @contextmanager
    def staged(self, landing: Landing, look: Look, parts: Sequence[Part]) -> Iterator[str]:
        """The table of all rows of these parts, over those that they are put over."""
        session, staged = landing.session, f"staged_{uuid4().hex[:16]}"
        session.execute(f"create temp table {staged} as {self.before_sql(landing)}")
        try:
            for rank, part in enumerate(parts, start=1):
                days = ", ".join(map(literal, part.days))
                with parsed(session, self.feed, part.file) as rows:
                    session.execute(
                        f"insert into {staged} by name select {self._own()}, row_name, copies,"
                        f" {rank} as rank, file_row from {rows} where rejected is null"
                        + (f" and {_DAY} in ({days})" if self.feed.day else "")
                    )
                if part.days.keys() == look.contents[part.file].days.keys():
                    forget(self.feed, part.file)
            yield staged
        finally:
            session.execute(f"drop table {staged}")

    def _refuse(self, look: Look, key: str) -> None:
        for file in look.unreadable.get(key, ()):
            raise look.contents[file].refusal
        if not look.has(key) and self.feed.expected and key in self.feed.expected():
            # Days that lack one say the same, so that people are told of a gap and not of its days.
            raise SourceError(
                f"there is no file of {self._gap(key)}",
                self._where,
                "Send it again; an empty file says that nothing happened",
            )

    def _gap(self, key: str) -> str:
        """The partitions without a file that this one is among, as a span."""
        missing = [key for key, names in self.inputs().items() if MISSING in names]
        spans = self.feed.period.spans({*missing, key})
        first, last = next((a, b) for a, b in spans if a <= key <= b)
        return first if first == last else f"{first} to {last}"

    def news(self, parts: Sequence[Part], landing: Landing) -> Sequence[Part]:
        """What of the files makes the rows of the partition."""
        return parts

    def offered(self, look: Look, key: str, parts: Sequence[Part]) -> int:
        """Rows that the files have for a partition, but for those that cannot be landed."""
        return look.offered.get(key, 0)

    def before_sql(self, landing: Landing) -> str:
        """SELECT of the rows that those of the files are put over: none."""
        columns = ", ".join(
            f"cast(null as {sql_type(column)}) as {quoted(column.name)}"
            for column in self.feed.landed_columns
        )
        return f"select {columns}, '' as row_name, {STAGED} limit 0"

    def _own(self) -> str:
        own = [quoted(column.name) for column in self.feed.columns]
        day = [f"day as {quoted(self.feed.dated.name)}"] if self.feed.day else []
        return ", ".join([*own, *day])

    def _last_sql(self, staged: str) -> str:
        """SELECT of the last row of each key; of all rows where there is no key."""
        if not self.feed.key:
            return f"select * from {staged}"
        newest = f"{self.feed.newest} desc nulls last, " if self.feed.newest else ""
        return (
            f"select * from {staged} qualify row_number() over"
            f" (partition by row_name order by {newest}rank desc, file_row desc) = 1"
        )

    @contextmanager
    def landed(self, session: Any, rows: str) -> Iterator[str]:
        """SELECT of the rows as they land; ``rows``: the table of them."""
        yield f"select {self.columns()} from {rows}"

    def report(self, landing: Landing, look: Look, parts: Sequence[Part], rows: str) -> None:
        """What people should know of the partition; ``rows``: the table of what lands."""
        found = {part.file: look.contents[part.file] for part in parts}
        tell(landing, self.feed, found, self.offered(look, landing.key, parts), rows)


def distinct(
    found: Iterable[tuple[LandedFile, Content]], last: date
) -> dict[LandedFile, dict[str, str]]:
    """File -> those of its days, up to ``last``, whose content no file before it has."""
    days: dict[LandedFile, dict[str, str]] = {}
    seen: set[tuple[str, str]] = set()
    for file, content in found:
        days[file] = {
            day: rows
            for day, rows in content.days.items()
            if due(day, last) and (day, rows) not in seen
        }
        seen.update(days[file].items())
    return days

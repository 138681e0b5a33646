"""The sources that derive from a feed: which rows of its files are a partition.

Belongs here: what files offer to the warehouse, as ``core.source.Source`` asks.
Does not belong here: names of files (``files.py``), what is in one (``reading.py``), the rows that
are in no table (``rejected.py``).

Of each day every distinct content of a file is an input, by its fingerprint: a file that is sent
again, under whatever name and in whatever order of lines, is none, and of a corrected file only the
days that differ are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import uuid4

from analytics_assets.core.contracts import quoted, sql_type
from analytics_assets.core.source import Landing, SourceError
from analytics_assets.landing import reading
from analytics_assets.landing.feed import Feed
from analytics_assets.landing.files import LandedFile, files_of
from analytics_assets.landing.folder import arrived
from analytics_assets.landing.known import contents
from analytics_assets.landing.reading import UNDATED, Content, due, parsed
from analytics_assets.warehouse.session import literal

MISSING = "missing"
_DAY = "strftime(day, '%Y-%m-%d')"
# Beside its own columns: the file's place in the order of arrival (0: none), and the row in it.
_STAGED = "0 as rank, cast(0 as bigint) as copies, cast(0 as bigint) as file_row"


@dataclass(frozen=True)
class Part:
    """Days of a file, with the fingerprints of their rows."""

    file: LandedFile
    days: Mapping[str, str]


class FileSource:
    """The files of a feed. What they hold of a period is the period: of rows that are equal in the
    key the one counts that came last, and a row that is in no file any more is gone with it."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        # What was seen at the last look, for as long as no file has come, changed or gone.
        self._seen: dict[str, Any] = {}

    def contents(self) -> dict[LandedFile, Content]:
        """File -> what it holds, in the order in which they came."""
        files, day = files_of(self.feed), reading.today()
        if self._seen.get("files") != files or self._seen["day"] != day:
            found = contents(self.feed, files)
            self._seen |= {"files": files, "day": day, "contents": found}
            self._seen["parts"] = self._new_in_each(found, day)
        return dict(self._seen["contents"])

    def parts(self) -> list[Part]:
        """The files in the order in which they came, each with the days that it decides."""
        self.contents()
        return list(self._seen["parts"])

    def _new_in_each(self, found: Mapping[LandedFile, Content], day: date) -> list[Part]:
        """Of equal contents that of the file that came last: it may take back what was between."""
        parts = _distinct(reversed(list(found.items())), day)
        return parts[::-1]

    def partition_of(self, day: str) -> str:
        """The key of the partition that a day falls into."""
        return day if day == UNDATED else self.feed.period.key(date.fromisoformat(day))

    def inputs(self) -> Mapping[str, Mapping[str, str]]:
        """Partition -> day -> fingerprints of the contents that files have for it."""
        by_day: dict[str, list[str]] = {}
        for part in self.parts():
            for day, content in part.days.items():
                by_day.setdefault(day, []).append(content)
        inputs: dict[str, dict[str, str]] = {}
        for day, found in by_day.items():
            inputs.setdefault(self.partition_of(day), {})[day] = self.one_input(found)
        for key, files in self._held(inputs).items():
            inputs.setdefault(key, {}).update({file.path.name: file.state for file in files})
        for key in self._without_rows():
            inputs.setdefault(key, {"no rows": "0"})
        for key in set(self.feed.expected() if self.feed.expected else ()) - inputs.keys():
            inputs[key] = {MISSING: self.feed.name}
        return inputs

    def one_input(self, found: Sequence[str]) -> str:
        """The fingerprint of the contents of a day, in the order in which they came."""
        return ",".join(found)

    def _held(self, keys: Collection[str]) -> dict[str, list[LandedFile]]:
        """Partition -> files that cannot be read and may hold rows of it: without them it would be
        published short, and pass for complete."""
        held: dict[str, list[LandedFile]] = {}
        for file, content in self.contents().items():
            if content.problem:
                own = self._keys_of(file) if file.window else keys or [self.partition_of(UNDATED)]
                for key in own:
                    held.setdefault(key, []).append(file)
        return held

    def _keys_of(self, file: LandedFile) -> list[str]:
        """Partitions of the period that the name of a file says, as far as it has come."""
        if not file.window:
            return []
        tomorrow = reading.today() + timedelta(days=1)
        return self.feed.period.keys_between(file.window[0], min(file.window[1], tomorrow))

    def _without_rows(self) -> set[str]:
        """Partitions of files that say by their names what they hold, and hold nothing."""
        return {
            key
            for file, content in self.contents().items()
            if not content.problem
            for key in self._keys_of(file)
        }

    def arrived(self, key: str, names: Collection[str]) -> datetime | None:
        """When the first file with any of these days came or changed."""
        return arrived(part.file.path for part in self.parts() if part.days.keys() & set(names))

    def problems(self) -> list[str]:
        """Files that cannot be read, or are not what they seem; periods that lack one."""
        found = [content.said for content in self.contents().values() if content.problem]
        missing = [key for key, names in self.inputs().items() if MISSING in names]
        if missing:
            spans = self.feed.period.spans(missing)
            shown = ", ".join(
                first if first == last else f"{first} to {last}" for first, last in spans
            )
            found.append(f"{self.feed.folder.path / self.feed.below}: no file of {shown}")
        return found

    @contextmanager
    def land(self, landing: Landing) -> Iterator[Sequence[str]]:
        """The partition's rows; ``SourceError`` where it has no file that can be landed."""
        session, staged = landing.session, f"staged_{uuid4().hex[:16]}"
        parts = self.parts_of(landing)
        for file in self._held([landing.key]).get(landing.key, []):
            raise SourceError(*self.contents()[file].problem)
        if not parts and MISSING in self.inputs().get(landing.key, {}):
            raise SourceError(
                f"there is no file of {landing.key}",
                str(self.feed.folder.path / self.feed.below),
                "Send it again; an empty file says that nothing happened",
            )
        session.execute(f"create temp table {staged} as {self.before_sql(landing)}")
        try:
            for rank, part in enumerate(parts, start=1):
                with parsed(session, self.feed, part.file) as rows:
                    session.execute(
                        f"insert into {staged} by name select {self._own()}, row_name, copies,"
                        f" {rank} as rank, file_row from {rows.name} where rejected is null"
                        + (f" and {_DAY} in ({_listed(part.days)})" if self.feed.day else "")
                    )
            with self.landed(session, staged) as select:
                self.report(landing, parts, staged)
                yield [select]
        finally:
            session.execute(f"drop table if exists {staged}")

    def parts_of(self, landing: Landing) -> list[Part]:
        """What of the files makes the rows of a partition."""
        found = [
            Part(
                part.file,
                {d: c for d, c in part.days.items() if self.partition_of(d) == landing.key},
            )
            for part in self.parts()
        ]
        return [part for part in found if part.days]

    def offered(self, landing: Landing, parts: Sequence[Part]) -> int:
        """Rows that the files have for a partition, but for those that cannot be landed."""
        last = reading.today()
        return sum(
            rows
            for content in self.contents().values()
            for day, rows in content.offered.items()
            if due(day, last) and self.partition_of(day) == landing.key
        )

    @property
    def declared(self) -> dict[str, Any]:
        """What follows for the table that the files land in."""
        feed = self.feed
        plain = set(feed.key) <= {column.name for column in feed.columns}
        return {
            "columns": feed.landed_columns,
            "unique": feed.key if plain else (),
            "period": feed.period,
            "time_column": feed.dated.name if feed.day else None,
        }

    def columns(self) -> str:
        """The columns of a row as it lands."""
        return ", ".join(quoted(column.name) for column in self.feed.landed_columns)

    def _own(self) -> str:
        own = [quoted(column.name) for column in self.feed.columns]
        day = [f"day as {quoted(self.feed.dated.name)}"] if self.feed.day else []
        return ", ".join([*own, *day])

    def before_sql(self, landing: Landing) -> str:
        """SELECT of the rows that those of the files are put over: none."""
        columns = ", ".join(
            f"cast(null as {sql_type(column)}) as {quoted(column.name)}"
            for column in self.feed.landed_columns
        )
        return f"select {columns}, '' as row_name, {_STAGED} limit 0"

    @contextmanager
    def landed(self, session: Any, staged: str) -> Iterator[str]:
        """SELECT of the rows as they land, of what is staged."""
        yield f"select {self.columns()} from ({self.last_sql(staged)})"

    def last_sql(self, staged: str) -> str:
        """SELECT of the last row of each key; of all rows where there is no key."""
        if not self.feed.key:
            return f"select * from {staged}"
        newest = f"{self.feed.newest} desc nulls last, " if self.feed.newest else ""
        return (
            f"select * from {staged} qualify row_number() over"
            f" (partition by row_name order by {newest}rank desc, file_row desc) = 1"
        )

    def report(self, landing: Landing, parts: Sequence[Part], staged: str) -> None:
        """What people should know of the partition."""
        report, session = landing.report, landing.session
        offered = self.offered(landing, parts)
        (landed,) = session.execute(
            f"select count(*) from ({self.last_sql(staged)}) where rank > 0"
        ).fetchone()
        report["files with news"] = ", ".join(part.file.path.name for part in parts) or "none"
        report["rows offered"] = offered
        report["rows landed"] = landed
        report["rows repeated"] = offered - landed
        known = self.contents()
        unknown = sorted({name for part in parts for name in known[part.file].unknown})
        if unknown:
            report["columns left out"] = ", ".join(unknown)
        if self.feed.rest:
            report_rest(landing, staged, self.feed.rest)


class UpsertSource(FileSource):
    """The files of a feed, put over what is live: the file that came last says what a row is, and a
    row that is in no file any more stays as it was."""

    def before_sql(self, landing: Landing) -> str:
        """The partition's live rows."""
        name = self.feed.row_name if self.feed.key else "cast(null as varchar)"
        return f"select {self.columns()}, {name} as row_name, {_STAGED} from ({landing.live})"

    def _new_in_each(self, found: Mapping[LandedFile, Content], day: date) -> list[Part]:
        """Of equal contents that of the file that came first: what is sent again is no news."""
        return _distinct(found.items(), day)

    def one_input(self, found: Sequence[str]) -> str:
        """In any order: what has been put over the live rows is not put over them again."""
        return ",".join(sorted(found))

    def parts_of(self, landing: Landing) -> list[Part]:
        """What the live rows were not built from."""
        known = {
            (day, content)
            for day, found in landing.built_from.items()
            for content in found.split(",")
        }
        found = [
            Part(part.file, {d: c for d, c in part.days.items() if (d, c) not in known})
            for part in super().parts_of(landing)
        ]
        return [part for part in found if part.days]

    def _held(self, keys: Collection[str]) -> dict[str, list[LandedFile]]:
        """None: what is live stays, and the file is named."""
        return {}

    def offered(self, landing: Landing, parts: Sequence[Part]) -> int:
        """Rows of what is new in the files."""
        known = self.contents()
        return sum(known[part.file].offered[day] for part in parts for day in part.days)


def _distinct(found: Iterable[tuple[LandedFile, Content]], last: date) -> list[Part]:
    """Each file with those of its days whose content no file before it has."""
    parts: list[Part] = []
    seen: set[tuple[str, str]] = set()
    for file, content in found:
        days = {
            day: rows
            for day, rows in content.days.items()
            if due(day, last) and (day, rows) not in seen
        }
        seen.update(days.items())
        parts.append(Part(file, days))
    return parts


def report_rest(landing: Landing, staged: str, column: str) -> None:
    """Count the fields that are kept as JSON, by their names alone: values may be personal."""
    found = landing.session.execute(
        f"select field, count(*) from (select unnest(json_keys({quoted(column)})) as field"
        f" from {staged} where {quoted(column)} is not null) group by 1 order by 1 limit 50"
    ).fetchall()
    if found:
        landing.report["other fields, kept as JSON"] = ", ".join(
            f"{name}: {count:,}" for name, count in found
        )


def _listed(days: Mapping[str, str]) -> str:
    return ", ".join(map(literal, days))

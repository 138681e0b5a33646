"""The sources of the clinic: three feeds of a drop folder, and what of it could not be landed.

Belongs here: what the drop folder offers to the warehouse, as ``core.source.Source`` asks, and
how it is merged with what is live.
Does not belong here: file names (``landing.py``), reading a file (``reader.py``).

A row is known by its natural key. The file that came last says what it is; a row that is in no file
any more stays as it was. Of each day every distinct content of a file is an input, by its
fingerprint: a file that is sent again, under whatever name, is none, and of a corrected file only
the days that differ are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from analytics_assets.core.contracts import quoted
from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets.core.source import Landing
from analytics_assets.domains.clinic import pseudonyms
from analytics_assets.domains.clinic.fingerprints import contents
from analytics_assets.domains.clinic.landing import (
    FEEDS,
    UNDATED,
    Content,
    DropFile,
    Feed,
    files_of,
    is_due,
    strange_files,
    today,
)
from analytics_assets.domains.clinic.reader import parsed
from analytics_assets.domains.clinic.words import listed
from analytics_assets.warehouse.landing_folder import arrived
from analytics_assets.warehouse.session import literal

_KEY = "key of the pseudonyms"
_INCOMING, _LANDED = "clinic_incoming", "clinic_landed"
_DAY = "strftime(day, '%Y-%m-%d')"


@dataclass(frozen=True)
class _Part:
    """Days of a file: those whose content no earlier file had."""

    file: DropFile
    days: Mapping[str, str]


class UpsertSource:
    """A feed, by month of its rows; all in one where they have no day."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def _parts(self) -> list[_Part]:
        """The files in the order in which they came, each with what was new in it then."""
        files = files_of(self._feed)
        found = contents(self._feed, files)
        last, parts = today(), []
        seen: set[tuple[str, str]] = set()
        for file in files:
            days = {
                day: content
                for day, content in found[file.path].days.items()
                if is_due(day, last) and (day, content) not in seen
            }
            seen.update(days.items())
            parts.append(_Part(file, days))
        return parts

    def inputs(self) -> Mapping[str, Mapping[str, str]]:
        """Month -> day -> fingerprints of the contents that files have for it."""
        by_day: dict[str, list[str]] = {}
        for part in self._parts():
            for day, content in part.days.items():
                by_day.setdefault(day, []).append(content)
        inputs: dict[str, dict[str, str]] = {}
        for day, found in by_day.items():
            inputs.setdefault(_partition(day), {})[day] = ",".join(sorted(found))
        # Asked for only where there is something to hash.
        key = {_KEY: pseudonyms.check_value()} if inputs else {}
        return {partition: {**days, **key} for partition, days in inputs.items()}

    def arrived(self, key: str, names: Collection[str]) -> datetime | None:
        """When the first file with any of these days came or changed."""
        return arrived(part.file.path for part in self._parts() if part.days.keys() & set(names))

    def problems(self) -> list[str]:
        """Files of the feed that cannot be read."""
        found = contents(self._feed, files_of(self._feed))
        return [content.problem for content in found.values() if content.problem]

    @contextmanager
    def land(self, landing: Landing) -> Iterator[Sequence[str]]:
        """The partition's live rows with what is new in the files put over them."""
        new = self._new(landing)
        session = landing.session
        session.execute(f"create or replace temp table {_INCOMING} as {self._live_sql(landing)}")
        for rank, part in enumerate(new, start=1):
            session.execute(
                f"insert into {_INCOMING} by name"
                f" select {self._columns()}, row_name, {rank} as rank, copies, versions"
                f" from {parsed(session, self._feed, part.file)} where rejected is null"
                + (f" and {_DAY} in ({listed(list(part.days))})" if self._feed.moment else "")
            )
        self._report(landing, new)
        with pseudonyms.keyed(session):
            session.execute(f"create or replace temp table {_LANDED} as {self._merged_sql()}")
        session.execute(f"drop table {_INCOMING}")
        yield [f"select * from {_LANDED}"]
        session.execute(f"drop table {_LANDED}")

    def _new(self, landing: Landing) -> list[_Part]:
        """What the live rows were not built from."""
        known = {
            (day, content)
            for day, found in landing.built_from.items()
            for content in found.split(",")
        }
        found = [
            _Part(
                part.file,
                {
                    day: content
                    for day, content in part.days.items()
                    if _partition(day) == landing.key and (day, content) not in known
                },
            )
            for part in self._parts()
        ]
        return [part for part in found if part.days]

    def _columns(self) -> str:
        day = ("day",) if self._feed.moment else ()
        return ", ".join(map(quoted, (*self._feed.columns, *day)))

    def _live_sql(self, landing: Landing) -> str:
        # Named anew: the key of the hash may have changed since they were landed.
        return (
            f"select {self._columns()}, {self._feed.row_name} as row_name, 0 as rank,"
            f" 1 as copies, 1 as versions from ({landing.live})"
        )

    def _merged_sql(self) -> str:
        """Of each natural key the row that came last."""
        keys = {
            self._feed.key_name: pseudonyms.hash_sql("row_name"),
            "patient_key": pseudonyms.hash_sql("patient_id"),
        }
        hashed = ", ".join(f"{sql} as {name}" for name, sql in keys.items())
        return (
            f"select {self._columns()}, {hashed} from (from {_INCOMING}"
            " qualify row_number() over (partition by row_name order by rank desc) = 1)"
            f" {pseudonyms.PADS_SQL}"
        )

    def _report(self, landing: Landing, new: Sequence[_Part]) -> None:
        report = landing.report
        report["files with news"] = ", ".join(part.file.path.name for part in new) or "none"
        repeated, differing = landing.session.execute(
            "select coalesce(sum(copies - 1), 0), coalesce(sum(versions - 1), 0)"
            f" from {_INCOMING} where rank > 0"
        ).fetchone()
        if repeated:
            report["duplicates inside a file"] = (
                f"{repeated:,} lines repeat an earlier one, {differing:,} with other values; the"
                " last counts"
            )


class RejectedSource:
    """Lines of all files that are in no feed, and files that are not."""

    def _found(self) -> dict[DropFile, tuple[Feed, Content]]:
        found: dict[DropFile, tuple[Feed, Content]] = {}
        for feed in FEEDS:
            files = files_of(feed)
            known = contents(feed, files)
            found |= {file: (feed, known[file.path]) for file in files}
        return found

    def inputs(self) -> Mapping[str, Mapping[str, str]]:
        """File -> fingerprint of what cannot be landed from it, or that it is strange."""
        last, inputs = today(), {path.name: "strange" for path in strange_files()}
        found = self._found()
        if not found and not inputs:
            return {}
        for file, (_, content) in found.items():
            later = [day for day in content.days if not is_due(day, last)]
            if content.problem:
                inputs[file.path.name] = f"unreadable {file.state}"
            elif content.rejected or later:
                inputs[file.path.name] = " ".join([content.rejected, *later[:1], str(len(later))])
        return {UNPARTITIONED.only_key: inputs}

    def problems(self) -> list[str]:
        """Files that are of no feed."""
        return [f"{path}: its name is of no feed" for path in strange_files()]

    @contextmanager
    def land(self, landing: Landing) -> Iterator[Sequence[str]]:
        """File, line, reason and text of each."""
        last = today()
        selects = [
            _nowhere("", path.name, "the name is of no feed: call it <feed>*.csv")
            for path in strange_files()
        ]
        for file, (feed, content) in self._found().items():
            if content.problem:
                selects.append(_nowhere(feed.name, file.path.name, content.problem))
            elif content.rejected or not all(is_due(day, last) for day in content.days):
                pairs = ", ".join(f"{quoted(name)} := {quoted(name)}" for name in feed.columns)
                selects.append(
                    f"select {literal(feed.name)} as feed, {literal(file.path.name)} as file,"
                    " file_row, coalesce(rejected, 'the day has not come yet') as reason,"
                    f" coalesce(unreadable_line, cast(to_json(struct_pack({pairs})) as varchar))"
                    f" as record from {parsed(landing.session, feed, file)}"
                    f" where rejected is not null or day > date '{last}'"
                )
        yield selects


def _nowhere(feed: str, file: str, reason: str) -> str:
    return (
        f"select {literal(feed)} as feed, {literal(file)} as file, cast(null as bigint) as"
        f" file_row, {literal(reason)} as reason, cast(null as varchar) as record"
    )


def _partition(day: str) -> str:
    return day if day == UNDATED else day[:7]

"""Rows and files that are in no table, with the reason.

Belongs here: the table of them, for the feeds of a domain or for a source of its own.
Does not belong here: why a row is rejected (``reading.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from analytics_assets.core.columns import Column
from analytics_assets.core.declaration import Check, Table
from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets.core.source import Landing, Source, place
from analytics_assets.core.table_set import TableSet
from analytics_assets.landing import reading
from analytics_assets.landing.feed import Feed
from analytics_assets.landing.files import LandedFile, files_of, strange_files
from analytics_assets.landing.known import contents
from analytics_assets.landing.looking import Content
from analytics_assets.landing.reading import due, parsed
from analytics_assets.warehouse.session import literal

_LATER = "the day has not come yet"
_REFUSED = "its file is refused"


def rejected_records(tables: TableSet, feeds: Sequence[Feed]) -> Table:
    """``rejected_record``: all rows of these feeds that are in no table, and whole files."""
    return rejected_table(tables, RejectedSource(tuple(feeds)))


def rejected_table(tables: TableSet, source: Source) -> Table:
    """``rejected_record`` of a source that lands its columns, for files that are no feed's.

    Its check warns of every file that is refused; how many rows of a file may be rejected is judged
    where the others land (``shares.py``).
    """
    name = f"{tables.domain}.rejected_record"
    return tables.source(
        "rejected_record",
        source,
        columns=(
            Column("feed", "text", "What it was meant for.", told=True),
            Column("file", "text", "The file.", nullable=False, told=True),
            Column("file_rows", "bigint", "Rows that the file offers.", "rows"),
            Column("file_row", "bigint", "Number of the row, of a line that is no row its line."),
            Column("reason", "text", "Why it is in no table.", nullable=False, told=True),
            Column("record", "text", "The record as JSON, or the line.", personal=True),
        ),
        checks=(
            Check(
                "files_landed",
                "Every file is of a feed and can be read",
                f"""select _partition, feed, file, reason,
    case when feed = '' then file || ': ' || reason else reason end as counted
from {name} where file_row is null order by file, reason""",
                advice="Mend them and send them again, or take them out.",
                blocking=False,
                told="counted",
            ),
        ),
        description="Rows of files that are in no table, with the reason, and whole files.",
    )


class RejectedSource:
    """What of the files of some feeds is in no table."""

    def __init__(self, feeds: tuple[Feed, ...]) -> None:
        self._feeds = feeds

    def _found(self) -> dict[LandedFile, tuple[Feed, Content]]:
        return {
            file: (feed, content)
            for feed in self._feeds
            for file, content in contents(feed, files_of(feed)).items()
        }

    def problems(self) -> list[str]:
        """Files and folders that are of no feed."""
        return [f"{place(path)}: {why}" for path, why in strange_files(self._feeds).items()]

    def inputs(self) -> Mapping[str, Mapping[str, str]]:
        """File -> fingerprint of what cannot be landed from it, or that it is strange."""
        last = reading.today()
        inputs = {path.name: "strange" for path in strange_files(self._feeds)}
        found = self._found()
        if not found and not inputs:
            return {}
        for file, (_, content) in found.items():
            later = [day for day in content.days if not due(day, last)]
            if content.problem:
                inputs[file.path.name] = f"unreadable {file.state}"
            elif content.rejected or later:
                inputs[file.path.name] = " ".join([content.rejected, *later[:1], str(len(later))])
        return {UNPARTITIONED.only_key: inputs}

    @contextmanager
    def land(self, landing: Landing) -> Iterator[Sequence[str]]:
        """File, line, reason and text of each. Only files with news are read again."""
        last, found = reading.today(), self._found()
        wanted = self.inputs().get(UNPARTITIONED.only_key, {})
        known = {name for name, state in wanted.items() if landing.built_from.get(name) == state}
        selects = (
            [f"select * from ({landing.live}) where file in ({_listed(known)})"] if known else []
        )
        selects += [
            _nowhere("", path.name, why)
            for path, why in strange_files(self._feeds).items()
            if path.name not in known
        ]
        with ExitStack() as opened:
            for file, (feed, content) in found.items():
                if file.path.name not in wanted or file.path.name in known:
                    continue
                if content.problem:
                    selects.append(_nowhere(feed.name, file.path.name, content.said))
                if content.problem and not content.rejected:
                    continue
                rows = opened.enter_context(parsed(landing.session, feed, file))
                why = _REFUSED if content.problem else _LATER
                also = "true" if content.problem else f"day > date '{last}'"
                selects.append(
                    f"select {literal(feed.name)} as feed, {literal(file.path.name)} as file,"
                    f" cast({content.rows} as bigint) as file_rows, file_row,"
                    f" coalesce(rejected, {literal(why)}) as reason, record"
                    f" from {rows} where rejected is not null or {also}"
                )
            landing.report["files"] = _account(found)
            yield selects


def _nowhere(feed: str, file: str, reason: str) -> str:
    return (
        f"select {literal(feed)} as feed, {literal(file)} as file, cast(null as bigint) as"
        f" file_rows, cast(null as bigint) as file_row, {literal(reason)} as reason,"
        " cast(null as varchar) as record"
    )


def _listed(names: set[str]) -> str:
    return ", ".join(map(literal, sorted(names)))


def _account(found: Mapping[LandedFile, tuple[Feed, Content]]) -> str:
    """Rows offered = landed + rejected + repeated, file by file."""
    lines = []
    for file, (_, content) in found.items():
        landed = content.rows - content.rejected_rows - content.repeated
        lines.append(
            f"{file.path.name}: {content.rows:,} rows offered = {landed:,} landed +"
            f" {content.rejected_rows:,} rejected + {content.repeated:,} repeated"
        )
    return "\n".join(lines[-50:])

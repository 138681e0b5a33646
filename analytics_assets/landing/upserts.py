"""A source whose files are put over what is live.

Belongs here: which files have news for a partition, and rows that move to another one.
Does not belong here: what is the same for all sources of files (``sources.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from hashlib import sha256

from analytics_assets.core.contracts import quoted
from analytics_assets.core.source import Landing
from analytics_assets.landing.feed import Feed
from analytics_assets.landing.files import LandedFile
from analytics_assets.landing.looking import Content
from analytics_assets.landing.reading import MOVING, due
from analytics_assets.landing.sources import STAGED, FileSource, Look, Part
from analytics_assets.warehouse.session import literal

_MOVED = "moved"
# Time of change, and the place of the file among those of that time.
_Moment = tuple[int, int]


class UpsertSource(FileSource):
    """The files of a feed, put over what is live: the file that came last says what a row is, and a
    row that is in no file any more stays as it was."""

    # A file that cannot be read takes nothing away: it is named, and what is live stays.
    waits = False

    def __init__(self, feed: Feed) -> None:
        super().__init__(feed)
        # Day -> the contents that files have or had for it, in the order in which they came last.
        self._arrivals: dict[str, list[str]] = {}
        # Partition -> day and row of it, where what came last of the row is on another day.
        self._left: dict[str, set[tuple[str, str]]] = {}

    def deciding(
        self, found: Mapping[LandedFile, Content], last: date
    ) -> list[tuple[LandedFile, dict[str, str]]]:
        """Files and their days, in the order in which each content came last: also where that was
        in a file that has been written over since."""
        holders = {one: file for file, content in found.items() for one in content.days.items()}
        parts: dict[tuple[_Moment, LandedFile], dict[str, str]] = {}
        arrivals: dict[str, list[str]] = {}
        for (day, rows), moment in _arrivals(found):
            arrivals.setdefault(day, []).append(rows)
            holder = holders.get((day, rows))
            if holder and due(day, last):
                parts.setdefault((moment, holder), {})[day] = rows
        # At once: partitions that are landed side by side look at them.
        self._arrivals, self._left = arrivals, self._have_left(found)
        return [(file, days) for (_, file), days in parts.items()]

    def news(self, parts: Sequence[Part], landing: Landing) -> Sequence[Part]:
        """What came after all that the live rows were built from, or between: it is put over them
        again with all that came later. A content that comes back is news, if another came since,
        also one that no file has any more."""
        if landing.built_from.get(_MOVED, "") != self._moved(landing.key):
            # A row that comes back to its day is in a content that the day has seen before.
            return parts
        there = {one for part in parts for one in part.days.items()}
        known: set[tuple[str, str]] = set()
        for day in {day for day, _ in there}:
            built = landing.built_from.get(day, "").split(",")
            for rows in self._arrivals.get(day, ()):
                if rows in built:
                    built = built[built.index(rows) + 1 :]
                    known.add((day, rows))
                elif (day, rows) in there:
                    break
        news = [
            Part(part.file, {d: rows for d, rows in part.days.items() if (d, rows) not in known})
            for part in parts
        ]
        return [part for part in news if part.days]

    def inputs(self) -> Mapping[str, Mapping[str, str]]:
        """As of any feed, and which rows have left a day of a partition. Of a day also what no file
        has any more, in the order in which it came: else it would not be known when another came
        back after it."""
        found = {
            key: {name: ",".join(self._arrivals.get(name, (word,))) for name, word in own.items()}
            for key, own in super().inputs().items()
        }
        for key in self._left:
            found.setdefault(key, {})[_MOVED] = self._moved(key)
        return found

    def _moved(self, key: str) -> str:
        """Changes with the rows that have left a partition; empty where none has."""
        rows = self._left.get(key)
        return sha256(repr(sorted(rows)).encode()).hexdigest()[:12] if rows else ""

    def _have_left(self, found: Mapping[LandedFile, Content]) -> dict[str, set[tuple[str, str]]]:
        """Partition -> day and row that are on another day now, by what came last."""
        if not self.feed.moves:
            return {}
        days: dict[str, set[str]] = {}
        last: dict[str, tuple[int, str]] = {}
        for file, content in found.items():
            came = [(row, file.changed, day) for row, day in content.moving.items()]
            came += [(row, changed, day) for row, (day, changed) in content.left.items()]
            for row, changed, day in came:
                days.setdefault(row, set()).add(day)
                if row not in last or changed >= last[row][0]:
                    last[row] = changed, day
        gone: dict[str, set[tuple[str, str]]] = {}
        for row, seen in days.items():
            for day in seen - {last[row][1]}:
                gone.setdefault(self.partition(day), set()).add((day, row))
        return gone

    @contextmanager
    def staged(self, landing: Landing, look: Look, parts: Sequence[Part]) -> Iterator[str]:
        """As of any feed, without the rows that are on another day now."""
        with super().staged(landing, look, parts) as staged:
            left = self._left.get(landing.key, ())
            gone = ", ".join(f"({literal(day)}, {literal(row)})" for day, row in left)
            if gone:
                day = f"strftime({quoted(self.feed.dated.name)}, '%Y-%m-%d')"
                landing.session.execute(f"delete from {staged} where ({day}, {MOVING}) in ({gone})")
            yield staged

    def offered(self, look: Look, key: str, parts: Sequence[Part]) -> int:
        """Rows of what is new in the files."""
        return sum(look.contents[part.file].offered[day] for part in parts for day in part.days)

    def before_sql(self, landing: Landing) -> str:
        """The partition's live rows."""
        name = self.feed.row_name if self.feed.key else "cast(null as varchar)"
        return f"select {self.columns()}, {name} as row_name, {STAGED} from ({landing.live})"


def _arrivals(found: Mapping[LandedFile, Content]) -> list[tuple[tuple[str, str], _Moment]]:
    """(day, fingerprint of its rows) and when it came last, of all that files have or had, in that
    order."""
    last: dict[tuple[str, str], _Moment] = {}
    for number, (file, content) in enumerate(found.items()):
        came = [(one, file.changed) for one in content.days.items()]
        came += [((day, r), at) for day, had in content.had.items() for r, at in had.items()]
        for one, at in came:
            last[one] = max(last.get(one, (0, 0)), (at, number))
    return sorted(last.items(), key=lambda entry: entry[1])

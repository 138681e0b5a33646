"""A source whose files are put over what is live.

Belongs here: which files have news for a partition, and rows that move to another one.
Does not belong here: what is the same for all sources of files (``sources.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256

from analytics_assets.core.contracts import quoted
from analytics_assets.core.source import Landing
from analytics_assets.landing.reading import MOVING
from analytics_assets.landing.sources import STAGED, FileSource, Look, Part
from analytics_assets.warehouse.session import literal

_MOVED = "moved"


class UpsertSource(FileSource):
    """The files of a feed, put over what is live: the file that came last says what a row is, and a
    row that is in no file any more stays as it was."""

    # A file that cannot be read takes nothing away: it is named, and what is live stays.
    waits = False

    def news(self, parts: Sequence[Part], landing: Landing) -> Sequence[Part]:
        """What came after all that the live rows were built from, or between: it is put over them
        again with all that came later. A content that comes back is news, if another came since."""
        if landing.built_from.get(_MOVED, "") != self.inputs()[landing.key].get(_MOVED, ""):
            # A row that comes back to its day is in a content that the day has seen before.
            return parts
        news: list[dict[str, str]] = [{} for _ in parts]
        for day in {day for part in parts for day in part.days}:
            before = landing.built_from.get(day, "").split(",")
            at, is_known = 0, True
            for part, own in zip(parts, news, strict=True):
                if day not in part.days:
                    continue
                is_known = is_known and part.days[day] in before[at:]
                if is_known:
                    at = before.index(part.days[day], at) + 1
                else:
                    own[day] = part.days[day]
        return [Part(p.file, days) for p, days in zip(parts, news, strict=True) if days]

    def inputs(self) -> Mapping[str, Mapping[str, str]]:
        """As of any feed, and which rows have left a day of a partition."""
        found = {key: dict(own) for key, own in super().inputs().items()}
        for key, rows in self._left(self.look()).items():
            digest = sha256(repr(sorted(rows)).encode()).hexdigest()[:12]
            found.setdefault(key, {})[_MOVED] = digest
        return found

    def _left(self, look: Look) -> dict[str, set[tuple[str, str]]]:
        """Partition -> day and row of it, where what came last of the row is on another day."""
        if not self.feed.moves:
            return {}
        days: dict[str, set[str]] = {}
        last: dict[str, tuple[int, str]] = {}
        for file, content in look.contents.items():
            came = [(row, file.changed, day) for row, day in content.moving.items()]
            came += [(row, changed, day) for row, (day, changed) in content.left.items()]
            for row, changed, day in came:
                days.setdefault(row, set()).add(day)
                if row not in last or changed >= last[row][0]:
                    last[row] = changed, day
        found: dict[str, set[tuple[str, str]]] = {}
        for row, seen in days.items():
            for day in seen - {last[row][1]}:
                found.setdefault(self.partition(day), set()).add((day, row))
        return found

    @contextmanager
    def staged(self, landing: Landing, look: Look, parts: Sequence[Part]) -> Iterator[str]:
        """As of any feed, without the rows that are on another day now."""
        with super().staged(landing, look, parts) as staged:
            left = self._left(look).get(landing.key, ())
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

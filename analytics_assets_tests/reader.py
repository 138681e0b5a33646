"""What somebody who reads all published tables of a domain knows, and what follows from it.

What a domain means is typed by hand (``Knowledge``), and not taken from its declarations: which
cells add up, which numbers are equal, what is counted at two places. See ``linear.py``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np

from analytics_assets_tests.linear import Numbers

Name = tuple[str, tuple[str, ...], str, Any]
Rows = Callable[[str], list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Of:
    """What the rows of a table are of: ``kind``, the columns that name one, SQL of the first day
    and ``time`` (day, week, month, year) of a row, and the kind and columns that it is a part of.
    """

    kind: str
    keys: tuple[str, ...]
    time: str
    day: str
    parent: tuple[str, tuple[str, ...]] = ("whole", ())


@dataclass(frozen=True)
class Knowledge:
    """What somebody knows who reads the descriptions of tables and measures.

    ``total``: the measure that counts all; ``same``: measure -> others that are equal; ``within``:
    (part, whole); ``apart``: (one, other, whole of both); ``ranges``: sum -> its count, least and
    most of one; ``decides``: breakdown -> measures that its column is read for; ``elsewhere``: who
    is counted elsewhere, of whom that is known, and the kinds of the two places.
    """

    schema: str
    tables: dict[str, Of]
    measures: Sequence[str]
    total: str
    within: Sequence[tuple[str, str]]
    same: Mapping[str, Sequence[str]] = field(default_factory=dict)
    apart: Sequence[tuple[str, str, str]] = ()
    ranges: Mapping[str, tuple[str, int, int]] = field(default_factory=dict)
    decides: Mapping[str, Sequence[str]] = field(default_factory=dict)
    elsewhere: tuple[str, str, str, str] | None = None
    nowhere: Callable[[str], bool] = lambda place: False

    def first(self, measure: str) -> str:
        """The measure by whose name an equal one goes."""
        return next((name for name, same in self.same.items() if measure in same), measure)

    @property
    def columns(self) -> list[str]:
        """The measures that differ."""
        return [name for name in self.measures if self.first(name) == name]


class Published:
    """The cells of all published tables: name -> its measures, NaN where withheld."""

    def __init__(self, known: Knowledge, rows: Rows) -> None:
        """``rows``: of a SELECT from tables of the schema."""
        self.known = known
        self.at = {m: known.columns.index(known.first(m)) for m in known.measures}
        self.cells: dict[Name, np.ndarray] = {}
        self.parents: dict[tuple[str, tuple[str, ...]], tuple[str, tuple[str, ...]]] = {}
        for table, of in known.tables.items():
            above, up = of.parent
            selected = ", ".join([*of.keys, *up, of.day, *known.measures])
            for row in rows(f"select {selected} from {known.schema}.{table}"):
                keys, more = len(of.keys), len(of.keys) + len(up)
                own = np.full(len(known.columns), np.nan)
                for name, value in zip(known.measures, row[more + 1 :], strict=True):
                    if value is not None:
                        own[self.at[name]] = value
                self.cells[of.kind, row[:keys], of.time, row[more]] = own
                self.parents[of.kind, row[:keys]] = above, row[keys:more]

    def with_every_category(self) -> Published:
        """The same, and a row of nothing for each category that a place does not have.

        A reader of rows cannot tell these from those that are left out.
        """
        filled = copy(self)
        filled.cells, filled.parents = dict(self.cells), dict(self.parents)
        listed = {place[-2:] for kind, place in self.parents if kind == "category"}
        having = {
            (self.parents[kind, place], place[:-2], time, when)
            for kind, place, time, when in self.cells
            if kind == "category"
        }
        for parent, place, time, when in having:
            for category in listed:
                name = ("category", (*place, *category), time, when)
                filled.cells.setdefault(name, np.zeros(len(self.known.columns)))
                filled.parents["category", (*place, *category)] = parent
        return filled

    def withheld(self, truth: Published) -> float:
        """Share of the cells of the truth that are not here."""
        seen = sum(int(np.sum(~np.isnan(values))) for values in self.cells.values())
        return 1 - seen / (len(truth.cells) * len(self.known.columns))

    def years(self) -> list[int]:
        return sorted({name[3].year for name in self.cells if name[2] == "year"})

    def small(self, k: int) -> dict[Name, list[str]]:
        """Measures of cells that nobody may know: small counts."""
        counts = [name for name in self.known.columns if name not in self.known.ranges]
        found = {
            name: [m for m in counts if 0 < values[self.at[m]] < k]
            for name, values in self.cells.items()
        }
        return {name: measures for name, measures in found.items() if measures}


class Attack:
    """On what was published of some years, by somebody who knows what rows ``truth`` has.

    ``measures``: those by which it is tried, the total among them (none: all); what others say is
    left out.
    """

    def __init__(
        self,
        seen: Published,
        truth: Published,
        years: Collection[int],
        k: int,
        measures: Sequence[str] = (),
    ) -> None:
        self._known, self._truth, self._k = truth.known, truth, k
        tried = [m for m in self._known.columns if not measures or m in measures]
        first = {m: self._known.first(m) for m in self._known.measures}
        self._at = {m: tried.index(own) for m, own in first.items() if own in tried}
        self._size = len(tried)
        # In one order, whatever that of the rows was: what a solver does depends on it.
        self.names = sorted((name for name in truth.cells if _of(name, years)), key=repr)
        self.at = {name: n for n, name in enumerate(self.names)}
        chosen = [truth.at[name] for name in tried]
        unknown = np.full(len(self._known.columns), np.nan)
        cells = [seen.cells.get(name, unknown)[chosen] for name in self.names]
        exact = [truth.cells[name][chosen] for name in self.names]
        self.numbers = Numbers(np.concatenate(cells) if cells else np.zeros(0))
        self._exact = np.concatenate(exact) if exact else np.zeros(0)
        self._rows = list(range(0, len(self.names) * self._size, self._size))
        self._add_sums()
        self._add_weeks()
        self._two_places()
        self._within()
        self._decided()
        self._rests = self._add_rests()

    def recovered(self) -> list[tuple[Name, str]]:
        """What nobody may know, and follows."""
        secret = self._secret()
        return [secret[p] for p in self.numbers.computed(secret, self._truths())]

    def _truths(self) -> np.ndarray:
        """Of all numbers; those that are in no table have none."""
        return np.concatenate(
            [self._exact, np.full(len(self.numbers.values) - len(self._exact), np.nan)]
        )

    def with_earlier(self, earlier: Attack, unchanged: Callable[[Name], bool]) -> list:
        """What follows, if one keeps an earlier release and knows what has not changed since: of
        either release, and of the small differences between them."""
        numbers = earlier.numbers
        first = numbers.beside(self.numbers)
        each = np.arange(self._size)
        small: dict[int, tuple[Name, str]] = {}
        for name, row in self.at.items():
            if name not in earlier.at:
                continue
            was, now = earlier._rows[earlier.at[name]] + each, self._rows[row] + first + each
            if unchanged(name):
                numbers.equal(
                    np.tile(each, 2), np.concatenate([was, now]), np.repeat([1.0, -1.0], len(each)),
                    len(each),
                )  # fmt: skip
                continue
            changes = self._truth.cells[name] - earlier._truth.cells[name]
            for measure, at in self._at.items():
                change = changes[self._truth.at[measure]]
                if 0 < abs(change) < self._k and measure not in self._known.ranges:
                    few = numbers.more(1)
                    smaller, larger = (was, now) if change > 0 else (now, was)
                    self._add_up_to(numbers, larger[[at]], [smaller[[at]], few])
                    small[int(few[0])] = name, f"change of {measure}"
        later = {first + position: what for position, what in self._secret().items()}
        secret = earlier._secret() | later | small
        truth = np.full(len(numbers.values), np.nan)
        truth[: len(earlier._exact)] = earlier._exact
        truth[first : first + len(self._exact)] = self._exact
        return [secret[p] for p in numbers.computed(secret, truth)]

    def _secret(self) -> dict[int, tuple[Name, str]]:
        """Position -> what nobody may know: small counts, and small rests of what is told."""
        small = {
            int(self._cells([self.at[name]], measure)[0]): (name, measure)
            for name, measures in self._truth.small(self._k).items()
            for measure in measures
            if name in self.at and measure in self._at
        }
        return small | self._rests

    def _cells(self, rows: Iterable[int], measure: str) -> np.ndarray:
        return np.array([self._rows[row] for row in rows], dtype=int) + self._at[measure]

    # ---- what adds up --------------------------------------------------------------------------

    def _sum(self, parts: Sequence[int], wholes: Sequence[int]) -> None:
        """Of all measures; rows by position."""
        each = np.arange(self._size)
        column = np.concatenate([self._rows[row] + each for row in (*parts, *wholes)])
        weight = np.repeat([1.0] * len(parts) + [-1.0] * len(wholes), self._size)
        self.numbers.equal(np.tile(each, len(parts) + len(wholes)), column, weight, self._size)

    def _add_sums(self) -> None:
        parts: dict[Hashable, list[int]] = defaultdict(list)
        for row, (kind, place, time, when) in enumerate(self.names):
            parent = self._truth.parents[kind, place]
            if kind != "whole":
                which = kind, place[-2] if kind == "category" else ""
                parts[which, (*parent, time, when)].append(row)
                if time == "day":
                    monday = when - timedelta(when.weekday())
                    parts[which, (*parent, "week", monday)].append(row)
            if time == "day":
                parts["days", (kind, place, "month", when.replace(day=1))].append(row)
            if time == "month":
                parts["months", (kind, place, "year", when.replace(month=1))].append(row)
        for (_, whole), rows in parts.items():  # type: ignore[misc]
            if whole in self.at:
                self._sum(rows, [self.at[whole]])

    def _add_weeks(self) -> None:
        """Weeks and months of a place share parts; those of a state's places are its days."""
        of_parent: dict[Hashable, list[int]] = defaultdict(list)
        of_month: dict[Name, list[int]] = defaultdict(list)
        for row, (kind, place, time, monday) in enumerate(self.names):
            if time != "week" or (kind, "month") not in self._times():
                continue
            parts = []
            for first in sorted({(monday + timedelta(n)).replace(day=1) for n in range(7)}):
                month: Name = (kind, place, "month", first)
                outside = (kind, place, "year", first.replace(month=1)) not in self.at
                if month in self.at or outside:
                    parts.append(self._new_row())
                if month in self.at:
                    of_month[month].append(parts[-1])
                    of_parent[self._truth.parents[kind, place], monday, first].append(parts[-1])
            self._sum(parts, [row])
        for month, parts in of_month.items():
            self._sum(parts, [self.at[month]])
        for (parent, monday, first), parts in of_parent.items():  # type: ignore[misc]
            days = [monday + timedelta(n) for n in range(7)]
            names = [(*parent, "day", day) for day in days if day.replace(day=1) == first]
            if (parent[0], "day") in self._times():
                self._sum(parts, [self.at[name] for name in names if name in self.at])

    def _new_row(self) -> int:
        self._rows.append(int(self.numbers.more(self._size)[0]))
        return len(self._rows) - 1

    def _two_places(self) -> None:
        """Who counts at one place by both is counted in both tables, by any measure."""
        if not self._known.elsewhere or self._known.elsewhere[0] not in self._at:
            return
        elsewhere, placed, here, there = self._known.elsewhere
        all_elsewhere = []
        for row, (kind, place, time, when) in enumerate(self.names):
            other = self.at.get((there if kind == here else here, place, time, when))
            if kind not in (here, there) or self._known.nowhere(place[-1]):
                continue
            if other is None:
                # A table that has no such time says nothing of it.
                if (there if kind == here else here, time) in self._times():
                    all_elsewhere.append(row)
            elif kind == here:
                both, coming, going = (self._new_row() for _ in range(3))
                self._sum([both, coming], [row])
                self._sum([both, going], [other])
                self.numbers.values[self._cells([both], elsewhere)] = 0
                self._equal([both], self._known.total, placed)
                all_elsewhere += [coming, going]
        self._equal(all_elsewhere, elsewhere, placed)

    def _times(self) -> set[tuple[str, str]]:
        return {(of.kind, of.time) for of in self._known.tables.values()}

    # ---- what one measure says of another --------------------------------------------------------

    def _within(self) -> None:
        rows = range(len(self._rows))
        for part, whole in self._tried(self._known.within):
            self.numbers.at_most(self._cells(rows, part), self._cells(rows, whole))
        for one, other, whole in self._tried(self._known.apart):
            both = self.numbers.more(len(rows))
            self._add_up(both, [self._cells(rows, one), self._cells(rows, other)])
            self.numbers.at_most(both, self._cells(rows, whole))
        for total, (known, least, most) in self._known.ranges.items():
            if total in self._at:
                self.numbers.at_most(self._cells(rows, total), self._cells(rows, known), most)
                if least:
                    counts, sums = self._cells(rows, known), self._cells(rows, total)
                    self.numbers.at_most(counts, sums, 1 / least)

    def _tried(self, relations: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        return [names for names in relations if all(name in self._at for name in names)]

    def _add_up(self, whole: np.ndarray, parts: list[np.ndarray]) -> None:
        self._add_up_to(self.numbers, whole, parts)

    @staticmethod
    def _add_up_to(numbers: Numbers, whole: np.ndarray, parts: list[np.ndarray]) -> None:
        numbers.equal(
            np.tile(np.arange(len(whole)), len(parts) + 1),
            np.concatenate([whole, *parts]),
            np.repeat([-1.0] + [1.0] * len(parts), len(whole)),
            len(whole),
        )

    def _equal(self, rows: Sequence[int], one: str, other: str) -> None:
        if rows:
            self._add_up(self._cells(rows, one), [self._cells(rows, other)])

    def _decided(self) -> None:
        """All rows of a category have what it is made of, or none."""
        categories: dict[tuple[str, str], list[int]] = defaultdict(list)
        for row, (kind, place, _, _) in enumerate(self.names):
            if kind == "category":
                categories[place[-2], place[-1]].append(row)
        for (breakdown, category), rows in categories.items():
            for measure in self._known.decides.get(breakdown, ()):
                share = self._share(breakdown, category, measure) if measure in self._at else None
                if share == 1:
                    self._equal(rows, measure, self._known.total)
                elif share == 0:
                    self.numbers.values[self._cells(rows, measure)] = 0

    def _share(self, breakdown: str, category: str, measure: str) -> float:
        at, total = self._truth.at[measure], self._truth.at[self._known.total]
        own = [
            values
            for (kind, place, _, _), values in self._truth.cells.items()
            if kind == "category" and place[-2:] == (breakdown, category)
        ]
        return float(sum(v[at] for v in own) / sum(v[total] for v in own))

    # ---- what is left --------------------------------------------------------------------------

    def _add_rests(self) -> dict[int, tuple[Name, str]]:
        """Numbers that nobody is told: what small ones remain of a whole."""
        found: dict[int, tuple[Name, str]] = {}
        for part, whole in self._tried(self._known.within):
            at, of = self._truth.at[part], self._truth.at[whole]
            rows = [
                row
                for row, name in enumerate(self.names)
                for values in [self._truth.cells[name]]
                if values[at] > 0 and 0 < values[of] - values[at] < self._k
            ]
            rest = self.numbers.more(len(rows))
            self._add_up(self._cells(rows, whole), [self._cells(rows, part), rest])
            found |= {
                int(position): (self.names[row], f"{whole} - {part}")
                for position, row in zip(rest, rows, strict=True)
            }
        return found


def _of(name: Name, years: Collection[int]) -> bool:
    _, _, time, when = name
    last = when + timedelta(6) if time == "week" else when
    return when.year in years or last.year in years

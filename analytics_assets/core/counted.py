"""What the measures of one row say of each other: parts, rests, and equal numbers.

Belongs here: declared measures -> what each counts a part of, and what can be computed of them.
Does not belong here: which cells are withheld (``withholding.py``), tables (``cells.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from analytics_assets.core.columns import DeclarationError, Measure, MeasureList

Kind = Literal["whole", "count", "sum"]


@dataclass(frozen=True)
class Counted:
    """Measures that are always the same number, by the first one's name.

    The number of all rows (``whole``), a ``count`` of some of them, or a ``sum`` over them; ``of``:
    the position (from 1) of the one without which it is not shown, ``depth`` steps from the whole.
    SQL over the row: ``least`` and ``most`` (empty: no limit) that it can be as the others are, and
    its ``rests``, the counts that are computed by taking it from what it is a part of.
    """

    names: tuple[str, ...]
    kind: Kind
    of: int
    depth: int
    least: str = "0"
    most: str = ""
    rests: tuple[str, ...] = ()
    shared: bool = False

    @property
    def name(self) -> str:
        return self.names[0]

    def small_sql(self, threshold: int) -> str:
        """SQL of whether it or a rest is small. The rest of none is the whole, which says so."""
        if self.kind == "sum":
            return "false"
        small = f"between 1 and {threshold - 1}"
        rests = " or ".join(f"{rest} {small}" for rest in self.rests)
        return f"{self.name} {small}" + (f" or ({self.name} > 0 and ({rests}))" if rests else "")


def measures_counted(measures: MeasureList, key: str) -> list[Counted]:
    """The measures of a list that counts rows first; equal ones as one.

    Raises ``DeclarationError`` where the first one does not count all rows.
    """
    first = measures.measures[0]
    if first.sql != "count(*)":
        raise DeclarationError(f"{key}: with a threshold, the first measure is count(*)")
    known = _Relations(measures)
    position = {name: number for number, name in enumerate(known.classes, 1)}
    found: list[Counted] = []
    for name, names in known.classes.items():
        if name == first.name:
            found.append(Counted(names, "whole", 0, 0))
            continue
        whole = known.shown_with.get(name, first.name)
        depth = 1 if whole == first.name else 2
        if name in known.sums:
            found.append(Counted(names, "sum", position[whole], depth))
            continue
        limits = known.least(name), known.most(name), tuple(known.rests(name))
        shared = name in known.shared
        found.append(Counted(names, "count", position[whole], depth, *limits, shared))
    return found


class _Relations:
    """Who counts a part of whom; of measures that are equal only the first is spoken of."""

    def __init__(self, measures: MeasureList) -> None:
        self._first = measures.measures[0]
        self._same = {m.name: m.same_as or m.name for m in measures.measures}
        self.classes: dict[str, tuple[str, ...]] = {}
        for name, same in self._same.items():
            self.classes[same] = (*self.classes.get(same, ()), name)
        self.sums: set[str] = set()
        self.shared: set[str] = set()
        self.shown_with: dict[str, str] = {}
        direct: dict[str, set[str]] = {name: set() for name in self.classes}
        for measure in measures.measures:
            name, wholes = self._same[measure.name], self._wholes(measures, measure)
            if measure.elsewhere:
                self.shared.update((name, wholes[0]))
            if measure.unit != self._first.unit:
                self.sums.add(name)
            else:
                direct[name].update(wholes)
            if measure.elsewhere or name in self.sums:
                self.shown_with[name] = wholes[0]
        self._above = {name: _all_above(name, direct) for name in direct}
        self._apart = {
            frozenset((self._same[m.name], self._same[other]))
            for m in measures.measures
            for other in m.apart_from
        }

    def _wholes(self, measures: MeasureList, measure: Measure) -> list[str]:
        """What it is a part of, the narrowest first."""
        first, own = self._first.name, self._same[measure.name]
        divisors = [r.denominator for r in measures.ratios if r.numerator == measure.name]
        named = [self._same[name] for name in (*divisors, *measure.part_of)]
        return [*(name for name in named if name not in (first, own)), *({first} - {own})]

    def rests(self, name: str) -> Iterator[str]:
        for whole in sorted(self._above[name]):
            yield f"{whole} - {name}"
            for other in self._beside(name, whole):
                yield f"{whole} - {name} - {other}"

    def least(self, name: str) -> str:
        parts = [part for part, above in sorted(self._above.items()) if name in above]
        pairs = [
            f"{one} + {other}"
            for one, other in combinations(parts, 2)
            if self._are_apart(one, other)
        ]
        return _extreme("greatest", [*parts, *pairs]) or "0"

    def most(self, name: str) -> str:
        above = sorted(self._above[name])
        rests = [f"{whole} - {other}" for whole in above for other in self._beside(name, whole)]
        return _extreme("least", [*above, *rests])

    def _beside(self, name: str, whole: str) -> list[str]:
        """Other parts of the whole that count none of the same rows."""
        return [
            other
            for other, above in sorted(self._above.items())
            if whole in above and self._are_apart(name, other)
        ]

    def _are_apart(self, one: str, other: str) -> bool:
        return frozenset((one, other)) in self._apart


def _all_above(name: str, direct: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    ahead = list(direct[name])
    while ahead:
        whole = ahead.pop()
        if whole not in found:
            found.add(whole)
            ahead += direct[whole]
    return found - {name}


def _extreme(function: str, expressions: Iterable[str]) -> str:
    listed = list(expressions)
    return f"{function}({', '.join(listed)})" if len(listed) > 1 else "".join(listed)

"""What an attacker can compute of withheld cells: linear algebra and bounds, and nothing else.

Independent of the code that chooses what to withhold: it knows cells, sums and that counts are
neither negative nor more than what they are a part of.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

UNBOUNDED = 1e12


@dataclass
class Sums:
    """Cells by name and the sums that hold among them, the same for all measures."""

    position: dict[Hashable, int] = field(default_factory=dict)
    _equation: list[int] = field(default_factory=list)
    _cell: list[int] = field(default_factory=list)
    _sign: list[float] = field(default_factory=list)
    _equations: int = 0

    def cell(self, name: Hashable) -> int:
        """The position of a cell, which is added if it is new."""
        return self.position.setdefault(name, len(self.position))

    def add(self, parts: Iterable[Hashable], wholes: Iterable[Hashable]) -> None:
        """The parts are together what the wholes are together."""
        for names, sign in ((parts, 1.0), (wholes, -1.0)):
            for name in names:
                self._equation.append(self._equations)
                self._cell.append(self.cell(name))
                self._sign.append(sign)
        self._equations += 1

    def attack(self, values: np.ndarray, least: np.ndarray, most: np.ndarray) -> dict[int, float]:
        """Position -> value of every cell that can be computed; ``values``: NaN where unknown.

        A cell can be computed if it is the same in all solutions of the sums, or if the bounds
        leave it one value.
        """
        equation, cell = np.array(self._equation), np.array(self._cell)
        sign = np.array(self._sign)
        known = values.copy()
        while True:
            solved = self._alone(equation, cell, sign, known)
            if not solved:
                break
            for position, value in solved.items():
                known[position] = value
        _check(equation, cell, sign, known, self._equations)
        unknown = np.isnan(known)
        use = unknown[cell]
        fixed = np.bincount(
            equation[~use], sign[~use] * known[cell[~use]], minlength=self._equations
        )
        free = np.flatnonzero(unknown)
        column = np.searchsorted(free, cell[use])
        system = _System(equation[use], column, sign[use], -fixed, len(free))
        found = {p: known[p] for p in np.flatnonzero(np.isnan(values) & ~unknown)}
        if len(free):
            found |= {free[n]: np.nan for n in system.determined()}
            low, high = system.bounds(least[free], most[free])
            found |= {free[n]: low[n] for n in np.flatnonzero(high - low < 0.5)}
        return found

    def _alone(self, equation, cell, sign, known) -> dict[int, float]:
        """Cells that are the only unknown of a sum."""
        unknown = np.isnan(known[cell])
        count = np.bincount(equation[unknown], minlength=self._equations)
        rest = np.bincount(
            equation[~unknown], (sign * known[cell])[~unknown], minlength=self._equations
        )
        alone = unknown & (count[equation] == 1)
        return dict(zip(cell[alone], -rest[equation[alone]] / sign[alone], strict=True))


def _check(equation, cell, sign, known, equations: int) -> None:
    """The sums do hold where all is known: else the attack would prove nothing."""
    unknown = np.isnan(known[cell])
    closed = np.bincount(equation[unknown], minlength=equations) == 0
    total = np.bincount(equation[~unknown], (sign * known[cell])[~unknown], minlength=equations)
    assert not np.any(np.abs(total[closed]) > 1e-6), np.flatnonzero(closed & (total != 0))[:5]


@dataclass(frozen=True)
class _System:
    """``sum of sign * cell = right`` for each equation."""

    equation: np.ndarray
    cell: np.ndarray
    sign: np.ndarray
    right: np.ndarray
    cells: int

    def determined(self) -> np.ndarray:
        """Cells in which no two solutions differ: those where all of the null space is zero.

        A random vector is projected into the null space; a cell that is free moves with it.
        """
        generator = np.random.default_rng(1)
        moved = np.zeros(self.cells)
        for _ in range(2):
            vector = generator.standard_normal(self.cells)
            moved = np.maximum(moved, np.abs(vector - self._across(self._fitted(vector))))
        return np.flatnonzero(moved < 1e-6)

    def _along(self, cells: np.ndarray) -> np.ndarray:
        return np.bincount(self.equation, self.sign * cells[self.cell], minlength=len(self.right))

    def _across(self, equations: np.ndarray) -> np.ndarray:
        return np.bincount(self.cell, self.sign * equations[self.equation], minlength=self.cells)

    def _fitted(self, vector: np.ndarray) -> np.ndarray:
        """Weights of the equations that come nearest to the vector (conjugate gradients)."""
        solution = np.zeros(len(self.right))
        rest = self._along(vector)
        direction = rest.copy()
        size = start = rest @ rest
        for _ in range(20_000):
            if size <= 1e-24 * start:
                return solution
            image = self._along(self._across(direction))
            step = size / (direction @ image)
            solution += step * direction
            rest -= step * image
            size, before = rest @ rest, size
            direction = rest + (size / before) * direction
        raise AssertionError("the projection did not converge")

    def bounds(self, least: np.ndarray, most: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest value of each cell that its sums allow, narrowed until none narrows.

        An unbounded end is a number so large that it drops out of no comparison.
        """
        low, high = least.astype(float).copy(), most.astype(float).copy()
        up = self.sign > 0
        for _ in range(500):
            smallest = np.where(up, low[self.cell], -high[self.cell])
            largest = np.where(up, high[self.cell], -low[self.cell])
            rest_small = np.bincount(self.equation, smallest, minlength=len(self.right))
            rest_large = np.bincount(self.equation, largest, minlength=len(self.right))
            top = self.right[self.equation] - (rest_small[self.equation] - smallest)
            bottom = self.right[self.equation] - (rest_large[self.equation] - largest)
            new_low, new_high = low.copy(), high.copy()
            np.minimum.at(new_high, self.cell, np.where(up, top, -bottom))
            np.maximum.at(new_low, self.cell, np.where(up, bottom, -top))
            if np.all(new_low <= low + 1e-3) and np.all(new_high >= high - 1e-3):
                break
            low, high = np.maximum(low, new_low), np.minimum(high, new_high)
        return low, high


def limits(
    values: dict[str, np.ndarray], name: str, whole_of: Sequence[tuple[str, str]]
) -> tuple[np.ndarray, np.ndarray]:
    """What a cell of ``name`` can be at least and at most, from the other measures of its row."""
    least = np.zeros(len(values[name]))
    most = np.full(len(values[name]), UNBOUNDED)
    for part, whole in whole_of:
        if part == name:
            most = np.fmin(most, values[whole])
        if whole == name:
            least = np.fmax(least, values[part])
    return least, most

"""What an attacker can compute who knows numbers, sums among them and limits: exact linear algebra.

Independent of the code that chooses what to withhold. A number is computed where all solutions of
the sums within the limits agree in it, or where the limits leave one whole number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array, hstack, identity, vstack
from scipy.sparse.linalg import lsmr

_ROUNDS = 60


@dataclass
class _Rows:
    """Sparse rows, one after the other."""

    row: list[np.ndarray] = field(default_factory=list)
    column: list[np.ndarray] = field(default_factory=list)
    weight: list[np.ndarray] = field(default_factory=list)
    right: list[np.ndarray] = field(default_factory=list)
    count: int = 0

    def add(
        self, row: np.ndarray, column: np.ndarray, weight: np.ndarray, right: np.ndarray
    ) -> None:
        self.row.append(row + self.count)
        self.column.append(column)
        self.weight.append(weight)
        self.right.append(right)
        self.count += len(right)

    def beside(self, other: _Rows, columns: int) -> None:
        """Those of somebody else, whose columns are so many further on."""
        for row, column, weight, right in zip(
            other.row, other.column, other.weight, other.right, strict=True
        ):
            self.row.append(row + self.count)
            self.column.append(column + columns)
            self.weight.append(weight)
            self.right.append(right)
        self.count += other.count

    def matrix(self, columns: int) -> tuple[csr_array, np.ndarray]:
        if not self.count:
            return csr_array((0, columns)), np.zeros(0)
        entries = np.concatenate(self.weight).astype(float)
        places = (np.concatenate(self.row), np.concatenate(self.column))
        found = csr_array((entries, places), shape=(self.count, columns))
        return found, np.concatenate(self.right).astype(float)


class Numbers:
    """Numbers that are not negative, by position; NaN where they are not known."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values.astype(float)
        self._equal = _Rows()
        self._most = _Rows()

    def more(self, count: int) -> np.ndarray:
        """Positions of numbers that nobody is told."""
        first = len(self.values)
        self.values = np.concatenate([self.values, np.full(count, np.nan)])
        return np.arange(first, first + count)

    def beside(self, other: Numbers) -> int:
        """Take in all that somebody else knows; where those numbers begin."""
        first = len(self.values)
        self.values = np.concatenate([self.values, other.values])
        self._equal.beside(other._equal, first)
        self._most.beside(other._most, first)
        return first

    def equal(self, row: np.ndarray, column: np.ndarray, weight: np.ndarray, rows: int) -> None:
        """The weighted numbers of each row are nothing together."""
        self._equal.add(row, column, weight, np.zeros(rows))

    def at_most(self, part: np.ndarray, whole: np.ndarray, times: float = 1.0) -> None:
        """Each part is at most so many times the whole."""
        rows = np.arange(len(part))
        ones = np.ones(len(part))
        self._most.add(
            np.concatenate([rows, rows]),
            np.concatenate([part, whole]),
            np.concatenate([ones, -times * ones]),
            np.zeros(len(part)),
        )

    def computed(self, log: Iterable[str] | None = None) -> dict[int, float]:
        """Position -> value (NaN: it is one, and follows) of each unknown number that follows."""
        size = len(self.values)
        equal, right = self._equal.matrix(size)
        most, limit = self._most.matrix(size)
        low = np.where(np.isnan(self.values), 0.0, self.values)
        high = np.where(np.isnan(self.values), np.inf, self.values)
        low, high = _narrowed(equal, right, most, limit, low, high)
        fixed = high - low < 0.5
        known = np.where(fixed, low, 0.0)
        found = {int(p): float(low[p]) for p in np.flatnonzero(fixed & np.isnan(self.values))}
        free = np.flatnonzero(~fixed)
        if not len(free):
            return found
        equal_left, right_left = _without(equal, right, known, free, True)
        most_left, limit_left = _without(most, limit, known, free, False)
        tight = _implied(equal_left, right_left, most_left, limit_left)
        own = vstack([equal_left, vstack([most_left, -identity(len(free))])[tight]]).tocsr()
        return found | {int(free[p]): np.nan for p in _determined(own)}


def _without(rows, right, known, free, equations):
    """The rows over free numbers alone."""
    left = right - rows @ known
    kept = rows[:, free]
    some = np.diff(kept.tocsr().indptr) > 0
    rest = left[~some]
    assert not len(rest) or (np.abs(rest).max() < 1e-6 if equations else rest.min() > -1e-6), (
        "what is known does not add up"
    )
    return kept.tocsr()[some], left[some]


def _narrowed(equal, right, most, limit, low, high):
    """Whole limits of each number that its sums leave, until none narrows."""
    rows = vstack([equal, -equal, most]).tocsr()
    sides = np.concatenate([right, -right, limit])
    coo = rows.tocoo()
    row, column, weight = coo.row, coo.col, coo.data
    up = weight > 0
    for _ in range(_ROUNDS):
        least = np.where(up, low[column], high[column]) * weight
        endless = np.isinf(least)
        total = np.bincount(row, np.where(endless, 0.0, least), minlength=len(sides))
        ends = np.bincount(row, endless, minlength=len(sides))
        others_end = ends[row] - endless > 0
        rest = sides[row] - (total[row] - np.where(endless, 0.0, least))
        bound = np.where(others_end, np.inf, rest) / np.abs(weight)
        new_high, new_low = high.copy(), low.copy()
        np.minimum.at(new_high, column[up], np.floor(bound[up] + 1e-6))
        down = ~up
        np.maximum.at(new_low, column[down], np.ceil(-bound[down] - 1e-6))
        if np.array_equal(new_high, high) and np.array_equal(new_low, low):
            break
        low, high = new_low, new_high
    assert np.all(low <= high + 1e-6), "what is known does not add up"
    return low, high


def _implied(equal, right, most, limit) -> np.ndarray:
    """Which limits (of ``most``, then each number's zero) hold with equality in all solutions.

    One linear program: as many limits as possible are kept at once, in some multiple of a solution.
    """
    numbers, limits = equal.shape[1], most.shape[0]
    none = csr_array((equal.shape[0], limits + numbers))
    # Columns: what a number is above its slack, slack of limits, slack of numbers, the multiple.
    equations = hstack([equal, csr_array((equal.shape[0], limits)), equal, -right[:, None]])
    at_most = hstack([most, identity(limits), most, -limit[:, None]])
    del none
    cost = np.concatenate([np.zeros(numbers), -np.ones(limits + numbers), [0.0]])
    bounds = np.concatenate(
        [
            np.tile([0.0, np.inf], (numbers, 1)),
            np.tile([0.0, 1.0], (limits + numbers, 1)),
            [[1.0, np.inf]],
        ]
    )
    done = linprog(
        cost, at_most, np.zeros(limits), equations, np.zeros(equal.shape[0]), bounds, "highs-ds"
    )
    assert done.status == 0, done.message
    slack = done.x[numbers : 2 * numbers + limits]
    return np.flatnonzero(slack < 0.5)


def _determined(rows: csr_array) -> np.ndarray:
    """Numbers that no vector moves that leaves all rows: random ones are projected there."""
    generator = np.random.default_rng(1)
    moved = np.zeros(rows.shape[1])
    for _ in range(2):
        vector = generator.standard_normal(rows.shape[1])
        along = lsmr(rows.T, vector, atol=1e-10, btol=1e-10, maxiter=5_000)[0]
        moved = np.maximum(moved, np.abs(vector - rows.T @ along))
    return np.flatnonzero(moved < 1e-5)

"""What an attacker can compute who knows numbers, sums among them and limits: exact linear algebra.

Independent of the code that chooses what to withhold. A number is computed where all solutions of
the sums within the limits agree in it, or where the limits leave one whole number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import clarabel
import numpy as np
from scipy.optimize import linprog
from scipy.sparse import block_array, csc_matrix, csr_array, eye_array, vstack
from scipy.sparse.csgraph import connected_components

_ROUNDS, _CLOSE = 60, 1e-6
# How far a number moves if it does, and how well what moves adds up.
_MOVED, _EXACT = 1e-4, 1e-7
_TRIES = 3


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

    def computed(self, wanted: Iterable[int], truth: np.ndarray) -> list[int]:
        """Those of the wanted positions whose numbers follow.

        ``truth``: the numbers that were not told, where they are known here: what is computed is
        shown by what else could be.
        """
        size = len(self.values)
        equal, right = self._equal.matrix(size)
        most, limit = self._most.matrix(size)
        known = _narrowed(equal, right, most, limit, *_limits(self.values))
        told = np.where(np.isnan(self.values), truth, self.values)
        start = _completed(equal, right, most, limit, *_limits(told))
        moves = _Moves(equal, most[np.abs(limit - most @ start) < _CLOSE], start, *known)
        left = np.array(sorted(wanted), dtype=int)
        fixed, left = left[~moves.free[left]], left[moves.free[left]]
        return sorted([*map(int, fixed), *map(int, moves.unmoved(left))])


class _Moves:
    """Ways from a solution to others: directions that leave all sums as they are, and what is at a
    limit on its side. Numbers without a choice are not ``free``."""

    def __init__(
        self,
        equal: csr_array,
        tight: csr_array,
        start: np.ndarray,
        low: np.ndarray,
        high: np.ndarray,
    ) -> None:
        self.free = high - low >= 0.5
        self._rows = vstack([equal, tight]).tocsr()
        self._equal = np.arange(self._rows.shape[0]) < equal.shape[0]
        self._down, self._up = start > low + _CLOSE, start < high - _CLOSE
        self._random = np.random.default_rng(1)

    def unmoved(self, left: np.ndarray) -> np.ndarray:
        """Those of these numbers that stay in all ways.

        An interior point without a push is far from all limits, so nearly all that can move has
        moved there. The others are pushed at once by random weights, one way and the other: where
        no push moves any, the weights are orthogonal to all ways, and so, almost surely, none of
        them moves.
        """
        left = left[~self._moved(left, (0.0,))]
        while (moved := self._moved(left, (1.0, -1.0))).any():
            left = left[~moved]
        return left

    def _moved(self, left: np.ndarray, pushes: Iterable[float]) -> np.ndarray:
        """Which of these numbers move by such pushes of them all."""
        moved = np.zeros(len(left), dtype=bool)
        if not len(left):
            return moved
        columns, rows = self._together(np.flatnonzero(self.free), left)
        at = np.searchsorted(columns, left)
        cost = np.zeros(len(columns))
        cost[at] = self._random.standard_normal(len(left))
        for push in pushes:
            moved |= np.abs(self._pushed(push * cost, columns, rows)[at]) > _MOVED
        return moved

    def _pushed(self, cost: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The way of these columns that costs least; none where the solver finds none exactly,
        however far they may go: that would pass for numbers that follow."""
        for _ in range(_TRIES):
            way = self._cheapest(cost, columns, rows)
            if way is not None:
                return way
        return np.zeros(len(columns))

    def _cheapest(
        self, cost: np.ndarray, columns: np.ndarray, rows: np.ndarray
    ) -> np.ndarray | None:
        matrix, equations = self._rows[rows][:, columns], self._equal[rows]
        size = len(columns)
        # Of different lengths: the middle of a number that may go both ways is not to stay.
        down, up = self._random.uniform(0.5, 1.5, (2, size))
        most = np.where(self._up[columns], up, 0.0)
        least = np.where(self._down[columns], -down, 0.0)
        cones = [
            clarabel.ZeroConeT(int(equations.sum())),
            clarabel.NonnegativeConeT(int((~equations).sum()) + 2 * size),
        ]
        sides = vstack([matrix[equations], matrix[~equations], eye_array(size), -eye_array(size)])
        ends = np.concatenate([np.zeros(len(rows)), most, -least])
        settings = clarabel.DefaultSettings()
        settings.verbose, settings.max_threads = False, 1
        found = clarabel.DefaultSolver(
            csc_matrix((size, size)), cost, csc_matrix(sides), ends, cones, settings
        ).solve()
        way = np.array(found.x)
        # Whatever the solver says of itself.
        off = matrix @ way
        off = np.where(equations, np.abs(off), off)
        beyond = max(off.max(initial=0), (way - most).max(), (least - way).max())
        return way if beyond < _EXACT else None

    def _together(self, columns: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The columns that some sum or limit connects with a wanted one, and those rows."""
        own = self._rows[:, columns]
        _, group = connected_components(block_array([[None, own], [own.T, None]]), directed=False)
        of_row, of_column = group[: own.shape[0]], group[own.shape[0] :]
        ours = np.unique(of_column[np.searchsorted(columns, wanted)])
        return columns[np.isin(of_column, ours)], np.flatnonzero(np.isin(of_row, ours))


def _limits(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    unknown = np.isnan(values)
    return np.where(unknown, 0.0, values), np.where(unknown, np.inf, values)


def _completed(equal, right, most, limit, low, high) -> np.ndarray:
    """A solution within the limits."""
    low, high = _narrowed(equal, right, most, limit, low, high)
    found = np.where(high - low < 0.5, low, 0.0)
    free = np.flatnonzero(high - low >= 0.5)
    if len(free):
        equal_left, right_left = _without(equal, right, found, free, True)
        most_left, limit_left = _without(most, limit, found, free, False)
        bounds = np.column_stack([low[free], high[free]])
        done = linprog(
            np.zeros(len(free)), most_left, limit_left, equal_left, right_left, bounds, "highs-ds"
        )
        assert done.status == 0, done.message
        found[free] = done.x
    return found


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

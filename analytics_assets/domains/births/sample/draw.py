"""Drawing random outcomes fast: one 16-bit number, one look into a table.

Belongs here: the machinery of draws and of turning outcomes into text columns.
Does not belong here: what the shares are (``shares.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

LEVELS = 65_536
"""Every categorical draw looks one 16-bit random number up in a table of this many outcomes."""

Columns = dict[str, pa.Array]


def table(weights: Sequence[float] | np.ndarray) -> np.ndarray:
    """Outcome numbers 0..k-1, `LEVELS` of them, each as often as its weight says."""
    ends = np.cumsum(np.asarray(weights, dtype=float))
    outcomes = np.searchsorted(ends / ends[-1], (np.arange(LEVELS) + 0.5) / LEVELS)
    return outcomes.astype(np.uint8 if len(ends) <= 256 else np.uint16)


def tables(weights_by_group: Sequence[Sequence[float] | np.ndarray]) -> np.ndarray:
    return np.stack([table(weights) for weights in weights_by_group])


class Draw:
    """Random draws for one chunk of `n` births."""

    def __init__(self, rng: np.random.Generator, n: int) -> None:
        self.rng = rng
        self.n = n

    def bits(self) -> np.ndarray:
        return self.rng.integers(0, LEVELS, self.n, dtype=np.uint16)

    def pick(self, table: np.ndarray) -> np.ndarray:
        return table.take(self.bits())

    def pick_by(self, tables: np.ndarray, group: np.ndarray) -> np.ndarray:
        return tables.ravel().take(group * np.int32(LEVELS) + self.bits())

    def happens(self, share: float | np.ndarray) -> np.ndarray:
        return self.bits() < np.asarray(share, dtype=np.float32) * LEVELS

    def rows(self, share: float) -> np.ndarray:
        """Distinct row numbers, about `share` of all: far cheaper than a draw per row when rare."""
        if share > 0.02:
            return np.flatnonzero(self.happens(share))
        return np.unique(self.rng.integers(0, max(self.n, 1), self.rng.binomial(self.n, share)))

    def with_unknown(self, values: np.ndarray, shares: Mapping[int, float]) -> np.ndarray:
        """A copy of `values` with each of the given values put in about its share of the rows."""
        result = values.astype(np.int32)
        for unknown, share in shares.items():
            result[self.rows(share)] = unknown
        return result


def as_words(values: Sequence[str]) -> pa.Array:
    return pa.array(list(values), pa.string())


def as_text(words: pa.Array, index: np.ndarray) -> pa.Array:
    return words.take(pa.array(index))


class Codes(NamedTuple):
    words: pa.Array
    table: np.ndarray

    @classmethod
    def of(cls, shares: Mapping[str, float]) -> Codes:
        return cls(as_words(list(shares)), table(list(shares.values())))

"""Daily scores and counts of a user in an ABAB experiment, with planted effects.

Belongs here: when phases begin, and what a day is like.
Does not belong here: events (``__init__.py``), or anything that the pipeline computes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PHASES = ("baseline_1", "intervention_A_1", "baseline_2", "intervention_A_2")
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Effects:
    """What the intervention does: to the score, in points at once and in points a day since the
    phase began, and to the number of events, as a factor."""

    level: float = 6.0
    slope: float = 0.0
    activity: float = 1.0


def draw_starts(rng: np.random.Generator, days: int, fewest: int) -> NDArray[np.int64]:
    """First days of the second to fourth phase, all that leave ``fewest`` days alike likely."""
    free = days - 4 * fewest + 3
    if free < 3:
        raise ValueError(f"{days} days are too few for four phases of {fewest}")
    return np.sort(rng.choice(free, 3, replace=False)) + np.arange(3) * (fewest - 1) + fewest


def phase_numbers(starts: NDArray[np.int64], days: int) -> NDArray[np.int64]:
    """0 to 3 for each day; odd is under intervention."""
    return np.searchsorted(starts, np.arange(days), side="right")


def draw_scores(
    rng: np.random.Generator,
    starts: NDArray[np.int64],
    days: int,
    effects: Effects,
    mean: float = 62.0,
    spread: float = 4.0,
    autocorrelation: float = 0.3,
) -> Numbers:
    """Expected score of each day: autocorrelated around ``mean``, plus the planted effects."""
    noise = np.empty(days)
    noise[0] = rng.normal()
    for day in range(1, days):
        step = np.sqrt(1 - autocorrelation**2) * rng.normal()
        noise[day] = autocorrelation * noise[day - 1] + step
    numbers = phase_numbers(starts, days)
    treated = numbers % 2 == 1
    since = np.arange(days) - np.concatenate([[0], starts])[numbers]
    return mean + spread * noise + treated * (effects.level + effects.slope * since)

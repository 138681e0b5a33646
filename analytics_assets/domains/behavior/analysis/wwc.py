"""Criteria of the What Works Clearinghouse for withdrawal designs, each passed or failed.

Belongs here: what a series of four phases can show of the Standards Handbook 4.1 (2020), appendix
A: its design standards, and its questions for visual analysis put as numbers.
Does not belong here: what no series shows, such as who decided when phases begin, or whether
observers agreed. Whoever reports a rating has to vouch for these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from analytics_assets.domains.behavior.analysis.estimates import Vector

FEWEST_POINTS, ENOUGH_POINTS = 3, 5
MEETS, RESERVATIONS, FAILS = (
    "meets standards",
    "meets standards with reservations",
    "does not meet standards",
)
CRITERIA = {
    "three_changes_of_phase": "At least three attempts to show an effect, at three points in time.",
    "three_points_a_phase": "At least 3 points in each phase, for reservations.",
    "five_points_a_phase": "At least 5 points in each phase, to meet standards.",
    "level_changes_each_time": "At each change of phase the mean moves as an effect would move it.",
    "immediate_each_time": "So does the mean of 3 points before the change to that of 3 after it.",
    "little_overlap": "At each change at least 80 % of pairs of points differ as expected.",
    "similar_phases_agree": "Means of like phases are closer to each other than to any unlike one.",
}


def criteria(parts: Sequence[Vector]) -> dict[str, bool]:
    """Criterion -> passed, for phases in their order whose improvement is an increase."""
    means = [float(part.mean()) for part in parts]
    up = [number % 2 == 0 for number in range(len(parts) - 1)]
    changes = [(a, b) if rise else (b, a) for a, b, rise in zip(parts, parts[1:], up, strict=False)]
    ends = [
        (a[-3:], b[:3]) if rise else (b[:3], a[-3:])
        for a, b, rise in zip(parts, parts[1:], up, strict=False)
    ]
    alike = max(abs(means[0] - means[2]), abs(means[1] - means[3]))
    unlike = min(abs(means[i] - means[j]) for i in (0, 2) for j in (1, 3))
    fewest = min(map(len, parts))
    # Rounding, which differs by unit, decides no tie.
    tie = 1e-9 * float(np.ptp(np.concatenate(parts)))

    def less(one: float, other: float) -> bool:
        return bool(other - one > tie)

    passed = (
        len(changes) >= 3,
        fewest >= FEWEST_POINTS,
        fewest >= ENOUGH_POINTS,
        all(less(low.mean(), high.mean()) for low, high in changes),
        all(less(low.mean(), high.mean()) for low, high in ends),
        all(_improving(low, high) >= 0.8 for low, high in changes),
        less(alike, unlike),
    )
    return dict(zip(CRITERIA, passed, strict=True))


def rating(judged: Mapping[str, bool]) -> str:
    """The design's rating, which its numbers of phases and points decide."""
    if not judged["three_changes_of_phase"] or not judged["three_points_a_phase"]:
        return FAILS
    return MEETS if judged["five_points_a_phase"] else RESERVATIONS


def _improving(low: Vector, high: Vector) -> float:
    return float(((np.sign(high[None, :] - low[:, None]) + 1) / 2).mean())

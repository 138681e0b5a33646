"""Whether the groups of the reminder test differ, step by step: two proportions of patients.

Belongs here: the test and interval of two proportions, and which steps a log allows to compare.
Does not belong here: counting patients (``ab_step_comparison.sql``).

A step is a share of the patients who were sent a reminder. It can be compared where both groups log
both: a group without reminders in the log has no patients to divide by, and a step that one group
alone logs says how it is logged, not what patients did.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import pandas as pd
import pyarrow

from analytics_assets.domains.clinic.words import EVENTS, GROUPS

START, *STEPS = EVENTS
# Of a group's patients with a step at most so many may lack the start: else its log has holes.
MOST_WITHOUT_START = 0.05
# Below this expected number the normal approximation of the test does not hold.
_FEWEST_EXPECTED = 5
_DIGITS = 6


@dataclass(frozen=True)
class Comparison:
    """The difference of two shares, its interval, and the p-value of no difference."""

    difference: float
    low: float
    high: float
    p_value: float


def two_proportions(
    reached: int, of: int, other_reached: int, of_other: int, confidence: float = 0.95
) -> Comparison:
    """The first share less the other.

    Interval: Newcombe (1998), Statistics in Medicine 17:873-890, method 10, from the Wilson score
    interval of each share. Test: score test with the pooled share, which is chi-square without
    continuity correction.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    first, other = reached / of, other_reached / of_other
    low, high = _wilson(first, of, z)
    other_low, other_high = _wilson(other, of_other, z)
    difference = first - other
    pooled = (reached + other_reached) / (of + of_other)
    error = (pooled * (1 - pooled) * (1 / of + 1 / of_other)) ** 0.5
    p_value = 2 * NormalDist().cdf(-abs(difference) / error) if error else 1.0
    return Comparison(
        difference,
        difference - ((first - low) ** 2 + (other_high - other) ** 2) ** 0.5,
        difference + ((high - first) ** 2 + (other - other_low) ** 2) ** 0.5,
        p_value,
    )


def _wilson(share: float, of: int, z: float) -> tuple[float, float]:
    middle = share + z**2 / (2 * of)
    reach = z * (share * (1 - share) / of + z**2 / (4 * of**2)) ** 0.5
    return (middle - reach) / (1 + z**2 / of), (middle + reach) / (1 + z**2 / of)


def comparison_rows(counted: pd.DataFrame, report: dict[str, Any]) -> pyarrow.Table:
    """A row a step, from the patients of each group and event, with and without the start."""
    counts = counted[["group", "event_name", "patients", "started"]].to_dict("records")
    groups = {
        (row["group"], row["event_name"]): (int(row["patients"]), int(row["started"]))
        for row in counts
    }
    rows = []
    for step in STEPS:
        row: dict[str, Any] = dict.fromkeys(
            ["difference", "difference_low", "difference_high", "p_value", "refusal"]
        )
        numbers: list[int] = []
        for group in GROUPS:
            of = groups.get((group, START), (0, 0))[0]
            reached = groups.get((group, step), (0, 0))[1]
            row[f"{group.lower()}_patients"], row[f"{group.lower()}_reached"] = of, reached
            row[f"{group.lower()}_share"] = round(100 * reached / of, _DIGITS) if of else None
            numbers += [reached, of]
        refusal = _refusal(step, groups, numbers)
        if refusal is None:
            found = two_proportions(*numbers)
            for name, value in (("", found.difference), ("_low", found.low), ("_high", found.high)):
                row[f"difference{name}"] = round(100 * value, _DIGITS)
            row["p_value"] = round(found.p_value, _DIGITS)
        rows.append({"event_name": step, **row, "refusal": refusal})
    report["steps refused"] = sum(row["refusal"] is not None for row in rows)
    return pyarrow.Table.from_pylist(rows)


def _refusal(
    step: str, groups: dict[tuple[str, str], tuple[int, int]], numbers: list[int]
) -> str | None:
    """Why the step cannot be compared."""
    for group in GROUPS:
        if (group, START) not in groups:
            return f"{group} logs no {START}: of how many patients it consists is not known"
    logging = [group for group in GROUPS if (group, step) in groups]
    if len(logging) < len(GROUPS):
        return f"{logging[0]} alone logs it" if logging else "neither group logs it"
    for group in GROUPS:
        patients, started = groups[(group, step)]
        if patients - started > MOST_WITHOUT_START * patients:
            return (
                f"{patients - started} of {patients} patients of {group} who have it have no"
                f" {START}: its log has holes"
            )
    reached, of, other_reached, of_other = numbers
    share = (reached + other_reached) / (of + of_other)
    if min(share, 1 - share) * min(of, of_other) < _FEWEST_EXPECTED:
        return f"too few patients: fewer than {_FEWEST_EXPECTED} are expected with it, or without"
    return None

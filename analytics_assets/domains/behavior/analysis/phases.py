"""Phases of a withdrawal design: which row is of which, and that they follow each other.

Belongs here: names of phases -> their numbers, for one subject.
Does not belong here: how many points a phase needs (``wwc.py``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analytics_assets.domains.behavior.analysis.arguments import refused, rows
from analytics_assets.domains.behavior.analysis.estimates import Refusal, Whole

PHASES = ("baseline_1", "intervention_A_1", "baseline_2", "intervention_A_2")


def refuse_phases(phases: Sequence[str], number: int | None = None) -> None:
    """Refuse names that are not of baseline and intervention in turn."""
    listed = isinstance(phases, Sequence) and all(isinstance(name, str) for name in phases)
    names = set(phases) if listed and not isinstance(phases, str) else set()
    if not names or len(names) < len(phases) or len(names) % 2:
        raise Refusal(
            f"phases={phases!r}: name each phase once, in their order, baseline and intervention in"
            " turn"
        )
    if number is not None and len(names) != number:
        raise Refusal(f"phases={phases!r}: name {number} phases")


def phase_numbers(moments: pd.Series, phase: pd.Series, phases: Sequence[str]) -> Whole:
    """The phase of each row from 0, which never falls; rows are in the order of ``moments``."""
    if missing := int(phase.isna().sum()):
        raise refused("phase", phase, f"{rows(missing)} are of no phase")
    unknown = sorted(set(map(str, phase)) - set(phases))
    if unknown:
        raise Refusal(f"{', '.join(unknown)}: none of the phases {', '.join(phases)}")
    order = {name: number for number, name in enumerate(phases)}
    numbers: Whole = np.array([order[str(name)] for name in phase], dtype=np.int64)
    for number, name in enumerate(phases):
        if number not in numbers:
            raise Refusal(f"phase {name} is missing")
    for earlier in range(len(phases) - 1):
        last = moments[numbers == earlier].iloc[-1]
        first = moments[numbers == earlier + 1].iloc[0]
        if first <= last:
            raise Refusal(
                f"phases overlap: {phases[earlier + 1]} begins at {first}, {phases[earlier]} ends"
                f" at {last}"
            )
    if moments.duplicated().any():
        raise Refusal("two rows are of one moment; sum or average them first")
    return numbers

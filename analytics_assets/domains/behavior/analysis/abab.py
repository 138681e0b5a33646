"""ABAB (withdrawal) designs: baseline, intervention, baseline, intervention, in one subject.

Belongs here: the effect, its randomisation test and interval, effect sizes within a subject, and
the mean effect of several.
Does not belong here: published criteria (``wwc.py``), the effect size between subjects
(``between_case.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Literal, get_args

import numpy as np
import pandas as pd

from analytics_assets.domains.behavior.analysis.arguments import (
    column,
    numbers,
    refuse_unless_number,
    refuse_unless_one_of,
    share,
)
from analytics_assets.domains.behavior.analysis.estimates import Estimate, Refusal, Vector, Whole
from analytics_assets.domains.behavior.analysis.moments import Moments
from analytics_assets.domains.behavior.analysis.phases import PHASES, phase_numbers, refuse_phases
from analytics_assets.domains.behavior.analysis.wwc import FEWEST_POINTS, criteria, rating

Improvement = Literal["increase", "decrease"]
Chance = Literal["starts", "labels"]
MOST_DESIGNS = 20_000  # beyond, designs are drawn
_DRAWN = 1_999


@dataclass(frozen=True)
class Randomisation:
    """What the statistic would be under other assignments: of the outcome, and of the assignment
    that was used as if it were an outcome, by which an effect of any size can be taken out."""

    outcome: Vector
    assignment: Vector


@dataclass(frozen=True)
class Abab:
    """The effect of an intervention in one subject.

    ``effect``: mean of all points under intervention less that of all in baseline, in units of the
    outcome, with the interval and p-value of a randomisation test over ``designs`` assignments;
    where there is no test, its p-value is NaN and the interval infinite. ``warning`` says why a
    number is NaN.
    ``mean_phase_difference``: each intervention less the baseline before it, every pair of phases
    counting alike. ``within_case_smd``: the effect in standard deviations within phases, with the
    small-sample correction; it does not compare with an effect size between subjects. ``nap``:
    share of pairs of baseline and following intervention points that improve, ties half. ``tau_u``:
    the same pairs, improving less worsening, less the trend of the baseline. ``criteria``,
    ``rating``: of the What Works Clearinghouse.
    """

    effect: Estimate
    designs: int
    phase_means: Mapping[str, float]
    phase_points: Mapping[str, int]
    mean_phase_difference: float
    within_case_smd: float
    nap: float
    tau_u: float
    criteria: Mapping[str, bool]
    rating: str
    warning: str | None
    randomisation: Randomisation

    @property
    def tested(self) -> bool:
        """Whether its phases are long enough for the randomisation test."""
        return not np.isnan(self.effect.p_value)


def abab(
    frame: pd.DataFrame,
    *,
    time: str,
    phase: str,
    outcome: str,
    phases: Sequence[str] = PHASES,
    improvement: Improvement = "increase",
    randomisation: Chance = "starts",
    fewest: int = FEWEST_POINTS,
    confidence: float = 0.95,
    seed: int = 0,
) -> Abab:
    """Analyse one subject's series, one row a moment.

    ``phases`` names the four phases in their order. ``randomisation`` says what chance decided:
    ``starts``, when each phase began, all phases having at least ``fewest`` points (Edgington 1975;
    Onghena 1992), or ``labels``, the phase type of each point, which holds only for points that do
    not depend on each other. All assignments are tried, or 1,999 drawn with ``seed`` where there
    are more than 20,000; p = (k + 1) / (n + 1), k of the n others being at least as far from 0. The
    interval has the effects that this very test does not reject. A series with a shorter phase than
    chance could have drawn is not tested, and has all other numbers. Rows without an outcome are
    left out. Raises ``Refusal`` for arguments that are none, a missing phase, and phases that
    overlap.
    """
    refuse_unless_one_of("improvement", improvement, get_args(Improvement))
    refuse_unless_one_of("randomisation", randomisation, get_args(Chance))
    refuse_unless_number("fewest", fewest, 1, whole=True)
    refuse_unless_number("seed", seed, 0, whole=True)
    confidence = share("confidence", confidence)
    refuse_phases(phases, 4)
    values, number_of = _read(frame, time, phase, outcome, phases)
    treated = (number_of % 2).astype(float)
    parts = [values[number_of == number] for number in range(4)]
    effect = float(values[treated == 1].mean() - values[treated == 0].mean())
    generator = np.random.default_rng(seed)
    warnings = []
    if randomisation == "labels":
        labels = generator.permuted(np.tile(treated, (_DRAWN, 1)), axis=1)
        reference = Randomisation(_by_labels(values, labels), _by_labels(treated, labels))
    elif min(map(len, parts)) >= fewest:
        starts = np.flatnonzero(np.diff(number_of)) + 1
        others = _other_starts(starts, len(values), int(fewest), generator)
        reference = Randomisation(_by_starts(values, others), _by_starts(treated, others))
    else:
        short = int(np.argmin([len(part) for part in parts]))
        warnings.append(
            f"no randomisation test: phase {phases[short]} has {len(parts[short])} points; at least"
            f" {fewest} are needed"
        )
        reference = Randomisation(np.empty(0), np.empty(0))
    tested = Estimate(effect, -np.inf, np.inf, float("nan"))
    if not warnings:
        tested = _tested(effect, reference, confidence)
    within = _within_case_smd(effect, parts)
    if np.isnan(within):
        warnings.append("no within_case_smd: nothing varies within phases")
    sign = 1.0 if improvement == "increase" else -1.0
    judged = criteria([sign * part for part in parts])
    return Abab(
        tested,
        len(reference.outcome),
        {name: float(part.mean()) for name, part in zip(phases, parts, strict=True)},
        {name: len(part) for name, part in zip(phases, parts, strict=True)},
        float(np.mean([parts[i + 1].mean() - parts[i].mean() for i in (0, 2)])),
        within,
        _nap([sign * part for part in parts]),
        _tau_u([sign * part for part in parts]),
        judged,
        rating(judged),
        "; ".join(warnings) or None,
        reference,
    )


def _read(
    frame: pd.DataFrame, time: str, phase: str, outcome: str, phases: Sequence[str]
) -> tuple[Vector, Whole]:
    """Outcomes and numbers of phases of the rows with an outcome, in their order."""
    every = numbers(column(frame, "outcome", outcome), "outcome")
    there = ~np.isnan(every)
    moments = Moments.of(column(frame, "time", time)[there], "time").values
    order = np.argsort(moments.to_numpy(), kind="stable")
    named = column(frame, "phase", phase)[there].iloc[order]
    return every[there][order], phase_numbers(moments.iloc[order], named, phases)


def pooled_effect(results: Iterable[Abab], confidence: float = 0.95, seed: int = 0) -> Estimate:
    """Mean effect of the subjects that were tested, each of whom was randomised by itself."""
    confidence = share("confidence", confidence)
    generator = np.random.default_rng(seed)
    effects, outcome, assignment = [], np.zeros(_DRAWN), np.zeros(_DRAWN)
    for result in results:
        if not result.tested:
            continue
        effects.append(result.effect.value)
        # The assignment that was used is one that might have been drawn.
        drawn = generator.integers(len(result.randomisation.outcome) + 1, size=_DRAWN)
        outcome += np.append(result.randomisation.outcome, result.effect.value)[drawn]
        assignment += np.append(result.randomisation.assignment, 1.0)[drawn]
    if not effects:
        raise Refusal("no subject has a series that can be analysed")
    n = len(effects)
    reference = Randomisation(outcome / n, assignment / n)
    return _tested(float(np.mean(effects)), reference, confidence)


def _other_starts(
    observed: Whole, points: int, fewest: int, generator: np.random.Generator
) -> Whole:
    """Starts of the second to fourth phase, a row an assignment, without the one that was used."""
    free = points - 4 * fewest + 3
    if comb(free, 3) <= MOST_DESIGNS:
        chosen = np.array(list(combinations(range(free), 3)))
    else:
        drawn = np.sort(generator.integers(free, size=(2 * _DRAWN, 3)), axis=1)
        distinct = drawn[(np.diff(drawn, axis=1) > 0).all(axis=1)]
        return (distinct + np.arange(3) * (fewest - 1) + fewest)[:_DRAWN]
    starts = chosen + np.arange(3) * (fewest - 1) + fewest
    return starts[(starts != observed).any(axis=1)]


def _by_starts(values: Vector, starts: Whole) -> Vector:
    """Mean under intervention less mean in baseline, for each assignment."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    first, second, third = starts.T
    n = len(values)
    count = second - first + n - third
    treated = total[second] - total[first] + total[n] - total[third]
    return treated / count - (total[n] - treated) / (n - count)


def _by_labels(values: Vector, labels: Vector) -> Vector:
    count = labels.sum(axis=1)
    treated = labels @ values
    return treated / count - (values.sum() - treated) / (len(values) - count)


def _tested(effect: float, reference: Randomisation, confidence: float) -> Estimate:
    """The randomisation test of no effect, and the effects that it does not reject.

    Without an effect of size d the statistics were ``outcome - d * assignment``, and the one of the
    assignment that was used ``effect - d``. So another assignment is at least as extreme for all d
    between two ends, which include ``effect``; the interval follows by sorting ends.
    """
    outcome, assignment = reference.outcome, reference.assignment
    n = len(outcome)
    # Sums in another order differ in the last digits.
    slack = 1e-9 * max(abs(effect), float(np.abs(outcome).max(initial=0.0)))
    p_value = (int((np.abs(outcome) >= abs(effect) - slack).sum()) + 1) / (n + 1)
    differs = 1 - np.abs(assignment) > 1e-12
    below, above = np.full(n, -np.inf), np.full(n, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.stack(
            [(effect - outcome) / (1 - assignment), (effect + outcome) / (1 + assignment)]
        )
    below[differs], above[differs] = ends[:, differs].min(axis=0), ends[:, differs].max(axis=0)
    rank = int((1 - confidence) * (n + 1) + 1e-9)
    if not rank:
        return Estimate(effect, -np.inf, np.inf, p_value)
    low, high = np.sort(below)[rank - 1], np.sort(above)[n - rank]
    return Estimate(effect, float(low), float(high), p_value)


def _within_case_smd(effect: float, parts: Sequence[Vector]) -> float:
    """Hedges (1981): J = 1 - 3 / (4 df - 1), pooled within the four phases."""
    df = sum(len(part) - 1 for part in parts)
    if df < 2:
        return float("nan")
    variance = sum(float(((part - part.mean()) ** 2).sum()) for part in parts) / df
    if not variance:
        return float("nan")
    return (1 - 3 / (4 * df - 1)) * effect / variance**0.5


def _signs(before: Vector, after: Vector) -> Vector:
    return np.sign(after[None, :] - before[:, None])


def _nap(parts: Sequence[Vector]) -> float:
    """Parker and Vannest (2009), over both pairs of baseline and intervention."""
    signs = np.concatenate([_signs(parts[i], parts[i + 1]).ravel() for i in (0, 2)])
    return float(((signs + 1) / 2).mean())


def _tau_u(parts: Sequence[Vector]) -> float:
    """Parker et al. (2011), A against B less the trend of A, over both pairs."""
    pairs = sum(len(parts[i]) * len(parts[i + 1]) for i in (0, 2))
    score = sum(_signs(parts[i], parts[i + 1]).sum() for i in (0, 2))
    trend = sum(float(np.triu(_signs(parts[i], parts[i]), 1).sum()) for i in (0, 2))
    return float((score - trend) / pairs)

"""The effect of an intervention between cases: several subjects of one (AB)^k design.

Belongs here: the standardised mean difference of Hedges, Pustejovsky and Shadish (2012), Research
Synthesis Methods 3:224-239, as ``effect_size_ABk`` of the R package scdhlm defines it.
Does not belong here: what one subject shows (``abab.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics_assets.domains.behavior.analysis.arguments import (
    column,
    numbers,
    refused,
    rows,
    share,
)
from analytics_assets.domains.behavior.analysis.estimates import Refusal, Vector, Whole
from analytics_assets.domains.behavior.analysis.moments import Moments
from analytics_assets.domains.behavior.analysis.phases import PHASES, phase_numbers, refuse_phases

# Below 2 degrees of freedom the variance is infinite; scdhlm takes this.
_FEWEST_DEGREES = 2.001


@dataclass(frozen=True)
class BetweenCase:
    """The effect in standard deviations of outcomes within and between cases, so that it compares
    with that of a trial with two groups.

    ``smd``: with the small-sample correction, its ``standard_error`` and Student's interval;
    ``unadjusted`` without that correction. ``mean_difference``: of phases, a mean over pairs of
    phases and over cases. ``variance``: of one point over cases. ``autocorrelation``,
    ``intraclass_correlation``: within cases, and the share of the variance that is between them.
    ``common_points``: points at which all cases have an outcome, which the variance is of.
    """

    smd: float
    standard_error: float
    low: float
    high: float
    degrees_of_freedom: float
    unadjusted: float
    mean_difference: float
    variance: float
    autocorrelation: float
    intraclass_correlation: float
    cases: int
    common_points: int


@dataclass(frozen=True)
class _Case:
    """One case in the order of time; ``phases`` counts from 0, ``places`` within the phase."""

    outcomes: Vector
    phases: Whole
    places: Whole
    points: Vector

    def parts(self) -> list[Vector]:
        return [self.outcomes[self.phases == number] for number in range(self.phases[-1] + 1)]


def between_case_smd(
    frame: pd.DataFrame,
    *,
    case: str,
    time: str,
    phase: str,
    outcome: str,
    phases: Sequence[str] = PHASES,
    confidence: float = 0.95,
) -> BetweenCase:
    """Analyse several cases that went through the same phases, one row a case and moment.

    ``phases`` names the phases in their order, baseline and intervention in turn: two, four or any
    even number. They may differ in length and begin when they will. Rows without an outcome are
    left out. Raises ``Refusal`` for fewer than two cases, a case without one of the phases, phases
    that overlap, and outcomes that do not vary.
    """
    confidence = share("confidence", confidence)
    refuse_phases(phases)
    values = numbers(column(frame, "outcome", outcome), "outcome")
    names = column(frame, "case", case)
    if missing := int(names.isna().sum()):
        raise refused("case", names, f"{rows(missing)} are missing")
    there = ~np.isnan(values)
    by_case = {"case": names, "time": column(frame, "time", time)}
    by_case["phase"] = column(frame, "phase", phase)
    used = pd.DataFrame(by_case)[there].assign(outcome=values[there])
    cases = [_case(one, phases) for _, one in used.groupby("case", sort=True, observed=True)]
    if len(cases) < 2:
        raise Refusal(f"{len(cases)} case has an outcome; between cases at least 2 are needed")
    return _estimated(_in_points(cases), len(phases), confidence)


def _case(frame: pd.DataFrame, phases: Sequence[str]) -> _Case:
    moments = Moments.of(frame["time"], "time")
    order = np.argsort(moments.values.to_numpy(), kind="stable")
    ordered = moments.values.iloc[order]
    numbered = phase_numbers(ordered, frame["phase"].iloc[order], phases)
    places = np.concatenate([np.arange(size) for size in np.bincount(numbered)])
    points = moments.elapsed(ordered)
    return _Case(frame["outcome"].to_numpy(float)[order], numbered, places, points)


def _in_points(cases: Sequence[_Case]) -> list[_Case]:
    """Time of all in median gaps: correlation is that of neighbouring points."""
    gap = float(np.median(np.concatenate([np.diff(one.points) for one in cases])))
    return [_Case(one.outcomes, one.phases, one.places, one.points / gap) for one in cases]


def _estimated(cases: Sequence[_Case], phases: int, confidence: float) -> BetweenCase:
    from scipy import stats

    m = len(cases)
    parts = [part for one in cases for part in one.parts()]
    weights = [_weights(one, m * phases // 2) for one in cases]
    difference = sum(float(w @ one.outcomes) for w, one in zip(weights, cases, strict=True))
    # Points at which all have an outcome: the first so many of each phase.
    shortest = np.min([np.bincount(one.phases, minlength=phases) for one in cases], axis=0)
    common = [one.places < shortest[one.phases] for one in cases]
    together = np.stack([one.outcomes[there] for one, there in zip(cases, common, strict=True)])
    variance = float(together.var(axis=0, ddof=1).mean())
    scale = float(np.abs(together).max())
    if variance <= (1e-12 * scale) ** 2:
        raise Refusal("outcomes do not vary between cases, so nothing is a standard deviation")
    phi = _autocorrelation(parts)
    within = _within_variance(parts, phi)
    rho = max(0.0, 1 - within / variance)
    errors = [rho + (1 - rho) * _power(phi, one.points) for one in cases]
    theta = sum(float(w @ v @ w) for w, v in zip(weights, errors, strict=True)) ** 0.5
    freedom = _degrees_of_freedom(
        [v[np.ix_(there, there)] for v, there in zip(errors, common, strict=True)]
    )
    unadjusted = difference / variance**0.5
    corrected = 1 - 3 / (4 * freedom - 1)
    smd = corrected * unadjusted
    nu = max(freedom, _FEWEST_DEGREES)
    spread = corrected**2 * (theta**2 + smd**2) * nu / (nu - 2) - smd**2
    error = spread**0.5
    reach = error * float(stats.t.ppf(0.5 + confidence / 2, freedom))
    return BetweenCase(
        smd,
        error,
        smd - reach,
        smd + reach,
        freedom,
        unadjusted,
        difference,
        variance,
        phi,
        rho,
        m,
        together.shape[1],
    )


def _weights(one: _Case, differences: int) -> Vector:
    """Of each outcome in the mean of all differences of an intervention and its baseline."""
    sizes = np.bincount(one.phases)
    sign = np.where(one.phases % 2 == 1, 1.0, -1.0)
    weights: Vector = sign / sizes[one.phases] / differences
    return weights


def _autocorrelation(parts: Sequence[Vector]) -> float:
    """Within phases, with the correction of its bias (page 238)."""
    centred = [part - part.mean() for part in parts]
    total = sum(float(part @ part) for part in centred)
    sizes = np.array([len(part) for part in parts])
    if total <= 0:
        raise Refusal("outcomes do not vary within phases, so nothing can be said of their errors")
    lagged = sum(float(part[1:] @ part[:-1]) for part in centred)
    return lagged / total + float((1 - 1 / sizes).sum()) / float((sizes - 1).sum())


def _within_variance(parts: Sequence[Vector], phi: float) -> float:
    """Within cases, of errors with this correlation."""
    total = sum(float(((part - part.mean()) ** 2).sum()) for part in parts)
    means = sum(float(_power(phi, np.arange(len(one))).mean()) * len(one) for one in parts)
    return total / (sum(map(len, parts)) - means)


def _power(phi: float, points: NDArray[Any]) -> NDArray[np.float64]:
    """Correlation of each two points; of a negative one, over whole numbers of points."""
    apart = np.abs(np.subtract.outer(points, points)).astype(float)
    power: NDArray[np.float64] = phi ** (apart if phi >= 0 else np.rint(apart))
    return power


def _degrees_of_freedom(errors: Sequence[NDArray[np.float64]]) -> float:
    """tr(A V)^2 / tr(A V A V), where A takes the mean over cases out of each common point.

    V has a block for each case, so that the traces are sums over blocks: no matrix is larger than
    one case.
    """
    m, points = len(errors), len(errors[0])
    own = sum(float((v**2).sum()) for v in errors)
    everybody = float((np.sum(errors, axis=0) ** 2).sum())
    trace = ((1 - 1 / m) ** 2 - 1 / m**2) * own + everybody / m**2
    return float((points * (m - 1)) ** 2 / trace)

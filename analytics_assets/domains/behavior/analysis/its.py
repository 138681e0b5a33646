"""Interrupted time series: what changed at an intervention, beside what would have gone on.

Belongs here: the segmented regression, for means and for counts, and what a series can carry.
Does not belong here: the errors of its coefficients (``estimates.py``), when points are
(``moments.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from analytics_assets.domains.behavior.analysis.arguments import (
    column,
    numbers,
    refuse_unless_number,
    refuse_unless_one_of,
    refused,
    rows,
    share,
)
from analytics_assets.domains.behavior.analysis.estimates import (
    COVARIANCES,
    Covariance,
    Estimate,
    Fit,
    Refusal,
    Vector,
    regress,
)
from analytics_assets.domains.behavior.analysis.moments import Moments, Timeline

FEWEST_POINTS = 8
# Below, no series tells its correlation well enough for the interval of a slope.
ENOUGH_POINTS = 32
Impact = Literal["level and slope", "level"]
_ROUNDING = 1e-9
_ONE_MOMENT = "two rows are of one moment; sum or average them first"


@dataclass(frozen=True)
class Change:
    """What one intervention changed; no ``slope_change`` where the model has none."""

    intervention: Any
    level_change: Estimate
    slope_change: Estimate | None


@dataclass(frozen=True)
class InterruptedTimeSeries:
    """What an intervention changed, each of several in ``changes``.

    Of means: ``level_change`` in units of the outcome, ``slope_before`` and ``slope_change`` in
    units of it per unit of time (a day, where time is dates). Of counts: factors of the rate, so
    that 1 is no change, the slopes per unit of time. ``model`` says in one line what was fitted,
    ``warning`` where its intervals may be too narrow. ``autocorrelation`` is that of
    neighbouring points, ``degrees_of_freedom`` those of the level change. ``series`` has a row a
    point: time, observed, fitted, and counterfactual with its interval, which is what the trend
    before the (first) intervention leads to; before the intervention it is the fit.
    """

    changes: tuple[Change, ...]
    slope_before: Estimate
    points_before: int
    points_after: int
    autocorrelation: float
    degrees_of_freedom: float
    model: str
    warning: str | None
    series: pd.DataFrame

    @property
    def level_change(self) -> Estimate:
        """Of the first intervention."""
        return self.changes[0].level_change

    @property
    def slope_change(self) -> Estimate | None:
        """Of the first intervention."""
        return self.changes[0].slope_change


@dataclass(frozen=True)
class _Model:
    """What is regressed on time: its terms, in the order of the design's columns."""

    starts: Vector
    slopes: bool
    period: float | None
    harmonics: int

    def design(self, points: Vector, treated: bool = True) -> Vector:
        """n x k: 1, time since the first start, for each start a step and a ramp, harmonics."""
        since = points - self.starts[0]
        columns = [np.ones_like(since), since]
        for start in self.starts:
            step = (points >= start - _ROUNDING) * float(treated)
            columns += [step, step * (points - start)] if self.slopes else [step]
        for number in range(1, self.harmonics + 1):
            angle = 2 * np.pi * number * since / (self.period or 1.0)
            columns += [np.sin(angle), np.cos(angle)]
        return np.column_stack(columns)


def interrupted_time_series(
    frame: pd.DataFrame,
    *,
    time: str,
    outcome: str,
    intervention: Any,
    counts: bool = False,
    exposure: str | None = None,
    impact: Impact = "level and slope",
    lag: float = 0,
    period: float | None = None,
    harmonics: int = 2,
    covariance: Covariance = "prewhitened",
    confidence: float = 0.95,
) -> InterruptedTimeSeries:
    """Segmented regression of one series (Wagner et al. 2002), one row a moment, in any order.

    ``frame[time]`` is numbers or dates, gaps allowed; ``intervention`` the first moment under it,
    or a list of several, each with its own changes. ``counts``: quasi-Poisson with log link, the
    outcome a count, ``exposure`` the column of what it is counted over. Rows without an outcome are
    left out.

    ``impact``: whether an intervention changes level and slope, or the level alone, a step (Bernal,
    Cummins and Gasparrini 2017). ``lag``: points from an intervention to the start of its effect.
    ``period``: points of a season, 12 for months in a year, which so many ``harmonics`` describe,
    each a sine and a cosine. ``covariance``: see ``regress``; ``quasi-poisson`` is of counts.

    Raises ``Refusal`` for arguments that are none, and for a series that cannot carry the model:
    fewer than 8 points before, between or after interventions, 2 points a coefficient or 2 periods,
    two rows at one moment, a count below 0, an exposure of 0, or no variation.
    """
    refuse_unless_one_of("impact", impact, get_args(Impact))
    refuse_unless_one_of("covariance", covariance, COVARIANCES)
    confidence = share("confidence", confidence)
    refuse_unless_number("lag", lag)
    if covariance == "quasi-poisson" and not counts:
        raise Refusal("covariance='quasi-poisson' is of counts: give counts=True")
    if exposure is not None and not counts:
        raise Refusal(f"exposure={exposure!r} is of counts: give counts=True")
    pairs = _pairs(period, harmonics)
    values, moments, sizes, shown_time = _read(frame, time, outcome, exposure)
    interventions = _several(intervention)
    line = _timeline(moments, interventions, time)
    lag, period = float(lag), None if period is None else float(period)
    _refuse_short(line, interventions, lag)
    model = _Model(line.starts + lag, impact == "level and slope", period, pairs)
    design, before = model.design(line.points), model.design(line.points, treated=False)
    _refuse_model(line, model, design.shape[1])
    if counts:
        fit = _fit_counts(design, values, sizes, line, model.starts, covariance)
    else:
        fit = regress(design, values, line.points, covariance)

    def estimate(number: int, per: float = 1.0) -> Estimate:
        found = fit.estimate(number, confidence).per(per)
        return found.as_factor() if counts else found

    step = 2 if model.slopes else 1
    changes = tuple(
        Change(at, estimate(number), estimate(number + 1, line.unit) if model.slopes else None)
        for at, number in zip(
            interventions, range(2, 2 + step * len(interventions), step), strict=True
        )
    )

    def shown(linear: Vector) -> Vector:
        return np.exp(linear) * sizes if counts else linear

    low, high = fit.band(before, confidence)
    series = pd.DataFrame(
        {
            "time": shown_time,
            "observed": values,
            "fitted": shown(design @ fit.coefficients),
            "counterfactual": shown(before @ fit.coefficients),
            "counterfactual_low": shown(low),
            "counterfactual_high": shown(high),
        }
    )
    after = int((line.points >= line.starts[0] - _ROUNDING).sum())
    return InterruptedTimeSeries(
        changes,
        estimate(1, line.unit),
        len(values) - after,
        after,
        fit.autocorrelation,
        float(fit.degrees_of_freedom[2]),
        _said(line, model, interventions, lag, covariance, exposure, counts),
        _warning(line),
        series,
    )


def _read(
    frame: pd.DataFrame, time: str, outcome: str, exposure: str | None
) -> tuple[Vector, Moments, Vector, Any]:
    """Outcomes, moments, exposures and times as given of the rows with an outcome, in order."""
    every = numbers(column(frame, "outcome", outcome), "outcome")
    there = ~np.isnan(every)
    given = column(frame, "time", time)[there]
    moments = Moments.of(given, "time")
    if moments.values.duplicated().any():
        raise Refusal(_ONE_MOMENT)
    order = np.argsort(moments.values.to_numpy(), kind="stable")
    sizes = np.ones(len(order))
    if exposure is not None:
        over = column(frame, "exposure", exposure)[there]
        sizes = numbers(over, "exposure")
        if wrong := int((~(sizes > 0)).sum()):
            raise refused("exposure", over, f"{rows(wrong)} are missing or not above 0")
    moments = Moments(moments.values.iloc[order], moments.kind, moments.zone)
    return every[there][order], moments, sizes[order], given.iloc[order].to_numpy()


def _several(intervention: Any) -> list[Any]:
    if isinstance(intervention, list | tuple | np.ndarray | pd.Series | pd.Index):
        return list(intervention)
    return [intervention]


def _timeline(moments: Moments, interventions: list[Any], time: str) -> Timeline:
    starts = [moments.read(at, "intervention") for at in interventions]
    if not starts or any(later <= one for one, later in pairwise(starts)):
        raise Refusal("intervention: give one moment, or several in their order, none twice")
    if len(moments.values) < 2 * FEWEST_POINTS:
        raise Refusal(
            f"{len(moments.values)} points with a {time!r} and an outcome; at least"
            f" {FEWEST_POINTS} are needed before and after the intervention"
        )
    line = moments.timeline(starts)
    if np.diff(line.points).min() < _ROUNDING:
        raise Refusal(_ONE_MOMENT)
    return line


def _pairs(period: float | None, harmonics: int) -> int:
    """How many pairs of sine and cosine the model has."""
    if period is None:
        return 0
    refuse_unless_number("period", period, 2)
    refuse_unless_number("harmonics", harmonics, 1, whole=True)
    if harmonics >= period / 2:
        raise Refusal(
            f"harmonics={harmonics!r}: a period of {period:g} points has fewer than {period / 2:g}"
        )
    return int(harmonics)


def _refuse_short(line: Timeline, interventions: Sequence[Any], lag: float) -> None:
    edges = np.concatenate([[-np.inf], line.starts + lag - _ROUNDING, [np.inf]])
    later = f", whose effect begins {lag:g} points later" if lag else ""
    for number, (begin, end) in enumerate(pairwise(edges)):
        points = int(((line.points >= begin) & (line.points < end)).sum())
        if points >= FEWEST_POINTS:
            continue
        if not number:
            where = f"before the intervention at {interventions[0]}"
        elif number == len(interventions):
            where = f"after the intervention at {interventions[-1]}"
        else:
            where = f"between the interventions at {interventions[number - 1]}"
            where += f" and {interventions[number]}"
        raise Refusal(
            f"{points} points {where}{later}; at least {FEWEST_POINTS} are needed on each side"
        )


def _refuse_model(line: Timeline, model: _Model, coefficients: int) -> None:
    if model.period is not None:
        span = line.points[-1] - line.points[0] + 1
        if span < 2 * model.period - _ROUNDING:
            raise Refusal(
                f"the series is {span:g} points long; a season of {model.period:g} needs at least"
                f" {2 * model.period:g}"
            )
    if len(line.points) < 2 * coefficients:
        raise Refusal(
            f"{len(line.points)} points cannot carry {coefficients} coefficients; at least"
            f" {2 * coefficients} are needed"
        )


def _fit_counts(
    design: Vector,
    counts: Vector,
    exposure: Vector,
    line: Timeline,
    starts: Vector,
    covariance: Covariance,
) -> Fit:
    """Quasi-Poisson with log link, then its last working step as a weighted linear regression.

    That step (McCullagh and Nelder 1989, 2.5) has residuals of one variance, the overdispersion, so
    that correlation and errors are estimated as for means.
    """
    import statsmodels.api as sm  # over a second, which most runs do without

    if (counts < 0).any():
        raise Refusal("counts have to be 0 or more")
    side = np.searchsorted(starts - _ROUNDING, line.points, side="right")
    if not np.bincount(side, weights=counts).all():
        raise Refusal("one side of the intervention counts nothing at all, so no rate is estimable")
    offset = np.log(exposure)
    model = sm.GLM(counts, design, family=sm.families.Poisson(), offset=offset)
    try:
        mean = np.asarray(model.fit().mu)
    except (ValueError, np.linalg.LinAlgError) as error:
        raise Refusal("no rates fit these counts: look for an exposure that is mistyped") from error
    working = np.log(mean) - offset + (counts - mean) / mean
    weight = np.sqrt(mean)
    # In these units chance alone gives a count a variance of 1.
    return regress(design * weight[:, None], working * weight, line.points, covariance, noise=1.0)


def _said(
    line: Timeline,
    model: _Model,
    interventions: Sequence[Any],
    lag: float,
    covariance: Covariance,
    exposure: str | None,
    counts: bool,
) -> str:
    """The model in one line."""
    link = "quasi-Poisson, log link" + (f", offset log {exposure}" if exposure else "")
    at = ", ".join(map(str, interventions)) + (f" (+ {lag:g} points)" if lag else "")
    terms = ["trend", f"change of level{' and slope' if model.slopes else ''} at {at}"]
    if model.harmonics:
        pairs = "pair" if model.harmonics == 1 else "pairs"
        terms.append(f"{model.harmonics} harmonic {pairs} of {model.period:g} points")
    errors = {
        "prewhitened": "prewhitened HAC",
        "hac": "HAC, corrected for few points",
        "quasi-poisson": "quasi-Poisson, corrected for correlation",
    }[covariance]
    return (
        f"{link if counts else 'linear'}: {', '.join(terms)}; {len(line.points)} points,"
        f" {line.said} apart; errors {errors}"
    )


def _warning(line: Timeline) -> str | None:
    """Where planted series show intervals that are too narrow."""
    if len(line.points) >= ENOUGH_POINTS:
        return None
    return (
        f"fewer than {ENOUGH_POINTS} points: where neighbours correlate by 0.6, 95 % intervals of a"
        " change of slope hold in 90 to 94 %"
    )

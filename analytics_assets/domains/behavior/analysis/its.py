"""Interrupted time series: what changed at an intervention, beside what would have gone on.

Belongs here: the segmented regression, for means and for counts.
Does not belong here: the errors of its coefficients (``estimates.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics_assets.domains.behavior.analysis.estimates import (
    Estimate,
    Fit,
    Refusal,
    Vector,
    regress,
)

FEWEST_POINTS = 8


@dataclass(frozen=True)
class InterruptedTimeSeries:
    """What an intervention changed.

    Of means: ``level_change`` in units of the outcome, ``slope_before`` and ``slope_change`` in
    units of it per unit of time (a day, where time is dates). Of counts: factors of the rate, so
    that 1 is no change, the slopes per unit of time. ``series`` has a row a point: time, observed,
    fitted, and counterfactual with its interval, which is what the trend before the intervention
    leads to; before the intervention it is the fit.
    """

    level_change: Estimate
    slope_change: Estimate
    slope_before: Estimate
    points_before: int
    points_after: int
    autocorrelation: float
    degrees_of_freedom: float
    series: pd.DataFrame


def interrupted_time_series(
    frame: pd.DataFrame,
    *,
    time: str,
    outcome: str,
    intervention: Any,
    counts: bool = False,
    exposure: str | None = None,
    confidence: float = 0.95,
) -> InterruptedTimeSeries:
    """Segmented regression of one series (Wagner et al. 2002), one row a moment.

    ``frame[time]`` is numbers or dates, gaps allowed; ``intervention`` the first moment under it.
    ``counts``: quasi-Poisson, the outcome a count, ``exposure`` the column of what it is counted
    over. Rows without an outcome are left out. Raises ``Refusal`` for fewer than 8 points on a
    side, two rows at one moment, a count below 0, an exposure of 0, or a series without variation.
    """
    used = frame.dropna(subset=[outcome]).sort_values(time)
    moments, start = _numbers(used[time], intervention)
    values = used[outcome].to_numpy(float)
    after = moments >= start
    _refuse(moments, after, intervention)
    since = moments - start
    design = np.column_stack([np.ones_like(since), since, after, after * since])
    before = np.column_stack([design[:, :2], np.zeros_like(design[:, :2])])
    sizes = used[exposure].to_numpy(float) if exposure else np.ones_like(values)
    if counts:
        fit = _fit_counts(design, values, sizes, moments)
    else:
        fit = regress(design, values, moments)
    estimates = [fit.estimate(number, confidence) for number in (2, 3, 1)]
    level, slope, trend = (one.as_factor() for one in estimates) if counts else estimates
    low, high = _band(fit, before, confidence)

    def shown(linear: Vector) -> Vector:
        return np.exp(linear) * sizes if counts else linear

    series = pd.DataFrame(
        {
            "time": used[time].to_numpy(),
            "observed": values,
            "fitted": shown(design @ fit.coefficients),
            "counterfactual": shown(before @ fit.coefficients),
            "counterfactual_low": shown(low),
            "counterfactual_high": shown(high),
        }
    )
    return InterruptedTimeSeries(
        level,
        slope,
        trend,
        int((~after).sum()),
        int(after.sum()),
        fit.autocorrelation,
        fit.degrees_of_freedom,
        series,
    )


def _numbers(moments: pd.Series, intervention: Any) -> tuple[Vector, float]:
    """Moments as numbers, dates as days."""
    if pd.api.types.is_numeric_dtype(moments):
        return np.asarray(moments, float), float(intervention)
    dates = pd.to_datetime(moments)
    first = dates.min()
    days = (dates - first) / pd.Timedelta(days=1)
    start = (pd.Timestamp(intervention) - first) / pd.Timedelta(days=1)
    return np.asarray(days, float), float(start)


def _refuse(moments: Vector, after: NDArray[np.bool_], intervention: Any) -> None:
    for side, points in (("before", int((~after).sum())), ("after", int(after.sum()))):
        if points < FEWEST_POINTS:
            raise Refusal(
                f"{points} points {side} the intervention at {intervention}; at least"
                f" {FEWEST_POINTS} are needed on each side"
            )
    if len(np.unique(moments)) < len(moments):
        raise Refusal("two rows are of one moment; sum or average them first")


def _fit_counts(design: Vector, counts: Vector, exposure: Vector, moments: Vector) -> Fit:
    """Quasi-Poisson with log link, then its last working step as a weighted linear regression.

    That step (McCullagh and Nelder 1989, 2.5) has residuals of one variance, the overdispersion, so
    that correlation and errors are estimated as for means.
    """
    import statsmodels.api as sm  # over a second, which most runs do without

    if (counts < 0).any() or (exposure <= 0).any():
        raise Refusal("counts have to be 0 or more, and exposures above 0")
    if not counts[design[:, 2] == 0].any() or not counts[design[:, 2] == 1].any():
        raise Refusal("one side of the intervention counts nothing at all, so no rate is estimable")
    offset = np.log(exposure)
    poisson = sm.GLM(counts, design, family=sm.families.Poisson(), offset=offset).fit()
    mean = np.asarray(poisson.mu)
    working = np.log(mean) - offset + (counts - mean) / mean
    weight = np.sqrt(mean)
    return regress(design * weight[:, None], working * weight, moments)


def _band(fit: Fit, design: Vector, confidence: float) -> tuple[Vector, Vector]:
    """Pointwise interval of what the design gives."""
    from scipy import stats

    error = np.sqrt(np.einsum("ij,jk,ik->i", design, fit.covariance, design).clip(min=0))
    reach = error * stats.t.ppf(0.5 + confidence / 2, fit.degrees_of_freedom)
    middle = design @ fit.coefficients
    return middle - reach, middle + reach

"""What a number is usually like beside others of its kind: pure statistics.

Belongs here: the usual range of a count or a ratio at one place of a seasonal series.
Does not belong here: which partitions are compared (``warehouse/comparable.py``).

A series is laid out in seasons: row 0 is centred at the value that is judged, the other rows are
the same stretch of other seasons, the nearest first; columns are places in the season, and NaN is
what is not there or cannot be compared. Two questions are asked of it.

Is the value usual beside its neighbours? It is expected at their median, plus what other seasons
have at this place above or below theirs. It may differ by as many standard deviations as sound
values do with a probability of ``by_chance``. The variance is that of a count (Poisson) or a share
(binomial), times what the series itself shows to be more than that (robustly: 1.4826 times the
median absolute residual), as in quasi-likelihood: McCullagh and Nelder, "Generalized Linear
Models", 1989, 4.5.

Is the stretch as a whole usual beside other seasons? Here real changes are large (a new form, a new
code book, growth), so only what no such change is known to do is unusual: odds three times as high
or low and 5 points besides, a mean that differs by a third, a count outside the modified z-score of
Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, median
from typing import Any

import numpy as np

FEWEST = 3  # neighbours, and other seasons
_PER_MAD = 1.4826
_DEVIATIONS = 3.5
# However alike the others are, this much is not unusual.
_ROWS_SHARE, _ROWS, _RATIO_SHARE, _POINT = 0.25, 10, 0.05, 0.01
_ODDS, _POINTS, _MEAN_SHARE = 3.0, 0.05, 1 / 3
# Below so many residuals their spread proves no variance smaller than that of counts.
_ENOUGH = 20

Matrix = Any  # numpy array, seasons x places


@dataclass(frozen=True)
class Range:
    """What would be usual. ``value``: what is judged; ``of_season``: the stretch as a whole."""

    value: float
    low: float
    high: float
    of_season: bool = False

    @property
    def holds(self) -> bool:
        """Whether the value is usual."""
        return self.low <= self.value <= self.high


def usual_count(
    counts: Matrix, centre: int, by_chance: float, vouching: Sequence[bool] | None = None
) -> list[Range]:
    """The usual ranges of the number of rows at ``counts[0, centre]``; none: too few others.

    ``vouching``: which seasons say what the stretch as a whole is like; all of them.
    """
    logs, variance = np.log(np.maximum(counts, 0.5)), 1 / np.maximum(counts, 0.5)
    found = []
    expected = _expected(logs, variance, centre, by_chance, at_least=1.0)
    if expected:
        middle, tolerance = expected
        tolerance = max(tolerance, math.log(1 + _ROWS_SHARE))
        low, high = math.exp(middle - tolerance), math.exp(middle + tolerance)
        low, high = min(low, math.exp(middle) - _ROWS), max(high, math.exp(middle) + _ROWS)
        found.append(Range(float(counts[0, centre]), max(0, math.floor(low)), math.ceil(high)))
    own, others = _levels(logs, centre, vouching)
    if others:
        low, high = usual_rows([math.exp(other) for other in others])
        alone = np.isnan(np.delete(counts[0], centre)).all()
        value = float(counts[0, centre]) if alone else math.exp(own)
        found.append(Range(value, low, high, of_season=not alone))
    return found


def usual_ratio(
    numerators: Matrix,
    denominators: Matrix,
    scale: float,
    centre: int,
    by_chance: float,
    vouching: Sequence[bool] | None = None,
) -> list[Range]:
    """The usual ranges of a ratio at ``[0, centre]``, in its unit; none: too few others."""
    cases = np.where(denominators > 0, denominators, np.nan)
    ratios = numerators / cases
    if np.isnan(ratios[0, centre]):
        return []
    there = ~np.isnan(ratios)
    share = bool((ratios[there] >= 0).all() and (ratios[there] <= 1).all())
    if share:
        # Anscombe, "The Transformation of Poisson, Binomial and Negative-Binomial Data", 1948: the
        # variance is that of the number of cases alone, and the range stays within 0 and 1.
        values = np.arcsin(np.sqrt((numerators + 0.375) / (cases + 0.75)))
        variance = 1 / (4 * cases + 2)
    else:
        values, variance = ratios, max(abs(float(np.nanmedian(ratios))), 1e-9) / cases

    def back(value: float) -> float:
        return math.sin(min(max(value, 0.0), math.pi / 2)) ** 2 if share else value

    found = []
    expected = _expected(values, variance, centre, by_chance, at_least=1.0 if share else 0.0)
    if expected:
        at, tolerance = expected
        floor = max(_RATIO_SHARE * abs(back(at)), _POINT if share else 0)
        low = min(back(at - tolerance), back(at) - floor)
        high = max(back(at + tolerance), back(at) + floor)
        low, high = (max(low, 0.0), min(high, 1.0)) if share else (low, high)
        found.append(Range(scale * float(ratios[0, centre]), scale * low, scale * high))
    own, others = _levels(values, centre, vouching)
    if others:
        far = [_far(back(other), share) for other in others[:FEWEST]]
        low, high = min(low for low, _ in far), max(high for _, high in far)
        alone = np.isnan(np.delete(ratios[0], centre)).all()
        value = float(ratios[0, centre]) if alone else back(own)
        found.append(Range(scale * value, scale * low, scale * high, of_season=not alone))
    return found


def usual_rows(rows: Sequence[float]) -> tuple[int, int]:
    """Fewest and most rows that are usual beside these counts, all of them above 0."""
    # In logarithms steady growth is a straight line, and its ends are as near as those of a level.
    logs = [math.log(count) for count in rows]
    middle = median(logs)
    spread = median(abs(value - middle) for value in logs)
    margin = max(_DEVIATIONS * _PER_MAD * spread, math.log(1 + _ROWS_SHARE))
    # A count of n cases varies by its square root.
    noise = max(_DEVIATIONS * math.sqrt(math.exp(middle)), _ROWS)
    low = min(math.exp(middle - margin), math.exp(middle) - noise)
    high = max(math.exp(middle + margin), math.exp(middle) + noise)
    return max(0, math.floor(low)), math.ceil(high)


def _far(at: float, share: bool) -> tuple[float, float]:
    """How far another season may be from one at ``at``."""
    if not share:
        return at - _MEAN_SHARE * abs(at), at + _MEAN_SHARE * abs(at)
    low, high = (at / (at + factor * (1 - at)) for factor in (_ODDS, 1 / _ODDS))
    return max(0.0, min(low, at - _POINTS)), min(1.0, max(high, at + _POINTS))


def _expected(
    values: Matrix, variance: Matrix, centre: int, by_chance: float, at_least: float
) -> tuple[float, float] | None:
    """Where the value is expected beside its neighbours, and how far off it may be."""
    neighbours = ~np.isnan(values[0])
    neighbours[centre] = False
    if neighbours.sum() < FEWEST:
        return None
    levels = _medians(values[:, neighbours])
    above = (values[:, centre] - levels)[1:]
    others = ~np.isnan(above)
    season, season_variance = 0.0, 0.0
    if others.sum() >= FEWEST:
        season = float(np.median(above[others]))
        season_variance = _of_median(variance[1:, centre][others])
    own = variance[0, centre] + _of_median(variance[0, neighbours]) + season_variance
    excess = max(_excess(values, variance, centre, others.sum() >= FEWEST), at_least)
    deviations = NormalDist().inv_cdf(1 - by_chance / 2)
    return float(levels[0]) + season, deviations * excess * math.sqrt(own)


def _of_median(variances: Matrix) -> float:
    """The variance of a median of these, which is pi / 2 of that of their mean."""
    return math.pi / 2 * float(variances.mean()) / len(variances)


def _excess(values: Matrix, variance: Matrix, centre: int, seasonal: bool) -> float:
    """How many times the standard deviation of chance the others show."""
    others = values.copy()
    others[0, centre] = np.nan
    rest = others - _medians(others)[:, None]
    if seasonal:
        # Columns of one or two values would be explained by themselves.
        seasons = np.full(values.shape[1], 0.0)
        enough = (~np.isnan(rest)).sum(axis=0) >= FEWEST
        seasons[enough] = np.nanmedian(rest[:, enough], axis=0)
        rest = rest - seasons
    found = np.abs(rest / np.sqrt(variance))
    found = found[~np.isnan(found)]
    spread = float(_PER_MAD * np.median(found)) if found.size else 1.0
    return spread if found.size >= _ENOUGH else max(1.0, spread)


def _levels(
    values: Matrix, centre: int, vouching: Sequence[bool] | None
) -> tuple[float, list[float]]:
    """The level of the stretch, and those of other seasons, the nearest first; none: too few."""
    there = ~np.isnan(values[0])
    # A season of which less than half is there may be another part of it.
    enough = (~np.isnan(values[:, there])).sum(axis=1) * 2 >= there.sum()
    enough &= np.array(vouching or [True] * len(values))
    levels = _medians(values[:, there])
    others = [float(level) for level, whole in zip(levels[1:], enough[1:], strict=True) if whole]
    return float(levels[0]), others if len(others) >= FEWEST else []


def _medians(values: Matrix) -> Matrix:
    """The median of each row; NaN where nothing is there. One bad neighbour moves it little."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of rows where nothing is there
        return np.nanmedian(values, axis=1)

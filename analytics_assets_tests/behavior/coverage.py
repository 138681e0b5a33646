"""How often the intervals of an interrupted time series hold what was planted, by option.

The slow test of ``test_its_options.py`` writes the table of docs/behavior.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from analytics_assets.domains.behavior.analysis import interrupted_time_series
from analytics_assets.domains.behavior.analysis.its import FEWEST_POINTS

LEVEL, SLOPE, SEASON = 1.5, 0.05, 2.0
_COUNT = 40.0  # of a point, and the spread of its logarithm:
_SPREAD = 0.15


LENGTHS, CORRELATIONS = (24, 36, 60, 120), (0.0, 0.3, 0.6)


@dataclass(frozen=True)
class Option:
    """Arguments of the analysis, and what the planted series has beside its trend."""

    arguments: Mapping[str, Any]
    interventions: int = 1
    missing: float = 0.0
    dated: bool = False


_COUNTS: dict[str, Any] = {"counts": True}
OPTIONS = {
    "default": Option({}),
    "monthly dates, a tenth of them missing": Option({}, missing=0.1, dated=True),
    '`impact="level"`': Option({"impact": "level"}),
    "`period=12`": Option({"period": 12}),
    "two interventions": Option({}, interventions=2),
    "`lag=3`": Option({"lag": 3}),
    '`covariance="hac"`': Option({"covariance": "hac"}),
    '`covariance="hac"`, `period=12`': Option({"covariance": "hac", "period": 12}),
    "counts": Option(_COUNTS),
    'counts, `covariance="hac"`': Option({**_COUNTS, "covariance": "hac"}),
    'counts, `covariance="quasi-poisson"`': Option({**_COUNTS, "covariance": "quasi-poisson"}),
    'counts, `covariance="quasi-poisson"`, `impact="level"`, `period=12`': Option(
        {**_COUNTS, "covariance": "quasi-poisson", "impact": "level", "period": 12}
    ),
}


def correlated(rng: np.random.Generator, points: int, correlation: float) -> np.ndarray:
    """Errors of variance 1."""
    errors = rng.normal(size=points)
    for number in range(1, points):
        fresh = np.sqrt(1 - correlation**2) * errors[number]
        errors[number] = correlation * errors[number - 1] + fresh
    return errors


def plant(
    seed: int, option: Option, points: int | None = None, correlation: float | None = None
) -> list[bool]:
    """Whether the intervals of a series hold: level and slope of each intervention in turn.

    Of 24 to 120 points and correlation 0 to 0.6, where it is not said.
    """
    rng = np.random.default_rng(seed)
    drawn_points, drawn_correlation = int(rng.integers(24, 121)), float(rng.uniform(0, 0.6))
    points = drawn_points if points is None else points
    correlation = drawn_correlation if correlation is None else correlation
    given = option.arguments
    lag = given.get("lag", 0)
    free = points - FEWEST_POINTS * (option.interventions + 1) - lag
    starts = np.sort(rng.integers(0, free + 1, size=option.interventions))
    starts += FEWEST_POINTS * np.arange(1, option.interventions + 1)
    slope = 0.0 if given.get("impact") == "level" else SLOPE
    at = np.arange(points)
    expected = 0.02 * at
    for start in starts + lag:
        expected = expected + (at >= start) * (LEVEL + slope * (at - start))
    if "period" in given:
        expected = expected + SEASON * np.sin(2 * np.pi * at / given["period"])
    drawn = expected + correlated(rng, points, correlation)
    frame = pd.DataFrame({"time": at, "outcome": drawn})
    if given.get("counts"):
        frame["outcome"] = rng.poisson(_COUNT * np.exp(_SPREAD * drawn))
    whens: list[Any] = starts.tolist()
    if option.dated:
        frame["time"] = pd.Timestamp("2015-01-01") + frame["time"].map(
            lambda number: pd.DateOffset(months=number)
        )
        whens = frame["time"].iloc[starts].tolist()
    if option.missing:
        frame = frame[_kept(rng, points, starts, option.missing)]
    found = interrupted_time_series(
        frame, time="time", outcome="outcome", intervention=whens, **given
    )
    held = []
    unit = 365.2425 / 12 if option.dated else 1.0
    for change in found.changes:
        for estimate, true in ((change.level_change, LEVEL), (change.slope_change, SLOPE / unit)):
            if estimate is not None:
                true = np.exp(_SPREAD * true) if given.get("counts") else true
                held.append(bool(estimate.low <= true <= estimate.high))
    return held


def _kept(rng: np.random.Generator, points: int, starts: np.ndarray, missing: float) -> np.ndarray:
    """Points that are there, 8 of each side always."""
    kept = rng.uniform(size=points) >= missing
    for edge in starts:
        kept[edge - FEWEST_POINTS : edge + FEWEST_POINTS] = True
    return kept


def coverage(
    name: str, series: int, points: int | None = None, correlation: float | None = None
) -> list[float]:
    """Share of intervals that hold, in percent: of changes of level, and of slope if there are."""
    option = OPTIONS[name]
    held = np.array([plant(seed, option, points, correlation) for seed in range(series)])
    of = 1 if option.arguments.get("impact") == "level" else 2
    return [float(100 * held[:, number::of].mean()) for number in range(of)]


def measured(series: int) -> dict[tuple[str, int, float], list[float]]:
    """The coverage of each option at each length and correlation."""
    cells = list(product(OPTIONS, LENGTHS, CORRELATIONS))
    with ProcessPoolExecutor(2) as pool:
        found = pool.map(coverage, *zip(*((n, series, p, c) for n, p, c in cells), strict=True))
        return dict(zip(cells, found, strict=True))


def table(found: Mapping[tuple[str, int, float], list[float]]) -> str:
    """A row an option and parameter, a column a length; correlations follow each other."""
    head = "".join(f" {points} points |" for points in LENGTHS)
    lines = [f"| option | change of |{head}", "|---|---|" + "---|" * len(LENGTHS)]
    for name in OPTIONS:
        for number in range(len(found[name, LENGTHS[0], CORRELATIONS[0]])):
            shares = [
                " / ".join(f"{found[name, points, c][number]:.0f}" for c in CORRELATIONS)
                for points in LENGTHS
            ]
            lines.append(f"| {name} | {('level', 'slope')[number]} | {' | '.join(shares)} |")
    return "\n".join(lines) + "\n"

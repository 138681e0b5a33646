"""How often the intervals of an interrupted time series hold what was planted, by option.

``python -m analytics_assets_tests.behavior.coverage 2000`` prints the table of docs/behavior.md.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analytics_assets.domains.behavior.analysis import interrupted_time_series
from analytics_assets.domains.behavior.analysis.its import FEWEST_POINTS

LEVEL, SLOPE, SEASON = 1.5, 0.05, 2.0
_COUNT = 40.0  # of a point, and the spread of its logarithm:
_SPREAD = 0.15


@dataclass(frozen=True)
class Option:
    """Arguments of the analysis, and what the planted series has beside its trend."""

    arguments: Mapping[str, Any]
    interventions: int = 1
    missing: float = 0.0
    dated: bool = False


_COUNTS: dict[str, Any] = {"counts": True}
OPTIONS = {
    "default: level and slope, prewhitened": Option({}),
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


@dataclass(frozen=True)
class Planted:
    """One series and what became of it."""

    points: int
    correlation: float
    held: tuple[bool, ...]
    warned: bool


def plant(seed: int, option: Option) -> Planted:
    """A series of 24 to 120 points, correlation 0 to 0.6, and whether its intervals hold."""
    rng = np.random.default_rng(seed)
    points, correlation = int(rng.integers(24, 121)), float(rng.uniform(0, 0.6))
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
    return Planted(points, correlation, tuple(held), found.warning is not None)


def _kept(rng: np.random.Generator, points: int, starts: np.ndarray, missing: float) -> np.ndarray:
    """Points that are there, 8 of each side always."""
    kept = rng.uniform(size=points) >= missing
    for edge in starts:
        kept[edge - FEWEST_POINTS : edge + FEWEST_POINTS] = True
    return kept


def coverage(option: Option, series: int) -> dict[str, float]:
    """Share of intervals that hold, in percent: all, and those of short and correlated series."""
    drawn = [plant(seed, option) for seed in range(series)]
    short = [one for one in drawn if one.points < 48]

    def share(some: list[Planted], which: int) -> float:
        held = [one.held[which :: 1 if len(one.held) == 1 else 2] for one in some]
        return round(100 * float(np.mean([hold for one in held for hold in one])), 1)

    found = {"level": share(drawn, 0)}
    if len(drawn[0].held) > 1:
        found["slope"] = share(drawn, 1)
    found["level, below 48 points"] = share(short, 0)
    found["level, below 48 points and correlation above 0.3"] = share(
        [one for one in short if one.correlation > 0.3], 0
    )
    found["warned"] = round(100 * float(np.mean([one.warned for one in drawn])), 1)
    if any(one.warned for one in drawn):
        found["level, not warned"] = share([one for one in drawn if not one.warned], 0)
        found["level, warned"] = share([one for one in drawn if one.warned], 0)
    return found


def main() -> None:
    series = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    for name, option in OPTIONS.items():
        print(f"| {name} |", coverage(option, series), flush=True)


if __name__ == "__main__":
    main()

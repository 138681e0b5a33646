"""The analyses as rows of tables, with a picture each.

Belongs here: choosing the series of each user and of all of them, and estimates -> rows.
Does not belong here: the analyses themselves.

A user whose series cannot be analysed has a row that says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow

from analytics_assets.behavior.analysis.abab import PHASES, Abab, abab, pooled_effect
from analytics_assets.behavior.analysis.estimates import Estimate, Refusal
from analytics_assets.behavior.analysis.its import InterruptedTimeSeries, interrupted_time_series
from analytics_assets.behavior.analysis.wwc import CRITERIA
from analytics_assets.core.display import Marks, chart_as_markdown

EVERYBODY = "all"
_RED, _GREY, _DIGITS = "#b4432f", "#bbbbbb", 6
_SHOWN_USERS = 30


def _named(*estimates: str) -> list[str]:
    return [name + end for name in estimates for end in ("", "_low", "_high", "_p_value")]


_ITS = dict.fromkeys(
    ["subject", "outcome", *_named("level_change", "slope_change", "slope_before")]
    + ["points_before", "points_after", "autocorrelation", "degrees_of_freedom", "refusal"]
)
_ABAB = dict.fromkeys(
    [
        "subject",
        *_named("effect"),
        *(f"{phase}_{what}" for what in ("mean", "points") for phase in PHASES),
    ]
    + ["designs", "hedges_g", "nap", "tau_u", *CRITERIA, "rating", "refusal"]
)


def its_rows(daily: pd.DataFrame, report: dict[str, Any]) -> pyarrow.Table:
    """Level and slope change from first baseline to first intervention, by user and for all.

    Days count from each user's own start of the intervention; of all users there is the mean of
    their daily mean scores, and their events per user.
    """
    daily = _since_start(daily)
    rows = []
    for subject, series in _subjects(daily):
        for outcome, counts in (("mean_score", False), ("events", True)):
            found: InterruptedTimeSeries | Refusal
            try:
                found = interrupted_time_series(
                    series,
                    time="since",
                    outcome=outcome,
                    intervention=0,
                    counts=counts,
                    exposure="users" if counts else None,
                )
            except Refusal as refusal:
                found = refusal
            rows.append(_ITS | {"subject": subject, "outcome": outcome} | _its_row(found))
            if subject == EVERYBODY and not counts and isinstance(found, InterruptedTimeSeries):
                report["mean score of all users"] = dg.MetadataValue.md(_its_picture(found))
    report["series refused"] = sum(row["refusal"] is not None for row in rows)
    return pyarrow.Table.from_pylist(rows)


def abab_rows(daily: pd.DataFrame, report: dict[str, Any]) -> pyarrow.Table:
    """The effect of the intervention on the daily mean score, by user and for all.

    That of all users is the mean of their effects, each of them randomised by itself.
    """
    analysed: list[Abab] = []
    rows = []
    for subject, series in daily.groupby("user_id", sort=True):
        found: Abab | Refusal
        try:
            found = abab(series, time="day", phase="phase", outcome="mean_score")
            analysed.append(found)
        except Refusal as refusal:
            found = refusal
        rows.append(_ABAB | {"subject": subject} | _abab_row(found))
    try:
        everybody: dict[str, Any] = _estimate("effect", pooled_effect(analysed))
        report["mean score by phase, each user and all"] = dg.MetadataValue.md(
            _abab_picture(analysed)
        )
    except Refusal as refusal:
        everybody = {"refusal": str(refusal)}
    report["series refused"] = sum(row["refusal"] is not None for row in rows)
    rows.append(_ABAB | {"subject": EVERYBODY} | everybody)
    return pyarrow.Table.from_pylist(rows)


def _since_start(daily: pd.DataFrame) -> pd.DataFrame:
    """Days from each user's start of the intervention; users who never started are left out."""
    days = pd.to_datetime(daily["day"])
    treated = daily["phase"] == "intervention_A_1"
    start = days[treated].groupby(daily["user_id"][treated]).min()
    since = days - daily["user_id"].map(start)
    return daily.assign(since=since.dt.days, users=1)


def _subjects(daily: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    yield from ((str(user), series) for user, series in daily.groupby("user_id", sort=True))
    yield (
        EVERYBODY,
        daily.groupby("since", as_index=False).agg(
            mean_score=("mean_score", "mean"), events=("events", "sum"), users=("users", "sum")
        ),
    )


def _its_row(found: InterruptedTimeSeries | Refusal) -> dict[str, Any]:
    if isinstance(found, Refusal):
        return {"refusal": str(found)}
    return {
        **_estimate("level_change", found.level_change),
        **_estimate("slope_change", found.slope_change),
        **_estimate("slope_before", found.slope_before),
        "points_before": found.points_before,
        "points_after": found.points_after,
        "autocorrelation": round(found.autocorrelation, _DIGITS),
        "degrees_of_freedom": round(found.degrees_of_freedom, _DIGITS),
        "refusal": None,
    }


def _abab_row(found: Abab | Refusal) -> dict[str, Any]:
    if isinstance(found, Refusal):
        return {"refusal": str(found)}
    return {
        **_estimate("effect", found.effect),
        **{f"{phase}_mean": round(mean, _DIGITS) for phase, mean in found.phase_means.items()},
        **{f"{phase}_points": points for phase, points in found.phase_points.items()},
        "designs": found.designs,
        "hedges_g": _known(found.hedges_g),
        "nap": _known(found.nap),
        "tau_u": _known(found.tau_u),
        **found.criteria,
        "rating": found.rating,
        "refusal": None,
    }


def _estimate(name: str, estimate: Estimate) -> dict[str, float | None]:
    return {
        name: _known(estimate.value),
        f"{name}_low": _known(estimate.low),
        f"{name}_high": _known(estimate.high),
        f"{name}_p_value": _known(estimate.p_value),
    }


def _known(value: float) -> float | None:
    """Rounded, so that the last bits of another processor make no new version; infinite is NULL."""
    return round(value, _DIGITS) if np.isfinite(value) else None


def _its_picture(found: InterruptedTimeSeries) -> str:
    series = found.series

    def points(name: str) -> list[tuple[float, float]]:
        return list(zip(series["time"], series[name], strict=True))

    return chart_as_markdown(
        [
            Marks(points("observed"), "dots", _GREY),
            Marks(points("fitted")),
            Marks(points("counterfactual"), "dashes", _RED),
        ],
        "Observed (dots), fitted (line) and as it would have gone on (dashes), by days since the"
        " start of the intervention",
        ruled=[0.0],
    )


def _abab_picture(analysed: list[Abab]) -> str:
    means = np.array([[one.phase_means[phase] for phase in PHASES] for one in analysed])
    own = [Marks(list(enumerate(user)), "line", _GREY) for user in means[:_SHOWN_USERS].tolist()]
    middle = Marks(list(enumerate(means.mean(axis=0).tolist())))
    return chart_as_markdown([*own, middle], "Mean score in " + ", ".join(PHASES))

"""The analyses as rows of tables, with a picture each.

Belongs here: choosing the series of each user and of all of them, and estimates -> rows.
Does not belong here: the analyses themselves.

A user whose series cannot be analysed has a row that says why.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow

from analytics_assets.core.display import Marks, chart_as_markdown
from analytics_assets.domains.behavior.analysis.abab import Abab, abab, pooled_effect
from analytics_assets.domains.behavior.analysis.between_case import between_case_smd
from analytics_assets.domains.behavior.analysis.estimates import Estimate, Refusal, mean_of
from analytics_assets.domains.behavior.analysis.its import (
    FEWEST_POINTS,
    InterruptedTimeSeries,
    interrupted_time_series,
)
from analytics_assets.domains.behavior.analysis.phases import PHASES
from analytics_assets.domains.behavior.analysis.wwc import CRITERIA

EVERYBODY = "all"
_RED, _GREY, _DIGITS = "#b4432f", "#bbbbbb", 6
_SHOWN_USERS = 30


def _named(*estimates: str) -> list[str]:
    return [name + end for name in estimates for end in ("", "_low", "_high", "_p_value")]


_ITS = dict.fromkeys(
    ["subject", "outcome", *_named("level_change", "slope_change", "slope_before")]
    + ["level_before", "points_before", "points_after", "autocorrelation", "degrees_of_freedom"]
    + ["model", "warning", "refusal"]
)
_ABAB = dict.fromkeys(
    [
        "subject",
        *_named("effect"),
        *(f"{phase}_{what}" for what in ("mean", "points") for phase in PHASES),
    ]
    + ["designs", "mean_phase_difference", "within_case_smd", "nap", "tau_u"]
    + ["between_case_smd", "between_case_smd_standard_error", "between_case_smd_low"]
    + ["between_case_smd_high", "between_case_smd_degrees_of_freedom"]
    + [*CRITERIA, "rating", "warning", "refusal"]
)


def its_rows(daily: pd.DataFrame, report: dict[str, Any]) -> pyarrow.Table:
    """Level and slope change from first baseline to first intervention, by user and for all.

    Those of all users are means of their own: series that begin on different days cannot be
    averaged without a trend that nobody has.
    """
    rows, outcomes = [], (("mean_score", False), ("events", True))
    analysed: dict[str, list[InterruptedTimeSeries]] = {outcome: [] for outcome, _ in outcomes}
    for subject, series in daily.groupby("user_id", sort=True):
        by_day = _since_start(series)
        for outcome, counts in outcomes:
            row = _ITS | {"subject": subject, "outcome": outcome}
            try:
                found = interrupted_time_series(
                    by_day, time="since", outcome=outcome, intervention=0, counts=counts
                )
            except Refusal as refusal:
                rows.append(row | {"refusal": str(refusal)})
            else:
                analysed[outcome].append(found)
                rows.append(row | _its_row(found))
    report["series refused"] = sum(row["refusal"] is not None for row in rows)
    for outcome, counts in outcomes:
        row = _ITS | {"subject": EVERYBODY, "outcome": outcome}
        try:
            rows.append(row | _its_of_all(analysed[outcome], counts))
        except Refusal as refusal:
            rows.append(row | {"refusal": str(refusal)})
    if analysed["mean_score"]:
        report["mean score of all users"] = dg.MetadataValue.md(
            _its_picture(analysed["mean_score"])
        )
    return pyarrow.Table.from_pylist(rows)


def abab_rows(daily: pd.DataFrame, report: dict[str, Any]) -> pyarrow.Table:
    """The effect of the intervention on the daily mean score, by user and for all.

    That of all users is the mean of their effects, each of them randomised by itself, and the
    effect size between them; users without a randomisation test are in neither.
    """
    analysed: dict[str, Abab] = {}
    rows = []
    for subject, series in daily.groupby("user_id", sort=True):
        found: Abab | Refusal
        try:
            found = abab(series, time="day", phase="phase", outcome="mean_score")
            if found.tested:
                analysed[str(subject)] = found
        except Refusal as refusal:
            found = refusal
        rows.append(_ABAB | {"subject": subject} | _abab_row(found))
    everybody = _abab_of_all(daily[daily["user_id"].astype(str).isin(analysed)], analysed.values())
    if analysed:
        report["mean score by phase, each user and all"] = dg.MetadataValue.md(
            _abab_picture(list(analysed.values()))
        )
    report["series refused"] = sum(row["refusal"] is not None for row in rows)
    rows.append(_ABAB | {"subject": EVERYBODY} | everybody)
    return pyarrow.Table.from_pylist(rows)


def _abab_of_all(daily: pd.DataFrame, analysed: Collection[Abab]) -> dict[str, Any]:
    try:
        row: dict[str, Any] = _estimate("effect", pooled_effect(analysed))
    except Refusal as refusal:
        return {"refusal": str(refusal)}
    differences = [one.mean_phase_difference for one in analysed]
    row["mean_phase_difference"] = _known(float(np.mean(differences)))
    try:
        found = between_case_smd(
            daily, case="user_id", time="day", phase="phase", outcome="mean_score"
        )
    except Refusal as refusal:
        return row | {"warning": f"no effect size between users: {refusal}"}
    return row | {
        "between_case_smd": _known(found.smd),
        "between_case_smd_standard_error": _known(found.standard_error),
        "between_case_smd_low": _known(found.low),
        "between_case_smd_high": _known(found.high),
        "between_case_smd_degrees_of_freedom": _known(found.degrees_of_freedom),
    }


def _since_start(series: pd.DataFrame) -> pd.DataFrame:
    """A user's days from the start of the intervention, those without an event with 0 events."""
    days = pd.to_datetime(series["day"])
    start = days[series["phase"] == "intervention_A_1"].min()
    if pd.isna(start):
        return series.assign(since=-1)
    counted = series.assign(since=(days - start).dt.days)
    if counted["since"].duplicated().any():
        return counted
    every = pd.RangeIndex(counted["since"].min(), counted["since"].max() + 1, name="since")
    return counted.set_index("since").reindex(every).fillna({"events": 0}).reset_index()


def _its_of_all(analysed: Sequence[InterruptedTimeSeries], counts: bool) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name in ("level_change", "slope_change", "slope_before"):
        estimates = [_there(getattr(one, name)) for one in analysed]
        row |= _estimate(name, mean_of(estimates, factors=counts))
    return row


def _there(estimate: Estimate | None) -> Estimate:
    """All models of the table have a change of slope."""
    assert estimate is not None
    return estimate


def _its_row(found: InterruptedTimeSeries | Refusal) -> dict[str, Any]:
    if isinstance(found, Refusal):
        return {"refusal": str(found)}
    return {
        **_estimate("level_change", found.level_change),
        **_estimate("slope_change", _there(found.slope_change)),
        **_estimate("slope_before", found.slope_before),
        "level_before": _level_before(found),
        "points_before": found.points_before,
        "points_after": found.points_after,
        "autocorrelation": round(found.autocorrelation, _DIGITS),
        "degrees_of_freedom": round(found.degrees_of_freedom, _DIGITS),
        "model": found.model,
        "warning": found.warning,
        "refusal": None,
    }


def _level_before(found: InterruptedTimeSeries) -> float | None:
    """Where the trend before leads to at the start of the intervention."""
    at_start = found.series.loc[found.series["time"] == 0, "counterfactual"]
    return _known(float(at_start.iloc[0])) if len(at_start) else None


def _abab_row(found: Abab | Refusal) -> dict[str, Any]:
    if isinstance(found, Refusal):
        return {"refusal": str(found)}
    return {
        **_estimate("effect", found.effect),
        **{f"{phase}_mean": round(mean, _DIGITS) for phase, mean in found.phase_means.items()},
        **{f"{phase}_points": points for phase, points in found.phase_points.items()},
        "designs": found.designs,
        "mean_phase_difference": _known(found.mean_phase_difference),
        "within_case_smd": _known(found.within_case_smd),
        "nap": _known(found.nap),
        "tau_u": _known(found.tau_u),
        **found.criteria,
        "rating": found.rating,
        "warning": found.warning,
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


def _its_picture(analysed: Sequence[InterruptedTimeSeries]) -> str:
    """Means over users, of the days around the intervention that all of them have."""
    every = pd.concat([one.series for one in analysed])
    near = every[every["time"].between(-FEWEST_POINTS, FEWEST_POINTS - 1)]
    series = near.groupby("time", as_index=False).mean()

    def points(name: str) -> list[tuple[float, float]]:
        return list(zip(series["time"], series[name], strict=True))

    return chart_as_markdown(
        [
            Marks(points("observed"), "dots", _GREY),
            Marks(points("fitted")),
            Marks(points("counterfactual"), "dashes", _RED),
        ],
        "Observed (dots), fitted (line) and as it would have gone on (dashes),"
        f" {FEWEST_POINTS} days before and after the start of the intervention",
        ruled=[0.0],
    )


def _abab_picture(analysed: list[Abab]) -> str:
    means = np.array([[one.phase_means[phase] for phase in PHASES] for one in analysed])
    own = [Marks(list(enumerate(user)), "line", _GREY) for user in means[:_SHOWN_USERS].tolist()]
    middle = Marks(list(enumerate(means.mean(axis=0).tolist())))
    return chart_as_markdown([*own, middle], "Mean score in " + ", ".join(PHASES))

"""An interrupted time series is the same in any unit of time, and its options do what they say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.domains.behavior.analysis import (
    InterruptedTimeSeries,
    Refusal,
    interrupted_time_series,
)
from analytics_assets.domains.behavior.analysis.estimates import regress
from analytics_assets_tests.behavior.coverage import (
    OPTIONS,
    correlated,
    coverage,
    measured,
    table,
)
from analytics_assets_tests.behavior.published import sicily

_MONTH = 365.2425 / 12
PAGE = Path(__file__).parents[2] / "docs" / "behavior.md"
BEGIN, END = "<!-- coverage: written by a test -->", "<!-- end of coverage -->"
SERIES = 200  # of each cell of the table


def series(seed: int, points: int = 48, missing: float = 0.0) -> pd.DataFrame:
    """Correlated points, 8 of each side of the middle always there."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"time": range(points)})
    frame["score"] = 5 + correlated(rng, points, 0.4) + (frame["time"] >= points // 2)
    frame["events"] = rng.poisson(20, size=points)
    kept = rng.uniform(size=points) >= missing
    kept[points // 2 - 8 : points // 2 + 8] = True
    return frame[kept].reset_index(drop=True)


def its(frame: pd.DataFrame, at: Any = 24, **more: Any) -> InterruptedTimeSeries:
    given = {"time": "time", "outcome": "score", **more}
    return interrupted_time_series(frame, intervention=at, **given)


def told(found: InterruptedTimeSeries, unit: float = 1.0, counts: bool = False) -> list[float]:
    """All that it says, slopes in such units of time."""
    numbers = [found.autocorrelation, found.degrees_of_freedom]
    for change in found.changes:
        numbers += [change.level_change.value, change.level_change.low, change.level_change.high]
        numbers.append(change.level_change.p_value)
    for slope in (found.slope_before, *(change.slope_change for change in found.changes)):
        if slope is not None:
            three = np.array([slope.value, slope.low, slope.high])
            numbers += ((np.log(three) if counts else three) * unit).tolist()
            numbers.append(slope.p_value)
    return numbers


# ---- the unit of time ---------------------------------------------------------------------------

_MODELS: list[dict[str, Any]] = [
    {},
    {"impact": "level", "period": 12},
    {"lag": 2, "covariance": "hac"},
    {"counts": True, "outcome": "events", "covariance": "quasi-poisson"},
]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    unit=st.sampled_from([7, 24, 86_400, 1 / 12, 1 / 365.25, 10**15]),
    epoch=st.sampled_from([0, -17, 2_002, 1_640_995_200]),
    model=st.sampled_from(_MODELS),
    shuffle=st.integers(0, 100),
)
def test_unit_epoch_and_order_do_not_matter(
    seed: int, unit: float, epoch: int, model: dict[str, Any], shuffle: int
) -> None:
    if "counts" in model:
        unit = min(unit, 86_400)  # a factor of 1 + 10^-16 is 1
    if unit < 1:
        epoch = min(epoch, 2_002)  # seconds since 1970 in years have no digits left for a day
    frame = series(seed, missing=0.2)
    expected = told(its(frame, **model), counts="counts" in model)
    other = frame.assign(time=unit * frame["time"] + epoch)
    found = its(other.sample(frac=1, random_state=shuffle), unit * 24 + epoch, **model)
    assert told(found, unit, "counts" in model) == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert list(found.series["time"]) == sorted(other["time"])


@pytest.mark.parametrize("offset", ["D", "W", "h", "min"])
def test_dates_of_any_step_are_their_numbers(offset: str) -> None:
    frame = series(1, missing=0.2)
    step = pd.Timedelta(1, offset) if offset != "W" else pd.Timedelta(days=7)
    dated = frame.assign(time=pd.Timestamp("2021-03-05T10:00") + frame["time"] * step)
    at = pd.Timestamp("2021-03-05T10:00") + 24 * step
    days = step / pd.Timedelta(days=1)
    assert told(its(dated, at), days) == pytest.approx(told(its(frame)), rel=1e-6)
    zoned = dated.assign(time=dated["time"].dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin"))
    found = its(zoned, at.tz_localize("UTC"))
    assert told(found, days) == pytest.approx(told(its(frame)), rel=1e-6)


def test_days_on_the_spot_have_24_hours() -> None:
    frame = series(2)
    days = pd.date_range("2024-03-10", periods=48, freq="D", tz="Europe/Berlin")
    assert told(its(frame.assign(time=days), days[24])) == pytest.approx(told(its(frame)))


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    day=st.sampled_from([1, 15, 28, 30, 31]),
    step=st.sampled_from([1, 3, 12]),
)
def test_monthly_quarterly_and_yearly_dates_are_their_numbers(
    seed: int, day: int, step: int
) -> None:
    frame = series(seed, missing=0.2)
    first = pd.Timestamp(2019, 1, day)

    def date(number: int) -> pd.Timestamp:
        return first + pd.DateOffset(months=step * number)

    dated = frame.assign(time=[date(number) for number in frame["time"]])
    expected = told(its(frame))
    assert told(its(dated, date(24)), step * _MONTH) == pytest.approx(expected, rel=1e-6)
    as_text = dated.assign(time=dated["time"].dt.strftime("%Y-%m-%d"))
    assert told(its(as_text, str(date(24).date())), step * _MONTH) == pytest.approx(expected)


def test_the_same_months_as_dates_and_numbers(real_data: Path) -> None:
    path = real_data.parent / "cases" / "other" / "04_its_time_unit" / "monthly.csv"
    if not path.exists():
        pytest.skip(f"the case is not here ({path})")
    frame = pd.read_csv(path)
    for time, at in (("month_number", 24), ("month", "2022-01-01")):
        found = its(frame, at, time=time)
        level = found.level_change
        assert [round(x, 2) for x in (level.value, level.low, level.high)] == [3.55, 1.96, 5.15]
        assert level.p_value == pytest.approx(0.0004, abs=5e-5)
        assert found.degrees_of_freedom == pytest.approx(11.6, abs=0.05)
    # Days since a day are no months, and nearly so.
    days = (pd.to_datetime(frame["month"]) - pd.Timestamp("2020-01-01")).dt.days
    found = its(frame.assign(time=days), 731)
    assert found.level_change.low == pytest.approx(1.96, rel=0.03)
    assert found.degrees_of_freedom == pytest.approx(11.6, rel=0.06)


def test_months_in_any_unit_as_published_data_have_them() -> None:
    frame = sicily()
    counted = {"outcome": "episodes", "counts": True, "exposure": "population"}
    for time, at in (("number", 37), ("month", "2005-01-01"), ("month", pd.Period("2005-01"))):
        found = its(frame, at, time=time, **counted)
        interval = (found.level_change.low, found.level_change.high)
        assert [round(end, 3) for end in interval] == [0.815, 0.987]
        assert round(found.degrees_of_freedom, 1) == 25.5
    weeks = frame.assign(time=frame["number"] * _MONTH / 7)
    assert round(its(weeks, 37 * _MONTH / 7, **counted).degrees_of_freedom, 1) == 25.5


def test_missing_points_stay_gaps() -> None:
    frame = series(3, points=96)
    frame["score"] += 0.3 * frame["time"]
    weekdays = frame[frame["time"] % 7 < 5]
    found = its(weekdays, 49)
    assert found.slope_before.value == pytest.approx(0.3, abs=0.05)
    # What neighbours correlate is not what those correlate that have a gap between them.
    closed = weekdays.assign(time=range(len(weekdays)))
    assert found.autocorrelation != pytest.approx(its(closed, 35).autocorrelation, abs=1e-6)
    blank = frame.assign(score=frame["score"].where(frame["time"] % 7 < 5))
    assert told(its(blank, 49)) == pytest.approx(told(found))


# ---- options ------------------------------------------------------------------------------------


def test_a_step_alone_and_a_season_are_the_tutorials() -> None:
    """Bernal, Cummins and Gasparrini (2017): 0.894, and 0.885 (0.839 to 0.933) with a season."""
    counted: dict[str, Any] = {
        "time": "month",
        "outcome": "episodes",
        "counts": True,
        "exposure": "population",
        "impact": "level",
        "covariance": "quasi-poisson",
    }
    step = its(sicily(), "2005-01-01", **counted)
    assert step.level_change.value == pytest.approx(0.8944, abs=1e-4)
    assert step.slope_change is None
    # Neighbours correlate, which the tutorial's 0.839 to 0.953 leaves out.
    assert step.autocorrelation == pytest.approx(0.27, abs=0.01)
    assert step.level_change.low < 0.83
    assert step.level_change.high > 0.96
    season = its(sicily(), "2005-01-01", period=12, **counted)
    assert season.autocorrelation == 0.0
    found = (season.level_change.value, season.level_change.low, season.level_change.high)
    assert found == pytest.approx((0.8851, 0.8394, 0.9332), abs=1.5e-3), "Student's, not normal"
    assert season.degrees_of_freedom == pytest.approx(59 - 7)
    assert season.model == (
        "quasi-Poisson, log link, offset log population: trend, change of level at 2005-01-01, 2"
        " harmonic pairs of 12 points; 59 points, 1 months apart; errors quasi-Poisson, corrected"
        " for correlation"
    )


def test_without_correlation_covariances_are_the_classical_ones() -> None:
    import statsmodels.api as sm

    frame = series(4)
    # Two neighbours go in opposite directions: no positive correlation is found.
    frame["score"] = 5 + 0.1 * frame["time"] + np.where(frame["time"] % 2, 1.0, -1.0)
    frame["events"] = np.round(20 * np.exp(frame["score"] / 20)).astype(int)
    at = frame["time"].to_numpy()
    design = np.column_stack([np.ones(48), at - 24, at >= 24, (at >= 24) * (at - 24)]).astype(float)
    found = its(frame, outcome="events", counts=True, covariance="quasi-poisson")
    assert found.autocorrelation == 0.0
    poisson = sm.GLM(frame["events"], design, family=sm.families.Poisson()).fit(scale="X2")
    assert np.log(found.level_change.value) == pytest.approx(poisson.params.iloc[2], rel=1e-4)
    reach = np.log(found.level_change.high / found.level_change.value)
    assert reach / 2.0154 == pytest.approx(poisson.bse.iloc[2], rel=1e-3)
    hac = its(frame, covariance="hac")
    assert hac.degrees_of_freedom < 20, "HAC knows its variance from few frequencies"
    assert hac.level_change.value == pytest.approx(
        sm.OLS(frame["score"], design).fit().params.iloc[2]
    )


def test_several_interventions_have_changes_of_their_own() -> None:
    frame = series(5, points=90)
    at = frame["time"]
    frame["score"] = 0.1 * frame["score"] + (at >= 30) * (4 + 0.2 * (at - 30)) - (at >= 60) * 9
    found = its(frame, [30, 60])
    assert [change.intervention for change in found.changes] == [30, 60]
    first, second = found.changes
    assert first.level_change.value == pytest.approx(4, abs=0.3)
    assert second.level_change.value == pytest.approx(-9, abs=0.3)
    assert first.slope_change is not None
    assert first.slope_change.value == pytest.approx(0.2, abs=0.02)
    assert (found.level_change, found.slope_change) == (first.level_change, first.slope_change)
    assert (found.points_before, found.points_after) == (30, 60)
    # Without any of them the series would have gone on as before the first.
    assert abs(found.series["counterfactual"].iloc[-1]) < 1.5
    assert its(frame, 30).changes[0].intervention == 30
    assert told(its(frame, np.array([30, 60]))) == told(found)


def test_a_lag_is_a_later_start() -> None:
    frame = series(6)
    late = its(frame, 21, lag=3)
    assert late.level_change == its(frame, 24).level_change
    assert (late.points_before, late.points_after) == (21, 27), "the intervention is where it was"
    assert "at 21 (+ 3 points)" in late.model


def test_the_model_is_said_in_one_line() -> None:
    assert its(series(7)).model == (
        "linear: trend, change of level and slope at 24; 48 points, 1 apart; errors prewhitened HAC"
    )
    assert its(series(7)).warning is None
    short = its(series(7, points=30), 15)
    assert short.warning is not None
    assert short.warning.startswith("fewer than 32 points")


@pytest.mark.parametrize(
    ("points", "at", "more", "said"),
    [
        (40, [15, 22], {}, "7 points between the interventions at 15 and 22; at least 8"),
        (40, [15, 33], {}, "7 points after the intervention at 33; at least 8"),
        (40, 30, {"lag": 3}, "7 points after the intervention at 30, whose effect begins 3 points"),
        (23, 12, {"period": 12}, "the series is 23 points long; a season of 12 needs at least 24"),
        (26, 13, {"period": 13, "harmonics": 5}, "26 points cannot carry 14 coefficients; .* 28"),
        (48, 24, {"period": 12, "harmonics": 6}, "harmonics=6: a period of 12 points has fewer"),
        (48, 24, {"period": 1}, "period=1: give a number of at least 2"),
        (48, 24, {"period": 12, "harmonics": 1.5}, "harmonics=1.5: give a whole number"),
        (48, [30, 15], {}, "in their order, none twice"),
        (48, [15, 15], {}, "in their order, none twice"),
        (48, [], {}, "give one moment, or several"),
        (48, 24, {"lag": -1}, "lag=-1: give a number of at least 0"),
        (2100, 900, {"covariance": "hac"}, "only covariance='prewhitened' takes more than 2000"),
        (15, 7, {}, "15 points with a 'time' and an outcome"),
    ],
)
def test_a_series_that_cannot_carry_an_option_is_refused(
    points: int, at: Any, more: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refusal, match=said):
        its(series(8, points), at, **more)


def test_terms_that_the_points_cannot_tell_apart_are_refused() -> None:
    at = np.arange(20)
    with pytest.raises(Refusal, match="cannot be told apart"):
        regress(np.column_stack([np.ones(20), at, 2 * at]), np.sin(at), at)


def test_a_high_outcome_varies_as_a_low_one_does() -> None:
    frame = series(10)
    high = frame.assign(score=frame["score"] + 1e7)
    assert its(high).level_change.low == pytest.approx(its(frame).level_change.low, rel=1e-6)


# ---- coverage -----------------------------------------------------------------------------------


def test_a_few_planted_series_are_as_the_table_says() -> None:
    """Enough to see an interval that is half as wide; the slow tests see the rest."""
    for name in ("default", '`covariance="hac"`'):
        assert coverage(name, 60)[0] >= 85, name


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_intervals_hold_what_was_planted(name: str) -> None:
    found = coverage(name, 500)
    print(name, found)
    assert all(93 <= share <= 97 for share in found), found


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_table_of_coverage_is_as_measured() -> None:
    found = measured(SERIES)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    shown, _, after = rest.partition(END)
    if os.environ.get("UPDATE_DOCS") == "1":
        shown = f"\n\n{table(found)}\n"
        PAGE.write_text(before + BEGIN + shown + END + after)
    assert shown.strip() == table(found).strip(), "run it with UPDATE_DOCS=1"


@pytest.mark.slow
def test_monthly_dates_find_what_month_numbers_find() -> None:
    by_number, by_date = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        points = int(rng.integers(24, 121))
        at = points // 2
        frame = pd.DataFrame({"time": range(points)})
        frame["score"] = correlated(rng, points, float(rng.uniform(0, 0.6)))
        frame["score"] += 1.5 * (frame["time"] >= at)
        dates = pd.date_range("2010-01-01", periods=points, freq="MS")
        by_number.append(its(frame, at).level_change.p_value <= 0.05)
        by_date.append(its(frame.assign(time=dates), dates[at]).level_change.p_value <= 0.05)
    print(np.mean(by_number), np.mean(by_date))
    assert by_date == by_number
    assert 0.3 < np.mean(by_number) < 0.9

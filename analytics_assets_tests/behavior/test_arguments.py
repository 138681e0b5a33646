"""What is no argument is refused by name, and what is meant is taken as it is meant."""

from __future__ import annotations

import sys
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.domains.behavior import analysis
from analytics_assets.domains.behavior.analysis import (
    Abab,
    BetweenCase,
    Change,
    Estimate,
    InterruptedTimeSeries,
    Refusal,
    abab,
    between_case_smd,
    interrupted_time_series,
)
from analytics_assets.domains.behavior.analysis.phases import PHASES
from analytics_assets_tests.cases import case

POINTS = 24


def frame() -> pd.DataFrame:
    noise = np.random.default_rng(3).normal(size=POINTS)
    at = np.arange(POINTS)
    score = 10 + 0.2 * at + noise + 3 * (at >= 12)
    return pd.DataFrame({"t": at, "p": np.repeat(PHASES, 6), "y": score, "n": 5, "size": 2.0})


def its(given: pd.DataFrame, **more: Any) -> InterruptedTimeSeries:
    return interrupted_time_series(
        given, **{"time": "t", "outcome": "y", "intervention": 12, **more}
    )


def of(given: pd.DataFrame, **more: Any) -> Abab:
    return abab(given, **{"time": "t", "phase": "p", "outcome": "y", **more})


COUNTS = {"outcome": "n", "counts": True, "exposure": "size"}


def holed(column: str, value: Any) -> pd.DataFrame:
    """One row with such a value."""
    changed = frame().astype({column: object})
    changed.loc[5, column] = value
    return changed


def test_numbers_and_dates_of_any_type_are_taken() -> None:
    expected = its(frame())
    for dtype in (object, "int32", "float32", "Int64", "uint8"):
        assert its(frame().astype({"t": dtype})).level_change == expected.level_change, dtype
    decimals = frame().assign(t=[Decimal(number) for number in range(POINTS)])
    assert its(decimals).slope_change == expected.slope_change
    assert expected.slope_change is not None
    assert abs(expected.slope_change.value) < 1
    days = pd.Series(pd.date_range("2024-01-01", periods=POINTS))
    for dates, at in (
        (days, date(2024, 1, 13)),
        (days.dt.date, np.datetime64("2024-01-13")),
        (days.dt.strftime("%Y-%m-%d"), pd.Timestamp("2024-01-13")),
        (days.dt.to_period("D"), pd.Period("2024-01-13")),
        (days.dt.to_period("D"), "2024-01-13"),
        (days.astype("datetime64[s]"), "2024-01-13"),
    ):
        found = its(frame().assign(t=dates), intervention=at)
        assert found.level_change.low == pytest.approx(expected.level_change.low), dates.dtype
        assert of(frame().assign(t=dates)).effect == of(frame()).effect
    scores = frame()["y"].map(lambda score: Decimal(repr(score)))
    assert its(frame().assign(y=scores)).level_change == expected.level_change
    for share in (Decimal("0.9"), Fraction(9, 10), np.float64(0.9)):
        wanted = its(frame(), confidence=0.9).level_change
        assert its(frame(), confidence=share).level_change == wanted
        assert of(frame(), confidence=share).effect == of(frame(), confidence=0.9).effect


@pytest.mark.parametrize(
    ("given", "more", "said"),
    [
        (frame(), {"confidence": 95}, "confidence=95: give a share between 0 and 1"),
        (frame(), {"confidence": float("nan")}, "confidence=nan"),
        (frame(), {"confidence": True}, "confidence=True"),
        (frame(), {"time": "day"}, "time='day': the frame has no such column; it has t, p"),
        (frame(), {"outcome": "score"}, "outcome='score': the frame has no such column"),
        (frame(), {**COUNTS, "exposure": "users"}, "exposure='users': the frame has no such"),
        (frame(), {"exposure": "size"}, "exposure='size' is of counts: give counts=True"),
        (frame(), {"covariance": "HAC"}, "covariance='HAC': give one of 'prewhitened', 'hac'"),
        (frame(), {"covariance": "quasi-poisson"}, "is of counts: give counts=True"),
        (frame(), {"impact": "slope"}, "impact='slope': give one of 'level and slope', 'level'"),
        (frame(), {"impact": ["level"]}, "impact=.*: give one of"),
        (frame(), {"lag": "1"}, "lag='1': give a number"),
        (frame(), {"lag": float("inf")}, "lag=inf: give a number"),
        (frame(), {"intervention": "2024-01-13"}, "'t' holds numbers; give one of these"),
        (frame(), {"intervention": None}, "'t' holds numbers; give one of these"),
        (frame(), {"intervention": True}, "'t' holds numbers; give one of these"),
        (holed("y", np.inf), {}, "outcome='y': 1 of its rows are infinite"),
        (holed("y", "high"), {}, "outcome='y': 1 of its rows hold no number"),
        (holed("t", None), {}, "time='t': 1 of its rows have no moment"),
        (holed("t", float("inf")), {}, "time='t': it mixes numbers and what is neither"),
        (holed("t", "5"), {}, "time='t': it mixes numbers and what is neither"),
        (holed("t", True), {}, "time='t': it mixes numbers and what is neither"),
        (frame().astype({"t": str}), {}, "it holds what is neither a number nor a date; give"),
        (holed("size", np.nan), COUNTS, "exposure='size': 1 of its rows are missing or not above"),
        (holed("size", 0), COUNTS, "exposure='size': 1 of its rows are missing or not above"),
        (holed("size", np.inf), COUNTS, "exposure='size': 1 of its rows are infinite"),
        (holed("n", -1), COUNTS, "counts have to be 0 or more"),
        (pd.concat([frame(), frame()["t"]], axis=1), {}, "more than one column is called so"),
        (frame().iloc[:0], {}, "0 points with a 't' and an outcome"),
    ],
)
def test_an_interrupted_time_series_refuses_by_name(
    given: pd.DataFrame, more: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refusal, match=said):
        its(given, **more)


@pytest.mark.parametrize(
    ("given", "more", "said"),
    [
        (frame(), {"improvement": "decreasing"}, "improvement='decreasing': give one of"),
        (frame(), {"randomisation": "start"}, "randomisation='start': give one of 'starts'"),
        (frame(), {"confidence": 95}, "confidence=95: give a share between 0 and 1, such as 0.95"),
        (frame(), {"fewest": 0}, "fewest=0: give a whole number of at least 1"),
        (frame(), {"fewest": 2.5}, "fewest=2.5: give a whole number"),
        (frame(), {"seed": -1}, "seed=-1: give a whole number of at least 0"),
        (frame(), {"phases": PHASES[:2]}, "name 4 phases"),
        (frame(), {"phases": (*PHASES[:3], PHASES[0])}, "name each phase once"),
        (frame(), {"phases": "ABAB"}, "name each phase once"),
        (holed("p", None), {}, "phase='p': 1 of its rows are of no phase"),
        (holed("y", -np.inf), {}, "outcome='y': 1 of its rows are infinite"),
        (holed("t", pd.NaT), {}, "time='t': 1 of its rows have no moment"),
        (frame(), {"phase": "phase"}, "phase='phase': the frame has no such column"),
    ],
)  # fmt: skip
def test_abab_refuses_by_name(given: pd.DataFrame, more: dict[str, Any], said: str) -> None:
    with pytest.raises(Refusal, match=said):
        of(given, **more)


def test_moments_with_and_without_a_time_zone_are_not_mixed() -> None:
    days = pd.Series(pd.date_range("2024-01-01", periods=POINTS))
    zoned = frame().assign(t=days.dt.tz_localize("America/Mexico_City"))
    with pytest.raises(Refusal, match="'t' holds dates with a time zone; give one of these"):
        its(zoned, intervention="2024-01-13")
    with pytest.raises(Refusal, match="'t' holds dates without a time zone"):
        its(frame().assign(t=days), intervention=pd.Timestamp("2024-01-13", tz="UTC"))
    mixed = days.astype(object)
    mixed[5] = pd.Timestamp("2024-01-06", tz="UTC")
    with pytest.raises(Refusal, match="it mixes dates with a time zone and dates without"):
        its(frame().assign(t=mixed), intervention="2024-01-13")
    assert its(zoned, intervention=zoned["t"][12]).points_before == 12


_ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates(),
    st.datetimes(), st.binary(max_size=3), st.decimals(allow_nan=False),
    st.complex_numbers(), st.timedeltas(), st.lists(st.integers(), max_size=2),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    odd=_ODD,
    place=st.sampled_from(["t", "y", "n", "size", "p", "intervention", "lag", "period", "whole"]),
)
def test_nothing_ends_in_anything_but_an_answer_or_a_refusal(odd: Any, place: str) -> None:
    calls: list[Any] = []
    if place in ("t", "y", "n", "size", "p"):
        changed = frame().astype({place: object})
        changed.at[5, place] = odd
        calls = [lambda: its(changed, **COUNTS), lambda: its(changed), lambda: of(changed)]
    elif place == "whole":
        changed = frame().assign(t=[odd] * POINTS)
        calls = [lambda: its(changed), lambda: of(changed)]
    else:
        calls = [lambda: its(frame(), **{place: odd})]
    for call in calls:
        try:
            found = call()
        except Refusal as refusal:
            assert "\n" not in str(refusal)  # noqa: PT017
        else:
            assert isinstance(found, Abab | InterruptedTimeSeries)


# ---- combinations -------------------------------------------------------------------------------


def between(given: pd.DataFrame, **more: Any) -> BetweenCase:
    return between_case_smd(
        given, **{"case": "who", "time": "t", "phase": "p", "outcome": "y", **more}
    )


def numbers_of(found: Any) -> list[float]:
    """All that a caller reads, whatever it lies in."""
    if isinstance(found, Estimate | Change | BetweenCase | InterruptedTimeSeries | tuple):
        parts = found if isinstance(found, tuple) else vars(found).values()
        return [number for part in parts for number in numbers_of(part)]
    if isinstance(found, pd.DataFrame):
        return found.select_dtypes("number").to_numpy().ravel().tolist()
    return [float(found)] if isinstance(found, float | int) else []


def _any_of(valid: dict[str, list[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Some of the arguments, each with a value that it may have or an odd one."""
    optional = {
        name: st.one_of(st.sampled_from(values), st.sampled_from(values), _ODD)
        for name, values in valid.items()
    }
    return st.fixed_dictionaries({}, optional=optional)


_SHARES = [0.5, 0.95, 1e-9, 1 - 1e-12]
_OUTCOMES = ["y", "n", "size", "zero", "steps", "huge", "holes"]
_FOR_ITS = _any_of(
    {
        "time": ["t", "back"],
        "outcome": _OUTCOMES,
        "intervention": [12, 8, [8, 16], 12.5, 0, 23, 1e9],
        "counts": [True, False],
        "exposure": [None, "size", "zero"],
        "impact": ["level", "level and slope"],
        "lag": [0, 1, 0.5, 4],
        "period": [None, 2, 4, 7.5, 12],
        "harmonics": [1, 2, 3],
        "covariance": ["prewhitened", "hac", "quasi-poisson"],
        "confidence": _SHARES,
    }
)
_FOR_ABAB = _any_of(
    {
        "time": ["t", "back"],
        "outcome": _OUTCOMES,
        "phases": [PHASES, PHASES[:2], PHASES[::-1]],
        "improvement": ["increase", "decrease"],
        "randomisation": ["starts", "labels"],
        "fewest": [1, 3, 6, 7],
        "confidence": _SHARES,
        "seed": [0, 7],
    }
)
_FOR_BETWEEN = _any_of(
    {
        "case": ["who", "twos", "one"],
        "time": ["t", "back"],
        "outcome": _OUTCOMES,
        "phases": [PHASES, PHASES[:2], PHASES[::-1]],
        "confidence": _SHARES,
    }
)


def wide() -> pd.DataFrame:
    """Outcomes of all kinds: without variation, with steps alone, at the edge of a float."""
    one = frame()
    one = one.assign(
        back=-one["t"],
        zero=0.0,
        steps=np.repeat([0.0, 1.0, 0.0, 1.0], 6),
        huge=one["y"] * 1e90,
        holes=one["y"].where(one["t"] % 2 == 0),
        one="a",
    )
    other = one.assign(y=one["y"][::-1].to_numpy() + 1, huge=one["huge"] * 2)
    return pd.concat([one.assign(who="a", twos=1), other.assign(who="b", twos=2)])


@settings(max_examples=40, deadline=None)
@given(more=_FOR_ITS)
def test_an_interrupted_time_series_gives_numbers_or_a_sentence(more: dict[str, Any]) -> None:
    try:
        found = its(wide().iloc[:POINTS], **more)
    except Refusal as refusal:
        assert "\n" not in str(refusal)  # noqa: PT017
        return
    # What was not observed is no result.
    assert not np.isnan(numbers_of(found)).any()


@settings(max_examples=40, deadline=None)
@given(more=_FOR_ABAB)
def test_an_abab_analysis_gives_numbers_or_a_sentence(more: dict[str, Any]) -> None:
    try:
        found = of(wide().iloc[:POINTS], **more)
    except Refusal as refusal:
        assert "\n" not in str(refusal)  # noqa: PT017
        return
    told = [*numbers_of(found.effect), found.within_case_smd, found.nap, found.tau_u]
    assert found.warning is not None or not np.isnan(told).any()


@settings(max_examples=40, deadline=None)
@given(more=_FOR_BETWEEN)
def test_an_effect_between_cases_gives_numbers_or_a_sentence(more: dict[str, Any]) -> None:
    try:
        found = between(wide(), **more)
    except Refusal as refusal:
        assert "\n" not in str(refusal)  # noqa: PT017
        return
    assert not np.isnan(numbers_of(found)).any()


def test_the_calls_of_the_case(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """As they were made when they gave wrong numbers: each is answered rightly, or refused."""
    script = (case("other/22_analysis_arguments") / "calls.py").read_text()
    monkeypatch.setitem(sys.modules, "analytics_assets.behavior.analysis", analysis)
    scope: dict[str, Any] = {}
    told = []
    for line in script.splitlines():
        try:
            exec(line, scope)
        except Refusal as refusal:
            told.append(str(refusal))
    numbers = pd.DataFrame({"t": range(POINTS), "y": scope["y"]})
    assert float(capsys.readouterr().out) == pytest.approx(its(numbers).slope_change.value)
    assert ["'decreasing'" in told[0], "'start'" in told[1], len(told)] == [True, True, 2], told

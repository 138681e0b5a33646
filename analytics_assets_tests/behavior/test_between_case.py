"""The effect size between cases against examples worked by hand, published ones, and its laws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from analytics_assets.domains.behavior.analysis import BetweenCase, Refusal, between_case_smd
from analytics_assets.domains.behavior.analysis.phases import PHASES
from analytics_assets_tests.behavior.published import ANGLESEA, LAMBERT, cases


def of(frame: pd.DataFrame, **more) -> BetweenCase:
    return between_case_smd(
        frame, case="case", time="session", phase="phase", outcome="score", **more
    )


def test_two_cases_worked_by_hand() -> None:
    found = of(cases("2 4 | 8 10; 4 6 | 10 12"), phases=PHASES[:2])
    # Of phases of two points the autocorrelation is -1/2 + 1/2 (its correction).
    assert found.autocorrelation == pytest.approx(0.0)
    # At each of the four points the cases are 2 apart: variance 2. Within phases it is 8 / (8 - 4).
    assert (found.common_points, found.variance) == (4, pytest.approx(2.0))
    assert found.intraclass_correlation == 0.0
    assert found.degrees_of_freedom == pytest.approx(4 * (2 - 1))
    assert found.mean_difference == pytest.approx(6.0)
    assert found.unadjusted == pytest.approx(6 / 2**0.5)
    # J = 1 - 3 / (4 * 4 - 1) = 0.8; theta^2 = 8 weights of (1/4)^2.
    smd = 0.8 * 6 / 2**0.5
    assert found.smd == pytest.approx(smd)
    variance = 0.8**2 * (0.5 * 4 / 2 + smd**2 * (4 / 2 - 1 / 0.8**2))
    assert found.standard_error == pytest.approx(variance**0.5)
    assert found.high - found.smd == pytest.approx(2.776445 * variance**0.5)


def test_three_cases_that_differ_worked_by_hand() -> None:
    found = of(cases("2 4 | 8 10; 4 6 | 10 12; 6 8 | 12 14"), phases=PHASES[:2])
    assert found.variance == pytest.approx(4.0), "of 2, 4 and 6"
    assert found.intraclass_correlation == pytest.approx(1 - 2 / 4)
    # tr(AV) = 4 * 2; of a case tr(V^2) = 4 + 12 * (1/2)^2 = 7; tr(AVAV) = (3 - 1) * 7.
    nu = 8**2 / (2 * 7)
    assert found.degrees_of_freedom == pytest.approx(nu)
    correction = 1 - 3 / (4 * nu - 1)
    smd = correction * 6 / 2
    # Half of the variance is within cases: theta^2 = 1/2 * 12 * (1 / (2 * 3))^2.
    theta = 0.5 * 12 / 36
    variance = correction**2 * (
        theta * nu / (nu - 2) + smd**2 * (nu / (nu - 2) - 1 / correction**2)
    )
    assert (found.smd, found.standard_error) == (
        pytest.approx(smd),
        pytest.approx(variance**0.5),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            LAMBERT,
            (23, -5.457995, 4.673913, -2.524601, 0.224680, 0.029868, 164.492271, -2.513073,
             0.04054616),
        ),
        (
            ANGLESEA,
            (13, 86.870476, 2347.845708, 1.792823, 0.175859, 0.915510, 2.340135, 1.149507,
             2.43956417),
        ),
    ],
    ids=["Lambert", "Anglesea"],
)  # fmt: skip
def test_published_examples_to_the_last_digit(text: str, expected: tuple[float, ...]) -> None:
    found = of(cases(text))
    assert (
        found.common_points,
        round(found.mean_difference, 6),
        round(found.variance, 6),
        round(found.unadjusted, 6),
        round(found.autocorrelation, 6),
        round(found.intraclass_correlation, 6),
        round(found.degrees_of_freedom, 6),
        round(found.smd, 6),
        round(found.standard_error**2, 8),
    ) == expected


_PHASES_OF_A_CASE = st.lists(
    st.lists(st.integers(0, 20).map(float), min_size=2, max_size=4), min_size=4, max_size=4
)


@settings(max_examples=30, deadline=None)
@given(
    parts=st.lists(_PHASES_OF_A_CASE, min_size=2, max_size=4),
    scale=st.sampled_from([-2.0, 0.5, 10.0]),
    shift=st.integers(-50, 50),
    unit=st.sampled_from([1, 7, 86_400]),
)
def test_units_order_and_names_do_not_matter(
    parts: list[list[list[float]]], scale: float, shift: int, unit: int
) -> None:
    text = ";".join("|".join(" ".join(map(str, p)) for p in one) for one in parts)
    frame = cases(text)
    try:
        first = of(frame)
    except Refusal:
        reject()
    other = frame.assign(
        score=scale * frame["score"] + shift,
        session=unit * frame["session"] - 1000,
        case="the " + frame["case"],
    )
    second = of(other.sample(frac=1, random_state=1))
    sign = np.sign(scale)
    assert second.smd == pytest.approx(sign * first.smd, abs=1e-9)
    assert second.standard_error == pytest.approx(first.standard_error)
    assert second.degrees_of_freedom == pytest.approx(first.degrees_of_freedom)
    assert first.low <= first.smd <= first.high
    assert first.degrees_of_freedom >= 1 - 1e-9


def test_it_refuses_what_says_nothing() -> None:
    two = "2 4 | 8 10; 4 6 | 10 12"
    with pytest.raises(Refusal, match="1 case has an outcome; between cases at least 2"):
        of(cases("2 4 | 8 10"), phases=PHASES[:2])
    with pytest.raises(Refusal, match="phase baseline_2 is missing"):
        of(cases(two))
    with pytest.raises(Refusal, match="do not vary between cases"):
        of(cases("2 4 | 8 10; 2 4 | 8 10"), phases=PHASES[:2])
    with pytest.raises(Refusal, match="do not vary within phases"):
        of(cases("2 2 | 8 8; 3 3 | 9 9"), phases=PHASES[:2])
    with pytest.raises(Refusal, match="case='case': 3 of its rows are missing"):
        of(cases(two).replace({"case": {"case 0": None}}).iloc[1:], phases=PHASES[:2])
    with pytest.raises(Refusal, match="baseline and intervention in turn"):
        of(cases(two), phases=PHASES[:3])
    with pytest.raises(Refusal, match="a share between 0 and 1"):
        of(cases(two), phases=PHASES[:2], confidence=95)

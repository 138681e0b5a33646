"""The analyses against published series, brute force, planted effects, and their own laws."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analytics_assets.domains.behavior.analysis import Abab, Refusal, abab, interrupted_time_series
from analytics_assets.domains.behavior.analysis.abab import pooled_effect
from analytics_assets.domains.behavior.analysis.phases import PHASES
from analytics_assets.domains.behavior.analysis.wwc import (
    CRITERIA,
    FAILS,
    MEETS,
    RESERVATIONS,
    rating,
)
from analytics_assets.domains.behavior.sample.series import (
    Effects,
    draw_scores,
    draw_starts,
    phase_numbers,
)

README = Path(__file__).parents[2] / "README.md"


def in_phases(values: list[list[float]]) -> pd.DataFrame:
    """A series of four phases."""
    return pd.DataFrame(
        {
            "day": range(sum(map(len, values))),
            "phase": [name for name, part in zip(PHASES, values, strict=True) for _ in part],
            "score": [value for part in values for value in part],
        }
    )


def of(frame: pd.DataFrame, **more) -> Abab:
    return abab(frame, time="day", phase="phase", outcome="score", **more)


# ---- published series ---------------------------------------------------------------------------


@pytest.fixture
def reversal(real_data: Path) -> Abab:
    """The withdrawal example of the single-case design tool box of What Works Clearinghouse."""
    frame = pd.read_csv(real_data / "behavior" / "scdtb_reversal_withdrawal.csv")
    return abab(
        frame,
        time="time",
        phase="phase",
        outcome="extbehavs",
        phases=["baseline1", "treatment1", "baseline2", "treatment2"],
        improvement="decrease",
    )


@pytest.fixture
def rdarbs(real_data: Path) -> Abab:
    frame = pd.read_csv(real_data / "behavior" / "rdarbs_reversal.csv")
    return abab(
        frame, time="Session", phase="Phase", outcome="Measure", phases=["BL1", "IV1", "BL2", "IV2"]
    )


def test_phase_means_of_published_series(reversal: Abab, rdarbs: Abab) -> None:
    assert list(reversal.phase_means.values()) == pytest.approx([13.5, 0.8, 12.8, 1.2])
    assert list(rdarbs.phase_means.values()) == pytest.approx([2.4, 5.5, 2.25, 6.6])


def test_criteria_of_published_series(reversal: Abab, rdarbs: Abab) -> None:
    assert reversal.rating == MEETS
    assert all(reversal.criteria.values())
    # Its second baseline has 4 points.
    assert rdarbs.rating == RESERVATIONS
    assert [name for name, passed in rdarbs.criteria.items() if not passed] == [
        "five_points_a_phase"
    ]


def test_effect_sizes_of_published_series(reversal: Abab, rdarbs: Abab) -> None:
    assert reversal.nap == 1.0, "no point of an intervention is above one of its baseline"
    assert reversal.effect.value == pytest.approx(10 / 10 - (81 + 64) / 11)
    # 30 and 20 pairs, of which (4, 4) is a tie.
    assert rdarbs.nap == pytest.approx(49.5 / 50)
    assert rdarbs.effect.value == pytest.approx(66 / 11 - 21 / 9)


# ---- laws ---------------------------------------------------------------------------------------

_PARTS = st.lists(
    st.lists(st.integers(0, 20).map(float), min_size=3, max_size=5), min_size=4, max_size=4
)


def by_hand(values: np.ndarray, starts: tuple[int, ...]) -> float:
    treated = phase_numbers(np.array(starts), len(values)) % 2 == 1
    return values[treated].mean() - values[~treated].mean()


def p_by_hand(parts: list[list[float]], effect: float) -> float:
    """The test of an effect, by taking it out of the series and trying every assignment."""
    sizes = np.cumsum([len(part) for part in parts])
    values = np.concatenate(parts).astype(float)
    values = values - effect * (phase_numbers(sizes[:3], len(values)) % 2 == 1)
    designs = [
        starts
        for starts in combinations(range(len(values)), 3)
        if min(np.diff([0, *starts, len(values)])) >= 3
    ]
    observed = abs(by_hand(values, tuple(sizes[:3])))
    found = [abs(by_hand(values, starts)) >= observed - 1e-9 for starts in designs]
    return sum(found) / len(designs)


@settings(max_examples=40, deadline=None)
@given(parts=_PARTS)
def test_the_p_value_is_that_of_trying_every_assignment(parts: list[list[float]]) -> None:
    assert of(in_phases(parts)).effect.p_value == pytest.approx(p_by_hand(parts, 0.0))


@settings(max_examples=40, deadline=None)
@given(parts=_PARTS, share=st.floats(0.01, 0.99))
def test_the_interval_holds_what_the_test_does_not_reject(
    parts: list[list[float]], share: float
) -> None:
    found = of(in_phases(parts), confidence=0.8).effect
    assert found.low <= found.value <= found.high
    if np.isfinite(found.low) and found.high - found.low > 1e-6:
        inside = found.low + share * (found.high - found.low)
        assert p_by_hand(parts, inside) > 0.2 - 1e-9
    if np.isfinite(found.low):
        assert p_by_hand(parts, found.low - 1e-3) <= 0.2 + 1e-9
    if np.isfinite(found.high):
        assert p_by_hand(parts, found.high + 1e-3) <= 0.2 + 1e-9


@settings(max_examples=40, deadline=None)
@given(parts=_PARTS, scale=st.sampled_from([0.5, 2.0, 10.0]), shift=st.integers(-50, 50))
@example(
    parts=[[0, 0, 16, 20, 20], [0, 10, 20], [0, 14, 20], [0, 0, 4, 20, 20]], scale=2.0, shift=42
)
def test_units_do_not_matter(parts: list[list[float]], scale: float, shift: int) -> None:
    first = of(in_phases(parts))
    second = of(in_phases([[scale * value + shift for value in part] for part in parts]))
    assert second.effect.value == pytest.approx(scale * first.effect.value, abs=1e-9)
    assert second.effect.p_value == first.effect.p_value
    assert second.within_case_smd == pytest.approx(first.within_case_smd, nan_ok=True, abs=1e-9)
    assert (second.nap, second.tau_u) == (first.nap, first.tau_u)
    assert second.criteria == first.criteria


@settings(max_examples=40, deadline=None)
@given(parts=_PARTS)
def test_what_improves_by_rising_worsens_by_falling(parts: list[list[float]]) -> None:
    assert of(in_phases(parts), improvement="decrease").nap == pytest.approx(
        1 - of(in_phases(parts)).nap
    )
    upside_down = [[-value for value in part] for part in parts]
    assert of(in_phases(upside_down), improvement="decrease").tau_u == of(in_phases(parts)).tau_u


def test_a_trend_of_the_baseline_counts_against_the_effect() -> None:
    rising = of(in_phases([[1, 2, 3], [4, 5, 6], [1, 2, 3], [4, 5, 6]]))
    level = of(in_phases([[2, 2, 2], [4, 5, 6], [2, 2, 2], [4, 5, 6]]))
    assert rising.nap == level.nap == 1.0
    assert (rising.tau_u, level.tau_u) == (pytest.approx(2 / 3), 1.0)


def test_labels_may_be_what_chance_decided() -> None:
    parts = [[1.0, 2, 1, 2, 1], [5.0, 6, 5, 6, 5], [1.0, 2, 1, 2, 1], [5.0, 6, 5, 6, 5]]
    found = of(in_phases(parts), randomisation="labels")
    assert found.effect.p_value == pytest.approx(1 / 2000), "(k + 1) / (n + 1), n = 1999, k = 0"
    assert of(in_phases(parts), randomisation="labels").effect == found.effect, "drawn by a seed"


def test_a_short_phase_is_rated_and_not_tested() -> None:
    found = of(in_phases([[1, 2, 3], [4, 5], [1, 2, 3], [4, 5, 6]]))
    assert found.rating == FAILS
    assert not found.criteria["three_points_a_phase"]
    assert found.effect.value == pytest.approx(4.8 - 2)
    assert found.mean_phase_difference == pytest.approx((2.5 + 3) / 2), "each pair counts alike"
    assert (found.nap, found.tau_u) == (1.0, pytest.approx(9 / 15))
    assert np.isnan(found.effect.p_value)
    assert (found.effect.low, found.effect.high, found.designs) == (-np.inf, np.inf, 0)
    assert found.warning == (
        "no randomisation test: phase intervention_A_1 has 2 points; at least 3 are needed"
    )
    with pytest.raises(Refusal, match="no subject has a series"):
        pooled_effect([found])
    tested = of(in_phases([[1, 2, 3], [4, 5, 6], [1, 2, 3], [4, 5, 6]]))
    assert pooled_effect([found, tested]).value == tested.effect.value
    assert tested.effect.p_value == 1.0, "the one assignment that there is"
    by_labels = of(in_phases([[1, 2, 3], [4, 5], [1, 2, 3], [4, 5, 6]]), randomisation="labels")
    assert by_labels.effect.p_value < 0.05, "a phase of any length may be labelled"
    assert np.isnan(of(in_phases([[1], [4], [2], [6]])).within_case_smd)


def test_criteria_fail_one_by_one() -> None:
    good = [[1.0, 2, 1, 2, 1], [5.0, 6, 5, 6, 5], [1.0, 2, 1, 2, 1], [5.0, 6, 5, 6, 5]]
    assert all(of(in_phases(good)).criteria.values())
    broken = {
        "five_points_a_phase": [good[0][:4], *good[1:]],
        "immediate_each_time": [good[0], [0.0, 0, 0, 9, 9, 9, 9, 9, 9, 9], *good[2:]],
        "level_changes_each_time": [good[0], good[1], [7.0] * 5, good[3]],
        "little_overlap": [good[0], [0.0, 0, 6, 6, 6, 6], *good[2:]],
        "similar_phases_agree": [good[0], good[1], [3.9] * 5, [9.0] * 5],
    }
    for name, parts in broken.items():
        assert not of(in_phases(parts)).criteria[name], name
    assert rating(dict.fromkeys(CRITERIA, True) | {"three_points_a_phase": False}) == FAILS
    assert rating(dict.fromkeys(CRITERIA, True) | {"three_changes_of_phase": False}) == FAILS


# ---- refusals -----------------------------------------------------------------------------------


def series(days: int = 40) -> pd.DataFrame:
    noise = np.random.default_rng(1).normal(size=days)
    return pd.DataFrame({"day": range(days), "score": 50 + noise, "events": 5})


def its(frame: pd.DataFrame, at: object = 20, **more):
    return interrupted_time_series(
        frame, time="day", outcome=more.pop("outcome", "score"), intervention=at, **more
    )


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([[1, 2, 3], [4, 5, 6], [1, 2, 3], []], "phase intervention_A_2 is missing"),
        ([[1, 2, 3], [4, 5, 6], [], [4, 5, 6]], "phase baseline_2 is missing"),
    ],
)
def test_abab_refuses_what_says_nothing(parts: list[list[float]], said: str) -> None:
    with pytest.raises(Refusal, match=said):
        of(in_phases(parts))


def test_abab_refuses_phases_that_overlap() -> None:
    frame = in_phases([[1, 2, 3], [4, 5, 6], [1, 2, 3], [4, 5, 6]])
    late = frame.replace({"day": {2: 7}})
    with pytest.raises(
        Refusal, match="phases overlap: intervention_A_1 begins at 3, baseline_1 ends at 7"
    ):
        of(late)
    with pytest.raises(Refusal, match="phases overlap"):
        of(frame.replace({"day": {3: 2}}))
    with pytest.raises(Refusal, match="two rows are of one moment"):
        of(frame.replace({"day": {1: 0}}))
    with pytest.raises(Refusal, match="pause: none of the phases"):
        of(frame.replace({"phase": {"baseline_2": "pause"}}))


def test_its_refuses_what_says_nothing() -> None:
    with pytest.raises(Refusal, match="7 points before the intervention at 7; at least 8"):
        its(series(), 7)
    with pytest.raises(Refusal, match="5 points after the intervention at 35; at least 8"):
        its(series(), 35)
    missing = series().assign(score=lambda f: f["score"].where(f["day"] > 13))
    with pytest.raises(Refusal, match="6 points before"):
        its(missing)
    with pytest.raises(Refusal, match="two rows are of one moment"):
        its(series().replace({"day": {3: 2}}))
    with pytest.raises(Refusal, match="does not vary"):
        its(series().assign(score=7.0))
    with pytest.raises(Refusal, match="0 or more"):
        its(series().assign(events=-1), outcome="events", counts=True)
    with pytest.raises(Refusal, match="counts nothing at all"):
        its(series().assign(events=lambda f: f["day"] // 20), outcome="events", counts=True)
    assert its(series(16), 8).points_before == 8, "8 on each side are enough"


# ---- interrupted time series --------------------------------------------------------------------


def test_an_exact_series_gives_its_own_numbers() -> None:
    frame = series()
    after = frame["day"] >= 20
    noise = np.random.default_rng(2).normal(size=40) * 1e-3
    frame["score"] = 10 + 0.5 * frame["day"] + after * (3 + 0.25 * (frame["day"] - 20)) + noise
    found = its(frame)
    assert found.level_change.value == pytest.approx(3, abs=5e-3)
    assert found.slope_change.value == pytest.approx(0.25, abs=5e-3)
    assert found.slope_before.value == pytest.approx(0.5, abs=5e-3)
    expected = 10 + 0.5 * frame["day"].to_numpy()
    assert found.series["counterfactual"].to_numpy() == pytest.approx(expected, abs=5e-3)
    assert found.series["fitted"].to_numpy() == pytest.approx(frame["score"], abs=5e-3)


def test_dates_are_days_and_order_does_not_matter() -> None:
    frame = series()
    dated = frame.assign(day=pd.Timestamp("2024-01-01") + pd.to_timedelta(frame["day"], "D"))
    found = its(dated.sample(frac=1, random_state=1), "2024-01-21")
    assert found.level_change.value == pytest.approx(its(frame).level_change.value)
    assert found.slope_change.low == pytest.approx(its(frame).slope_change.low)


def test_gaps_are_gaps_of_time() -> None:
    frame = series(60)
    frame["score"] += 0.5 * frame["day"]
    kept = frame[frame["day"] % 7 < 5]
    assert its(kept, 30).slope_before.value == pytest.approx(0.5, abs=0.1)


def test_counts_are_rates_over_their_exposure() -> None:
    rng = np.random.default_rng(3)
    frame = series(200)
    users = rng.integers(5, 50, size=200)
    rate = 4 * np.where(frame["day"] >= 100, 1.5, 1.0)
    frame = frame.assign(events=rng.poisson(rate * users), users=users)
    found = its(frame, 100, outcome="events", counts=True, exposure="users")
    assert found.level_change.low < 1.5 < found.level_change.high
    assert found.level_change.value == pytest.approx(1.5, rel=0.1)
    assert found.slope_before.value == pytest.approx(1.0, abs=0.002)
    last = found.series.iloc[-1]
    assert last["counterfactual"] == pytest.approx(4 * users[-1], rel=0.2)
    assert last["counterfactual_low"] < last["counterfactual"] < last["counterfactual_high"]


# ---- planted effects ----------------------------------------------------------------------------

SEEDS, DAYS, FEWEST = range(200), 56, 8
EFFECTS = Effects(level=6.0, slope=0.2)


def planted(seed: int, effects: Effects) -> tuple[pd.DataFrame, int]:
    """A user's daily scores as the generator draws them, and when the intervention begins."""
    rng = np.random.default_rng(seed)
    starts = draw_starts(rng, DAYS, FEWEST)
    scores = draw_scores(rng, starts, DAYS, effects) + rng.normal(0, 2, DAYS)
    names = np.array(PHASES)[phase_numbers(starts, DAYS)]
    return pd.DataFrame({"day": range(DAYS), "phase": names, "score": scores}), int(starts[0])


def first_two(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["phase"].isin(PHASES[:2])]


def share(found: list[bool]) -> float:
    return float(np.mean(found))


@pytest.mark.slow
def test_intervals_hold_planted_effects_in_95_percent() -> None:
    level, slope, effect = [], [], []
    for seed in SEEDS:
        frame, start = planted(seed, EFFECTS)
        found = its(first_two(frame), start)
        level.append(found.level_change.low <= EFFECTS.level <= found.level_change.high)
        slope.append(found.slope_change.low <= EFFECTS.slope <= found.slope_change.high)
        frame, _ = planted(seed, Effects(level=6.0))
        one = of(frame, fewest=FEWEST).effect
        effect.append(one.low <= 6.0 <= one.high)
    covered = {"level": share(level), "slope": share(slope), "abab": share(effect)}
    print(covered)
    assert all(0.92 <= value <= 0.98 for value in covered.values()), covered


@pytest.mark.slow
def test_intervals_of_counts_hold_planted_effects_in_95_percent() -> None:
    level, slope = [], []
    days = np.arange(DAYS)
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        start = int(rng.integers(10, 46))
        after = days >= start
        noise = draw_scores(rng, np.array([DAYS, DAYS, DAYS]), DAYS, Effects(), 0.0, 0.2)
        rate = np.exp(2.5 + noise + after * (np.log(1.4) + 0.01 * (days - start)))
        frame = pd.DataFrame({"day": days, "events": rng.poisson(rate)})
        found = its(frame, start, outcome="events", counts=True)
        level.append(found.level_change.low <= 1.4 <= found.level_change.high)
        slope.append(found.slope_change.low <= np.exp(0.01) <= found.slope_change.high)
    covered = {"level": share(level), "slope": share(slope)}
    print(covered)
    assert all(0.92 <= value <= 0.98 for value in covered.values()), covered


@pytest.mark.slow
def test_without_an_effect_5_percent_are_found() -> None:
    level, slope, effect, pooled = [], [], [], []
    for seed in SEEDS:
        frame, start = planted(seed, Effects(level=0.0))
        found = its(first_two(frame), start)
        level.append(found.level_change.p_value <= 0.05)
        slope.append(found.slope_change.p_value <= 0.05)
        effect.append(of(frame, fewest=FEWEST).effect.p_value <= 0.05)
        users = [planted(1000 + 3 * seed + i, Effects(level=0.0))[0] for i in range(3)]
        pooled.append(pooled_effect([of(u, fewest=FEWEST) for u in users]).p_value <= 0.05)
    found_by = {
        "level": share(level), "slope": share(slope), "abab": share(effect), "pooled": share(pooled)
    }  # fmt: skip
    print(found_by)
    # 200 draws of 5 % are within 2 and 8 % in 95 of 100 cases.
    assert all(0.02 <= value <= 0.08 for value in found_by.values()), found_by


# ---- in a notebook ------------------------------------------------------------------------------


def test_the_analyses_need_no_dagster() -> None:
    code = (
        "import sys;"
        " from analytics_assets.domains.behavior.analysis import abab, interrupted_time_series;"
        " assert not {'dagster', 'duckdb', 'deltalake'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_example_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = [
        block.split("```")[0]
        for block in README.read_text().split("```python")
        if "interrupted_time_series" in block.split("```")[0]
    ]
    frame, _ = planted(1, EFFECTS)
    frame["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(frame["day"], "D")
    frame.to_csv(tmp_path / "scores.csv", index=False)
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    assert MEETS in capsys.readouterr().out

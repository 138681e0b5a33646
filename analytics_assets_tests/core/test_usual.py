"""What is usual beside others: laws by generated series, and how often a warning is right."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from analytics_assets.core.usual import Range, usual_count, usual_ratio, usual_rows

SEASONS, PLACES, CENTRE = 9, 12, 5
# As the checks use them, of births with their 26 ratios.
BY_CHANCE, ONE_OF_MANY = 1e-5, 1e-5 / 26


@hypothesis_settings(deadline=None)
@given(st.integers(3, 8), st.floats(-0.6, 1.5), st.integers(1_000, 1_000_000))
def test_steady_growth_is_never_unusual(references: int, rate: float, first: int) -> None:
    counts = [round(first * 1000 * (1 + rate) ** n) for n in range(references + 1)]
    low, high = usual_rows(counts[:-1])
    assert low <= counts[-1] <= high


def test_half_and_double_are_unusual_beside_alike_partitions() -> None:
    low, high = usual_rows([1000, 1030, 980, 1010, 995])
    assert 700 < low < 850
    assert 1200 < high < 1350


def test_wrong_references_do_not_widen_the_range() -> None:
    assert usual_rows([1000, 1030, 980, 1010, 995, 10])[0] > 700


def test_few_rows_are_not_unusual_at_once() -> None:
    assert usual_rows([3, 4, 5]) == (0, 14)


shares = st.floats(0.001, 0.999)
sizes = st.integers(1, 10**6)


@hypothesis_settings(deadline=None)
@given(shares, sizes, st.integers(0, 2**32))
def test_the_range_of_a_share_is_one_of_shares(share: float, cases: int, seed: int) -> None:
    for found in _ratio(*_series(np.random.default_rng(seed), share, cases)):
        assert 0 <= found.low <= found.high <= 100
        assert found.low <= 100 * share + 50


@hypothesis_settings(deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 1000, 10**6]))
def test_the_unit_of_a_mean_does_not_matter(seed: int, factor: int) -> None:
    rng = np.random.default_rng(seed)
    cases = rng.integers(500, 600, (SEASONS, PLACES)).astype(float)
    sums = cases * rng.normal(3200, 20, cases.shape)
    ours, theirs = (usual_ratio(sums * f, cases, 1, CENTRE, ONE_OF_MANY) for f in (1, factor))
    for one, other in zip(ours, theirs, strict=True):
        assert other.low == pytest.approx(one.low * factor)
        assert other.holds == one.holds


@hypothesis_settings(deadline=None)
@given(st.integers(0, 2**32))
def test_the_order_of_other_seasons_matters_to_no_neighbour(seed: int) -> None:
    rng = np.random.default_rng(seed)
    series = _series(rng, 0.3, 2000)
    order = rng.permutation(SEASONS - 1)
    mixed = [np.concatenate([m[:1], m[1:][order]]) for m in series]
    assert _ratio(*series)[0].low == pytest.approx(_ratio(*mixed)[0].low)


def test_one_wrong_neighbour_hides_nothing_and_makes_nothing_unusual() -> None:
    rng = np.random.default_rng(2)
    numerators, cases = _series(rng, 0.3, 5000)
    numerators[0, CENTRE + 1] = cases[0, CENTRE + 1]
    assert all(found.holds for found in _ratio(numerators, cases))
    numerators[0, CENTRE] += 0.05 * cases[0, CENTRE]
    assert not all(found.holds for found in _ratio(numerators, cases))


def test_nothing_is_said_beside_too_few() -> None:
    lone = np.full((2, 3), np.nan)
    lone[0, 1] = 1000
    assert usual_count(lone, 1, BY_CHANCE) == []
    assert usual_ratio(lone, lone, 1, 1, ONE_OF_MANY) == []


def _series(rng: np.random.Generator, share: float, cases: int) -> tuple[np.ndarray, np.ndarray]:
    """A share with a season, growth and more variance than chance alone, over so many cases."""
    sizes = rng.poisson(cases, (SEASONS, PLACES)).astype(float)
    season = 0.03 * np.sin(2 * np.pi * np.arange(PLACES) / PLACES)
    growth = 0.02 * rng.normal(size=(SEASONS, 1))
    chance = 0.1 * np.sqrt(share * (1 - share) / max(cases, 1)) * rng.normal(size=sizes.shape)
    true = np.clip(share + share * (season + growth) + chance, 0, 1)
    return rng.binomial(sizes.astype(int), true).astype(float), sizes


def _ratio(numerators: np.ndarray, cases: np.ndarray) -> list[Range]:
    return usual_ratio(numerators, cases, 100, CENTRE, ONE_OF_MANY)


# ---- how often a warning is right ---------------------------------------------------------------


def _found(share: float, cases: int, points: float, times: int = 200) -> float:
    """How often a share that is so many points off is named."""
    rng = np.random.default_rng(7)
    named = 0
    for _ in range(times):
        numerators, sizes = _series(rng, share, cases)
        numerators[0, CENTRE] += round(points * sizes[0, CENTRE])
        named += any(not found.holds for found in _ratio(numerators, sizes))
    return named / times


def _short(cases: int, kept: float, times: int = 200) -> float:
    """How often a month of which so much is there is named."""
    rng = np.random.default_rng(7)
    season = 1 + 0.08 * np.sin(2 * np.pi * np.arange(PLACES) / PLACES)
    named = 0
    for _ in range(times):
        growth = 1 + 0.05 * rng.normal(size=(SEASONS, 1))
        counts = rng.poisson(cases * season * growth).astype(float)
        counts[0, CENTRE] = round(counts[0, CENTRE] * kept)
        named += any(not found.holds for found in usual_count(counts, CENTRE, BY_CHANCE))
    return named / times


def rates() -> Iterator[tuple[str, int, float, float]]:
    """What is planted, of how many a month, how often it is found, how often a sound one is."""
    for cases in (1_300, 6_000, 230_000):
        yield "30 % of the rows are missing", cases, _short(cases, 0.7), _short(cases, 1)
    for share in (0.05, 0.15, 0.4):
        for cases in (1_300, 6_000, 230_000):
            found, sound = _found(share, cases, 0.05), _found(share, cases, 0)
            yield f"5 points more of {share:.0%}", cases, found, sound


def test_planted_faults_are_found_and_sound_months_are_not() -> None:
    for what, cases, found, sound in rates():
        assert sound <= 1 / 200, (what, cases)
        # Of 1,300 cases a share of 40 % is 1.4 points off by chance alone, and one of 5 % by 0.6.
        if cases > 2_000 or "rows" in what:
            assert found >= 0.9, (what, cases, found)

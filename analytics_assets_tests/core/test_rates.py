"""Rates beside shares, against the formulas as they are published, in Python."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core import rates
from analytics_assets.core.columns import Ratio

Z = NormalDist().inv_cdf(0.975)
CONNECTION = duckdb.connect()
counts = st.integers(0, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def computed(sql: str, rows: list[tuple], columns: str = "a, x, n, y, m") -> list[Any]:
    listed = ", ".join(str(row) for row in rows)
    query = f"select {sql} from (values {listed}) as t ({columns}) order by a"
    return [row[0] for row in CONNECTION.execute(query).fetchall()]


@settings(deadline=None, max_examples=50)
@given(counts)
def test_an_interval_is_wilsons(share: tuple[int, int]) -> None:
    x, n = share
    found = {name: computed(sql, [(0, x, n, 0, 0)])[0] for name, sql in rates.wilson("x", "n", 100)}
    if not n:
        assert found == {"low": None, "high": None}
        return
    p = x / n
    middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    assert float(found["low"]) == pytest.approx(100 * max(0, middle - half), abs=1e-4)
    assert float(found["high"]) == pytest.approx(100 * min(1, middle + half), abs=1e-4)
    # As printed in textbooks: 7 of 10 is 39.7 to 89.2 %.
    if (x, n) == (7, 10):
        assert (round(float(found["low"]), 1), round(float(found["high"]), 1)) == (39.7, 89.2)


def test_an_interval_as_printed() -> None:
    found = [float(computed(sql, [(0, 7, 10, 0, 0)])[0]) for _, sql in rates.wilson("x", "n", 100)]
    assert [round(value, 1) for value in found] == [39.7, 89.2]


@settings(deadline=None, max_examples=50)
@given(st.lists(counts, min_size=1, max_size=12))
def test_small_areas_are_drawn_to_the_mean(shares: list[tuple[int, int]]) -> None:
    rows = [(place, x, n, 0, 0) for place, (x, n) in enumerate(shares)]
    found = computed(rates.smoothed("x", "n", 100, ""), rows)
    known = [(x, n) for x, n in shares if n]
    total = sum(n for _, n in known)
    for (x, n), value in zip(shares, found, strict=True):
        if not n:
            assert value is None
            continue
        mean = sum(x for x, _ in known) / total
        spread = sum(n * (x / n - mean) ** 2 for x, n in known) / total
        chance = mean * (1 - mean)
        between = max(0.0, spread - chance / (total / len(known)))
        below = between + chance / n
        weight = between / below if below > 1e-15 else 0
        right = 100 * (mean + weight * (x / n - mean))
        assert float(value) == pytest.approx(right, abs=2e-4)
        # Never further from the mean than the share itself.
        assert abs(float(value) / 100 - mean) <= abs(x / n - mean) + 1e-5


def test_shares_are_standardised_directly() -> None:
    """Two strata, 10 of 100 and 30 of 60, in a standard of 3 to 1."""
    CONNECTION.execute("create or replace table fine as from (values (1, 10, 100), (2, 30, 60),"
                       " (3, 5, 5)) as t (stratum, x, n)")  # fmt: skip
    CONNECTION.execute("create or replace table standard as from (values (1, 300.0), (2, 100.0),"
                       " (4, 50.0)) as t (stratum, _weight)")  # fmt: skip
    sql = rates.standardised(Ratio("r", "x", "n", "", "percent", 100), "fine", "standard")
    query = f"select {sql} from fine left join standard using (stratum) where stratum < 3"
    ((found,),) = CONNECTION.execute(query).fetchall()
    assert float(found) == pytest.approx((3 * 10 + 1 * 50) / 4)
    # A stratum that is in no standard, such as unknown, has no weight.
    ((same,),) = CONNECTION.execute(query.removesuffix(" where stratum < 3")).fetchall()
    assert same == found


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        ((120,), (100,), "within chance"),  # z = 1.35
        ((140,), (100,), "rise"),  # z = 2.58
        ((60,), (100,), "fall"),
        ((0,), (0,), "within chance"),
        ((50, 100), (30, 100), "rise"),  # z = 2.89
        ((50, 100), (45, 100), "within chance"),
        ((10, 10), (10, 10), "within chance"),
        ((10, 100), (50, 100), "fall"),
        ((0, 0), (5, 10), None),
    ],
)
def test_a_change_has_a_word(now: tuple[int, ...], before: tuple[int, ...], said: str) -> None:
    if len(now) == 1:
        sql = rates.significance(["x"], ["y"])
        row = (0, now[0], 0, before[0], 0)
    else:
        sql = rates.significance(["x", "n"], ["y", "m"])
        row = (0, *now, *before)
    assert computed(sql, [row]) == [said]


def test_each_formula_has_its_source() -> None:
    assert set(rates.FORMULAS) == {"interval", "smoothed", "standardised", "significance"}
    for text in rates.FORMULAS.values():
        assert any(year in text for year in ("1927", "1991", "2001", "2003"))
    assert "Wilson" in rates.formula_of("low")

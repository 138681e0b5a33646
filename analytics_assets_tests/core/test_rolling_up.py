"""How a measure rolls up is read from its SQL, and refused with a sentence where it cannot."""

from __future__ import annotations

import pytest

from analytics_assets.core.columns import Measure
from analytics_assets.core.refusals import DeclarationError


def measure(sql: str, **how: str) -> Measure:
    return Measure("m", sql, "M.", "u", **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sql", "function"),
    [
        ("count(*)", "sum"),
        ("count(*) filter (where cents > 1000)", "sum"),
        ('count("sessionScore")', "sum"),
        ("count_if(cents > 1000)", "sum"),
        ("coalesce(sum(cents) filter (where big), 0)", "sum"),
        ("sum(paid - returned)", "sum"),
        ("sum(paid) - sum(returned) + count(*)", "sum"),
        ("cast(sum(cents) as bigint)", "sum"),
        ("max(level_cm)", "max"),
        ("max(level_cm / 100.0) filter (where valid)", "max"),
        ("cast(max(level_cm) as integer)", "max"),
        ("(min(level_cm))", "min"),
    ],
)
def test_it_is_read_from_the_sql(sql: str, function: str) -> None:
    found = measure(sql)
    assert found.function == function
    assert found.adds_up == (function == "sum")
    assert found.column().nullable == (function != "sum")


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("count(distinct patient)", "a distinct count of days does not add up to that of the mon"),
        ("count(distinct a) filter (where b)", "keep the fact's rows, or count in a table of its"),
        ("sum(distinct cents)", "a distinct count of days"),
        ("approx_count_distinct(patient)", "a distinct count of days"),
        ("avg(cents)", "does not follow from those of its days; make a mean or share a Ratio"),
        ("median(cents)", "make a mean or share a Ratio of two measures"),
        ("quantile_cont(cents, 0.9)", "make a mean or share a Ratio of two measures"),
        ("stddev_samp(cents)", "anything else a column of a table of its own"),
        ("sum(cents) / count(*)", "make a mean or share a Ratio of two measures"),
        (
            "coalesce(max(cents), 0)",
            "would be taken for a real one when it is rolled up; leave out",
        ),
        ("coalesce(sum(cents), 1)", "does not say how it rolls up; give rolls_up: 'sum', 'max' or"),
        ("max(cents) - min(cents)", "does not say how it rolls up"),
        ("max(cents, 3)", "does not say how it rolls up"),
        ("arg_max(cents, day)", "does not say how it rolls up"),
        ("round(sum(cents), 1)", "does not say how it rolls up"),
        ("my_sum(cents)", "does not say how it rolls up"),
        ("sum(", "cannot be read; is all of it closed"),
    ],
)
def test_what_has_no_way_is_refused(sql: str, why: str) -> None:
    with pytest.raises(DeclarationError, match=why):
        measure(sql)


def test_where_it_is_not_clear_it_is_given() -> None:
    assert measure("greatest(max(a), max(b))", rolls_up="max").function == "max"
    assert measure("my_sum(cents)", rolls_up="sum").adds_up


def test_what_is_given_may_not_contradict_the_sql() -> None:
    with pytest.raises(DeclarationError, match="rolls up by sum, not by max; leave out rolls_up"):
        measure("sum(cents)", rolls_up="max")
    with pytest.raises(DeclarationError, match="a distinct count of days"):
        measure("count(distinct patient)", rolls_up="sum")

"""Plots and previews show what there is, the right way round."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets.core.columns import Column, Dimension
from analytics_assets.core.declaration import Table
from analytics_assets.core.display import (
    SHOWN_IN_PLACE,
    Marks,
    chart_as_markdown,
    plot_as_markdown,
)
from analytics_assets.warehouse.pictures import PREVIEW_COLUMNS, previewed
from analytics_assets_tests.toy import DAY, Memory, toy_tables


def points(markdown: str) -> list[list[tuple[float, float]]]:
    """The corners of each line of an inline picture; y counts from the top."""
    return [
        [(float(x), float(y)) for x, y in (pair.split(",") for pair in line.split())]
        for line in re.findall(r'<polyline points="([^"]*)"', picture(markdown))
    ]


def picture(markdown: str) -> str:
    """The SVG of an inline picture."""
    (encoded,) = re.findall(r"base64,([^)]*)\)", markdown)
    return base64.b64decode(encoded).decode()


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=18))
def test_a_plot_runs_from_left_to_right_and_up(values: list[float]) -> None:
    ((*drawn,),) = points(plot_as_markdown([(f"{i:02d}", v) for i, v in enumerate(values)], "L"))
    assert len(drawn) == len(values)
    xs, ys = [x for x, _ in drawn], [y for _, y in drawn]
    assert xs == sorted(set(xs))
    assert 0 <= min(xs) <= max(xs) <= 400
    assert 0 <= min(ys) <= max(ys) <= 120
    for value, y in zip(values, ys, strict=True):
        for other, its in zip(values, ys, strict=True):
            assert value <= other or y <= its  # what is greater stands higher, as far as rounded
    if max(values) - min(values) > 1:
        assert ys[values.index(max(values))] < ys[values.index(min(values))]


@given(st.lists(st.floats(-1e15, 1e15) | st.none(), min_size=1))
def test_a_plot_can_be_drawn_where_values_are_missing(values: list[float | None]) -> None:
    said = plot_as_markdown([(str(i), v) for i, v in enumerate(values)], "L")
    if set(values) == {None}:
        assert said == "L: no value"
    else:
        assert all(0 <= n <= 400 for line in points(said) for point in line for n in point)


@pytest.mark.parametrize("equal", [50.0, Decimal("50.00"), 0])
def test_a_plot_of_equal_values_is_level(equal: Any) -> None:
    said = plot_as_markdown([(f"2025-01-0{n}", equal) for n in range(1, 6)], "Spend.", "USD")
    (drawn,) = points(said)
    assert len({y for _, y in drawn}) == 1
    assert picture(said).count(f">{equal:.0f}</text>") == 1


def test_a_plot_names_its_ends_and_range_and_has_axes() -> None:
    series = [("2020", 7.5), ("2021", 1000.0), ("2022", -2), ("2023", 8)]
    said = plot_as_markdown(series, "Births.", "births")
    assert said.startswith(
        "Births, the last 4 partitions: first 7.50 (2020), last 8 (2023), min -2 (2022),"
        " max 1,000 (2021)\n\n![plot]("
    )
    drawn = picture(said)
    texts = re.findall(r">([^<]*)</text>", drawn)
    assert texts == ["1,000", "-2", "births", "2020", "2023"]
    left, top, bottom, right = map(int, re.findall(r'd="M(\d+) (\d+)V(\d+)H(\d+)"', drawn)[0])
    (line,) = points(said)
    assert (line[0][0], line[-1][0]) == (left, right)
    assert (line[1][1], line[2][1]) == (top, bottom)
    # The ticks of the least and greatest stand at their heights.
    heights = [int(y) for y in re.findall(r'<text x="8" y="(\d+)"', drawn)]
    assert heights == [top, bottom]


@given(st.lists(st.integers(0, 10**9), min_size=60, max_size=60), st.sampled_from([1, 20, 300]))
def test_extremes_and_ends_of_a_long_series_are_drawn(values: list[int], words: int) -> None:
    """Of a longer label as well, which leaves room for fewer points."""
    dated = [(f"2024-{i:05d}", float(value)) for i, value in enumerate(values)]
    said = plot_as_markdown(dated, "L" * words, "births")
    assert f"min {min(values):,} (" in said
    assert f"max {max(values):,} (" in said
    assert words == 300 or len(said) < SHOWN_IN_PLACE
    (drawn,) = points(said)
    assert len(drawn) < 40
    (top, bottom) = map(int, re.findall(r'd="M\d+ (\d+)V(\d+)', picture(said))[0])
    heights = [y for _, y in drawn]
    assert (min(heights), max(heights)) == (top if len(set(values)) > 1 else bottom, bottom)
    assert drawn[0][0] < drawn[-1][0] == 392


def test_words_of_a_plot_are_words() -> None:
    said = plot_as_markdown([("<a", 1), ("b&", 2)], "L", "a < b")
    assert ElementTree.fromstring(picture(said)) is not None


def test_a_chart_is_as_high_as_its_values_and_its_rules() -> None:
    marks = [Marks([(0, 1), (1, float("nan")), (2, 3)]), Marks([(0, 2), (2, 2)], "dashes")]
    said = chart_as_markdown(marks, "Chart.", ruled=[1])
    assert said.startswith("Chart: 1.0 to 3.0\n")
    rule, line, dashes = points(said)
    assert rule == [(200, 152), (200, 8)]
    assert line == [(8, 152), (392, 8)]
    assert dashes == [(8, 80), (392, 80)]


def test_a_preview_shows_the_keys_and_the_first_columns_of_many() -> None:
    daily = toy_tables(Memory())[2]
    assert previewed(daily) == ["day", "shop", "sales", "big_sales", "cents"]
    many = tuple(Column(f"c{i}", "text", "C.", personal=i == 1) for i in range(12))
    wide = Table("toy/wide", "marts", "W.", columns=many, unique=("c9",), sql="select 1")
    assert previewed(wide) == ["c9", "c0", "c2", "c3", "c4", "c5"]
    assert len(previewed(wide)) == PREVIEW_COLUMNS


def test_a_preview_shows_names_beside_their_codes() -> None:
    """The attribute that is called a name, else the first one; one that is personal stays out."""
    daily = toy_tables(Memory())[2]

    def axis(name: str, *attributes: str, personal: bool = False) -> Dimension:
        key = Column(f"{name}_code", "text", "K.", nullable=False)
        return Dimension(
            name, (key, *(Column(one, "text", "A.", personal=personal) for one in attributes))
        )

    def shown(*axes: Dimension) -> list[str]:
        return previewed(replace(daily, grain=(DAY, *axes), publish=None))

    state = axis("state", "abbreviation", "state_name", "region_name")
    assert shown(state) == ["day", "state_code", "state_name", "sales", "big_sales", "cents"]
    two = shown(axis("shop", "label", "size"), state)
    assert two == ["day", "shop_code", "label", "state_code", "state_name", "sales"]
    assert shown(axis("user", "full_name", personal=True))[:3] == ["day", "user_code", "sales"]
    unkeyed = replace(daily, grain=(DAY, state), unique=("day",), publish=None)
    assert previewed(unkeyed)[:2] == ["day", "sales"]


NUMBERS = st.one_of(
    st.integers(-(10**30), 10**30), st.floats(), st.decimals(allow_nan=False, allow_infinity=False)
)


@given(st.lists(st.none() | NUMBERS, max_size=30), st.booleans())
def test_whatever_a_series_holds_it_is_drawn_or_said(
    values: list[float | Decimal | None], equal: bool
) -> None:
    """Equal values, too, and none at all."""
    series = [(str(key), values[0] if equal else value) for key, value in enumerate(values)]
    assert plot_as_markdown(series, "Spend.", "USD").startswith("Spend")


def test_a_chart_without_a_point_says_so() -> None:
    assert chart_as_markdown([Marks([(1, float("nan"))]), Marks([])], "Score.") == "Score: no value"

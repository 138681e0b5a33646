"""Plots and previews show what there is, the right way round."""

from __future__ import annotations

import base64
import re

from hypothesis import given
from hypothesis import strategies as st

from analytics_assets.core.columns import Column
from analytics_assets.core.declaration import Table
from analytics_assets.core.display import Marks, chart_as_markdown, plot_as_markdown
from analytics_assets.warehouse.pictures import PREVIEW_COLUMNS, previewed
from analytics_assets_tests.toy import Memory, toy_tables


def points(markdown: str) -> list[list[tuple[float, float]]]:
    """The corners of each line of an inline picture; y counts from the top."""
    (encoded,) = re.findall(r"base64,([^)]*)\)", markdown)
    picture = base64.b64decode(encoded).decode()
    return [
        [(float(x), float(y)) for x, y in (pair.split(",") for pair in line.split())]
        for line in re.findall(r'<polyline points="([^"]*)"', picture)
    ]


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=36))
def test_a_plot_runs_from_left_to_right_and_up(values: list[float]) -> None:
    ((*drawn,),) = points(plot_as_markdown([(f"{i:02d}", v) for i, v in enumerate(values)], "L"))
    assert len(drawn) == len(values)
    xs, ys = [x for x, _ in drawn], [y for _, y in drawn]
    assert xs == sorted(set(xs))
    assert 0 <= min(xs) <= max(xs) <= 400
    assert 0 <= min(ys) <= max(ys) <= 80
    for value, y in zip(values, ys, strict=True):
        for other, its in zip(values, ys, strict=True):
            assert value <= other or y <= its  # what is greater stands higher, as far as rounded
    if min(values) < max(values):
        assert ys[values.index(max(values))] < ys[values.index(min(values))]


def test_a_plot_names_its_ends_and_range() -> None:
    said = plot_as_markdown([("2020", 7.0), ("2021", 1000.0), ("2022", 8.0)], "Births.")
    assert said.startswith("Births, 2020 to 2022: 7 to 1,000\n\n![Births]")


def test_long_series_are_means_of_neighbours() -> None:
    (drawn,) = points(plot_as_markdown([(str(i), float(i % 2)) for i in range(72)], "L"))
    assert len(drawn) == 36
    assert len({y for _, y in drawn}) == 1


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

"""The order of day and month is that of the file, and never that of one value."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from analytics_assets.core.source import SourceError
from analytics_assets.landing.dates import date_order

_DAYS = st.lists(st.dates(date(1994, 1, 1), date(2050, 12, 31)), min_size=1, max_size=6)
_STYLES = st.sampled_from(
    [
        ("day", "{d}/{m}/{y}"),
        ("day", "{d:02}.{m:02}.{y} 00:00:00"),
        ("day", "{d:02}-{m:02}-{y}"),
        ("month", "{m}/{d}/{y}"),
        ("month", "{m:02}/{d:02}/{y} 13:05"),
        ("", "{y}-{m:02}-{d:02}"),
        ("", "{y}/{m:02}/{d:02}"),
        ("", "{y}{m:02}{d:02}"),
        ("", "{y}-{m:02}-{d:02}T10:30:00.000000Z"),
        ("", "{y}-{m:02}-{d:02} 00:00:00"),
    ]
)
_SESSION = duckdb.connect()
FILE = Path("births.csv")


def order_of(texts: list[str]) -> str:
    _SESSION.execute("create or replace temp table file (n bigint, text varchar)")
    _SESSION.executemany("insert into file values (?, ?)", list(enumerate(texts, start=1)))
    return date_order(_SESSION, "file", "text", FILE, "n")


@hypothesis_settings(max_examples=60, deadline=None)
@given(days=_DAYS, style=_STYLES)
def test_the_order_is_that_of_the_file_or_it_is_refused(
    days: list[date], style: tuple[str, str]
) -> None:
    order, written = style
    texts = [written.format(d=day.day, m=day.month, y=day.year) for day in days]
    if not order or all(day.day == day.month for day in days):
        assert order_of(texts) == ""
    elif any(day.day > 12 for day in days):
        assert order_of(texts) == order
    else:
        with pytest.raises(SourceError, match="may have the day or the month first"):
            order_of(texts)


def test_both_orders_in_a_file_are_refused_with_the_rows() -> None:
    with pytest.raises(SourceError, match=r"births.csv: 1 of .* first and 2 .* \(rows 2 and 3\)"):
        order_of(["01/02/2024", "13/02/2024", "02/13/2024", "02/14/2024"])


def test_what_is_no_date_decides_nothing() -> None:
    texts = ["99/99/2024", "13/2024", "45/01/2024", "soon", "", "2024-02-30"]
    assert order_of(texts) == ""
    assert order_of([*texts, "25/12/2024"]) == "day"


@pytest.mark.parametrize(
    ("order", "written"), [("day", "{0:02}/{1:02}/2024"), ("month", "{1:02}/{0:02}/2024")]
)
def test_one_typing_error_beside_many_dates_refuses_no_file(order: str, written: str) -> None:
    days = [(day, month) for day in range(1, 29) for month in range(1, 13)]
    assert order_of([*(written.format(*pair) for pair in days), written.format(3, 25)]) == order

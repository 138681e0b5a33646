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
from analytics_assets.landing.dates import date_order, date_sql

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


def read(texts: list[str]) -> list[date | None]:
    _SESSION.execute("create or replace temp table file (n bigint, text varchar)")
    _SESSION.executemany("insert into file values (?, ?)", list(enumerate(texts, start=1)))
    order = date_order(_SESSION, "file", "text", FILE, "n")
    rows = _SESSION.execute(f"select {date_sql('text', order)} from file order by n").fetchall()
    return [day for (day,) in rows]


@hypothesis_settings(max_examples=60, deadline=None)
@given(days=_DAYS, style=_STYLES)
def test_a_file_is_read_in_its_order_or_refused(days: list[date], style: tuple[str, str]) -> None:
    order, written = style
    texts = [written.format(d=day.day, m=day.month, y=day.year) for day in days]
    undecided = order and not any(day.day > 12 for day in days)
    if undecided and any(day.day != day.month for day in days):
        with pytest.raises(SourceError, match="may have the day or the month first"):
            read(texts)
    else:
        assert read(texts) == days


def test_both_orders_in_a_file_are_refused_with_the_rows() -> None:
    with pytest.raises(SourceError, match=r"births.csv: 1 of .* first and 2 .* \(rows 2 and 3\)"):
        read(["01/02/2024", "13/02/2024", "02/13/2024", "02/14/2024"])


def test_what_is_no_date_is_none_and_decides_nothing() -> None:
    texts = ["99/99/2024", "13/2024", "45/01/2024", "soon", "", "31/02/2024", "2024-02-30"]
    assert read([*texts, "25/12/2024"]) == [None] * len(texts) + [date(2024, 12, 25)]


@pytest.mark.parametrize("order", ["{0:02}/{1:02}/2024", "{1:02}/{0:02}/2024"])
def test_one_typing_error_of_many_dates_is_no_date_and_refuses_no_file(order: str) -> None:
    days = [(day, month) for day in range(1, 29) for month in range(1, 13)]
    wrong = order.format(3, 25)
    found = read([*(order.format(*pair) for pair in days), wrong])
    assert found == [*(date(2024, month, day) for day, month in days), None]

"""Amounts and moments of the ads that were readable, and cannot be read in a restated file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analytics_assets import settings
from analytics_assets.core.declaration import Table
from analytics_assets.domains.ad_metrics.sample import write
from analytics_assets.domains.ad_metrics.source_tables import (
    AD_PERFORMANCE_DAILY,
    currency_fx,
    mixpanel_events,
)
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake
from analytics_assets_tests.ad_metrics.landed import edit, fields, point_at, rows, small_world
from analytics_assets_tests.warehouse.planted import build

DAY = "2025-01-01"
INSIGHTS = AD_PERFORMANCE_DAILY[0]


def paid(lines: list[dict]) -> dict:
    return next(own for own in map(fields, lines) if "revenue" in own)


def no_amount(lines: list[dict]) -> None:
    paid(lines)["revenue"] = "1.234,56 x"


def no_moment(lines: list[dict]) -> None:
    paid(lines)["time"] = "yesterday"


def no_spend(lines: list[dict]) -> None:
    lines[0]["spend"] = "1.234,56 x"


CASES: list[tuple[str, Callable[[list[dict]], None], Table, str]] = [
    ("mixpanel/events", no_amount, mixpanel_events, "revenue: 1, such as 9.999,99 a"),
    ("mixpanel/events", no_moment, mixpanel_events, "1, most as time_ms is no bigint"),
    ("meta_ads/ad_performance_daily", no_spend, INSIGHTS, "Spend, impressions, clicks"),
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(small_world(1, days=8, ads=3, users=4), *point_at(monkeypatch, tmp_path))
    return tmp_path


@pytest.mark.parametrize(("place", "change", "table", "said"), CASES)
def test_a_restated_day_that_cannot_be_read_is_held_back_until_it_is_taken_out(
    home: Path, place: str, change: Callable[[list[dict]], None], table: Table, said: str
) -> None:
    lake = Lake(settings.load().lake)
    (path,) = (home / place).glob(f"*{DAY}*")
    assert not build(lake, table, [DAY]).findings
    before, whole = rows(lake, table), path.read_bytes()
    edit(path, change)
    held = [one for one in build(lake, table, [DAY]).findings if one.blocking]
    assert said in " ".join(one.summary for one in held)
    assert rows(lake, table) == before
    path.write_bytes(whole)
    assert not build(lake, table, [DAY]).findings
    assert DAY not in [one.partition for one in Snapshot(lake).behind(table)]
    assert rows(lake, table) == before


def test_a_rate_that_is_no_number_any_more_is_not_taken_away(home: Path) -> None:
    lake = Lake(settings.load().lake)
    folder = home / "mixpanel" / "currency_fx"
    for path in folder.glob("*"):
        path.unlink()
    path = folder / f"{DAY}.csv"
    path.write_text("currency,usd_rate\nEUR,1.1\nGBP,1.2\nMXN,0.05\n")
    assert not build(lake, currency_fx, [DAY]).findings
    path.write_text('currency,usd_rate\nEUR,"1,1"\nGBP,1.2\nMXN,0.05\n')
    assert build(lake, currency_fx, [DAY]).failed() == {DAY}
    assert len(rows(lake, currency_fx)) == 3

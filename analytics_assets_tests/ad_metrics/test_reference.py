"""The pipeline agrees with a slow, independent reading of the rules, however the data arrive."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from analytics_assets import settings
from analytics_assets.ad_metrics.sample import write
from analytics_assets.warehouse.lake import Lake
from analytics_assets_tests.ad_metrics.landed import (
    differences,
    metrics,
    point_at,
    settle,
    small_world,
)
from analytics_assets_tests.ad_metrics.reference import Reference, comparable


def check(mixpanel: Path, meta: Path, lake: Lake) -> Reference:
    reference = Reference(mixpanel, meta)
    found = {
        key: {name: comparable(value) for name, value in row.items()}
        for key, row in metrics(lake).items()
    }
    expected = {
        key: {name: comparable(value) for name, value in row.items()}
        for key, row in reference.rows.items()
    }
    assert differences(found, expected) == []
    assert len(found) > 1000
    return reference


@pytest.mark.parametrize(
    ("seed", "days"),
    [(1, 46), *(pytest.param(n, 70, marks=pytest.mark.slow) for n in range(1, 21))],
)
def test_one_load_agrees_on_every_cell(
    seed: int, days: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixpanel, meta = point_at(monkeypatch, tmp_path)
    write(small_world(seed, days), mixpanel, meta)
    lake = Lake(settings.load().lake)
    assert settle(lake)[1] == []
    reference = check(mixpanel, meta, lake)
    # The data are worth comparing: every rule has something to do.
    reasons = {one.reason for one in reference.user_products}
    assert len(reasons) >= 7
    levels = {level for one in reference.user_products for _, level in one.rates.values()}
    assert {"product", "default"} < levels
    assert settle(lake)[0] == {}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(1, 21))
def test_sixty_nights_agree_with_one_load(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixpanel, meta = point_at(monkeypatch, tmp_path)
    world = small_world(seed)
    lake = Lake(settings.load().lake)
    for night in range(59, -1, -1):
        write(world, mixpanel, meta, world.last - timedelta(days=night))
        assert settle(lake)[1] == []
    check(mixpanel, meta, lake)

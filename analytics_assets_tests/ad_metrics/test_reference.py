"""The pipeline agrees with a slow, independent reading of the rules, however the data arrive."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from analytics_assets import settings
from analytics_assets.domains.ad_metrics.sample import write
from analytics_assets.warehouse.lake import Lake
from analytics_assets_tests.ad_metrics.landed import (
    Metrics,
    differences,
    metrics,
    metrics_of_sql,
    point_at,
    settle,
    small_world,
)
from analytics_assets_tests.ad_metrics.reference import Reference, comparable


def check(mixpanel: Path, meta: Path, metrics: Metrics) -> Reference:
    reference = Reference(mixpanel, meta)
    found, expected = (
        {key: {name: comparable(value) for name, value in row.items()} for key, row in all.items()}
        for all in (metrics, reference.rows)
    )
    assert differences(found, expected) == []
    return reference


def is_worth_comparing(reference: Reference) -> None:
    """Every rule has something to do."""
    assert len(reference.rows) > 1000
    assert len({one.reason for one in reference.user_products}) >= 7
    levels = {level for one in reference.user_products for _, level in one.rates.values()}
    assert {"product", "default"} < levels


def test_the_sql_agrees_on_every_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mixpanel, meta = point_at(monkeypatch, tmp_path)
    write(small_world(1, 46), mixpanel, meta)
    is_worth_comparing(check(mixpanel, meta, metrics_of_sql()))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 21))
def test_one_load_agrees_on_every_cell(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixpanel, meta = point_at(monkeypatch, tmp_path)
    write(small_world(seed), mixpanel, meta)
    lake = Lake(settings.load().lake)
    assert settle(lake)[1] == []
    is_worth_comparing(check(mixpanel, meta, metrics(lake)))
    assert settle(lake)[0] == {}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(1, 1 + int(os.environ.get("SEEDS") or 2)))
def test_sixty_nights_agree_with_one_load(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixpanel, meta = point_at(monkeypatch, tmp_path)
    world = small_world(seed)
    lake = Lake(settings.load().lake)
    for night in range(59, -1, -1):
        write(world, mixpanel, meta, world.last - timedelta(days=night))
        assert settle(lake)[1] == []
    is_worth_comparing(check(mixpanel, meta, metrics(lake)))

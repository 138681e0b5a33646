"""The defects that are planted for the checks of the ad metrics."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from analytics_assets import settings
from analytics_assets.core.declaration import Table
from analytics_assets.domains.ad_metrics.sample import write
from analytics_assets.domains.ad_metrics.source_tables import AD_PERFORMANCE_DAILY, mixpanel_events
from analytics_assets.domains.ad_metrics.tables import (
    daily_mixpanel_metrics,
    daily_mixpanel_metrics_breakdown,
    user_product_events,
)
from analytics_assets.warehouse.lake import Lake
from analytics_assets_tests.ad_metrics.landed import (
    edit,
    pay_in_francs,
    point_at,
    settle,
    small_world,
)
from analytics_assets_tests.warehouse.planted import Defect, Site, build, judged

# Seven days before the last one: its users are post-trial.
AD_DAY = "2025-01-01"


@contextmanager
def ads(site: Site) -> Iterator[tuple[Path, Lake]]:
    """A copy of eight days of ads: the folder that holds what landed, and the lake."""
    sound = site.folder / "ads"
    with pytest.MonkeyPatch.context() as patch:
        if not sound.exists():
            write(small_world(1, days=8, ads=3, users=4), *point_at(patch, sound))
            assert settle(Lake(settings.load().lake))[1] == []
        folder = site.new_folder()
        shutil.copytree(sound, folder)
        point_at(patch, folder)
        yield folder, Lake(settings.load().lake)


def in_ads_file(
    file: str, change: Callable[[list[dict]], None], *tables: Table
) -> Callable[[Site, Defect], str]:
    """Change the lines of a file that landed; the last of the tables is judged."""

    def plant(site: Site, defect: Defect) -> str:
        with ads(site) as (folder, lake):
            edit(folder / file, change)
            for upstream in tables[:-1]:
                assert not build(lake, upstream, [AD_DAY]).failed()
            return judged(lake, tables[-1], AD_DAY, defect)

    return plant


def in_ads_sql(table: Table, old: str, new: str) -> Callable[[Site, Defect], str]:
    """Other SQL of a table of ads, as a mistake in its file would be."""

    def plant(site: Site, defect: Defect) -> str:
        assert table.sql
        assert old in table.sql
        with ads(site) as (_, lake):
            return judged(lake, replace(table, sql=table.sql.replace(old, new)), AD_DAY, defect)

    return plant


def no_number(rows: list[dict]) -> None:
    rows[0]["spend"] = "much"


DEFECTS = (
    Defect(
        "numbers",
        "a spend that is no number",
        ("Spend, impressions, clicks and actions are numbers: 1 found", "Export the day again"),
        in_ads_file(
            f"meta_ads/ad_performance_daily/{AD_DAY}.jsonl", no_number, AD_PERFORMANCE_DAILY[0]
        ),
        quarantined=1,
    ),
    Defect(
        "currency_has_rate",
        "an amount in a currency without a rate",
        ("its currency has a rate on its day: 1 found (CHF)", "Add the currency"),
        in_ads_file(
            f"mixpanel/events/{AD_DAY}.jsonl", pay_in_francs, mixpanel_events, user_product_events
        ),
        quarantined=1,
    ),
    Defect(
        "count_is_length",
        "a count that is not the length of its list",
        ("Each count is the length of its user list", "sql/daily_metrics.sql"),
        in_ads_sql(
            daily_mixpanel_metrics,
            "coalesce(trial_user_ids, '[]')",
            "cast(to_json(list_append(cast(coalesce(trial_user_ids, '[]') as json)::varchar[],"
            " 'one more')) as varchar)",
        ),
        quarantined=5,
    ),
    Defect(
        "subsets",
        "post-trial users who are no trial users",
        ("post-trial are trial users", "sql/user_product_metrics.sql"),
        in_ads_sql(
            daily_mixpanel_metrics,
            "coalesce(post_trial_user_ids, '[]')",
            "replace(coalesce(trial_user_ids, '[]'), 'device', 'other')",
        ),
        quarantined=4,
    ),
    Defect(
        "adds_up",
        "users of one campaign who are left out",
        ("all entities together have the users", "sql/daily_metrics.sql loses or doubles"),
        in_ads_sql(
            daily_mixpanel_metrics,
            "where entity_id is not null and (is_trial",
            "where entity_id <> (select min(campaign_id) from user_products) and (is_trial",
        ),
        quarantined=1,
    ),
    Defect(
        "sums_to_main_row",
        "what adsets did stands under the id of their campaign",
        ("summed over a breakdown, is that of its main row", "sql/ad_performance.sql"),
        in_ads_sql(
            daily_mixpanel_metrics_breakdown,
            "when 'adset' then adset_id",
            "when 'adset' then campaign_id",
        ),
        quarantined=18,
    ),
)

"""How questions read from users and Meta's reports, typed by hand."""

from __future__ import annotations

from datetime import date

from analytics_assets_tests.asking import Facts

_ENTITY = (
    "case entity_type when 'campaign' then campaign_id when 'adset' then adset_id else ad_id end"
)
_LEVELS = "(values ('campaign'), ('adset'), ('ad')) as e (entity_type)"
_KINDS = "(values ('country'), ('region'), ('device')) as b (breakdown_type)"
_REGION = (
    "case when region <> 'unknown' and country <> 'unknown' and credited_date in (select date from"
    " ad_metrics.ad_performance where axis <> 'all' and regions_name_country)"
    " then region || ', ' || country else region end"
)


def _source(more_of_users: str, users: str, more_of_ads: str, ads: str) -> str:
    return f"""
select credited_date as date, entity_type, {_ENTITY} as entity_id, {more_of_users}
    distinct_id, is_trial, actual_revenue_usd, actual_refunds_usd, current_value_usd,
    0 as spend_usd, 0 as impressions, 0 as clicks, 0 as trials
from ad_metrics.user_product_metrics cross join {_LEVELS} {users}
where valid_lifecycle and has_abi_attribution and (is_trial or is_purchase)
    and {_ENTITY} is not null
union all
select date, entity_type, {_ENTITY}, {more_of_ads}
    null, false, 0, 0, 0, spend_usd, impressions, clicks, trials
from ad_metrics.ad_performance cross join {_LEVELS}
where {ads} and (spend_usd <> 0 or impressions <> 0 or clicks <> 0 or trials <> 0
    or purchases <> 0)"""


_BY_ENTITY = _source("", "", "", "axis = 'all'")
_BY_BREAKDOWN = _source(
    "breakdown_type, case breakdown_type when 'country' then country when 'region' then"
    f" {_REGION} else device end as breakdown_value,",
    f"cross join {_KINDS}",
    "axis, breakdown_value,",
    "axis <> 'all'",
)
_LEVEL, _KIND = {"entity_type", "entity_id"}, {"breakdown_type", "breakdown_value"}
FACTS = Facts(
    source=f"select * from ({_BY_ENTITY}) where entity_type = 'campaign'",
    expanded={
        **dict.fromkeys(sorted(_KIND), _BY_BREAKDOWN),
        **dict.fromkeys(sorted(_LEVEL), _BY_ENTITY),
    },
    day="date",
    words={word: word for word in sorted(_LEVEL | _KIND)},
    kept={
        "daily_mixpanel_metrics": ("day", _LEVEL),
        "daily_mixpanel_metrics_breakdown": ("day", _LEVEL | _KIND),
        "daily_mixpanel_metrics_overview": ("day", set()),
    },
    unlike={
        "daily_mixpanel_metrics": {"entity_type"},
        "daily_mixpanel_metrics_breakdown": {"entity_type", "breakdown_type"},
    },
    values={
        "entity_type": ("campaign", "ad"), "breakdown_type": ("country", "device"),
        "breakdown_value": ("US", "unknown"), "month": ("2025-02",), "year": ("2025",),
    },
    measures={
        "meta_spend": "sum(spend_usd)",
        "meta_impressions": "sum(impressions)",
        "meta_clicks": "sum(clicks)",
        "meta_trial_count": "sum(trials)",
        "actual_revenue_usd": "sum(actual_revenue_usd)",
        "net_actual_revenue_usd": "sum(actual_revenue_usd - actual_refunds_usd)",
        "estimated_revenue_usd": "sum(current_value_usd)",
        # Somebody in two campaigns is counted in each.
        "mixpanel_trial_count": "count(distinct entity_id || ' ' || distinct_id)"
        " filter (where is_trial)",
    },
    spans=(
        ("2025-01..2025-02", date(2025, 1, 1), date(2025, 2, 28)),
        ("2025-02", date(2025, 2, 1), date(2025, 2, 28)),
        ("2025-01-13..2025-02-09", date(2025, 1, 13), date(2025, 2, 9)),
    ),
)  # fmt: skip
METRICS = (
    "meta_spend", "meta_clicks", "meta_impressions", "meta_cost_per_trial", "actual_revenue_usd",
    "net_actual_revenue_usd", "estimated_revenue_usd", "mixpanel_trial_count",
)  # fmt: skip

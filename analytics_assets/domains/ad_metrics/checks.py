"""The checks of the daily metrics.

Belongs here: what every row of them has to be, and what they have to add up to.
Does not belong here: the measures (``measures.py``), checks of what landed (``source_tables.py``).
"""

from __future__ import annotations

from analytics_assets.core.declaration import Check
from analytics_assets.domains.ad_metrics.measures import (
    AD_MEASURES,
    BREAKDOWN_TYPES,
    COUNTS,
    META,
    SUBSETS,
    USER_LISTS,
)

COUNTS_ARE_LENGTHS = " or ".join(f"json_array_length({u.ids}) <> {u.count}" for u in USER_LISTS)
NOT_SUBSETS = " or ".join(
    f"not list_has_all(cast({whole} as json)::varchar[], cast({part} as json)::varchar[])"
    for part, whole in SUBSETS
)


def list_checks(name: str, keys: str) -> tuple[Check, ...]:
    """Checks of the user lists of every row."""
    return (
        Check(
            "count_is_length",
            "Each count is the length of its user list",
            f"select _partition, {keys} from {name} where {COUNTS_ARE_LENGTHS}",
            "Lists and counts come from the same rows in sql/daily_metrics.sql: look there.",
        ),
        Check(
            "subsets",
            "Refunded are converted, converted are post-trial, post-trial are trial users; refunded"
            " purchasers are purchasers",
            f"select _partition, {keys} from {name} where {NOT_SUBSETS}",
            "Look at the flags in sql/user_product_metrics.sql.",
        ),
    )


_OF_META = [measure.name for measure in META]
_OF_USERS = [*(m.name for m in COUNTS), "actual_revenue_usd", "actual_refunds_usd"]
ADDS_UP = Check(
    "adds_up",
    "On each level, all entities together have the users, revenue and spend of the day",
    f"""
with entities as (
    select * from (values ('campaign'), ('adset'), ('ad')) as e (entity_type)
),
users as (
    select *, case entity_type
            when 'campaign' then campaign_id when 'adset' then adset_id else ad_id
        end as entity_id
    from ad_metrics.user_product_metrics cross join entities
    where valid_lifecycle and has_abi_attribution and (is_trial or is_purchase)
),
counted as (
    select credited_date as date, entity_type,
        {
        ", ".join(
            f"count(distinct (entity_id, distinct_id)) filter (where {users.flag}) as {users.count}"
            for users in USER_LISTS
        )
    },
        sum(actual_revenue_usd) as actual_revenue_usd,
        sum(actual_refunds_usd) as actual_refunds_usd
    from users where entity_id is not null group by all
),
spent as (
    select date, entity_type, {", ".join(f"{m.sql} as {m.name}" for m in META)}
    from ad_metrics.ad_performance cross join entities where axis = 'all' group by all
),
told as (
    select date, entity_type, {", ".join(f"sum({name}) as {name}" for name in _OF_USERS + _OF_META)}
    from ad_metrics.daily_mixpanel_metrics group by all
)
select strftime(date, '%Y-%m-%d') as _partition, entity_type
from told
full join counted using (date, entity_type)
full join spent using (date, entity_type)
where {
        " or ".join(
            f"coalesce(told.{name}, 0) <> coalesce({table}.{name}, 0)"
            for table, names in (("counted", _OF_USERS), ("spent", _OF_META))
            for name in names
        )
    }
order by all""",
    "sql/daily_metrics.sql loses or doubles users or spend: compare it with"
    " ad_metrics.user_product_metrics and ad_metrics.ad_performance.",
    at_fault="_broken.entity_type = _row.entity_type",
)
_NAMES = [measure.name for measure in AD_MEASURES.measures]
_TYPES = ", ".join(f"('{name}')" for name in BREAKDOWN_TYPES)
SUMS_TO_MAIN_ROW = Check(
    "sums_to_main_row",
    "Each additive measure of an entity, summed over a breakdown, is that of its main row",
    f"""
with parts as (
    select entity_type, entity_id, date, breakdown_type,
        {", ".join(f"sum({name}) as {name}" for name in _NAMES)}
    from ad_metrics.daily_mixpanel_metrics_breakdown
    group by all
),
types as (select * from (values {_TYPES}) as t (breakdown_type))
select strftime(date, '%Y-%m-%d') as _partition, entity_type, entity_id, breakdown_type
from (ad_metrics.daily_mixpanel_metrics cross join types) as whole
full join parts using (entity_type, entity_id, date, breakdown_type)
where {" or ".join(f"coalesce(whole.{n}, 0) <> coalesce(parts.{n}, 0)" for n in _NAMES)}
order by all""",
    "The breakdowns lose or double users or spend: look at sql/ad_performance.sql (the rest of a"
    " breakdown is `unknown`) and at the users' country, region and device.",
    at_fault="_broken.entity_type = _row.entity_type and _broken.entity_id = _row.entity_id"
    " and _broken.breakdown_type = _row.breakdown_type",
)

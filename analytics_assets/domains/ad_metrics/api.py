"""Routes of the ad metrics' dashboard, with the keys that it has always read.

Belongs here: sums over a range of days, the ratios of these sums, and the dashboard's names.
Does not belong here: what a metric means (the domain's ``measures.py``).

Over a range, counts are sums of daily counts and money is summed; a ratio is computed from sums.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, create_model

from analytics_assets.api.database import Database
from analytics_assets.api.errors import bad_value, documented
from analytics_assets.api.listing import view_of
from analytics_assets.api.meta import Health, read_health
from analytics_assets.api.models import Date, NoParameters, Text, WholeNumber
from analytics_assets.core.declaration import Table
from analytics_assets.production.records import SCHEMA as LEDGER_SCHEMA

DAILY = "ad_metrics/daily_mixpanel_metrics"
BREAKDOWN = f"{DAILY}_breakdown"
NAMES, HIERARCHY = "ad_metrics/id_name_mapping", "ad_metrics/id_hierarchy_mapping"
_MOST_DAYS = 3660
Level = Literal["campaign", "adset", "ad"]
_SUMS = {
    "spend": "meta_spend",
    "impressions": "meta_impressions",
    "clicks": "meta_clicks",
    "meta_trials_started": "meta_trial_count",
    "meta_purchases": "meta_purchase_count",
    "mixpanel_trials_started": "mixpanel_trial_count",
    "mixpanel_trials_ended": "mixpanel_post_trial_count",
    "mixpanel_trials_converted": "mixpanel_converted_count",
    "mixpanel_trials_refunded": "mixpanel_trial_refund_count",
    "mixpanel_purchases": "mixpanel_purchase_count",
    "mixpanel_purchases_refunded": "mixpanel_purchase_refund_count",
    "mixpanel_revenue_usd": "actual_revenue_usd",
    "mixpanel_refunds_usd": "actual_refunds_usd",
    "mixpanel_revenue_net": "net_actual_revenue_usd",
    "estimated_revenue_usd": "estimated_revenue_usd",
    "estimated_revenue_adjusted": "adjusted_estimated_revenue_usd",
    "profit": "profit_usd",
}
# Sums, too, but of trials and purchases that are expected: nobody is shown them as they are.
_EXPECTED = (
    "trial_conversion_rate_total",
    "trial_refund_rate_total",
    "purchase_refund_rate_total",
)
# Name: numerator, denominator, factor, decimals.
_RATIOS = {
    "estimated_roas": ("estimated_revenue_adjusted", "spend", 1, 4),
    "trial_conversion_rate_estimated": (
        "trial_conversion_rate_total",
        "mixpanel_trials_started",
        1,
        4,
    ),
    "trial_conversion_rate_actual": ("mixpanel_trials_converted", "mixpanel_trials_ended", 100, 4),
    "trial_refund_rate_estimated": ("trial_refund_rate_total", "mixpanel_trials_converted", 1, 4),
    "trial_refund_rate_actual": ("mixpanel_trials_refunded", "mixpanel_trials_converted", 100, 4),
    "purchase_refund_rate_estimated": ("purchase_refund_rate_total", "mixpanel_purchases", 1, 4),
    "purchase_refund_rate_actual": ("mixpanel_purchases_refunded", "mixpanel_purchases", 100, 4),
    "trial_accuracy_ratio": ("mixpanel_trials_started", "meta_trials_started", 100, 4),
    "purchase_accuracy_ratio": ("mixpanel_purchases", "meta_purchases", 100, 4),
    "mixpanel_cost_per_trial": ("spend", "mixpanel_trials_started", 1, 2),
    "mixpanel_cost_per_purchase": ("spend", "mixpanel_purchases", 1, 2),
    "meta_cost_per_trial": ("spend", "meta_trials_started", 1, 2),
    "meta_cost_per_purchase": ("spend", "meta_purchases", 1, 2),
    "click_to_trial_rate": ("mixpanel_trials_started", "clicks", 100, 4),
}
# The names of a sparkline and of a breakdown, which has profit, too.
_SHORT = {
    "spend": "spend",
    "revenue": "estimated_revenue_adjusted",
    "roas": "estimated_roas",
    "trials": "mixpanel_trials_started",
    "purchases": "mixpanel_purchases",
}
_CONFIGURATIONS = (
    ("basic_ad_data", "Basic Ad Performance", "Standard campaign metrics"),
    ("country_breakdown", "Country Breakdown", "Metrics by country"),
    ("region_breakdown", "Region Breakdown", "Metrics by region"),
    ("device_breakdown", "Device Breakdown", "Metrics by device"),
)
_LIVE_DAYS = f"""
select partition from (
    select distinct on (partition) partition, fingerprint, rows from {LEDGER_SCHEMA}.ledger
    where table_name = %(key)s order by partition, id desc
) as latest where fingerprint <> '' and rows > 0 order by partition"""


class Range(BaseModel):
    """Days, the first and the last included."""

    model_config = ConfigDict(extra="forbid")
    start_date: Date
    end_date: Date


class Asked(Range):
    """What the dashboard's table shows."""

    breakdown: Literal["all", "country", "region", "device"] = "all"
    group_by: Level = "campaign"
    limit: WholeNumber = Field(1000, ge=1, le=1000)
    offset: WholeNumber = Field(0, ge=0, le=100_000_000)


class ChartAsked(Range):
    """A sparkline: of one entity, or of all campaigns."""

    entity_type: Level = "campaign"
    entity_id: Text | None = None


_COUNTS = {name for name, column in _SUMS.items() if column.endswith(("_count", "ions", "clicks"))}
_NUMBERS: dict[str, Any] = {n: (int if n in _COUNTS else float, ...) for n in (*_SUMS, *_RATIOS)}
Entity = create_model(
    "Entity",
    __doc__="A campaign, adset or ad, over the range.",
    id=(str, ...),
    name=(str | None, ...),
    campaign_name=(str | None, ...),
    adset_name=(str | None, ...),
    ad_name=(str | None, ...),
    **_NUMBERS,
)


class BreakdownValue(BaseModel):
    """All entities of one country, region or device, over the range."""

    spend: float
    trials: int
    purchases: int
    revenue: float
    profit: float
    roas: float


class Metadata(Asked):
    """What was asked for, and how many entities there are."""

    total: int


class Data(BaseModel):
    """The dashboard's table; ``breakdown_data`` only if a breakdown is asked for."""

    success: Literal[True] = True
    data: list[Entity]  # type: ignore[valid-type]
    breakdown_data: dict[str, BreakdownValue] | None = None
    metadata: Metadata


class Series(BaseModel):
    """Values of each day, in the order of ``dates``; 0 where there is no row."""

    dates: list[date]
    spend: list[float]
    revenue: list[float]
    roas: list[float]
    trials: list[int]
    purchases: list[int]


class Missing(BaseModel):
    """Which days of a series have no row."""

    missing_dates: list[date]


class Chart(BaseModel):
    """A sparkline."""

    success: Literal[True] = True
    chart_data: Series
    metadata: Missing


class Configuration(BaseModel):
    """A view that the dashboard offers."""

    key: str
    name: str
    description: str


class Configurations(BaseModel):
    """All of them."""

    success: Literal[True] = True
    configurations: list[Configuration]


class DashboardHealth(Health):
    """Whether the pre-computed tables are there and fresh."""

    success: Literal[True] = True


class DateRange(BaseModel):
    """First and last day with metrics; null before the first promotion."""

    success: Literal[True] = True
    earliest_date: date | None
    latest_date: date | None


class Coverage(DateRange):
    """Which days between the first and the last have no metrics."""

    days: int
    missing_dates: list[date]


_Nothing = Annotated[NoParameters, Query()]
_ERRORS = documented(422, 503)


def router(tables: Sequence[Table], database: Database) -> APIRouter:
    """``/api/dashboard``; without routes where the domain is not there."""
    routes = APIRouter(prefix="/api/dashboard", tags=["ad_metrics"])
    known = {table.key: table for table in tables if table.domain == "ad_metrics"}
    if DAILY not in known:
        return routes
    daily, breakdown = view_of(known[DAILY]), view_of(known[BREAKDOWN])
    names, hierarchy = view_of(known[NAMES]), view_of(known[HIERARCHY])
    entities_sql = _entities_sql(daily, names, hierarchy)

    @routes.post(
        "/analytics/data", responses=documented(413, 422, 503), response_model_exclude_unset=True
    )
    async def data(asked: Asked) -> Data:
        """Entities in order of spend, over a range of days."""
        _check(asked)
        rows = await database.read(entities_sql, asked.model_dump())
        found = Data(
            success=True,
            data=[Entity(**_named(row, Entity)) for row in rows if row.id is not None],
            metadata=Metadata(**asked.model_dump(), total=rows[0].total),
        )
        if asked.breakdown != "all":
            values = await database.read(_breakdown_sql(breakdown), asked.model_dump())
            found.breakdown_data = {
                row.value: BreakdownValue(**_short(row._asdict()), profit=row.profit)
                for row in values
            }
        return found

    @routes.get("/analytics/chart-data", responses=_ERRORS)
    async def chart_data(asked: Annotated[ChartAsked, Query()]) -> Chart:
        """One value a day, also for days without a row."""
        _check(asked)
        if (asked.end_date - asked.start_date).days >= _MOST_DAYS:
            raise bad_value("end_date", f"is more than {_MOST_DAYS} days after start_date")
        rows = await database.read(
            _chart_sql(daily, asked.entity_id is not None), asked.model_dump()
        )
        return _chart(asked, {row.date: row._asdict() for row in rows})

    @routes.get("/configurations", responses=documented(422))
    async def configurations(query: _Nothing) -> Configurations:
        """What the dashboard offers to show."""
        listed = [Configuration(key=k, name=n, description=d) for k, n, d in _CONFIGURATIONS]
        return Configurations(configurations=listed)

    @routes.get("/health", responses=_ERRORS)
    async def health(query: _Nothing) -> DashboardHealth:
        """Whether the pre-computed tables are there and fresh."""
        found = await read_health(database, list(known.values()))
        return DashboardHealth(**found.model_dump())

    @routes.get("/analytics/date-range", responses=_ERRORS)
    async def date_range(query: _Nothing) -> DateRange:
        """First and last day with metrics."""
        days = await _days(database)
        return DateRange(earliest_date=min(days, default=None), latest_date=max(days, default=None))

    @routes.get("/coverage", responses=_ERRORS)
    async def coverage(query: _Nothing) -> Coverage:
        """Which days have metrics, and which between them do not."""
        days = set(await _days(database))
        first, last = min(days, default=None), max(days, default=None)
        between = _dates(first, last) if first and last else []
        missing = [day for day in between if day not in days]
        return Coverage(
            earliest_date=first, latest_date=last, days=len(days), missing_dates=missing
        )

    return routes


def _check(asked: Range) -> None:
    if asked.end_date < asked.start_date:
        raise bad_value("end_date", "is before start_date")


def _dates(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


async def _days(database: Database) -> list[date]:
    rows = await database.read(_LIVE_DAYS, {"key": DAILY})
    return [date.fromisoformat(row.partition) for row in rows]


def totals_sql(source: str, by: str, condition: str) -> str:
    """Sums, and the ratios of these sums, of the rows of a range, by one column."""
    columns = _SUMS | dict(zip(_EXPECTED, _EXPECTED, strict=True))
    sums = ", ".join(f"sum({column}) as {name}" for name, column in columns.items())
    ratios = ", ".join(f"{_ratio_sql(name)} as {name}" for name in _RATIOS)
    return (
        f"select *, {ratios} from (select {by}, {sums} from {source} where {condition}"
        " and date between %(start_date)s and %(end_date)s group by 1) as sums"
    )


def _ratio_sql(name: str) -> str:
    """Rounded half away from zero, as the domain does; 0 where there is nothing to divide by."""
    part, whole, factor, decimals = _RATIOS[name]
    ratio = f"when {whole} > 0 then round({factor} * {part}::numeric / {whole}, {decimals})"
    perfect = f" when {part} > 0 then 100" if name.endswith("accuracy_ratio") else ""
    return f"case {ratio}{perfect} else 0 end"


def _entities_sql(daily: str, names: str, hierarchy: str) -> str:
    """A page of entities, each with the names of what it is part of, and how many there are."""
    return f"""
with found as materialized (
    {totals_sql(daily, "entity_id as id", "entity_type = %(group_by)s")}
),
page as materialized (
    select * from found order by spend desc, id limit %(limit)s offset %(offset)s
),
placed as (
    select page.id, place.campaign_id,
        case when %(group_by)s <> 'campaign' then place.adset_id end as adset_id,
        case when %(group_by)s = 'ad' then place.ad_id end as ad_id
    from page cross join lateral (
        select campaign_id, adset_id, ad_id from {hierarchy} as known
        where page.id = case %(group_by)s
            when 'campaign' then known.campaign_id when 'adset' then known.adset_id
            else known.ad_id end
        order by last_seen_date desc, campaign_id, adset_id, ad_id limit 1
    ) as place
)
select counted.total, page.*, own.canonical_name as name, campaign.canonical_name as campaign_name,
    adset.canonical_name as adset_name, ad.canonical_name as ad_name
from (select count(*) as total from found) as counted
left join page on true
left join placed on placed.id = page.id
left join {names} as own on own.entity_type = %(group_by)s and own.entity_id = page.id
left join {names} as campaign on campaign.entity_type = 'campaign'
    and campaign.entity_id = placed.campaign_id
left join {names} as adset on adset.entity_type = 'adset' and adset.entity_id = placed.adset_id
left join {names} as ad on ad.entity_type = 'ad' and ad.entity_id = placed.ad_id
order by page.spend desc, page.id"""


def _breakdown_sql(breakdown: str) -> str:
    condition = "entity_type = %(group_by)s and breakdown_type = %(breakdown)s"
    totals = totals_sql(breakdown, "breakdown_value as value", condition)
    return f"{totals} order by spend desc, value"


def _chart_sql(daily: str, of_one: bool) -> str:
    one = " and entity_id = %(entity_id)s" if of_one else ""
    return totals_sql(daily, "date", f"entity_type = %(entity_type)s{one}")


def _named(row: Any, model: Any) -> dict[str, Any]:
    found = row._asdict()
    return {name: found[name] for name in model.model_fields}


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[metric] for name, metric in _SHORT.items()}


def _chart(asked: Range, days: Mapping[date, Mapping[str, Any]]) -> Chart:
    nothing = dict.fromkeys((*_SUMS, *_RATIOS), 0)
    dates = _dates(asked.start_date, asked.end_date)
    rows = [_short(days.get(day, nothing)) for day in dates]
    return Chart(
        chart_data=Series(dates=dates, **{name: [row[name] for row in rows] for name in _SHORT}),
        metadata=Missing(missing_dates=[day for day in dates if day not in days]),
    )

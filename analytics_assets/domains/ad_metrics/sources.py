"""The sources of the ad metrics: exports of Mixpanel and Meta, exchange rates, mappings.

Belongs here: what a landing folder offers to the warehouse, as ``core.source.Source`` asks.
Does not belong here: names of files (``landing.py``), formats (``reading.py``), the meaning of
events (``sql/``).

Fields are landed as text under names of ours. What has no name of ours is kept as JSON and counted
in the metadata by its name alone: values may be personal and are shown nowhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets.core.source import Landing, SourceError
from analytics_assets.domains.ad_metrics.landing import (
    AD_PERFORMANCE,
    CURRENCY_FX,
    EVENTS,
    META_ADS,
    MIXPANEL,
    DayFile,
    Feed,
    daily_inputs,
    digest,
    files_in,
    files_of,
)
from analytics_assets.domains.ad_metrics.reading import (
    csv_lines_sql,
    csv_sql,
    epoch_ms_sql,
    extract_sql,
    fields_sql,
    insights_sql,
    lines_sql,
    reading,
    rest_sql,
)
from analytics_assets.domains.ad_metrics.words import KNOWN_EVENTS
from analytics_assets.landing.folder import arrived
from analytics_assets.warehouse.session import literal

# Ours -> the vendors' names, inside "properties" or beside it; the first that is there counts.
EVENT_FIELDS = {
    "event": ("event", "event_name"),
    "distinct_id": ("distinct_id", "$distinct_id"),
    "time": ("time",),
    "insert_id": ("$insert_id", "insert_id"),
    "product_id": ("product_id",),
    "revenue": ("revenue", "revenue_usd"),
    "currency": ("currency",),
    "store": ("store",),
    "country": ("country", "country_code", "mp_country_code"),
    "arrival": ("mp_processing_time_ms", "$mp_api_timestamp_ms"),
}
USER_FIELDS = {
    "distinct_id": ("$distinct_id", "distinct_id"),
    "ad_id": ("abi_~ad_id",),
    "adset_id": ("abi_~ad_set_id",),
    "campaign_id": ("abi_~campaign_id",),
    "country": ("country", "$country_code", "mp_country_code"),
    "region": ("region", "$region"),
    "device": ("device", "$device", "$ios_device_model", "$android_model"),
    "last_seen": ("$last_seen", "last_seen"),
}
AD_FIELDS = {
    "ad_id": ("ad_id",),
    "ad_name": ("ad_name",),
    "adset_id": ("adset_id",),
    "adset_name": ("adset_name",),
    "campaign_id": ("campaign_id",),
    "campaign_name": ("campaign_name",),
    "currency": ("account_currency",),
    "spend": ("spend",),
    "impressions": ("impressions",),
    "clicks": ("clicks",),
    "actions": ("actions",),
    "date_start": ("date_start",),
}
BREAKDOWN_FIELDS = {
    "all": ("no_breakdown",),
    "country": ("country",),
    "region": ("region",),
    "device": ("impression_device", "device_platform"),
}
_NESTS = {"events": ("properties",), "users": ("$properties", "properties"), "ads": ()}


class EventsSource:
    """Mixpanel's raw event export, a line an event, by day (UTC)."""

    def inputs(self) -> Mapping[str, Mapping[str, str]]:
        """Day -> file -> fingerprint, with an entry for each day that is missing."""
        return daily_inputs(EVENTS)

    def arrived(self, key: str, names: Collection[str]) -> datetime | None:
        """When the first of these files came, or changed."""
        return arrived(EVENTS.folder / name for name in names)

    def problems(self) -> list[str]:
        """Days without a file."""
        return _missing(EVENTS)

    @contextmanager
    def land(self, landing: Landing) -> Iterator[Sequence[str]]:
        """The day's events, of each the arrival that came last; a line that is none is kept."""
        day = date.fromisoformat(landing.key)
        files = files_of(EVENTS, day)
        lines = " union all ".join(lines_sql(file) for file in files) or _NO_LINES
        fields = fields_sql("fields", EVENT_FIELDS, _NESTS["events"])
        session = landing.session
        with reading(session, "landed_lines", files):
            session.execute(
                f"""create or replace temp table landed_lines as
                with lines as ({lines}),
                split as (
                    select line, first_day, last_day,
                        case when json_valid(line) then {
                    extract_sql("line", EVENT_FIELDS, _NESTS["events"])
                } end as fields
                    from lines
                ),
                named as (select line, first_day, last_day, {fields} from split)
                select * exclude (time), {epoch_ms_sql("time")} as time_ms,
                    cast(make_timestamp({epoch_ms_sql("time")} * 1000) as date) as event_date,
                    {rest_sql("line", EVENT_FIELDS, _NESTS["events"])} as other_fields
                from named"""
            )
            _refuse_other_days(session, files, landing.key)
            session.execute(_DEDUPLICATED)
            _report_events(landing)
            yield ["select * from landed_events"]
        session.execute("drop table if exists landed_events")


def _missing(feed: Feed) -> list[str]:
    days = sorted(day for day, names in daily_inputs(feed).items() if "missing" in names)
    return [f"{feed.folder}: no file of {', '.join(days)}"] if days else []


_NO_LINES = (
    "select '' as line, date '2000-01-01' as first_day, date '2000-01-01' as last_day limit 0"
)
_READABLE = "event is not null and distinct_id is not null and event_date is not null"
_DEDUPLICATED = f"""create or replace temp table landed_events as
with judged as (
    select *, case when not coalesce({_READABLE}, false) then line end as unreadable_line
    from landed_lines
)
select coalesce(event_date, first_day) as event_date, event, distinct_id, time_ms,
    coalesce(insert_id, '') as insert_id, product_id, revenue, currency, store, country,
    try_cast(arrival as bigint) as arrival_ms,
    nullif(other_fields, '{{}}') as other_fields, unreadable_line
from judged
qualify row_number() over (
    partition by event, distinct_id, time_ms, coalesce(insert_id, ''), unreadable_line
    order by try_cast(arrival as bigint) desc nulls last, line desc
) = 1"""


def _refuse_other_days(session: Any, files: Sequence[DayFile], key: str) -> None:
    strays = session.execute(
        "select count(*), min(event_date), max(event_date) from landed_lines"
        " where event_date not between first_day and last_day"
    ).fetchone()
    if strays[0]:
        raise SourceError(
            f"{strays[0]:,} events are of other days (UTC, {strays[1]} to {strays[2]}) than the"
            " name says",
            ", ".join(str(file.path) for file in files),
            "Name the file by its first and last day: <first>_<last>.jsonl",
        )
    # A file of several days is read for each of them.
    session.execute(
        "delete from landed_lines where coalesce(event_date, first_day) <> cast(? as date)", [key]
    )


def _report_events(landing: Landing) -> None:
    session, report = landing.session, landing.report
    known = ", ".join(map(literal, KNOWN_EVENTS))
    (arrived,) = session.execute("select count(*) from landed_lines").fetchone()
    kept, unreadable, other = session.execute(
        "select count(*), count(unreadable_line), count(other_fields) from landed_events"
    ).fetchone()
    report["events"] = kept
    if arrived > kept:
        report["duplicates replaced by a later arrival"] = arrived - kept
    if unreadable:
        report["lines that are no event, kept as they are"] = unreadable
    unknown = session.execute(
        f"select event, count(*) from landed_events where event not in ({known})"
        " group by 1 order by 1"
    ).fetchall()
    if unknown:
        report["other events, kept and not counted"] = _counted(unknown)
    if other:
        report["other fields, kept as JSON"] = _counted(
            session.execute(
                "select field, count(*) from (select unnest(json_keys(other_fields)) as field"
                " from landed_events where other_fields is not null) group by 1 order by 1"
            ).fetchall()
        )


def _counted(found: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in found[:50])


class UsersSource:
    """Mixpanel's people export: one row a user, the profile that was seen last."""

    def inputs(self) -> Mapping[str, Mapping[str, str]]:
        """The files of the folder ``users`` and their content."""
        files = files_in(MIXPANEL, "users")
        return {UNPARTITIONED.only_key: {path.name: digest(path) for path in files}}

    def arrived(self, key: str, names: Collection[str]) -> datetime | None:
        """When the first of these files came, or changed."""
        return arrived(MIXPANEL.path / "users" / name for name in names)

    @contextmanager
    def land(self, landing: Landing) -> Iterator[Sequence[str]]:
        """Users with the ad that they came from."""
        files = files_in(MIXPANEL, "users")
        landing.report["files"] = ", ".join(path.name for path in files) or "none"
        if not files:
            yield []
            return
        nests = _NESTS["users"]
        lines = " union all ".join(csv_lines_sql(str(path)) for path in files)
        with reading(landing.session, "landed_users", files):
            landing.session.execute(
                f"""create or replace temp table landed_users as
                with split as (
                    select line, {extract_sql("line", USER_FIELDS, nests)} as fields
                    from ({lines}) where json_valid(line)
                ),
                named as (select line, {fields_sql("fields", USER_FIELDS, nests)} from split)
                select * from named
                qualify row_number() over (
                    partition by distinct_id order by last_seen desc nulls last, line desc
                ) = 1"""
            )
            unreadable = landing.session.execute(
                f"select (select count(*) from ({lines}) where not json_valid(line)),"
                " (select count(*) from landed_users where distinct_id is null)"
            ).fetchone()
            if any(unreadable):
                raise SourceError(
                    f"{sum(unreadable):,} lines are no user: not JSON, or without $distinct_id",
                    str(files[0].parent),
                    "Export the people again",
                )
            yield [
                "select distinct_id, ad_id, adset_id, campaign_id, country, region, device,"
                " ad_id is not null as has_abi_attribution from landed_users"
            ]


class AdPerformanceSource:
    """Meta Insights rows at ad level, of a day, over all or by one breakdown."""

    def __init__(self, axis: str) -> None:
        self._axis = axis
        self._feed = AD_PERFORMANCE[axis]

    def inputs(self) -> Mapping[str, Mapping[str, str]]:
        """Day -> file -> fingerprint, with an entry for each day that is missing."""
        return daily_inputs(self._feed)

    def arrived(self, key: str, names: Collection[str]) -> datetime | None:
        """When the first of these files came, or changed."""
        return arrived(self._feed.folder / name for name in names)

    def problems(self) -> list[str]:
        """Days without a file."""
        return _missing(self._feed)

    @contextmanager
    def land(self, landing: Landing) -> Iterator[Sequence[str]]:
        """Rows of the day; where files repeat a row the last file by name counts."""
        day = date.fromisoformat(landing.key)
        files = files_of(self._feed, day)
        fields = {**AD_FIELDS, "breakdown_value": BREAKDOWN_FIELDS[self._axis]}
        rows = " union all ".join(insights_sql(n, file) for n, file in enumerate(files))
        landing.report["files"] = ", ".join(file.path.name for file in files)
        rows = rows or "select 0 as number, '' as line limit 0"
        with reading(landing.session, "landed_ads", files):
            landing.session.execute(
                f"""create or replace temp table landed_ads as
                with split as (
                    select number, line, {extract_sql("line", fields, ())} as fields from ({rows})
                ),
                named as (
                    select number, line, {rest_sql("line", fields, ())} as other_fields,
                        {fields_sql("fields", fields, ())}
                    from split
                )
                select * from named"""
            )
            _refuse_bad_ads(landing, files)
            other = landing.session.execute(
                "select field, count(*) from (select unnest(json_keys(other_fields)) as field"
                " from landed_ads) group by 1 order by 1"
            ).fetchall()
            if other:
                landing.report["other fields, kept as JSON"] = _counted(other)
            yield [
                f"select date {literal(landing.key)} as date, * exclude (number, line, date_start,"
                " other_fields, breakdown_value), coalesce(breakdown_value, '') as breakdown_value,"
                " nullif(other_fields, '{}') as other_fields from landed_ads"
                f" where date_start = {literal(landing.key)}"
                " qualify row_number() over (partition by ad_id, adset_id, campaign_id,"
                " breakdown_value order by number desc, line desc) = 1"
            ]


def _refuse_bad_ads(landing: Landing, files: Sequence[DayFile]) -> None:
    first, last = min(f.first for f in files), max(f.last for f in files)
    unnamed, strays = landing.session.execute(
        "select count(*) filter (where ad_id is null or adset_id is null or campaign_id is null"
        " or date_start is null),"
        " count(*) filter (where try_cast(date_start as date) not between ? and ?) from landed_ads",
        [first, last],
    ).fetchone()
    where = ", ".join(str(file.path) for file in files)
    if unnamed:
        raise SourceError(
            f"{unnamed:,} rows lack ad_id, adset_id, campaign_id or date_start",
            where,
            "Export the day again at level=ad with these fields",
        )
    if strays:
        raise SourceError(
            f"{strays:,} rows are of other days than the name says",
            where,
            "Export with time_increment=1 and name the file by its days",
        )


class CurrencySource:
    """Exchange rates of a day: CSV with ``currency`` and ``usd_rate`` (USD for one unit)."""

    def inputs(self) -> Mapping[str, Mapping[str, str]]:
        """Day -> file -> fingerprint. A day without a file has no rate but that of USD."""
        return daily_inputs(CURRENCY_FX)

    def arrived(self, key: str, names: Collection[str]) -> datetime | None:
        """When the first of these files came, or changed."""
        return arrived(CURRENCY_FX.folder / name for name in names)

    def problems(self) -> list[str]:
        """Days without a file."""
        return _missing(CURRENCY_FX)

    @contextmanager
    def land(self, landing: Landing) -> Iterator[Sequence[str]]:
        """One rate a currency; ``SourceError`` for a rate that is no positive number."""
        files = files_of(CURRENCY_FX, date.fromisoformat(landing.key))
        read = csv_sql(str(files[-1].path))
        with reading(landing.session, "landed_rates", files):
            landing.session.execute(
                "create or replace temp table landed_rates as select upper(trim(currency)) as"
                f" currency, trim(usd_rate) as usd_rate from {read}"
            )
            wrong = landing.session.execute(
                "select string_agg(coalesce(currency, 'no currency'), ', ' order by currency)"
                " from landed_rates where currency is null"
                " or not coalesce(try_cast(usd_rate as decimal(18, 10)) > 0, false)"
            ).fetchone()[0]
            if wrong:
                raise SourceError(
                    f"the rate of {wrong} is not a positive number",
                    str(files[-1].path),
                    "Mend the file",
                )
            yield [f"select date {literal(landing.key)} as date, * from landed_rates"]


class MappingSource:
    """A CSV of the folder of Meta's exports, as it is."""

    def __init__(self, name: str, columns: Sequence[str]) -> None:
        self._name = name
        self._columns = tuple(columns)

    def _file(self) -> Any:
        path = META_ADS.path / f"{self._name}.csv"
        if not path.is_file():
            raise SourceError(
                "there is no such file",
                str(path),
                f"Write it with the columns {', '.join(self._columns)}, or copy the generated one",
            )
        return path

    def inputs(self) -> Mapping[str, Mapping[str, str]]:
        """The file's content."""
        path = self._file()
        return {UNPARTITIONED.only_key: {path.name: digest(path)}}

    def arrived(self, key: str, names: Collection[str]) -> datetime | None:
        """When the first of these files came, or changed."""
        return arrived(META_ADS.path / name for name in names)

    @contextmanager
    def land(self, landing: Landing) -> Iterator[Sequence[str]]:
        """All rows."""
        columns = ", ".join(f"nullif(trim({name}), '') as {name}" for name in self._columns)
        yield [f"select {columns} from {csv_sql(str(self._file()))}"]

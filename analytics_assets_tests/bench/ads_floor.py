"""The floor of the ad metrics: one plain DuckDB process on the exports that ``ads.py`` writes.

Belongs here: the same tables from the same files, as fast as it goes, in a straight line. The SQL
of each computed table is the pipeline's, so that what is compared is everything around it.
Does not belong here: checks, versions, a ledger, rows that are sent twice or are none.

Whoever makes it faster is right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analytics_assets.core.contracts import quoted, sql_type
from analytics_assets.core.declaration import Table, in_dependency_order
from analytics_assets.core.rollups import build_sql
from analytics_assets.domains.ad_metrics.landing import META_ADS, MIXPANEL
from analytics_assets.domains.ad_metrics.tables import TABLES
from analytics_assets_tests.bench.plain import hold, opened, promote, store

_INSIGHTS = (
    "select * exclude (actions), cast(to_json(actions) as varchar) as actions,"
    " account_currency as currency, cast(date_start as date) as date, '' as part,"
    " {value} as breakdown_value from read_json('{{meta}}/{name}/*.jsonl')"
)
# What stands in the files that ``ads.py`` writes; of the columns that they lack there is nothing.
_READ = {
    "mixpanel_events": (
        'select event, properties.* exclude (time, "$insert_id", mp_processing_time_ms),'
        ' properties.time * 1000 as time_ms, properties."$insert_id" as insert_id,'
        " properties.mp_processing_time_ms as arrival_ms,"
        " cast(make_timestamp(properties.time * 1000000) as date) as event_date"
        " from read_json('{mixpanel}/events/*.jsonl')"
    ),
    "mixpanel_users": (
        'select "$distinct_id" as distinct_id, "$properties"."abi_~ad_id" as ad_id,'
        ' "$properties"."abi_~ad_set_id" as adset_id,'
        ' "$properties"."abi_~campaign_id" as campaign_id,'
        ' "$properties".country, "$properties".region, "$properties".device,'
        ' "$properties"."$last_seen" as last_seen from read_json(\'{mixpanel}/users/*.jsonl\')'
    ),
    "currency_fx": (
        "select *, cast(parse_filename(filename, true) as date) as date"
        " from read_csv('{mixpanel}/currency_fx/*.csv', filename = true, all_varchar = true)"
    ),
    "meta_country_mapping": "from read_csv('{meta}/meta_country_mapping.csv', all_varchar = true)",
    "meta_device_mapping": "from read_csv('{meta}/meta_device_mapping.csv', all_varchar = true)",
    **{
        name: _INSIGHTS.format(name=name, value=value)
        for name, value in {
            "ad_performance_daily": "''",
            "ad_performance_daily_country": "country",
            "ad_performance_daily_region": "region",
            "ad_performance_daily_device": "impression_device",
        }.items()
    },
}


def main() -> None:
    with opened("ad_metrics") as (session, production):
        for table in in_dependency_order(TABLES):
            if table.source is None:
                hold(session, table, build_sql(table))
            elif table.name in _READ:
                land(session, table)
            if table.source is None or table.name in _READ:
                store(session, table, table.slice_sql)
        promote(session, production, TABLES)


def land(session: Any, table: Table) -> None:
    """The rows of a feed in the shape of its table."""
    folders = {"mixpanel": MIXPANEL.path, "meta": META_ADS.path}
    read = _READ[table.name].format(**{name: Path(path) for name, path in folders.items()})
    there = {row[0] for row in session.execute(f"describe {read}").fetchall()}
    columns = ", ".join(
        f"cast({quoted(c.name) if c.name in there else 'null'} as {sql_type(c)}) as"
        f" {quoted(c.name)}"
        for c in table.stored_columns
    )
    hold(session, table, f"select {columns} from ({read})")


if __name__ == "__main__":
    main()

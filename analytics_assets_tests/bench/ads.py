"""The ad metrics on many events, against the floor of a plain script: ``make bench-ads``.

Belongs here: writing exports of any size with DuckDB, and a day of them that is restated.
Does not belong here: running and comparing (``homes.py``), the floor (``ads_floor.py``), the sample
(``ad_metrics/sample``), whose users have histories of every kind.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import duckdb

from analytics_assets.domains.ad_metrics.sample import FIRST_DAY, generate
from analytics_assets.domains.ad_metrics.tables import TABLES
from analytics_assets_tests.bench.homes import OURS, Home, compare, folder, print_costs, say

DAYS, CAMPAIGNS, ADSETS, ADS = 100, 60, 240, 700
EVENTS_A_USER = 4.16
FLOOR = [sys.executable, "-m", "analytics_assets_tests.bench.ads_floor"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-ads", description=__doc__.splitlines()[0])
    parser.add_argument("events", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--keep", action="store_true", help="leave the folder for a closer look")
    options = parser.parse_args()
    with folder(options.keep) as made:
        _bench(made, options.events)


def _bench(folder: Path, events: int) -> None:
    mixpanel, meta = folder / "mixpanel", folder / "meta_ads"
    generate(mixpanel, meta, days=0)
    written = _write(mixpanel, meta, int(events / EVENTS_A_USER))
    say(f"{written:,} events, {DAYS * (CAMPAIGNS + ADSETS + ADS):,} entity-days written")
    given = {
        "ANALYTICS_DOMAINS": "ad_metrics",
        "MIXPANEL_SOURCE": str(mixpanel),
        "META_ADS_SOURCE": str(meta),
    }
    floor, ours = Home(folder / "floor", given), Home(folder / "ours", given)
    costs = {"build": (floor.run(*FLOOR), ours.run(*OURS))}
    built = costs["build"][1].output.splitlines()
    print("\n".join(line for line in built if "ad_metrics" in line))
    compare(TABLES, floor.folder, ours.folder)
    print_costs(costs)
    day = FIRST_DAY.replace(month=3)
    path = meta / "ad_performance_daily" / f"{day}.jsonl"
    path.write_text(path.read_text().replace('"spend":"1', '"spend":"2', 1))
    say(f"one day of Meta restated: {ours.run(*OURS).wall:.1f} s")
    print("the brief expects 15 to 25 minutes and 6 GB for 100,000 entity-days")


def _write(mixpanel: Path, meta: Path, users: int) -> int:
    with duckdb.connect(str(mixpanel.parent / "made.duckdb")) as session:
        session.execute("set enable_progress_bar = false; set preserve_insertion_order = false")
        session.execute(_USERS, [FIRST_DAY, DAYS, users])
        session.execute(_EVENTS, [FIRST_DAY, FIRST_DAY, DAYS])
        session.execute(
            "copy (select user_id as \"$distinct_id\", {'abi_~ad_id': ad_id, 'abi_~ad_set_id':"
            " adset_id, 'abi_~campaign_id': campaign_id, country: country, region: region,"
            " device: device, '$last_seen': '2025-01-01T00:00:00'} as \"$properties\" from users)"
            f" to '{mixpanel}/users/people.jsonl' (format json)"
        )
        days = [str(row[0]) for row in session.execute("select distinct day from sent").fetchall()]
        for day in days:
            session.execute(
                "copy (select event, {distinct_id: user_id, time: time, '$insert_id': insert_id,"
                " product_id: product, revenue: revenue, currency: currency, store: store,"
                " country: country, mp_processing_time_ms: time * 1000} as properties from sent"
                f" where day = '{day}') to '{mixpanel}/events/{day}.jsonl' (format json)"
            )
            rates = "currency,usd_rate\nEUR,1.08\nGBP,1.27\n"
            (mixpanel / "currency_fx" / f"{day}.csv").write_text(rates)
            for axis, split in _SPLITS.items():
                name = f"ad_performance_daily{'_' + axis if axis else ''}"
                path = f"{meta}/{name}/{day}.jsonl"
                rows = _INSIGHTS.replace("DAY", day).replace("SPLIT", split)
                session.execute(rows.replace("FILE", path))
        ((count,),) = session.execute("select count(*) from sent").fetchall()
        return int(count)


def _ad_ids(number: str) -> str:
    ad = f"({number}) % {ADS}"
    return (
        f"(120300000 + {ad})::varchar as ad_id, (120200000 + {ad} % {ADSETS})::varchar as adset_id,"
        f" (120100000 + {ad} % {ADSETS} % {CAMPAIGNS})::varchar as campaign_id"
    )


_USERS = f"""create table users as
select i, format('user-{{:09d}}', i) as user_id, {_ad_ids("hash(i, 1)::hugeint")},
    $1::date + (i % $2)::integer as start,
    ['US', 'US', 'GB', 'DE', 'CA', 'FR', 'NO', 'SE', 'IT', 'ES'][(1 + hash(i, 2) % 10)::bigint]
        as country,
    'region ' || hash(i, 3) % 3 as region,
    ['iphone', 'iphone', 'android_smartphone', 'desktop'][(1 + hash(i, 4) % 4)::bigint] as device,
    ['gold.weekly', 'gold.yearly'][(1 + hash(i, 5) % 2)::bigint] as product,
    if(hash(i, 5) % 2 = 0, 7.99, 59.99) as price,
    hash(i, 6) % 100 as fate
from range($3) as r (i)"""
_EVENTS = """create table sent as
with steps as (
    select *, 'RC Trial started' as event, 0 as after, 0.0 as revenue from users where fate < 80
    union all
    select *, 'RC Trial converted', 7, price from users where fate < 40
    union all
    select *, 'RC Trial cancelled', 3, 0.0 from users where fate between 40 and 79
    union all
    select *, 'RC Initial purchase', 0, price from users where fate >= 80
    union all
    select *, 'RC Renewal', 37, price from users where fate < 30 or fate >= 90
    union all
    select *, 'RC Cancellation', 45, -price from users where fate < 10 or fate >= 95
    union all
    select users.*, 'App opened', r.n::integer, 0.0 from users, range(2) as r (n)
)
select event, user_id, start + after as day, product, revenue, country, device,
    epoch((start + after)::timestamp)::bigint + hash(i, event) % 86400 as time,
    user_id || '-' || event || after as insert_id,
    case country when 'GB' then 'GBP' when 'DE' then 'EUR' else 'USD' end as currency,
    case device when 'desktop' then 'STRIPE' when 'iphone' then 'APP_STORE' else 'PLAY_STORE' end
        as store
from steps
where start + after between $1 and $2::date + $3::integer - 1"""
_SPLITS = {
    "": "(select 1.0 as share)",
    "country": "(select 0.24 as share, unnest(['US', 'GB', 'DE', 'CA']) as country)",
    "region": "(select 0.3 as share, unnest(['region 0', 'region 1', 'region 2']) as region)",
    "device": "(select 0.5 as share, unnest(['iphone', 'desktop']) as impression_device)",
}
_INSIGHTS = f"""copy (
    select {_ad_ids("n")}, 'Ad ' || n as ad_name, 'Adset' as adset_name,
        'Campaign' as campaign_name, 'USD' as account_currency, split.* exclude (share),
        round(share * (10 + hash(n, 'DAY') % 20000 / 100), 2)::varchar as spend,
        (share * 4000)::integer::varchar as impressions,
        (share * 90)::integer::varchar as clicks,
        [struct_pack(action_type := 'start_trial_total', value := (share * 20)::int::varchar),
         struct_pack(action_type := 'omni_purchase', value := (share * 5)::int::varchar)]
            as actions,
        'DAY' as date_start, 'DAY' as date_stop
    from range({ADS}) as r (n), SPLIT as split
) to 'FILE' (format json)"""


if __name__ == "__main__":
    main()

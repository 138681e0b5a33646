-- On which day each user-product begins, and whom it belongs to. The one statement that looks at
-- all events: whether a start is the first one cannot be told from the days around it.
with events as (select * from ad_metrics.user_product_events),

user_products as (
    select
        distinct_id,
        product_id,
        min(event_date) as first_day,
        coalesce(
            min(event_date) filter (where event in ({trial_started}, {initial_purchase})),
            min(event_date) filter (where event = {trial_converted}) - 7,
            min(event_date)
        ) as credited_date
    from events
    group by all
),

seen_in as (
    select distinct_id, arg_min(country, (time_ms, insert_id, country)) as country
    from events
    where country is not null
    group by all
),

users as (select * from ad_metrics.mixpanel_users),

countries as (select * from ad_metrics.meta_country_mapping),

devices as (select * from ad_metrics.meta_device_mapping),

profiles as (
    select
        user_products.*,
        users.ad_id,
        users.adset_id,
        users.campaign_id,
        users.ad_id is not null as has_abi_attribution,
        coalesce(users.country, seen_in.country) as country,
        users.region,
        users.device
    from user_products
    left join users using (distinct_id)
    left join seen_in using (distinct_id)
),

final as (
    select
        profiles.credited_date,
        profiles.distinct_id,
        profiles.product_id,
        profiles.first_day < profiles.credited_date as starts_late,
        profiles.ad_id,
        profiles.adset_id,
        profiles.campaign_id,
        profiles.has_abi_attribution,
        coalesce(
            countries.country_code,
            if(regexp_full_match(profiles.country, '[A-Za-z]{2}'), upper(profiles.country), null),
            'unknown'
        ) as country,
        coalesce(profiles.region, 'unknown') as region,
        coalesce(devices.platform, 'unknown') as device
    from profiles
    left join countries on lower(profiles.country) = lower(countries.meta_value)
    left join devices on lower(profiles.device) = lower(devices.meta_value)
)

select * from final

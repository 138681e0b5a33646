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

identities as (select distinct distinct_id, user_id from ad_metrics.user_identities),

profiles as (
    select
        coalesce(identities.user_id, users.distinct_id) as distinct_id,
        if(regexp_matches(users.ad_id, {no_id}), null, users.ad_id) as ad_id,
        if(regexp_matches(users.adset_id, {no_id}), null, users.adset_id) as adset_id,
        if(regexp_matches(users.campaign_id, {no_id}), null, users.campaign_id) as campaign_id,
        users.country,
        nfc_normalize(users.region) as region,
        users.device,
        (identities.user_id is null, coalesce(users.last_seen, ''), users.distinct_id) as place
    from ad_metrics.mixpanel_users as users
    left join identities on users.distinct_id = identities.distinct_id
),

-- What the profile of the user's own id leaves open, those of the ids of before say.
users as (
    select
        distinct_id,
        arg_max(
            struct_pack(ad_id := ad_id, adset_id := adset_id, campaign_id := campaign_id),
            (ad_id is not null, place)
        ) as origin,
        arg_max(country, place) filter (where country is not null) as country,
        arg_max(region, place) filter (where region is not null) as region,
        arg_max(device, place) filter (where device is not null) as device
    from profiles
    group by all
),

countries as (select * from ad_metrics.meta_country_mapping),

devices as (select * from ad_metrics.meta_device_mapping),

described as (
    select
        user_products.*,
        users.origin.ad_id as ad_id,
        users.origin.adset_id as adset_id,
        users.origin.campaign_id as campaign_id,
        users.origin.ad_id is not null as has_abi_attribution,
        coalesce(users.country, seen_in.country) as country,
        users.region,
        users.device
    from user_products
    left join users using (distinct_id)
    left join seen_in using (distinct_id)
),

final as (
    select
        described.credited_date,
        described.distinct_id,
        described.product_id,
        described.first_day < described.credited_date as starts_late,
        described.ad_id,
        described.adset_id,
        described.campaign_id,
        described.has_abi_attribution,
        coalesce(
            countries.country_code,
            if(
                regexp_full_match(described.country, '[A-Za-z]{2}'),
                upper(described.country), null
            ),
            'unknown'
        ) as country,
        coalesce(described.region, 'unknown') as region,
        coalesce(devices.platform, 'unknown') as device
    from described
    left join countries on lower(nfc_normalize(described.country)) = countries.meta_value
    left join devices on lower(nfc_normalize(described.device)) = devices.meta_value
)

select * from final

-- What Meta reports, in numbers: in total and by breakdown. What a breakdown leaves out of the
-- total, or counts beyond it, stands under `unknown`.
with landed as (
    select 'all' as axis, * from ad_metrics.ad_performance_daily
    union all
    select 'country' as axis, * from ad_metrics.ad_performance_daily_country
    union all
    select 'region' as axis, * from ad_metrics.ad_performance_daily_region
    union all
    select 'device' as axis, * from ad_metrics.ad_performance_daily_device
),

rates as (
    select date, currency, cast(usd_rate as decimal(18, 10)) as usd_rate
    from ad_metrics.currency_fx
),

countries as (select * from ad_metrics.meta_country_mapping),

devices as (select * from ad_metrics.meta_device_mapping),

-- A report of regions may say their country, too: two regions of one name are then two.
placed as (
    select
        *,
        nullif(nfc_normalize(breakdown_value), '') as word,
        case axis
            when 'country' then nfc_normalize(breakdown_value)
            when 'region'
                then nfc_normalize(json_extract_string(nullif(part, ''), '$.country'))
        end as country_word,
        upper(coalesce(currency, 'USD')) as stated_in
    from landed
),

typed as (
    select
        placed.date,
        placed.axis,
        placed.ad_id,
        placed.adset_id,
        placed.campaign_id,
        placed.word,
        coalesce(
            countries.country_code,
            if(
                regexp_full_match(placed.country_word, '[A-Za-z]{2}'),
                upper(placed.country_word), null
            )
        ) as country,
        devices.platform as device,
        placed.stated_in as currency,
        case
            when cast(coalesce(placed.spend, '0') as decimal(20, 6)) = 0 then 0
            when placed.stated_in = 'USD' then cast(placed.spend as decimal(20, 6))
            else cast(placed.spend as decimal(20, 6)) * rates.usd_rate
        end as spend_usd,
        cast(coalesce(placed.impressions, '0') as bigint) as impressions,
        cast(coalesce(placed.clicks, '0') as bigint) as clicks,
        coalesce(list_sum(list_transform(
            list_filter(
                from_json(placed.actions, '[{"action_type": "VARCHAR", "value": "VARCHAR"}]'),
                lambda a: a.action_type in ({trial_actions})
            ),
            lambda a: cast(cast(a.value as decimal(18, 4)) as bigint)
        )), 0) as trials,
        coalesce(list_sum(list_transform(
            list_filter(
                from_json(placed.actions, '[{"action_type": "VARCHAR", "value": "VARCHAR"}]'),
                lambda a: a.action_type in ({purchase_actions})
            ),
            lambda a: cast(cast(a.value as decimal(18, 4)) as bigint)
        )), 0) as purchases
    from placed
    left join rates on placed.date = rates.date and placed.stated_in = rates.currency
    left join countries on lower(placed.country_word) = countries.meta_value
    left join devices on lower(placed.word) = devices.meta_value
),

summed as (
    select
        date,
        axis,
        ad_id,
        adset_id,
        campaign_id,
        case axis
            when 'all' then ''
            when 'country' then coalesce(country, 'unknown')
            when 'device' then coalesce(device, 'unknown')
            else coalesce(word || coalesce(', ' || country, ''), 'unknown')
        end as breakdown_value,
        currency,
        -- Where a rate is missing, the sum of the others must not pass for the whole.
        if(bool_or(spend_usd is null), null, round(sum(spend_usd), 2)) as spend_usd,
        sum(impressions) as impressions,
        sum(clicks) as clicks,
        sum(trials) as trials,
        sum(purchases) as purchases
    from typed
    group by all
),

axes as (select * from (values ('country'), ('region'), ('device')) as a (axis)),

gaps as (
    select
        summed.date, axes.axis, summed.ad_id, summed.adset_id, summed.campaign_id,
        'unknown' as breakdown_value,
        summed.currency,
        if(summed.axis = 'all', 1, -1) * summed.spend_usd as spend_usd,
        if(summed.axis = 'all', 1, -1) * summed.impressions as impressions,
        if(summed.axis = 'all', 1, -1) * summed.clicks as clicks,
        if(summed.axis = 'all', 1, -1) * summed.trials as trials,
        if(summed.axis = 'all', 1, -1) * summed.purchases as purchases
    from summed
    join axes on summed.axis in ('all', axes.axis)
),

complete as (
    select * from summed
    union all by name
    select * from gaps
),

named as (
    select date, bool_or(axis = 'region' and country is not null) as regions_name_country
    from typed
    group by all
),

final as (
    select
        complete.date,
        complete.axis,
        complete.ad_id,
        complete.adset_id,
        complete.campaign_id,
        complete.breakdown_value,
        if(bool_or(complete.spend_usd is null), null, sum(complete.spend_usd)) as spend_usd,
        sum(complete.impressions) as impressions,
        sum(complete.clicks) as clicks,
        sum(complete.trials) as trials,
        sum(complete.purchases) as purchases,
        any_value(named.regions_name_country) as regions_name_country,
        string_agg(distinct if(complete.spend_usd is null, complete.currency, null), ', ')
            as no_rate
    from complete
    join named on complete.date = named.date
    group by
        complete.date, complete.axis, complete.ad_id, complete.adset_id, complete.campaign_id,
        complete.breakdown_value
    having bool_or(complete.spend_usd is null) or sum(complete.spend_usd) <> 0
        or sum(complete.impressions) <> 0 or sum(complete.clicks) <> 0
        or sum(complete.trials) <> 0 or sum(complete.purchases) <> 0
)

select * from final

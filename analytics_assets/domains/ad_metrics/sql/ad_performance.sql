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

typed as (
    select
        landed.date,
        landed.axis,
        landed.ad_id,
        landed.adset_id,
        landed.campaign_id,
        case landed.axis
            when 'all' then ''
            when 'country' then coalesce(
                countries.country_code,
                if(
                    regexp_full_match(landed.breakdown_value, '[A-Za-z]{2}'),
                    upper(landed.breakdown_value), null
                ),
                'unknown'
            )
            when 'device' then coalesce(devices.platform, 'unknown')
            else coalesce(nullif(landed.breakdown_value, ''), 'unknown')
        end as breakdown_value,
        upper(coalesce(landed.currency, 'USD')) as currency,
        case
            when cast(coalesce(landed.spend, '0') as decimal(20, 6)) = 0 then 0
            when upper(coalesce(landed.currency, 'USD')) = 'USD'
                then round(cast(landed.spend as decimal(20, 6)), 2)
            else round(cast(landed.spend as decimal(20, 6)) * rates.usd_rate, 2)
        end as spend_usd,
        cast(coalesce(landed.impressions, '0') as bigint) as impressions,
        cast(coalesce(landed.clicks, '0') as bigint) as clicks,
        coalesce(list_sum(list_transform(
            list_filter(
                from_json(landed.actions, '[{"action_type": "VARCHAR", "value": "VARCHAR"}]'),
                lambda a: a.action_type in ({trial_actions})
            ),
            lambda a: cast(cast(a.value as decimal(18, 4)) as bigint)
        )), 0) as trials,
        coalesce(list_sum(list_transform(
            list_filter(
                from_json(landed.actions, '[{"action_type": "VARCHAR", "value": "VARCHAR"}]'),
                lambda a: a.action_type in ({purchase_actions})
            ),
            lambda a: cast(cast(a.value as decimal(18, 4)) as bigint)
        )), 0) as purchases
    from landed
    left join rates
        on landed.date = rates.date and upper(landed.currency) = rates.currency
    left join countries on lower(landed.breakdown_value) = lower(countries.meta_value)
    left join devices on lower(landed.breakdown_value) = lower(devices.meta_value)
),

axes as (select * from (values ('country'), ('region'), ('device')) as a (axis)),

gaps as (
    select
        typed.date, axes.axis, typed.ad_id, typed.adset_id, typed.campaign_id,
        'unknown' as breakdown_value,
        typed.currency,
        if(typed.axis = 'all', 1, -1) * typed.spend_usd as spend_usd,
        if(typed.axis = 'all', 1, -1) * typed.impressions as impressions,
        if(typed.axis = 'all', 1, -1) * typed.clicks as clicks,
        if(typed.axis = 'all', 1, -1) * typed.trials as trials,
        if(typed.axis = 'all', 1, -1) * typed.purchases as purchases
    from typed
    join axes on typed.axis in ('all', axes.axis)
),

complete as (
    select * from typed
    union all by name
    select * from gaps
),

final as (
    select
        date,
        axis,
        ad_id,
        adset_id,
        campaign_id,
        breakdown_value,
        -- Where a rate is missing, the sum of the others must not pass for the whole.
        if(bool_or(spend_usd is null), null, sum(spend_usd)) as spend_usd,
        sum(impressions) as impressions,
        sum(clicks) as clicks,
        sum(trials) as trials,
        sum(purchases) as purchases,
        string_agg(distinct if(spend_usd is null, currency, null), ', ') as no_rate
    from complete
    group by all
    having bool_or(spend_usd is null) or sum(spend_usd) <> 0 or sum(impressions) <> 0
        or sum(clicks) <> 0 or sum(trials) <> 0 or sum(purchases) <> 0
)

select * from final

-- The name under which each entity stood most often; of equals the one seen last.
with landed as (
    -- An ad that is reported in parts stands there once.
    select distinct date, ad_id, adset_id, campaign_id, ad_name, adset_name, campaign_name
    from ad_metrics.ad_performance_daily
),

named as (
    select date, 'campaign' as entity_type, campaign_id as entity_id, campaign_name as name
    from landed
    union all
    select date, 'adset' as entity_type, adset_id as entity_id, adset_name as name from landed
    union all
    select date, 'ad' as entity_type, ad_id as entity_id, ad_name as name from landed
),

counted as (
    select entity_type, entity_id, name, count(*) as days, max(date) as last_seen
    from named
    where name is not null
    group by all
),

final as (
    select
        entity_type,
        entity_id,
        arg_max(name, (days, last_seen, name)) as canonical_name,
        max(days) as frequency_count,
        max(last_seen) as last_seen_date
    from counted
    group by all
)

select * from final

-- Where each ad stood, from its first to its last day there: an ad can move.
with landed as (select * from ad_metrics.ad_performance_daily),

final as (
    select
        ad_id, adset_id, campaign_id,
        min(date) as first_seen_date,
        max(date) as last_seen_date
    from landed
    group by all
)

select * from final

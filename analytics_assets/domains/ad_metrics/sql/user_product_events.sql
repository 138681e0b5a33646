-- The events that the metrics know, in USD at the rate of their day.
with events as (
    select
        *,
        case when revenue is null then 0 else try_cast(revenue as decimal(20, 6)) end as amount
    from ad_metrics.mixpanel_events
    where event in ({known_events})
),

rates as (
    select date, currency, cast(usd_rate as decimal(18, 10)) as usd_rate
    from ad_metrics.currency_fx
),

final as (
    select
        events.event_date,
        events.time_ms,
        events.insert_id,
        events.distinct_id,
        coalesce(events.product_id, 'unknown') as product_id,
        events.event,
        events.store,
        events.country,
        events.revenue,
        upper(events.currency) as currency,
        case
            when events.amount = 0 then 0
            when upper(events.currency) = 'USD' then round(events.amount, 2)
            else round(events.amount * rates.usd_rate, 2)
        end as revenue_usd
    from events
    left join rates
        on events.event_date = rates.date and upper(events.currency) = rates.currency
)

select * from final

-- The events that the metrics know, of real purchases, by whom they are of, in USD at the rate of
-- their day.
with events as (
    select
        *,
        {event_name} as known_event,
        coalesce(revenue_usd, revenue) as stated,
        if(revenue_usd is null, upper(currency), 'USD') as stated_in
    from ad_metrics.mixpanel_events
    where event in ({known_events}) and upper(coalesce(environment, '')) <> 'SANDBOX'
),

identities as (select event_date, distinct_id, user_id from ad_metrics.user_identities),

-- An event that was exported before and after its user got another id is one.
by_user as (
    select
        events.* exclude (distinct_id),
        coalesce(identities.user_id, events.distinct_id) as distinct_id,
        case when stated is null then 0 else {amount} end as amount
    from events
    left join identities
        on events.event_date = identities.event_date
        and events.distinct_id = identities.distinct_id
    qualify row_number() over (
        partition by
            events.known_event,
            coalesce(identities.user_id, events.distinct_id),
            events.time_ms,
            events.insert_id
        order by
            events.arrival_ms desc nulls last, identities.user_id nulls first, events.distinct_id
    ) = 1
),

rates as (
    select date, currency, cast(usd_rate as decimal(18, 10)) as usd_rate
    from ad_metrics.currency_fx
),

final as (
    select
        by_user.event_date,
        by_user.time_ms,
        by_user.insert_id,
        by_user.distinct_id,
        coalesce(by_user.product_id, 'unknown') as product_id,
        by_user.known_event as event,
        by_user.store,
        by_user.country,
        by_user.stated as revenue,
        by_user.stated_in as currency,
        case
            when by_user.amount = 0 then 0
            when by_user.stated_in = 'USD' then round(by_user.amount, 2)
            else round(by_user.amount * rates.usd_rate, 2)
        end as revenue_usd
    from by_user
    left join rates
        on by_user.event_date = rates.date and by_user.stated_in = rates.currency
)

select * from final

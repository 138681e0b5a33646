-- What became of each user-product within {reach_days} days of its credited day, and whether its
-- events came in an order that can be.
with starts as (select * from ad_metrics.user_product_starts),

events as (
    select
        starts.credited_date,
        events.*,
        case events.event {event_order} end as place
    from starts
    join ad_metrics.user_product_events as events
        on starts.distinct_id = events.distinct_id
        and starts.product_id = events.product_id
        and events.event_date between starts.credited_date
            and starts.credited_date + {reach_days}
),

placed as (
    select
        *,
        row_number() over in_order as position,
        count(*) filter (where event = {trial_started}) over before as starts_before,
        min(event_date) filter (where event = {trial_started}) over before as trial_day,
        count(*) filter (where event = {trial_converted}) over before as conversions_before,
        count(*) filter (where event = {trial_cancelled}) over before as cancelled_before,
        count(*) filter (where event = {initial_purchase}) over before as purchases_before,
        last_value(
            case when event in ({trial_converted}, {initial_purchase}) then event end ignore nulls
        ) over before as paid_before
    from events
    window
        in_order as (
            partition by distinct_id, product_id order by time_ms, place, insert_id
        ),
        before as (
            partition by distinct_id, product_id order by time_ms, place, insert_id
            rows between unbounded preceding and 1 preceding
        )
),

judged as (
    select
        *,
        case
            when event = {trial_started} and starts_before > 0
                then 'more than one trial start'
            when event = {initial_purchase} and purchases_before > 0
                then 'more than one initial purchase'
            when event in ({trial_converted}, {trial_cancelled}) and starts_before = 0
                then 'conversion or trial cancellation without a start'
            when event in ({trial_converted}, {trial_cancelled})
                and event_date - trial_day > {trial_ends_within}
                then 'conversion or trial cancellation too late'
            when event = {initial_purchase} and conversions_before > 0
                then 'initial purchase after a conversion'
            when event = {initial_purchase} and starts_before > 0 and cancelled_before = 0
                and event_date - trial_day <= {trial_ends_within}
                then 'initial purchase during a trial'
            when event in ({renewal}, {cancellation})
                and conversions_before + purchases_before = 0
                then 'renewal or cancellation without a subscription'
        end as offence,
        event = {cancellation} and revenue_usd < 0 as is_refund
    from placed
),

summed as (
    select
        credited_date,
        distinct_id,
        product_id,
        arg_min(offence, position) filter (where offence is not null) as offence,
        arg_min(store, position) filter (where store is not null) as store,
        bool_or(event = {trial_started}) as trial_started,
        min(event_date) filter (where event = {trial_converted}) as converted_date,
        min(time_ms) filter (where event = {trial_converted}) as converted_ms,
        arg_min(revenue_usd, position) filter (where event = {trial_converted})
            as conversion_price_usd,
        sum(revenue_usd) filter (where event = {trial_converted}) as conversion_revenue_usd,
        min(event_date) filter (where event = {initial_purchase}) as purchased_date,
        sum(revenue_usd) filter (where event = {initial_purchase}) as purchase_revenue_usd,
        min(event_date) filter (where is_refund and paid_before = {trial_converted})
            as trial_refunded_date,
        sum(-revenue_usd) filter (where is_refund and paid_before = {trial_converted})
            as trial_refunds_usd,
        min(event_date) filter (where is_refund and paid_before = {initial_purchase})
            as purchase_refunded_date,
        sum(-revenue_usd) filter (where is_refund and paid_before = {initial_purchase})
            as purchase_refunds_usd
    from judged
    group by all
),

final as (
    select
        starts.credited_date,
        starts.distinct_id,
        starts.product_id,
        starts.ad_id,
        starts.adset_id,
        starts.campaign_id,
        starts.has_abi_attribution,
        starts.country,
        starts.region,
        starts.device,
        coalesce(summed.store, 'unknown') as store,
        if(starts.starts_late, 'event before the start', summed.offence) as invalid_reason,
        summed.trial_started,
        summed.converted_date,
        summed.converted_ms,
        summed.conversion_price_usd,
        coalesce(summed.conversion_revenue_usd, 0) as conversion_revenue_usd,
        summed.purchased_date,
        coalesce(summed.purchase_revenue_usd, 0) as purchase_revenue_usd,
        summed.trial_refunded_date,
        coalesce(summed.trial_refunds_usd, 0) as trial_refunds_usd,
        summed.purchase_refunded_date,
        coalesce(summed.purchase_refunds_usd, 0) as purchase_refunds_usd
    from starts
    join summed using (credited_date, distinct_id, product_id)
)

select * from final

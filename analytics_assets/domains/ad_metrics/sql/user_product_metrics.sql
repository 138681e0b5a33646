-- Each user-product with what it is worth on the data horizon. Invalid ones are kept, worth nothing.
with lifecycles as (select * from ad_metrics.user_product_lifecycles),

rates as (select * from ad_metrics.user_product_rates),

ages as (select * from ad_metrics.cohort_ages),

joined as (
    select
        lifecycles.*,
        lifecycles.invalid_reason is null as valid_lifecycle,
        coalesce(rates.price_bucket_usd, 0) as price_bucket_usd,
        coalesce(rates.trial_conversion_rate, 0) as trial_conversion_rate,
        coalesce(rates.trial_conversion_level, 'none') as trial_conversion_level,
        coalesce(rates.trial_refund_rate, 0) as trial_converted_to_refund_rate,
        coalesce(rates.trial_refund_level, 'none') as trial_refund_level,
        coalesce(rates.purchase_refund_rate, 0) as initial_purchase_to_refund_rate,
        coalesce(rates.purchase_refund_level, 'none') as purchase_refund_level,
        ages.is_post_trial,
        ages.conversion_is_known,
        ages.trial_refund_is_known,
        ages.purchase_refund_is_known
    from lifecycles
    -- A day before the first event has none: what is credited to it lacks its start.
    left join ages on lifecycles.credited_date = ages.date
    left join rates using (credited_date, distinct_id, product_id)
),

valued as (
    select
        *,
        case
            when not trial_started then 0
            when trial_refund_is_known then conversion_revenue_usd - trial_refunds_usd
            when conversion_is_known
                then round(
                    cast(conversion_revenue_usd as decimal(20, 2))
                    * (100 - trial_converted_to_refund_rate) * 0.01, 2
                )
            else round(
                cast(price_bucket_usd as decimal(20, 2))
                * cast(trial_conversion_rate as decimal(7, 4))
                * cast(100 - trial_converted_to_refund_rate as decimal(7, 4)) * cast(0.0001 as decimal(4, 4)), 2
            )
        end as trial_value_usd,
        case
            when purchased_date is null then 0
            when purchase_refund_is_known then purchase_revenue_usd - purchase_refunds_usd
            else round(
                cast(purchase_revenue_usd as decimal(20, 2))
                * (100 - initial_purchase_to_refund_rate) * 0.01, 2
            )
        end as purchase_value_usd
    from joined
),

final as (
    select
        credited_date,
        distinct_id,
        product_id,
        ad_id,
        adset_id,
        campaign_id,
        has_abi_attribution,
        country,
        region,
        device,
        store,
        valid_lifecycle,
        invalid_reason,
        price_bucket_usd,
        trial_conversion_rate,
        trial_conversion_level,
        trial_converted_to_refund_rate,
        trial_refund_level,
        initial_purchase_to_refund_rate,
        purchase_refund_level,
        trial_started as is_trial,
        trial_started and is_post_trial as is_post_trial,
        trial_started and is_post_trial and converted_date is not null as is_converted,
        trial_started and is_post_trial and trial_refunded_date is not null as is_trial_refunded,
        purchased_date is not null as is_purchase,
        purchase_refunded_date is not null as is_purchase_refunded,
        conversion_revenue_usd + purchase_revenue_usd as actual_revenue_usd,
        trial_refunds_usd + purchase_refunds_usd as actual_refunds_usd,
        if(valid_lifecycle, trial_value_usd + purchase_value_usd, 0) as current_value_usd
    from valued
)

select * from final

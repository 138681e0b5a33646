-- The metrics of each entity and day{by_what}: what users did, by the day that they are credited
-- to, beside what Meta reports of that day.
with user_products as (
    select * from ad_metrics.user_product_metrics where valid_lifecycle and has_abi_attribution
),

performance as (select * from ad_metrics.ad_performance where axis {axes}),

entities as (
    select * from (values ('campaign'), ('adset'), ('ad')) as e (entity_type)
),

of_users as (
    select
        user_products.credited_date as date,
        entities.entity_type,
        case entities.entity_type
            when 'campaign' then campaign_id when 'adset' then adset_id else ad_id
        end as entity_id,
        {user_breakdown}
        user_products.*
    from user_products
    cross join entities
    {user_axes}
),

-- One row a user: somebody with two products is one user.
users as (
    select
        date, entity_type, entity_id, {breakdown} distinct_id,
        bool_or(is_trial) as is_trial,
        bool_or(is_post_trial) as is_post_trial,
        bool_or(is_converted) as is_converted,
        bool_or(is_trial_refunded) as is_trial_refunded,
        bool_or(is_purchase) as is_purchase,
        bool_or(is_purchase_refunded) as is_purchase_refunded,
        {user_trial_conversion_rate} as trial_conversion_rate,
        {user_trial_refund_rate} as trial_refund_rate,
        {user_purchase_refund_rate} as purchase_refund_rate,
        sum(actual_revenue_usd) as actual_revenue_usd,
        sum(actual_refunds_usd) as actual_refunds_usd,
        sum(current_value_usd) as current_value_usd
    from of_users
    where entity_id is not null and (is_trial or is_purchase)
    group by all
),

mixpanel as (
    select
        date, entity_type, entity_id, {breakdown}
        {user_lists},
        {user_measures}
    from users
    group by all
),

meta as (
    select
        performance.date,
        entities.entity_type,
        case entities.entity_type
            when 'campaign' then campaign_id when 'adset' then adset_id else ad_id
        end as entity_id,
        {meta_breakdown}
        {meta_measures}
    from performance
    cross join entities
    group by all
    having {meta_any}
),

joined as (
    select *
    from mixpanel
    full join meta using (date, entity_type, entity_id {breakdown_key})
),

measured as (
    select
        date, entity_type, entity_id, {breakdown}
        {complete}
    from joined
),

rated as (
    select
        *,
        {ratios}
    from measured
),

adjusted as (
    select *, {adjusted} as adjusted_estimated_revenue_usd from rated
),

final as (
    select
        *,
        adjusted_estimated_revenue_usd - meta_spend as profit_usd,
        {roas} as estimated_roas
    from adjusted
)

select * from final

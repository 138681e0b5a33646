-- The prices paid by the end of each day on which a price is first seen, merged into buckets:
-- neighbours within {price_share} of the upper one or {price_usd} USD are one.
with lifecycles as (
    select * from ad_metrics.user_product_lifecycles where invalid_reason is null
),

paid as (
    select
        country, product_id, {trial_converted} as event, converted_date as day,
        conversion_price_usd as price_usd
    from lifecycles
    where conversion_price_usd > 0
    union all
    select
        country, product_id, {initial_purchase} as event, purchased_date as day,
        purchase_revenue_usd as price_usd
    from lifecycles
    where purchase_revenue_usd > 0
),

prices as (
    select country, product_id, event, price_usd, min(day) as since from paid group by all
),

versions as (select distinct country, product_id, event, since as valid_from from prices),

known as (
    select
        versions.*,
        prices.price_usd,
        prices.price_usd - lag(prices.price_usd) over by_price
            > greatest({price_share} * prices.price_usd, {price_usd}) as is_apart
    from versions
    join prices using (country, product_id, event)
    where prices.since <= versions.valid_from
    window by_price as (
        partition by versions.country, versions.product_id, versions.event, versions.valid_from
        order by prices.price_usd
    )
),

numbered as (
    select
        *,
        count(*) filter (where is_apart) over (
            partition by country, product_id, event, valid_from order by price_usd
        ) as bucket
    from known
),

final as (
    select
        country,
        product_id,
        event,
        valid_from,
        min(price_usd) as lowest_usd,
        max(price_usd) as highest_usd,
        {bucket_mean} as price_bucket_usd
    from numbered
    group by country, product_id, event, valid_from, bucket
)

select * from final

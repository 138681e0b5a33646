-- What could be expected of each user-product on its credited day: its price bucket, and the rates
-- of the users like it that had matured by then.
with lifecycles as (
    select *, credited_date as day
    from ad_metrics.user_product_lifecycles
    where invalid_reason is null
),

buckets as (select * from ad_metrics.price_buckets),

versions as (select distinct country, product_id, event, valid_from from buckets),

-- A trial is worth the price that was paid last: in its country, or else for its product.
conversions as (
    select * from lifecycles where conversion_price_usd > 0
),

paid_in_country as (
    select
        country, product_id, converted_date as day,
        arg_max(conversion_price_usd, (converted_ms, conversion_price_usd)) as price_usd
    from conversions
    group by all
),

paid_anywhere as (
    select
        product_id, converted_date as day,
        arg_max(
            {'country': country, 'price_usd': conversion_price_usd},
            (converted_ms, conversion_price_usd, country)
        ) as paid
    from conversions
    group by all
),

priced as (
    select
        lifecycles.*,
        if(lifecycles.trial_started, {trial_converted}, {initial_purchase}) as event,
        case
            when not lifecycles.trial_started or paid_in_country.price_usd is not null
                then lifecycles.country
            else paid_anywhere.paid.country
        end as price_country,
        case
            when lifecycles.trial_started
                then coalesce(paid_in_country.price_usd, paid_anywhere.paid.price_usd)
            else lifecycles.purchase_revenue_usd
        end as price_usd
    from lifecycles
    asof left join paid_in_country
        on lifecycles.country = paid_in_country.country
        and lifecycles.product_id = paid_in_country.product_id
        and lifecycles.day >= paid_in_country.day
    asof left join paid_anywhere
        on lifecycles.product_id = paid_anywhere.product_id
        and lifecycles.day >= paid_anywhere.day
),

versioned as (
    select priced.*, versions.valid_from
    from priced
    asof left join versions
        on priced.price_country = versions.country
        and priced.product_id = versions.product_id
        and priced.event = versions.event
        and priced.day >= versions.valid_from
),

users as (
    select versioned.*, coalesce(buckets.price_bucket_usd, 0) as price_bucket_usd
    from versioned
    left join buckets
        on versioned.price_country = buckets.country
        and versioned.product_id = buckets.product_id
        and versioned.event = buckets.event
        and versioned.valid_from = buckets.valid_from
        and versioned.price_usd between buckets.lowest_usd and buckets.highest_usd
),

-- When a user counts for a rate, and when as a success.
trials as (
    select
        'trial_conversion' as rate, users.*,
        credited_date + {conversion_known} as matured_on,
        converted_date as succeeded_on
    from users
    where trial_started
),

converted as (
    select
        'trial_refund' as rate, users.*,
        credited_date + {trial_refund_known} as matured_on,
        trial_refunded_date as succeeded_on
    from users
    where trial_started and converted_date is not null
),

purchased as (
    select
        'purchase_refund' as rate, users.*,
        greatest(credited_date + {purchase_refund_known}, purchased_date) as matured_on,
        purchase_refunded_date as succeeded_on
    from users
    where purchased_date is not null
),

outcomes as (
    select * from trials
    union all
    select * from converted
    union all
    select * from purchased
),

steps as (
    select
        rate, product_id, price_bucket_usd, store, country, region,
        matured_on as day, 1 as matured, 0 as succeeded
    from outcomes
    union all
    select
        rate, product_id, price_bucket_usd, store, country, region,
        greatest(matured_on, succeeded_on) as day, 0 as matured, 1 as succeeded
    from outcomes
    where succeeded_on is not null
),

levels as (
    select *
    from (values ('region', 1), ('country', 2), ('store', 3), ('product', 4)) as l (level, turn)
),

-- Level by level one attribute less tells cohorts apart.
by_day as (
    select
        steps.rate,
        levels.level,
        levels.turn,
        steps.product_id,
        steps.price_bucket_usd,
        if(levels.turn <= 3, steps.store, '') as store,
        if(levels.turn <= 2, steps.country, '') as country,
        if(levels.turn <= 1, steps.region, '') as region,
        steps.day,
        sum(steps.matured) as matured,
        sum(steps.succeeded) as succeeded
    from steps
    cross join levels
    group by all
),

cohorts as (
    select
        * exclude (matured, succeeded),
        sum(matured) over so_far as matured,
        sum(succeeded) over so_far as succeeded
    from by_day
    window so_far as (
        partition by rate, turn, product_id, price_bucket_usd, store, country, region
        order by day
    )
),

kinds as (
    select distinct
        day, product_id, price_bucket_usd, store, country, region
    from users
),

asked as (
    select
        kinds.*,
        rates.rate,
        levels.level,
        levels.turn,
        if(levels.turn <= 3, kinds.store, '') as cohort_store,
        if(levels.turn <= 2, kinds.country, '') as cohort_country,
        if(levels.turn <= 1, kinds.region, '') as cohort_region
    from kinds
    cross join levels
    cross join (
        values ('trial_conversion'), ('trial_refund'), ('purchase_refund')
    ) as rates (rate)
),

found as (
    select asked.*, cohorts.matured, cohorts.succeeded
    from asked
    asof join cohorts
        on asked.rate = cohorts.rate
        and asked.turn = cohorts.turn
        and asked.product_id = cohorts.product_id
        and asked.price_bucket_usd = cohorts.price_bucket_usd
        and asked.cohort_store = cohorts.store
        and asked.cohort_country = cohorts.country
        and asked.cohort_region = cohorts.region
        and asked.day >= cohorts.day
),

first_large_enough as (
    select
        day, product_id, price_bucket_usd, store, country, region, rate,
        arg_min(level, turn) as level,
        arg_min({cohort_rate}, turn) as percent
    from found
    where matured >= {matured_users}
    group by all
),

chosen as (
    select
        day, product_id, price_bucket_usd, store, country, region,
        max(percent) filter (where rate = 'trial_conversion') as trial_conversion_rate,
        max(level) filter (where rate = 'trial_conversion') as trial_conversion_level,
        max(percent) filter (where rate = 'trial_refund') as trial_refund_rate,
        max(level) filter (where rate = 'trial_refund') as trial_refund_level,
        max(percent) filter (where rate = 'purchase_refund') as purchase_refund_rate,
        max(level) filter (where rate = 'purchase_refund') as purchase_refund_level
    from first_large_enough
    group by all
),

final as (
    select
        users.credited_date,
        users.distinct_id,
        users.product_id,
        users.price_bucket_usd,
        coalesce(chosen.trial_conversion_rate, {default_trial_conversion})
            as trial_conversion_rate,
        coalesce(chosen.trial_conversion_level, 'default') as trial_conversion_level,
        coalesce(chosen.trial_refund_rate, {default_trial_refund}) as trial_refund_rate,
        coalesce(chosen.trial_refund_level, 'default') as trial_refund_level,
        coalesce(chosen.purchase_refund_rate, {default_purchase_refund}) as purchase_refund_rate,
        coalesce(chosen.purchase_refund_level, 'default') as purchase_refund_level
    from users
    left join chosen using (day, product_id, price_bucket_usd, store, country, region)
)

select * from final

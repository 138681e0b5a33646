-- How old each credited day is on the data horizon, the last day with an event, as far as it
-- matters: the row of a day changes only when a rule begins to treat it in another way.
with landed as (
    select min(event_date) as first_day, max(event_date) as horizon
    from ad_metrics.mixpanel_events
),

days as (
    select unnest(generate_series(0, horizon - first_day)) as age, horizon
    from landed
    where horizon is not null
),

final as (
    select
        cast(horizon - cast(age as integer) as date) as date,
        age >= {post_trial} as is_post_trial,
        age >= {conversion_known} as conversion_is_known,
        age >= {trial_refund_known} as trial_refund_is_known,
        age >= {purchase_refund_known} as purchase_refund_is_known
    from days
)

select * from final

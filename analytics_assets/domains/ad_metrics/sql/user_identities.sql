-- Which user an id is, on each day on which it occurs: Mixpanel names the id of before with an
-- event of the id that it became. Who became somebody else once more is the last of them.
with recursive events as (
    select event_date, event, distinct_id, before_identity, time_ms, arrival_ms
    from ad_metrics.mixpanel_events
),

-- Of what one id became the newest counts.
named as (
    select
        before_identity as distinct_id,
        arg_max(distinct_id, (coalesce(arrival_ms, 0), time_ms, distinct_id)) as became
    from events
    where before_identity <> distinct_id
    group by all
),

walked as (
    select distinct_id, became, [distinct_id] as path from named
    union all
    select walked.distinct_id, named.became, list_append(walked.path, named.distinct_id) as path
    from walked
    join named on walked.became = named.distinct_id
    where not list_contains(walked.path, named.distinct_id) and len(walked.path) < {most_ids}
),

-- Ids that became each other in a circle are the least of them.
users as (
    select
        distinct_id,
        arg_max(
            case
                when list_contains(path, became)
                    then list_min(path[list_position(path, became):])
                else became
            end,
            len(path)
        ) as user_id
    from walked
    group by all
),

occurring as (
    select event_date, distinct_id from events where event in ({known_events})
    union all
    select event_date, before_identity as distinct_id from events
    where before_identity <> distinct_id
),

final as (
    select distinct occurring.event_date, occurring.distinct_id, users.user_id
    from occurring
    join users on occurring.distinct_id = users.distinct_id
    where users.user_id <> occurring.distinct_id
)

select * from final

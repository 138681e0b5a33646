select
    cast("timestamp" as date) as day,
    count(*) as total_rows,
    count(distinct "userId") as unique_users,
    min("timestamp") as first_event_at,
    max("timestamp") as last_event_at,
    {quality}
from behavior.behavioral_events
group by all

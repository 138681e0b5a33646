select
    cast("timestamp" as date) as day,
    "userId" as user_id,
    coalesce("experimentPhase", 'none') as phase,
    {measures}
from behavior.behavioral_events
group by all

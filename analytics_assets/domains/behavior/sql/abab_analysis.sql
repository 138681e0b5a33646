select
    user_id,
    day,
    phase,
    score_sum / nullif(scored_events, 0) as mean_score
from behavior.daily_performance
where phase <> 'none'

select
    user_id,
    day,
    phase,
    events,
    score_sum / nullif(scored_events, 0) as mean_score
from behavior.daily_performance
where phase in ('baseline_1', 'intervention_A_1')

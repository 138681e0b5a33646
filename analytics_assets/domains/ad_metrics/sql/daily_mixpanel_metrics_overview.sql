-- All campaigns of a day together. Adsets and ads are the same users and spend once more.
select
    date,
    {sums}
from ad_metrics.daily_mixpanel_metrics
where entity_type = 'campaign'
group by date

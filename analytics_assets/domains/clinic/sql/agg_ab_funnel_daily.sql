select
    event_date,
    coalesce("group", '{unknown}') as "group",
    coalesce(event_name, '{unknown}') as event_name,
    cast(count(distinct patient_id) as integer) as patients,
    {measures}
from clinic.fct_ab_events
group by all

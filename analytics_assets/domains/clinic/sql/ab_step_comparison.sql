with happened as (
    -- A patient counts once; who was in both groups counts for neither.
    select distinct patient_id, "group", event_name
    from clinic.fct_ab_events
    where "group" is not null and event_name is not null
        and patient_id not in (
            select patient_id from clinic.fct_ab_events
            group by patient_id having count(distinct "group") > 1
        )
),
started as (select patient_id from happened where event_name = '{start}')
select
    "group",
    event_name,
    count(*) as patients,
    count(*) filter (where patient_id in (select patient_id from started)) as started
from happened
group by all

select
    event_key,
    patient_key,
    patient_id,
    {group} as "group",
    {event_name} as event_name,
    day as event_date,
    {moment} as event_datetime
from clinic.ab_event

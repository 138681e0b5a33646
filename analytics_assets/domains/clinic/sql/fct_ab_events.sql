select
    event.event_key as event_id,
    event.{patient} as patient_id,
    event."group",
    event.event_name,
    event.event_date,
    event.event_datetime,
    patient.traffic_source,
    patient.known_patient
from clinic.stg_ab_event as event
left join clinic.patient_day as patient
    on patient.day = event.event_date and patient.patient_key = event.patient_key

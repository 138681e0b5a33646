with seen as (
    select appointment_date as day, patient_key from clinic.stg_appointment
    union
    select event_date as day, patient_key from clinic.stg_ab_event
),
profiles as (select count(*) > 0 as there from clinic.stg_app_profile)
select
    seen.day,
    seen.patient_key,
    profile.traffic_source,
    case when profiles.there then profile.patient_key is not null end as known_patient
from seen
cross join profiles
left join clinic.stg_app_profile as profile using (patient_key)

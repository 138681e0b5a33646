select
    appointment_date,
    coalesce(appointment_reason, '{unknown}') as appointment_reason,
    coalesce(doctor_name, '{unknown}') as doctor_name,
    coalesce(traffic_source, '{unknown}') as traffic_source,
    {measures}
from clinic.fct_appointments
group by all

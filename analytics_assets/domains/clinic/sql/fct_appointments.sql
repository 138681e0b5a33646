select
    appointment.appointment_key as appointment_id,
    appointment.{patient} as patient_id,
    appointment.age,
    appointment.gender,
    appointment.doctor_name,
    appointment.appointment_reason,
    appointment.appointment_date,
    appointment.appointment_status,
    patient.traffic_source,
    patient.known_patient
from clinic.stg_appointment as appointment
left join clinic.patient_day as patient
    on patient.day = appointment.appointment_date and patient.patient_key = appointment.patient_key

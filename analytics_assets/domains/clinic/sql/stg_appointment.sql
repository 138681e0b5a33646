select
    appointment_key,
    patient_key,
    patient_id,
    {age} as age,
    {gender} as gender,
    {doctor} as doctor_name,
    appointment_reason,
    day as appointment_date,
    {status} as appointment_status
from clinic.appointment

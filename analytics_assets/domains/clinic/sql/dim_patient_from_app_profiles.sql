select {patient} as patient_id, traffic_source, device, os, os_version
from clinic.stg_app_profile

select
    patient_key,
    patient_id,
    {traffic_source} as traffic_source,
    {os} as os,
    nullif(regexp_extract(device, '([0-9]+(\.[0-9]+)*)\s*$', 1), '') as os_version,
    coalesce({os} || coalesce(' ' || os_version, ''), device) as device
from clinic.app_profile

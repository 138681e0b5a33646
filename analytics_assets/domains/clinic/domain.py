"""What the clinic brings to the platform."""

from functools import partial

from analytics_assets.core.domain import SAMPLE, Domain, Setting
from analytics_assets.domains.clinic.landing import DROPPED
from analytics_assets.domains.clinic.sample import generate
from analytics_assets.domains.clinic.tables import TABLES

DOMAIN = Domain(
    about="files of appointments, profiles and events, sent again and again, to marts and"
    " attendance",
    tables=TABLES,
    settings=(
        Setting("CLINIC_SOURCE", SAMPLE, "drop folder"),
        Setting("CLINIC_FIRST_DAY", "`2000-01-01`", "appointments before hold their month back"),
        Setting("CLINIC_LAST_DAY", "none", "appointments after it hold their month back"),
        Setting(
            "CLINIC_PSEUDONYM_KEY",
            "generated",
            "key of the patients' hashes, at least 16 random characters; a secret",
        ),
        Setting(
            "CLINIC_PUBLISH_PATIENT_IDS",
            "off",
            "1 promotes the patients' numbers instead of their hashes",
        ),
    ),
    samples=(partial(DROPPED.prepare, generate),),
)

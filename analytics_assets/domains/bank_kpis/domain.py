"""What the bank indicators bring to the platform."""

from functools import partial

from analytics_assets.core.domain import SAMPLE, Domain, Setting
from analytics_assets.domains.bank_kpis.migration_assets import DEFINITIONS, JOB
from analytics_assets.domains.bank_kpis.sample import generate
from analytics_assets.domains.bank_kpis.sources import LANDING
from analytics_assets.domains.bank_kpis.tables import TABLES

DOMAIN = Domain(
    about="The Mexican bank regulator's workbooks to 30 metrics, wide and as a star with history",
    tables=TABLES,
    settings=(
        Setting("CNBV_SOURCE", SAMPLE, "landing folder"),
        Setting("LEGACY_KPIS", "none", "an older wide table to migrate from"),
        Setting("BANK_KPIS_PHASE", "`dual_write`", "phase of the migration"),
        Setting(
            "BANK_KPIS_QUIET_DAYS", "7", "days without a reader before the wide table is retired"
        ),
    ),
    samples=(partial(LANDING.prepare, generate),),
    definitions=DEFINITIONS,
    last_job=JOB,
)

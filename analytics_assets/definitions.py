"""The code location: every table of every domain as Dagster sees it."""

import dagster as dg

from analytics_assets.automation.jobs import changes_sensor, jobs, nightly_schedules
from analytics_assets.births.tables import TABLES as BIRTHS
from analytics_assets.core.declaration import Table
from analytics_assets.production.assets import production_assets
from analytics_assets.warehouse.assets import warehouse_assets

TABLES: tuple[Table, ...] = (*BIRTHS,)


@dg.definitions
def defs() -> dg.Definitions:
    """All assets, jobs, the nightly schedule and the sensor."""
    all_jobs = jobs(TABLES)
    return dg.Definitions(
        assets=[*warehouse_assets(TABLES), *production_assets(TABLES)],
        jobs=all_jobs,
        schedules=nightly_schedules(TABLES, all_jobs),
        sensors=[changes_sensor(TABLES, all_jobs)],
        # A step is short and DuckDB uses all cores; a process for each would cost 2 s a step.
        executor=dg.in_process_executor,
    )

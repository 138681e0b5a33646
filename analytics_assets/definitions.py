"""The code location: every table of every domain as Dagster sees it."""

from collections.abc import Sequence

import dagster as dg

from analytics_assets import registry
from analytics_assets.automation.alerts import alerts_sensor
from analytics_assets.automation.jobs import changes_sensor, jobs, nightly_schedules
from analytics_assets.automation.maintenance import maintenance_definitions
from analytics_assets.automation.operations import staleness_definitions
from analytics_assets.automation.rollback_jobs import rollback_jobs
from analytics_assets.core.declaration import Table
from analytics_assets.production.release_assets import production_assets, release_jobs, size_checks
from analytics_assets.warehouse.binding import bind_new
from analytics_assets.warehouse.table_assets import warehouse_assets


def build(tables: Sequence[Table]) -> dg.Definitions:
    """All assets, jobs, schedules and sensors of these tables, and what watches over them."""
    all_jobs, releases = jobs(tables), release_jobs(tables)
    own = dg.Definitions(
        assets=[*warehouse_assets(tables), *production_assets(tables)],
        asset_checks=size_checks(tables),
        jobs=[*all_jobs, *releases, *rollback_jobs(tables)],
        schedules=nightly_schedules(tables, all_jobs),
        sensors=[changes_sensor(tables, [*all_jobs, *releases]), alerts_sensor()],
        # A step is short and DuckDB uses all cores; a process for each would cost 2 s a step.
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(
        own,
        staleness_definitions(tables),
        maintenance_definitions(tables),
        *registry.definitions({table.domain for table in tables}),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    tables = registry.tables()
    bind_new(tables)
    return build(tables)

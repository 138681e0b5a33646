"""The code location: every table of every domain as Dagster sees it."""

import os
from collections.abc import Sequence

import dagster as dg
from dagster._core.definitions.definitions_load_context import (
    DefinitionsLoadContext,
    DefinitionsLoadType,
)

from analytics_assets import home, registry, running_code, settings
from analytics_assets.automation import maintenance, rollback_jobs
from analytics_assets.automation.alerts import alerts_sensor
from analytics_assets.automation.jobs import changes_sensor, jobs, nightly_schedules
from analytics_assets.automation.operation import definitions_of
from analytics_assets.automation.operations import staleness_definitions
from analytics_assets.core.declaration import Table
from analytics_assets.production.release_assets import production_assets, release_jobs, size_checks
from analytics_assets.warehouse.binding import bind_new
from analytics_assets.warehouse.table_assets import warehouse_assets

# What people ask for by name; each is a job, and a command of the command line.
OPERATIONS = (*maintenance.OPERATIONS, *rollback_jobs.OPERATIONS)


def build(tables: Sequence[Table]) -> dg.Definitions:
    """All assets, jobs, schedules and sensors of these tables, and what watches over them."""
    all_jobs, releases = jobs(tables), release_jobs(tables)
    own = dg.Definitions(
        assets=[*warehouse_assets(tables), *production_assets(tables)],
        asset_checks=size_checks(tables),
        jobs=[*all_jobs, *releases],
        schedules=nightly_schedules(tables, all_jobs),
        sensors=[changes_sensor(tables, [*all_jobs, *releases]), alerts_sensor(registry.made_up)],
        # A step is short and DuckDB uses all cores; a process for each would cost 2 s a step.
        executor=dg.in_process_executor,
    )
    judged = dg.Definitions.merge(own, *registry.definitions({table.domain for table in tables}))
    return dg.Definitions.merge(
        judged,
        staleness_definitions(tables, _checks(judged)),
        definitions_of(OPERATIONS, tables),
    )


def _checks(definitions: dg.Definitions) -> list[dg.AssetCheckKey]:
    made = [*(definitions.assets or ()), *(definitions.asset_checks or ())]
    return [key for one in made if isinstance(one, dg.AssetsDefinition) for key in one.check_keys]


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    # Also where Dagster was started by hand: what runs make is their owner's.
    os.umask(0o077)
    code = running_code.on_disk()
    tables = registry.tables()
    bind_new(tables)
    built = build(tables)
    # Whoever loads it to start runs; a run loads it, too, to make one.
    if DefinitionsLoadContext.get().load_type is DefinitionsLoadType.INITIALIZATION:
        config = settings.load()
        home.take(config)
        running_code.note_served(config, code)
    return built

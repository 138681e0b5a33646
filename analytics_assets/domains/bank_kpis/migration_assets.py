"""The migration as Dagster has it: the view over the star, its checks, a job and a schedule.

Belongs here: when production is brought to the wanted phase, and what is said about it.
Does not belong here: what that takes (``migration.py``).
"""

import os
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import dagster as dg
import sqlalchemy as sa

from analytics_assets import settings
from analytics_assets.core.boundary import in_our_words
from analytics_assets.core.contracts import sql_type
from analytics_assets.core.declaration import Table
from analytics_assets.core.display import rows_as_markdown
from analytics_assets.domains.bank_kpis.metrics import read_metrics
from analytics_assets.domains.bank_kpis.migration import Settled, settle
from analytics_assets.domains.bank_kpis.phases import wanted_phase
from analytics_assets.domains.bank_kpis.star_view import Cell, differences
from analytics_assets.domains.bank_kpis.tables import TABLES
from analytics_assets.production import server
from analytics_assets.production.dependents import DependentError
from analytics_assets.production.promotion import production_engine
from analytics_assets.production.release_assets import production_key

KEY = dg.AssetKey(["production", "bank_kpis", "v_monthly_kpis"])
JOB = "bank_kpis_migration"
_BY_NAME = {table.name: table for table in TABLES}
WIDE: Table = _BY_NAME["monthly_kpis"]
_OVER = ("fact_monthly_kpi", "dim_bank", "dim_date", "dim_metric", "monthly_kpis")


def quiet_days() -> float:
    """``BANK_KPIS_QUIET_DAYS``: days without a reader before the wide table is retired."""
    return float(os.environ.get("BANK_KPIS_QUIET_DAYS") or 7)


def settle_production(now: datetime) -> Settled:
    """Bring production to ``BANK_KPIS_PHASE``, in one transaction."""
    try:
        with (
            production_engine(server.urls(settings.load()).promoter) as engine,
            engine.begin() as connection,
        ):
            return settle(connection, WIDE, read_metrics(), wanted_phase(), now, quiet_days())
    except DependentError as error:
        return Settled(None, refused=f"bank_kpis.v_monthly_kpis: {error}.")


def _shape() -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(column.name, sql_type(column), description=column.description)
            for column in WIDE.stored_columns
        ]
    )


@dg.multi_asset(
    name="bank_kpis_migrate",
    specs=[
        dg.AssetSpec(
            KEY,
            deps=[production_key(_BY_NAME[name]) for name in _OVER if _BY_NAME[name].publish],
            group_name="bank_kpis_production",
            description="The wide table's columns over the star: `bank_kpis.v_monthly_kpis`. Made"
            " anew where metrics changed, as is everything else that BANK_KPIS_PHASE asks for.",
            owners=[WIDE.owner],
            kinds={"postgres", "view"},
            metadata={
                "dagster/column_schema": _shape(),
                "dagster/table_name": "bank_kpis.v_monthly_kpis",
            },
            tags={"domain": "bank_kpis", "layer": "production"},
        )
    ],
    check_specs=[
        dg.AssetCheckSpec(
            "equals_monthly_kpis",
            asset=KEY,
            description="Cell by cell, and in its columns and types, what the wide table has.",
        ),
        dg.AssetCheckSpec(
            "phase_in_force",
            asset=KEY,
            description="The phase that BANK_KPIS_PHASE asks for is in force.",
        ),
    ],
)
@in_our_words
def migrate(context: dg.AssetExecutionContext) -> Iterator[Any]:
    """Settle, then compare."""
    wanted = wanted_phase()
    settled = settle_production(datetime.now(timezone.utc))
    yield dg.MaterializeResult(
        KEY,
        metadata={
            "phase in force": settled.phase or "none",
            "phase wanted": wanted,
            "done": "; ".join(settled.done) or "nothing",
        },
    )
    yield _equals()
    yield dg.AssetCheckResult(
        asset_key=KEY,
        check_name="phase_in_force",
        passed=not settled.refused,
        severity=dg.AssetCheckSeverity.WARN,
        description=settled.refused or f"{settled.phase} is in force.",
    )


def _equals() -> dg.AssetCheckResult:
    with (
        production_engine(server.urls(settings.load()).promoter) as engine,
        engine.connect() as connection,
    ):
        there = connection.scalar(
            sa.text(
                "select to_regclass('bank_kpis_store.monthly_kpis') is not null"
                " and to_regclass('bank_kpis.v_monthly_kpis') is not null"
            )
        )
        # Once it is no longer written, the wide table is no measure of the view.
        compared = bool(there) and wanted_phase() != "retired"
        cells = differences(connection, WIDE) if compared else []
    return dg.AssetCheckResult(
        asset_key=KEY,
        check_name="equals_monthly_kpis",
        passed=not cells,
        description=_said(cells) if compared else "The wide table is not written any more.",
        metadata={
            "differences": dg.MetadataValue.md(rows_as_markdown([vars(cell) for cell in cells]))
        },
    )


def _said(cells: list[Cell]) -> str:
    if not cells:
        return "No difference."
    return (
        f"They differ, first in {cells[0]}. Materialise monthly_kpis and fact_monthly_kpi of these"
        " months here; what somebody wrote to production by hand equals_warehouse names."
    )


job = dg.define_asset_job(
    JOB,
    selection=dg.AssetSelection.assets(KEY),
    description="Brings production to BANK_KPIS_PHASE, or says why not.",
)
schedule = dg.ScheduleDefinition(
    name=f"{JOB}_nightly",
    job=job,
    # After the night's promotions, which start at 03:00.
    cron_schedule="0 4 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
DEFINITIONS = dg.Definitions(assets=[migrate], jobs=[job], schedules=[schedule])

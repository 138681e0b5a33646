"""The tables that something lands in: workbooks, an older wide table, institutions, metrics.

Belongs here: declarations of what is not computed from other tables.
Does not belong here: how it is read (``sources.py``), what is computed from it (``tables.py``).
"""

from __future__ import annotations

from pathlib import Path

from analytics_assets.core.columns import Column, text
from analytics_assets.core.declaration import Publish, Table
from analytics_assets.core.partitions import MONTHLY
from analytics_assets.core.table_set import TableSet
from analytics_assets.domains.bank_kpis.checks import LEGACY_READABLE, landed_checks
from analytics_assets.domains.bank_kpis.columns import (
    BANK_CODE,
    BANK_NAME,
    INSTITUTION,
    LEVEL,
    METRIC_ID,
)
from analytics_assets.domains.bank_kpis.layouts import LAYOUTS
from analytics_assets.domains.bank_kpis.legacy import LegacySource
from analytics_assets.domains.bank_kpis.metrics import TYPES, Metric
from analytics_assets.domains.bank_kpis.rejected import RejectedSource
from analytics_assets.domains.bank_kpis.sources import InstitutionSource, WorkbookSource
from analytics_assets.landing.reference import ReferenceSource
from analytics_assets.landing.rejected import rejected_table
from analytics_assets.landing.shares import rejected_share


def _landed_columns(values: tuple[str, ...]) -> tuple[Column, ...]:
    return (
        INSTITUTION,
        text("month", "First day of the month that the row is of.", False),
        text("periodo", "Period, as landed."),
        text("fecha", "Date, as landed."),
        text("date_problem", "How the date contradicts the period.", told=True),
        text("institution_problem", "Why the institution cannot be read.", told=True),
        text("unit", "percent or ratio, what the file's numbers are; of ratios."),
        *(text(name, f"{name.replace('_', ' ').capitalize()}, as landed.") for name in values),
        text("source_file", "Workbook that the row came in.", False, told=True),
        text("source_sheet", "Sheet of the workbook.", False, told=True),
        text("source_row", "Row of the sheet.", False, told=True),
        text("unreadable_cells", "Cells that are neither a number nor a word for none.", told=True),
    )


_ABOUT = {
    "cnbv_portfolio": "Credit by stage and segment, and reserves, as the workbooks have them.",
    "cnbv_icap": "Capital adequacy ratios, as the workbooks have them.",
    "cnbv_tda": "Adjusted non-performing ratios (TDA), as the workbooks have them.",
    "cnbv_write_offs": "Write-offs and debt relief, as the workbooks have them.",
}


def add_source_tables(tables: TableSet, metrics_file: Path, metrics: tuple[Metric, ...]) -> Table:
    """Declare all of them, for the metrics of a file; returns the institutions."""
    for name, layout in LAYOUTS.items():
        tables.source(
            name,
            WorkbookSource(name),
            period=MONTHLY,
            columns=_landed_columns(layout.columns),
            unique=("source_file", "source_sheet", "source_row"),
            checks=(*landed_checks(name, layout.columns), rejected_share()),
            description=_ABOUT[name],
        )
    rejected_table(tables, RejectedSource())
    names = ("fecha", "banco_norm", *(metric.metric_code for metric in metrics))
    tables.source(
        "legacy_monthly_kpis",
        LegacySource(names),
        period=MONTHLY,
        columns=(
            text("fecha", "Month, as landed."),
            *(text(name, f"{name}, as landed.") for name in names[1:]),
        ),
        unique=("fecha", "banco_norm"),
        checks=(LEGACY_READABLE,),
        description="An existing wide table to migrate from (LEGACY_KPIS), as it is.",
    )
    institutions = tables.source(
        "institutions",
        InstitutionSource(),
        columns=(INSTITUTION, BANK_CODE, BANK_NAME, LEVEL),
        unique=("institution_code",),
        description="Institutions by code: banks, consolidated banks, groups, the system.",
    )
    tables.source(
        "dim_metric",
        ReferenceSource(metrics_file),
        layer="dimensions",
        columns=(
            METRIC_ID,
            text("metric_code", "Code: imor.", False, told=True),
            text("metric_name", "Name.", False, told=True),
            text("metric_type", "Kind.", False, TYPES),
            text(
                "unit",
                "Unit in which to show it; ratios are stored as 0 to 1, shown in %.",
                told=True,
            ),
            Column("precision", "integer", "Digits to show.", "digits", nullable=False, minimum=0),
            Column("is_active", "boolean", "Offered to readers.", nullable=False),
            text("formula", "SQL over the columns of bank_months.", False),
            text("description", "What it is.", False),
        ),
        unique=("metric_id",),
        publish=Publish(("metric_code",)),
        description="Metrics: a new one is a row here, with its formula.",
    )
    return institutions

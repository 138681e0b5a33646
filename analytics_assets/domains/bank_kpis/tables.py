"""The tables that are computed: months of banks, the wide table, the star and its history.

Belongs here: declarations. Everything else about a table derives from its own.
Does not belong here: what is landed (``source_tables.py``), metrics (``reference/metrics.csv``),
the phases of the migration (``migration.py``).
"""

from __future__ import annotations

from pathlib import Path

from analytics_assets.core import calendar
from analytics_assets.core.columns import Column, text
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Publish, Table
from analytics_assets.core.partitions import MONTHLY
from analytics_assets.core.table_set import TableSet
from analytics_assets.domains.bank_kpis.checks import (
    ADDS_UP,
    KNOWN,
    PLAUSIBLE,
    STATED_TOTAL,
    SYSTEM,
    legacy_agrees,
    star_agrees,
)
from analytics_assets.domains.bank_kpis.columns import (
    BANK_CODE,
    BANK_ID,
    BANK_NAME,
    DATE_ID,
    DATE_OF_ID,
    INSTITUTION,
    LEVEL,
    METRIC_ID,
    MONTH,
    UNLISTED_LEVEL,
)
from analytics_assets.domains.bank_kpis.layouts import (
    LAYOUTS,
    PORTFOLIO,
    SEGMENTS,
    STAGES,
    WRITE_OFFS,
)
from analytics_assets.domains.bank_kpis.metrics import METRICS_FILE, Metric, judge, read_metrics
from analytics_assets.domains.bank_kpis.phases import wanted_phase
from analytics_assets.domains.bank_kpis.source_tables import add_source_tables

_PARTS = {
    "cartera_total": "total",
    **{f"cartera_{segment}": segment for segment in SEGMENTS if segment != "total"},
}


def _typed(names: tuple[str, ...]) -> str:
    return ",\n".join(f"try_cast({n} as decimal(18, 6)) as {n}" for n in names)


def _segment_total(segment: str) -> str:
    """The sum of the stages; where one cannot be read, what the workbook states, or NULL."""
    stages = [f"{segment}_{suffix}" for suffix in STAGES.values()]
    added = " + ".join(f"coalesce({stage}, 0)" for stage in stages)
    stated = "nullif(cartera_total_archivo, 0)" if segment == "total" else "null"
    unread = f"contains(unreadable_cells, ' {segment}_etapa_')"
    reported = f"coalesce({', '.join(stages)}) is not null"
    return f"case when {unread} then {stated}\nwhen {reported} then {added} end"


def _capital(name: str) -> str:
    # Below 1.5 % no bank may work, so such a number among percentages is a ratio.
    ratio = f"capital.unit = 'ratio' or abs({name}) < 1.5"
    return f"cast(case when {ratio} then {name} else {name} / 100 end as decimal(18, 6))"


_RATIO_TEXT = {
    # A whole number of five digits is a date that lost its format, not a ratio.
    name: f"case when not regexp_full_match({name}, '[3-5]\\d{{4}}')"
    f" then try_cast(rtrim({name}, '%') as decimal(18, 6))"
    f" / case when unit = 'ratio' and {name} like '%\\%%' escape '\\' then 100 else 1 end end"
    for name in ("icap", "ccb", "ccf", "tda")
}
_WORDS = {
    "star_keys": "bank_id,\nmetric_id,\nyear(month) * 100 + month(month) as date_id",
    "first_row": """row_number() over (
    partition by institution_code, month order by source_file, cast(source_row as bigint)
) = 1""",
    "portfolio_typed": _typed(PORTFOLIO.columns),
    "portfolio_sizes": ", ".join(f"abs(coalesce({name}, 0))" for name in PORTFOLIO.columns),
    "portfolio_columns": ",\n".join(f"reporting.{name}" for name in PORTFOLIO.columns),
    "write_offs_typed": _typed(WRITE_OFFS.columns),
    "write_offs_columns": ",\n".join(f"write_offs.{name}" for name in WRITE_OFFS.columns),
    "icap_ratio": _capital("icap"),
    "ccb_ratio": _capital("ccb"),
    "ccf_ratio": _capital("ccf"),
    "segment_totals": ",\n".join(
        f"cast({_segment_total(segment)} as decimal(18, 6)) as {name}"
        for name, segment in _PARTS.items()
    ),
    **_RATIO_TEXT,
    "unlisted_level": UNLISTED_LEVEL,
}
_AMOUNTS = (*PORTFOLIO.columns, *WRITE_OFFS.columns, *_PARTS)
_MONTH_COLUMNS = (
    BANK_ID,
    INSTITUTION,
    BANK_CODE,
    LEVEL,
    MONTH,
    *(
        Column(n, "decimal6", f"{n.replace('_', ' ').capitalize()}.", "million MXN")
        for n in _AMOUNTS
    ),
    Column("sistema_cartera_total", "decimal6", "Cartera total of the system.", "million MXN"),
    Column("icap", "decimal6", "Capital adequacy ratio.", "ratio"),
    Column("ccb", "decimal6", "Core capital ratio.", "ratio"),
    Column("ccf", "decimal6", "Fundamental capital ratio.", "ratio"),
    Column("tda", "decimal6", "Adjusted non-performing ratio.", "ratio"),
    text("unreadable_cells", "Cells that could not be read, and so are missing here."),
)


def bank_tables(
    metrics_file: Path = METRICS_FILE, retired: bool | None = None
) -> tuple[Table, ...]:
    """All tables for the metrics of a file; ``retired``: the wide table is not promoted."""
    metrics = read_metrics(metrics_file)
    judge(metrics, {column.name for column in _MONTH_COLUMNS})
    retired = wanted_phase() == "retired" if retired is None else retired
    tables = TableSet(
        "bank_kpis", Path(__file__).parent / "sql", {**_WORDS, **_metric_words(metrics)}
    )
    institutions = add_source_tables(tables, metrics_file, metrics)
    tables.from_sql(
        "bank_months",
        period=MONTHLY,
        layer="facts",
        columns=_MONTH_COLUMNS,
        time_column="month",
        unique=("institution_code", "month"),
        checks=(STATED_TOTAL, SYSTEM, KNOWN),
        goes_without=tuple(LAYOUTS),
        description="Amounts and ratios of an institution and month, typed, from all workbooks.",
    )
    monthly_kpis = tables.from_sql(
        "monthly_kpis",
        period=MONTHLY,
        layer="aggregates",
        columns=(
            Column("fecha", "date", "First day of the month.", nullable=False),
            text("banco_norm", "Short name of the bank, group or system.", False),
            *(metric.column() for metric in metrics),
        ),
        time_column="fecha",
        unique=("banco_norm", "fecha"),
        checks=(ADDS_UP, PLAUSIBLE, legacy_agrees(metrics)),
        publish=None if retired else Publish(("fecha",)),
        description="Metrics by bank and month, a column each: the wide table.",
    )
    tables.from_sql(
        "kpi_versions",
        period=MONTHLY,
        layer="facts",
        columns=(
            BANK_ID,
            METRIC_ID,
            MONTH,
            Column("version", "integer", "1 for the first value.", nullable=False, minimum=1),
            Column("value", "decimal6", "The value; NULL from when there is none any more."),
            Column("recorded_at", "timestamp", "When it was recorded.", nullable=False),
            text("run_id", "The run that recorded it.", False),
        ),
        time_column="month",
        unique=("bank_id", "metric_id", "month", "version"),
        reads_itself=True,
        description="Every value that a metric ever had; only ever added to.",
    )
    tables.from_sql(
        "fact_monthly_kpi",
        period=MONTHLY,
        # Not to compute it: to compare it with.
        also_reads=(monthly_kpis, institutions),
        # Figures of institutions, not records of persons: there is nothing finer to protect.
        layer="aggregates",
        columns=(
            BANK_ID,
            METRIC_ID,
            DATE_ID,
            Column("value", "decimal6", "The value; ratios are 0 to 1.", nullable=False),
            Column("created_at", "timestamp", "When the first value was recorded.", nullable=False),
            Column("updated_at", "timestamp", "When this value was recorded.", nullable=False),
        ),
        time_column=DATE_OF_ID,
        unique=("bank_id", "metric_id", "date_id"),
        checks=(star_agrees(metrics),),
        publish=Publish(("metric_id, date_id, value",)),
        description="One value a bank, metric and month: the star's fact.",
    )
    tables.from_sql(
        "fact_kpi_history",
        period=MONTHLY,
        layer="aggregates",
        columns=(
            BANK_ID,
            METRIC_ID,
            DATE_ID,
            Column("version", "integer", "2 for the first change.", nullable=False, minimum=2),
            Column("old_value", "decimal6", "The value before; NULL where there was none."),
            Column("new_value", "decimal6", "The value since; NULL where there is none any more."),
            Column("changed_at", "timestamp", "When it was recorded.", nullable=False),
            text("run_id", "The run that recorded it.", False),
        ),
        time_column=DATE_OF_ID,
        unique=("bank_id", "metric_id", "date_id", "version"),
        publish=Publish(),
        description="Every change of a value: what it was, what it is, when and by which run.",
    )
    tables.from_sql(
        "dim_bank",
        layer="dimensions",
        columns=(
            BANK_ID,
            BANK_CODE,
            BANK_NAME,
            text(
                "bank_type",
                "individual for a bank, aggregate for all else.",
                False,
                ("individual", "aggregate"),
            ),
            LEVEL,
            INSTITUTION,
            Column("is_active", "boolean", "Reports in the latest month.", nullable=False),
        ),
        unique=("bank_id",),
        publish=Publish(("bank_code",)),
        description="Banks and aggregates of banks.",
    )
    tables.from_sql(
        "dim_date",
        layer="dimensions",
        columns=(
            DATE_ID,
            Column("full_date", "date", "First day of the month.", nullable=False),
            *calendar.quarter().columns,
            calendar.month().columns[1],
            text("month_name", "Name of the month.", False, told=True),
            text("quarter_name", "Name of the quarter: Q4 2018.", False, told=True),
            Column("is_current", "boolean", "The latest month with values.", nullable=False),
        ),
        unique=("date_id",),
        publish=Publish(("full_date",)),
        description="Months from the first to the last with values.",
    )
    return tables.all


def _metric_words(metrics: tuple[Metric, ...]) -> dict[str, str]:
    names = [quoted(metric.metric_code) for metric in metrics]
    return {
        "metric_columns": ",\n".join(
            f"{metric.sql} as {name}" for metric, name in zip(metrics, names, strict=True)
        ),
        "legacy_columns": ",\n".join(
            f"try_cast({name} as decimal(18, 6)) as {name}" for name in names
        ),
        "metric_codes": ", ".join(names),
        "metric_structs": ", ".join(
            f"struct_pack(metric_id := {metric.metric_id}, value := {name})"
            for metric, name in zip(metrics, names, strict=True)
        ),
    }


TABLES = bank_tables()

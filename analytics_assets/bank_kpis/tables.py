"""The tables of the bank domain, one declaration each.

Belongs here: declarations. Everything else about a table derives from its own.
Does not belong here: headers of workbooks (``layouts.py``), metrics (``reference/metrics.csv``),
the phases of the migration (``migration.py``).
"""

from __future__ import annotations

from pathlib import Path

from analytics_assets.bank_kpis.layouts import LAYOUTS, PORTFOLIO, SEGMENTS, STAGES, WRITE_OFFS
from analytics_assets.bank_kpis.metrics import METRICS_FILE, TYPES, Metric, judge, read_metrics
from analytics_assets.bank_kpis.phases import wanted_phase
from analytics_assets.bank_kpis.sources import InstitutionSource, LegacySource, WorkbookSource
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Check, Column, Publish, Table, read_sql
from analytics_assets.core.lineage import tables_in
from analytics_assets.core.partitions import MONTHLY, UNPARTITIONED, Period
from analytics_assets.warehouse.reference import ReferenceSource

LEVELS = ("bank", "consolidated", "group", "system")
# SQL of the month that a number such as 201812 stands for, the same in DuckDB and PostgreSQL.
DATE_OF_ID = (
    "make_date(cast(floor(date_id / 100) as integer), cast(mod(date_id, 100) as integer), 1)"
)
# Amounts are in millions with six decimals; sums of rounded ones differ by less than this.
_CENT = "0.01"

# ---- checks -------------------------------------------------------------------------------------

_MEND = "Look at the rows named here (source_file, source_row), mend the workbook and run again."


def _landed_checks(name: str, values: tuple[str, ...]) -> tuple[Check, ...]:
    listed = ", ".join(f"coalesce({value}, '')" for value in values)
    return (
        Check(
            "dates_agree",
            "A row's date is in its period",
            f"select _partition, institution_code, date_problem, source_file, source_row"
            f" from bank_kpis.{name} where date_problem is not null order by all",
            _MEND,
        ),
        Check(
            "rows_agree",
            "An institution has one set of values a month; the same again is the same",
            f"select _partition, institution_code, count(*) as rows,"
            f" string_agg(distinct source_file, ', ' order by source_file) as source_file,"
            f" string_agg(source_row, ', ' order by cast(source_row as bigint)) as source_row"
            f" from bank_kpis.{name} group by all"
            f" having count(distinct concat_ws('|', {listed})) > 1 order by all",
            "Take the older workbook out of the folder, or the wrong row out of the workbook.",
        ),
        Check(
            "values_readable",
            "Every value is a number or says that there is none",
            f"select _partition, institution_code, unreadable_cells, source_file, source_sheet"
            f" from bank_kpis.{name} where unreadable_cells is not null order by all",
            "These cells count as missing (a spreadsheet may have made dates of them). Mend them"
            " in the workbook and run again.",
            blocking=False,
        ),
    )


_ADDS_UP = Check(
    "segments_add_up",
    "Total = commercial + consumer + housing",
    f"""
select _partition, banco_norm, cartera_total, cartera_comercial_total, cartera_consumo_total,
    cartera_vivienda_total
from bank_kpis.monthly_kpis
where abs(cartera_total - cartera_comercial_total - cartera_consumo_total
    - cartera_vivienda_total) > {_CENT}
order by all""",
    "An amount in the workbook is wrong, or a segment is missing. Mend it and run again.",
)
_STATED_TOTAL = Check(
    "stated_total_agrees",
    "The total that the workbook states is the sum of the stages",
    f"""
select _partition, institution_code, cartera_total_archivo, cartera_total
from bank_kpis.bank_months
where cartera_total_archivo <> 0 and abs(cartera_total_archivo - cartera_total) > {_CENT}
order by all""",
    "The sum of the stages is used. Ask the regulator which is right.",
    blocking=False,
)
_SYSTEM = Check(
    "banks_add_up_to_the_system",
    "The sum of the individual banks is the regulator's own row of the system (5)",
    """
select _partition, sum(cartera_total) filter (where level = 'bank') as banks,
    max(sistema_cartera_total) as system, sum(cartera_total) filter (where level = 'bank')
    - max(sistema_cartera_total) as difference
from bank_kpis.bank_months
group by all
having abs(difference) > 0.0001 * max(sistema_cartera_total)
order by all""",
    "A bank is missing from the workbook, or one is there that the system does not count.",
    blocking=False,
)
_KNOWN = Check(
    "institutions_known",
    "Every institution is in the list of institutions",
    """
select distinct _partition, bank_months.institution_code, bank_months.level
from bank_kpis.bank_months
anti join bank_kpis.institutions using (institution_code)
order by all""",
    "It goes by its code. Put the regulator's Instituciones.xlsx with it into the folder.",
    blocking=False,
)
_PLAUSIBLE = Check(
    "ratios_plausible",
    "IMOR is at most 50 %, ICAP from 8 % to 500 %, of banks that report both",
    """
select _partition, banco_norm, imor, icap from bank_kpis.monthly_kpis
where imor > 0.5 or icap < 0.08 or icap > 5 order by all""",
    "Unusual is not wrong: a bank that closes has such ratios. Compare with the workbook.",
    blocking=False,
)
_LEGACY_AGREES = Check(
    "legacy_agrees",
    "The table that is migrated from has the values that the workbooks give",
    "",
    "The workbooks' values are used. If all differ alike, the older table has other units: ratios"
    " are 0 to 1 here, amounts millions.",
    blocking=False,
)
_LEGACY_READABLE = Check(
    "legacy_rows_readable",
    "Dates are the first of a month, banks are known by banco_norm",
    """
select _partition, fecha, banco_norm from bank_kpis.legacy_monthly_kpis
where try_cast(fecha as date) is null or day(try_cast(fecha as date)) <> 1 or banco_norm is null
order by all""",
    "Mend these rows in the older table.",
)


def _legacy_agrees(metrics: tuple[Metric, ...]) -> Check:
    differ = " or ".join(
        f"abs(l.{m.metric_code}_then - w.{m.metric_code})"
        f" > 0.00011 * greatest(1, abs(w.{m.metric_code}))"
        for m in metrics
    )
    then = ", ".join(
        f"try_cast({m.metric_code} as decimal(18, 6)) as {m.metric_code}_then" for m in metrics
    )
    return Check(
        _LEGACY_AGREES.name,
        _LEGACY_AGREES.description,
        f"""
with legacy as (
    select cast(fecha as date) as fecha, banco_norm, {then} from bank_kpis.legacy_monthly_kpis
)
select w._partition, w.banco_norm, w.fecha, l.* exclude (fecha, banco_norm)
from bank_kpis.monthly_kpis as w join legacy as l using (fecha, banco_norm)
where {differ}
order by all""",
        _LEGACY_AGREES.advice,
        blocking=False,
    )


def _star_agrees(metrics: tuple[Metric, ...]) -> Check:
    structs = ", ".join(
        f"{{'metric_id': {m.metric_id}, 'value': {quoted(m.metric_code)}}}" for m in metrics
    )
    return Check(
        "equals_wide_table",
        "Cell by cell, the star has what the wide table has",
        f"""
with banks as (
    select bank_code, cast(institution_code as integer) as bank_id from bank_kpis.institutions
),
cells as (
    select coalesce(bank_id, try_cast(banco_norm as integer)) as bank_id, fecha,
        unnest([{structs}]) as cell
    from bank_kpis.monthly_kpis
    left join banks on bank_code = banco_norm
),
wide as (
    select bank_id, cell.metric_id as metric_id, year(fecha) * 100 + month(fecha) as date_id,
        cell.value as value
    from cells where cell.value is not null
)
select strftime({DATE_OF_ID}, '%Y-%m') as _partition, bank_id, metric_id, date_id,
    wide.value as wide_table, star.value as star
from wide
full join bank_kpis.fact_monthly_kpi as star using (bank_id, metric_id, date_id)
where wide.value is distinct from star.value
order by all""",
        "Both are computed from bank_months: compare the metric's formula with what the star has.",
    )


# ---- columns ------------------------------------------------------------------------------------

_BANK_ID = Column("bank_id", "integer", "Bank: the institution's code as a number.", nullable=False)
_METRIC_ID = Column("metric_id", "integer", "Metric, of dim_metric.", nullable=False)
_DATE_ID = Column("date_id", "integer", "Month as a number: 201812.", nullable=False)
_INSTITUTION = Column(
    "institution_code", "text", "The regulator's code: 040059 a bank, 5 the system.", nullable=False
)
_MONTH = Column("month", "date", "First day of the month.", nullable=False)
_BANK_CODE = Column("bank_code", "text", "Short name: INVEX, SISTEMA.", nullable=False)
_BANK_NAME = Column("bank_name", "text", "Name, as the regulator writes it.", nullable=False)
_LEVEL = Column(
    "level",
    "text",
    "bank; consolidated with its subsidiaries; group or system, which hold banks and are never"
    " added to them.",
    nullable=False,
    values=LEVELS,
)


def _text(name: str, description: str, nullable: bool = True) -> Column:
    return Column(name, "text", description, nullable=nullable)


def _landed_columns(values: tuple[str, ...]) -> tuple[Column, ...]:
    return (
        _INSTITUTION,
        _text("month", "First day of the month that the row is of.", False),
        _text("periodo", "Period, as landed."),
        _text("fecha", "Date, as landed."),
        _text("date_problem", "How the date contradicts the period."),
        *(_text(name, f"{name.replace('_', ' ').capitalize()}, as landed.") for name in values),
        _text("source_file", "Workbook that the row came in.", False),
        _text("source_sheet", "Sheet of the workbook.", False),
        _text("source_row", "Row of the sheet.", False),
        _text("unreadable_cells", "Cells that are neither a number nor a word for none."),
    )


_ABOUT = {
    "cnbv_portfolio": "Credit by stage and segment, and reserves, as the workbooks have them.",
    "cnbv_icap": "Capital adequacy ratios, as the workbooks have them.",
    "cnbv_tda": "Adjusted non-performing ratios (TDA), as the workbooks have them.",
    "cnbv_write_offs": "Write-offs and debt relief, as the workbooks have them.",
}


def _raw(name: str) -> Table:
    values = LAYOUTS[name].columns
    return Table(
        f"bank_kpis/{name}",
        layer="sources",
        period=MONTHLY,
        columns=_landed_columns(values),
        source=WorkbookSource(name),
        unique=("source_file", "source_sheet", "source_row"),
        checks=_landed_checks(name, values),
        description=_ABOUT[name],
    )


# ---- SQL ----------------------------------------------------------------------------------------

_PARTS = {
    "cartera_total": "total",
    **{f"cartera_{segment}": segment for segment in SEGMENTS if segment != "total"},
}


def _typed(names: tuple[str, ...]) -> str:
    return ",\n        ".join(f"try_cast({n} as decimal(18, 6)) as {n}" for n in names)


def _segment_total(segment: str) -> str:
    stages = [f"{segment}_{suffix}" for suffix in STAGES.values()]
    added = " + ".join(f"coalesce({stage}, 0)" for stage in stages)
    return f"case when coalesce({', '.join(stages)}) is not null then {added} end"


def _capital(name: str) -> str:
    # Below 1.5 % no bank may work, so such a number among percentages is a ratio.
    ratio = f"capital.month_is_ratio or abs({name}) < 1.5"
    return f"cast(case when {ratio} then {name} else {name} / 100 end as decimal(18, 6))"


_ratio_text = {
    # A whole number of five digits is a date that lost its format, not a ratio.
    name: f"case when not regexp_full_match({name}, '[3-5]\\d{{4}}')"
    f" then try_cast({name} as decimal(18, 6)) end"
    for name in ("icap", "ccb", "ccf", "tda")
}
_WORDS = {
    "portfolio_typed": _typed(PORTFOLIO.columns),
    "portfolio_sizes": ", ".join(f"abs(coalesce({name}, 0))" for name in PORTFOLIO.columns),
    "portfolio_columns": ",\n        ".join(f"reporting.{name}" for name in PORTFOLIO.columns),
    "write_offs_typed": _typed(WRITE_OFFS.columns),
    "write_offs_columns": ",\n        ".join(f"write_offs.{name}" for name in WRITE_OFFS.columns),
    "icap_ratio": _capital("icap"),
    "ccb_ratio": _capital("ccb"),
    "ccf_ratio": _capital("ccf"),
    "segment_totals": ",\n        ".join(
        f"cast({_segment_total(segment)} as decimal(18, 6)) as {name}"
        for name, segment in _PARTS.items()
    ),
    **_ratio_text,
}
_AMOUNTS = (*PORTFOLIO.columns, *WRITE_OFFS.columns, *_PARTS)
_MONTH_COLUMNS = (
    _BANK_ID,
    _INSTITUTION,
    _BANK_CODE,
    _LEVEL,
    _MONTH,
    *(
        Column(n, "decimal6", f"{n.replace('_', ' ').capitalize()}.", "million MXN")
        for n in _AMOUNTS
    ),
    Column("sistema_cartera_total", "decimal6", "Cartera total of the system.", "million MXN"),
    Column("icap", "decimal6", "Capital adequacy ratio.", "ratio"),
    Column("ccb", "decimal6", "Core capital ratio.", "ratio"),
    Column("ccf", "decimal6", "Fundamental capital ratio.", "ratio"),
    Column("tda", "decimal6", "Adjusted non-performing ratio.", "ratio"),
    _text("unreadable_cells", "Cells that could not be read, and so are missing here."),
)


def bank_tables(
    metrics_file: Path = METRICS_FILE, retired: bool | None = None
) -> tuple[Table, ...]:
    """All tables for the metrics of a file; ``retired``: the wide table is not promoted."""
    metrics = read_metrics(metrics_file)
    judge(metrics, {column.name for column in _MONTH_COLUMNS})
    retired = wanted_phase() == "retired" if retired is None else retired
    codes = tuple(metric.metric_code for metric in metrics)
    legacy_columns = ("fecha", "banco_norm", *codes)
    known: dict[str, Table] = {}

    def add(table: Table) -> Table:
        known[table.sql_name] = table
        return table

    def from_sql(name: str, period: Period, also: tuple[str, ...] = (), **declared) -> Table:
        sql = read_sql(
            Path(__file__).parent / "sql" / f"{name}.sql", {**_WORDS, **_metric_words(metrics)}
        )
        read = sorted((tables_in(sql) | set(also)) - {f"bank_kpis.{name}"})
        return add(
            Table(
                f"bank_kpis/{name}",
                sql=sql,
                reads=tuple(known[other] for other in read),
                period=period,
                **declared,
            )
        )

    for name in LAYOUTS:
        add(_raw(name))
    add(
        Table(
            "bank_kpis/legacy_monthly_kpis",
            layer="sources",
            period=MONTHLY,
            columns=(
                _text("fecha", "Month, as landed."),
                *(_text(name, f"{name}, as landed.") for name in legacy_columns[1:]),
            ),
            source=LegacySource(legacy_columns),
            unique=("fecha", "banco_norm"),
            checks=(_LEGACY_READABLE,),
            description="An existing wide table to migrate from (LEGACY_KPIS), as it is.",
        )
    )
    add(
        Table(
            "bank_kpis/institutions",
            layer="sources",
            columns=(_INSTITUTION, _BANK_CODE, _BANK_NAME, _LEVEL),
            source=InstitutionSource(),
            unique=("institution_code",),
            description="Institutions by code: banks, consolidated banks, groups, the system.",
        )
    )
    add(_dim_metric(metrics_file))
    from_sql(
        "bank_months",
        MONTHLY,
        layer="facts",
        columns=_MONTH_COLUMNS,
        time_column="month",
        unique=("institution_code", "month"),
        checks=(_STATED_TOTAL, _SYSTEM, _KNOWN),
        description="Amounts and ratios of an institution and month, typed, from all workbooks.",
    )
    from_sql(
        "monthly_kpis",
        MONTHLY,
        layer="aggregates",
        columns=(
            Column("fecha", "date", "First day of the month.", nullable=False),
            _text("banco_norm", "Short name of the bank, group or system.", False),
            *(metric.column() for metric in metrics),
        ),
        time_column="fecha",
        unique=("banco_norm", "fecha"),
        checks=(_ADDS_UP, _PLAUSIBLE, _legacy_agrees(metrics)),
        publish=None if retired else Publish(("fecha",)),
        description="Metrics by bank and month, a column each: the wide table.",
    )
    from_sql(
        "kpi_versions",
        MONTHLY,
        layer="facts",
        columns=(
            _BANK_ID,
            _METRIC_ID,
            _MONTH,
            Column("version", "integer", "1 for the first value.", nullable=False, minimum=1),
            Column("value", "decimal6", "The value; NULL from when there is none any more."),
            Column("recorded_at", "timestamp", "When it was recorded.", nullable=False),
            _text("run_id", "The run that recorded it.", False),
        ),
        time_column="month",
        unique=("bank_id", "metric_id", "month", "version"),
        reads_itself=True,
        description="Every value that a metric ever had; only ever added to.",
    )
    from_sql(
        "fact_monthly_kpi",
        MONTHLY,
        also=("bank_kpis.monthly_kpis", "bank_kpis.institutions"),
        # Figures of institutions, not records of persons: there is nothing finer to protect.
        layer="aggregates",
        columns=(
            _BANK_ID,
            _METRIC_ID,
            _DATE_ID,
            Column("value", "decimal6", "The value; ratios are 0 to 1.", nullable=False),
            Column("created_at", "timestamp", "When the first value was recorded.", nullable=False),
            Column("updated_at", "timestamp", "When this value was recorded.", nullable=False),
        ),
        time_column=DATE_OF_ID,
        unique=("bank_id", "metric_id", "date_id"),
        checks=(_star_agrees(metrics),),
        publish=Publish(("metric_id, date_id, value",)),
        description="One value a bank, metric and month: the star's fact.",
    )
    from_sql(
        "fact_kpi_history",
        MONTHLY,
        layer="aggregates",
        columns=(
            _BANK_ID,
            _METRIC_ID,
            _DATE_ID,
            Column("version", "integer", "2 for the first change.", nullable=False, minimum=2),
            Column("old_value", "decimal6", "The value before; NULL where there was none."),
            Column("new_value", "decimal6", "The value since; NULL where there is none any more."),
            Column("changed_at", "timestamp", "When it was recorded.", nullable=False),
            _text("run_id", "The run that recorded it.", False),
        ),
        time_column=DATE_OF_ID,
        unique=("bank_id", "metric_id", "date_id", "version"),
        publish=Publish(),
        description="Every change of a value: what it was, what it is, when and by which run.",
    )
    from_sql(
        "dim_bank",
        UNPARTITIONED,
        layer="dimensions",
        columns=(
            _BANK_ID,
            _BANK_CODE,
            _BANK_NAME,
            Column(
                "bank_type",
                "text",
                "individual for a bank, aggregate for all else.",
                nullable=False,
                values=("individual", "aggregate"),
            ),
            _LEVEL,
            _INSTITUTION,
            Column("is_active", "boolean", "Reports in the latest month.", nullable=False),
        ),
        unique=("bank_id",),
        publish=Publish(("bank_code",)),
        description="Banks and aggregates of banks.",
    )
    from_sql(
        "dim_date",
        UNPARTITIONED,
        layer="dimensions",
        columns=(
            _DATE_ID,
            Column("full_date", "date", "First day of the month.", nullable=False),
            Column("year", "integer", "Year.", "year", nullable=False),
            Column("quarter", "integer", "Quarter.", nullable=False, minimum=1, maximum=4),
            Column("month", "integer", "Month.", nullable=False, minimum=1, maximum=12),
            _text("month_name", "Name of the month.", False),
            _text("quarter_name", "Name of the quarter: Q4 2018.", False),
            Column("is_current", "boolean", "The latest month with values.", nullable=False),
        ),
        unique=("date_id",),
        publish=Publish(("full_date",)),
        description="Months from the first to the last with values.",
    )
    return tuple(known.values())


def _metric_words(metrics: tuple[Metric, ...]) -> dict[str, str]:
    names = [quoted(metric.metric_code) for metric in metrics]
    return {
        "metric_columns": ",\n        ".join(
            f"{metric.sql} as {name}" for metric, name in zip(metrics, names, strict=True)
        ),
        "legacy_columns": ",\n        ".join(
            f"try_cast({name} as decimal(18, 6)) as {name}" for name in names
        ),
        "metric_codes": ", ".join(names),
        "metric_structs": ", ".join(
            f"struct_pack(metric_id := {metric.metric_id}, value := {name})"
            for metric, name in zip(metrics, names, strict=True)
        ),
    }


def _dim_metric(metrics_file: Path) -> Table:
    return Table(
        "bank_kpis/dim_metric",
        layer="dimensions",
        columns=(
            _METRIC_ID,
            _text("metric_code", "Code: imor.", False),
            _text("metric_name", "Name.", False),
            Column(
                "metric_type",
                "text",
                "Kind.",
                nullable=False,
                values=TYPES,
            ),
            _text("unit", "Unit in which to show it; ratios are stored as 0 to 1, shown in %."),
            Column("precision", "integer", "Digits to show.", "digits", nullable=False, minimum=0),
            Column("is_active", "boolean", "Offered to readers.", nullable=False),
            _text("formula", "SQL over the columns of bank_months.", False),
            _text("description", "What it is.", False),
        ),
        unique=("metric_id",),
        source=ReferenceSource(metrics_file),
        publish=Publish(("metric_code",)),
        description="Metrics: a new one is a row here, with its formula.",
    )


TABLES: tuple[Table, ...] = bank_tables()

"""The checks of the bank tables, beside those that every table gets.

Belongs here: what has to hold among amounts, dates and tables, as the rows that break it.
Does not belong here: which table has which check (``source_tables.py``, ``tables.py``).
"""

from __future__ import annotations

from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Check
from analytics_assets.domains.bank_kpis.columns import DATE_OF_ID
from analytics_assets.domains.bank_kpis.metrics import Metric
from analytics_assets.landing.readable import values_still_readable

# Amounts are in millions with six decimals; sums of rounded ones differ by less than this.
_CENT = "0.01"
_MEND = "Look at the rows named here (source_file, source_row), mend the workbook and run again."


def landed_checks(name: str, values: tuple[str, ...]) -> tuple[Check, ...]:
    """Of the rows of one kind of workbook, with these columns of values."""
    listed = ", ".join(f"coalesce({value}, '')" for value in values)
    return (
        Check(
            "dates_agree",
            "A row's date is in its period",
            "select _partition, institution_code, date_problem, source_file, source_sheet,"
            f" source_row from bank_kpis.{name} where date_problem is not null order by all",
            _MEND,
        ),
        Check(
            "institutions_readable",
            "Every row says which institution it is of",
            "select _partition, institution_problem, source_file, source_sheet, source_row"
            f" from bank_kpis.{name} where institution_problem is not null order by all",
            "Write the regulator's code: 040059, or 040059 and the name.",
        ),
        Check(
            "rows_agree",
            "An institution has one set of values a month; the same again is the same",
            f"select _partition, institution_code, count(*) as rows,"
            f" string_agg(distinct source_file, ', ' order by source_file) as source_file,"
            " string_agg(distinct source_sheet, ', ' order by source_sheet) as source_sheet,"
            f" string_agg(source_row, ', ' order by cast(source_row as bigint)) as source_row"
            f" from bank_kpis.{name} group by all"
            f" having count(distinct concat_ws('|', {listed})) > 1 order by all",
            "Take the older workbook out of the folder, or the wrong row out of the workbook.",
            at_fault="_broken.institution_code = _row.institution_code",
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
        values_still_readable(
            {
                value: f"coalesce(contains(unreadable_cells, ' {value} = '), false)"
                for value in values
            },
            key=("institution_code",),
        ),
    )


ADDS_UP = Check(
    "segments_add_up",
    "Total = commercial + consumer + housing",
    f"""
select _partition, banco_norm, fecha, cartera_total, cartera_comercial_total,
    cartera_consumo_total, cartera_vivienda_total
from bank_kpis.monthly_kpis
where abs(cartera_total - cartera_comercial_total - cartera_consumo_total
    - cartera_vivienda_total) > {_CENT}
order by all""",
    "An amount in the workbook is wrong, or a segment is missing. Mend it and run again.",
)
STATED_TOTAL = Check(
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
SYSTEM = Check(
    "banks_add_up_to_the_system",
    "The sum of the individual banks is the regulator's own row of the system (5)",
    """
select _partition, sum(cartera_total) filter (where level = 'bank') as banks,
    max(cartera_total) filter (where institution_code = '5') as system, banks - system as difference
from bank_kpis.bank_months
group by all
having system is not null and coalesce(abs(difference) > 0.0001 * system, true)
order by all""",
    "A bank is missing from the workbook, or one is there that the system does not count.",
    blocking=False,
)
KNOWN = Check(
    "institutions_known",
    "Every institution is in the list of institutions",
    """
select distinct _partition, bank_months.institution_code, bank_months.level
from bank_kpis.bank_months
anti join bank_kpis.institutions using (institution_code)
order by all""",
    "It goes by its code, as no list and no workbook in the folder names it. Add its code and name"
    " to Instituciones.xlsx there.",
    blocking=False,
)
PLAUSIBLE = Check(
    "ratios_plausible",
    "IMOR is at most 50 %, ICAP from 8 % to 500 %, of banks that report both",
    """
select _partition, banco_norm, imor, icap from bank_kpis.monthly_kpis
where imor is not null and icap is not null and (imor > 0.5 or icap < 0.08 or icap > 5)
order by all""",
    "Unusual is not wrong: a bank that closes has such ratios. Compare with the workbook.",
    blocking=False,
)
LEGACY_READABLE = Check(
    "legacy_rows_readable",
    "Dates are the first of a month, banks are known by banco_norm",
    """
select _partition, fecha, banco_norm from bank_kpis.legacy_monthly_kpis
where try_cast(fecha as date) is null or day(try_cast(fecha as date)) <> 1 or banco_norm is null
order by all""",
    "Mend these rows in the older table.",
)


def legacy_agrees(metrics: tuple[Metric, ...]) -> Check:
    """Of the wide table, beside the one that is migrated from."""
    differ = " or ".join(
        f"abs(l.{m.metric_code}_then - w.{m.metric_code})"
        f" > 0.00011 * greatest(1, abs(w.{m.metric_code}))"
        for m in metrics
    )
    then = ", ".join(
        f"try_cast({m.metric_code} as decimal(18, 6)) as {m.metric_code}_then" for m in metrics
    )
    return Check(
        "legacy_agrees",
        "The table that is migrated from has the values that the workbooks give",
        f"""
with legacy as (
    select cast(fecha as date) as fecha, banco_norm, {then} from bank_kpis.legacy_monthly_kpis
)
select w._partition, w.banco_norm, w.fecha, l.* exclude (fecha, banco_norm)
from bank_kpis.monthly_kpis as w join legacy as l using (fecha, banco_norm)
where {differ}
order by all""",
        "The workbooks' values are used. If all differ alike, the older table has other units:"
        " ratios are 0 to 1 here, amounts millions.",
        blocking=False,
    )


def star_agrees(metrics: tuple[Metric, ...]) -> Check:
    """Of the star, beside the wide table."""
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

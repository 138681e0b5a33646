"""The checks of what could be read of births, beside those that every table gets.

Belongs here: how many values may be unreadable, and which not at all.
Does not belong here: which text is a value (``columns.py``), rejected records (``rejected.py``).
"""

from __future__ import annotations

from analytics_assets.core.declaration import Check
from analytics_assets.domains.births.columns import SOURCE_COLUMNS
from analytics_assets.landing.readable import values_still_readable
from analytics_assets.warehouse.session import literal

# Shares of unreadable values above this say that a file has other columns or codes than it should.
MAX_UNREADABLE_SHARE = 0.05

READABLE = Check(
    "values_readable",
    f"At most {MAX_UNREADABLE_SHARE:.0%} of a column's values are outside its code book",
    sql=f"""
with named as (
    select _partition, unnest(string_split(unreadable_columns, ',')) as column_name, birth_id
    from births.fact_births
    where unreadable_columns is not null
),
counted as (
    select _partition, column_name, count(*) as unreadable, min(birth_id) as first_record,
        max(birth_id) as last_record
    from named group by all
),
births as (select _partition, count(*) as births from births.fact_births group by all)
select counted.*, births.births, round(100.0 * unreadable / births, 1) as percent,
    concat(column_name, ': ', unreadable, ' of ', births) as said
from counted join births using (_partition)
where unreadable > 2 and unreadable > {MAX_UNREADABLE_SHARE} * births
order by all""",
    advice="Look at these records in births.raw_births (source_file, source_row): the file may have"
    " shifted columns, other codes or another layout. Mend the file and run again.",
    at_fault="list_contains(string_split(_row.unreadable_columns, ','), _broken.column_name)",
    told="said",
    shows=("column_name", "first_record", "last_record"),
)
# No number of a record is its own, so its values are counted: a later file has other rows.
STILL_READABLE = values_still_readable(
    {
        column.name: "contains(concat(',', unreadable_columns, ','),"
        f" {literal(f',{column.name},')})"
        for column in SOURCE_COLUMNS
    },
    example="birth_id",
    anywhere="unreadable_columns is not null",
)

"""Records that are no births of their file's year: the reasons, and how many each file has.

Belongs here: SQL over ``raw_births``, where they lie beside the others.
Does not belong here: which share of them is too many (``landing/shares.py``).
"""

from __future__ import annotations

from analytics_assets.domains.births.dates import date_sql

BIRTH_DATE = date_sql("DTNASC")
# NULL for a birth of its file's year. No date is told: it is a person's.
REASON = f"""case
    when unreadable_line is not null then 'line cannot be split into columns'
    when DTNASC is null then 'no date of birth'
    when {BIRTH_DATE} is null then 'date of birth cannot be read'
    when year({BIRTH_DATE}) <> source_year then 'date of birth outside the file''s year'
end"""
# What the advice of the check, which is of every source, cannot say.
_TO_DO = "if(reason like '%year', ' (a file of several years has to be split by year)', '')"


def counts(rows: str) -> str:
    """What became of the records of each file among ``rows``, as ``rejected_share`` wants it."""
    return f"""
select _partition, file, sum(records) as offered, sum(records) filter (where reason is not null) as
    rejected, arg_max(reason || {_TO_DO}, records) filter (where reason is not null) as reason,
    arg_max(first_row, records) filter (where reason is not null) as first_row
from (
    select cast(source_year as varchar) as _partition, source_file as file, {REASON} as reason,
        count(*) as records, min(abs(source_row)) as first_row
    from {rows} group by all
) group by all"""


# Whose date of birth could be read before.
LOSSES = """
select _partition, sent.file, sent.reason, sent.first_row,
    least(live.landed - sent.landed, sent.rejected - live.rejected) as times
from ({}) as sent join ({}) as live using (_partition)""".format(
    *(
        "select _partition, sum(offered) - sum(coalesce(rejected, 0)) as landed,"
        " sum(coalesce(rejected, 0)) as rejected, arg_max(file, rejected) as file,"
        f" arg_max(reason, rejected) as reason, arg_max(first_row, rejected) as first_row"
        f" from ({counts(rows)}) group by all"
        for rows in ("_sent", "_live")
    )
)

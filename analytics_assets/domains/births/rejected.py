"""Records that are no births of their file's year.

Belongs here: the reasons, how many of them a file may have, and the check that warns of a few.
Does not belong here: reading a file (``readers.py``).
"""

from __future__ import annotations

from typing import Any

from analytics_assets.core.declaration import Check
from analytics_assets.core.source import SourceError
from analytics_assets.domains.births.dates import date_sql
from analytics_assets.domains.births.landing import LandedFile

# A larger share of a file says that it is not what its name says; a few always pass.
MAX_REJECTED_SHARE = 0.05
MAX_REJECTED_FEW = 2
WARNED_SHARE = 0.005

UNSPLIT = "line cannot be split into columns"
NO_DATE = "no date of birth"
UNREADABLE = "date of birth cannot be read"
OTHER_YEAR = "date of birth outside the file's year"
BIRTH_DATE = date_sql("DTNASC")
# Of a record of ``raw_births``; NULL for a birth of its year.
REASON = f"""case
    when unreadable_line is not null then '{UNSPLIT}'
    when DTNASC is null then '{NO_DATE}'
    when {BIRTH_DATE} is null then '{UNREADABLE}'
    when year({BIRTH_DATE}) <> source_year then '{OTHER_YEAR.replace("'", "''")}'
end"""
_TO_DO = {
    UNSPLIT: "Look for another delimiter or lost quotes, or fetch the file again",
    NO_DATE: "Look whether its columns have shifted, and fetch it again",
    UNREADABLE: "Write DTNASC as DDMMYYYY or YYYY-MM-DD, or fetch the file again",
    OTHER_YEAR: "Name it after the year it holds; a file of several years has to be split by year",
}


def refuse_rejected(session: Any, select: str, file: LandedFile, rows: int, rejected: int) -> None:
    """``SourceError`` where too many of a file's rows are rejected, with what they have in common.

    No date is shown: it is a person's. Of one that cannot be read its form is, 9 for any digit.
    """
    if rejected < rows and rejected <= max(MAX_REJECTED_FEW, MAX_REJECTED_SHARE * rows):
        return
    found = session.execute(
        f"select {REASON} as reason, count(*) as records, min_by(case"
        " when unreadable_line is not null then"
        " concat('first ', split_part(unreadable_line, '): ', 1), ')')"
        " when DTNASC is null then concat('first in row ', source_row)"
        f" else concat('such as ', coalesce(cast(year({BIRTH_DATE}) as varchar),"
        " left(regexp_replace(DTNASC, '[0-9]', '9', 'g'), 20))) end, abs(source_row))"
        f" from ({select}) where reason is not null group by 1 order by records desc, 1"
    ).fetchall()
    told = "; ".join(f"{reason}: {count:,}, {example}" for reason, count, example in found)
    raise SourceError(
        f"{rejected:,} of its {rows:,} records are no births of {file.year} ({told})",
        str(file.path),
        _TO_DO[found[0][0]],
    )


REJECTED_SHARE = Check(
    "rejected_share",
    f"Every record is a birth of its file's year, but for {WARNED_SHARE:.1%} of a file",
    f"""
with judged as (
    select source_year, source_file, {REASON} as reason from births.raw_births
),
counted as (select source_year, source_file, reason, count(*) as records from judged group by all),
offered as (
    select source_file, sum(records) as offered,
        sum(records) filter (where reason is not null) as rejected
    from counted group by all
)
select cast(source_year as varchar) as _partition, source_file, reason, records, offered,
    concat(source_file, ': ', records, ' of ', offered, ', ', reason) as said
from counted join offered using (source_file)
where reason is not null and rejected > {WARNED_SHARE} * offered
order by all""",
    advice="They are in births.rejected_births. Mend them, or fetch the file again.",
    blocking=False,
    told="said",
)

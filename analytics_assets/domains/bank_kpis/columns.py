"""Columns that several of the bank tables share.

Belongs here: each of them once.
Does not belong here: the tables (``source_tables.py``, ``tables.py``).
"""

from __future__ import annotations

from analytics_assets.core.columns import Column, text

LEVELS = ("bank", "consolidated", "group", "system")
# The regulator's codes of single banks with their subsidiaries; other codes but those of banks, 04,
# are groups.
CONSOLIDATED = range(80, 200)
# SQL of the level of an institution that no list has, as ``level_of`` says it.
UNLISTED_LEVEL = f"""case when totals.institution_code like '04%' then 'bank'
when cast(totals.institution_code as integer) between {CONSOLIDATED[0]} and {CONSOLIDATED[-1]}
    then 'consolidated' else 'group' end"""
# SQL of the month that a number such as 201812 stands for, the same in DuckDB and PostgreSQL.
DATE_OF_ID = (
    "make_date(cast(floor(date_id / 100) as integer), cast(mod(date_id, 100) as integer), 1)"
)

BANK_ID = Column("bank_id", "integer", "Bank: the institution's code as a number.", nullable=False)
METRIC_ID = Column("metric_id", "integer", "Metric, of dim_metric.", nullable=False)
DATE_ID = Column("date_id", "integer", "Month as a number: 201812.", nullable=False)
INSTITUTION = text(
    "institution_code", "The regulator's code: 040059 a bank, 5 the system.", False, told=True
)
MONTH = Column("month", "date", "First day of the month.", nullable=False)
BANK_CODE = text("bank_code", "Short name: INVEX, SISTEMA.", False)
BANK_NAME = text("bank_name", "Name, as the regulator writes it.", False)
LEVEL = Column(
    "level",
    "text",
    "bank; consolidated with its subsidiaries; group or system, which hold banks and are never"
    " added to them.",
    nullable=False,
    values=LEVELS,
)


def level_of(code: str) -> str:
    """The level of an institution that the shipped list does not know."""
    if code.startswith("04"):
        return "bank"
    return "consolidated" if int(code) in CONSOLIDATED else "group"

"""How far promoted tables are behind and which checks fail, for readers, who see no warehouse.

Belongs here: keeping the last answer in production.
Does not belong here: finding it (``automation/staleness.py``), or judging it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from analytics_assets.production import records


@dataclass(frozen=True)
class Late:
    """Partitions of a promoted table that are behind, and since when; ``None`` for none.

    ``unaudited``: the rule, newer than they are, that rows of it fail.
    """

    table: str
    since: datetime | None
    partitions: int
    unaudited: str = ""


@dataclass(frozen=True)
class Failing:
    """A check that failed when it was last made: of which asset, and what may be said of it.

    ``keys``: of some of the rows that break it.
    """

    asset: str
    check_name: str
    holds_back: bool
    partitions: int
    what: str
    keys: list[str]
    made_at: datetime


def tell_readers(
    connection: sa.Connection,
    found: Iterable[Late],
    as_of: datetime,
    failing: Iterable[Failing] = (),
) -> None:
    """Replace the last answer; does nothing before the first promotion."""
    if not records.there(connection):
        return
    records.complete(connection)
    rows = [
        {
            "table_name": late.table,
            "since": late.since,
            "partitions": late.partitions,
            "looked_at": as_of,
            "unaudited": late.unaudited or None,
        }
        for late in found
    ]
    checks = [vars(check) for check in failing]
    for table, told in ((records.behind, rows), (records.failing, checks)):
        connection.execute(sa.delete(table))
        if told:
            connection.execute(sa.insert(table), told)

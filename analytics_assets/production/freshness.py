"""How far promoted tables are behind, for readers, who cannot see the warehouse.

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


def tell_readers(connection: sa.Connection, found: Iterable[Late], as_of: datetime) -> None:
    """Replace the last answer; does nothing before the first promotion."""
    if not records.there(connection):
        return
    records.complete(connection)
    connection.execute(sa.delete(records.behind))
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
    if rows:
        connection.execute(sa.insert(records.behind), rows)

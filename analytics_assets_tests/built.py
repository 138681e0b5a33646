"""Protected tables in one DuckDB session, without a lake: the rows are the same, and it is fast."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import numpy as np

from analytics_assets.core.contracts import sql_type
from analytics_assets.core.declaration import Table
from analytics_assets.core.rollups import build_sql
from analytics_assets_tests.reader import Knowledge, Published


class Built:
    """All of ``tables``, empty at first; ``given`` are those that nothing here computes."""

    def __init__(self, tables: Sequence[Table], given: Sequence[str]) -> None:
        self.session = duckdb.connect()
        self.session.execute(f"create schema {tables[0].domain}")
        self._computed = [table for table in tables if table.name not in given]
        for table in tables:
            columns = ", ".join(f"{c.name} {sql_type(c)}" for c in table.stored_columns)
            # The lake adds its partition to what is read.
            more = ", _partition varchar" if table in self._computed else ""
            self.session.execute(f"create table {table.sql_name} ({columns}{more})")

    def build(self) -> None:
        """Compute the others anew; a table that reads itself sees what it was."""
        for table in self._computed:
            self.session.execute(
                "create or replace temp table built as"
                f" select *, {table.partition_sql} as _partition from ({build_sql(table)})"
            )
            self.session.execute(f"delete from {table.sql_name}")
            self.session.execute(f"insert into {table.sql_name} by name select * from built")

    def exact(self, known: Knowledge) -> Published:
        return Published(known, lambda query: self.session.execute(query).fetchall())

    def public(self, known: Knowledge) -> Published:
        return Published(known, lambda query: self.session.execute(f"{query}_public").fetchall())

    def failed(self) -> list[str]:
        """The checks that find something."""
        checks = [check for table in self._computed for check in table.checks]
        return [check.name for check in checks if self.session.execute(check.sql).fetchall()]


def held(known: Knowledge, before: Published, after: Published, k: int) -> bool:
    """Whether a release waits: it would change what is shown by a few, or show what was not."""
    counts = np.array([column not in known.ranges for column in known.columns])
    for name, was in before.cells.items():
        now = after.cells.get(name)
        if now is not None:
            change = np.abs(now - was)
            if np.any(counts & (change > 0) & (change < k)) or np.any(
                np.isnan(was) & ~np.isnan(now)
            ):
                return True
    return False

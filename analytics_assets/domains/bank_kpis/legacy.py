"""An existing wide table, from which the months come that the workbooks lack.

Belongs here: reading it, from a CSV file or a database.
Does not belong here: what it is compared with (``checks.py``), the migration (``migration.py``).
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow
import sqlalchemy as sa

from analytics_assets.core.source import Landing, SourceError
from analytics_assets.core.telling import foreign, word
from analytics_assets.domains.bank_kpis.sources import digest
from analytics_assets.landing.folder import refuse_no_file

_STARTS_WITH_MONTH = re.compile(r"(19|20)\d\d-(0[1-9]|1[0-2])-\d\d")


class LegacySource:
    """An existing wide table: ``LEGACY_KPIS`` is a CSV file, or an SQLAlchemy URL with ``#table``.

    Its columns are those of the brief (``fecha``, ``banco_norm``, metrics by code); columns that
    are no metric of ours are left out and named.
    """

    def __init__(self, columns: tuple[str, ...]) -> None:
        self._columns = columns
        self._months: dict[str, list[dict[str, str | None]]] = {}
        self._unknown: set[str] = set()

    def _rows(self) -> tuple[list[dict[str, str | None]], set[str]]:
        where = os.environ.get("LEGACY_KPIS", "")
        if not where:
            return [], set()
        in_database = "://" in where
        # A URL may hold a password, so it is not shown.
        shown = "LEGACY_KPIS" if in_database else where
        try:
            rows = _from_database(where) if in_database else _from_csv(Path(where))
        except (OSError, sa.exc.SQLAlchemyError, UnicodeDecodeError) as error:
            raise SourceError(
                f"it cannot be read ({foreign(error)})", shown, "Mend LEGACY_KPIS"
            ) from error
        names = set(rows[0]) if rows else set()
        if rows and not {"fecha", "banco_norm"} <= names:
            raise SourceError("it has no columns fecha and banco_norm", shown, "Rename its columns")
        for number, row in enumerate(rows, start=1):
            if not _STARTS_WITH_MONTH.match(row["fecha"] or ""):
                raise SourceError(
                    f"fecha of row {number} is {word(row['fecha'] or '')!r}",
                    shown,
                    "Write it as 2023-01-01",
                )
        kept = [{name: row.get(name) for name in self._columns} for row in rows]
        return kept, names - set(self._columns) - {"id", "created_at", "updated_at"}

    def inputs(self) -> dict[str, dict[str, str]]:
        """Month -> checksum of its rows, which are kept to be landed."""
        rows, self._unknown = self._rows()
        self._months = {}
        for row in rows:
            self._months.setdefault((row["fecha"] or "")[:7], []).append(row)
        return {month: {"legacy": digest(own)} for month, own in self._months.items()}

    @contextmanager
    def land(self, landing: Landing) -> Iterator[list[str]]:
        """A month's rows as text."""
        if self._unknown:
            landing.report["columns left out"] = ", ".join(sorted(self._unknown))
        schema = pyarrow.schema([(name, pyarrow.string()) for name in self._columns])
        rows = pyarrow.Table.from_pylist(self._months.get(landing.key, []), schema)
        landing.session.register("legacy_landed", rows)
        try:
            yield ["select * from legacy_landed"]
        finally:
            landing.session.unregister("legacy_landed")


def _from_csv(path: Path) -> list[dict[str, str | None]]:
    refuse_no_file(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [
            {
                name: value.replace("\0", "") or None if value else None
                for name, value in row.items()
            }
            for row in csv.DictReader(file)
        ]


def _from_database(where: str) -> list[dict[str, str | None]]:
    url, _, name = where.partition("#")
    schema, _, table = (name or "monthly_kpis").rpartition(".")
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            selected = sa.select(sa.text("*")).select_from(sa.table(table, schema=schema or None))
            return [
                {key: None if value is None else str(value) for key, value in row.items()}
                for row in connection.execute(selected).mappings()
            ]
    finally:
        engine.dispose()

"""Whether readers see what the warehouse holds, computed anew from the rows of both.

Belongs here: the totals of a partition, in PostgreSQL and in DuckDB, and their comparison.
Does not belong here: the check's asset (``release_assets.py``), or mending a difference.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import sqlalchemy as sa

from analytics_assets.core.columns import Measure
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Table
from analytics_assets.production import schema
from analytics_assets.production.standing import promoted
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import StoredKey, by_key
from analytics_assets.warehouse.session import expose

Totals = Mapping[str, Any]

_ROWS, _OTHER = "rows", "checksum of other columns"
_VERSION, _VERSION_ROWS = "version", "rows by the version's name"
# The first 60 bits of a row's MD5 as a number. Only this is said differently by the two.
_POSTGRES = "cast(cast('x' || left(md5({text}), 15) as bit(60)) as bigint)"
_DUCKDB = "cast('0x' || left(md5({text}), 15) as bigint)"


@dataclass(frozen=True)
class Difference:
    """A total of a partition that is not the same in both; ``None`` where there is no row."""

    partition: str
    total: str
    production: Any
    warehouse: Any


@dataclass(frozen=True)
class Comparison:
    """What was compared, and what differs."""

    partitions: int
    rows: int
    differences: list[Difference]


def compare(
    connection: sa.Connection,
    session: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    table: Table,
    partitions: Collection[str] | None = None,
) -> Comparison:
    """Compare these partitions, or all of both sides.

    Compared are the number of rows, the total of every measure and a checksum of all columns that
    do not add up, and whether the version that the ledger names is the one that is live.
    """
    table = table.promoted
    files = by_key(snapshot.files(table))
    if partitions is not None:
        files = {key: files[key] for key in partitions if key in files}
    # What is stored in another way than declared cannot be read as declared.
    readable = schema.present_shape(connection, table) == schema.shape(table)
    # PostgreSQL is another process: both add up at the same time.
    with ThreadPoolExecutor(1) as beside:
        adding = beside.submit(_warehouse, session, table, files)
        seen = _production(connection, table, partitions) if readable else {}
        live = adding.result()
    keys = sorted(seen.keys() | live.keys())
    return Comparison(
        len(keys),
        sum(totals.get(_ROWS, 0) for totals in seen.values()),
        [difference for key in keys for difference in _differences(key, seen, live)],
    )


def differing(
    connection: sa.Connection,
    session: duckdb.DuckDBPyConnection,
    table: Table,
    files: Mapping[str, StoredKey],
) -> set[str]:
    """Partitions whose rows, as readers see them, are not those of these files; all are read."""
    seen = _by_partition(
        table,
        connection.execute(
            sa.text(_totals_sql(table, _POSTGRES, table.published_name) + " group by 1")
        ),
    )
    wanted = _files_totals(session, table, files)
    return {key for key in seen.keys() | wanted.keys() if seen.get(key) != wanted.get(key)}


def _differences(
    key: str, seen: Mapping[str, Totals], live: Mapping[str, Totals]
) -> Iterable[Difference]:
    production, warehouse = seen.get(key, {}), live.get(key, {})
    for name in dict.fromkeys([*warehouse, *production]):
        if production.get(name) != warehouse.get(name):
            yield Difference(key, name, production.get(name), warehouse.get(name))


def _production(
    connection: sa.Connection, table: Table, partitions: Collection[str] | None
) -> dict[str, Totals]:
    """Partition -> totals of the rows that readers see, and what the ledger says of it."""
    only = ""
    if partitions is not None:
        only = f" where {table.within_sql(partitions)}"
    totals = _totals_sql(table, _POSTGRES, table.published_name)
    result = connection.execute(sa.text(totals + only + " group by 1"))
    found = _by_partition(table, result)
    ledger = promoted(connection, table)
    wanted = ledger.keys() if partitions is None else ledger.keys() & set(partitions)
    return {
        key: {
            **found.get(key, {}),
            _VERSION: ledger[key].fingerprint if key in ledger else None,
            _VERSION_ROWS: found.get(key, {}).get(_ROWS, 0),
        }
        for key in found.keys() | wanted
    }


def _warehouse(
    session: duckdb.DuckDBPyConnection, table: Table, files: Mapping[str, StoredKey]
) -> dict[str, Totals]:
    """Partition -> totals of the rows in the live files, and what their version's name says."""
    found = _files_totals(session, table, files)
    return {
        key: {
            **found.get(key, {}),
            _VERSION: files[key].fingerprint if key in files else None,
            # A version is named "<rows, hexadecimal>-<checksum>".
            _VERSION_ROWS: int(files[key].fingerprint.split("-")[0], 16) if key in files else None,
        }
        for key in found.keys() | files.keys()
    }


def _files_totals(
    session: duckdb.DuckDBPyConnection, table: Table, files: Mapping[str, StoredKey]
) -> dict[str, Totals]:
    expose(session, table, [uri for key in files.values() for uri in key.uris])
    result = session.execute(_totals_sql(table, _DUCKDB, table.name) + " group by 1").fetchall()
    return _by_partition(table, result)


def _total_names(table: Table) -> list[str]:
    return [_ROWS, _OTHER, *(measure.name for measure in _measures(table))]


def _measures(table: Table) -> tuple[Measure, ...]:
    return table.measures.measures if table.measures else ()


def _totals_sql(table: Table, checksum: str, name: str) -> str:
    # The greatest of all says little of the others, so a row counts with each of its maxima, too.
    summed = {measure.name for measure in _measures(table) if measure.adds_up}
    texts = ", '|', ".join(
        f"coalesce(cast({quoted(column.name)} as text), '~')"
        for column in table.stored_columns
        if column.name not in summed
    )
    totals = "".join(
        f", {measure.function}({quoted(measure.name)})" for measure in _measures(table)
    )
    day = table.period.first_day_sql(table.time or "")
    return (
        f"select {day}, count(*), sum({checksum.format(text=f'concat({texts})')})"
        f"{totals} from {quoted(table.domain)}.{quoted(name)}"
    )


def _by_partition(table: Table, rows: Iterable[Any]) -> dict[str, Totals]:
    names = _total_names(table)
    return {
        table.period.key(row[0] or date.min): dict(zip(names, row[1:], strict=True)) for row in rows
    }

"""Landing files without Dagster: for tests of what happens to single files and values."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analytics_assets import settings
from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets.domains.births.tables import TABLES
from analytics_assets.warehouse.build import Builder
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.session import expose, open_session

TABLE = {table.name: table for table in TABLES if table.domain == "births"}
RAW, REJECTED, FACT = TABLE["raw_births"], TABLE["rejected_births"], TABLE["fact_births"]
PLACES = TABLE["dim_municipality"]

# A record as files of 2012 and later have it; tests say what is different in theirs.
RECORD = {
    "CONTADOR": "1", "ORIGEM": "1", "CODESTAB": "2000121", "CODMUNNASC": "120040",
    "LOCNASC": "1", "IDADEMAE": "27", "ESTCIVMAE": "2", "ESCMAE": "4", "CODOCUPMAE": "999992",
    "CODMUNRES": "120040", "GESTACAO": "5", "GRAVIDEZ": "1", "PARTO": "1", "CONSULTAS": "4",
    "DTNASC": "03022024", "HORANASC": "0915", "SEXO": "1", "APGAR1": "8", "APGAR5": "9",
    "RACACOR": "4", "PESO": "3215", "IDANOMAL": "2", "SEMAGESTAC": "39",
}  # fmt: skip
DELIMITER = ";"


def record(**changes: str) -> dict[str, str]:
    """A good record of February 2024, with other values where given."""
    return {**RECORD, **changes}


def records(count: int, year: int = 2024) -> list[dict[str, str]]:
    """Good records of one month, no two alike, numbered from 1 in CONTADOR."""
    return [
        record(
            CONTADOR=str(n),
            DTNASC=f"{n % 28 + 1:02d}02{year}",
            HORANASC=f"{n % 23:02d}{n // 28 % 60:02d}",
        )
        for n in range(1, count + 1)
    ]


def csv_text(rows: Sequence[Mapping[str, str]], delimiter: str = DELIMITER) -> str:
    """Rows as a CSV file with a header, without quotes, lines ending in LF."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    return "".join(delimiter.join(line) + "\n" for line in lines)


def write_csv(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Rows as a CSV file whose values are quoted where they must be."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=DELIMITER, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@dataclass(frozen=True)
class Landed:
    """What came of landing: rows by year in the three tables, and by year what was wrong, what was
    warned of, and what was reported."""

    raw: dict[str, int]
    rejected: dict[str, int]
    fact: dict[str, int]
    errors: dict[str, str]
    warnings: dict[str, str]
    reports: dict[str, dict[str, Any]]


def land(
    years: Iterable[int | str],
    tables: Sequence[str] = ("raw_births", "rejected_births", "fact_births"),
) -> Landed:
    """Build these tables for these years as their assets do, and count what is live."""
    keys = [str(year) for year in years]
    config = settings.load()
    snapshot = Snapshot(Lake(config.lake))
    reports: dict[str, dict[str, Any]] = {}
    errors: dict[str, str] = {}
    warnings: dict[str, str] = {}
    with open_session(config) as session:
        builder = Builder(session, snapshot, "test", logging.getLogger("test"))
        if snapshot.lake.version(PLACES) is None:
            builder.build(PLACES, [UNPARTITIONED.only_key])
        for table in (RAW, REJECTED, FACT):
            if table.name not in tables:
                continue
            months = [month for month in snapshot.candidates(table) if month[:4] in keys]
            outcome = builder.build(table, keys if table.period is RAW.period else months)
            reports.update(outcome.reports)
            for finding in outcome.findings:
                kept = errors if finding.blocking else warnings
                kept.setdefault(finding.partition[:4], finding.summary)
    return Landed(*(live_rows(table) for table in (RAW, REJECTED, FACT)), errors, warnings, reports)


def live_rows(table: Table) -> dict[str, int]:
    """Year -> rows of the live version."""
    found: dict[str, int] = {}
    for file in Lake(settings.load().lake).files(table):
        found[file.key[:4]] = found.get(file.key[:4], 0) + file.rows
    return found


def query(sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query on the live versions of raw, rejected and fact."""
    config = settings.load()
    lake = Lake(config.lake)
    with open_session(config) as session:
        for table in (RAW, REJECTED, FACT):
            expose(session, table, [file.uri for file in lake.files(table)])
        return session.execute(sql).fetchall()


def rows_of_table(name: str) -> list[tuple[Any, ...]]:
    """Build a table without partitions; its rows. ``AssertionError`` with what is wrong."""
    config = settings.load()
    snapshot = Snapshot(Lake(config.lake))
    with open_session(config) as session:
        builder = Builder(session, snapshot, "test", logging.getLogger("test"))
        outcome = builder.build(TABLE[name], [UNPARTITIONED.only_key])
        assert not outcome.findings, outcome.findings[0].summary
        uris = [file.uri for file in snapshot.lake.files(TABLE[name])]
        expose(session, TABLE[name], uris)
        return session.execute(f"select * from births.{name}").fetchall()

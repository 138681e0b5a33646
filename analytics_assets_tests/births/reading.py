"""The files of a folder as births, in one session: without a lake, and planned once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from analytics_assets.core.rollups import build_sql
from analytics_assets.core.source import Landing, SourceError
from analytics_assets.domains.births.landing import scan
from analytics_assets.domains.births.readers import FileReader
from analytics_assets_tests.births.landed import FACT, PLACES, RAW, REJECTED


@dataclass
class Read:
    """What became of a folder's files: file -> why it is refused, warned of, or reported; year ->
    files that a later one replaces.

    ``session``: holds ``births.raw_births``, ``rejected_births`` and ``fact_births`` of all files,
    also of those that ``rejected_share`` holds back.
    """

    session: Any
    refused: dict[str, str] = field(default_factory=dict)
    warned: dict[str, str] = field(default_factory=dict)
    reports: dict[str, str] = field(default_factory=dict)
    replaced: dict[str, list[str]] = field(default_factory=dict)

    def births(self, file: str, what: str = "count(*)", where: str = "true") -> Any:
        """A value of the births of a file."""
        return self.session.execute(
            f"select {what} from births.fact_births where birth_id in (select"
            " concat(source_state, '-', source_year, '-', source_row) from births.raw_births"
            f" where source_file = '{file}') and {where}"
        ).fetchone()[0]


@contextmanager
def read(folder: Path, scratch: Path, facts: bool = True) -> Iterator[Read]:
    """Read all files of a folder that can be read, and judge what was rejected."""
    scratch.mkdir()
    found = scan(folder)
    with duckdb.connect() as session:
        session.execute("create schema births")
        result = Read(session, {path.name: why for path, why in found.refused.items()})
        result.replaced = {y: [f.path.name for f in own] for y, own in found.replaced.items()}
        selects = []
        for file in (file for files in found.files.values() for file in files):
            report: dict[str, Any] = {}
            landing = Landing(session, file.year, report, _rows_by_slice(session, file.year))
            try:
                selects.append(FileReader(landing, file, scratch).select())
            except SourceError as error:
                result.refused[file.path.name] = str(error)
            result.reports |= {what: str(said) for what, said in report.items()}
        session.execute(f"create view births.raw_births as {' union all '.join(selects)}")
        (check, _) = RAW.checks
        for row in session.execute(check.sql).fetchdf().to_dict("records"):
            (result.warned if row[check.warns] else result.refused)[row["file"]] = row[check.told]
        session.execute(f"create table births.rejected_births as {build_sql(REJECTED)}")
        if facts:
            assert PLACES.source
            with PLACES.source.land(Landing(session, "all", {}, lambda sql: {})) as (sql,):
                session.execute(f"create table births.dim_municipality as {sql}")
            session.execute(f"create table births.fact_births as {build_sql(FACT)}")
        yield result


def _rows_by_slice(session: Any, key: str):
    def rows(sql: str) -> dict[str, int]:
        return dict(
            session.execute(
                f"select coalesce({RAW.slice_sql}, '{key}'), count(*) from ({sql}) group by 1"
            ).fetchall()
        )

    return rows

"""Workbooks as tests make and change them, and what is built from them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from python_calamine import CalamineWorkbook

from analytics_assets import settings
from analytics_assets.core.declaration import Table
from analytics_assets.domains.bank_kpis.sample import PORTFOLIO_HEADER, write_workbook
from analytics_assets.domains.bank_kpis.tables import TABLES
from analytics_assets.production import server
from analytics_assets.production.promotion import production_engine
from analytics_assets.production.release import release
from analytics_assets.warehouse.audit import Finding
from analytics_assets.warehouse.build import Builder
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.session import expose, open_session
from analytics_assets_tests.workspace import asked_of_production

# What it takes to see the wide table.
WIDE = tuple(
    table
    for table in TABLES
    if table.layer == "sources" or table.name in ("bank_months", "monthly_kpis")
)
PORTFOLIO = "CNBV_Cartera_Bancos_2023_2023.xlsx"
Row = list[Any]


@dataclass
class Bank:
    """A landing folder and the lake that is built from it, as far as ``tables`` go."""

    folder: Path
    tables: Sequence[Table] = TABLES

    @classmethod
    def at(cls, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Bank:
        (folder / "landing").mkdir(exist_ok=True)
        monkeypatch.setenv("ANALYTICS_HOME", str(folder / "home"))
        monkeypatch.setenv("CNBV_SOURCE", str(folder / "landing"))
        return cls(folder / "landing")

    @property
    def lake(self) -> Lake:
        return Lake(settings.load().lake)

    def build(self, tables: Sequence[Table] | None = None, run_id: str = "test") -> list[Finding]:
        """Build all that is behind, as the automation would."""
        findings: list[Finding] = []
        log = logging.getLogger("bank")
        log.setLevel(logging.CRITICAL)
        with open_session(settings.load()) as session:
            for table in tables or self.tables:
                keys = [b.partition for b in Snapshot(self.lake).behind(table) if not b.refused]
                if keys:
                    builder = Builder(session, Snapshot(self.lake), run_id, log)
                    findings += builder.build(table, keys).findings
        return findings

    def promote(self, tables: Sequence[Table] = TABLES) -> None:
        """Bring production to what is live, as the automation would."""
        with (
            open_session(settings.load()) as session,
            production_engine(server.urls(settings.load()).promoter) as engine,
        ):
            release(engine, session, Snapshot(self.lake), tables, "test")

    def ask(self, sql: str, tables: Sequence[Table] = TABLES) -> list[tuple[Any, ...]]:
        """Rows of a query over the live tables."""
        with open_session(settings.load()) as session:
            for table in tables:
                expose(session, table, [file.uri for file in self.lake.files(table)])
            return session.execute(sql).fetchall()

    def production(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query on production, as a reader asks."""
        return asked_of_production(sql)

    def versions(self) -> dict[str, dict[str, str]]:
        """Table -> month -> file that holds it."""
        return {t.name: {f.key: f.uri for f in self.lake.files(t)} for t in TABLES}

    def write(self, name: str, rows: Sequence[Row], sheet: str = "Sheet1") -> Path:
        return write_workbook(self.folder / name, {sheet: rows})


def portfolio_row(code: Any, month: date, size: float = 1000.0, **cells: Any) -> Row:
    """A bank with 80 % in stage 1, 15 % in stage 2 and 5 % in stage 3, all commercial; ``cells``
    by header, blanks as underscores."""
    row: dict[str, Any] = dict.fromkeys(PORTFOLIO_HEADER, 0.0)
    row |= {
        "Institucion": code,
        "Cve_Periodo": month.year * 100 + month.month,
        "Año": month.year,
        "Mes": month.month,
        "Fecha": month,
        "Reservas Etapa todas": -0.07 * size,
    }
    for stage, share in (("1", 0.80), ("2", 0.15), ("3", 0.05)):
        row[f"Cartera Total Etapa {stage}"] = share * size
        row[f"Créditos Comerciales Etapa {stage}"] = share * size
    row |= {name.replace("_", " ") if name not in row else name: v for name, v in cells.items()}
    return list(row.values())


def portfolio(*rows: Row) -> list[Row]:
    """A sheet of these rows."""
    return [list(PORTFOLIO_HEADER), *rows]


def change(path: Path, edit: Callable[[Row], Any], sheet: str = "Sheet1") -> int:
    """Rewrite a workbook with ``edit`` applied to each row; says how many rows it changed."""
    with CalamineWorkbook.from_path(path) as workbook:
        sheets = {
            name: workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)
            for name in workbook.sheet_names
        }
    changed = 0
    for row in sheets[sheet][1:]:
        before = list(row)
        edit(row)
        changed += before != row
    write_workbook(path, sheets)
    return changed


def grow(row: Row, by: float) -> None:
    """Add to a bank's commercial credit in stage 1, and so to its total."""
    for name in ("Cartera Total Etapa 1", "Créditos Comerciales Etapa 1"):
        row[PORTFOLIO_HEADER.index(name)] += by


def only(findings: Sequence[Finding], check: str) -> list[Finding]:
    """The findings of one check."""
    return [finding for finding in findings if finding.check == check]

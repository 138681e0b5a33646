"""The defects that are planted for the checks of the bank tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timezone
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from analytics_assets import settings
from analytics_assets.definitions import build
from analytics_assets.domains.bank_kpis.migration_assets import JOB, settle_production
from analytics_assets.domains.bank_kpis.tables import TABLES
from analytics_assets.production import server
from analytics_assets.production.promotion import production_engine
from analytics_assets.warehouse.quarantine import Quarantine
from analytics_assets_tests.bank_kpis.books import (
    PORTFOLIO,
    WIDE,
    Bank,
    portfolio,
    portfolio_row,
)
from analytics_assets_tests.conftest import make_workspace
from analytics_assets_tests.warehouse.planted import Defect, Site

MAY = date(2023, 5, 1)
STATED = "Cartera_de_Crédito_Total_Etapa_todas"
INVEX, SYSTEM, UNKNOWN = 40059, 5, 40999
Plant = Callable[[Site, Defect], str]


@contextmanager
def at_bank(site: Site) -> Iterator[tuple[Bank, pytest.MonkeyPatch]]:
    folder = site.new_folder()
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        yield Bank.at(folder, patch), patch


def in_workbook(shown: str, *rows: list[Any]) -> Plant:
    """These rows of a workbook bring forth one finding, and keep their rows if they block."""

    def plant(site: Site, defect: Defect) -> str:
        with at_bank(site) as (bank, _):
            bank.write(PORTFOLIO, portfolio(*rows))
            return judged(bank, defect, shown)

    return plant


def closing_bank(site: Site, defect: Defect) -> str:
    """It reports both of its ratios, and most of its credit is overdue."""
    overdue = {
        f"{name}_Etapa_{stage}": amount
        for name in ("Cartera_Total", "Créditos_Comerciales")
        for stage, amount in (("1", 180.0), ("2", 0.0), ("3", 820.0))
    }
    with at_bank(site) as (bank, _):
        bank.write(PORTFOLIO, portfolio(portfolio_row(INVEX, MAY, **overdue)))
        bank.write("ICAP.xlsx", [["Cve_Inst", "FECHA", "ICAP"], [INVEX, MAY, 12.0]])
        return judged(bank, defect, "aaaaa")


def judged(bank: Bank, defect: Defect, shown: str) -> str:
    (finding,) = bank.build(WIDE)
    assert shown in str(finding.rows)
    assert (finding.check, finding.blocking) == (defect.check, defect.blocks)
    kept = [key for table in TABLES for key in Quarantine(bank.lake, table).files()]
    assert kept == (["2023-05"] if defect.quarantined else [])
    return finding.message


def in_older_table(shown: str, *rows: str) -> Plant:
    """These rows of a table to migrate from, beside a workbook that is sound."""

    def plant(site: Site, defect: Defect) -> str:
        with at_bank(site) as (bank, patch):
            bank.write(PORTFOLIO, portfolio(portfolio_row(INVEX, MAY)))
            older = bank.folder.parent / "older.csv"
            older.write_text("\n".join(("fecha,banco_norm,imor", *rows)))
            patch.setenv("LEGACY_KPIS", str(older))
            return judged(bank, defect, shown)

    return plant


def other_star(site: Site, defect: Defect) -> str:
    """The SQL of the star has a mistake."""
    fact = next(table for table in TABLES if table.name == "fact_monthly_kpi")
    assert fact.sql
    wrong = replace_in(fact, "        value,", "        value + 1 as value,")
    tables = tuple(wrong if table is fact else table for table in TABLES)
    with at_bank(site) as (bank, _):
        bank.write(PORTFOLIO, portfolio(portfolio_row(INVEX, MAY)))
        (finding,) = bank.build(tables)
        assert (finding.check, finding.blocking) == (defect.check, defect.blocks)
        assert list(Quarantine(bank.lake, wrong).files()) == ["2023-05"]
        return finding.message


def replace_in(table: Any, old: str, new: str) -> Any:
    assert old in table.sql
    return replace(table, sql=table.sql.replace(old, new))


def in_production(change: str, phase: str = "dual_write") -> Plant:
    """The job of the migration says it, after somebody wrote to production."""

    def plant(site: Site, defect: Defect) -> str:
        folder = site.new_folder()
        folder.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            for workspace in make_workspace(folder, site.postgres, patch):
                bank = Bank.at(folder, patch)
                bank.write(PORTFOLIO, portfolio(portfolio_row(INVEX, MAY)))
                bank.build()
                bank.promote()
                settle_production(datetime(2023, 6, 1, tzinfo=timezone.utc))
                with (
                    production_engine(server.urls(settings.load()).promoter) as engine,
                    engine.begin() as connection,
                ):
                    assert connection.execute(sa.text(change)).rowcount == 1
                patch.setenv("BANK_KPIS_PHASE", phase)
                job = build(TABLES).resolve_job_def(JOB)
                result = job.execute_in_process(instance=workspace.instance)
                found = {c.check_name: c for c in result.get_asset_check_evaluations()}
        check = found[defect.check]
        assert not check.passed
        assert (check.severity == dg.AssetCheckSeverity.ERROR) == defect.blocks
        texts = [check.description or "", *(str(m.value) for m in check.metadata.values())]
        return " ".join(" ".join(texts).split())

    return plant


BY_HAND = (
    "update bank_kpis_store.fact_monthly_kpi set value = 0.06"
    " where (bank_id, metric_id) = (40059, 12)"
)
DEFECTS = (
    Defect(
        "dates_agree",
        "a workbook's row of May with a date of July",
        ("mend the workbook",),
        in_workbook(
            "2023-07-01 is not in period 202305", portfolio_row(INVEX, MAY, Fecha=date(2023, 7, 1))
        ),
        quarantined=1,
    ),
    Defect(
        "rows_agree",
        "a bank that is in a workbook twice, with other amounts",
        ("Take the older workbook out",),
        in_workbook("2, 3", portfolio_row(INVEX, MAY), portfolio_row(INVEX, MAY, 2000.0)),
        quarantined=2,
    ),
    Defect(
        "segments_add_up",
        "consumer credit that is not in the total",
        ("Mend it",),
        in_workbook("aaaaa", portfolio_row(INVEX, MAY, Créditos_de_Consumo_Etapa_1=7.0)),
        quarantined=1,
    ),
    Defect(
        "stated_total_agrees",
        "a total in the workbook that is not the sum of its stages",
        ("The sum of the stages is used",),
        in_workbook(
            "900", portfolio_row(INVEX, MAY, **{"Cartera_de_Crédito_Total_Etapa_todas": 900.0})
        ),
        blocks=False,
    ),
    Defect(
        "banks_add_up_to_the_system",
        "a bank that is missing from the workbook",
        ("A bank is missing",),
        in_workbook("500", portfolio_row(INVEX, MAY), portfolio_row(SYSTEM, MAY, 1500.0)),
        blocks=False,
    ),
    Defect(
        "institutions_readable",
        "a row that names a bank without its code",
        ("Write the regulator's code",),
        in_workbook(
            "institution aaaaa is no code", portfolio_row("Bolsa", MAY), portfolio_row(INVEX, MAY)
        ),
        quarantined=1,
    ),
    Defect(
        "institutions_known",
        "a bank that nobody knows",
        ("Instituciones.xlsx",),
        in_workbook("040999", portfolio_row(UNKNOWN, MAY)),
        blocks=False,
    ),
    Defect(
        "ratios_plausible",
        "a bank that closes, with 82 % of its credit overdue",
        ("Unusual is not wrong",),
        closing_bank,
        blocks=False,
    ),
    Defect(
        "legacy_agrees",
        "an older table whose ratios are percentages",
        ("older table has other units",),
        in_older_table("aaaaa", "2023-05-01,INVEX,5.0"),
        blocks=False,
    ),
    Defect(
        "legacy_rows_readable",
        "an older table with a date within a month",
        ("Mend these rows",),
        in_older_table("2023-05-17", "2023-05-17,INVEX,0.05"),
        quarantined=1,
    ),
    Defect(
        "equals_wide_table",
        "SQL of the star that adds one to each value",
        ("compare the metric's formula",),
        other_star,
        quarantined=1,
    ),
    Defect(
        "equals_monthly_kpis",
        "a number of the star in production that was changed by hand",
        ("imor of INVEX 2023-05-01: 0.050000 and 0.060000", "Materialise monthly_kpis"),
        in_production(BY_HAND),
    ),
    Defect(
        "phase_in_force",
        "a phase that is wanted while the star differs from the wide table",
        ("view: the wide table and v_monthly_kpis differ", "try again"),
        in_production(BY_HAND, "view"),
        blocks=False,
    ),
)

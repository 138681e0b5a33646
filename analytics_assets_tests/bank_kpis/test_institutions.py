"""Which institution a row is of, what it is called, and which sheets and feeds say so."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from analytics_assets.core.source import SourceError
from analytics_assets.domains.bank_kpis.layouts import TDA
from analytics_assets.domains.bank_kpis.sample import write_workbook
from analytics_assets.domains.bank_kpis.workbooks import read
from analytics_assets_tests.bank_kpis.books import Bank, only, portfolio, portfolio_row

MAY, JUNE = date(2023, 5, 1), date(2023, 6, 1)
ICAP_HEADER = ["Cve_Inst", "Banco", "FECHA", "ICAP"]
TDA_HEADER = ["Cve_Inst", "Cve_Periodo", "TDA"]


def test_names_and_levels_of_institutions_that_no_list_has(bank: Bank) -> None:
    bank.write("CNBV_Cartera.xlsx", portfolio(*(portfolio_row(code, MAY) for code in (40999, 87))))
    named = [[40999, "Banco Nuevo", MAY, 15.5], [113, "Nuevo Consolidado", MAY, 16.5]]
    bank.write("ICAP.xlsx", [ICAP_HEADER, *named])
    findings = only(bank.build(), "institutions_known")
    unknown = {row["institution_code"] for finding in findings for row in finding.rows}
    assert unknown == {"87", "113"}
    found = bank.ask("select institution_code, bank_code, bank_name, level from bank_kpis.dim_bank"
                     " where bank_id in (87, 113, 40999) order by bank_id")  # fmt: skip
    assert found == [
        ("87", "87", "Institution 87", "consolidated"),
        ("113", "113", "Institution 113", "consolidated"),
        ("040999", "BANCO_NUEVO", "Banco Nuevo", "bank"),
    ]
    write_workbook(bank.folder / "Instituciones.xlsx",
                   {"A": [["87", "Nuevo (Serie 87)"], ["113", "Otro"]]})  # fmt: skip
    assert only(bank.build(), "institutions_known") == []
    names = bank.ask("select bank_name, level from bank_kpis.dim_bank where bank_id in (87, 113)")
    assert sorted(names) == [("Nuevo (Serie 87)", "consolidated"), ("Otro", "consolidated")]


@pytest.mark.parametrize("code", [0, "", "000"])
def test_a_blank_code_is_no_institution_and_is_counted(bank: Bank, code: Any) -> None:
    bank.write("CNBV_Cartera.xlsx", portfolio(portfolio_row(40059, MAY), portfolio_row(code, MAY)))
    (held,) = [finding for finding in bank.build() if finding.blocking]
    assert (held.check, len(held.rows)) == ("institutions_readable", 1)
    assert bank.ask("select 1 from bank_kpis.dim_bank where bank_id = 0") == []


@pytest.mark.parametrize(("whole", "share"), [(110.0, Decimal("0.931818")), (None, None)])
def test_the_share_of_a_consolidated_bank_is_of_the_consolidated_system(
    wide: Bank, whole: float | None, share: Decimal | None
) -> None:
    sizes = {40059: 100.0, 5: 100.0, 87: 102.5, 21: whole}
    wide.write(
        "CNBV_Cartera.xlsx",
        portfolio(*(portfolio_row(code, MAY, size) for code, size in sizes.items() if size)),
    )
    wide.build()
    shares = dict(wide.ask("select banco_norm, market_share_pct from bank_kpis.monthly_kpis"))
    assert shares["87"] == share
    assert shares["INVEX"] == 1


@pytest.mark.parametrize("banks", [[], [portfolio_row(40059, MAY, 900.0)]])
def test_a_system_without_its_banks_is_told(wide: Bank, banks: list[Any]) -> None:
    wide.write("CNBV_Cartera.xlsx", portfolio(portfolio_row(5, MAY, 1000.0), *banks))
    assert [finding.check for finding in wide.build()] == ["banks_add_up_to_the_system"]


def test_a_bank_that_reports_one_of_its_ratios_is_not_unusual(wide: Bank) -> None:
    overdue = {f"{name}_Etapa_{stage}": amount
               for name in ("Cartera_Total", "Créditos_Comerciales")
               for stage, amount in (("1", 100.0), ("2", 0.0), ("3", 900.0))}  # fmt: skip
    wide.write("CNBV_Cartera.xlsx", portfolio(portfolio_row(40059, MAY, **overdue)))
    assert wide.build() == []


def _with_hidden(path: Path, *, all_hidden: bool = False) -> Path:
    with xlsxwriter.Workbook(str(path)) as workbook:
        for name, value in (("shown", 4.5), ("aside", 9.0)):
            sheet = workbook.add_worksheet(name)
            sheet.write_row(0, 0, TDA_HEADER)
            sheet.write_row(1, 0, [40059, 202305, value])
            if name == "aside" or all_hidden:
                sheet.very_hidden() if all_hidden else sheet.hide()
        if all_hidden:
            workbook.add_worksheet("cover").activate()
    return path


def test_hidden_sheets_are_left_out_and_named(tmp_path: Path) -> None:
    book = read(_with_hidden(tmp_path / "TDA.xlsx"), TDA)
    assert book.notes["hidden sheets, left out"] == "aside"
    assert [row["tda"] for row in book.months["2023-05"].to_pylist()] == ["4.5"]
    with pytest.raises(SourceError, match=r"that is not hidden \(shown, aside is\)"):
        read(_with_hidden(tmp_path / "TDA_2.xlsx", all_hidden=True), TDA)


def test_two_sheets_that_contradict_each_other_hold_the_month_back(wide: Bank) -> None:
    write_workbook(
        wide.folder / "TDA.xlsx",
        {
            "a": [TDA_HEADER, [40059, 202305, 4.5], [40059, 202306, 4.5]],
            "b": [TDA_HEADER, [40059, 202305, 9.0], [40059, 202306, 4.5]],
        },
    )
    (held,) = wide.build()
    assert (held.check, held.partition, held.rows[0]["source_sheet"]) == (
        "rows_agree", "2023-05", "a, b"
    )  # fmt: skip
    assert wide.ask("select fecha from bank_kpis.monthly_kpis") == [(JUNE,)]


def test_a_refused_month_takes_away_only_its_own_figures(bank: Bank) -> None:
    bank.write(
        "CNBV_Cartera.xlsx", portfolio(portfolio_row(40059, MAY), portfolio_row(40059, JUNE))
    )
    bank.write("TDA.xlsx", [TDA_HEADER, [40059, 202305, 4.5], [40059, 202305, 9.0]])
    held = [finding for finding in bank.build() if finding.blocking]
    assert [(finding.check, finding.partition) for finding in held] == [("rows_agree", "2023-05")]
    assert bank.ask("select fecha, imor, tda from bank_kpis.monthly_kpis order by 1") == [
        (MAY, Decimal("0.05"), None),
        (JUNE, Decimal("0.05"), None),
    ]
    assert bank.ask("select bank_code from bank_kpis.dim_bank where is_active") == [("INVEX",)]

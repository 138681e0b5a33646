"""What spreadsheets do to data, one planted trap a test."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from analytics_assets import registry
from analytics_assets.core.source import SourceError
from analytics_assets.domains.bank_kpis.layouts import ICAP, PORTFOLIO, TDA, WRITE_OFFS
from analytics_assets.domains.bank_kpis.months import month_of
from analytics_assets.domains.bank_kpis.sample import WRITE_OFFS_HEADER, write_workbook
from analytics_assets.domains.bank_kpis.tables import TABLES
from analytics_assets.domains.bank_kpis.workbooks import institution_code, plain, read
from analytics_assets_tests.bank_kpis.books import (
    PORTFOLIO as NAME,
)
from analytics_assets_tests.bank_kpis.books import (
    Bank,
    change,
    grow,
    only,
    portfolio,
    portfolio_row,
)

MAY, JUNE = date(2023, 5, 1), date(2023, 6, 1)
OCTOBER = date(2024, 10, 1)


@pytest.mark.parametrize(
    ("period", "day", "month"),
    [
        (None, date(2024, 10, 1), OCTOBER),
        (None, date(2024, 1, 10), OCTOBER),  # MM/DD was read as DD/MM
        (None, "10/01/2024", OCTOBER),
        (None, "01/10/2024", OCTOBER),
        (None, "10/31/2024", OCTOBER),
        (None, "2024-10-01 00:00:00", OCTOBER),
        (None, 45566.0, OCTOBER),  # a date that lost its format
        (None, 45301, OCTOBER),  # and had its day and month swapped before
        (None, "01/01/2024", date(2024, 1, 1)),
        (202410.0, "10/01/2024", OCTOBER),
        (202410, None, OCTOBER),
        ("202410", date(2024, 1, 10), OCTOBER),
        ("2024-10", 45566, OCTOBER),
    ],
)
def test_the_month_of_a_row(period: Any, day: Any, month: date) -> None:
    assert month_of(period, day) == (month, None)


@pytest.mark.parametrize("day", [date(2024, 10, 5), "13/13/2024", "soon", None, "02/30/2024"])
def test_a_date_that_tells_no_month(day: Any) -> None:
    month, problem = month_of(None, day)
    assert month is None
    assert "do not tell a month" in str(problem)


def test_a_date_of_another_month_than_its_period() -> None:
    assert month_of(202410, date(2024, 9, 1)) == (
        OCTOBER, "date 2024-09-01 is not in period 202410"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "code"),
    [("40059", "040059"), ("040059", "040059"), ("5", "5"), ("021", "21"), ("Total general", None)],
)
def test_codes_of_institutions(text: str, code: str | None) -> None:
    assert institution_code(text) == code


def test_headers_with_and_without_accents_and_blanks() -> None:
    assert plain("  Créditos a la  Vivienda Etapa 3") == plain("creditos a la vivienda etapa 3")
    assert plain("Cve_Periodo") == "cve periodo"


def test_a_contradicting_date_holds_its_month_back_and_no_other(wide: Bank) -> None:
    wide.write(NAME, portfolio(portfolio_row(40059, MAY), portfolio_row(40059, JUNE)))
    assert wide.build() == []

    def spoil(row: list) -> None:
        grow(row, 1.0)
        if row[1] == 202305:
            row[4] = date(2023, 7, 1)

    assert change(wide.folder / NAME, spoil) == 2
    (finding,) = wide.build()
    assert (finding.check, finding.partition) == ("dates_agree", "2023-05")
    assert "2023-07-01 is not in period 202305" in str(finding.rows)
    assert finding.rows[0]["source_row"] == "2"
    totals = wide.ask("select fecha, cartera_total > 1000 from bank_kpis.monthly_kpis order by 1")
    assert totals == [(MAY, False), (JUNE, True)]


def test_a_doubled_row_counts_once_and_a_contradicting_one_is_refused(wide: Bank) -> None:
    row = portfolio_row(40059, MAY)
    wide.write(NAME, portfolio(row, row))
    assert wide.build() == []
    assert wide.ask("select cartera_total from bank_kpis.monthly_kpis") == [(Decimal(1000),)]
    wide.write(NAME, portfolio(row, portfolio_row(40059, MAY, 2000.0)))
    (finding,) = wide.build()
    assert finding.check == "rows_agree"
    assert finding.rows[0]["source_row"] == "2, 3"
    assert wide.ask("select cartera_total from bank_kpis.monthly_kpis") == [(Decimal(1000),)]


def test_two_workbooks_that_overlap(wide: Bank) -> None:
    wide.write(NAME, portfolio(portfolio_row(40059, MAY), portfolio_row(40059, JUNE)))
    wide.write("CNBV_Cartera_new.xlsx", portfolio(portfolio_row(40059, JUNE, 1500.0)))
    (finding,) = wide.build()
    assert (finding.check, finding.partition) == ("rows_agree", "2023-06")
    assert finding.rows[0]["source_file"] == f"{NAME}, CNBV_Cartera_new.xlsx"


def test_rows_of_zeros_are_absence_and_single_zeros_are_zeros(wide: Bank) -> None:
    nothing = portfolio_row(40158, MAY, 0.0)
    wide.write(NAME, portfolio(portfolio_row(40059, MAY), nothing))
    assert wide.build() == []
    rows = wide.ask("select banco_norm, cartera_consumo_total from bank_kpis.monthly_kpis")
    assert rows == [("INVEX", Decimal(0))]


def test_dates_among_ratios_are_missing_and_named_by_their_cell(wide: Bank) -> None:
    header = ["Cve_Inst", "Banco", "FECHA", "ICAP Total", "CCB", "CCF"]
    wide.write(
        "ICAP.xlsx",
        [
            header,
            [40059, "Invex", MAY, date(2015, 3, 15), 14.2, "n.d."],
            [40012, "BBVA", MAY, 42078, 14.2, "-"],
            [40014, "Santander", MAY, 15.5, "n.a.", ""],
        ],
    )
    findings = wide.build()
    assert {(f.check, f.blocking) for f in findings} == {("values_readable", False)}
    cells = {row["unreadable_cells"] for finding in findings for row in finding.rows}
    assert cells == {"D2 icap = 2015-03-15", "D3 icap = 42078"}
    rows = wide.ask("select banco_norm, icap, ccb, ccf from bank_kpis.monthly_kpis order by 1")
    assert rows == [
        ("BBVA_MEXICO", None, Decimal("0.142"), None),
        ("INVEX", None, Decimal("0.142"), None),
        ("SANTANDER", Decimal("0.155"), None, None),
    ]


def test_ratios_in_percent_and_not_in_one_file(wide: Bank) -> None:
    header = ["Cve_Inst", "Banco", "FECHA", "ICAP Total"]
    codes = (40012, 40014, 40059)
    percents, ratios_of = (16.0, 0.17, 2658.0), (0.16, 0.17, 26.58)
    percent = [[code, "", MAY, n] for code, n in zip(codes, percents, strict=True)]
    ratios = [[code, "", JUNE, n] for code, n in zip(codes, ratios_of, strict=True)]
    wide.write("ICAP.xlsx", [header, *percent, *ratios])
    # Unusual ones are told of banks that report both ratios.
    assert wide.build() == []
    rows = wide.ask("select fecha, icap from bank_kpis.monthly_kpis order by 1, 2")
    expected = [Decimal("0.16"), Decimal("0.17"), Decimal("26.58")]
    assert rows == [(month, value) for month in (MAY, JUNE) for value in expected]


def test_adjusted_ratios_with_a_blank_in_the_header_and_month_first(wide: Bank) -> None:
    wide.write(
        "TDA.xlsx",
        [[" Cve_Institucion", " Fecha", " TDA"], [40059, "05/01/2023", 4.5], [5, "06/01/2023", 6]],
        "Hoja1",
    )
    assert wide.build() == []
    rows = wide.ask("select fecha, banco_norm, tda from bank_kpis.monthly_kpis order by 1")
    assert rows == [(MAY, "INVEX", Decimal("0.045")), (JUNE, "SISTEMA", Decimal("0.06"))]


def test_write_offs_by_serial_dates_in_the_second_sheet(wide: Bank) -> None:
    row = ["2023", "05", 45047, 202305, "040059", 5.0, 3.0, 2.0, 9.0, 1.0, 1.0, 0.0, 0.0]
    write_workbook(
        wide.folder / "CASTIGOS.xlsx",
        {
            "ACUMULADO": [["institucion", "periodo", "Sum of LIB_CASTIGOS_COMERC"], [5, "", 99]],
            "CASTIGOS": [list(WRITE_OFFS_HEADER), row],
        },
    )
    assert wide.build() == []
    rows = wide.ask("select fecha, castigos_total, quitas_total from bank_kpis.monthly_kpis")
    assert rows == [(MAY, Decimal(10), Decimal(2))]


def test_segments_that_do_not_add_up_hold_the_month_back(wide: Bank) -> None:
    wrong = portfolio_row(40059, MAY, Créditos_de_Consumo_Etapa_1=7.0)
    wide.write(NAME, portfolio(wrong, portfolio_row(40059, JUNE)))
    findings = only(wide.build(), "segments_add_up")
    assert [finding.partition for finding in findings] == ["2023-05"]
    assert wide.ask("select distinct fecha from bank_kpis.monthly_kpis") == [(JUNE,)]


def test_an_unknown_institution_is_kept_by_its_code_and_named(bank: Bank) -> None:
    bank.write(NAME, portfolio(portfolio_row(40999, MAY)))
    assert [f.check for f in bank.build()] == ["institutions_known"]
    assert bank.ask(
        "select bank_code, bank_type from bank_kpis.dim_bank where bank_id = 40999"
    ) == [("040999", "individual")]


def test_total_that_a_workbook_states_wrongly_warns(wide: Bank) -> None:
    stated = {"Cartera_de_Crédito_Total_Etapa_todas": 900.0}
    wide.write(NAME, portfolio(portfolio_row(40059, MAY, **stated)))
    (finding,) = wide.build()
    assert (finding.check, finding.blocking) == ("stated_total_agrees", False)
    assert wide.ask("select cartera_total from bank_kpis.monthly_kpis") == [(Decimal(1000),)]


@pytest.mark.parametrize(
    ("layout", "rows", "message"),
    [
        (PORTFOLIO, [["Institucion", "Fecha"], [5, MAY]], "none of its sheets"),
        (TDA, [["Cve_Institucion", "Fecha", "TDA"]], "header but no rows"),
        (ICAP, [["Cve_Inst", "FECHA", "ICAP"], [5, "soon", 15.0]], "row 2 of sheet Sheet1"),
        (WRITE_OFFS, None, "cannot be read as an Excel workbook"),
    ],
)
def test_a_workbook_that_is_refused_says_why(
    tmp_path: Path, layout: Any, rows: Any, message: str
) -> None:
    path = tmp_path / "book.xlsx"
    if rows is None:
        path.write_text("<html>")
    else:
        write_workbook(path, {"Sheet1": rows})
    with pytest.raises(SourceError, match=message):
        read(path, layout)


def test_a_refused_workbook_is_named_and_takes_nothing_away(wide: Bank) -> None:
    wide.write(NAME, portfolio(portfolio_row(40059, MAY)))
    assert wide.build() == []
    (wide.folder / NAME).write_text("half a file")
    (wide.folder / f"~${NAME}").write_text("Excel has it open")
    (told,) = wide.build()
    assert (told.check, told.blocking) == ("files_landed", False)
    assert "it cannot be read as an Excel workbook" in told.message
    (problem,) = registry.problems(TABLES)
    assert problem.startswith(f"{wide.folder / NAME}: it cannot be read")
    assert len(wide.ask("select * from bank_kpis.monthly_kpis")) == 1

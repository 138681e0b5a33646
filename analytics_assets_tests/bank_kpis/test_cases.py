"""Workbooks with faults that real files had: they land, with the right value, or are refused."""

from __future__ import annotations

import shutil
import zipfile
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st
from python_calamine import CalamineWorkbook

from analytics_assets.core.source import SourceError
from analytics_assets.domains.bank_kpis.layouts import FILES, ICAP, LAYOUTS, TDA
from analytics_assets.domains.bank_kpis.months import month_of
from analytics_assets.domains.bank_kpis.numbers import decimal_mark, number
from analytics_assets.domains.bank_kpis.sample import PORTFOLIO_HEADER, write_workbook
from analytics_assets.domains.bank_kpis.workbooks import institution_code, read
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets_tests.bank_kpis.books import Bank, portfolio, portfolio_row


@given(
    cents=st.integers(-(10**11), 10**11),
    group=st.sampled_from(["", ",", ".", " ", "\u00a0"]),
    mark=st.sampled_from([",", "."]),
    percent=st.booleans(),
    brackets=st.booleans(),
)
def test_an_amount_in_any_spelling_is_that_amount(
    cents: int, group: str, mark: str, percent: bool, brackets: bool
) -> None:
    if group == mark:
        group = ""
    whole, rest = divmod(abs(cents), 100)
    text = f"{whole:,}".replace(",", group) + f"{mark}{rest:02}"
    if percent:
        text += "%"
    if cents < 0:
        text = f"({text})" if brackets else f"-{text}"
    found = number(text, decimal_mark([text]))
    assert found is not None
    assert found.endswith("%") == percent
    assert Decimal(found.rstrip("%")) == Decimal(cents) / 100


@pytest.mark.parametrize(
    ("text", "beside", "found"),
    [
        ("1,500", [], "1500"),
        ("1 500", [], "1500"),
        ("1,500", ["14.445,00"], "1.500"),
        ("14.445,00", [], "14445.00"),
        ("1.500", ["13500,00"], "1500"),
        ("0,9%", [], "0.9%"),
        ("1,2,3", [], None),
        ("#REF!", [], None),
        ("12 50", [], None),
    ],
)
def test_one_mark_is_decided_by_its_sheet(text: str, beside: list[str], found: str) -> None:
    assert number(text, decimal_mark([text, *beside])) == found


@given(st.dates(date(1990, 1, 1), date(2063, 12, 31)))
def test_beside_a_period_any_day_of_its_month_agrees(day: date) -> None:
    first = day.replace(day=1)
    for text in (f"{day:%m/%d/%Y}", f"{day:%d/%m/%Y}", f"{day:%Y-%m-%d}"):
        assert month_of(int(f"{day:%Y%m}"), text) == (first, None)


@pytest.mark.parametrize(
    ("text", "code"), [("040059 INVEX", "040059"), ("0", None), ("", None), ("000", None)]
)
def test_a_code_with_a_name_and_no_code(text: str, code: str | None) -> None:
    assert institution_code(text) == code


CASES = {
    "CNBV_Cartera_two_sheets.xlsx": {
        ("2023-02-01", "BANORTE"): 14445,
        ("2023-03-01", "INVEX"): 1605,
    },
    "CNBV_Cartera_error_cell.xlsx": {("2023-05-01", "INVEX"): 1605},
    "CNBV_Cartera_code_and_name.xlsx": {("2023-12-01", "INVEX"): 1605},
    "CNBV_Cartera_footnote.xlsx": {("2023-11-01", "SISTEMA"): 16050},
    "CNBV_Cartera_restated_2.xlsx": {("2023-08-01", "BANORTE"): 14445},
    "CNBV_Cartera_a.xlsx": {
        ("2023-01-01", "INVEX"): 1605,
        ("2023-01-01", "SISTEMA"): 16050,
    },
    "CNBV_Cartera_b.xlsx": {("2023-02-01", "INVEX"): 1605},
    "CNBV_Cartera_c.xlsx": {("2023-03-01", "INVEX"): 1605},
}


def _built(bank: Bank, real_data: Path, names: list[str]) -> dict[tuple[str, str], list]:
    paths = {path.name: path for path in (real_data.parent / "cases").rglob("*.xlsx")}
    if not set(names) <= set(paths):
        pytest.skip("the shared cases are not here")
    for name in names:
        shutil.copy(paths[name], bank.folder)
    findings = bank.build()
    assert not [finding for finding in findings if finding.blocking]
    rows = bank.ask(
        "select cast(fecha as text), banco_norm, cartera_total, cartera_financieras_total, imor"
        " from bank_kpis.monthly_kpis"
    )
    found = {(month, name): values for month, name, *values in rows}
    for case in names:
        assert {key: found[key][0] for key in CASES[case]} == CASES[case]
    return found


def test_every_case_has_its_right_value(wide: Bank, real_data: Path) -> None:
    found = _built(wide, real_data, list(CASES)[:5])
    assert found["2023-05-01", "INVEX"][1] is None
    assert found["2023-05-01", "BANORTE"][1] == 963
    unread = wide.ask("select unreadable_cells from bank_kpis.bank_months where"
                      " unreadable_cells is not null")  # fmt: skip
    assert unread == [("I2 financieras_etapa_1 = #REF!",)]


def test_a_stage_that_is_text_counts(wide: Bank, real_data: Path) -> None:
    found = _built(wide, real_data, list(CASES)[5:])
    for month in ("2023-01-01", "2023-02-01", "2023-03-01"):
        assert round(found[month, "INVEX"][2], 6) == Decimal("0.009346")


@pytest.mark.parametrize(("stated", "total"), [(0, None), (1605, 1605)])
def test_a_sum_with_an_unreadable_part_is_what_the_workbook_states(
    wide: Bank, stated: int, total: int | None
) -> None:
    header = ["Institucion", "Cve_Periodo", *(f"Cartera Total Etapa {n}" for n in (1, 2, 3))]
    header += ["Reservas Etapa todas", "Cartera de Crédito Total Etapa todas"]
    wide.write("CNBV_Cartera.xlsx", [header, [40059, 202302, "1.5 mil", 90, 15, -40, stated]])
    wide.build()
    found = wide.ask("select cartera_total, imor is null from bank_kpis.monthly_kpis")
    assert found == [(total, total is None)]


def test_two_columns_of_one_number_are_refused(tmp_path: Path) -> None:
    header = ["Cve_Inst", "FECHA", "ICAP Total", "ICAP"]
    path = write_workbook(tmp_path / "ICAP.xlsx", {"A": [header, [40059, date(2023, 1, 1), 15, 9]]})
    with pytest.raises(SourceError, match=r"C \(ICAP Total\) and D \(ICAP\)"):
        read(path, ICAP)


def test_months_far_ahead_are_rejected_and_counted(tmp_path: Path) -> None:
    rows = [[40059, 205001, 4.5], [40059, 202301, 4.5], ["Total", 202301, 4.5]]
    path = write_workbook(
        tmp_path / "TDA.xlsx", {"A": [["cve_institucion", "cve_periodo", "TDA"], *rows]}
    )
    book = read(path, TDA)
    assert list(book.months) == ["2023-01"]
    assert [(r.row, r.reason) for r in book.rejected] == [
        (2, "month 2050-01 is more than one month ahead")
    ]
    assert book.notes["rows"] == "3 offered = 1 landed or repeated + 1 rejected + 1 left out"


@pytest.mark.parametrize("code", ["INVEX", "0", None])
def test_an_institution_that_cannot_be_read_holds_its_month(wide: Bank, code: str | None) -> None:
    may, june = date(2023, 5, 1), date(2023, 6, 1)
    wide.write(
        "CNBV_Cartera.xlsx",
        portfolio(portfolio_row(40059, may), portfolio_row(code, may), portfolio_row(40059, june)),
    )
    (finding,) = [f for f in wide.build() if f.blocking]
    assert (finding.check, finding.partition) == ("institutions_readable", "2023-05")
    assert wide.ask("select fecha from bank_kpis.monthly_kpis") == [(june,)]


def test_every_row_of_the_real_files_is_accounted_for(real_data: Path) -> None:
    wanted = {
        "CASTIGOS.xlsx": (1960, "CASTIGOS"),
        "CNBV_Cartera_Bancos_2017_2019.xlsx": (4680, "Sheet1"),
        "ICAP_Bancos_to_2015.xlsx": (6559, "Sheet1"),
        "TDA_2021_11_to_2023_03.xlsx": (1461, "Sheet1"),
    }
    for name, (count, sheet) in wanted.items():
        path = real_data / "bank" / name
        (kind,) = [kind for kind, pattern in FILES.items() if pattern.fullmatch(name)]
        book = read(path, LAYOUTS[kind])
        with CalamineWorkbook.from_path(path) as workbook:
            rows = workbook.get_sheet_by_name(sheet).to_python()[1:]
        assert sum(any(cell != "" for cell in row) for row in rows) == count == book.offered
        landed = [row for month in book.months.values() for row in month.to_pylist()]
        assert (len(landed), book.rejected, book.left_out) == (count, (), ())
        assert not any(row["date_problem"] or row["unreadable_cells"] for row in landed)


def test_a_number_that_cannot_be_read_any_more_holds_its_month_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than nothing in its place; the other months of the workbook are as sent."""
    bank = Bank.at(tmp_path, monkeypatch)
    may, june = date(2023, 5, 1), date(2023, 6, 1)
    good = [portfolio_row(40059, may), portfolio_row(40059, june)]
    bank.write("CNBV_Cartera.xlsx", portfolio(*good))
    assert not [found for found in bank.build() if found.blocking]
    worse = portfolio_row(40059, june, **{"Cartera Total Etapa 1": "see note"})
    bank.write("CNBV_Cartera.xlsx", portfolio(portfolio_row(40059, may), worse))
    (finding,) = [found for found in bank.build() if found.blocking]
    assert finding.partition == "2023-06"
    assert (finding.check, "total_etapa_1: 1" in finding.summary) == ("values_still_readable", True)
    totals = bank.ask("select fecha, cartera_total from bank_kpis.monthly_kpis order by 1")
    assert [(month, total > 0) for month, total in totals] == [(may, True), (june, True)]
    # Taken out, the workbook holds nothing back, and what was landed stays.
    (bank.folder / "CNBV_Cartera.xlsx").unlink()
    assert not [found for found in bank.build() if found.blocking]
    snapshot = Snapshot(bank.lake)
    (table,) = (one for one in bank.tables if one.name == "cnbv_portfolio")
    assert not snapshot.behind(table)
    assert not snapshot.blocked_by(table, "values_still_readable")
    assert bank.ask("select fecha, cartera_total from bank_kpis.monthly_kpis order by 1") == totals


def test_formulas_without_a_saved_result_are_named(wide: Bank) -> None:
    """As programs write them that do not compute; their sum is NULL, not what is left of it."""
    row = portfolio_row(40059, date(2023, 5, 1))
    path = wide.write("CNBV_Cartera.xlsx", portfolio(row))
    column = PORTFOLIO_HEADER.index("Cartera Total Etapa 1")
    with xlsxwriter.Workbook(str(path)) as workbook:
        sheet = workbook.add_worksheet()
        sheet.write_row(0, 0, PORTFOLIO_HEADER)
        for place, cell in enumerate(row):
            sheet.write(1, place, f"{cell:%d/%m/%Y}" if isinstance(cell, date) else cell)
        sheet.write_formula(1, column, "=500+300")
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part.replace(b"</f><v>0</v>", b"</f>"))
    findings = wide.build()
    assert [finding.check for finding in findings] == ["values_readable"]
    assert "total_etapa_1 = formula without a saved result" in str(findings[0].rows)
    assert wide.ask("select cartera_total from bank_kpis.monthly_kpis") == [(None,)]


@pytest.mark.parametrize("text", ["1e999", "9" * 30, 1e300])
def test_a_number_that_no_column_holds_is_named(tmp_path: Path, text: object) -> None:
    rows = [["Cve_Inst", "Cve_Periodo", "TDA"], [40059, 202301, text]]
    book = read(write_workbook(tmp_path / "TDA.xlsx", {"A": rows}), TDA)
    (row,) = book.months["2023-01"].to_pylist()
    assert row["unreadable_cells"].startswith("C2 tda = ")


def test_a_row_of_nothing_but_errors_is_no_blank_row(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(str(tmp_path / "TDA.xlsx")) as workbook:
        sheet = workbook.add_worksheet()
        sheet.write_row(0, 0, ["Cve_Inst", "Cve_Periodo", "TDA"])
        sheet.write_row(1, 0, [40059, 202301, 4.5])
        for place in range(3):
            sheet.write_formula(2, place, "=1/0", value="#DIV/0!")
    with pytest.raises(SourceError, match="row 3 of sheet Sheet1"):
        read(tmp_path / "TDA.xlsx", TDA)

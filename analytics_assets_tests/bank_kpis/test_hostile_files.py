"""One workbook stops neither the banks nor the process: it is refused by name, and others land."""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path

import pytest
import xlsxwriter

from analytics_assets.core.source import SourceError
from analytics_assets.domains.bank_kpis import workbooks
from analytics_assets.domains.bank_kpis.layouts import PORTFOLIO as LAYOUT
from analytics_assets.domains.bank_kpis.legacy import LegacySource
from analytics_assets.domains.bank_kpis.sheets import sheets
from analytics_assets_tests.bank_kpis.books import PORTFOLIO, Bank, portfolio, portfolio_row
from analytics_assets_tests.landing import hostile

MONTH = date(2023, 1, 1)


def test_each_is_refused_by_name_and_the_good_one_lands(wide: Bank) -> None:
    wide.write(PORTFOLIO, portfolio(portfolio_row(40059, MONTH)))
    hostile.far_excel(wide.folder / "CNBV_Cartera_far.xlsx")
    hostile.far_excel(wide.folder / "Instituciones.xlsx")
    hostile.pipe(wide.folder / "ICAP.xlsx")
    hostile.loop(wide.folder / "TDA.xlsx")
    hostile.endless(wide.folder / "CASTIGOS.xlsx")
    started = time.monotonic()
    findings = wide.build()
    assert time.monotonic() - started < 120
    landed = wide.ask("select institution_code, month from bank_kpis.cnbv_portfolio", wide.tables)
    assert [code for code, _ in landed] == ["040059"]
    said = " ".join(str(finding) for finding in findings)
    far = "reading it takes more than 1,500 MB of memory, or breaks its reader"
    for name, why in {
        "CNBV_Cartera_far.xlsx": far,
        "Instituciones.xlsx": far,
        "ICAP.xlsx": "it is a named pipe, not a file",
        "TDA.xlsx": "it is a link that leads to itself, not a file",
        "CASTIGOS.xlsx": "it is a device, not a file",
    }.items():
        assert f"{wide.folder / name}: {why}" in said


def test_what_is_refused_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path / "home"))
    path = tmp_path / "CNBV_Cartera.xlsx"
    hostile.far_excel(path)
    with pytest.raises(SourceError, match="1,500 MB"):
        workbooks.read(path, LAYOUT)
    started = time.monotonic()
    for _ in range(100):
        with pytest.raises(SourceError, match="1,500 MB"):
            workbooks.read(path, LAYOUT)
    assert time.monotonic() - started < 1


def test_cells_come_back_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path / "home"))
    path = tmp_path / "cells.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet, hidden = book.add_worksheet("Año"), book.add_worksheet("b")
        hidden.hide()
        day, moment, hour, span = (
            book.add_format({"num_format": kind})
            for kind in ("yyyy-mm-dd", "yyyy-mm-dd hh:mm", "hh:mm", "[h]:mm:ss")
        )
        sheet.write_row(0, 1, ["é\n\"'", 0.1, -2.5e-300, True])
        sheet.write_datetime(1, 1, datetime(2024, 1, 10), day)
        sheet.write_datetime(1, 2, datetime(2024, 1, 10, 6, 30), moment)
        sheet.write_number(1, 3, 0.25, hour)
        sheet.write_number(1, 4, 1.5, span)
        sheet.write_formula(2, 1, "=1/0", value="#DIV/0!")
    found = sheets(path)
    assert list(found) == ["Año", "b"]
    assert [sheet.visible for sheet in found.values()] == [True, False]
    assert list(found["Año"].rows) == [
        ["", "é\n\"'", 0.1, -2.5e-300, True],
        ["", date(2024, 1, 10), datetime(2024, 1, 10, 6, 30), time_of_day(6), timedelta(hours=36)],
        [""] * 5,
    ]
    assert [type(cell) for cell in found["Año"].rows[1][1:3]] == [date, datetime]
    assert found["Año"].errors == {"B3": "#DIV/0!"}


def test_a_table_to_migrate_from_that_is_a_pipe_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile.pipe(tmp_path / "legacy.csv")
    monkeypatch.setenv("LEGACY_KPIS", str(tmp_path / "legacy.csv"))
    with pytest.raises(SourceError, match=r"legacy\.csv: it is a named pipe, not a file"):
        LegacySource(("fecha",)).inputs()

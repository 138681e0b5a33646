"""The regulator's own workbooks: published numbers, and the quirks that real files have."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from analytics_assets.domains.bank_kpis.layouts import ICAP, PORTFOLIO, WRITE_OFFS
from analytics_assets.domains.bank_kpis.workbooks import read
from analytics_assets_tests.bank_kpis.books import Bank, change, only

NAME = "CNBV_Cartera_Bancos_2017_2019.xlsx"


@pytest.fixture(scope="module")
def built(module_bank: Bank, real_data: Path) -> Bank:
    """The portfolio of 2017 to 2019."""
    shutil.copy(real_data / "bank" / NAME, module_bank.folder)
    module_bank.findings = module_bank.build()  # type: ignore[attr-defined]
    return module_bank


def test_every_institution_and_month_is_landed(built: Bank) -> None:
    rows = built.ask("select institution_code, count(distinct month) from bank_kpis.cnbv_portfolio"
                     " group by 1")  # fmt: skip
    # Its description says 135; no way of counting gives that.
    assert Counter(months for _, months in rows) == {36: 130}
    assert Counter(code.startswith("04") for code, _ in rows) == {True: 84, False: 46}
    assert {"5", "21", "040059", "159"} <= {code for code, _ in rows}


def test_nothing_blocks_and_only_unusual_ratios_warn(built: Bank) -> None:
    findings = built.findings  # type: ignore[attr-defined]
    assert {finding.check for finding in findings} <= {"ratios_plausible"}


def test_total_is_the_sum_of_segments_on_every_row(built: Bank) -> None:
    ((rows, wrong),) = built.ask(
        "select count(*), count(*) filter (where abs(cartera_total - cartera_comercial_total"
        " - cartera_consumo_total - cartera_vivienda_total) > 0.0001) from bank_kpis.monthly_kpis"
    )
    assert rows == 3059
    assert wrong == 0


def test_the_system_is_the_regulators_row_and_not_three_times_the_truth(built: Bank) -> None:
    rows = built.ask(
        "select month, max(cartera_total) filter (where institution_code = '5'),"
        " sum(cartera_total) filter (where level = 'bank'), sum(cartera_total)"
        " from bank_kpis.bank_months group by 1 order by 1"
    )
    assert len(rows) == 36
    for _, system, banks, everything in rows:
        assert abs(system - banks) < Decimal("0.01")
        assert everything > 3 * system
    shares = built.ask(
        "select market_share_pct from bank_kpis.monthly_kpis"
        " where banco_norm = 'SISTEMA' group by 1"
    )
    assert shares == [(Decimal(1),)]


def test_published_non_performing_ratio(built: Bank) -> None:
    ((imor,),) = built.ask(
        "select value from bank_kpis.fact_monthly_kpi join bank_kpis.dim_metric using (metric_id)"
        " where metric_code = 'imor' and bank_id = 21 and date_id = 201812"
    )
    assert round(100 * imor, 2) == Decimal("2.11")


def test_an_institution_is_absent_until_it_reports(built: Bank) -> None:
    months = built.ask("select fecha from bank_kpis.monthly_kpis where banco_norm = 'MIZUHO_BANK'"
                       " order by 1")  # fmt: skip
    assert months[0] == (date(2017, 4, 1),)
    assert len(months) == 33
    assert built.ask("select 1 from bank_kpis.bank_months where institution_code = '040999'") == []


@pytest.mark.slow
def test_a_restated_amount_touches_its_month_and_nothing_else(built: Bank) -> None:
    before = built.versions()

    def restate(row: list) -> None:
        if (row[0], row[1]) == (40059, 201805):
            row[27] += 10
            row[28] += 10

    assert change(built.folder / NAME, restate) == 1
    assert not only(built.build(run_id="restated"), "contract")
    after = built.versions()
    touched = {
        (table, month)
        for table in before
        for month in before[table].keys() | after[table].keys()
        if before[table].get(month) != after[table].get(month)
    }
    tables = (
        "cnbv_portfolio", "bank_months", "monthly_kpis", "kpi_versions", "fact_monthly_kpi",
        "fact_kpi_history",
    )  # fmt: skip
    assert touched == {(table, "2018-05") for table in tables}


def test_months_of_write_offs_whose_day_and_month_were_swapped(real_data: Path) -> None:
    book = read(real_data / "bank" / "CASTIGOS.xlsx", WRITE_OFFS)
    assert len(book.months) == 43
    assert sum(table.num_rows for table in book.months.values()) == 1960
    assert book.notes["dates with day and month swapped"] == "138"
    october = book.months["2024-10"].to_pylist()
    assert {row["fecha"] for row in october} == {"2024-01-10"}
    assert not any(row["date_problem"] for row in october)


def test_capital_ratios_of_institutions_by_their_codes(real_data: Path) -> None:
    book = read(real_data / "bank" / "ICAP_Bancos_to_2015.xlsx", ICAP)
    assert (min(book.months), max(book.months)) == ("2006-01", "2015-12")
    first = {row["institution_code"]: row for row in book.months["2015-12"].to_pylist()}
    assert first["040002"]["icap"] == "13.961586"
    blanks = sum(r["ccf"] is None for m in book.months.values() for r in m.to_pylist())
    assert blanks == 4452
    assert not any(r["unreadable_cells"] for m in book.months.values() for r in m.to_pylist())


def test_accents_do_not_matter(real_data: Path) -> None:
    book = read(real_data / "bank" / NAME, PORTFOLIO)
    assert "columns missing" not in book.notes

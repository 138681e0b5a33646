"""What is offered is landed, rejected or repeated, and people can ask what is in no table."""

from __future__ import annotations

import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from analytics_assets import registry, settings
from analytics_assets.core.source import Landing
from analytics_assets.domains.bank_kpis.rejected import RejectedSource
from analytics_assets.domains.bank_kpis.sources import WorkbookSource
from analytics_assets.domains.bank_kpis.tables import TABLES
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.bank_kpis.books import Bank, Row, only, portfolio, portfolio_row

HEADER = ["Cve_Inst", "Cve_Periodo", "TDA"]
AHEAD: Row = [40059, 205001, 4.5]
TOTAL: Row = ["Total", 202305, 9.0]
MAY, JUNE = date(2023, 5, 1), date(2023, 6, 1)


def _rows(count: int, month: int = 202305) -> list[Row]:
    return [[40_000 + number, month, 4.5] for number in range(1, count + 1)]


_COUNTS = st.tuples(st.integers(1, 20), *[st.integers(0, 5)] * 3)


@hypothesis_settings(max_examples=12, deadline=None)
@given(st.lists(_COUNTS, min_size=1, max_size=3))
def test_every_row_is_landed_rejected_repeated_or_no_record(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[int, int, int, int]]
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        bank = Bank.at(tmp_path_factory.mktemp("bank"), monkeypatch)
        for number, (good, again, ahead, totals) in enumerate(files):
            rows = _rows(good)
            rows += [*rows[:again], *[AHEAD] * ahead, *[TOTAL] * totals]
            bank.write(f"TDA_{number}.xlsx", [HEADER, *rows])
        offered = sum(good + min(good, again) for good, again, *_ in files)
        landed = max(good for good, *_ in files)
        source = WorkbookSource("cnbv_tda")
        source.inputs()
        report: dict[str, int] = {}
        with open_session(settings.load()) as session:
            with source.land(Landing(session, "2023-05", report, lambda _: {})) as (select,):
                assert len(session.execute(select).fetchall()) == landed
            aside = Landing(session, "all", {}, lambda _: {})
            with RejectedSource().land(aside) as (select,):
                found = session.execute(f"select reason, count(*) from ({select}) group by 1")
                counted = {reason.split()[0]: rows for reason, rows in found.fetchall()}
        assert {name: report[f"rows {name}"] for name in ("offered", "landed", "repeated")} == {
            "offered": offered,
            "landed": landed,
            "repeated": offered - landed,
        }
        assert (counted.get("month", 0), counted.get("a", 0)) == (
            sum(ahead for _, _, ahead, _ in files),
            sum(totals for *_, totals in files),
        )
        tallies = {tally.file: tally for tally in source.tallies("2023-05")}
        for number, (good, again, ahead, _) in enumerate(files):
            if ahead:
                tally = tallies[f"TDA_{number}.xlsx"]
                assert tally.offered == good + min(good, again) + ahead
                assert (tally.rejected, tally.first_row) == (ahead, tally.offered - ahead + 2)


def test_too_many_rejected_rows_hold_the_month_back_until_the_workbook_is_mended(
    wide: Bank,
) -> None:
    wide.write("TDA.xlsx", [HEADER, *_rows(94), *[AHEAD] * 6])
    (held,) = only(wide.build(), "rejected_share")
    assert (held.partition, held.blocking) == ("2023-05", True)
    assert (
        "(TDA.xlsx: 6 of 100 rows, most as month 2050-01 is more than one month ahead,"
        " first row 96)" in held.message
    )
    assert wide.ask("select * from bank_kpis.cnbv_tda") == []
    rejected = wide.ask("select feed, file, file_rows, file_row, record"
                        " from bank_kpis.rejected_record order by file_row")  # fmt: skip
    assert [row[:4] for row in rejected] == [
        ("cnbv_tda", "TDA.xlsx", 100, number) for number in range(96, 102)
    ]
    assert json.loads(rejected[0][4])["periodo"] == "205001"
    # The good rows are the same: only what was rejected is another.
    wide.write("TDA.xlsx", [HEADER, *_rows(94), AHEAD, TOTAL])
    (told,) = only(wide.build(), "rejected_share")
    assert not told.blocking
    wide.write("TDA.xlsx", [HEADER, *_rows(94)])
    assert only(wide.build(), "rejected_share") == []
    assert wide.ask("select count(*) from bank_kpis.rejected_record") == [(0,)]
    assert wide.ask("select count(*) from bank_kpis.cnbv_tda") == [(94,)]


def test_a_row_in_two_workbooks_lands_once(wide: Bank) -> None:
    for name in ("CNBV_Cartera_a.xlsx", "CNBV_Cartera_b.xlsx"):
        wide.write(name, portfolio(portfolio_row(40059, MAY)))
    assert wide.build() == []
    assert wide.ask("select source_file from bank_kpis.cnbv_portfolio") == [
        ("CNBV_Cartera_a.xlsx",)
    ]


def test_a_file_that_nothing_reads_is_named(wide: Bank) -> None:
    wide.write("Cartera.xlsx", portfolio(portfolio_row(40059, MAY)))
    wide.write("CNBV_Cartera.xlsx", portfolio(portfolio_row(40059, MAY)))
    (told,) = only(wide.build(), "files_landed")
    assert "Cartera.xlsx: it is no Excel workbook whose name begins" in told.message
    (problem,) = registry.problems(TABLES)
    assert problem.startswith(str(wide.folder / "Cartera.xlsx"))


def test_a_workbook_of_nothing_but_rejected_rows_is_refused(wide: Bank) -> None:
    wide.write("TDA.xlsx", [HEADER, AHEAD])
    (told,) = only(wide.build(), "files_landed")
    assert "no row that can be landed, as row 2: month 2050-01" in told.message


def _units(bank: Bank) -> list[tuple[str, str, str]]:
    return bank.ask("select month, unit, tda from bank_kpis.cnbv_tda order by month")


def test_a_month_below_one_percent_stays_in_percent(wide: Bank) -> None:
    months = [[40059, 202301, 4.5], [40059, 202302, 0.9], [40059, 202303, 0.045]]
    wide.write("TDA.xlsx", [HEADER, *months])
    assert wide.build() == []
    assert [unit for _, unit, _ in _units(wide)] == ["percent", "percent", "ratio"]


def test_the_unit_is_that_of_other_workbooks_and_of_what_is_live(wide: Bank) -> None:
    alone = [HEADER, [40059, 202302, 0.9]]
    wide.write("TDA_b.xlsx", alone)
    (told,) = wide.build()
    assert "tda of 2023-02 can be percentages or ratios" in told.message
    assert _units(wide) == []
    wide.write("TDA_a.xlsx", [HEADER, [40059, 202301, 4.5]])
    assert wide.build() == []
    (wide.folder / "TDA_a.xlsx").unlink()
    wide.write("TDA_b.xlsx", [*alone, [40059, 202303, 0.5]])
    wide.build()
    found = {month: unit for month, unit, _ in _units(wide)}
    assert found["2023-02-01"] == found["2023-03-01"] == "percent"


@pytest.mark.parametrize(
    ("values", "unit"), [([0.045], "ratio"), ([0.5] * 10, "ratio"), ([45.0, 0.5], "percent")]
)
def test_a_unit_that_one_workbook_tells(wide: Bank, values: list[float], unit: str) -> None:
    wide.write("TDA.xlsx", [HEADER, *([40_001 + n, 202301, v] for n, v in enumerate(values))])
    wide.build()
    assert {found for _, found, _ in _units(wide)} == {unit}


def test_the_horizon_is_not_moved_by_a_month_far_ahead(bank: Bank) -> None:
    ahead = portfolio_row(40012, date(2050, 1, 1))
    rows = [portfolio_row(40059, MAY), portfolio_row(40012, MAY), portfolio_row(40059, JUNE)]
    bank.write("CNBV_Cartera.xlsx", portfolio(*rows, ahead))
    assert {finding.check for finding in bank.build()} == {"rejected_share"}
    current = bank.ask("select full_date from bank_kpis.dim_date where is_current")
    assert current == [(JUNE,)]
    active = bank.ask("select bank_id from bank_kpis.dim_bank where is_active")
    assert active == [(40059,)]

"""The bank routes over what the regulator's workbooks give, and over a year of second days."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import httpx
import pytest

from analytics_assets.domains.bank_kpis.migration_assets import settle_production
from analytics_assets.warehouse.ledger import now
from analytics_assets_tests.api.conftest import Production, client_of
from analytics_assets_tests.bank_kpis.books import Bank, portfolio, portfolio_row

BANKS = "/api/v1/banks"
MONTHS = (1, 2, 11)


@contextmanager
def _served(
    bank: Bank, production: Production, monkeypatch: pytest.MonkeyPatch
) -> Iterator[httpx.Client]:
    monkeypatch.setenv("PRODUCTION_URL", production.promoter)
    monkeypatch.setenv("DAGSTER_PG_URL", production.promoter)
    assert not [finding for finding in bank.build() if finding.blocking]
    bank.promote()
    settle_production(now())
    with client_of(production, domain="bank_kpis") as client:
        yield client


def _answers(client: httpx.Client, month: str, bank: str = "INVEX") -> tuple[int, int, list[float]]:
    """How many banks there are, how many are ranked, and the bank's values from this month on."""
    metric = {"metric_code": "tda"}
    found = []
    for path, asked in (
        ("banks", {}),
        ("ranking", {**metric, "date": month}),
        ("evolution", {**metric, "bank_code": bank, "date_start": month, "date_end": "2023-12-01"}),
    ):
        answer = client.get(f"{BANKS}/{path}", params=asked)
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
    banks, ranked, values = found
    return banks["total"], len(ranked["data"]), [value["value"] for value in values["data"]]


def test_a_year_of_second_days_is_read_by_its_periods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_production: Production
) -> None:
    bank = Bank.at(tmp_path, monkeypatch)
    bank.write("CNBV_Cartera.xlsx", portfolio(portfolio_row(40059, date(2022, 6, 1))))
    months = [(code, m) for m in MONTHS for code in (40059, 40012)]
    rows = [[code, 202200 + m, f"{m:02}/02/2022", 4 + m / 10] for code, m in months]
    bank.write("TDA.xlsx", [["cve_institucion", "cve_periodo", "fecha", "TDA"], *rows])
    with _served(bank, own_production, monkeypatch) as client:
        total, ranked, values = _answers(client, "2022-01-01")
    assert total > 2
    assert ranked == 2
    assert values == pytest.approx([0.04 + m / 1000 for m in MONTHS])


@pytest.mark.slow
def test_the_regulators_workbooks_answer_for_2022_and_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_production: Production, real_data: Path
) -> None:
    bank = Bank.at(tmp_path, monkeypatch)
    for path in (real_data / "bank").glob("*.xlsx"):
        shutil.copy(path, bank.folder)
    with _served(bank, own_production, monkeypatch) as client:
        for month, count in (("2022-01-01", 15), ("2022-12-01", 4), ("2023-03-01", 1)):
            total, ranked, values = _answers(client, month)
            assert total >= 130
            assert ranked == 10
            assert len(values) == count

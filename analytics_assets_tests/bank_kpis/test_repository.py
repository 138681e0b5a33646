"""Answers of the repository, and errors that name the nearest code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal
from typing import TypeVar

import pytest

from analytics_assets import settings
from analytics_assets.domains.bank_kpis.repository import (
    MetricRepository,
    UnknownBank,
    UnknownMetric,
    reading_engine,
)
from analytics_assets.production import server
from analytics_assets_tests.bank_kpis.books import Bank

T = TypeVar("T")
JANUARY, FEBRUARY = date(2023, 1, 1), date(2023, 2, 1)
Ask = Callable[[Callable[[MetricRepository], Awaitable[T]]], T]


@pytest.fixture(params=["dual_write", "direct"])
def ask(module_promoted: Bank, request: pytest.FixtureRequest) -> Ask:
    """Runs a question against the wide table and against the star."""

    def run(question: Callable[[MetricRepository], Awaitable[T]]) -> T:
        async def once() -> T:
            engine = reading_engine(server.urls(settings.load()).reader)
            try:
                return await question(MetricRepository(engine, request.param))
            finally:
                await engine.dispose()

        return asyncio.run(once())

    return run


def test_evolution(ask: Ask, module_promoted: Bank) -> None:
    found = ask(lambda r: r.get_evolution("INVEX", "cartera_total", JANUARY, date(2030, 1, 1)))
    rows = module_promoted.production(
        "select fecha, cartera_total from bank_kpis.monthly_kpis where banco_norm = 'INVEX'"
        " order by 1"
    )
    assert [(value.date, value.value) for value in found] == rows
    assert {(value.bank_code, value.metric_code) for value in found} == {("INVEX", "cartera_total")}
    by_code = ask(lambda r: r.get_evolution("040059", "cartera_total", JANUARY, date(2023, 3, 31)))
    assert by_code == found


def test_months_without_a_value_are_no_error(ask: Ask) -> None:
    early = date(2001, 1, 1)
    assert ask(lambda r: r.get_evolution("INVEX", "imor", early, early)) == []
    assert ask(lambda r: r.get_ranking("imor", early)) == []
    assert ask(lambda r: r.get_comparison([], "imor", early)) == []
    # The portfolio of a group has no capital ratio.
    found = ask(lambda r: r.get_comparison(["G_7", "INVEX"], "icap", JANUARY))
    assert [value.bank_code for value in found] == ["INVEX"]


def test_ranking_ranks_banks_and_no_aggregates(ask: Ask) -> None:
    found = ask(lambda r: r.get_ranking("cartera_total", date(2023, 2, 17), 10))
    assert [value.bank_code for value in found] == ["BBVA_MEXICO", "INVEX", "ABC_CAPITAL"]
    least = ask(lambda r: r.get_ranking("cartera_total", FEBRUARY, 2, descending=False))
    assert [value.bank_code for value in least] == ["ABC_CAPITAL", "INVEX"]
    assert all(isinstance(value.value, Decimal) for value in found)


@pytest.mark.parametrize(
    ("question", "error", "message"),
    [
        (lambda r: r.get_evolution("INVXE", "imor", JANUARY, FEBRUARY), UnknownBank, "INVEX"),
        (lambda r: r.get_evolution("invex", "imor", JANUARY, FEBRUARY), UnknownBank, "INVEX"),
        (lambda r: r.get_evolution("INVEX", "imorr", JANUARY, FEBRUARY), UnknownMetric, "imor"),
        (lambda r: r.get_comparison(["INVEX", "SISTEM"], "imor", JANUARY), UnknownBank, "SISTEMA"),
        (lambda r: r.get_comparison(["INVEX"], "icpa", JANUARY), UnknownMetric, "icap"),
        (lambda r: r.get_ranking("cartera_totl", JANUARY), UnknownMetric, "cartera_total"),
        (lambda r: r.get_ranking('imor" from x; --', JANUARY), UnknownMetric, "There is no metric"),
        (lambda r: r.get_ranking("imor", JANUARY, 0), ValueError, "at least 1"),
        (lambda r: r.get_evolution("INVEX", "imor", FEBRUARY, JANUARY), ValueError, "is after"),
    ],
)
def test_errors_say_what_is_nearest(
    ask: Ask, question: Callable, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ask(question)


def test_lists(ask: Ask) -> None:
    metrics = {metric.metric_code: metric for metric in ask(lambda r: r.list_metrics())}
    assert len(metrics) >= 20
    imor = metrics["imor"]
    assert (imor.metric_type, imor.unit, imor.precision, imor.formula) == (
        "ratio", "%", 2, "total_etapa_3 / cartera_total"
    )  # fmt: skip
    banks = {bank.bank_code: bank for bank in ask(lambda r: r.list_banks())}
    assert (banks["INVEX"].bank_type, banks["INVEX"].institution_code) == ("individual", "040059")
    assert (banks["SISTEMA"].bank_type, banks["SISTEMA"].level) == ("aggregate", "system")
    assert (banks["INVEX"].is_active, banks["SANTANDER"].is_active) == (True, False)


def test_readers_cannot_write(module_promoted: Bank) -> None:
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    async def write() -> None:
        engine = reading_engine(server.urls(settings.load()).reader)
        try:
            async with engine.connect() as connection:
                await connection.execute(text("delete from bank_kpis_store.dim_bank"))
        finally:
            await engine.dispose()

    with pytest.raises(DBAPIError, match=r"read-only transaction|permission denied"):
        asyncio.run(write())

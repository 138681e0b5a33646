"""The phases in production: each entered and taken back, and readers of the old table found."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from analytics_assets import settings
from analytics_assets.core.declaration import Publish, Table
from analytics_assets.core.source import SourceError
from analytics_assets.definitions import build
from analytics_assets.domains.bank_kpis.metrics import METRICS_FILE, read_metrics
from analytics_assets.domains.bank_kpis.migration import Settled, settle
from analytics_assets.domains.bank_kpis.phases import PHASES, wanted_phase
from analytics_assets.domains.bank_kpis.repository import (
    MetricRepository,
    MetricValue,
    reading_engine,
)
from analytics_assets.domains.bank_kpis.sample import generate
from analytics_assets.domains.bank_kpis.star_view import differences
from analytics_assets.domains.bank_kpis.tables import TABLES, bank_tables
from analytics_assets.production import server
from analytics_assets.production.dependents import DependentError
from analytics_assets.production.promotion import production_engine
from analytics_assets_tests.bank_kpis.books import Bank
from analytics_assets_tests.bank_kpis.conftest import BANKS

NOW = datetime(2024, 3, 1, 4, tzinfo=timezone.utc)
DAY = timedelta(days=1)
COLUMNS = (
    "select attname, format_type(atttypid, atttypmod) from pg_attribute"
    " where attrelid = 'bank_kpis.{}'::regclass and attnum > 0 order by attnum"
)


class Production:
    """A promoted star and wide table, and what tests do with them."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank

    def refresh(self, metrics_file: Path = METRICS_FILE, retired: bool = False) -> None:
        tables = bank_tables(metrics_file, retired)
        assert not any(finding.blocking for finding in self.bank.build(tables))
        self.bank.promote(tables)

    def fourth_month(self) -> None:
        generate(self.bank.folder, months=4, banks=BANKS)

    @property
    def wide(self) -> Table:
        return next(table for table in bank_tables() if table.name == "monthly_kpis")

    def settle(
        self, wanted: str, now: datetime = NOW, quiet: float = 7, file: Path = METRICS_FILE
    ) -> Settled:
        with (
            production_engine(server.urls(settings.load()).promoter) as engine,
            engine.begin() as connection,
        ):
            wide = next(t for t in bank_tables(file) if t.name == "monthly_kpis")
            return settle(connection, wide, read_metrics(file), wanted, now, quiet)

    def write(self, sql: str) -> None:
        with (
            production_engine(server.urls(settings.load()).promoter) as engine,
            engine.begin() as connection,
        ):
            connection.execute(sa.text(sql))

    def read(self, sql: str) -> list[tuple[Any, ...]]:
        return self.bank.production(sql)

    def names(self) -> set[str]:
        rows = self.read(
            "select table_schema || '.' || table_name from information_schema.tables"
            " where table_schema = 'bank_kpis' and table_name ~ 'monthly_kpis'"
        )
        return {name for (name,) in rows}

    def asked(self, phase: str | None = None) -> list[list[MetricValue]]:
        """What a reader asks, in a phase or in the one that is in force."""

        async def ask() -> list[list[MetricValue]]:
            engine = reading_engine(server.urls(settings.load()).reader)
            try:
                repository = MetricRepository(engine, phase)
                month = date(2023, 2, 1)
                return [
                    await repository.get_evolution(
                        "INVEX", "imor", date(2023, 1, 15), date(2023, 3, 31)
                    ),
                    await repository.get_comparison(["SISTEMA", "040138", "INVEX"], "icap", month),
                    await repository.get_ranking("cartera_total", month, 3),
                    await repository.get_ranking("imor", month, 2, descending=False),
                ]
            finally:
                await engine.dispose()

        return asyncio.run(ask())


@pytest.fixture
def production(promoted: Bank) -> Production:
    return Production(promoted)


def test_phases_forth_and_back_give_the_same_answers(production: Production) -> None:
    assert production.settle("dual_write").phase == "dual_write"
    expected = production.asked()
    evolution, comparison, ranking, lowest = expected
    assert [value.date.month for value in evolution] == [1, 2, 3]
    assert [value.bank_code for value in comparison] == ["SISTEMA", "ABC_CAPITAL", "INVEX"]
    assert [v.bank_code for v in ranking] == ["BBVA_MEXICO", "INVEX", "ABC_CAPITAL"]
    assert lowest[0].value < lowest[1].value
    wide = production.read("select * from bank_kpis.monthly_kpis order by fecha, banco_norm")
    entered = []
    for day, phase in enumerate(("view", "direct", "view", "dual_write", "direct")):
        settled = production.settle(phase, NOW + day * DAY)
        assert (settled.phase, settled.refused) == (phase, "")
        assert production.asked() == expected
        entered.append(settled.done[-1])
    view = production.read("select * from bank_kpis.v_monthly_kpis order by fecha, banco_norm")
    assert view == wide
    assert production.read(COLUMNS.format("v_monthly_kpis")) == production.read(
        COLUMNS.format("monthly_kpis")
    )
    # A second time there is nothing to do.
    assert production.settle("direct", NOW + 5 * DAY).done == []

    late = production.settle("retired", NOW + 20 * DAY)
    assert (late.phase, late.refused) == ("retired", "")
    assert production.asked() == expected
    assert production.names() == {
        "bank_kpis.v_monthly_kpis", "bank_kpis.monthly_kpis_deprecated",
    }  # fmt: skip
    # Taken back within 30 days, the table is there as it was.
    back = production.settle("direct", NOW + 30 * DAY)
    assert (back.phase, back.refused) == ("direct", "")
    again = production.read("select * from bank_kpis.monthly_kpis order by fecha, banco_norm")
    assert again == wide
    production.refresh()
    assert production.asked() == expected


def test_every_phase_gives_the_same_answers_for_every_reader(production: Production) -> None:
    production.settle("dual_write")
    assert len({repr(production.asked(phase)) for phase in PHASES}) == 1


def test_retiring_waits_for_readers_and_names_them(production: Production) -> None:
    assert production.settle("direct").phase == "direct"
    day = NOW + 10 * DAY
    assert len(production.read("select * from bank_kpis.monthly_kpis")) > 10
    refused = production.settle("retired", day)
    assert refused.phase == "direct"
    assert "monthly_kpis was read, seen last at 2024-03-11 04:00" in refused.refused
    # The old name goes on to answer, from the star, which is still written.
    assert production.names() >= {"bank_kpis.monthly_kpis"}
    production.fourth_month()
    production.refresh(retired=True)
    months = "select count(distinct fecha) from bank_kpis.monthly_kpis"
    assert production.read(months) == [(4,)]
    refused = production.settle("retired", day + 8 * DAY)
    assert "seen last at 2024-03-19" in refused.refused
    assert "7 days" in production.settle("retired", day + 14 * DAY).refused
    assert production.settle("retired", day + 15 * DAY + DAY / 24).phase == "retired"


@pytest.mark.slow
def test_our_own_promotions_are_no_readers(production: Production) -> None:
    assert production.settle("direct").phase == "direct"
    production.fourth_month()
    production.refresh()
    assert differences_of(production) == []
    assert production.settle("direct", NOW + DAY).done == []
    assert production.settle("retired", NOW + 8 * DAY).phase == "retired"


def differences_of(production: Production) -> list[Any]:
    with (
        production_engine(server.urls(settings.load()).promoter) as engine,
        engine.connect() as connection,
    ):
        return differences(connection, production.wide)


def test_retiring_is_refused_while_a_view_is_made_from_the_table(production: Production) -> None:
    production.settle("direct")
    production.write("create view public.mine as select banco_norm from bank_kpis.monthly_kpis")
    refused = production.settle("retired", NOW + 30 * DAY)
    assert "mine is made from bank_kpis.monthly_kpis" in refused.refused
    production.write("drop view public.mine")
    assert production.settle("retired", NOW + 30 * DAY).phase == "retired"


@pytest.mark.slow
def test_retiring_is_refused_while_somebody_reads_at_this_moment(production: Production) -> None:
    production.settle("direct")
    with (
        production_engine(server.urls(settings.load()).reader, read_only=True) as engine,
        engine.connect() as connection,
    ):
        connection.exec_driver_sql("set application_name = 'old dashboard'")
        connection.exec_driver_sql("select * from bank_kpis.monthly_kpis").fetchall()
        refused = production.settle("retired", NOW + 30 * DAY, quiet=0)
        assert "is being read by old dashboard" in refused.refused


@pytest.mark.slow
def test_the_renamed_table_goes_after_thirty_days_and_can_still_be_had_back(
    production: Production,
) -> None:
    production.settle("direct")
    expected = production.asked()
    wide = production.read("select * from bank_kpis.monthly_kpis order by 1, 2")
    start = NOW + 30 * DAY
    assert production.settle("retired", start, quiet=0).phase == "direct"
    assert production.settle("retired", start + DAY, quiet=0).phase == "retired"
    production.refresh(retired=True)
    assert production.settle("retired", start + 30 * DAY).done == []
    gone = production.settle("retired", start + 31 * DAY)
    assert gone.done == ["bank_kpis.monthly_kpis_deprecated dropped after 30 days"]
    assert production.names() == {"bank_kpis.v_monthly_kpis"}
    assert production.asked() == expected
    production.refresh()
    assert production.settle("dual_write", start + 32 * DAY).phase == "dual_write"
    assert production.read("select * from bank_kpis.monthly_kpis order by 1, 2") == wide
    assert production.asked() == expected


def test_a_phase_is_not_entered_where_wide_and_star_differ(production: Production) -> None:
    production.settle("dual_write")
    production.write(
        "update bank_kpis_store.fact_monthly_kpi set value = value + 1"
        " where bank_id = 40059 and metric_id = 12 and date_id = 202302"
    )
    refused = production.settle("direct")
    assert refused.phase == "dual_write"
    assert "first in imor of INVEX 2023-02-01" in refused.refused
    cells = differences_of(production)
    assert [(cell.bank_code, cell.month, cell.column) for cell in cells] == [
        ("INVEX", "2023-02-01", "imor")
    ]


def test_a_new_metric_in_view_and_repository(production: Production, tmp_path: Path) -> None:
    production.settle("view")
    before = production.read(COLUMNS.format("fact_monthly_kpi"))
    file = tmp_path / "metrics.csv"
    shutil.copy(METRICS_FILE, file)
    with file.open("a") as rows:
        rows.write(
            "31,leverage,Leverage,ratio,%,4,true,abs(reservas_total) / sistema_cartera_total,New.\n"
        )
    production.refresh(file)
    settled = production.settle("view", file=file)
    assert settled.done[0] == "bank_kpis.v_monthly_kpis made"
    assert production.read(COLUMNS.format("fact_monthly_kpi")) == before
    shown = production.read("select leverage from bank_kpis.v_monthly_kpis where leverage > 0")
    assert len(shown) > 10

    async def ask() -> tuple[list[MetricValue], list[str]]:
        engine = reading_engine(server.urls(settings.load()).reader)
        try:
            repository = MetricRepository(engine)
            found = await repository.get_ranking("leverage", date(2023, 2, 1))
            metrics = [metric.metric_code for metric in await repository.list_metrics()]
            return found, metrics
        finally:
            await engine.dispose()

    ranking, metrics = asyncio.run(ask())
    assert len(ranking) == 3
    assert all(isinstance(value.value, Decimal) for value in ranking)
    assert metrics[-1] == "leverage"


def test_the_star_may_change_its_shape_under_the_view(production: Production) -> None:
    production.settle("direct")
    # The old name over the star, over the view: three views deep.
    production.settle("retired")
    view = "select * from bank_kpis.v_monthly_kpis order by fecha, banco_norm"
    before, asked = production.read(view), production.asked()
    tables = tuple(
        replace(table, publish=Publish(("date_id",))) if table.name == "fact_monthly_kpi" else table
        for table in bank_tables()
    )
    production.bank.promote(tables)
    indexes = "select indexname from pg_indexes where tablename = 'fact_monthly_kpi'"
    assert ("fact_monthly_kpi_date_id",) in production.read(indexes)
    assert production.read(view) == before
    assert production.asked() == asked
    assert len(production.read("select * from bank_kpis.monthly_kpis")) == len(before)


@pytest.mark.slow
def test_a_view_of_a_reader_that_would_not_fit_is_named(
    production: Production, tmp_path: Path
) -> None:
    production.settle("view")
    production.write("create view public.mine as select tda from bank_kpis.v_monthly_kpis")
    file = tmp_path / "metrics.csv"
    rows = METRICS_FILE.read_text().splitlines(keepends=True)
    file.write_text("".join(row for row in rows if ",tda," not in row))
    production.refresh(file)
    with pytest.raises(DependentError, match=r"public\.mine .* Drop it"):
        production.settle("view", file=file)
    production.write("drop view public.mine")
    assert production.settle("view", file=file).done[0] == "bank_kpis.v_monthly_kpis made"


def test_an_unknown_phase_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANK_KPIS_PHASE", "drop_it")
    with pytest.raises(SourceError, match="dual_write, view, direct, retired"):
        wanted_phase()


@pytest.mark.slow
def test_the_job_settles_and_checks(
    production: Production, monkeypatch: pytest.MonkeyPatch
) -> None:
    from analytics_assets.domains.bank_kpis.migration_assets import JOB

    monkeypatch.setenv("BANK_KPIS_PHASE", "direct")
    job = build(TABLES).resolve_job_def(JOB)
    result = job.execute_in_process(instance=dg.DagsterInstance.ephemeral())
    checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert checks == {"equals_monthly_kpis": True, "phase_in_force": True}
    assert production.read("select phase from bank_kpis.migration_log order by id") == [
        ("dual_write",), ("view",), ("direct",),
    ]  # fmt: skip

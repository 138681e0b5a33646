"""The star: its history, its agreement with the wide table, and a metric added as data."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pytest
import sqlalchemy as sa

from analytics_assets.core.columns import DeclarationError
from analytics_assets.core.source import Landing, SourceError
from analytics_assets.dictionary import dictionary
from analytics_assets.domains.bank_kpis.legacy import LegacySource
from analytics_assets.domains.bank_kpis.metrics import METRICS_FILE, read_metrics
from analytics_assets.domains.bank_kpis.sample import generate
from analytics_assets.domains.bank_kpis.tables import TABLES, bank_tables
from analytics_assets.warehouse.lake import Lake
from analytics_assets_tests.bank_kpis.books import Bank, change, grow
from analytics_assets_tests.bank_kpis.conftest import BANKS
from analytics_assets_tests.conftest import as_admin

NAME = "CNBV_Cartera_Bancos_2023_2023.xlsx"
BY_NAME = {table.name: table for table in TABLES}
HISTORY = (
    "select bank_id, metric_code, date_id, old_value, new_value, run_id"
    " from bank_kpis.fact_kpi_history join bank_kpis.dim_metric using (metric_id) order by all"
)


def restate(bank: Bank, by: float) -> None:
    def edit(row: list[Any]) -> None:
        if (row[0], row[1]) == (159, 202302):
            grow(row, by)

    assert change(bank.folder / NAME, edit) == 1


def test_wide_and_star_agree_cell_by_cell(filled: Bank) -> None:
    metrics = read_metrics()
    cells = " union all ".join(
        f"select banco_norm, fecha, {m.metric_id} as metric_id, {m.metric_code} as value"
        f" from bank_kpis.monthly_kpis where {m.metric_code} is not null"
        for m in metrics
    )
    star = (
        "select bank_code, full_date, metric_id, value from bank_kpis.fact_monthly_kpi"
        " join bank_kpis.dim_bank using (bank_id) join bank_kpis.dim_date using (date_id)"
    )
    assert filled.ask(f"({cells}) except ({star})") == []
    assert filled.ask(f"({star}) except ({cells})") == []
    assert filled.ask("select count(*) from bank_kpis.fact_monthly_kpi")[0][0] > 600
    assert len(metrics) >= 20


def test_a_star_that_differs_is_not_published(
    filled: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = bank_tables()
    fact = next(table for table in broken if table.name == "fact_monthly_kpi")
    assert fact.sql is not None
    wrong = fact.sql.replace("        value,\n", "        value + 1 as value,\n")
    assert wrong != fact.sql
    object.__setattr__(fact, "sql", wrong)
    fact.__dict__.pop("meaning", None)
    before = filled.versions()
    findings = filled.build(broken)
    assert {(finding.check, finding.blocking) for finding in findings if finding.blocking} == {
        ("equals_wide_table", True)
    }
    assert filled.versions()["fact_monthly_kpi"] == before["fact_monthly_kpi"]


def test_a_first_load_and_an_identical_one_write_no_history(filled: Bank) -> None:
    assert filled.ask(HISTORY) == []
    before = filled.versions()
    generate(filled.folder, months=3, banks=BANKS)
    assert filled.build(run_id="again") == []
    assert filled.versions() == before


def test_a_restated_month_writes_history_for_exactly_the_changed_values(filled: Bank) -> None:
    values = "select bank_id, metric_code, date_id, value from bank_kpis.fact_monthly_kpi join" \
             " bank_kpis.dim_metric using (metric_id)"  # fmt: skip
    before = {row[:3]: row[3] for row in filled.ask(values)}
    restate(filled, 100.0)
    filled.build(run_id="second")
    after = {row[:3]: row[3] for row in filled.ask(values)}
    changed = sorted(
        (*key, before[key], after[key], "second") for key in after if after[key] != before[key]
    )
    assert filled.ask(HISTORY) == changed
    assert {row[0] for row in changed} == {159}
    assert "imor" in {row[1] for row in changed}
    assert "icap" not in {row[1] for row in changed}
    (touched,) = filled.ask(
        "select count(*) filter (where updated_at > created_at) from bank_kpis.fact_monthly_kpi"
    )
    assert touched == (len(changed),)


@pytest.mark.slow
def test_a_value_that_goes_and_comes_back_has_a_history_of_both(filled: Bank) -> None:
    path = filled.folder / NAME
    good = path.read_bytes()

    def empty(row: list[Any]) -> None:
        if (row[0], row[1]) == (40138, 202302):
            row[5:] = [0.0] * len(row[5:])

    change(path, empty)
    filled.build(run_id="gone")
    assert filled.ask("select 1 from bank_kpis.fact_monthly_kpi where bank_id = 40138"
                      " and date_id = 202302 and metric_id = 12") == []  # fmt: skip
    path.write_bytes(good)
    filled.build(run_id="back")
    rows = [row for row in filled.ask(HISTORY) if row[:2] == (40138, "imor")]
    assert [(row[3] is None, row[4] is None, row[5]) for row in rows] in (
        [(False, True, "gone"), (True, False, "back")],
        [(True, False, "back"), (False, True, "gone")],
    )
    assert filled.ask("select count(*) from bank_kpis.monthly_kpis where imor is null") == [(0,)]


@pytest.mark.slow
def test_rebuilding_gives_the_same_history(filled: Bank) -> None:
    restate(filled, 100.0)
    filled.build(run_id="second")
    history, before = filled.ask(HISTORY), filled.versions()
    versions = BY_NAME["kpi_versions"]
    rebuilt = bank_tables()
    for table in rebuilt:
        if table.name in ("kpi_versions", "fact_kpi_history", "fact_monthly_kpi"):
            object.__setattr__(table, "sql", f"{table.sql}\n-- another declaration\n")
    assert filled.build(rebuilt, run_id="third") == []
    assert filled.ask(HISTORY) == history
    assert filled.versions() == before
    assert versions.reads_itself


@pytest.mark.slow
def test_a_kill_between_staging_and_publishing_loses_and_doubles_nothing(
    filled: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    restate(filled, 100.0)
    publish = Lake.publish

    def killed(self: Lake, table: Any, *arguments: Any) -> int:
        if table.name == "kpi_versions":
            raise KeyboardInterrupt
        return publish(self, table, *arguments)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patched.setattr(Lake, "publish", killed)
        filled.build(run_id="killed")
    filled.build(run_id="second")
    rows = filled.ask(HISTORY)
    assert rows
    assert {row[5] for row in rows} == {"second"}
    recorded = filled.ask("select max(version), count(*) filter (where version > 1)"
                          " from bank_kpis.kpi_versions")  # fmt: skip
    assert recorded == [(2, len(rows))]


@pytest.mark.slow
def test_a_kill_after_publishing_and_before_the_ledger_adds_nothing(
    filled: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    from analytics_assets.warehouse.ledger import BuildLedger

    restate(filled, 100.0)
    record = BuildLedger.record

    def killed(self: BuildLedger, builds: Any) -> None:
        if any(build.table == "bank_kpis/kpi_versions" for build in builds):
            raise KeyboardInterrupt
        record(self, builds)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patched.setattr(BuildLedger, "record", killed)
        filled.build(run_id="killed")
    filled.build(run_id="second")
    assert {row[5] for row in filled.ask(HISTORY)} == {"killed"}


def test_a_new_metric_is_one_row(filled: Bank, tmp_path: Path) -> None:
    """One row of ``metrics.csv``, and it is in the star, the wide table, the docs; see also
    ``test_migration`` for production."""
    file = tmp_path / "metrics.csv"
    row = (
        "31,leverage,Reserves over system,ratio,%,4,true,"
        "abs(reservas_total) / sistema_cartera_total,Reserves over the system's portfolio."
    )
    file.write_text(METRICS_FILE.read_text() + row + "\n")
    tables = bank_tables(file)
    star = [t for t in tables if t.name in ("fact_monthly_kpi", "fact_kpi_history", "kpi_versions")]
    for table in star:
        assert table.stored_columns == BY_NAME[table.name].stored_columns
    before = filled.ask("select count(*) from bank_kpis.fact_monthly_kpi")[0][0]
    assert filled.build(tables, run_id="metric") == []
    values = "select count(*), min(value) from bank_kpis.fact_monthly_kpi"
    rows, _ = filled.ask(f"{values} where metric_id = 31", tables)[0]
    assert rows > 20
    assert filled.ask(values, tables)[0][0] == before + rows
    assert filled.ask("select count(leverage) from bank_kpis.monthly_kpis", tables) == [(rows,)]
    assert filled.ask(HISTORY, tables) == []
    assert "| leverage | decimal(18, 6) | ratio |" in dictionary(tables)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("31,x,X,ratio,%,2,true,no_such / cartera_total,X", "no column no_such in bank_months"),
        ("31,x,X,ratio,%,2,true,cartera_total +,X", "metric x"),
        ("12,x,X,ratio,%,2,true,icap,X", "metric_id given twice: 12"),
        ("31,x,X,percentage,%,2,true,icap,X", "its type is one of ratio"),
    ],
)
def test_a_metric_that_cannot_be_is_refused(tmp_path: Path, row: str, message: str) -> None:
    file = tmp_path / "metrics.csv"
    file.write_text(METRICS_FILE.read_text() + row + "\n")
    with pytest.raises(DeclarationError, match=message):
        bank_tables(file)


OLD = (
    ("id", "fecha", "banco_norm", "imor", "cartera_total", "note"),
    (1, "2022-12-01", "INVEX", "0.0221", "45000.5", "x"),
    (2, "2023-01-01", "INVEX", "0.9", "1", "x"),
)


def as_csv(folder: Path) -> str:
    rows = "\n".join(",".join(map(str, row)) for row in OLD)
    (folder / "old.csv").write_text(f"{rows}\n")
    return str(folder / "old.csv")


def as_database(folder: Path) -> str:
    """As the migration's brief has it: dates and decimals, in a table of any name."""
    url = f"sqlite:///{folder / 'old.db'}"
    with sa.create_engine(url).begin() as connection:
        connection.exec_driver_sql(
            "create table kpis (id int, fecha date, banco_norm varchar(50), imor decimal(10, 4),"
            " cartera_total decimal(18, 2), note text)"
        )
        for row in OLD[1:]:
            connection.exec_driver_sql("insert into kpis values (?, ?, ?, ?, ?, ?)", row)
    return f"{url}#kpis"


@pytest.mark.parametrize("written", [pytest.param(as_csv, marks=pytest.mark.slow), as_database])
def test_an_older_wide_table_fills_what_the_workbooks_lack(
    filled: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: Callable[[Path], str]
) -> None:
    monkeypatch.setenv("LEGACY_KPIS", written(tmp_path))
    findings = filled.build(run_id="legacy")
    assert {(f.check, f.partition, f.blocking) for f in findings} == {
        ("legacy_agrees", "2023-01", False)
    }
    rows = filled.ask("select fecha, imor from bank_kpis.monthly_kpis where banco_norm = 'INVEX'"
                      " order by 1")  # fmt: skip
    assert rows[0][1] == Decimal("0.0221")
    assert rows[1][1] < Decimal("0.1")
    kept = filled.ask(
        "select value from bank_kpis.fact_monthly_kpi where date_id = 202212 order by metric_id"
    )
    assert kept == [(Decimal("45000.5"),), (Decimal("0.0221"),)]


def test_an_older_wide_table_in_postgresql(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"legacy_{uuid4().hex}"
    as_admin(postgres, f"create database {name} owner promoter")
    url = f"postgresql://promoter@/{name}?host={postgres}"
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("create schema kept")
        connection.exec_driver_sql(
            "create table kept.monthly_kpis as select date '2022-12-01' as fecha,"
            " 'INVEX' as banco_norm, 0.0221::numeric(10, 4) as imor, null::numeric as icap"
        )
    source = LegacySource(("fecha", "banco_norm", "imor", "icap"))
    monkeypatch.setenv("LEGACY_KPIS", f"{url}#kept.monthly_kpis")
    before = source.inputs()
    assert list(before) == ["2022-12"]
    with duckdb.connect() as session:
        landing = Landing(session, "2022-12", {}, lambda sql: {})
        with source.land(landing) as (select,):
            assert session.sql(select).fetchall() == [("2022-12-01", "INVEX", "0.0221", None)]
    with engine.begin() as connection:
        connection.exec_driver_sql("update kept.monthly_kpis set imor = 0.03")
    assert source.inputs() != before
    as_admin(postgres, f"drop database {name} with (force)")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("postgresql://me:secret@127.0.0.1:1/x#kpis", "LEGACY_KPIS: it cannot be read"),
        ("{folder}/none.csv", "none.csv: it cannot be read"),
        ("{folder}/bare.csv", "bare.csv: it has no columns fecha and banco_norm"),
        ("{folder}/dates.csv", "dates.csv: fecha of row 2 is '01/02/2023'"),
    ],
)
def test_an_older_table_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, message: str
) -> None:
    (tmp_path / "bare.csv").write_text("month,bank\n1,2\n")
    (tmp_path / "dates.csv").write_text("fecha,banco_norm\n2023-01-01,A\n01/02/2023,A\n")
    monkeypatch.setenv("LEGACY_KPIS", where.format(folder=tmp_path))
    with pytest.raises(SourceError, match=message) as raised:
        LegacySource(("fecha", "banco_norm")).inputs()
    assert "secret" not in str(raised.value)

"""The commands, as a user types them."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from analytics_assets import cli
from analytics_assets.domains.births.sample import generate
from analytics_assets_tests.workspace import Workspace


@pytest.fixture(scope="module")
def materialised(
    module_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> Workspace:
    """Half a year's births of one state, by the command."""
    generate(
        module_workspace.source, births=400, states=("AC",), first_year=2024, years=1, dbf_years=0
    )
    (module_workspace.source / "births.csv").write_text("DTNASC\n01012024\n")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as printed:
        patch.setenv("PRODUCTION_BUDGET_MB", "0.5")
        assert cli.main(["materialize"]) == 0
    table, _, warned = printed.getvalue().partition("\nWarning, ")
    # What is still behind is looked at when all is done, so that the UI begins with an answer.
    assert "operations/staleness" in table.splitlines()[-1]
    # What was published with a warning is named, with its figures, and is no failure.
    assert warned.startswith("production/births/dim_health_facility size_budget:\nused, MB: ")
    return module_workspace


def test_readers_are_told_that_nothing_is_behind(
    materialised: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    sql = "select count(*) > 20 as told, count(since) as behind from promotion.behind"
    assert cli.main(["psql", sql]) == 0
    assert capsys.readouterr().out == "told,behind\nTrue,0\n"


def test_materialize_prints_one_table_and_says_what_it_refused(
    materialised: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["materialize"]) == 0
    printed = capsys.readouterr()
    assert "Everything is up to date" in printed.out
    assert "births.csv: its name does not say which state and year" in printed.err


@pytest.mark.parametrize("command", ["duckdb", "psql"])
@pytest.mark.parametrize("table", ["births.agg_yearly", "agg_yearly"])
def test_one_statement_as_csv(
    materialised: Workspace, capsys: pytest.CaptureFixture[str], command: str, table: str
) -> None:
    assert cli.main([command, f"select year, total_births >= 395 as most from {table}"]) == 0
    assert capsys.readouterr().out.lower() == "year,most\n2024,true\n"


@pytest.mark.parametrize("command", ["duckdb", "psql"])
def test_signs_of_drivers_stand_for_themselves(
    materialised: Workspace, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert cli.main([command, "select 7 % 4 as rest, 'a:b' like '%:b' as found"]) == 0
    assert capsys.readouterr().out.lower() == "rest,found\n3,true\n"


@pytest.mark.parametrize(
    ("command", "sql", "message"),
    [
        ("duckdb", "select nothing from agg_yearly", "nothing"),
        ("duckdb", "drop view births.agg_yearly", "read-only"),
        ("psql", "select * from fact_births", "does not exist"),
        ("psql", "delete from births_store.agg_yearly", "read-only transaction"),
        ("psql", "select 1 where '10:30' = ':x'; nonsense", "syntax error"),
    ],
)
def test_a_bad_statement_is_one_message(
    materialised: Workspace,
    capsys: pytest.CaptureFixture[str],
    command: str,
    sql: str,
    message: str,
) -> None:
    assert cli.main([command, sql]) == 1
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err


def test_a_folder_that_is_not_there_is_named(
    materialised: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SINASC_SOURCE", "/nowhere/at/all")
    assert cli.main(["materialize"]) == 1
    printed = capsys.readouterr()
    assert printed.err.count("/nowhere/at/all") == 1
    assert "up to date" not in printed.out


def test_no_warehouse_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path))
    assert cli.main(["duckdb", "select 1"]) == 1
    assert "make materialize" in capsys.readouterr().err


def test_a_damaged_warehouse_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path))
    (tmp_path / "warehouse.duckdb").write_bytes(b"x" * 5000)
    assert cli.main(["duckdb", "select 1"]) == 1
    assert capsys.readouterr().err == (
        f"{tmp_path}/warehouse.duckdb cannot be read: run `make materialize`, which writes it"
        " anew.\n"
    )


def test_scrub_and_repair_say_what_they_found(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["scrub"]) == 0
    assert cli.main(["repair"]) == 0
    said = capsys.readouterr().out
    assert "0 files, 0 bytes read" in said
    assert "Every log can be read. Nothing was changed." in said
    log = Path(workspace.lake.root, "births/raw_births/_delta_log/00000000000000000000.json")
    log.parent.mkdir(parents=True)
    log.write_bytes(b"{")
    assert cli.main(["scrub"]) == 1
    assert f"{log} of its log: it is damaged. Run `analytics-assets repair`" in (
        capsys.readouterr().err
    )
    assert cli.main(["repair"]) == 0
    assert capsys.readouterr().out == (
        f"births/raw_births: {log.name} of its log was put aside in _damaged. Nothing is left of"
        " it. The next run builds anew what differs\n"
    )


def test_downloading_is_off_by_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SINASC_DOWNLOAD_URL", raising=False)
    assert cli.main(["download", "2020"]) == 1
    assert "SINASC_DOWNLOAD_URL" in capsys.readouterr().err


def test_status_names_what_is_behind(
    materialised: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["status"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Nothing is behind.\n")
    for kind in ("lake: what is live", "backups", "PostgreSQL: production", "together"):
        assert f"\n{kind} " in said
    touched = next(iter(materialised.source.glob("*2024*")))
    touched.touch()
    assert cli.main(["status"]) == 0  # behind, but not for long enough to be stale
    behind = capsys.readouterr().out.partition("\n\n")[0]
    rows = {line.split()[1]: line for line in behind.splitlines()}
    assert " 2024 " in rows["births/raw_births"]
    assert "its source changed" in rows["births/raw_births"]
    assert "unknown" not in rows["births/raw_births"]
    words = " ".join(rows["births/fact_births"].split())
    assert "2024-01 to 2024-12 waits for births/raw_births" in words

"""What people do by name on the command line: what the jobs do, with the same texts.

Belongs here: commands that derive from jobs, what they print, and in whose name they act.
Does not belong here: what the operations do (``automation/test_maintenance.py``, ...).
"""

from __future__ import annotations

import getpass
import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from analytics_assets import cli, registry, settings
from analytics_assets.checking import check
from analytics_assets.core.chosen import named, partitions
from analytics_assets.core.source import SourceError
from analytics_assets.definitions import OPERATIONS, build
from analytics_assets.home import HOME_TAG
from analytics_assets_tests.toy import Memory, toy_tables
from analytics_assets_tests.workspace import Workspace, failures

MONTHS = {"2024-01": [(date(2024, 1, 5), "a", 500), (date(2024, 1, 9), "b", 2000)]}


class Toy:
    """The toy domain, with the command line as people type it."""

    def __init__(self, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
        self.workspace, self.memory, self.capsys = workspace, Memory(), capsys
        self.tables = tuple(toy_tables(self.memory))
        self.definitions = build(self.tables)

    def load(self, months: dict[str, Any]) -> None:
        self.memory.months = dict(months)
        assert not failures(self.workspace.refresh(self.definitions, self.tables))

    def type(self, line: str, code: int = 0) -> str:
        """What a command prints on the stream that its exit code says."""
        self.capsys.readouterr()
        assert cli.main(line.split()) == code, self.capsys.readouterr()
        said = self.capsys.readouterr()
        assert (said.err if code == 0 else said.out) == ""
        return said.err if code else said.out


@pytest.fixture
def toy(
    workspace: Workspace,
    postgres: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Toy:
    url = f"postgresql://promoter@/analytics_restore?host={postgres}"
    monkeypatch.setenv("RESTORE_URL", url)
    made = Toy(workspace, capsys)
    monkeypatch.setattr(registry, "tables", lambda: made.tables)
    monkeypatch.setenv("ANALYTICS_USER", "Ana")
    return made


def test_every_job_for_people_is_a_command() -> None:
    names = {operation.command for operation in OPERATIONS}
    wanted = {"backup", "restore", "rollback", "rollback-production", "confirm", "archive"}
    assert wanted | {"restore-archive", "vacuum"} <= names


def test_commands_do_what_the_jobs_do_in_somebodys_name(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.load(MONTHS)
    assert "what: Nothing to change.\n" in toy.type("promote --dry-run")
    assert "tables and views, restored and compared: 11" in toy.type("backup")

    toy.load(MONTHS | {"2024-01": [(date(2024, 1, 5), "a", 490), (date(2024, 1, 9), "b", 2000)]})
    monkeypatch.setenv("ANALYTICS_USER", "Bea")
    said = toy.type("rollback toy/raw_sales --version 0")
    assert "toy/raw_sales | 0 | 2024-01" in said
    refused = toy.type("rollback toy/raw_sales", code=1)
    assert refused == "Say either a version or a moment.\n"
    said = toy.type("restore")
    assert "backup: 20" in said

    who = "select distinct by_user from promotion.release order by 1"
    assert toy.workspace.production(who) == [("Ana",)]
    history = toy.workspace.lake.log("toy/raw_sales", lambda delta: delta).open().history(1)
    assert history[0]["user"] == "Bea"


def test_who_confirmed_a_version_is_kept(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [(date(2024, 1, day), "a", 100) for day in range(1, 31)]
    toy.load({"2024-01": many * 3})
    toy.memory.months = {"2024-01": many[:5]}
    (told,) = failures(toy.workspace.refresh(toy.definitions, toy.tables))
    assert "would go from 90 to 5" in told
    monkeypatch.setenv("ANALYTICS_USER", "Bea")
    assert "toy/agg_yearly" in toy.type("confirm toy")
    who = "select distinct confirmed_by, confirmed from promotion.hold"
    assert toy.workspace.production(who) == [("Bea", True)]
    assert not failures(toy.workspace.refresh(toy.definitions, toy.tables))
    assert toy.workspace.production("select sales from toy.agg_yearly") == [(5,)]


def test_check_tries_everything_and_says_what_fails(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trials = {trial.what: trial for trial in check(send=False)}
    assert not [str(trial) for trial in trials.values() if trial.works is False]
    taken = tmp_path / "file"
    taken.touch()
    monkeypatch.setenv("BACKUP_FOLDER", str(taken))
    monkeypatch.setenv("DAGSTER_PG_URL", "postgresql://x:secret@127.0.0.1:1/dagster")
    said = [str(trial) for trial in check(send=False) if trial.works is False]
    assert [line.split(":")[0] for line in said] == [
        "FAILS  BACKUP_FOLDER",
        "FAILS  DAGSTER_PG_URL",
    ]
    assert "secret" not in "".join(said)


def test_a_name_is_read_in_any_spelling_and_a_wrong_one_is_told() -> None:
    tables = toy_tables(Memory())
    (daily,) = (table for table in tables if table.name == "agg_shop_daily")
    for name in ("toy/agg_shop_daily", "toy.agg_shop_daily", "agg_shop_daily"):
        assert named(tables, name) == [daily]
    assert named(tables, "toy") == named(tables, "*") == list(tables)
    with pytest.raises(SourceError, match="Did you mean 'toy/agg_shop_daily'"):
        named(tables, "toy/agg_shop_dayly")

    assert partitions(daily, ["2023-12..2024-02"]) == ["2023-12", "2024-01", "2024-02"]
    assert partitions(daily, ["2024-03", "2024-01"]) == ["2024-03", "2024-01"]
    for wrong in ("2024", "2024-02..2024-01", "..", "x..y"):
        with pytest.raises(SourceError, match="is no partition of it"):
            partitions(daily, [wrong])


def test_a_home_that_was_moved_answers_at_once(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    toy.load(MONTHS)
    moved = settings.load().home.rename(tmp_path / "moved")
    monkeypatch.setenv("ANALYTICS_HOME", str(moved))
    toy.capsys.readouterr()
    assert cli.main(["duckdb", "select sum(cents) as cents from toy.fact_sales"]) == 0
    assert toy.capsys.readouterr().out == "cents\n2500\n"


def test_who_does_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANALYTICS_USER", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)
    assert settings.user() == getpass.getuser()
    monkeypatch.setenv("SUDO_USER", "cleo")
    assert settings.user() == "cleo"
    monkeypatch.setenv("ANALYTICS_USER", "Ana Lima")
    assert settings.user() == "Ana Lima"


@pytest.mark.parametrize("command", ["duckdb", "psql"])
def test_json_is_printed_as_json(toy: Toy, command: str) -> None:
    toy.load(MONTHS)
    sql = {
        "duckdb": "select {'a': [1, 2], 'b': 'x'} as found",
        "psql": """select '{"a": [1, 2], "b": "x"}'::jsonb as found""",
    }[command]
    toy.capsys.readouterr()
    assert cli.main([command, sql]) == 0
    head, said = toy.capsys.readouterr().out.splitlines()
    assert head == "found"
    assert json.loads(said.strip('"').replace('""', '"')) == {"a": [1, 2], "b": "x"}


def test_a_reader_that_has_seen_enough_ends_a_command_quietly() -> None:
    command = f"{sys.executable} -m analytics_assets tables | head -1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("## ")


def test_runs_of_commands_that_live_are_left_to_them(toy: Toy) -> None:
    """A backup goes on beside a build, and one that was killed is ended by the next look."""
    from analytics_assets.automation.turns import _PROCESS_TAG, end_own, in_this_process

    instance = toy.workspace.instance
    job = toy.definitions.resolve_job_def("vacuum_lake")
    ran = in_this_process(job, instance)
    tags = ran.dagster_run.tags
    assert tags[HOME_TAG] == str(settings.load().home)
    assert tags["analytics_assets/user"] == "Ana"
    status = {}
    for name, process in (("lives", tags[_PROCESS_TAG]), ("killed", "1 12.5")):
        run = instance.create_run_for_job(job, tags={**tags, _PROCESS_TAG: process})
        status[name] = run.run_id
    end_own(instance, settings.load())
    found = {name: instance.get_run_by_id(run_id) for name, run_id in status.items()}
    assert {name: run and run.status.value for name, run in found.items()} == {
        "lives": "NOT_STARTED",
        "killed": "CANCELED",
    }

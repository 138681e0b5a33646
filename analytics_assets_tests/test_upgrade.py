"""A newer version on an old home and old production, and two codes that meet in one home.

Belongs here: what it says before it does anything, what it does, and what it leaves alone.
Does not belong here: making old homes (``old_homes/make.py``).
"""

from __future__ import annotations

import logging
import tarfile
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import dagster as dg
import pytest

from analytics_assets import building, cli, registry, running_code, settings
from analytics_assets.core.declaration import Table
from analytics_assets.definitions import build
from analytics_assets.production import backup
from analytics_assets.warehouse.ledger import BuildLedger
from analytics_assets_tests.old_homes import make
from analytics_assets_tests.test_home import SERVES, another_process
from analytics_assets_tests.toy import EXTREMES, Memory, toy_tables
from analytics_assets_tests.workspace import Workspace

OLD = sorted(Path(make.__file__).parent.glob("*.tar.xz"))
Materialize = Callable[[tuple[Table, ...]], tuple[str, str]]


@pytest.fixture
def materialize(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Materialize:
    """`materialize` with these tables; what it printed on both streams."""

    def typed(tables: tuple[Table, ...]) -> tuple[str, str]:
        monkeypatch.setattr(registry, "tables", lambda: tables)
        monkeypatch.setattr(building, "bind_new", lambda tables: None)
        capsys.readouterr()
        assert cli.main(["materialize"]) == 0, capsys.readouterr()
        return capsys.readouterr()

    return typed


@pytest.mark.parametrize("packed", OLD, ids=lambda path: path.name)
def test_an_old_home_and_old_production_go_on_as_they_were(
    packed: Path,
    workspace: Workspace,
    postgres: str,
    monkeypatch: pytest.MonkeyPatch,
    materialize: Materialize,
) -> None:
    config = settings.load()
    with tarfile.open(packed) as old:
        old.extractall(config.home, filter="data")
    ((database,),) = workspace.production("select current_database()")
    backup.restore(config, "latest", database, database, logging.getLogger(__name__))
    memory = Memory()
    memory.months = dict(make.MONTHS)
    tables = tuple(toy_tables(memory))
    total = "select sum(cents) from toy.agg_shop_daily"
    assert workspace.production(total) == [(4000,)]
    before = {table.key: workspace.lake.version(table) for table in tables}

    # It came from a backup here, so its tables are not those that the ledger knows.
    announced, _, _ = materialize(tables)[0].partition("[ ")
    behind = [line for line in announced.splitlines() if "toy/" in line]
    assert behind
    assert all("the next run compares it with the warehouse" in line for line in behind)
    assert "Everything is up to date" in materialize(tables)[0]
    assert {table.key: workspace.lake.version(table) for table in tables} == before

    # What a newer declaration changes is said before it is done, in both layers.
    monkeypatch.setattr(running_code, "on_disk", lambda: "newer")
    newer = tuple(toy_tables(memory, EXTREMES))
    announced, _, done = materialize(newer)[0].partition("[ ")
    assert announced.startswith("The code has changed since the last build here")
    for asset in ("toy/agg_shop_daily", "toy/agg_yearly", "production"):
        assert asset in announced
    assert "toy/raw_sales" not in announced
    assert "toy_release" in done
    assert workspace.production("select max(dearest) from toy.agg_yearly") == [(2000,)]
    assert workspace.production(total) == [(4000,)]

    who = "select by_user from promotion.release order by id"
    assert workspace.production(who) == [(None,), (settings.user(),)]
    users = {b.by_user for own in BuildLedger(workspace.lake).read().values() for b in own.values()}
    assert users == {"", settings.user()}


def test_a_daemon_with_other_code_asks_for_nothing(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory()
    memory.months = dict(make.MONTHS)
    definitions = build(toy_tables(memory))
    repository = definitions.get_repository_def()

    def asked() -> list[str]:
        at = datetime(2024, 2, 1, 3, tzinfo=timezone.utc)
        kept = {"instance": workspace.instance, "repository_def": repository}
        night = dg.build_schedule_context(scheduled_execution_time=at, **kept)
        ticks = [
            repository.get_schedule_def("toy_monthly_nightly").evaluate_tick(night),
            repository.get_sensor_def("changes").evaluate_tick(dg.build_sensor_context(**kept)),
        ]
        return [tick.skip_message or str(len(tick.run_requests or ())) for tick in ticks]

    assert asked() == ["1", "Everything is up to date."]
    monkeypatch.setattr(running_code, "on_disk", lambda: "upgraded in place")
    for said in asked():
        assert said.startswith("The code on the disk is not what was loaded")


def test_a_build_beside_a_run_with_other_code_is_refused(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """As beside a `run` of an earlier version, which noted nothing."""
    config = settings.load()
    config.home.mkdir(parents=True)
    running_code.refuse_beside_other(config)
    with another_process(SERVES):
        assert cli.main(["materialize"]) == 1
        said = capsys.readouterr().err
        assert said == (
            f"{config.home}: an `analytics-assets run` with other code serves this folder. Restart"
            " it, or reload its code location in the UI; it builds what is behind.\n"
        )
        running_code.note_served(config, running_code.on_disk())
        running_code.refuse_beside_other(config)


def test_a_word_for_the_code_changes_with_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    (package / "sql").mkdir(parents=True)
    (package / "running_code.py").write_text("one")
    (package / "sql" / "a.sql").write_text("select 1")
    monkeypatch.setattr(running_code, "__file__", str(package / "running_code.py"))
    first = running_code.on_disk()
    (package / "sql" / "notes.md").write_text("no code")
    assert running_code.on_disk() == first
    (package / "sql" / "a.sql").write_text("select 2")
    assert running_code.on_disk() != first
    (package / "sql" / "a.sql").write_text("select 1")
    assert running_code.on_disk() == first

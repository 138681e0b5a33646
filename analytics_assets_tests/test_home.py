"""A home has one version, one process that serves it, and one that builds in it.

Belongs here: what is refused or left to another process, and whose runs are ended.
Does not belong here: processes that go on serving (``integration/test_run.py``).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import pytest

from analytics_assets import __version__, cli, home, settings
from analytics_assets.automation.turns import end_of_daemon, end_own, wait_for_daemon
from analytics_assets.core.source import SourceError
from analytics_assets.home import HOME_TAG
from analytics_assets.production import server
from analytics_assets.warehouse.storage import open_storage
from analytics_assets_tests.integration.landing import land_year
from analytics_assets_tests.integration.test_automation import scheduled, sensed
from analytics_assets_tests.workspace import Workspace

_HOLD = (
    "import sys; from analytics_assets import home, settings\n"
    "with {lock}:\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.read()"
)
SERVES, BUILDS = "home.serving(settings.load())", "home.building(settings.load(), print)"


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path))
    return tmp_path


@contextmanager
def another_process(lock: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a lock of the home."""
    command = [sys.executable, "-c", _HOLD.format(lock=lock)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.communicate()


def refused(**environment: str) -> str:
    """What `run` says when it is refused: one sentence, before anything is started."""
    done = subprocess.run(
        [sys.executable, "-m", "analytics_assets", "run"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert not Path(os.environ["ANALYTICS_HOME"], "postgres").exists()
    return done.stderr


def test_a_home_of_a_newer_version_is_refused(own_home: Path) -> None:
    (own_home / "version").write_text("99.1\n")
    said = refused()
    assert said == (
        f"{own_home}: version 99.1 of analytics-assets has worked here, and this is {__version__}."
        " Install that version, or set ANALYTICS_HOME to another folder.\n"
    )
    assert (own_home / "version").read_text() == "99.1\n"


@pytest.mark.parametrize("before", [None, "0.0.1", "", "half a ver"])
def test_the_version_that_works_in_a_home_is_noted(own_home: Path, before: str | None) -> None:
    if before is not None:
        (own_home / "version").write_text(before)
    home.take(settings.load())
    assert (own_home / "version").read_text().strip() == __version__


def test_materialize_is_refused_by_a_newer_home_too(
    own_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANALYTICS_DOMAINS", "clinic")
    (own_home / "version").write_text("99.1")
    assert cli.main(["materialize"]) == 1
    assert "version 99.1" in capsys.readouterr().err


def test_a_home_is_served_once(own_home: Path) -> None:
    with another_process(SERVES):
        assert home.is_served(settings.load())
        assert "another `analytics-assets run` serves this folder. Stop that one" in refused()
    assert not home.is_served(settings.load())


def test_a_port_in_use_is_named(own_home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = refused(ANALYTICS_PORT=port)
    assert said.startswith(f"127.0.0.1:{port}: the UI cannot listen there (Address already in use)")
    assert "set ANALYTICS_PORT to another." in said


@pytest.mark.parametrize("port", ["http", "0", "70000", "-1"])
def test_what_is_no_port_is_named(own_home: Path, port: str) -> None:
    assert refused(ANALYTICS_PORT=port).startswith(f"ANALYTICS_PORT: '{port}' is no port")


@pytest.mark.parametrize("name", ["two words", "it's", 'so "called"', "a;b", "a,b", "$HOME"])
def test_a_path_in_which_the_embedded_server_cannot_start_is_refused(
    own_home: Path, name: str
) -> None:
    with pytest.raises(SourceError, match=r"cannot start in a folder with .* Set ANALYTICS_HOME"):
        server._start(own_home / name / "postgres")
    assert not (own_home / name).exists()


@pytest.mark.parametrize("name", ["100%25", "[old]", "a*"])
def test_a_path_that_tables_would_be_lost_in_is_refused(own_home: Path, name: str) -> None:
    with pytest.raises(SourceError, match=r"kept in a folder with .* Set ANALYTICS_HOME or"):
        open_storage(str(own_home / name))
    assert open_storage(str(own_home / "100%")).is_local


def test_schedules_and_sensor_leave_it_to_a_command_that_builds(workspace: Workspace) -> None:
    land_year(workspace.source)
    with another_process(BUILDS):
        assert scheduled(workspace, "births_yearly_nightly") == []
        assert sensed(workspace) == ([], "A command builds what is behind.")
    assert len(scheduled(workspace, "births_yearly_nightly")) == 1


def test_a_second_build_waits_for_the_first(own_home: Path) -> None:
    told = threading.Event()
    with another_process(BUILDS) as first:
        threading.Thread(target=lambda: told.wait(30) and first.communicate()).start()
        with home.building(settings.load(), told.set):
            assert told.is_set()
            assert first.wait(30) == 0


def _started(workspace: Workspace, **tags: str) -> dg.DagsterRun:
    job = workspace.definitions.resolve_job_def("births_yearly")
    status = dg.DagsterRunStatus.STARTED
    return workspace.instance.create_run_for_job(job, status=status, tags=tags)


def _status(workspace: Workspace, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = workspace.instance.get_run_by_id(run.run_id)
    assert found
    return found.status


def test_runs_that_nobody_runs_are_ended(workspace: Workspace) -> None:
    own = _started(workspace, **{HOME_TAG: str(settings.load().home)})
    elsewhere = _started(workspace, **{HOME_TAG: "/elsewhere"})
    of_daemon = _started(workspace)

    end_own(workspace.instance, settings.load())
    assert _status(workspace, own) is dg.DagsterRunStatus.CANCELED
    assert _status(workspace, elsewhere) is dg.DagsterRunStatus.STARTED
    assert _status(workspace, of_daemon) is dg.DagsterRunStatus.STARTED

    now = datetime.now(timezone.utc)
    end_of_daemon(workspace.instance, now - timedelta(hours=1))
    assert _status(workspace, of_daemon) is dg.DagsterRunStatus.STARTED
    end_of_daemon(workspace.instance, now + timedelta(seconds=1))
    assert _status(workspace, of_daemon) is dg.DagsterRunStatus.FAILURE
    assert _status(workspace, elsewhere) is dg.DagsterRunStatus.STARTED


def test_a_build_waits_for_runs_of_the_daemon_if_there_is_one(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _started(workspace)
    wait_for_daemon(workspace.instance, settings.load())
    assert capsys.readouterr().out == ""
    with another_process(SERVES):
        ends = time.monotonic() + 1.5
        failed = threading.Timer(1.5, lambda: workspace.instance.report_run_failed(run))
        failed.start()
        wait_for_daemon(workspace.instance, settings.load())
        failed.join()
        assert time.monotonic() >= ends
    assert "are under way; going on after them" in capsys.readouterr().out

"""A signal ends a command, also where a library swallows the exception."""

from __future__ import annotations

import signal
import subprocess
import sys

import duckdb
import pytest

from analytics_assets_tests.integration.dagster_dev import _free_port, wait_for
from analytics_assets_tests.running import empty_home, environment_of, servers_of

_SWALLOWED = """
import os, signal
from analytics_assets import interrupts
interrupts.heed()
signal.signal(signal.SIGALRM, lambda *_: None)
os.kill(os.getpid(), signal.SIGALRM)
interrupts.check()
try:
    signal.signal({name}, lambda *_: print("somebody else's handler", flush=True))
    os.kill(os.getpid(), {name})
    interrupts.check()
except KeyboardInterrupt:
    print("ends")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_that_somebody_else_handles_is_not_lost(name: str) -> None:
    code = _SWALLOWED.format(name=f"signal.{name}")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "somebody else's handler\nends\n", done.stderr


def test_what_nohup_started_outlives_its_terminal() -> None:
    code = (
        "import os, signal; from analytics_assets import interrupts\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN); interrupts.heed()\n"
        "os.kill(os.getpid(), signal.SIGHUP); interrupts.check(); print('goes on')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "goes on\n", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "until"),
    [
        (["api"], "Uvicorn running"),
        (["psql"], "One statement a line"),
        (["duckdb"], "One statement a line"),
        (["materialize"], " s] "),
        (["backup"], ""),
    ],
)
def test_a_command_that_is_told_to_end_leaves_nothing_running(
    command: list[str], until: str
) -> None:
    """The embedded server, which outlives what started it, is stopped with its last user."""
    with empty_home() as home:
        environment = environment_of(home, "clinic", API_PORT=str(_free_port()))
        if command == ["duckdb"]:
            duckdb.connect(str(home.parent / "w")).close()
            home.mkdir()
            (home.parent / "w").rename(home / "warehouse.duckdb")
        log = home.parent / "log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "analytics_assets", *command],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        ready = home / "postgres/analytics_assets_ready"

        def begun() -> bool:
            return until in log.read_text() if until else ready.exists()

        wait_for("it has begun", begun, 180)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, 130), log.read_text()
        assert "Traceback" not in log.read_text()
        assert servers_of(home) == []

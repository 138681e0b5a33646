"""`analytics-assets run` as a process of its own, with a home and an embedded server of its own.

Belongs here: starting it, what it printed, and what is left of it.
Does not belong here: what a test expects.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from analytics_assets_tests.integration.dagster_dev import DagsterDev, _free_port, wait_for

# What the environment of a test says of servers would be used instead of the home's own.
_SERVERS = ("PRODUCTION_URL", "PRODUCTION_READER_URL", "DAGSTER_PG_URL", "RESTORE_URL")
STARTS_WITHIN = 180.0


@contextmanager
def empty_home() -> Iterator[Path]:
    """A home whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="home", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder) / "home"


def environment_of(home: Path, domains: str, **others: str) -> dict[str, str]:
    """The environment of a command that works in this home, on a sample of these domains."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _SERVERS and not name.endswith("_SOURCE")
    }
    return {**kept, "ANALYTICS_HOME": str(home), "ANALYTICS_DOMAINS": domains, **others}


def servers_of(home: Path) -> list[psutil.Process]:
    """The embedded server of a home, if it is running."""
    every = psutil.process_iter(["cmdline"])
    return [one for one in every if f"{home}/postgres" in (one.info["cmdline"] or ())]


class Running:
    """A `run` that goes on."""

    def __init__(self, environment: dict[str, str], folder: Path, log: Path) -> None:
        self.port = int(environment.get("ANALYTICS_PORT") or _free_port())
        self._log = log
        self._home = environment["ANALYTICS_HOME"]
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "analytics_assets", "run"],
                cwd=folder,
                env={**environment, "ANALYTICS_PORT": str(self.port)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.dev = DagsterDev(f"http://127.0.0.1:{self.port}", Path(self._home) / "dagster")

    def printed(self) -> str:
        """All of both streams so far."""
        return self._log.read_text()

    def wait_until_printed(self, text: str, timeout: float = STARTS_WITHIN) -> None:
        def look() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(f"run ended:\n{self.printed()[-3000:]}")
            return text in self.printed()

        wait_for(f"{text!r} in\n{self.printed()}", look, timeout)

    def family(self) -> list[psutil.Process]:
        """Everything that it started, the server of the home included."""
        own = psutil.Process(self.process.pid).children(recursive=True)
        servers = servers_of(Path(self._home))
        assert servers
        return own + servers

    def stop(self, number: int = signal.SIGTERM, timeout: float = 60) -> list[psutil.Process]:
        """Send the signal to this process alone; what is alive when it has ended."""
        family = self.family()
        self.process.send_signal(number)
        self.process.wait(timeout)
        left = psutil.wait_procs(family, timeout=1)[1]
        # Whose parent has ended is reaped by the system, when it likes.
        return [one for one in left if one.status() != psutil.STATUS_ZOMBIE]


@contextmanager
def running(environment: dict[str, str], folder: Path, log: Path) -> Iterator[Running]:
    """A `run` that is stopped at the end if the test has not."""
    run = Running(environment, folder, log)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            for left in run.stop():
                left.kill()

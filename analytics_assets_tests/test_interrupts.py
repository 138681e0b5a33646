"""A signal ends a command, also where a library swallows the exception."""

from __future__ import annotations

import subprocess
import sys

import pytest

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

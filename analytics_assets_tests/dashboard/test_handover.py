"""Declarations in another process are looked at as here; the command serves with little memory."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from analytics_assets.dashboard.handover import bare, packed, unpacked
from analytics_assets.dashboard.looks import Looks
from analytics_assets_tests.api.conftest import Production
from analytics_assets_tests.api.filled import TABLES

MOST_KB = 300_000


def test_a_declaration_that_was_handed_over_looks_the_same() -> None:
    promoted = [table for table in TABLES if table.publish]
    again = unpacked(packed([bare(table) for table in promoted]))
    for before, after in zip(promoted, again, strict=True):
        assert (after.key, after.published_name) == (before.key, before.published_name)
        assert after.period is before.period
        ours, theirs = Looks(before), Looks(after)
        assert theirs.axes == ours.axes
        assert theirs.numbers == ours.numbers
        assert (theirs.time, theirs.time_name) == (ours.time, ours.time_name)
        assert theirs.promoted.all_columns == ours.promoted.all_columns
        assert after.sql is None
        assert after.checks == ()


@pytest.mark.slow
def test_the_command_serves_every_page_in_little_memory(
    production: Production, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = production.promoter.replace("+psycopg2", "")
    env = {
        **os.environ,
        "ANALYTICS_HOME": str(tmp_path),
        "PRODUCTION_URL": url,
        "PRODUCTION_READER_URL": production.reader.replace("+psycopg2", ""),
        "DAGSTER_PG_URL": url,
        "DASHBOARD_PORT": str(port),
    }
    command = [sys.executable, "-m", "analytics_assets", "dashboard"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            while True:
                assert process.poll() is None, (tmp_path / "log").read_text()
                try:
                    client.get("/healthz")
                    break
                except httpx.TransportError:
                    time.sleep(0.2)
            for table in (table for table in TABLES if table.publish):
                path = f"/tables/{table.domain}.{table.published_name}"
                client.get(path).raise_for_status()
            for name in ("births", "ads", "banks", "clinic", "experiments", "operations"):
                client.get(f"/pages/{name}").raise_for_status()
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)
        assert peak < MOST_KB
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()

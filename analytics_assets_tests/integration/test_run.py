"""`analytics-assets run`: UI and schedules at once, the first build behind them.

Belongs here: the processes of a `run`, from its start to the last one that it leaves.
Does not belong here: what is refused before anything is started (``test_home.py``).
"""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from analytics_assets.home import HOME_TAG
from analytics_assets_tests.integration.dagster_dev import wait_for
from analytics_assets_tests.running import empty_home, environment_of, running, servers_of

pytestmark = pytest.mark.slow


@pytest.mark.timeout(900)
def test_the_first_build_runs_behind_the_ui_and_goes_on_after_a_stop(tmp_path: Path) -> None:
    with empty_home() as home:
        environment = environment_of(home, "clinic")
        with running(environment, tmp_path, tmp_path / "first.log") as first:
            first.wait_until_printed("Serving http://127.0.0.1:")
            # Nothing is built yet, and everything that starts runs is there.
            assert "materialised" not in first.printed()
            assert set(first.dev.automation().values()) == {"RUNNING"}

            wait_for("a run of the build in the UI", first.dev.active_runs, 180, every=0.05)
            assert first.stop(signal.SIGTERM) == []
            assert first.process.returncode == 0
            assert "Traceback" not in first.printed()
            assert "assets materialised" not in first.printed()

        with running(environment, tmp_path, tmp_path / "second.log") as second:
            second.wait_until_printed("assets materialised in", 600)
            assert "Traceback" not in second.printed()
            runs = second.dev.runs()
            # What was interrupted ended its run itself, and was not killed in it.
            assert "CANCELED" not in {run["status"] for run in runs}
            # The daemon left all of it to the build, and nothing was built twice.
            built = [run for run in runs if run["status"] == "SUCCESS"]
            assert {run["tags"].get(HOME_TAG) for run in runs} == {str(home)}
            recipes = [run["tags"].get("analytics_assets/recipe") for run in built]
            once = [recipe for recipe in recipes if recipe]
            assert len(once) == len(set(once)) > 3
            assert not second.dev.active_runs()
            # And takes over when it has ended.
            idle = "Everything is up to date."
            wait_for(
                "the sensor looks for itself",
                lambda: any(tick["skipReason"] == idle for tick in second.dev.ticks("changes")),
                90,
            )
            assert second.stop(signal.SIGINT) == []
            assert second.process.returncode == 0


@pytest.mark.timeout(900)
def test_a_run_that_was_killed_leaves_nothing_in_the_way_of_the_next(tmp_path: Path) -> None:
    with empty_home() as home:
        environment = environment_of(home, "clinic")
        with running(environment, tmp_path, tmp_path / "first.log") as first:
            first.wait_until_printed("Serving http://127.0.0.1:")
            servers = servers_of(home)
            started = [one for one in first.family() if one not in servers]
            assert len(started) >= 4
            first.process.kill()
            assert psutil.wait_procs(started, timeout=60)[1] == []
        again = {**environment, "ANALYTICS_PORT": str(first.port)}
        with running(again, tmp_path, tmp_path / "second.log") as second:
            second.wait_until_printed("assets materialised in", 600)
            assert "Traceback" not in second.printed()
            assert second.stop() == []

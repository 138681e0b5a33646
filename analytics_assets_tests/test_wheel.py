"""The wheel alone: nothing of the checkout is in reach.

Belongs here: what an installation needs beside its modules.
Does not belong here: what commands do (``test_cli.py``, ``integration/test_run.py``).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from analytics_assets_tests.running import empty_home, environment_of, running

PROJECT = Path(__file__).parents[1]


def test_the_workspace_of_the_checkout_is_that_of_the_package() -> None:
    own = PROJECT / "analytics_assets/workspace.yaml"
    assert (PROJECT / "workspace.yaml").read_text() == own.read_text()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel was installed."""
    copy = tmp_path_factory.mktemp("wheel")
    shutil.copytree(
        PROJECT / "analytics_assets",
        copy / "analytics_assets",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for name in ("pyproject.toml", "setup.cfg", "README.md"):
        shutil.copyfile(PROJECT / name, copy / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", copy / "dist", copy], check=True)
    (wheel,) = (copy / "dist").glob("*.whl")
    target = tmp_path_factory.mktemp("installed")
    subprocess.run([*pip, "install", "--no-deps", "--target", target, wheel], check=True)
    return target


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_wheel_builds_and_serves_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    with empty_home() as home:
        outside = {"PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
        environment = environment_of(home, "clinic", **outside)

        def printed(*command: str) -> str:
            done = subprocess.run(
                [sys.executable, *command],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        where = "import analytics_assets; print(analytics_assets.__file__)"
        assert printed("-c", where).strip() == str(installed / "analytics_assets/__init__.py")
        assert "assets materialised" in printed("-m", "analytics_assets", "materialize")
        with running(environment, tmp_path, tmp_path / "run.log") as run:
            run.wait_until_printed("Serving http://127.0.0.1:")
            assert run.dev.answers()
            run.wait_until_printed("Everything is up to date")
            assert run.stop() == []
        assert [path.name for path in tmp_path.iterdir()] == ["run.log"]

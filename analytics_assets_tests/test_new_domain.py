"""Adding a domain as CONTRIBUTING.md says, line by line, in a scratch copy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from analytics_assets import cli, new_domain
from analytics_assets.core.source import SourceError

PROJECT = Path(__file__).parents[1]
LINES = re.findall(
    r"^(?:(\w+=\w+) )?\.venv/bin/(.+?)(?:\s+#.*)?$",
    (PROJECT / "CONTRIBUTING.md").read_text().split("## Add a domain")[1].split("```")[1],
    re.MULTILINE,
)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A copy of the project."""
    copy = tmp_path / "project"
    for name in ("analytics_assets", "analytics_assets_tests"):
        shutil.copytree(
            PROJECT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    for name in ("pyproject.toml", "setup.cfg", "README.md", "workspace.yaml"):
        shutil.copyfile(PROJECT / name, copy / name)
    return copy


def run(scratch: Path, *command: str, **environment: str) -> str:
    """What a command prints in the copy, with its own modules."""
    python = Path(sys.executable)
    script = command[0] == "lint-imports"
    done = subprocess.run(
        [python.with_name(command[0]), *command[1:]] if script else [python, "-m", *command],
        cwd=scratch,
        env={**os.environ, "PYTHONPATH": str(scratch), **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_new_domain_is_four_small_files_in_the_order_of_the_house(scratch: Path) -> None:
    printed = run(scratch, "analytics_assets", "new-domain", "rivers").split()
    assert len(printed) == 4
    text = [(scratch / name).read_text() for name in printed]
    assert sum(len(one.splitlines()) for one in text) <= 120
    run(scratch, "ruff", "check", *printed)
    run(scratch, "ruff", "format", "--check", *printed)
    described = run(scratch, "analytics_assets", "tables", ANALYTICS_DOMAINS="rivers")
    assert "## rivers.agg_station_monthly" in described
    assert "| peak_cm | integer | cm | Highest level. |" in described


@pytest.mark.parametrize("name", ["births", "Rivers", "2rivers", "", "../rivers", "a b"])
def test_a_name_that_cannot_be_is_one_sentence(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["new-domain", name]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_an_installed_package_gets_no_domain(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no project here"):
        new_domain.write("rivers", tmp_path)


@pytest.mark.slow
def test_the_guide_is_followed_line_by_line(scratch: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    environment = {"ANALYTICS_HOME": str(home)}
    printed = {}
    for setting, line in LINES:
        own = dict([setting.split("=")] if setting else [])
        words = [w.strip('"') for w in re.findall(r'"[^"]*"|\S+', line)]
        words[0] = words[0].replace("analytics-assets", "analytics_assets")
        command = words[2:] if words[0] == "python" else words
        printed[words[1]] = run(scratch, *command, **environment, **own)
    assert "9 assets materialised" in printed["materialize"]
    assert "Chur,2,299" in printed["psql"]
    assert "rivers.agg_basin_daily" in printed["tables"]


@pytest.mark.slow
def test_what_holds_for_every_domain_holds_for_the_new_one(scratch: Path) -> None:
    run(scratch, "analytics_assets", "new-domain", "rivers")
    (scratch / "docs").mkdir()
    own = "rivers and not page"
    tests = "analytics_assets_tests/test_every_domain.py"
    passed = run(scratch, "pytest", "-m", "slow or not slow", "-k", own, "-v", tests)
    (count,) = re.findall(r"(\d+) passed", passed)
    assert int(count) >= 5
    linted = run(scratch, "lint-imports", "--no-cache")
    assert "0 broken" in linted


@pytest.mark.slow
def test_the_new_domain_is_in_the_wheel(scratch: Path, tmp_path: Path) -> None:
    run(scratch, "analytics_assets", "new-domain", "rivers")
    run(scratch, "pip", "wheel", "--no-deps", "-w", str(tmp_path), ".")
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "analytics_assets/domains/rivers/domain.py" in names
    assert "analytics_assets/new_domain/domain.py.txt" in names
    # What is no module is packed by its pattern, wherever it lies.
    package = PROJECT / "analytics_assets"
    data = [
        path for suffix in ("sql", "csv", "txt", "yaml") for path in package.rglob(f"*.{suffix}")
    ]
    assert {str(path.relative_to(PROJECT)) for path in data} <= names

"""Mutation testing: the code is changed at one place, and a test should notice.

``make mutate BUDGET=30 SEED=1``: as many minutes of mutants, chosen at random by the seed, of
``core``, ``warehouse`` and ``production``; prints the score of each folder and what survived.

The changes are cosmic-ray's. Its runner pays seconds for each mutant to import Dagster and to start
PostgreSQL: here a process that has done both forks, and runs the tests of the module concerned.
Belongs here: choosing mutants, running tests on them, counting.
Does not belong here: what is said of survivors (``docs/mutations.md``).
"""

from __future__ import annotations

import ast
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FOLDERS = ("core", "landing", "warehouse", "production")
# Much more than tests take: a busy machine is no proof that a test noticed something.
SECONDS_A_MUTANT = 180

_LAWS, _DECLARED, _DEFECTS = (
    "properties/test_laws.py",
    "core/test_declaration.py",
    "warehouse/test_planted_defects.py",
)
_ALWAYS = (_DECLARED,)
# Module -> the tests that know most about it, quick ones first; a failure ends them.
TESTS = {
    "core": (_LAWS,),
    "core/columns": (_LAWS,),
    "core/contracts": ("warehouse/test_quarantine.py", _LAWS),
    "core/configured": ("core/test_meaning.py",),
    "core/display": ("core/test_display.py", "production/test_parity.py"),
    "core/meaning": ("core/test_meaning.py", "warehouse/test_changed_declarations.py"),
    "core/refusals": ("core/test_refusals.py", "core/test_table_set.py"),
    "core/sql_files": ("core/test_refusals.py",),
    "core/sql_text": ("core/test_meaning.py",),
    "core/used_code": ("core/test_meaning.py",),
    "core/validation": ("core/test_refusals.py",),
    "core/calendar": ("core/test_table_set.py",),
    "core/cells": ("core/test_small_cells.py",),
    "core/table_set": ("core/test_table_set.py",),
    "core/small_cells": ("core/test_small_cells.py",),
    "core/withholding": ("core/test_small_cells.py",),
    "core/usual": ("core/test_usual.py",),
    "core/partitions": ("warehouse/test_reach.py", "production/test_partitions.py", _LAWS),
    "warehouse": (_LAWS,),
    "warehouse/archive": ("warehouse/test_archive.py",),
    "warehouse/audit": ("warehouse/test_quarantine.py", _LAWS, _DEFECTS),
    "warehouse/check_results": ("warehouse/test_quarantine.py", _DEFECTS),
    "warehouse/table_assets": ("warehouse/test_reach.py", "warehouse/test_quarantine.py", _DEFECTS),
    "warehouse/pictures": ("warehouse/test_pictures.py", "core/test_display.py"),
    "warehouse/behind": ("warehouse/test_builds.py", "warehouse/test_changed_declarations.py"),
    "warehouse/build": ("warehouse/test_builds.py", "warehouse/test_computed.py", _LAWS),
    "warehouse/builds": (
        "warehouse/test_builds.py",
        "warehouse/test_reach.py",
        "warehouse/test_changed_declarations.py",
        "warehouse/test_integrity.py",
        _LAWS,
    ),
    "warehouse/binding": ("core/test_refusals.py",),
    "warehouse/delta_log": ("warehouse/test_integrity.py",),
    "warehouse/integrity": ("warehouse/test_integrity.py",),
    "warehouse/ledger": (
        "warehouse/test_quarantine.py",
        "warehouse/test_integrity.py",
        "warehouse/test_changed_declarations.py",
    ),
    "warehouse/log_repair": ("warehouse/test_integrity.py",),
    "warehouse/mending": ("warehouse/test_integrity.py",),
    "warehouse/notes": ("warehouse/test_integrity.py",),
    "warehouse/scrub": ("warehouse/test_integrity.py", "automation/test_maintenance.py"),
    "warehouse/soundness": ("warehouse/test_integrity.py",),
    "warehouse/catalogue": ("warehouse/test_computed.py", "warehouse/test_restatement.py"),
    "warehouse/comparable": ("warehouse/test_expectations.py",),
    "warehouse/expectations": ("warehouse/test_expectations.py",),
    "landing": ("landing/test_feeds.py", "clinic/test_arrival.py"),
    "landing/folder": ("births/test_malformed.py", "automation/test_staleness.py"),
    "warehouse/quarantine": ("warehouse/test_quarantine.py",),
    "landing/reference": ("births/test_columns.py",),
    "warehouse/retention": ("warehouse/test_retention.py", "warehouse/test_archive.py"),
    "warehouse/rollback_table": ("warehouse/test_retention.py", _LAWS),
    "warehouse/staging": ("warehouse/test_computed.py", "warehouse/test_reach.py", _LAWS),
    "production": ("production/test_promotion.py", "production/test_release.py", _LAWS),
    "production/release_assets": (
        "production/test_parity.py",
        "production/test_release.py",
        _DEFECTS,
    ),
    "production/backup": ("production/test_backup.py",),
    "production/dump": ("production/test_backup.py",),
    "production/dependents": ("production/test_dependents.py",),
    "production/encoding": ("production/test_encoding.py",),
    "production/freshness": ("automation/test_staleness.py",),
    "production/parity": ("production/test_parity.py",),
    "production/review": (
        "production/test_gate.py",
        "production/test_promotion.py",
        "automation/test_rollback.py",
    ),
    "production/rollback_production": (
        "automation/test_rollback.py",
        "production/test_release.py",
        _LAWS,
    ),
    "production/schema": (
        "production/test_promotion.py",
        "production/test_release.py",
        "production/test_privileges.py",
        "production/test_dependents.py",
    ),
    "production/server": ("production/test_privileges.py",),
}


@dataclass(frozen=True)
class Mutant:
    """One change of one module."""

    module: str
    line: int
    operator: str
    before: str
    after: str
    code: str

    def __str__(self) -> str:
        return f"{self.module}.py:{self.line}: {self.before}  ->  {self.after}"


def tests_of(module: str) -> list[str]:
    """The test files of ``core/columns`` and the like."""
    own = TESTS.get(module) or TESTS[module.split("/")[0]]
    return list(dict.fromkeys((*_ALWAYS, *own)))


def mutants(package: Path, chosen: random.Random) -> Iterator[Mutant]:
    """At most one mutant for each place of the code, in random order."""
    from cosmic_ray.ast import get_ast_from_path
    from cosmic_ray.commands.init import _all_work_items

    places: dict[tuple[Path, Any], list[Any]] = {}
    for folder in FOLDERS:
        for path in sorted((package / folder).glob("*.py")):
            assert get_ast_from_path(path)
            ignored = _annotated(path.read_text("utf-8"))
            for item in _all_work_items([path], {}):
                (spec,) = item.mutations
                if spec.start_pos not in ignored:
                    places.setdefault((path, spec.start_pos), []).append(spec)
    order = sorted(places)
    chosen.shuffle(order)
    for path, start in order:
        mutant = _mutant(package, path, start, chosen.choice(places[path, start]))
        if mutant:
            yield mutant


def _annotated(text: str) -> set[tuple[int, int]]:
    """Places inside annotations, which nothing evaluates."""
    found: set[tuple[int, int]] = set()
    for node in ast.walk(ast.parse(text)):
        for name in ("annotation", "returns"):
            if (noted := getattr(node, name, None)) is not None:
                lines = range(noted.lineno, noted.end_lineno + 1)
                found |= {
                    (line, column)
                    for line in lines
                    for column in range(
                        noted.col_offset if line == noted.lineno else 0,
                        noted.end_col_offset if line == noted.end_lineno else 200,
                    )
                }
    return found


def _mutant(package: Path, path: Path, start: tuple[int, int], spec: Any) -> Mutant | None:
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    text = path.read_text("utf-8")
    code = mutate_code(text, get_operator(spec.operator_name)(), spec.occurrence)
    if code is None or code == text:
        return None
    old, new = text.splitlines(), code.splitlines()
    at = start[0] - 1
    module = str(path.relative_to(package).with_suffix(""))
    name = spec.operator_name.removeprefix("core/")
    return Mutant(module, at + 1, name, old[at].strip(), new[at].strip(), code)


def main(minutes: float, seed: int, only: str = "") -> int:
    """Run what the budget allows and print the score; only modules whose names begin so."""
    until = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory(prefix="mutate", dir="/tmp") as scratch:
        for name in ("analytics_assets", "analytics_assets_tests"):
            skipped = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, Path(scratch) / name, ignore=skipped)
        for name in ("workspace.yaml", "pyproject.toml", "CONTRIBUTING.md", "docs"):
            (Path(scratch) / name).symlink_to(ROOT / name)
        os.environ |= {"PYTHONPATH": scratch, "PYTHONDONTWRITEBYTECODE": "1"}
        sys.dont_write_bytecode = True
        server = subprocess.Popen(
            [sys.executable, "-c", _SERVER, str(Path(scratch) / "pg" / "data")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdout
        assert server.stdin
        os.environ["TEST_POSTGRES"] = server.stdout.readline().strip()
        try:
            return _run(Path(scratch), until, seed, only)
        finally:
            server.stdin.close()
            server.wait()


_SERVER = """
import os, sys
from pathlib import Path
from analytics_assets.production import server
folder = Path(sys.argv[1])
folder.parent.mkdir()
os.chmod(folder.parents[1], 0o755)
os.chmod(folder.parent, 0o755)
print(server._start(folder), flush=True)
sys.stdin.read()
"""


def _run(scratch: Path, until: float, seed: int, only: str) -> int:
    # What all tests import is imported once; nothing of the package, which is about to change.
    import dagster
    import duckdb
    import hypothesis
    import pandas
    import pandera.pandas
    import pytest
    import sqlalchemy

    assert all((dagster, duckdb, hypothesis, pandas, pandera.pandas, pytest, sqlalchemy))

    took: dict[str, float] = {}
    counts: dict[str, Counter[str]] = {folder: Counter() for folder in FOLDERS}
    survivors: list[Mutant] = []
    for mutant in mutants(scratch / "analytics_assets", random.Random(seed)):
        if not mutant.module.startswith(only):
            continue
        if time.monotonic() > until:
            break
        files = tests_of(mutant.module)
        for file in files:
            # A test that fails without a mutant would kill every one.
            if file not in took:
                started = time.monotonic()
                what = _tested(scratch, [file], 600)
                took[file] = time.monotonic() - started
                print(f"{file}: {what} in {took[file]:.0f} s", flush=True)
                if what != "survived":
                    print(f"{file} fails on the code as it is: mend it first", file=sys.stderr)
                    took[file] = -1
        files = [file for file in files if took[file] >= 0]
        path = scratch / "analytics_assets" / f"{mutant.module}.py"
        original = path.read_text("utf-8")
        path.write_text(mutant.code, "utf-8")
        try:
            what = _tested(scratch, files, SECONDS_A_MUTANT)
        finally:
            path.write_text(original, "utf-8")
        counts[mutant.module.split("/")[0]][what] += 1
        if what == "survived":
            survivors.append(mutant)
        print(f"{what}: {mutant}", flush=True)
    _report(counts, survivors)
    return 0


def _tested(scratch: Path, files: list[str], seconds: float) -> str:
    """What becomes of these tests in a process of their own: killed, survived or timed out."""
    child = os.fork()
    if not child:
        os.setsid()
        os.chdir(scratch)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        for name in [name for name in sys.modules if name.startswith("analytics_assets")]:
            del sys.modules[name]
        sys.path.insert(0, str(scratch))
        import pytest

        paths = [str(scratch / "analytics_assets_tests" / file) for file in files]
        code = 99
        try:
            code = int(pytest.main([*paths, "-x", "-m", "not slow", "-p", "no:xdist"]))
        finally:
            os._exit(code)
    until = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "killed" if os.waitstatus_to_exitcode(status) else "survived"
        if time.monotonic() > until:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "timed out"
        time.sleep(0.02)


def _report(counts: dict[str, Counter[str]], survivors: list[Mutant]) -> None:
    print(
        "\n| folder | mutants | killed | timed out | survived | score |\n|---|---|---|---|---|---|"
    )
    for folder, count in counts.items():
        total = sum(count.values())
        # What was stopped for its time is undecided: it may hang, or the machine was busy.
        decided = count["killed"] + count["survived"]
        score = f"{100 * count['killed'] / decided:.0f} %" if decided else ""
        shown = (count[what] for what in ("killed", "timed out", "survived"))
        print(f"| {folder} | {total} | {' | '.join(map(str, shown))} | {score} |")
    print("\nSurvivors:")
    for mutant in sorted(survivors, key=str):
        print(f"- {mutant}")


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))

"""A small home as a version left it: what it built and promoted of the toy domain, with a backup.

Belongs here: making one, from a checkout of that version and its tests.
Does not belong here: what a newer version does with it (``test_upgrade.py``).

    git worktree add ../old <commit>; cd ../old
    python .../old_homes/make.py .../old_homes/<version>.tar.xz
"""

from __future__ import annotations

import os
import sys
import tarfile
import tempfile
from datetime import date
from pathlib import Path

MONTHS = {
    "2024-01": [(date(2024, 1, 5), "a", 500), (date(2024, 1, 9), "b", 2000)],
    "2024-02": [(date(2024, 2, 5), "c", 1500)],
}
# The rest is PostgreSQL's own files, which the backup stands for, and what is computed anew.
KEPT = ("version", "lake", "backups")


def make(target: Path) -> None:
    """Build, promote and back up the toy domain with the code on the path, and pack the home."""
    import dagster as dg

    from analytics_assets import environment
    from analytics_assets.automation.refresh import refresh
    from analytics_assets.definitions import build
    from analytics_assets_tests.toy import Memory, toy_tables

    environment.prepare()
    memory = Memory()
    memory.months = dict(MONTHS)
    tables = toy_tables(memory)
    definitions, instance = build(tables), dg.DagsterInstance.ephemeral()
    assert all(result.success for _, result in refresh(definitions, tables, instance))
    job = definitions.resolve_job_def("backup_production")
    assert job.execute_in_process(instance=instance).success
    with tarfile.open(target, "w:xz") as packed:
        for name in KEPT:
            packed.add(Path(os.environ["ANALYTICS_HOME"], name), name)


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    with tempfile.TemporaryDirectory(prefix="home", dir="/tmp") as folder:
        os.environ["ANALYTICS_HOME"] = folder
        make(Path(sys.argv[1]).absolute())

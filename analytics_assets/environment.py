"""What every command and child process expects: servers, and Dagster's home.

Belongs here: starting and naming them.
Does not belong here: settings (``settings.py``), or what runs there.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from analytics_assets import home, settings
from analytics_assets.production import server


def prepare() -> settings.Settings:
    """Start what has to run, and say in the environment where it is."""
    config = settings.load()
    home.take(config)
    os.environ["DAGSTER_PG_URL"] = server.urls(config).dagster
    # Dagster itself would try for a while, in a hundred lines and several processes.
    server.reach("DAGSTER_PG_URL", os.environ["DAGSTER_PG_URL"])
    os.environ["DAGSTER_HOME"] = str(config.dagster_home)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
    # Materialisation events are the cost of a long backfill; on PostgreSQL they go in batches.
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")
    config.dagster_home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(__file__).with_name("dagster.yaml"), config.dagster_home / "dagster.yaml")
    return config

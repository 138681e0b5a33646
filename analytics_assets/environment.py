"""What every command and child process expects: servers, and Dagster's home.

Belongs here: starting and naming them, and Dagster's settings: the user's over ours.
Does not belong here: settings (``settings.py``), or what runs there.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import yaml

from analytics_assets import home, settings, workers
from analytics_assets.core.source import SourceError
from analytics_assets.production import server

_MARK = (
    "# ---- Below are the settings of analytics-assets, written anew at each start. Yours go"
    " above, and count. ----\n"
)
# Dagster takes one word of each: two ways to say the same.
_ONE_OF = (
    ("run_coordinator", "run_queue", "concurrency"),
    ("storage", "run_storage", "event_log_storage", "schedule_storage"),
)


def prepare() -> settings.Settings:
    """Start what has to run, and say in the environment where it is."""
    config = settings.load()
    home.take(config)
    if "://" in config.lake:
        # Only who has an object store waits for what reads one.
        from analytics_assets.warehouse.storage import open_storage

        open_storage(config.lake).reach()
    for path in home.open_to_others(config):
        print(
            f"{path}: other users of this machine can look into it. `chmod -R go= {path}` closes"
            " it.",
            file=sys.stderr,
        )
    os.environ["DAGSTER_PG_URL"] = server.urls(config).dagster
    # Dagster itself would try for a while, in a hundred lines and several processes.
    server.reach("DAGSTER_PG_URL", os.environ["DAGSTER_PG_URL"])
    os.environ["DAGSTER_HOME"] = str(config.dagster_home)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
    # Materialisation events are the cost of a long backfill; on PostgreSQL they go in batches.
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")
    config.dagster_home.mkdir(parents=True, exist_ok=True)
    write_dagster_yaml(config.dagster_home / "dagster.yaml")
    return config


def write_dagster_yaml(file: Path) -> None:
    """Ours below what the user wrote there, without what the user says otherwise.

    Raises ``SourceError`` where it is no YAML.
    """
    ours = _ours(settings.load())
    there = file.read_text() if file.exists() else ""
    own, mark, _ = there.partition(_MARK)
    theirs = _read(own, file)
    # Earlier releases copied theirs over whatever was there.
    if not mark and theirs.items() <= ours.items():
        own, theirs = "", {}
    said = set(theirs)
    for words in _ONE_OF:
        said |= set(words) if said.intersection(words) else set()
    left = {name: value for name, value in ours.items() if name not in said}
    rest = yaml.safe_dump(left, sort_keys=False) if left else ""
    text = f"{own.rstrip()}\n{_MARK}{rest}".lstrip()
    if text != there:
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        draft.write_text(text)
        draft.replace(file)


def _ours(config: settings.Settings) -> dict[str, Any]:
    """What is shipped, with what the settings say of the queue and of who runs what it starts."""
    shipped = yaml.safe_load(Path(__file__).with_name("dagster.yaml").read_text())
    queue = shipped["run_coordinator"]["config"]
    queue["max_concurrent_runs"] = config.runs_at_once
    if config.domain_runs:
        from analytics_assets.automation.plan import DOMAIN_TAG

        each = {"key": DOMAIN_TAG, "value": {"applyLimitPerUniqueValue": True}}
        queue["tag_concurrency_limits"] = [{**each, "limit": config.domain_runs}]
    if config.broker_url:
        shipped["run_launcher"] = workers.launcher()
    return shipped


def _read(text: str, file: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise SourceError(f"line {line} is no YAML", str(file), "Mend or delete it.") from error
    if not isinstance(found, dict):
        raise SourceError("it does not name settings", str(file), "Mend or delete it.")
    return found

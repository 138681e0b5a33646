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

from analytics_assets import home, settings
from analytics_assets.core.source import SourceError
from analytics_assets.production import server
from analytics_assets.warehouse.storage import open_storage

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
    ours = yaml.safe_load(Path(__file__).with_name("dagster.yaml").read_text())
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


def _read(text: str, file: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise SourceError(f"line {line} is no YAML", str(file), "Mend or delete it.") from error
    if not isinstance(found, dict):
        raise SourceError("it does not name settings", str(file), "Mend or delete it.")
    return found

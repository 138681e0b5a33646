"""What failed checks say, to people who may see summaries, counts and keys.

Belongs here: the words of one evaluation, and which checks fail now.
Does not belong here: making checks (``warehouse``, ``production``), problems that open and close
(``problems.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

import dagster as dg
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)
from dagster._core.storage.event_log import EventLogStorage

from analytics_assets.core.declaration import Table
from analytics_assets.production.freshness import Failing
from analytics_assets.warehouse.check_results import FAILING, KEYS

_QUOTED = re.compile(r"""(?<!\w)('[^'\n]*'|"[^"\n]*"|`[^`\n]*`)(?!\w)""")
_LINES, _LINE = 5, 300
_FAILED = AssetCheckExecutionRecordStatus.FAILED


def failing_checks(
    instance: dg.DagsterInstance, checks: Iterable[dg.AssetCheckKey], tables: Sequence[Table]
) -> list[Failing]:
    """The checks that failed when they were last made; of where small cells are withheld without
    words and keys, which may tell that there is one."""
    silent = {table.domain for table in tables if table.withholds}
    failing = []
    for last in _last_completed(instance.event_log_storage, list(checks)):
        if last.event is None or last.status is not _FAILED:
            continue
        made = last.event.get_dagster_event().asset_check_evaluation_data
        told = silent.isdisjoint(made.asset_key.path)
        metadata: Any = {name: value.value for name, value in made.metadata.items()}
        failing.append(
            Failing(
                made.asset_key.to_user_string(),
                made.check_name,
                made.severity is dg.AssetCheckSeverity.ERROR,
                len(metadata.get(FAILING, [])),
                check_text(made) if told else "",
                metadata.get(KEYS, []) if told else [],
                datetime.fromtimestamp(last.event.timestamp, timezone.utc),
            )
        )
    return failing


def _last_completed(
    storage: EventLogStorage, checks: Sequence[dg.AssetCheckKey]
) -> Iterator[AssetCheckExecutionRecord]:
    """The last evaluation of each check; all are asked for at once, but for what is under way."""
    latest = storage.get_latest_asset_check_execution_by_key(checks)
    for key in (key for key in checks if key in latest):
        last: AssetCheckExecutionRecord | None = latest[key]
        if latest[key].status is AssetCheckExecutionRecordStatus.PLANNED:
            summary = storage.get_asset_check_summary_records([key])[key]
            last = summary.last_completed_check_execution_record
        if last:
            yield last


def check_text(check: Any) -> str:
    """What a failed check found: summary and counts, never the rows."""
    found = [line for line in text_of(check, "what").splitlines() if line.startswith("- ")]
    numbers = [
        f"{name}: {value.value}"
        for name, value in check.metadata.items()
        if isinstance(value.value, (int, float)) or name.startswith(("held back", "partitions"))
    ]
    return safe([*(check.description or "").splitlines()[:1], *found] or numbers)


def text_of(check: Any, name: str) -> str:
    return str(check.metadata[name].value) if name in check.metadata else ""


def safe(lines: list[str]) -> str:
    """A few short lines without quoted text, which may be somebody's data."""
    kept = [_QUOTED.sub("'...'", line)[:_LINE] for line in lines if line.strip()]
    more = [f"... and {len(kept) - _LINES} more"] if len(kept) > _LINES else []
    return "\n".join(kept[:_LINES] + more)

"""What runs did, counted for people.

Belongs here: events and what is recorded -> a row by asset, problems and warnings, and the table.
Does not belong here: running anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster._core.instance import RUNLESS_RUN_ID

from analytics_assets.automation.checks import check_text


@dataclass
class _Row:
    partitions: int = 0
    rows: int = 0
    passed: int = 0
    failed: int = 0
    seconds: float = 0.0


@dataclass
class Done:
    """What runs did: a row by asset, what failed, and what was published with a warning."""

    table: dict[str, _Row] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: dict[str, str] = field(default_factory=dict)


class Recorded:
    """Materialisations in Dagster's event log: what is good of a step that failed is recorded
    beside its run, so the events of the run do not tell it."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._log = instance.event_log_storage
        self._last = self._log.get_maximum_record_id() or 0

    def since_last(self, run_id: str) -> list[Any]:
        """Those of a run, and those recorded beside it, since this was last asked."""
        wanted = dg.EventRecordsFilter(
            dg.DagsterEventType.ASSET_MATERIALIZATION, after_cursor=self._last
        )
        records = self._log.get_event_records(wanted, ascending=True)
        if records:
            self._last = records[-1].storage_id
        entries = (record.event_log_entry for record in records)
        return [e.asset_materialization for e in entries if e.run_id in (run_id, RUNLESS_RUN_ID)]


def count(result: dg.ExecuteInProcessResult, recorded: Recorded, done: Done) -> None:
    """Add what a run did, and what was recorded meanwhile, to what is done."""
    _count_events(result.all_events, done)
    _count_materialisations(recorded.since_last(result.run_id), done)


def _count_materialisations(materialisations: Sequence[Any], done: Done) -> None:
    seconds: dict[str, float] = {}
    for entry in materialisations:
        row = done.table.setdefault("/".join(entry.asset_key.path), _Row())
        values = {name: getattr(value, "value", 0) for name, value in entry.metadata.items()}
        row.partitions += 1
        row.rows += int(
            values.get("dagster/partition_row_count", values.get("dagster/row_count", 0))
        )
        # Each partition of a table says how long all of them took.
        seconds["/".join(entry.asset_key.path)] = float(values.get("seconds", 0))
    for key, value in seconds.items():
        done.table[key].seconds += value


def _count_events(events: Sequence[Any], done: Done) -> None:
    for event in events:
        if event.event_type_value == "ASSET_CHECK_EVALUATION":
            check = event.asset_check_evaluation_data
            asset = "/".join(check.asset_key.path)
            row = done.table.setdefault(asset, _Row())
            row.passed += check.passed
            row.failed += not check.passed
            if not check.passed and check.severity.value == "WARN":
                done.warnings[f"{asset} {check.check_name}"] = check_text(check)
    done.problems += failures(events)


def failures(events: Sequence[Any]) -> list[str]:
    """Why steps failed: the sentence where there is one, else the error."""
    failed = [e.step_failure_data for e in events if e.event_type_value == "STEP_FAILURE"]
    return [
        failure.user_failure_data.description
        if failure.user_failure_data
        else failure.error.to_string()
        for failure in failed
    ]


def print_table(table: dict[str, _Row]) -> None:
    """A line an asset."""
    width = max(map(len, table))
    head = f"{'asset':<{width}}  partitions        rows  passed  failed  seconds"
    print(f"\n{head}\n{'-' * len(head)}")
    for key, row in table.items():
        print(
            f"{key:<{width}}  {row.partitions:>10,}  {row.rows:>10,}  {row.passed:>6}"
            f"  {row.failed:>6}  {row.seconds:>7.1f}"
        )

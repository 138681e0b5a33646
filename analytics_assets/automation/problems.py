"""What is wrong now, from what Dagster recorded.

Belongs here: failed runs and checks, stale tables and failed ticks as problems that open and close.
Does not belong here: what is stale (``staleness.py``), or whom to tell and when (``alerts.py``).

All that is known lies in a ``Watch``, which the sensor keeps as its cursor in Dagster's storage;
a tick reads only what was recorded since the last one. Texts hold summaries and counts, never rows.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import quote

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.events import DagsterEventType
from dagster._core.scheduler.instigation import TickStatus
from dagster._utils.error import SerializableErrorInfo

from analytics_assets.automation.checks import check_text, safe, text_of
from analytics_assets.automation.notify import Alert
from analytics_assets.automation.operations import STALENESS, stale_assets
from analytics_assets.warehouse.check_results import FAILING

NAME = "alerts"
# Ids are given before events are committed: one that is this old has no younger one before it.
_SETTLED_SECONDS = 5.0
_PAGE = 500
_EVENTS = (
    DagsterEventType.ASSET_CHECK_EVALUATION,
    DagsterEventType.RUN_FAILURE,
    DagsterEventType.RUN_SUCCESS,
)
_TICKS = [TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE]
_NAMED = re.compile(r"\w+/\w+\b")


@dataclass
class Problem:
    """One thing that is wrong. Times are seconds since 1970; ``told`` is when people last were.

    ``spans``: first and last of the partitions that nothing has made good yet. ``warns``: it holds
    nothing back.
    """

    kind: str
    title: str
    what: str
    to_do: str
    link: str
    first_seen: float
    last_seen: float
    times: int = 1
    told: float | None = None
    told_what: str = ""
    told_times: int = 0
    spans: list[list[str]] = field(default_factory=list)
    over: bool = False
    warns: bool = False


@dataclass
class Watch:
    """All that one tick leaves to the next: the last event read, problems, alerts not yet sent."""

    event: int = 0
    problems: dict[str, Problem] = field(default_factory=dict)
    waiting: list[Alert] = field(default_factory=list)
    post_after: float = 0.0

    @classmethod
    def load(cls, cursor: str | None) -> Watch:
        """From the sensor's cursor; of a new or unreadable one everything is new."""
        try:
            kept = json.loads(cursor or "{}")
            kept["problems"] = {k: Problem(**p) for k, p in kept.get("problems", {}).items()}
            kept["waiting"] = [Alert(**alert) for alert in kept.get("waiting", [])]
            return cls(**kept)
        except (ValueError, TypeError, AttributeError):
            return cls()

    def dump(self) -> str:
        return json.dumps(asdict(self))

    def report(self, key: str, problem: Problem) -> Problem:
        """The problem is there (again)."""
        known = self.problems.get(key)
        if known is None or known.over:
            self.problems[key] = problem
            return problem
        known.times += problem.last_seen > known.last_seen
        known.what, known.link, known.last_seen = problem.what, problem.link, problem.last_seen
        return known

    def settle_others(self, kind: str, keys: set[str]) -> None:
        """All problems of a kind but these are over."""
        for key, problem in self.problems.items():
            if problem.kind == kind and key not in keys:
                problem.over = True


# ---- runs and checks ----------------------------------------------------------------------------


def read_events(instance: dg.DagsterInstance, watch: Watch, moment: float, ui: str) -> bool:
    """Take in what was recorded since; ``False`` if there is more than one page of it."""
    pages = [
        instance.event_log_storage.get_logs_for_all_runs_by_log_id(watch.event, kind, _PAGE)
        for kind in _EVENTS
    ]
    spans = _Spans(instance)
    full = [max(page) for page in pages if len(page) == _PAGE]
    for number, entry in sorted(item for page in pages for item in page.items()):
        if entry.timestamp > moment - _SETTLED_SECONDS or (full and number > min(full)):
            break
        watch.event = number
        event = entry.get_dagster_event()
        if event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION:
            _take_check(watch, entry, spans, ui)
        elif event.event_type is DagsterEventType.RUN_FAILURE:
            _take_failed_run(watch, entry, spans, ui)
        else:
            _take_good_run(watch, entry, spans)
    return not full


class _Spans(dict[str, tuple[str, str]]):
    """Run id -> first and last partition of the run, empty if it has none."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        super().__init__()
        self._instance = instance

    def __missing__(self, run_id: str) -> tuple[str, str]:
        run = self._instance.get_run_by_id(run_id)
        tags = run.tags if run else {}
        only = tags.get("dagster/partition", "")
        self[run_id] = (
            tags.get("dagster/asset_partition_range_start", only),
            tags.get("dagster/asset_partition_range_end", only),
        )
        return self[run_id]


def _outside(spans: list[list[str]], span: tuple[str, str]) -> list[list[str]]:
    """Those that a run did not touch; keys order as text as time does."""
    if span == ("", ""):
        return []  # a run without partitions, or a check of all of them
    return [one for one in spans if one[1] < span[0] or span[1] < one[0]]


def forget_other_checks(watch: Watch, checks: Collection[dg.AssetCheckKey]) -> None:
    """Problems of checks that are no longer declared are nobody's."""
    names = {_check_key(key.asset_key, key.name) for key in checks}
    for key in [k for k, p in watch.problems.items() if p.kind == "check" and k not in names]:
        del watch.problems[key]


def _check_key(asset: dg.AssetKey, name: str) -> str:
    return f"check {asset.to_user_string()} {name}"


def _take_check(watch: Watch, entry: Any, spans: _Spans, ui: str) -> None:
    """A check is over when each partition that failed it has passed it."""
    check = entry.get_dagster_event().asset_check_evaluation_data
    key = _check_key(check.asset_key, check.check_name)
    known = watch.problems.get(key)
    if (check.passed and known is None) or check.asset_key == STALENESS:
        return  # every stale table is a problem of its own
    failing = check.metadata[FAILING].value if FAILING in check.metadata else []
    untouched = _outside(known.spans, spans[entry.run_id]) if known else []
    if check.passed:
        assert known
        known.spans = untouched
        known.over = not untouched
        return
    found = [[partition, partition] for partition in failing]
    if known and not known.over and found and not _news(found, spans[entry.run_id]):
        return  # what an earlier run found is known
    asset = check.asset_key.to_user_string()
    blocks = check.severity is dg.AssetCheckSeverity.ERROR
    problem = watch.report(
        key,
        Problem(
            "check",
            f"check {check.check_name} of {asset} ({check.severity.value})",
            check_text(check),
            text_of(check, "what to do")
            or "Open the check: it shows rows that break it."
            + (" Readers keep the last good version until it passes." if blocks else ""),
            f"{_asset_link(ui, asset)}?view=checks&checkDetail={quote(check.check_name)}",
            entry.timestamp,
            entry.timestamp,
        ),
    )
    problem.warns = not blocks
    problem.spans = untouched + [one for one in found if one not in untouched]


def _news(found: list[list[str]], span: tuple[str, str]) -> bool:
    return len(_outside(found, span)) < len(found)


def _run_title(job: str) -> str:
    return f"run of {job}"


def _take_failed_run(watch: Watch, entry: Any, spans: _Spans, ui: str) -> None:
    event = entry.get_dagster_event()
    what = _run_error(event)
    digest = hashlib.sha256(what.encode()).hexdigest()[:12]
    problem = watch.report(
        f"run {event.job_name} {digest}",
        Problem(
            "run",
            _run_title(event.job_name),
            what,
            "Open the run: it names the step and the error. What passed is live, the rest kept its"
            " last good version. Mend the cause; what is behind is then asked for again.",
            f"{ui}/runs/{entry.run_id}",
            entry.timestamp,
            entry.timestamp,
        ),
    )
    span = list(spans[entry.run_id])
    if span not in problem.spans:
        problem.spans.append(span)


def _take_good_run(watch: Watch, entry: Any, spans: _Spans) -> None:
    """A later run of the same job over the same partitions makes a failed one good.

    Or over some of them: what passed of a range is not run again.
    """
    title = _run_title(entry.get_dagster_event().job_name)
    for problem in watch.problems.values():
        if problem.kind == "run" and problem.title == title:
            problem.spans = _outside(problem.spans, spans[entry.run_id])
            problem.over = problem.over or not problem.spans


def _run_error(event: Any) -> str:
    """What a run said when it failed: our own words, or an unexpected error's class and gist."""
    data = event.job_failure_data
    step = data.first_step_failure_event
    failure = step.step_failure_data if step else None
    if failure and failure.user_failure_data and failure.user_failure_data.description:
        lines = failure.user_failure_data.description.splitlines()
        # Other lines are quotations, from a file for example.
        return safe([*lines[:1], *(line for line in lines[1:] if _NAMED.match(line))])
    error = failure.error if failure else data.error
    return _unexpected(error) if error else safe((event.message or "It failed.").splitlines()[:1])


def _unexpected(error: SerializableErrorInfo) -> str:
    while error.cause:
        error = error.cause
    first = (error.message.strip().splitlines() or [""])[0]
    name = error.cls_name or ""
    return safe([first if first.startswith(name) else f"{name}: {first}"])


# ---- stale tables and ticks ---------------------------------------------------------------------


def _asset_link(ui: str, asset: str) -> str:
    return f"{ui}/assets/{quote(asset)}"


def read_staleness(instance: dg.DagsterInstance, watch: Watch, ui: str) -> None:
    """What ``operations/staleness`` found when it was last materialised."""
    found, seen = stale_assets(instance)
    for asset, what in found.items():
        watch.report(
            f"stale {asset}",
            Problem(
                "stale",
                f"stale: {asset}",
                safe([what]),
                "`analytics-assets status` shows all that is behind. Look at its failed runs and"
                " checks, or materialise it; for a silent source, fetch what is new.",
                _asset_link(ui, asset),
                seen,
                seen,
            ),
        )
    watch.settle_others("stale", {f"stale {asset}" for asset in found})


def read_ticks(instance: dg.DagsterInstance, watch: Watch, ui: str) -> None:
    """Schedules whose last tick failed, and sensors whose last two did."""
    failing: set[str] = set()
    for state in instance.all_instigator_state():
        sensor = state.instigator_type is InstigatorType.SENSOR
        if not state.is_running or state.instigator_name == NAME:
            continue
        ticks = instance.get_ticks(
            state.instigator_origin_id, state.selector_id, limit=1 + sensor, statuses=_TICKS
        )
        if not ticks or any(tick.status is not TickStatus.FAILURE for tick in ticks):
            continue
        kind, seen = "sensor" if sensor else "schedule", ticks[0].timestamp
        key = f"tick {state.instigator_name}"
        failing.add(key)
        repository = state.origin.repository_origin
        place = f"{repository.repository_name}@{repository.code_location_origin.location_name}"
        watch.report(
            key,
            Problem(
                "tick",
                f"{kind} {state.instigator_name}",
                _unexpected(ticks[0].error) if ticks[0].error else "Its tick failed.",
                f"Open the {kind}: its last tick has the whole error. Until it passes, nothing"
                " is asked for by it.",
                f"{ui}/locations/{place}/{kind}s/{state.instigator_name}",
                seen,
                seen,
            ),
        )
    watch.settle_others("tick", failing)

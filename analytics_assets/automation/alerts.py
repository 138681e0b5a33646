"""Telling people what is wrong: once, and once more when it is over.

Belongs here: which problems people know of already, and the sensor that looks every minute.
Does not belong here: what is a problem (``problems.py``), or where alerts go (``notify.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timezone

import dagster as dg

from analytics_assets import settings
from analytics_assets.automation import notify
from analytics_assets.automation.notify import Alert
from analytics_assets.automation.problems import (
    NAME,
    Problem,
    Watch,
    forget_other_checks,
    read_events,
    read_staleness,
    read_ticks,
)
from analytics_assets.core.boundary import in_our_words
from analytics_assets.warehouse.ledger import now

_SECONDS = 60
_DAY = 86_400.0
# A failed run that nobody runs again is history after this.
_FORGOTTEN_AFTER = 7 * _DAY
_POST_AGAIN_AFTER = 300.0
_MOST_WAITING = 500


def alerts_sensor(made_up: Callable[[], Collection[str]] = tuple) -> dg.SensorDefinition:
    """The sensor that looks every minute; ``made_up`` names domains whose input is a sample."""

    @dg.sensor(
        name=NAME,
        minimum_interval_seconds=_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells people of failed runs and checks, stale tables and failed ticks: in the"
        " log, in alerts.jsonl, and to ALERT_WEBHOOK_URL if that is set.",
    )
    @in_our_words
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        repository = context.repository_def
        checks = repository.asset_graph.asset_check_keys if repository else None
        watch = Watch.load(context.cursor)
        said = look(context.instance, watch, now(), checks, made_up())
        context.update_cursor(watch.dump())
        waiting = f", {len(watch.waiting)} alerts wait for the webhook" if watch.waiting else ""
        return dg.SkipReason(f"{len(watch.problems)} problems, {said} alerts{waiting}.")

    return alerts


def look(
    instance: dg.DagsterInstance,
    watch: Watch,
    as_of: datetime,
    checks: Collection[dg.AssetCheckKey] | None = None,
    made_up: Collection[str] = (),
) -> int:
    """One tick: read on, tell what is new, send what waits. Returns the number of alerts.

    ``checks``: the keys of the checks that there are; problems of others are forgotten. Warnings
    of domains whose input is ``made_up`` are planted in it, and told nobody.
    """
    config = settings.load()
    moment = as_of.timestamp()
    repeat = config.alert_repeat.total_seconds()
    caught_up = read_events(instance, watch, moment, config.ui_url)
    read_staleness(instance, watch, config.ui_url)
    read_ticks(instance, watch, config.ui_url)
    if checks is not None:
        forget_other_checks(watch, checks)
    # Half way through a long history a problem may have been solved since.
    alerts = list(_due(watch, moment, repeat, made_up)) if caught_up else []
    notify.write(alerts, config.home / "alerts.jsonl")
    if not config.alert_webhook_url:
        watch.waiting = []
        return len(alerts)
    watch.waiting = [*watch.waiting, *alerts][-_MOST_WAITING:]
    if watch.waiting and moment >= watch.post_after:
        if notify.post(config.alert_webhook_url, watch.waiting):
            watch.waiting, watch.post_after = [], 0.0
        else:
            watch.post_after = moment + _POST_AGAIN_AFTER
    return len(alerts)


def _due(watch: Watch, moment: float, repeat: float, made_up: Collection[str]) -> Iterator[Alert]:
    """What people do not know yet, or should be reminded of."""
    for key, problem in list(watch.problems.items()):
        told = problem.told
        if problem.warns and told is None and _domain(key) in made_up:
            continue
        if problem.over:
            del watch.problems[key]
            if told is not None:
                yield _alert("resolved", problem)
            elif problem.last_seen > moment - _DAY:
                yield _alert("failed and passed again", problem)
            continue
        if problem.kind == "run" and problem.last_seen < moment - _FORGOTTEN_AFTER:
            del watch.problems[key]
            continue
        # A check that fails in another way is news; a table's lag says something new every hour.
        changed = problem.kind == "check" and problem.what != problem.told_what
        # A run fails at one moment, everything else goes on failing.
        lasting = problem.kind != "run" or problem.times > problem.told_times
        if told is None or changed or (lasting and moment - told >= repeat):
            yield _alert("failed" if told is None else "still failing", problem)
            problem.told, problem.told_what = moment, problem.what
            problem.told_times = problem.times


def _domain(key: str) -> str:
    """Of a check's key, such as ``check production/births/agg_yearly volume``."""
    return key.split()[1].removeprefix("production/").split("/")[0]


def _alert(status: str, problem: Problem) -> Alert:
    first = datetime.fromtimestamp(problem.first_seen, timezone.utc)
    return Alert(
        status,
        problem.kind,
        problem.title,
        problem.what,
        problem.to_do,
        problem.link,
        first.strftime("%Y-%m-%d %H:%M UTC"),
        problem.times,
    )

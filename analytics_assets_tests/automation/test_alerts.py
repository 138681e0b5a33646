"""Alerts of real runs, to a real HTTP server.

Belongs here: what is told, how often, and what happens while the webhook is down.
Does not belong here: what is stale (``test_staleness.py``).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._utils.error import SerializableErrorInfo

from analytics_assets import settings
from analytics_assets.automation import notify
from analytics_assets.automation.alerts import _due, look
from analytics_assets.automation.notify import Alert, post
from analytics_assets.automation.problems import Problem, Watch
from analytics_assets.core.declaration import Check, Table
from analytics_assets.definitions import build
from analytics_assets.warehouse.ledger import now
from analytics_assets_tests.automation import test_storage
from analytics_assets_tests.conftest import make_workspace
from analytics_assets_tests.toy import Memory, toy_tables
from analytics_assets_tests.workspace import Workspace

SECRET = "/services/T000/B000/secret-of-the-webhook"
SETTLED = timedelta(seconds=10)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def dagster_storage(
    tmp_path_factory: pytest.TempPathFactory, postgres: str
) -> Iterator[dg.DagsterInstance]:
    """Dagster's storage as the daemon has it: an ephemeral instance keeps no ticks."""
    folder = tmp_path_factory.mktemp("dagster") / "home"
    with test_storage.instance(folder, postgres, f"custom: {test_storage.OURS}") as made:
        yield made


@pytest.fixture
def workspace(
    tmp_path: Path,
    postgres: str,
    monkeypatch: pytest.MonkeyPatch,
    dagster_storage: dg.DagsterInstance,
) -> Iterator[Workspace]:
    """An empty workspace whose runs are kept there."""
    for made in make_workspace(tmp_path, postgres, monkeypatch):
        made.instance = dagster_storage
        yield made
    dagster_storage.event_log_storage.wipe()
    dagster_storage.run_storage.wipe()
    dagster_storage.schedule_storage.wipe()


class Webhook:
    """A server that takes messages, or answers with what ``answers`` says, one a request."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.requests = 0
        self.answers: list[int] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.requests += 1
                status = hook.answers.pop(0) if hook.answers else 200
                if status == 200:
                    hook.texts.append(json.loads(body)["text"])
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}{SECRET}"
        Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def take(self) -> list[str]:
        """What came since last asked."""
        taken, self.texts = self.texts, []
        return taken


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    hook = Webhook()
    monkeypatch.setenv("ALERT_WEBHOOK_URL", hook.url)
    monkeypatch.setenv("ANALYTICS_URL", "https://dagster.example/")
    monkeypatch.setattr(notify, "_PAUSES", (0.0, 0.0))
    yield hook
    hook.server.shutdown()
    hook.server.server_close()


class Watcher:
    """The sensor's ticks over a workspace, a day or a minute apart."""

    def __init__(self, workspace: Workspace, tables: Sequence[Table]) -> None:
        self.workspace = workspace
        self.definitions = build(tables)
        self.tables = tables
        self.cursor: str | None = None

    def tick(self, later: timedelta = timedelta(0)) -> int:
        watch = Watch.load(self.cursor)
        said = look(self.workspace.instance, watch, now() + SETTLED + later)
        self.cursor = watch.dump()
        return said

    def run(self) -> list[bool]:
        ran = self.workspace.refresh(self.definitions, self.tables)
        return [result.success for _, result in ran]


def cheap(blocking: bool) -> Check:
    return Check(
        "not_cheap",
        "No sale is below a tenth",
        "select * from toy.fact_sales where cents < 10",
        "Ask the shop.",
        blocking,
    )


def sales(cents: int) -> list[tuple[date | None, str, int]]:
    return [(date(2024, 1, 5), "a", cents)]


def shop(workspace: Workspace, blocking: bool = False) -> tuple[Memory, Watcher]:
    """A source and a fact with a check."""
    source = Memory()
    source.months = {"2024-01": sales(7)}
    raw, fact, *_ = toy_tables(source)
    return source, Watcher(workspace, [raw, replace(fact, checks=(cheap(blocking),))])


def lines() -> list[dict[str, Any]]:
    """What is in alerts.jsonl."""
    file = settings.load().home / "alerts.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_the_file_of_alerts_is_bounded_and_the_newest_are_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_MOST_BYTES", 2000)
    file = tmp_path / "alerts.jsonl"
    for number in range(100):
        notify.write([Alert("failed", "run", f"run {number}", "", "", "", "", 1)], file)
    kept = [path.read_text() for path in (tmp_path / "alerts.1.jsonl", file)]
    assert all(len(text) < 2500 for text in kept)
    titles = [json.loads(line)["title"] for text in kept for line in text.splitlines()]
    assert titles == [f"run {number}" for number in range(100)][-len(titles) :]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_warning_of_a_green_run_is_told_once_and_its_end_too(
    workspace: Workspace, webhook: Webhook
) -> None:
    source, watcher = shop(workspace)
    other_day: list[tuple[date | None, str, int]] = [(date(2024, 1, 9), "b", 2000)]
    source.months = {"2024-01": sales(7) + other_day}
    # The other day is a later run of its own, and passes: that is not the end of it.
    assert watcher.run() == [True, True, True]

    assert watcher.tick() == 1
    (text,) = webhook.take()
    assert "failed: check not_cheap of toy/fact_sales (WARN)" in text
    assert "2024-01-05: not_cheap: No sale is below a tenth: 1 found. Ask the shop." in text
    assert (
        "<https://dagster.example/assets/toy/fact_sales?view=checks&checkDetail=not_cheap|Open>"
        in text
    )
    assert watcher.tick() == 0
    assert watcher.tick(DAY - timedelta(minutes=5)) == 0
    assert webhook.take() == []

    assert watcher.tick(DAY) == 1
    assert "still failing: check not_cheap" in webhook.take()[0]

    source.months = {"2024-01": sales(700) + other_day}
    assert all(watcher.run())
    assert watcher.tick() == 1
    assert "resolved: check not_cheap of toy/fact_sales" in webhook.take()[0]
    assert watcher.tick(2 * DAY) == 0
    assert [line["status"] for line in lines()] == ["failed", "still failing", "resolved"]


def test_offending_rows_are_not_sent(workspace: Workspace, webhook: Webhook) -> None:
    source, watcher = shop(workspace)
    source.months = {"2024-01": [(date(2024, 1, 5), "secret customer", 7)]}
    watcher.run()
    watcher.tick()
    (text,) = webhook.take()
    assert "shop not in its code list: 1 rows" in text
    assert "secret customer" not in text + json.dumps(lines()) + str(watcher.cursor)


def test_a_check_that_blocks_fails_its_run_and_both_are_told(
    workspace: Workspace, webhook: Webhook
) -> None:
    source, watcher = shop(workspace, blocking=True)
    assert watcher.run() == [True, False]
    watcher.tick()
    (text,) = webhook.take()
    assert "failed: check not_cheap of toy/fact_sales (ERROR)" in text
    assert "failed: run of toy_daily" in text
    assert "toy/fact_sales 2024-01-05: not_cheap: No sale is below a tenth: 1 found." in text
    (run_id,) = {
        record.run_id
        for record in workspace.instance.get_runs(
            dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])
        )
    }
    assert f"<https://dagster.example/runs/{run_id}|Open>" in text
    source.months = {"2024-01": sales(700)}
    watcher.run()
    watcher.tick()
    (text,) = webhook.take()
    assert "resolved: check not_cheap" in text
    assert "resolved: run of toy_daily" in text


def test_a_failed_run_is_told_again_only_if_it_fails_again(
    workspace: Workspace, webhook: Webhook
) -> None:
    source, watcher = shop(workspace)
    source.months = {"2024-01": sales(700), "2024-02": [(date(2024, 2, 1), "a", 700)]}
    source.broken = {"2024-01"}
    job = watcher.definitions.resolve_job_def("toy_monthly")

    def run(month: str) -> bool:
        return job.execute_in_process(
            instance=workspace.instance, partition_key=month, raise_on_error=False
        ).success

    assert not run("2024-01")
    watcher.tick()
    text = "\n".join(webhook.take())
    assert "failed: run of toy_monthly" in text
    assert "memory 2024-01: it is broken. Mend it" in text
    assert not run("2024-01")
    assert watcher.tick() == 0
    assert run("2024-02"), "another month does not make it good"
    watcher.tick()
    assert "run of" not in "".join(webhook.take())
    watcher.tick(DAY)
    assert "still failing: run of toy_monthly* (2 times)" in webhook.take()[0]
    watcher.tick(2 * DAY)
    assert "run of" not in "".join(webhook.take())
    source.broken = set()
    assert run("2024-01")
    watcher.tick()
    assert "resolved: run of toy_monthly" in "".join(webhook.take())


def test_an_unexpected_error_is_told_without_what_it_quotes(
    workspace: Workspace, webhook: Webhook
) -> None:
    @dg.op
    def breaks() -> None:
        raise ValueError("could not read 'Maria, 12 Main Street'\nsecond line")

    @dg.job
    def broken() -> None:
        breaks()

    watcher = Watcher(workspace, [])
    broken.execute_in_process(instance=workspace.instance, raise_on_error=False)
    assert watcher.tick() == 1
    (text,) = webhook.take()
    assert "failed: run of broken*\nValueError: could not read '...'\nTo do:" in text
    assert "Maria" not in str(watcher.cursor)
    assert watcher.tick(timedelta(days=8)) == 0
    assert Watch.load(watcher.cursor).problems == {}, "after a week it is history"


def test_what_failed_and_passed_between_two_looks_is_told(
    workspace: Workspace, webhook: Webhook
) -> None:
    source, watcher = shop(workspace)
    watcher.run()
    source.months = {"2024-01": sales(700)}
    watcher.run()
    assert watcher.tick() == 1
    assert "failed and passed again: check not_cheap" in webhook.take()[0]
    other = Watcher(workspace, watcher.tables)
    assert other.tick(2 * DAY) == 0, "long ago it is history"


def test_a_stale_table_is_told_until_it_is_not(workspace: Workspace, webhook: Webhook) -> None:
    source, watcher = shop(workspace)
    source.months = {"2024-01": sales(700)}
    raw, fact = watcher.tables
    impatient = Watcher(workspace, [replace(raw, fresh_within=timedelta(0)), fact])

    def look_at_staleness() -> None:
        job = impatient.definitions.resolve_job_def("operations_staleness")
        assert job.execute_in_process(instance=workspace.instance).success

    look_at_staleness()
    assert impatient.tick() == 0, "just seen, so behind for no time at all"
    look_at_staleness()
    assert impatient.tick() == 1
    (text,) = webhook.take()
    assert "failed: stale: toy/raw_sales" in text
    assert "2024-01 behind since" in text
    assert "<https://dagster.example/assets/toy/raw_sales|Open>" in text
    look_at_staleness()
    assert impatient.tick() == 0
    impatient.run()
    look_at_staleness()
    assert impatient.tick() == 1
    assert "resolved: stale: toy/raw_sales" in webhook.take()[0]


def test_alerts_wait_while_the_webhook_is_down(
    workspace: Workspace, webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    _, watcher = shop(workspace)
    watcher.run()
    webhook.answers = [503, 503, 503]
    with caplog.at_level(logging.DEBUG):
        watcher.tick()
        assert (webhook.requests, webhook.take()) == (3, [])
        watcher.tick(timedelta(minutes=1))
        assert webhook.requests == 3, "not every minute"
        watcher.tick(timedelta(minutes=6))
    assert "failed: check not_cheap" in webhook.take()[0]
    watcher.tick(timedelta(minutes=7))
    assert webhook.take() == []
    assert [line["status"] for line in lines()] == ["failed"]
    assert "it answers 503" in caplog.text
    assert "secret-of-the-webhook" not in caplog.text + str(watcher.cursor)
    assert "secret-of-the-webhook" not in repr(settings.load())


ALERT = Alert("failed", "run", "<it> & more", "why", "mend it", "http://link", "today", 1)


@pytest.mark.parametrize(
    ("answers", "arrives", "requests"),
    [
        ([], True, 1),
        ([500, 429], True, 3),
        ([404], False, 1),
        ([302], False, 1),
    ],
)
def test_only_what_can_pass_is_tried_again(
    webhook: Webhook, answers: list[int], arrives: bool, requests: int
) -> None:
    webhook.answers = answers
    assert post(webhook.url, [ALERT]) is arrives
    assert webhook.requests == requests
    if arrives:
        assert "*failed: &lt;it&gt; &amp; more*\nwhy\nTo do: mend it" in webhook.take()[0]


@pytest.mark.parametrize(
    "url",
    [
        "secret-of-the-webhook",
        "http://127.0.0.1:1/secret-of-the-webhook",
        "http://[secret-of-the-webhook",
        "http://host:secret-of-the-webhook/",
        "https://127.0.0.1:1/\nsecret-of-the-webhook",
    ],
)
def test_no_address_that_fails_is_logged(
    url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_PAUSES", (0.0, 0.0))
    with caplog.at_level(logging.DEBUG):
        assert not post(url, [ALERT])
    assert "did not take 1 alerts" in caplog.text
    assert "secret-of-the-webhook" not in caplog.text


def test_without_a_webhook_alerts_are_logged(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    _, watcher = shop(workspace)
    watcher.run()
    with caplog.at_level(logging.WARNING, "analytics_assets.alerts"):
        assert watcher.tick() == 1
    (line,) = lines()
    assert json.loads(caplog.messages[-1]) == line
    assert line["link"].startswith("http://127.0.0.1:3000/assets/toy/fact_sales")


def test_a_sensor_that_fails_twice_is_told(workspace: Workspace, webhook: Webhook) -> None:
    watcher = Watcher(workspace, [])
    instance = workspace.instance
    repository = RemoteRepositoryOrigin(
        InProcessCodeLocationOrigin(
            LoadableTargetOrigin(module_name="analytics_assets.definitions"),
            location_name="analytics_assets",
        ),
        "__repository__",
    )
    state = InstigatorState(
        RemoteInstigatorOrigin(repository, "changes"),
        InstigatorType.SENSOR,
        InstigatorStatus.RUNNING,
    )
    instance.add_instigator_state(state)

    def tick(status: TickStatus, at: datetime) -> None:
        error = SerializableErrorInfo("OSError: no lake", [], "OSError")
        instance.create_tick(
            TickData(
                state.instigator_origin_id,
                "changes",
                InstigatorType.SENSOR,
                status,
                at.timestamp(),
                selector_id=state.selector_id,
                run_ids=[] if status is TickStatus.SUCCESS else None,
                skip_reason="nothing" if status is TickStatus.SKIPPED else None,
                error=error if status is TickStatus.FAILURE else None,
            )
        )

    start = now()
    tick(TickStatus.FAILURE, start)
    tick(TickStatus.SUCCESS, start + timedelta(seconds=30))
    tick(TickStatus.FAILURE, start + timedelta(seconds=60))
    assert watcher.tick() == 0
    tick(TickStatus.FAILURE, start + timedelta(seconds=90))
    assert watcher.tick() == 1
    (text,) = webhook.take()
    assert "failed: sensor changes*\nOSError: no lake" in text
    assert (
        "<https://dagster.example/locations/__repository__@analytics_assets/sensors/changes|Open>"
        in text
    )
    tick(TickStatus.SKIPPED, start + timedelta(seconds=120))
    assert watcher.tick() == 1
    assert "resolved: sensor changes" in webhook.take()[0]


def test_the_sensor_keeps_what_it_knows_in_its_cursor(
    workspace: Workspace, webhook: Webhook
) -> None:
    _, watcher = shop(workspace)
    watcher.run()
    watcher.tick()
    repository = watcher.definitions.get_repository_def()
    context = dg.build_sensor_context(
        instance=workspace.instance, repository_def=repository, cursor=watcher.cursor
    )
    tick = repository.get_sensor_def("alerts").evaluate_tick(context)
    assert tick.skip_message == "1 problems, 0 alerts."
    other = build(toy_tables(Memory())).get_repository_def()  # the check is not declared here
    context = dg.build_sensor_context(
        instance=workspace.instance, repository_def=other, cursor=watcher.cursor
    )
    tick = other.get_sensor_def("alerts").evaluate_tick(context)
    assert tick.skip_message == "0 problems, 0 alerts."


def test_warnings_that_are_planted_in_a_sample_are_told_nobody() -> None:
    def problem(warns: bool) -> Problem:
        return Problem("check", "a check", "what", "to do", "link", 100.0, 100.0, warns=warns)

    keys = {
        "check births/fact_births volume": True,
        "check production/births/agg_yearly size_budget": True,
        "check births/agg_yearly equals_warehouse": False,
        "check clinic/app_profile traffic_source_values": True,
    }
    watch = Watch(problems={key: problem(warns) for key, warns in keys.items()})
    told = len(list(_due(watch, 200.0, 1000.0, ["births"])))
    assert told == 2
    # They are told when the domain has input of its own.
    assert len(list(_due(watch, 200.0, 1000.0, []))) == 2

"""Two workers never build the same partition, and what a dead one held is free at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

import psycopg2
import pytest

from analytics_assets import settings
from analytics_assets.warehouse import leases
from analytics_assets.warehouse.leases import LeaseLost, at_work, held
from analytics_assets_tests.workspace import Workspace

TABLES = ["toy/a", "toy/b"]


def take(tables: list[str], first: str, last: str, run: str, order: list[str]) -> threading.Thread:
    """Another worker, which notes when it has what it waits for."""

    def work() -> None:
        with held(settings.load(), tables, first, last, run):
            order.append(run)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def waiting(run: str) -> None:
    """Return when a run is known to be at work."""
    end = time.monotonic() + 20
    while run not in at_work(settings.load()):
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def _looks_often(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_LOOK_AGAIN", 0.05)


def test_overlapping_partitions_wait_and_others_do_not() -> None:
    order: list[str] = []
    with held(settings.load(), TABLES, "2024-01", "2024-03", "first"):
        take(["toy/a"], "2024-04", "2024-05", "later months", order).join(20)
        take(["toy/c"], "2024-01", "2024-03", "another table", order).join(20)
        blocked = take(["toy/b", "toy/c"], "2024-03", "2024-06", "overlaps", order)
        waiting("overlaps")
        assert order == ["later months", "another table"]
        assert {"first", "overlaps"} <= at_work(settings.load())
        order.append("first ends")
    blocked.join(20)
    assert order[2:] == ["first ends", "overlaps"]
    assert not at_work(settings.load()) & {"first", "overlaps"}


def _hold(ready: multiprocessing.synchronize.Event) -> None:
    with held(settings.load(), TABLES, "2024-01", "2024-01", "killed"):
        ready.set()
        time.sleep(60)


def test_what_a_killed_worker_held_is_free_at_once() -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=_hold, args=[ready])
    process.start()
    assert ready.wait(20)
    order: list[str] = []
    blocked = take(TABLES, "2024-01", "2024-01", "takes over", order)
    waiting("takes over")
    assert order == []
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join(20)
    blocked.join(20)
    assert order == ["takes over"]
    assert "killed" not in at_work(settings.load())


def test_who_lost_the_lease_is_told_before_it_publishes(postgres: str) -> None:
    with held(settings.load(), TABLES, "2024-01", "2024-01", "cut off") as lease:
        assert lease
        lease.check()
        admin = psycopg2.connect(host=postgres, user="postgres", dbname="dagster")
        admin.autocommit = True
        pid = lease.connection.get_backend_pid()
        admin.cursor().execute("select pg_terminate_backend(%s, 5000)", [pid])
        admin.close()
        with pytest.raises(LeaseLost, match="publishes nothing more"):
            lease.check()


def test_without_a_database_a_process_is_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_PG_URL")
    with held(settings.load(), TABLES, "2024-01", "2024-01", "alone") as lease:
        assert lease is None
    assert at_work(settings.load()) == set()

"""A database that goes away: 503 with Retry-After, and recovery without a restart."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg2
import pytest
import sqlalchemy as sa

from analytics_assets.api.settings import ApiSettings
from analytics_assets.production import server
from analytics_assets.production.promotion import production_engine
from analytics_assets_tests.api.conftest import (
    PATIENT,
    Production,
    client_of,
    commanded,
    empty_production,
)
from analytics_assets_tests.api.filled import promote, rows_of
from analytics_assets_tests.api.test_lists import YEARLY
from analytics_assets_tests.faults.test_outages import start, stop_at_once

PATH = "/api/v1/births/state/yearly"


@pytest.fixture(scope="module")
def stoppable(data: Path) -> Iterator[Production]:
    with empty_production(server._start(data)) as found:
        with production_engine(found.promoter) as engine, engine.begin() as connection:
            promote(connection, YEARLY, rows_of(YEARLY))
        yield found


def test_down_is_503_with_retry_after_and_up_is_up_again(data: Path, stoppable: Production) -> None:
    with client_of(stoppable, domain="births") as client:
        before = client.get(PATH).raise_for_status().json()
        stop_at_once(data)
        for path in (PATH, "/api/v1/meta/health", "/api/v1/meta/counts"):
            answer = client.get(path)
            assert answer.status_code == 503
            assert answer.json()["error_code"] == "database_unavailable"
            assert int(answer.headers["retry-after"]) > 0
        assert client.get("/healthz").status_code == 200
        assert client.get("/api/v1/tables").status_code == 200
        start(data)
        assert client.get(PATH).raise_for_status().json() == before
        # Connections of the pool that broke meanwhile are no error either.
        stop_at_once(data)
        start(data)
        assert client.get(PATH).raise_for_status().json() == before


def test_too_long_and_too_many_are_503(stoppable: Production) -> None:
    engine = sa.create_engine(stoppable.promoter)
    hasty = ApiSettings(statement_timeout=0.3, pool_size=1, pool_timeout=0.2)
    with client_of(stoppable, hasty, "births") as client, engine.begin() as connection:
        connection.exec_driver_sql("lock table births.agg_state_yearly in access exclusive mode")
        with ThreadPoolExecutor(2) as both:
            answers = list(both.map(lambda _: client.get(PATH), range(2)))
    assert {(a.status_code, a.json()["error_code"]) for a in answers} == {
        (503, "timeout"),
        (503, "database_busy"),
    }
    assert all(answer.headers["retry-after"] for answer in answers)
    engine.dispose()


def test_what_is_not_promoted_is_503(stoppable: Production) -> None:
    with client_of(stoppable, domain="births") as client:
        answer = client.get("/api/v1/births/region/yearly")
    assert (answer.status_code, answer.json()["error_code"]) == (503, "not_promoted")
    assert answer.headers["retry-after"]


def test_the_reader_can_do_nothing_but_read(stoppable: Production) -> None:
    """By its rights and, were it another role, by its session."""
    import asyncio

    from analytics_assets.api.database import Database

    async def attempt(url: str, sql: str) -> str:
        database = Database(url, PATIENT)
        try:
            await database.read(sql)
        except Exception as error:
            return str(error)
        finally:
            await database.close()
        return "done"

    for url in (stoppable.reader, stoppable.promoter):
        told = asyncio.run(attempt(url, "delete from births_store.agg_state_yearly"))
        assert "read-only transaction" in told or "not promoted" in told


@pytest.mark.slow
def test_a_request_that_is_being_answered_is_finished_before_it_stops(
    stoppable: Production, tmp_path: Path
) -> None:
    """The real command, told to stop while production keeps an answer waiting."""
    answers: list[httpx.Response] = []
    with commanded(stoppable, tmp_path) as (base, process):
        blocker = psycopg2.connect(stoppable.promoter.replace("+psycopg2", ""))
        with blocker.cursor() as cursor:
            cursor.execute("lock table births.agg_state_yearly in access exclusive mode")
        asking = threading.Thread(
            target=lambda: answers.append(httpx.get(f"{base}{PATH}", timeout=30))
        )
        asking.start()
        time.sleep(0.7)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert process.poll() is None
        blocker.close()
        asking.join()
        process.wait(timeout=20)
    assert answers[0].status_code == 200
    assert process.returncode in (0, -signal.SIGTERM)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert PATH in {line.get("path") for line in lines}

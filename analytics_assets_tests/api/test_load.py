"""50 clients for a minute, while the database is stopped and started (`make bench-api`)."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from analytics_assets.production import server
from analytics_assets.production.promotion import production_engine
from analytics_assets_tests.api.conftest import (
    Production,
    commanded,
    empty_production,
    fill_ads,
    fill_births,
    fill_clinic,
)
from analytics_assets_tests.api.filled import TABLES, promote, rows_of
from analytics_assets_tests.faults.test_outages import start, stop_at_once

CLIENTS = 50
SECONDS = float(os.environ.get("SECONDS") or 60)
_WEEK = {"start_date": "2025-01-01", "end_date": "2025-01-14"}
Asked = Sequence[tuple[str, str, bytes]]
ASKED: Asked = (
    ("GET", "/api/v1/births/nation/yearly", b""),
    ("GET", "/api/v1/births/state/daily?limit=100", b""),
    ("GET", "/api/v1/births/municipality/monthly?state_code=35&date_from=2023-01-01", b""),
    ("GET", "/api/v1/births/state/yearly?sort=-total_births&limit=5", b""),
    ("GET", "/api/v1/appointments/?doctor_name=Dr.%20David", b""),
    (
        "GET",
        "/api/dashboard/analytics/chart-data?" + "&".join(f"{k}={v}" for k, v in _WEEK.items()),
        b"",
    ),
    ("POST", "/api/dashboard/analytics/data", json.dumps(_WEEK).encode()),
    ("GET", "/api/v1/meta/counts", b""),
)
Answer = tuple[float, float, int, bool]


@pytest.fixture(scope="module")
def busy(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    """What clients ask for, on a server of its own."""
    with empty_production(server._start(data)) as found:
        with production_engine(found.promoter) as engine, engine.begin() as connection:
            fill_births(connection)
            fill_clinic(connection)
            fill_ads(connection, tmp_path_factory.mktemp("ads"))
        yield found


async def ask_for_a_while(
    base: str, asked: Asked, number: int, until: float, answers: list[Answer]
) -> None:
    """One client on one connection: when it asked, how long it took, status, Retry-After."""
    host, port = str(urlsplit(base).hostname), int(urlsplit(base).port or 80)
    reader, writer = await asyncio.open_connection(host, port)
    while time.monotonic() < until:
        number += 1
        method, path, body = asked[number % len(asked)]
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        begun = time.monotonic()
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if line)
        await reader.readexactly(int(headers["content-length"]))
        took = time.monotonic() - begun
        answers.append((begun, took, int(status.split()[1]), "retry-after" in headers))
    writer.close()


async def load(base: str, seconds: float, asked: Asked = ASKED) -> list[Answer]:
    """All clients at once."""
    answers: list[Answer] = []
    until = time.monotonic() + seconds
    await asyncio.gather(*(ask_for_a_while(base, asked, n, until, answers) for n in range(CLIENTS)))
    return answers


def report(what: str, answers: list[Answer], seconds: float) -> None:
    took = sorted(1000 * answer[1] for answer in answers)
    p50, p95, p99 = (took[int(len(took) * share)] for share in (0.5, 0.95, 0.99))
    statuses = dict(sorted(Counter(answer[2] for answer in answers).items()))
    print(
        f"\n{what}: {CLIENTS} clients, {seconds:.0f} s, {len(took) / seconds:.0f} requests/s,"
        f" p50 {p50:.0f} ms, p95 {p95:.0f} ms, p99 {p99:.0f} ms, statuses {statuses}"
    )


@pytest.mark.slow
@pytest.mark.parametrize("pages", [1, 20], ids=["the same page", "twenty pages"])
@pytest.mark.parametrize("kept_mb", ["64", "0"], ids=["kept", "read each time"])
def test_pages_of_a_hundred_rows_and_eight_columns(
    busy: Production, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pages: int, kept_mb: str
) -> None:
    """For a quarter of the time each: what a dashboard asks for again, and what it does not."""
    table = next(table for table in TABLES if table.key == "births/agg_municipality_weekly")
    with production_engine(busy.promoter) as engine, engine.begin() as connection:
        some = rows_of(table)
        weeks = [timedelta(weeks=n) for n in range(1 + 4_000 // len(some))]
        rows = [row | {"week_start": row["week_start"] + w} for w in weeks for row in some]
        keys = {tuple(row[name] for name in table.unique_columns): row for row in rows}
        promote(connection, table, keys.values())
    columns = "week_start,state_abbreviation,municipality_code,municipality_name,total_births"
    columns += ",cesarean_count,preterm_count,cesarean_rate"
    path = f"/api/v1/tables/{table.key.replace('/', '.')}/rows?limit=100&columns={columns}&offset="
    asked = [("GET", f"{path}{100 * page}", b"") for page in range(pages)]
    monkeypatch.setenv("API_KEPT_MB", kept_mb)
    with commanded(busy, tmp_path) as (base, _):
        assert len(httpx.get(f"{base}{asked[-1][1]}").json()["data"]) == 100
        answers = asyncio.run(load(base, SECONDS / 4, asked))
    report(f"{pages} pages, {kept_mb} MB kept", answers, SECONDS / 4)
    assert {answer[2] for answer in answers} == {200}


@pytest.mark.slow
def test_no_client_gets_an_error(busy: Production, tmp_path: Path) -> None:
    with commanded(busy, tmp_path) as (base, _):
        answers = asyncio.run(load(base, SECONDS))
    report("undisturbed", answers, SECONDS)
    assert {answer[2] for answer in answers} == {200}


@pytest.mark.slow
def test_an_outage_is_503_and_then_over(busy: Production, data: Path, tmp_path: Path) -> None:
    async def disturbed(base: str) -> tuple[list[Answer], float]:
        asking = asyncio.create_task(load(base, SECONDS))
        await asyncio.sleep(SECONDS / 3)
        stopped = time.monotonic()
        await asyncio.to_thread(stop_at_once, data)
        await asyncio.sleep(SECONDS / 12)
        await asyncio.to_thread(start, data)
        return await asking, stopped

    with commanded(busy, tmp_path) as (base, _):
        answers, stopped = asyncio.run(disturbed(base))
    report("with the database stopped and started", answers, SECONDS)
    assert {answer[2] for answer in answers} == {200, 503}
    refused = [answer for answer in answers if answer[2] == 503]
    assert all(answer[3] for answer in refused)
    assert min(begun for begun, *_ in refused) > stopped - 1
    recovered = max(begun for begun, *_ in refused)
    print(f"refused for {recovered - stopped:.1f} s")
    after = [answer for answer in answers if answer[0] > recovered]
    assert len(after) > CLIENTS

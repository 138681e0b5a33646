"""What people and programs learn about the API: health, log, metrics, data dictionary."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
import sqlalchemy as sa

from analytics_assets.api.requests import LOG, JsonLines
from analytics_assets.production import freshness, records, standing
from analytics_assets.warehouse.ledger import now
from analytics_assets_tests.api.conftest import Production, client_of
from analytics_assets_tests.api.filled import TABLES, promote, rows_of

HEALTH = "/api/v1/meta/health"
YEARLY = next(table for table in TABLES if table.key == "births/agg_state_yearly")
PLANTED = "planted-4711"


class Lines(logging.Handler):
    """The log as it is written."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(JsonLines())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def log() -> Iterator[list[str]]:
    handler, level = Lines(), LOG.level
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    yield handler.lines
    LOG.removeHandler(handler)
    LOG.setLevel(level)


def states(client: httpx.Client) -> dict[str, str]:
    found = client.get(HEALTH).raise_for_status().json()
    return {table["name"]: table["state"] for table in found["tables"]}


def test_health_tells_the_truth(own_production: Production, writer: sa.Engine) -> None:
    name, moment = "births.agg_state_yearly", now()
    with client_of(own_production) as client:
        assert set(states(client).values()) == {"missing"}
        assert client.get(HEALTH).json()["last_promotion"] is None
        with writer.begin() as connection:
            promote(connection, YEARLY, rows_of(YEARLY))
        assert states(client)[name] == "unknown"

        def look(since: timedelta | None, ago: timedelta = timedelta()) -> str:
            late = freshness.Late(YEARLY.key, moment - since if since else None, 2 if since else 0)
            with writer.begin() as connection:
                freshness.tell_readers(connection, [late], moment - ago)
            return states(client)[name]

        assert YEARLY.fresh_within == timedelta(hours=30)
        assert look(None) == "fresh"
        assert look(timedelta(hours=29)) == "behind"
        assert look(timedelta(hours=31)) == "stale"
        assert look(None, ago=timedelta(hours=4)) == "unknown"
        found = client.get(HEALTH).json()
        assert found["status"] == "degraded"
        assert found["last_promotion"] is not None
        with writer.begin() as connection:
            connection.execute(
                sa.insert(records.ledger),
                {
                    "table_name": YEARLY.key,
                    "partition": "2024",
                    "delta_version": 2,
                    "fingerprint": "",
                    "rows": 0,
                    "checksum": "",
                    "run_id": "r",
                },
            )
        assert states(client)[name] == "altered", "nobody but a release enters anything"
        with writer.begin() as connection:
            standing.remember(connection, [YEARLY])
        assert states(client)[name] == "missing"
        assert look(timedelta(hours=1)) == "missing"
        assert look(None) == "fresh", "there are no rows, and there should be none"
        with writer.begin() as connection:
            connection.execute(sa.text("drop view births.agg_state_yearly"))
        assert states(client)[name] == "missing"


def test_all_is_well_only_if_every_table_is(own_production: Production, writer: sa.Engine) -> None:
    promoted = [table for table in TABLES if table.publish]
    with writer.begin() as connection:
        for table in promoted:
            promote(connection, table, [])
        fresh = [freshness.Late(table.key, None, 0) for table in promoted]
        freshness.tell_readers(connection, fresh, now())
    with client_of(own_production) as client:
        assert client.get(HEALTH).json()["status"] == "ok"
        counts = client.get("/api/v1/meta/counts").json()
        assert set(counts.values()) == {0}
        assert len(counts) == len(promoted)
        with writer.begin() as connection:
            freshness.tell_readers(connection, fresh[1:], now())
        assert client.get(HEALTH).json()["status"] == "degraded"


def test_counts_are_those_of_the_tables(client: httpx.Client, production: Production) -> None:
    counts = client.get("/api/v1/meta/counts").json()
    engine = sa.create_engine(production.reader)
    with engine.connect() as connection:
        for name, count in counts.items():
            if count:
                sql = sa.text(f"select count(*) from {name}")
                assert connection.scalar(sql) == count, name
    engine.dispose()
    assert sum(counts.values()) > 500


def test_one_line_a_request_without_anything_personal(client: httpx.Client, log: list[str]) -> None:
    asked = {"state_name": PLANTED, PLANTED: "1"}
    ids = []
    for path in (
        "/api/v1/births/state/yearly",
        f"/api/v1/{PLANTED}",
        f"/api/v1/births/{PLANTED}/x",
    ):
        ids.append(client.get(path, params=asked).headers["x-request-id"])
    body = {"start_date": PLANTED, "end_date": PLANTED}
    ids.append(client.post("/api/dashboard/analytics/data", json=body).headers["x-request-id"])
    lines = [json.loads(line) for line in log]
    assert [line["request_id"] for line in lines] == ids
    assert [line["path"] for line in lines] == [
        "/api/v1/births/state/yearly",
        "unmatched",
        "/api/v1/births/{grain}/{period}",
        "/api/dashboard/analytics/data",
    ]
    assert [line["status_code"] for line in lines] == [422, 404, 422, 422]
    for line in lines:
        assert line.keys() == {
            "time",
            "level",
            "request_id",
            "method",
            "path",
            "status_code",
            "duration_ms",
        }
    assert PLANTED not in "".join(log)


def test_a_failure_is_logged_without_the_values_of_the_request(
    production: Production, log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from analytics_assets.api.database import Database

    async def fail(self: Database, sql: str, values: object, **_: object) -> None:
        raise RuntimeError(f"with {values}")

    monkeypatch.setattr(Database, "read", fail)
    with client_of(production) as client:
        answer = client.get("/api/v1/births/state/yearly", params={"state_name": PLANTED})
    assert answer.status_code == 500
    assert answer.json()["error_code"] == "internal_error"
    failed, line = map(json.loads, log)
    assert failed["error"] == "RuntimeError"
    assert failed["request_id"] == line["request_id"] == answer.headers["x-request-id"]
    assert any("listing.py" in place for place in failed["at"])
    assert PLANTED not in answer.text + "".join(log)


@pytest.mark.parametrize(
    ("given", "echoed"),
    [("abc-1.2_3", True), ("a" * 128, True), ("a" * 129, False), ("a b", False), ('"}', False)],
)
def test_a_request_id_is_echoed_if_it_is_one(
    client: httpx.Client, given: str, echoed: bool
) -> None:
    answer = client.get("/api/v1/tables", headers={"X-Request-Id": given})
    assert (answer.headers["x-request-id"] == given) is echoed
    assert answer.headers["x-request-id"]


def test_metrics_count_requests_by_route(production: Production) -> None:
    with client_of(production) as client:
        for _ in range(3):
            client.get("/api/v1/births/state/yearly", params={"limit": 1})
        for name in ("births.agg_state_yearly", "agg_state_yearly", PLANTED):
            client.get(f"/api/v1/tables/{name}/rows")
        client.get(f"/{PLANTED}")
        text = client.get("/metrics").text
    path = 'path="/api/v1/births/state/yearly"'
    assert f'http_requests_total{{method="GET",{path},status="200"}} 3.0' in text
    assert f'http_request_duration_seconds_count{{method="GET",{path}}} 3.0' in text
    rows = 'path="/api/v1/tables/births.agg_state_yearly/rows"'
    assert f'http_requests_total{{method="GET",{rows},status="200"}} 2.0' in text
    assert "http_requests_in_progress 1.0" in text
    assert PLANTED not in text


def test_the_dictionary_is_the_declarations(client: httpx.Client) -> None:
    promoted = {f"{t.domain}.{t.published_name}": t for t in TABLES if t.publish}
    listed = [
        table
        for offset in (0, 20, 40, 60, 80)
        for table in client.get("/api/v1/tables", params={"limit": 20, "offset": offset}).json()[
            "data"
        ]
    ]
    assert [table["name"] for table in listed] == sorted(promoted)
    for name, table in promoted.items():
        found = client.get(f"/api/v1/tables/{name}/schema").json()
        assert [c["name"] for c in found["columns"]] == [
            c.name for c in table.promoted.all_columns if not c.personal
        ]
    assert client.get("/api/v1/tables/births.fact_births/schema").status_code == 404


def test_the_reader_sees_what_the_hourly_look_found(
    own_production: Production, writer: sa.Engine
) -> None:
    """A ledger of an earlier release gets the table and the reader's right to it."""
    with writer.begin() as connection:
        records.prepare(connection, "births")
        connection.exec_driver_sql("drop table promotion.behind")
        freshness.tell_readers(connection, [freshness.Late("births/x", None, 0)], now())
    engine = sa.create_engine(own_production.reader)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("select table_name from promotion.behind")) == "births/x"
    engine.dispose()

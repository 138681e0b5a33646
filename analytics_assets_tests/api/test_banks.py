"""The metric repository over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from jsonschema import validate

from analytics_assets_tests.api.conftest import Production

BANKS = "/api/v1/banks"
MONTH = "2023-02-17"
VALUE = {
    "type": "object",
    "properties": {
        "bank_code": {"type": "string"},
        "metric_code": {"type": "string"},
        "date": {"type": "string", "pattern": r"^\d{4}-\d{2}-01$"},
        "value": {"type": "number"},
    },
    "required": ["bank_code", "metric_code", "date", "value"],
    "additionalProperties": False,
}
PAGE = {
    "type": "object",
    "properties": {
        "data": {"type": "array", "items": VALUE, "minItems": 1},
        "total": {"type": "integer"},
        "limit": {"type": "integer"},
        "offset": {"type": "integer"},
    },
    "required": ["data", "total", "limit", "offset"],
    "additionalProperties": False,
}


def get(client: httpx.Client, path: str, **asked: Any) -> dict[str, Any]:
    return client.get(f"{BANKS}/{path}", params=asked).raise_for_status().json()


def test_evolution_is_what_production_has(client: httpx.Client, production: Production) -> None:
    asked = {"bank_code": "INVEX", "metric_code": "imor"}
    found = get(client, "evolution", date_start="2023-01-05", date_end="2023-12-31", **asked)
    validate(found, PAGE)
    engine = sa.create_engine(production.reader)
    with engine.connect() as connection:
        sql = "select fecha, imor from bank_kpis.monthly_kpis where banco_norm = 'INVEX' order by 1"
        rows = [(day.isoformat(), float(value)) for day, value in connection.execute(sa.text(sql))]
    engine.dispose()
    assert [(value["date"], value["value"]) for value in found["data"]] == rows
    assert found["total"] == len(rows) == 3
    second = get(
        client,
        "evolution",
        date_start="2023-01-05",
        date_end="2023-12-31",
        limit=1,
        offset=1,
        **asked,
    )
    assert second["data"] == found["data"][1:2]
    assert second["total"] == 3


def test_comparison_and_ranking(client: httpx.Client) -> None:
    ranked = get(client, "ranking", metric_code="cartera_total", date=MONTH)
    validate(ranked, PAGE)
    values = [value["value"] for value in ranked["data"]]
    assert values == sorted(values, reverse=True)
    least = get(
        client, "ranking", metric_code="cartera_total", date=MONTH, descending=False, limit=1
    )
    assert least["data"] == ranked["data"][-1:]
    codes = [value["bank_code"] for value in ranked["data"]][::-1]
    compared = get(client, "comparison", metric_code="cartera_total", date=MONTH, bank_codes=codes)
    assert compared["data"] == ranked["data"][::-1]


def test_banks_and_metrics(client: httpx.Client) -> None:
    banks = get(client, "banks")
    assert {"INVEX", "SISTEMA"} <= {bank["bank_code"] for bank in banks["data"]}
    assert banks["total"] == len(banks["data"])
    metrics = get(client, "metrics", limit=3)
    assert len(metrics["data"]) == 3 < metrics["total"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"bank_code": "INVEKS"}, "There is no bank 'INVEKS'. Did you mean INVEX?"),
        ({"metric_code": "imr"}, "There is no metric 'imr'. Did you mean imor"),
        ({"metric_code": 'imor"; drop table x; --'}, "There is no metric"),
        ({"bank_code": "' or 1=1 --"}, "There is no bank"),
    ],
)
def test_an_unknown_code_names_the_nearest(
    client: httpx.Client, changed: dict[str, str], message: str
) -> None:
    asked = {"bank_code": "INVEX", "metric_code": "imor", "date_start": MONTH, "date_end": MONTH}
    answer = client.get(f"{BANKS}/evolution", params={**asked, **changed})
    assert answer.status_code == 404
    assert answer.json()["error"].startswith(message)


def test_dates_the_wrong_way_round_are_refused(client: httpx.Client) -> None:
    asked = {"bank_code": "INVEX", "metric_code": "imor", "date_start": MONTH}
    answer = client.get(f"{BANKS}/evolution", params={**asked, "date_end": "2023-01-01"})
    assert answer.status_code == 422
    assert answer.json()["error"] == "date_end: is before date_start"
    missing = client.get(f"{BANKS}/comparison", params={"metric_code": "imor", "date": MONTH})
    assert missing.json()["error"].startswith("bank_codes: ")

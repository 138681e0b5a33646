"""The list that every promoted table has by itself."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from analytics_assets.api.filters import filters_of
from analytics_assets.api.lists import named
from analytics_assets.core.declaration import Table
from analytics_assets_tests.api.conftest import Production
from analytics_assets_tests.api.filled import TABLES

LISTS = named([table for table in TABLES if table.publish])
DATED = [
    name
    for name, table in LISTS.items()
    if "date_from" in {known.name for known in filters_of(table)}
]


def asked(client: httpx.Client, name: str, **parameters: Any) -> dict[str, Any]:
    answer = client.get(f"/api/v1/tables/{name}/rows", params=parameters)
    return answer.raise_for_status().json()


@pytest.mark.parametrize("name", LISTS)
def test_it_has_the_rows_of_the_table_each_once(
    client: httpx.Client, production: Production, name: str
) -> None:
    whole = asked(client, name, limit=1000)
    table = LISTS[name]
    found: list[dict[str, Any]] = []
    cursor: dict[str, Any] = {}
    while True:
        page = asked(client, name, limit=7, **cursor)
        found += page["data"]
        if page["next_cursor"] is None or len(found) >= 1000:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found[:1000] == whole["data"]
    keys = [tuple(row[column] for column in table.unique_columns) for row in found]
    assert len(set(keys)) == len(keys)
    assert whole["total"] >= len(whole["data"])


@pytest.mark.parametrize("name", LISTS)
def test_each_filter_gives_the_rows_that_it_says(client: httpx.Client, name: str) -> None:
    rows = asked(client, name, limit=1000)["data"]
    for known in filters_of(LISTS[name]):
        if known.name in ("date_from", "date_to"):
            continue
        values = [row[known.name] for row in rows if row[known.name] is not None]
        for value in values[:1]:
            found = asked(client, name, limit=1000, **{known.name: value})
            wanted = [row for row in rows if row[known.name] == value]
            assert found["data"] == wanted, known.name
            assert found["total"] == len(wanted)


@pytest.mark.parametrize("name", DATED)
def test_a_first_and_a_last_day_bound_it(client: httpx.Client, name: str) -> None:
    everything = asked(client, name, limit=1)["total"]
    before = asked(client, name, limit=1, date_to="2023-12-31")["total"]
    after = asked(client, name, limit=1, date_from="2024-01-01")["total"]
    # The period of a week or a year that holds both days counts for both.
    assert before + after >= everything
    assert asked(client, name, limit=1, date_from="2090-01-01")["total"] == 0


def test_the_columns_that_are_asked_for(client: httpx.Client) -> None:
    name = "births.agg_state_yearly"
    page = asked(client, name, limit=2, columns="total_births, year")
    assert [list(row) for row in page["data"]] == [["year", "total_births"]] * 2
    following = asked(client, name, limit=2, columns="year", cursor=page["next_cursor"])
    assert following["data"]
    refused = client.get(f"/api/v1/tables/{name}/rows", params={"columns": "year,total_birth"})
    assert refused.status_code == 422
    assert "total_births" in refused.json()["error"]


def test_a_table_is_found_with_and_without_its_schema(client: httpx.Client) -> None:
    full = client.get("/api/v1/tables/births.agg_state_yearly/schema").json()
    assert client.get("/api/v1/tables/agg_state_yearly/schema").json() == full
    lost = client.get("/api/v1/tables/agg_state_yearly/rows")
    assert lost.status_code == 404
    assert "/api/v1/tables/births.agg_state_yearly/rows" in lost.json()["error"]
    assert client.get("/api/v1/tables/agg_state_year/schema").status_code == 404


def test_a_table_without_promotion_has_no_list(client: httpx.Client) -> None:
    hidden: Table = next(table for table in TABLES if not table.publish)
    assert client.get(f"/api/v1/tables/{hidden.sql_name}/rows").status_code == 404

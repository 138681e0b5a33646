"""An MCP client of the SDK asks; so does the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from mcp import Client

from analytics_assets.api.assistants import assistant_server
from analytics_assets.api.settings import ApiSettings
from analytics_assets_tests.api.conftest import Production, empty_production, tables_of
from analytics_assets_tests.api.test_ask import fill
from analytics_assets_tests.births.asked import built_births

FILES = "SINASC_2023.csv"


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    with closing(built_births(300)) as found:
        yield found


@pytest.fixture(scope="module")
def filled(postgres: str, session: Any) -> Iterator[Production]:
    with empty_production(postgres) as found:
        fill(found, session)
        yield found


def talk(filled: Production, what: Callable[[Client], Awaitable[None]]) -> None:
    """A conversation of the SDK's client with the server."""

    async def conversation() -> None:
        tables = tables_of("births")
        server = assistant_server(tables, filled.reader, ApiSettings(), lambda t, key: [FILES])
        async with Client(server) as client:
            await what(client)

    asyncio.run(conversation())


def content(result: Any) -> Any:
    """What a tool gave: structured, and the same as text."""
    assert not result.is_error, result.content
    told = result.structured_content
    return told["result"] if set(told) == {"result"} else told


def test_a_client_of_the_sdk_has_five_answers(filled: Production, session: Any) -> None:
    async def conversation(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"list_metrics", "describe", "ask", "freshness", "lineage"}
        assert all(tool.annotations.read_only_hint for tool in tools.values())

        found = content(await client.call_tool("list_metrics", {"containing": "caesarean"}))
        assert "cesarean_rate" in [metric["name"] for metric in found]

        (about,) = content(await client.call_tool("describe", {"metric": "cesarean_rate"}))
        assert about["formula"] == "100 * cesarean_count / cesarean_known, of sums"
        assert "state_abbreviation" in about["by"]

        question = "total_births by year, state_code order -total_births limit 1"
        answer = content(await client.call_tool("ask", {"question": question}))
        (row,) = answer["data"]
        sql = (
            "select count(*) from births.fact_births where year(DTNASC) = ?"
            " and left(birth_municipality_code, 2) = ?"
        )
        counted = session.execute(sql, [row["year"], row["state_code"]]).fetchone()[0]
        assert row["total_births"] == counted

        states = content(await client.call_tool("freshness", {}))["tables"]
        assert {table["state"] for table in states if table["rows"]} == {"unknown"}

        of = {
            "table": answer["table"],
            "measure": "total_births",
            "key": f"year = {row['year']} and state_code = {row['state_code']}",
        }
        origin = content(await client.call_tool("lineage", of))
        assert origin["value"] == row["total_births"]
        assert origin["formula"] == "count(*)"
        assert origin["chain"][0]["table"] == "births.agg_state_yearly"
        assert "births.raw_births" in [source["table"] for source in origin["chain"]]
        assert origin["built"] == [FILES]

    talk(filled, conversation)


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("ask", {"question": "total_births by week, cnes_code"}, "One that can be answered"),
        ("ask", {"question": "births by"}, "by: nothing follows it"),
        ("describe", {"metric": "cesarian_rate"}, "did you mean 'cesarean_rate'?"),
        ("lineage", {"table": "x", "measure": "m", "key": ""}, "There is no such table"),
        (
            "lineage",
            {"table": "agg_state_yearly", "measure": "total_births", "key": "year = 2023"},
            "say state_code, too",
        ),
        (
            "lineage",
            {"table": "agg_yearly", "measure": "total_births", "key": "year = 1999"},
            "There is no such row",
        ),
    ],
)
def test_what_cannot_be_answered_is_said(
    filled: Production, tool: str, arguments: dict[str, str], said: str
) -> None:
    async def conversation(client: Client) -> None:
        result = await client.call_tool(tool, arguments)
        assert result.is_error
        assert said in json.dumps([block.model_dump() for block in result.content], default=str)

    talk(filled, conversation)

"""The tools that assistants call, by the Model Context Protocol: read-only, over the same answers.

Belongs here: tools, their words, and the server on standard input and output.
Does not belong here: answering (``asking.py``), anything that the reader of production cannot see.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from analytics_assets.api.asking import Asker
from analytics_assets.api.database import Database
from analytics_assets.api.errors import Problem
from analytics_assets.api.lists import named, table_name
from analytics_assets.api.origins import read_origin
from analytics_assets.api.settings import ApiSettings
from analytics_assets.core.declaration import Table
from analytics_assets.core.question import QuestionError, read

# A partition of a table -> how it was built, down to the landed files; empty where nobody knows.
Built = Callable[[Table, str], Sequence[str]]
_MOST_ROWS = 200
_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_ABOUT = (
    "Numbers of promoted tables, answered from sums and never from single records. Begin with"
    " list_metrics; describe says what a metric can be asked by; ask answers a question in words,"
    " such as: cesarean_rate by state_abbreviation, year over 2022..2023 order -cesarean_rate"
    " limit 5. A refusal says what is missing and a question that can be answered. A value is null"
    " where it is unknown, or withheld because it is small: never guess it."
)
_Question = Annotated[
    str,
    Field(
        description="MEASURES [by WORDS] [where WORD = VALUE and ...] [over 2022..2023-06]"
        " [compare previous|year_before|share|index] [with interval|smoothed|standardised]"
        " [order -COLUMN] [limit N] [of DOMAIN]"
    ),
]


def assistant_server(
    tables: Sequence[Table], url: str, settings: ApiSettings, built: Built = lambda table, key: ()
) -> MCPServer:
    """The server over what is promoted; ``url``: production, as its reader."""
    promoted = [table for table in tables if table.publish]
    database = Database(url, settings)
    asker = Asker(promoted, database)

    @asynccontextmanager
    async def lifespan(server: Any) -> AsyncIterator[None]:
        yield
        await database.close()

    server = MCPServer("analytics_assets", instructions=_ABOUT, lifespan=lifespan,
                       log_level="ERROR")  # fmt: skip

    @server.tool(annotations=_READS)
    async def list_metrics(
        containing: Annotated[str, Field(description="Part of a name or description.")] = "",
    ) -> list[dict[str, str]]:
        """What can be asked for: name, unit, description, and the facts that it is of."""
        return [
            {"name": m.name, "unit": m.unit, "description": m.description, "of": m.of}
            for m in asker.metrics()
            if containing.lower() in f"{m.name} {m.description}".lower()
        ]

    @server.tool(annotations=_READS)
    async def describe(
        metric: Annotated[str, Field(description="A name of list_metrics.")],
    ) -> list[dict[str, Any]]:
        """What a metric is: unit, formula, the words that it can be asked by, the tables."""
        with _told():
            return [found.model_dump() for found in asker.metric(metric)]

    @server.tool(annotations=_READS)
    async def ask(question: _Question) -> dict[str, Any]:
        """The answer of the smallest promoted table that can give it, with its version and
        moment; or what is missing and the nearest question that can be answered."""
        with _told():
            answer = await asker.answer(read(question))
        found = answer.model_dump(mode="json")
        found["more"] = answer.more or len(answer.data) > _MOST_ROWS
        found["data"] = found["data"][:_MOST_ROWS]
        return found

    @server.tool(annotations=_READS)
    async def freshness() -> dict[str, Any]:
        """How each promoted table stands: fresh, behind, stale; its rows and last promotion."""
        with _told():
            return (await asker.standings.health()).model_dump(mode="json")

    @server.tool(annotations=_READS)
    async def lineage(
        table: Annotated[str, Field(description="As an answer names it.")],
        measure: str,
        key: Annotated[
            str, Field(description="The row, by its key: year = 2024 and state_code = 12")
        ],
    ) -> dict[str, Any]:
        """Why one number of a table is what it is: its version, run and release, what it is
        computed from, and the files that were landed."""
        with _told():
            origin = await read_origin(promoted, database, table, measure, key)
            own = named(promoted)[table_name(promoted, table)]
        return {**origin.model_dump(mode="json"), "built": list(built(own, origin.partition))}

    return server


class _told:
    """What a question lacks is an answer, and no failure of the server."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, (Problem, QuestionError)):
            raise ToolError(getattr(error, "text", str(error))) from None

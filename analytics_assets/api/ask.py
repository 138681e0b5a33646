"""Routes of questions: ask, and what can be asked for.

Belongs here: the parts of a question as parameters and as a body, and the answer in its formats.
Does not belong here: who answers and how (``asking.py``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from analytics_assets.api.asking import Answer, Askable, Asked, Asker, rates_described
from analytics_assets.api.errors import Problem, documented
from analytics_assets.api.formats import ABOUT_FORMAT, Format, documented_formats, streamed
from analytics_assets.api.meta import V1
from analytics_assets.api.models import NoParameters, ShortPage, ShortQuery, short_page
from analytics_assets.api.origins import Origin, read_origin
from analytics_assets.api.versions import hashed, json_response, seen_by, tagged, unchanged
from analytics_assets.core.question import (
    MOST_LENGTH,
    PARTS,
    Question,
    QuestionError,
    read,
    read_parts,
)

Words = Annotated[str, Field(max_length=MOST_LENGTH, pattern="^[^\u0000]*$")]


class AskQuery(BaseModel):
    """A question whole, as ``q``, or in its parts. Names are those of /metrics."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    q: Words | None = Field(
        None,
        description="The question in words, as on the command line: total_births, cesarean_rate by"
        " state_abbreviation, quarter where region_name = Norte over 2022..2023 compare"
        " year_before order -total_births limit 10",
    )
    measures: Words | None = Field(None, description="Measures, ratios, percentiles, by commas.")
    by: Words | None = Field(
        None,
        description="Axes, attributes and times (day, week, month, quarter, season, year,"
        " year_to_date), by commas.",
    )
    where: Words | None = Field(
        None, description="Conditions: state_abbreviation in (SP, RJ) and year >= 2020."
    )
    over: Words | None = Field(None, description="A range of time: 2022, 2022..2023-06.")
    compare: Words | None = Field(
        None, description="previous, year_before, share, index, or index to 2020; by commas."
    )
    rates: Words | None = Field(
        None,
        alias="with",
        description="Beside shares: interval, smoothed, standardised by age; by commas.",
    )
    order: Words | None = Field(
        None, description="Columns of the answer, by commas; with - in descending order."
    )
    limit: int | None = Field(None, ge=1, le=9_999_999, description="Rows.")
    of: Words | None = Field(None, description="The domain or the facts that are asked.")
    format: Format = Field("json", description=ABOUT_FORMAT)

    def question(self) -> Question:
        """What is asked; raises ``Problem`` with a sentence."""
        given = self.model_dump(by_alias=True, exclude_none=True, exclude={"q", "format"})
        parts = {name: str(given[name]) for name in PARTS if name in given}
        try:
            if self.q is None:
                return read_parts(parts)
            if parts.keys() - {"limit"}:
                raise QuestionError("give q or the parts of the question, not both")
            question = read(self.q)
            return replace(question, limit=self.limit) if self.limit else question
        except QuestionError as error:
            raise Problem(422, "invalid_value", f"question: {error}") from None


class OriginQuery(BaseModel):
    """Which number of a table."""

    model_config = ConfigDict(extra="forbid")
    measure: Words = Field(description="A column of the table.")
    where: Words = Field(
        "", description="Its row, by the whole key: year = 2024 and state_code = 12."
    )


def ask_router(asker: Asker) -> APIRouter:
    """``/ask`` and ``/metrics`` over one production."""
    router = APIRouter(prefix=V1, tags=["ask"])
    answers: dict[str, Any] = {
        "response_model": Answer,
        "responses": {
            200: {"content": documented_formats()},
            304: {"description": "Not changed."},
            **documented(422, 503),
        },
    }

    @router.get("/ask", **answers)
    async def ask(query: Annotated[AskQuery, Query()], request: Request) -> Response:
        """The answer of the smallest promoted table that can give it; or what is missing, and the
        nearest question that can be answered."""
        return await _answered(asker, query, request)

    @router.post("/ask", **answers)
    async def ask_at_length(query: AskQuery, request: Request) -> Response:
        """The same, for questions that are too long for an address."""
        return await _answered(asker, query, request)

    @router.get("/metrics", responses=documented(422))
    async def metrics(query: Annotated[ShortQuery, Query()]) -> ShortPage[Askable]:
        """What can be asked for: names, units, formulas, and the tables that have it."""
        return short_page(asker.metrics(), query)

    @router.get("/metrics/{name}", responses=documented(404, 422))
    async def metric(name: str, query: Annotated[NoParameters, Query()]) -> list[Askable]:
        """One of them, in each of the facts that have it."""
        return asker.metric(name)

    @router.get("/rates", responses=documented(422))
    async def formulas(query: Annotated[NoParameters, Query()]) -> dict[str, str]:
        """The formulas of intervals, of smoothed and standardised rates, and of significance, each
        with its source."""
        return dict(rates_described())

    @router.get("/tables/{name}/origin", responses=documented(404, 422, 503))
    async def origin(name: str, query: Annotated[OriginQuery, Query()]) -> Origin:
        """Why a number is what it is: its version, run and release, and what it is computed
        from."""
        return await read_origin(asker.tables, asker.database, name, query.measure, query.where)

    return router


async def _answered(asker: Asker, query: AskQuery, request: Request) -> Response:
    question = query.question()
    label = hashed(str(question), query.format)
    if query.format != "json":
        return await _file(asker, await asker.plan(question), query.format, label)
    answer = await asker.answer(question)
    seen = seen_by(request, label)
    if answer.version and (seen.any or answer.version in seen.versions):
        return unchanged(label, answer.version)
    return json_response(to_json(answer.model_dump()), label, answer.version)


async def _file(asker: Asker, asked: Asked, format_: str, label: str) -> Response:
    batches = asker.batches(asked)
    first: Any = await anext(batches, None)

    async def rows() -> AsyncIterator[list[Any]]:
        yield [row[2:] for row in first or ()]
        async for batch in batches:
            yield [row[2:] for row in batch]

    headers = {
        **tagged(label, first[0][0] if first else ""),
        "X-Answered-By": asked.plan.offer.name,
    }
    name = asked.plan.offer.name
    return streamed(format_, name, asked.plan.columns, rows(), headers)

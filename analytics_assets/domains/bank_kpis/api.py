"""Routes of the banks: the metric repository over HTTP.

Belongs here: its questions as routes, its values as models, its errors as answers.
Does not belong here: where the answers come from (``bank_kpis/repository.py``).
"""

from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Annotated, Any, TypeVar, get_type_hints

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, create_model

from analytics_assets.api.database import Database
from analytics_assets.api.errors import Problem, bad_value, documented
from analytics_assets.api.meta import V1
from analytics_assets.api.models import Date, ShortPage, ShortQuery, Text, short_page
from analytics_assets.core.declaration import Table
from analytics_assets.domains.bank_kpis.repository import (
    BankInfo,
    MetricInfo,
    MetricRepository,
    MetricValue,
    UnknownCode,
)

T = TypeVar("T")
_MOST_BANKS = 200


def _model(of: type) -> type[BaseModel]:
    """A value of the repository as a model; decimals are numbers."""
    fields: dict[str, Any] = {
        name: (float if hint is Decimal else hint, ...) for name, hint in get_type_hints(of).items()
    }
    return create_model(
        of.__name__, __doc__=of.__doc__, __config__=ConfigDict(from_attributes=True), **fields
    )


Value, Bank, Metric = _model(MetricValue), _model(BankInfo), _model(MetricInfo)
_Values = ShortPage[Value]  # type: ignore[valid-type]
_BankCode = Annotated[Text, Field(description="Short name (INVEX) or the regulator's code.")]
_MetricCode = Annotated[Text, Field(description="Code, as /metrics lists them.")]
_Month = Annotated[Date, Field(description="Any day of the month.")]


class Evolution(ShortQuery):
    """A bank's months."""

    bank_code: _BankCode
    metric_code: _MetricCode
    date_start: _Month
    date_end: _Month


class Comparison(ShortQuery):
    """Banks in one month."""

    bank_codes: list[_BankCode] = Field(min_length=1, max_length=_MOST_BANKS)
    metric_code: _MetricCode
    date: _Month


class Ranking(BaseModel):
    """The first banks of one month."""

    model_config = ConfigDict(extra="forbid")
    metric_code: _MetricCode
    date: _Month
    limit: int = Field(10, ge=1, le=1000)
    descending: bool = True


def router(tables: Sequence[Table], database: Database) -> APIRouter:
    """``/banks``; without routes where the domain is not there."""
    routes = APIRouter(prefix=f"{V1}/banks", tags=["banks"])
    if not any(table.domain == "bank_kpis" for table in tables):
        return routes
    lists, asks = documented(422, 503), documented(404, 422, 503)

    async def ask(question: Callable[[MetricRepository], Awaitable[T]]) -> T:
        # A new one for each request, because the phase of the migration may change meanwhile.
        try:
            return await database.attempt(lambda: question(MetricRepository(database.engine)))
        except UnknownCode as error:
            raise Problem(404, "unknown_code", str(error)) from error

    def values(found: Sequence[MetricValue], query: ShortQuery) -> Any:
        return short_page([Value.model_validate(value) for value in found], query)

    @routes.get("/banks", responses=lists)
    async def banks(query: Annotated[ShortQuery, Query()]) -> ShortPage[Bank]:  # type: ignore[valid-type]
        """Banks, groups and the system, in order of their code."""
        found = await ask(lambda repository: repository.list_banks())
        return short_page([Bank.model_validate(bank) for bank in found], query)

    @routes.get("/metrics", responses=lists)
    async def metrics(query: Annotated[ShortQuery, Query()]) -> ShortPage[Metric]:  # type: ignore[valid-type]
        """Metrics and how to show them; ratios are 0 to 1."""
        found = await ask(lambda repository: repository.list_metrics())
        return short_page([Metric.model_validate(metric) for metric in found], query)

    @routes.get("/evolution", responses=asks)
    async def evolution(query: Annotated[Evolution, Query()]) -> _Values:
        """A bank's values, oldest month first; months without one are left out."""
        if query.date_end < query.date_start:
            raise bad_value("date_end", "is before date_start")
        q = query
        found = await ask(
            lambda r: r.get_evolution(q.bank_code, q.metric_code, q.date_start, q.date_end)
        )
        return values(found, query)

    @routes.get("/comparison", responses=asks)
    async def comparison(query: Annotated[Comparison, Query()]) -> _Values:
        """The banks' values of one month, in the order asked for; without one, left out."""
        found = await ask(
            lambda r: r.get_comparison(query.bank_codes, query.metric_code, query.date)
        )
        return values(found, query)

    @routes.get("/ranking", responses=asks)
    async def ranking(query: Annotated[Ranking, Query()]) -> _Values:
        """The banks with the greatest, or least, values of one month; no groups, no system."""
        found = await ask(
            lambda r: r.get_ranking(query.metric_code, query.date, query.limit, query.descending)
        )
        return values(found, ShortQuery(limit=query.limit, offset=0))

    return routes

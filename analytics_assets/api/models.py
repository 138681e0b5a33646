"""Declarations as pydantic models: rows, pages, and the types that parameters may have.

Belongs here: declared column -> field, and what is valid for a value that a client sends.
Does not belong here: SQL (``listing.py``), routes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, timezone
from functools import cache
from typing import Annotated, Any, Generic, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    create_model,
)

from analytics_assets.core.columns import KEY_LENGTH, Column, Type
from analytics_assets.core.declaration import Table
from analytics_assets.core.refusals import nearest_word

Item = TypeVar("Item")
_INTEGER, _BIGINT = 2**31 - 1, 2**63 - 1
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}([T ]|$)")


def _iso_date(value: Any) -> Any:
    # Left alone, a number would be read as seconds since 1970.
    if not isinstance(value, date) and not (isinstance(value, str) and _DATE.fullmatch(value)):
        raise ValueError("should be a date as YYYY-MM-DD")
    return value


def _no_boolean(value: Any) -> Any:
    # JSON has both, and left alone false would be read as 0.
    if isinstance(value, bool):
        raise ValueError("should be a whole number")
    return value


def _iso_moment(value: Any) -> Any:
    if not isinstance(value, date) and not (isinstance(value, str) and _MOMENT.match(value)):
        raise ValueError("should be a moment as YYYY-MM-DDTHH:MM:SS, or a date")
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.replace(tzinfo=value.tzinfo or timezone.utc).astimezone(timezone.utc)
    except OverflowError:
        raise ValueError("should be in the years 1 to 9999") from None


def _local(value: datetime) -> datetime:
    return _in_utc(value).replace(tzinfo=None)


# As long as any key may be, so that every row can be asked for.
Text = Annotated[str, Field(max_length=KEY_LENGTH, pattern="^[^\u0000]*$")]
Date = Annotated[date, BeforeValidator(_iso_date)]
_SENT = WithJsonSchema({"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}]})
Moment = Annotated[datetime, BeforeValidator(_iso_moment), AfterValidator(_in_utc), _SENT]
# Of a column without a time zone, whose values are taken for UTC where an offset is sent.
LocalMoment = Annotated[datetime, BeforeValidator(_iso_moment), AfterValidator(_local), _SENT]
_LocalMomentShown = Annotated[
    datetime,
    WithJsonSchema({"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?$"}),
]
WholeNumber = Annotated[int, BeforeValidator(_no_boolean)]
Integer = Annotated[int, Field(ge=-_INTEGER, le=_INTEGER)]
Bigint = Annotated[int, Field(ge=-_BIGINT, le=_BIGINT)]

_PARAMETER: dict[str, Any] = {
    "text": Text,
    "integer": Integer,
    "bigint": Bigint,
    "boolean": bool,
    "date": Date,
    "timestamp": Moment,
    "datetime": LocalMoment,
}
_FIELD: dict[str, Any] = {
    "text": str,
    "integer": int,
    "bigint": int,
    "boolean": bool,
    "date": date,
    "timestamp": datetime,
    "datetime": _LocalMomentShown,
}


def parameter_type(column: Column) -> Any:
    """The type of a parameter that is compared with a column; numbers with decimals: float."""
    return _PARAMETER.get(column.type, float)


def cursor_type(column: Column) -> Any:
    """The type of a value that a cursor holds; a text may be as long as it is in the table."""
    if column.type == "text":
        return Annotated[str, Field(pattern="^[^\u0000]*$")]
    return parameter_type(column)


def field_type(type_: Type) -> Any:
    """The type of a column's value in an answer; every decimal is a number."""
    return _FIELD.get(type_, float)


def readable(table: Table) -> tuple[Column, ...]:
    """The columns that an answer may hold: those that are promoted."""
    return table.promoted.all_columns


def _no_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def field_of(column: Column) -> tuple[Any, Any]:
    """A column as a field."""
    type_ = field_type(column.type)
    unit = f" [{column.unit}]" if column.unit else ""
    # Not required: who asks for some columns gets no others.
    described = Field(None, description=column.description + unit, json_schema_extra=_no_default)
    return (type_ | None if column.nullable else type_), described


@cache
def row_model(name: str, description: str, columns: tuple[Column, ...]) -> type[BaseModel]:
    """A row of these columns. Lists of the same rows share it, so that its name stays its own."""
    fields: dict[str, Any] = {column.name: field_of(column) for column in columns}
    return create_model(name, __doc__=description, **fields)


def choice_type(names: Sequence[str]) -> Any:
    """The type of a parameter that names some of these, by commas."""

    def check(value: str) -> str:
        for position, name in enumerate(value.split(","), start=1):
            if name not in names:
                near = nearest_word(name, names)
                instead = f"did you mean {near}?" if near else f"there are {', '.join(names)}"
                raise ValueError(f"name {position} is no column here; {instead}")
        return value

    one = f"({'|'.join(names)})"
    shown = WithJsonSchema({"type": "string", "pattern": f"^{one}(,{one})*$"})
    return Annotated[str, AfterValidator(check), shown]


class ShortQuery(BaseModel):
    """Which part of a list that is short enough to be read whole."""

    model_config = ConfigDict(extra="forbid")
    limit: int = Field(1000, ge=1, le=1000)
    offset: int = Field(0, ge=0, le=100_000_000)


class ShortPage(BaseModel, Generic[Item]):
    """A part of such a list."""

    data: list[Item]
    total: int = Field(ge=0)
    limit: int
    offset: int


def short_page(rows: Sequence[Item], query: ShortQuery) -> ShortPage[Item]:
    """The part that was asked for."""
    return ShortPage(
        data=list(rows[query.offset : query.offset + query.limit]),
        total=len(rows),
        limit=query.limit,
        offset=query.offset,
    )


@cache
def page_model(row: type[BaseModel]) -> type[BaseModel]:
    """A page of such rows."""
    return create_model(
        f"{row.__name__}Page",
        data=(list[row], ...),  # type: ignore[valid-type]
        total=(int, Field(ge=0, description="Rows on all pages, as of this answer.")),
        limit=(int, Field(ge=1, le=1000)),
        offset=(int, Field(ge=0)),
        next_cursor=(str | None, Field(description="For the next page; null on the last.")),
    )


def query_model(name: str, fields: dict[str, Any]) -> type[BaseModel]:
    """The parameters of a route; any other is refused."""
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


class NoParameters(BaseModel):
    """A route that has none."""

    model_config = ConfigDict(extra="forbid")

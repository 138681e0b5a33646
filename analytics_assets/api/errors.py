"""The one shape of every error.

Belongs here: the shape, and how exceptions become it.
Does not belong here: deciding that something is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from analytics_assets.core.refusals import no_such

_MOST_NAMED = 100
# Of more words than these the one that was likely meant is told.
_MOST_LISTED = 12


class Error(BaseModel):
    """Every answer that is not a success."""

    success: Literal[False] = False
    error: str = Field(description="What is wrong and what to do; names the field of a bad value.")
    error_code: str = Field(description="A word for programs.")


class Problem(Exception):
    """An error to answer with: HTTP status, a word for programs, a sentence for people."""

    def __init__(
        self, status: int, code: str, text: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status, self.code, self.text, self.headers = status, code, text, headers
        super().__init__(text)

    def response(self) -> JSONResponse:
        """It as an HTTP response."""
        return JSONResponse(
            Error(error=self.text, error_code=self.code).model_dump(),
            self.status,
            dict(self.headers or {}),
        )


def bad_value(field: str, what: str) -> Problem:
    """422 for a value that a field cannot have."""
    return Problem(422, "invalid_value", f"{field}: {what}")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route's documentation says of these errors."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        found[status] = {"description": HTTPStatus(status).phrase, "model": Error}
        if status in (429, 503):
            found[status]["headers"] = {
                "Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}
            }
    return found


def handle_errors(app: FastAPI) -> None:
    """Answer every error that the app raises in the one shape."""

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> JSONResponse:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return Problem(422, "invalid_value", _named(error.errors())).response()

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 400:  # FastAPI's word for a body that is no text
            return Problem(422, "invalid_value", "body: cannot be read as JSON").response()
        phrase = HTTPStatus(error.status_code).phrase
        code = phrase.lower().replace(" ", "_")
        return Problem(error.status_code, code, f"{phrase}.", error.headers).response()


def _named(errors: Sequence[Mapping[str, Any]]) -> str:
    """Field and what is wrong with it; never the value, which may be somebody's data."""
    return "; ".join(dict.fromkeys(f"{_field(e['loc'])}: {_what(e)}" for e in errors))


def _field(location: Sequence[Any]) -> str:
    if location and location[0] == "body" and isinstance(location[-1], int):
        return "body"  # a place in text that is no JSON
    return str(location[-1] if location else "request")[:_MOST_NAMED]


def _what(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "there is no such parameter"
    if error["type"] == "json_invalid":
        return "cannot be read as JSON"
    if error["type"] == "literal_error":
        known = re.findall("'([^']*)'", error["ctx"]["expected"])
        if len(known) > _MOST_LISTED:
            return no_such("value", str(error["input"])[:_MOST_NAMED], known)
    text = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return text[:1].lower() + text[1:]

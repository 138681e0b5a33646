"""What the OpenAPI document cannot say of parameters; read by schemathesis."""

from __future__ import annotations

from datetime import date
from typing import Any

import schemathesis

_RANGES = (("start_date", "end_date"), ("date_start", "date_end"))


def _possible(values: Any) -> Any:
    """Ranges of one day: the first is then not after the last."""
    if not isinstance(values, dict):
        return values
    for first, last in _RANGES:
        # What is no day is meant to be refused, and stays.
        if _is_day(values.get(first)) and _is_day(values.get(last)):
            values[last] = values[first] = max(values[first], values[last])
    return values


def _is_day(value: Any) -> bool:
    try:
        return bool(date.fromisoformat(value))
    except (TypeError, ValueError):
        return False


@schemathesis.hook
def map_query(context: Any, query: Any) -> Any:
    """Before a query is sent."""
    return _possible(query)


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Before a body is sent."""
    return _possible(body)

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


# No schema says what the words of a question are.
_PARTS = ("q", "measures", "by", "where", "over", "compare", "with", "order", "of")
_QUESTIONS = (
    "total_births, cesarean_rate by state_name, year compare share order -total_births",
    "meta_spend by month over 2025",
    "appointments by doctor_name",
)


def _asking(context: Any, values: Any) -> Any:
    """A question that is one, where all of its parts are texts."""
    path = getattr(getattr(context, "operation", None), "path", "")
    if not path.endswith("/ask") or not isinstance(values, dict):
        return values
    words = [values[part] for part in _PARTS if values.get(part) is not None]
    if any(not isinstance(text, str) or len(text) > 2000 or "\0" in text for text in words):
        return values
    question = _QUESTIONS[sum(map(len, words)) % len(_QUESTIONS)]
    return {"q": question, **{name: v for name, v in values.items() if name not in _PARTS}}


@schemathesis.hook
def map_query(context: Any, query: Any) -> Any:
    """Before a query is sent."""
    return _asking(context, _possible(query))


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Before a body is sent."""
    return _asking(context, _possible(body))

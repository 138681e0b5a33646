"""How a measure rolls up: what makes the value of a month out of those of its days.

Belongs here: reading that from the measure's SQL, and why some SQL has no such way.
Does not belong here: the SQL of a table that is rolled up (``rollups.py``).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

RollsUp = Literal["sum", "max", "min"]

_DISTINCT = (
    "a distinct count of days does not add up to that of the month; keep the fact's rows, or"
    " count in a table of its own, as a column"
)
_MEAN = (
    "that of a month does not follow from those of its days; make a mean or share a Ratio of two"
    " measures, and anything else a column of a table of its own"
)
_DEFAULT = (
    "a value in the place of none would be taken for a real one when it is rolled up; leave out"
    " the coalesce, so that it is NULL where there is nothing"
)
_UNCLEAR = "its SQL does not say how it rolls up; give rolls_up: 'sum', 'max' or 'min'"
_OPENED = (exp.Paren, exp.Cast, exp.Filter)
_MEANS = (
    exp.Avg,
    exp.Median,
    exp.Mode,
    exp.PercentileCont,
    exp.PercentileDisc,
    exp.Quantile,
    exp.Stddev,
    exp.StddevPop,
    exp.StddevSamp,
    exp.Variance,
    exp.VariancePop,
)
_FUNCTIONS: dict[type[exp.Expr], RollsUp] = {
    exp.Count: "sum",
    exp.CountIf: "sum",
    exp.Sum: "sum",
    exp.Max: "max",
    exp.Min: "min",
}


@lru_cache(maxsize=4096)
def rolls_up_by(sql: str, given: RollsUp | None = None) -> RollsUp:
    """The function of the finer values that is the coarser one; ``given`` where SQL is not clear.

    ``ValueError`` with a sentence where there is none, it is not clear, or it is not ``given``.
    """
    try:
        tree = sqlglot.parse_one(sql, dialect="duckdb")
    except SqlglotError:
        raise ValueError(f"its SQL {sql!r} cannot be read; is all of it closed?") from None
    found = _of(tree)
    if found is None and given is None:
        raise ValueError(_UNCLEAR)
    if found and given and found != given:
        raise ValueError(f"its SQL rolls up by {found}, not by {given}; leave out rolls_up")
    return found or given  # type: ignore[return-value]


def _of(node: exp.Expr) -> RollsUp | None:
    """``None`` where it is not clear."""
    is_share = isinstance(node, exp.Div) and not node.right.is_number
    if is_share or isinstance(node, _MEANS):
        raise ValueError(_MEAN)
    if isinstance(node, exp.ApproxDistinct):
        raise ValueError(_DISTINCT)
    for kind, function in _FUNCTIONS.items():
        if isinstance(node, kind):
            return _of_function(node, function)
    if isinstance(node, _OPENED):
        return _of(node.this)
    if isinstance(node, exp.Coalesce):
        return _of_coalesce(node)
    if isinstance(node, (exp.Add, exp.Sub)):
        # A sum less another one is a sum; a maximum less another one is not a maximum.
        return "sum" if {_of(node.left), _of(node.right)} == {"sum"} else None
    return None


def _of_function(node: exp.Expr, function: RollsUp) -> RollsUp | None:
    if function == "sum" and isinstance(node.this, exp.Distinct):
        raise ValueError(_DISTINCT)
    # max(x, 3) is a list.
    return None if node.args.get("count") or node.args.get("expressions") else function


def _of_coalesce(node: exp.Coalesce) -> RollsUp | None:
    function = _of(node.this)
    if function in ("max", "min"):
        raise ValueError(_DEFAULT)
    zeros = [value.is_number and float(value.name) == 0 for value in node.expressions]
    return function if all(zeros) else None

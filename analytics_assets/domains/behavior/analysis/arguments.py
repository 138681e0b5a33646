"""What a caller gives the analyses: taken as it is meant, or refused by name.

Belongs here: options, columns of a frame, and their values as numbers.
Does not belong here: moments (``moments.py``), or whether a series is long enough.

A message says an option, a column and a number of rows, and no value of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from analytics_assets.domains.behavior.analysis.estimates import Refusal, Vector

# Squares of greater numbers are infinite.
GREATEST = 1e100


def refuse_unless_one_of(name: str, value: object, allowed: Sequence[str]) -> None:
    """Refuse an option that is none of ``allowed``."""
    if not isinstance(value, str) or value not in allowed:
        raise Refusal(f"{name}={value!r}: give one of {', '.join(map(repr, allowed))}")


def share(name: str, value: Any) -> float:
    """A number between 0 and 1, of whatever type; ``Refusal`` for others, such as a percentage."""
    if not is_number(value) or not 0 < value < 1 or not 0 < float(value) < 1:
        raise Refusal(f"{name}={value!r}: give a share between 0 and 1, such as 0.95")
    return float(value)


def refuse_unless_number(name: str, value: Any, at_least: float = 0, whole: bool = False) -> None:
    """Refuse what is no finite number, or too small a one."""
    if not is_number(value) or not at_least <= value <= GREATEST or (whole and value % 1):
        kind = "whole number" if whole else "number"
        raise Refusal(f"{name}={value!r}: give a {kind} of at least {at_least:g}")


def is_number(value: object) -> bool:
    """A number, which True is not, nor a decimal NaN, which cannot be compared."""
    if isinstance(value, Decimal):
        return not value.is_nan()
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def column(frame: pd.DataFrame, role: str, name: Any) -> pd.Series:
    """The column that plays ``role``, an argument whose value is ``name``."""
    found = sum(isinstance(name, type(one)) and bool(one == name) for one in frame.columns)
    if found == 1:
        return frame[name]
    what = "more than one column is called so" if found else "the frame has no such column"
    raise Refusal(f"{role}={name!r}: {what}; it has {', '.join(map(str, frame.columns))}")


def numbers(values: pd.Series, role: str) -> Vector:
    """Values of a column as numbers, NaN where one is missing."""
    known = values.notna()
    others = sum(
        not is_number(one) and not isinstance(one, bool | np.bool_) for one in values[known]
    )
    if others:
        raise refused(role, values, f"{rows(others)} hold no number")
    if infinite := sum(abs(value) > GREATEST for value in values[known]):
        raise refused(role, values, f"{rows(infinite)} are infinite, or beyond {GREATEST:g}")
    found: Vector = values.astype(object).where(known, np.nan).to_numpy(dtype=float)
    return found


def refused(role: str, values: pd.Series, why: str) -> Refusal:
    """The refusal of a column for what some of its rows hold."""
    return Refusal(f"{role}={values.name!r}: {why}")


def rows(number: int) -> str:
    return f"{number} of its rows"

"""Whether the ratios of workbooks are percentages (15.5) or ratios (0.155).

Belongs here: telling it by size, over all workbooks of a kind and what was known before.
Does not belong here: reading a workbook (``workbooks.py``), computing with it (``sql/``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from analytics_assets.domains.bank_kpis.months import SERIALS

# A median up to this is a ratio: as a percentage it would be 0.2 %, which no set of banks has.
_RATIO = 0.2
# Of so many institutions at least one is above one percent.
_MANY = 10
_NUMBER = re.compile(r"-?\d*\.?\d+([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Size:
    """Of a month's ratios: the median, what is compared with the limit, and how many there are."""

    middle: float
    most: float
    count: int


def size_of(texts: Iterable[str | None], typical: bool) -> Size | None:
    """Of the texts that are a plain number; ``typical``: the median is compared."""
    found = [float(t) for t in texts if t and _is_ratio(t) and float(t)]
    if not found:
        return None
    middle = median(found)
    return Size(middle, middle if typical else max(found), len(found))


def usual_percent(sizes: Iterable[Size], limit: float) -> float | None:
    """The median of the months that can only be percentages."""
    sure = [size.middle for size in sizes if size.most > limit]
    return median(sure) if sure else None


def units(sizes: Mapping[str, Size], limit: float, usual: float | None) -> dict[str, str | None]:
    """Month -> percent or ratio, ``None`` if it can be both.

    What is above ``limit`` cannot be a ratio. A month without such a number is in the unit in which
    its median is of the size of the ``usual`` percentage.
    """
    return {month: _unit(size, limit, usual) for month, size in sizes.items()}


def _unit(size: Size, limit: float, usual: float | None) -> str | None:
    if size.most > limit:
        return "percent"
    if usual is not None:
        return "ratio" if abs(size.middle) < usual / 10 else "percent"
    return "ratio" if abs(size.middle) <= _RATIO or size.count >= _MANY else None


def _is_ratio(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text)) and not (text.isdigit() and int(text) in SERIALS)

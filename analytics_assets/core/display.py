"""What people see of a table in the UI: previews, offending rows, small plots.

Belongs here: rows and series -> Markdown.
Does not belong here: reading them.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

_WIDTH, _HEIGHT, _MARGIN = 400, 80, 8
_POINTS = 36


def rows_as_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """A Markdown table; rows may differ in their columns."""
    if not rows:
        return "*no rows*"
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [" | ".join(names), " | ".join("---" for _ in names)]
    lines += [" | ".join(_cell(row.get(name)) for name in names) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    text = f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else str(value)
    return text.replace("|", "\\|").replace("\n", " ")[:200]


def plot_as_markdown(series: Sequence[tuple[str, float]], label: str) -> str:
    """A line through the values, oldest first, as an inline picture with its range named.

    Long series are drawn as means of neighbours: the UI shows only short Markdown in place.
    """
    first, last = series[0][0], series[-1][0]
    values = _thinned([value for _, value in series])
    low, high = min(values), max(values)
    scale = (_HEIGHT - 2 * _MARGIN) / ((high - low) or 1)
    step = (_WIDTH - 2 * _MARGIN) / max(len(values) - 1, 1)
    points = " ".join(
        f"{_MARGIN + index * step:.0f},{_HEIGHT - _MARGIN - (value - low) * scale:.0f}"
        for index, value in enumerate(values)
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}">'
        f'<polyline points="{points}" fill="none" stroke="#2563a8" stroke-width="2"/></svg>'
    )
    picture = base64.b64encode(svg.encode()).decode()
    label = label.rstrip(".")
    return (
        f"{label}, {first} to {last}: {low:,.0f} to {high:,.0f}\n\n"
        f"![{label}](data:image/svg+xml;base64,{picture})"
    )


def _thinned(values: Sequence[float]) -> list[float]:
    size = -(-len(values) // _POINTS)
    groups = [values[start : start + size] for start in range(0, len(values), size)]
    return [sum(group) / len(group) for group in groups]

"""What people see of a table in the UI: previews, offending rows, small plots.

Belongs here: rows and series -> Markdown.
Does not belong here: reading them.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

_WIDTH, _HEIGHT, _MARGIN = 400, 80, 8
_POINTS = 36
_BLUE = "#2563a8"


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
    label = label.rstrip(".")
    drawn = f'<polyline points="{points}" fill="none" stroke="{_BLUE}" stroke-width="2"/>'
    return (
        f"{label}, {first} to {last}: {low:,.0f} to {high:,.0f}\n\n"
        f"{_picture(label, drawn, _HEIGHT)}"
    )


@dataclass(frozen=True)
class Marks:
    """Points of a chart and how they are drawn; those whose height is NaN are left out."""

    points: Sequence[tuple[float, float]]
    style: Literal["dots", "line", "dashes"] = "line"
    colour: str = _BLUE


def chart_as_markdown(marks: Sequence[Marks], label: str, ruled: Sequence[float] = ()) -> str:
    """Marks over one pair of axes as an inline picture, with upright rules at these x."""
    every = [point for one in marks for point in one.points if point[1] == point[1]]
    lefts, heights = [x for x, _ in every] + list(ruled), [y for _, y in every]
    low, high = min(heights), max(heights)
    across = (_WIDTH - 2 * _MARGIN) / ((max(lefts) - min(lefts)) or 1)
    up = (2 * _HEIGHT - 2 * _MARGIN) / ((high - low) or 1)

    def place(x: float, y: float) -> str:
        return f"{_MARGIN + (x - min(lefts)) * across:.0f},{_MARGIN + (high - y) * up:.0f}"

    drawn = "".join(
        f'<polyline points="{place(x, low)} {place(x, high)}" stroke="#999"/>' for x in ruled
    )
    for one in marks:
        places = [place(*point) for point in one.points if point[1] == point[1]]
        if one.style == "dots":
            at = (name.split(",") for name in places)
            circles = (f'<circle cx="{x}" cy="{y}" r="2" fill="{one.colour}"/>' for x, y in at)
            drawn += "".join(circles)
        else:
            dashed = ' stroke-dasharray="5 4"' if one.style == "dashes" else ""
            drawn += (
                f'<polyline points="{" ".join(places)}" fill="none" stroke="{one.colour}"'
                f' stroke-width="2"{dashed}/>'
            )
    label = label.rstrip(".")
    return f"{label}: {low:,.1f} to {high:,.1f}\n\n{_picture(label, drawn, 2 * _HEIGHT)}"


def _picture(label: str, drawn: str, height: int) -> str:
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}">{drawn}</svg>'
    )
    return f"![{label}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _thinned(values: Sequence[float]) -> list[float]:
    size = -(-len(values) // _POINTS)
    groups = [values[start : start + size] for start in range(0, len(values), size)]
    return [sum(group) / len(group) for group in groups]

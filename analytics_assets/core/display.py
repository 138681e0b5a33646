"""What people see of a table in the UI: previews, offending rows, small plots.

Belongs here: rows and series -> Markdown.
Does not belong here: reading them.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT, _MARGIN = 400, 80, 8
_PLOT_HEIGHT, _LINE, _LETTER = 120, 11, 6  # of a line of text, and of a digit
_GROUPS = (18, 12, 8, 4, 1)  # of neighbours, of each of which two points are drawn
SHOWN_IN_PLACE = 1000  # The UI shows Markdown of fewer characters, and a link to what is longer.
_BLUE = "#2563a8"


def rows_as_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """A Markdown table; rows may differ in their columns."""
    if not rows:
        return "no rows"
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [" | ".join(names), " | ".join("---" for _ in names)]
    lines += [" | ".join(_cell(row.get(name)) for name in names) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    text = f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else str(value)
    return text.replace("|", "\\|").replace("\n", " ")[:200]


def plot_as_markdown(series: Sequence[tuple[str, float | None]], label: str, unit: str = "") -> str:
    """A line through the values, oldest first, as an inline picture with axes.

    Said are the first, last, least and greatest of all values, each with its key. Of a long series
    the least and greatest of neighbours are drawn, fewer the longer the words are: the UI shows
    only short Markdown in place. A value that is None leaves a key out.
    """
    label = label.rstrip(".")
    known = [(key, float(value)) for key, value in series if value is not None]
    if not known:
        return f"{label}: no value"
    low, high = min(known, key=itemgetter(1)), max(known, key=itemgetter(1))
    ends = {"first": known[0], "last": known[-1], "min": low, "max": high}
    named = ", ".join(f"{name} {_number(value)} ({key})" for name, (key, value) in ends.items())
    said = f"{label}, the last {len(series):,} partitions: {named}"
    for groups in _GROUPS:
        plot = f"{said}\n\n{_picture('plot', _line_with_axes(known, unit, groups), _PLOT_HEIGHT)}"
        if len(plot) < SHOWN_IN_PLACE:
            break
    return plot


def _line_with_axes(known: Sequence[tuple[str, float]], unit: str, groups: int) -> str:
    values = [value for _, value in known]
    low, high = min(values), max(values)
    ticks = [_number(high), _number(low)]
    left = 2 * _MARGIN + _LETTER * max(map(len, ticks))
    top, bottom, right = 2 * _LINE, _PLOT_HEIGHT - 2 * _LINE, _WIDTH - _MARGIN

    def across(index: int) -> float:
        return left + index * (right - left) / max(len(values) - 1, 1)

    def down(value: float) -> float:
        return bottom - (value - low) / ((high - low) or 1) * (bottom - top)

    points = " ".join(
        f"{across(index):.0f},{down(values[index]):.0f}" for index in _drawn(values, groups)
    )
    heights = {f"{down(value):.0f}": tick for value, tick in zip((high, low), ticks, strict=True)}
    texts = [(_MARGIN, height, tick) for height, tick in heights.items()]
    texts += [(left, f"{_LINE}", escape(unit)), (left, f"{_PLOT_HEIGHT - 4}", escape(known[0][0]))]
    written = "".join(f'<text x="{x}" y="{y}">{words}</text>' for x, y, words in texts)
    last = escape(known[-1][0])
    return (
        f'<g font-size="{_LINE}" fill="#888">{written}'
        f'<text x="{right}" y="{_PLOT_HEIGHT - 4}" text-anchor="end">{last}</text></g>'
        f'<g fill="none"><path stroke="#999" d="M{left} {top}V{bottom}H{right}"/>'
        f'<polyline points="{points}" stroke="{_BLUE}"/></g>'
    )


def _drawn(values: Sequence[float], groups: int) -> list[int]:
    """The places of the ends and of the least and greatest of each group, rising."""
    size = -(-len(values) // groups)
    places = {0, len(values) - 1}
    for start in range(0, len(values), size):
        group = range(start, min(start + size, len(values)))
        places |= {min(group, key=values.__getitem__), max(group, key=values.__getitem__)}
    return sorted(places)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value.is_integer() or abs(value) >= 1000 else f"{value:,.2f}"


@dataclass(frozen=True)
class Marks:
    """Points of a chart and how they are drawn; those whose height is NaN are left out."""

    points: Sequence[tuple[float, float]]
    style: Literal["dots", "line", "dashes"] = "line"
    colour: str = _BLUE


def chart_as_markdown(marks: Sequence[Marks], label: str, ruled: Sequence[float] = ()) -> str:
    """Marks over one pair of axes as an inline picture, with upright rules at these x."""
    label = label.rstrip(".")
    every = [point for one in marks for point in one.points if point[1] == point[1]]
    if not every:
        return f"{label}: no value"
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
    return f"{label}: {low:,.1f} to {high:,.1f}\n\n{_picture(label, drawn, 2 * _HEIGHT)}"


def _picture(label: str, drawn: str, height: int) -> str:
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}">{drawn}</svg>'
    )
    return f"![{label}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"

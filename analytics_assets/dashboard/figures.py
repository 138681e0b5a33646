"""Figures as Plotly draws them, as plain data.

Belongs here: results -> traces and layout, colours that colour-blind people tell apart.
Does not belong here: what is found (``results.py``), pages.

Plotly's library is in the browser alone: here a figure is a dictionary, as its schema has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from analytics_assets.dashboard.declared import Tiles
from analytics_assets.dashboard.results import Result
from analytics_assets.dashboard.words import Language, common_digits, number, unit_text, word

Figure = dict[str, Any]
# Okabe and Ito's colours, dark enough on white; dashes tell lines apart without any colour.
COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#8e4585", "#56708a", "#a6761d", "#1b1b1b", "#c1477f",
)  # fmt: skip
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "solid", "dash", "dot")
WITHHELD_COLOUR, _NO_VALUE = "#b8bcc2", "#ececec"
_SCALE = "Cividis"
MOST_BARS = 40
_INK, _GRID = "#26323f", "#e3e7eb"


def line(result: Result, title: str, unit: str, language: Language, time: str = "") -> Figure:
    """Lines over time; ``time``: the step from one value to the next."""
    many = len(result.series) > 1
    dated = bool(result.keys) and isinstance(result.keys[0], date)
    traces = []
    for n, series in enumerate(result.series):
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if len(result.keys) <= 40 else "lines",
                "name": series.name,
                "x": [k.isoformat() for k in result.keys] if dated else list(result.texts),
                "y": list(series.values),
                # A day is read from its place; to write it twice doubles a page of ten years.
                **({} if time == "day" else {"customdata": list(result.texts)}),
                "connectgaps": False,
                "line": {
                    "color": COLOURS[n % len(COLOURS)],
                    "dash": _DASHES[n % len(_DASHES)] if many else "solid",
                    "width": 2,
                },
                "marker": {"size": 5},
                "hovertemplate": ("%{x|%Y-%m-%d}" if time == "day" else "%{customdata}")
                + ": %{y:,.6~g} "
                + unit_text(unit, language)
                + ("<extra>%{fullData.name}</extra>" if many else "<extra></extra>"),
            }
        )
    traces += _withheld_marks(result, language)
    layout = _layout(title, unit, language)
    layout["showlegend"] = many or len(traces) > len(result.series)
    layout["hovermode"] = "x unified" if many else "closest"
    if not dated:
        layout["xaxis"] |= {"type": "category"}
    elif time == "month" and len(result.keys) < 8:
        layout["xaxis"] |= {"tickformat": "%b %Y", "dtick": "M1"}
    elif time == "year":
        layout["xaxis"] |= {"tickformat": "%Y", "dtick": "M12" if len(result.keys) < 15 else "M24"}
    layout["yaxis"]["rangemode"] = "tozero" if from_zero(result) else "normal"
    return {"data": traces, "layout": layout}


def seasons(result: Result, title: str, unit: str, language: Language) -> Figure:
    """Months over years: the latest year in colour, those before in greys, the oldest lightest."""
    figure = line(result, title, unit, language)
    count = len(result.series)
    for n, trace in enumerate(figure["data"][:count]):
        latest = n == count - 1
        shade = 205 - round(110 * n / max(count - 1, 1))
        colour = COLOURS[1] if latest else f"rgb({shade},{shade},{shade + 12})"
        trace["line"] = {"color": colour, "width": 3 if latest else 1.5, "dash": "solid"}
        trace["marker"] = {"size": 6 if latest else 3}
    return figure


def _withheld_marks(result: Result, language: Language) -> list[Figure]:
    """Marks at the bottom of a line chart where a value is withheld."""
    places = sorted({n for series in result.series for n in series.withheld})
    if not places:
        return []
    dated = isinstance(result.keys[0], date)
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": word("withheld", language),
            "x": [result.keys[n].isoformat() if dated else result.texts[n] for n in places],
            "y": [0] * len(places),
            "marker": {"symbol": "x-thin", "size": 7, "line": {"width": 1.5, "color": "#6b7280"}},
            "hovertemplate": "%{x}: " + word("withheld", language) + "<extra></extra>",
        }
    ]


def bars(result: Result, title: str, unit: str, language: Language) -> Figure:
    """Bars, the greatest on top; at most ``MOST_BARS``."""
    (series,) = result.series
    shown = range(min(len(result.keys), MOST_BARS))
    texts = [_short(text) for text in result.texts[: len(shown)]]
    digits = common_digits(series.values)
    labels = [
        word("withheld", language)
        if n in series.withheld
        else number(series.values[n], language, digits)
        for n in shown
    ]
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": [series.values[n] or 0 for n in shown],
        # Two may have one name: the place tells them apart, the text is what is read.
        "y": list(shown),
        "text": labels,
        "textposition": "auto",
        "cliponaxis": False,
        "marker": {"color": COLOURS[0]},
        "customdata": list(result.texts[: len(shown)]),
        "hovertemplate": "%{customdata}: %{text} " + unit_text(unit, language) + "<extra></extra>",
    }
    layout = _layout(title, unit, language)
    layout["xaxis"] |= {
        "title": {"text": unit_text(unit, language)},
        "rangemode": "tozero",
        "tickformat": ",",
    }
    layout["yaxis"] = {
        "autorange": "reversed",
        "automargin": True,
        "tickmode": "array",
        "tickvals": list(shown),
        "ticktext": texts,
        "gridcolor": _GRID,
    }
    layout["height"] = max(220, 60 + 26 * len(shown))
    return {"data": [trace], "layout": layout}


def columns(result: Result, title: str, unit: str, language: Language, time: str = "") -> Figure:
    """Upright bars over time."""
    figure = line(result, title, unit, language, time)
    for trace in figure["data"][: len(result.series)]:
        colour = trace.pop("line")["color"]
        trace |= {"type": "bar", "marker": {"color": colour}}
        for name in ("mode", "connectgaps"):
            trace.pop(name)
    figure["layout"]["yaxis"]["rangemode"] = "tozero"
    return figure


def tiles(result: Result, drawn: Tiles, title: str, unit: str, language: Language) -> Figure:
    """Places as tiles, coloured by their values."""
    (series,) = result.series
    values = dict(zip(map(str, result.keys), series.values, strict=True))
    hidden = {str(result.keys[n]) for n in series.withheld}
    texts = dict(zip(map(str, result.keys), result.texts, strict=True))
    width = 1 + max(place[0] for place in drawn.places.values())
    height = 1 + max(place[1] for place in drawn.places.values())
    cells: list[list[float | None]] = [[None] * width for _ in range(height)]
    said = [[""] * width for _ in range(height)]
    names: list[Figure] = []
    shapes: list[Figure] = []
    known = [v for v in series.values if v is not None]
    middle = (min(known) + max(known)) / 2 if known else 0
    for key, (column, row, short) in drawn.places.items():
        value = values.get(key)
        cells[row][column] = value
        told = _told(value, key in hidden, unit, language)
        said[row][column] = f"{texts.get(key, short)}: {told}"
        dark = value is not None and value < middle
        names.append(
            {
                "x": column,
                "y": row,
                "text": f"<b>{short}</b>",
                "showarrow": False,
                "font": {"color": "#ffffff" if dark else "#1b1b1b", "size": 13},
            }
        )
        if value is None:
            fill = WITHHELD_COLOUR if key in hidden else _NO_VALUE
            shapes.append(_tile(column, row, fill))
    trace = {
        "type": "heatmap",
        "z": cells,
        "text": said,
        "hovertemplate": "%{text}<extra></extra>",
        "hoverongaps": False,
        "xgap": 3,
        "ygap": 3,
        "colorscale": _SCALE,
        "colorbar": _colorbar(unit, language),
    }
    layout = _layout(title, "", language)
    bare = {"visible": False, "fixedrange": True}
    layout["xaxis"] = {**bare, "range": [-0.6, width - 0.4], "constrain": "domain"}
    layout["yaxis"] = {
        **bare,
        "range": [height - 0.4, -0.6],
        "scaleanchor": "x",
        "constrain": "domain",
    }
    layout |= {"annotations": names, "shapes": shapes, "height": 480}
    return {"data": [trace], "layout": layout}


def _tile(column: int, row: int, fill: str) -> Figure:
    return {
        "type": "rect",
        "layer": "below",
        "x0": column - 0.47,
        "x1": column + 0.47,
        "y0": row - 0.47,
        "y1": row + 0.47,
        "fillcolor": fill,
        "line": {"width": 0},
    }


def seats(
    result: Result,
    places: Mapping[str, tuple[float, float]],
    title: str,
    unit: str,
    language: Language,
    sized: bool,
) -> Figure:
    """Places as circles at their latitude and longitude, coloured by their values; ``sized``: as
    great as these, too."""
    (series,) = result.series
    known = [n for n, key in enumerate(result.keys) if str(key) in places]
    seen = [n for n in known if series.values[n] is not None]
    grey = [n for n in known if series.values[n] is None]
    size = 14 if len(known) < 120 else 9 if len(known) < 1000 else 5
    traces = []
    for numbers, marker in (
        (grey, {"color": WITHHELD_COLOUR, "symbol": "circle-open", "size": size}),
        (
            seen,
            {
                "color": [series.values[n] for n in seen],
                "colorscale": _SCALE,
                "colorbar": _colorbar(unit, language),
                "size": _sizes([series.values[n] or 0 for n in seen], size) if sized else size,
                "line": {"width": 0.5, "color": "#ffffff"},
            },
        ),
    ):
        if numbers:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "x": [places[str(result.keys[n])][1] for n in numbers],
                    "y": [places[str(result.keys[n])][0] for n in numbers],
                    "text": [
                        f"{result.texts[n]}: "
                        + _told(series.values[n], n in series.withheld, unit, language)
                        for n in numbers
                    ],
                    "hovertemplate": "%{text}<extra></extra>",
                    "marker": marker,
                }
            )
    layout = _layout(title, "", language)
    layout["xaxis"] = {"visible": False, "constrain": "domain"}
    layout["yaxis"] = {"visible": False, "scaleanchor": "x", "constrain": "domain"}
    layout |= {"height": 560, "showlegend": False}
    return {"data": traces, "layout": layout}


def _sizes(values: Sequence[float], usual: int) -> list[float]:
    """Diameters whose areas are as the values, from half the usual one to three of them."""
    most = max(values, default=0) or 1
    return [round(usual * max(0.5, 3 * (max(v, 0) / most) ** 0.5), 1) for v in values]


def shapes(
    result: Result, address: str, codes: int, title: str, unit: str, language: Language
) -> Figure:
    """Places as shapes, which the browser reads from ``address``, by the feature's id: the first
    ``codes`` digits of a place's code, as some files leave out the last."""
    (series,) = result.series
    common = {
        "type": "choropleth",
        "geojson": address,
        "featureidkey": "id",
        "marker": {"line": {"width": 0.3, "color": "#ffffff"}},
        "hovertemplate": "%{text}<extra></extra>",
    }
    traces = []
    seen = [n for n, value in enumerate(series.values) if value is not None]
    grey = [n for n, value in enumerate(series.values) if value is None]
    for numbers, more in (
        (grey, {"colorscale": [[0, WITHHELD_COLOUR], [1, WITHHELD_COLOUR]], "showscale": False}),
        (seen, {"colorscale": _SCALE, "colorbar": _colorbar(unit, language)}),
    ):
        if numbers:
            traces.append(
                {
                    **common,
                    "locations": [str(result.keys[n])[:codes] for n in numbers],
                    "z": [series.values[n] or 0 for n in numbers],
                    "text": [
                        f"{result.texts[n]}: "
                        + _told(series.values[n], n in series.withheld, unit, language)
                        for n in numbers
                    ],
                    **more,
                }
            )
    layout = _layout(title, "", language)
    layout["geo"] = {
        "visible": False,
        "fitbounds": "locations",
        "projection": {"type": "mercator"},
        "bgcolor": "rgba(0,0,0,0)",
    }
    layout |= {"height": 600, "margin": {"l": 0, "r": 0, "t": 8, "b": 8}}
    return {"data": traces, "layout": layout}


def from_zero(result: Result) -> bool:
    """Whether a line's axis begins at 0: unless all values are far from it."""
    values = [v for series in result.series for v in series.values if v is not None]
    if not values or min(values) < 0:
        # An axis with values on both sides shows 0 by itself.
        return bool(values) and max(values) >= 0
    return min(values) < 0.6 * max(values) or not max(values)


def spark(values: Sequence[float | None], width: int = 120, height: int = 28) -> str:
    """The points of a small line, as SVG's ``points``, a run of known values each, by ``;``."""
    known = [v for v in values if v is not None]
    if not known:
        return ""
    low, high = min([0.0, *known]), max(known)
    across, up = width / max(len(values) - 1, 1), (height - 4) / ((high - low) or 1)
    runs: list[list[str]] = [[]]
    for n, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(f"{n * across:.1f},{height - 2 - (value - low) * up:.1f}")
    return ";".join(" ".join(run) for run in runs if run)


def _told(value: float | None, withheld: bool, unit: str, language: Language) -> str:
    if value is None:
        return word("withheld" if withheld else "no_value", language)
    text = unit_text(unit, language)
    return f"{number(value, language)}{'' if text == '%' else ' '}{text}"


def _colorbar(unit: str, language: Language) -> Figure:
    return {
        "title": {"text": unit_text(unit, language), "side": "top"},
        "orientation": "h",
        "x": 0.5,
        "xanchor": "center",
        "y": -0.02,
        "yanchor": "top",
        "thickness": 12,
        "tickformat": ",",
        "len": 0.8,
    }


def _layout(title: str, unit: str, language: Language) -> Figure:
    axis = {"gridcolor": _GRID, "zerolinecolor": "#9aa5b1", "automargin": True}
    axis["tickformat"] = ","
    return {
        # The heading says it on the page; a downloaded picture shows it.
        "meta": {"title": title},
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": _INK},
        "separators": ",." if language == "pt" else ".,",
        "margin": {"l": 8, "r": 16, "t": 16, "b": 8},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "xaxis": {name: value for name, value in axis.items() if name != "tickformat"},
        "yaxis": {**axis, "title": {"text": unit_text(unit, language)}},
        "legend": {"orientation": "h", "y": -0.15},
        "height": 380,
        "colorway": list(COLOURS),
    }


def _short(text: str) -> str:
    return text if len(text) <= 34 else f"{text[:33]}…"

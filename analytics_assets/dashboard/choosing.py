"""What somebody chose to see of a table: the parameters of an address, and their defaults.

Belongs here: parameters -> a view that can be asked for, and its address again.
Does not belong here: the ways to look at a table (``looks.py``), the controls (``controls.py``).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from analytics_assets.api.errors import bad_value
from analytics_assets.core.refusals import nearest_word, no_such
from analytics_assets.dashboard import periods
from analytics_assets.dashboard.asking import Asking, Extent, Value
from analytics_assets.dashboard.looks import TIME, Axis, ChartKind, Looks, Number

ALL, SEVEN = "all", 7
# Lines that can be told apart; as many as there are colours.
MOST_LINES = 8
_DAYS_SHOWN = 364
Parameters = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Chosen:
    """A view of a table. ``fixed``: column -> values; ``at``: the first day of the one period.

    ``values``: column -> what can be chosen for that axis. ``days`` bound what is asked.
    """

    looks: Looks
    extent: Extent
    chart: ChartKind
    number: Number | None
    by: Axis | None
    split: Axis | None
    fixed: Mapping[str, tuple[Any, ...]]
    values: Mapping[str, tuple[Value, ...]]
    days: tuple[date | None, date | None]
    at: date | None
    mean: bool
    index: bool
    offset: int
    given: tuple[tuple[str, str], ...]

    def address(self, path: str, **changed: Any) -> str:
        """The address that shows this very view, with some parameters changed."""
        return f"{path}?{urlencode(self.parameters(**changed))}"

    def parameters(self, **changed: Any) -> list[tuple[str, str]]:
        """The parameters of this very view, nothing left to defaults."""
        own: list[tuple[str, str]] = [("chart", self.chart)]
        if self.number:
            own.append(("measure", self.number.name))
        if self.chart in ("bars", "map"):
            own.append(("by", self.by.name if self.by else TIME))
            own.append(("at", self.at.isoformat() if self.at else ALL))
        else:
            first, last = self.days
            own += [("from", first.isoformat())] if first else []
            own += [("to", last.isoformat())] if last else []
        own += [("split", self.split.name)] if self.split else []
        own += [("mean", str(SEVEN))] if self.mean else []
        own += [("index", "1")] if self.index else []
        for axis in self.looks.axes:
            own += [(axis.name, str(value)) for value in self.fixed.get(axis.column, ())]
        own = [(name, value) for name, value in own if name not in changed]
        return own + [(name, str(value)) for name, value in changed.items() if value is not None]


async def choose(
    asking: Asking, looks: Looks, parameters: Parameters, maps: Mapping[str, Any]
) -> Chosen:
    """The view that these parameters mean; ``Problem`` (422) names what cannot be chosen."""
    extent = await asking.extent(looks)
    number = _number(looks, parameters)
    chart, by = _chart(looks, number, parameters, maps)
    split = _split(looks, number, chart, parameters)
    shown = tuple(axis.column for axis in (by, split) if axis)
    fixed, values = await _fixed(asking, looks, extent, number, shown, parameters)
    if chart in ("line", "seasons") and not split and number:
        many = [axis for axis in looks.axes if len(fixed.get(axis.column, ())) > 1]
        split = many[0] if many and chart == "line" else None
        shown = (split.column,) if split else ()
    for column, chosen in fixed.items():
        if number and len(chosen) > 1 and column not in shown and not number.adds_up:
            raise bad_value(column, "choose one value: these numbers are never added up")
    at = _at(looks, extent, number, chart, parameters)
    days = _days(looks, extent, chart, at, parameters)
    return Chosen(
        looks,
        extent,
        chart,
        number,
        by,
        split,
        fixed,
        values,
        days,
        at,
        mean=chart == "line" and looks.time_name == "day" and _one(parameters, "mean") != "",
        index=chart == "line" and _one(parameters, "index") == "1",
        offset=_whole(parameters, "offset"),
        given=tuple((name, value) for name, many in parameters.items() for value in many),
    )


def _one(parameters: Parameters, name: str) -> str:
    return (list(parameters.get(name, ())) or [""])[-1].strip()


def _whole(parameters: Parameters, name: str) -> int:
    text = _one(parameters, name) or "0"
    if not text.isdecimal() or len(text) > 9:
        raise bad_value(name, "should be a whole number from 0")
    return int(text)


def _number(looks: Looks, parameters: Parameters) -> Number | None:
    name = _one(parameters, "measure")
    if name and looks.number(name) is None:
        raise bad_value("measure", no_such("measure", name, [n.name for n in looks.numbers]))
    return looks.number(name) if name else next(iter(looks.numbers), None)


def _chart(
    looks: Looks, number: Number | None, parameters: Parameters, maps: Mapping[str, Any]
) -> tuple[ChartKind, Axis | None]:
    """The chart and, of bars and maps, what they are by."""
    asked = _one(parameters, "chart")
    known = charts(looks, number, maps)
    if asked and asked not in known:
        raise bad_value("chart", no_such("chart", asked, known))
    if number is None or asked == "rows":
        return "rows", None
    name = _one(parameters, "by")
    along = looks.shown_along(number)
    by = next((axis for axis in along if name in (axis.name, axis.column)), None)
    if name not in ("", TIME) and by is None:
        raise bad_value("by", no_such("axis", name, [TIME, *(axis.name for axis in along)]))
    if asked in ("line", "seasons"):
        return asked, None
    if by is None and asked == "bars" and name == TIME:
        return "bars", None
    if by is None and asked:
        mapped = [axis for axis in along if axis.name in maps]
        choice = mapped if asked == "map" else list(along)
        by = choice[-1] if choice else None
    if by is None:
        return ("line" if not asked else "bars"), None
    if asked == "map" and by.name not in maps:
        raise bad_value("by", no_such("map", by.name, [a.name for a in along if a.name in maps]))
    return (asked or ("map" if by.name in maps else "bars")), by


def charts(looks: Looks, number: Number | None, maps: Mapping[str, Any]) -> list[ChartKind]:
    """The charts that are fit for a number of this table."""
    found: list[ChartKind] = []
    if number is not None:
        found += ["line", "bars"]
        if any(axis.name in maps for axis in looks.shown_along(number)):
            found.append("map")
        if looks.time_name == "month":
            found.append("seasons")
    return [*found, "rows"]


def _split(looks: Looks, number: Number | None, chart: str, parameters: Parameters) -> Axis | None:
    name = _one(parameters, "split")
    if not name or number is None or chart != "line":
        return None
    along = looks.shown_along(number)
    found = next((axis for axis in along if name in (axis.name, axis.column)), None)
    if found is None:
        raise bad_value("split", no_such("axis", name, [axis.name for axis in along]))
    return found


async def _fixed(
    asking: Asking,
    looks: Looks,
    extent: Extent,
    number: Number | None,
    shown: tuple[str, ...],
    parameters: Parameters,
) -> tuple[dict[str, tuple[Any, ...]], dict[str, tuple[Value, ...]]]:
    """What is chosen of each axis, by default one value where one is needed; and the choices."""
    fixed: dict[str, tuple[Any, ...]] = {}
    values: dict[str, tuple[Value, ...]] = {}
    needed = {axis.column for axis in looks.fixed(number, shown)} if number else set()
    for axis in looks.axes if extent.version else ():
        kinds = {a.column: fixed[a.column][0] for a in looks.axes if a.kind and a.column in fixed}
        there = await asking.values(looks, extent, axis, kinds)
        values[axis.column] = there
        asked = [text for text in parameters.get(axis.name, ()) if text.strip()]
        chosen = tuple(dict.fromkeys(meant(axis.name, text, there) for text in asked))
        if not chosen and axis.column in needed and there:
            chosen = (there[0].key,)
        if chosen:
            fixed[axis.column] = chosen[:1] if axis.kind else chosen
    return fixed, values


def meant(name: str, text: str, there: Sequence[Value]) -> Any:
    """The value that a text means, by code or by name; ``Problem`` (422) names the nearest."""
    wanted = simple(text)
    by_key = [value for value in there if str(value.key) == text]
    by_text = [value for value in there if wanted in (simple(value.text), simple(_listed(value)))]
    found = by_key or by_text
    if len(found) == 1 or (found and by_key):
        return found[0].key
    if found:
        listed = ", ".join(str(value.key) for value in found[:12])
        raise bad_value(name, f"several are called {text!r}: give one of {listed}")
    near = nearest_word(text, [value.text for value in there])
    hint = f"; did you mean {near}?" if near else ""
    raise bad_value(name, f"there is no {text[:80]!r} in the last year of the table{hint}")


def _listed(value: Value) -> str:
    return f"{value.text} ({value.key})"


def simple(text: str) -> str:
    """A text without case and accents."""
    bare = unicodedata.normalize("NFD", text.strip().lower())
    return "".join(letter for letter in bare if not unicodedata.combining(letter))


def _day(parameters: Parameters, name: str) -> date | None:
    text = _one(parameters, name)
    if not text:
        return None
    # A year or a month is its first day, or of an end its last.
    whole = {4: f"{text}-01-01", 7: f"{text}-01"}.get(len(text), text)
    try:
        day = date.fromisoformat(whole)
    except ValueError:
        raise bad_value(name, "should be a date as YYYY-MM-DD, YYYY-MM or YYYY") from None
    if not 1000 < day.year < 9000:
        raise bad_value(name, "should be a date of the years 1001 to 8999")
    if name == "to" and len(text) in (4, 7):
        return periods.last_day(day, "year" if len(text) == 4 else "month")
    return day


def _at(
    looks: Looks, extent: Extent, number: Number | None, chart: str, parameters: Parameters
) -> date | None:
    """The first day of the period of bars or a map; ``None``: all periods together."""
    if chart not in ("bars", "map") or number is None or extent.last is None:
        return None
    if _one(parameters, "at") == ALL:
        if not number.adds_up:
            raise bad_value("at", "choose one period: these numbers are never added up")
        return None
    return periods.floor(_day(parameters, "at") or extent.last, looks.time_name)


def _days(
    looks: Looks, extent: Extent, chart: str, at: date | None, parameters: Parameters
) -> tuple[date | None, date | None]:
    if at is not None:
        return at, periods.last_day(at, looks.time_name)
    first, last = _day(parameters, "from"), _day(parameters, "to")
    if first and last and last < first:
        raise bad_value("to", "is before from")
    end = last or extent.last
    if looks.time_name == "day" and chart in ("line", "rows") and not first and end:
        # A longer line is asked for by its first day.
        first = end - timedelta(days=_DAYS_SHOWN)
        if extent.first and first < extent.first <= end:
            first = extent.first
    return first, last

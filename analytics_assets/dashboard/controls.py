"""The controls of a table's page, as fields of a form.

Belongs here: what is chosen and can be chosen -> fields.
Does not belong here: HTML (``templates/``), what a choice means (``choosing.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from analytics_assets.dashboard import periods
from analytics_assets.dashboard.choosing import ALL, SEVEN, Chosen, charts
from analytics_assets.dashboard.looks import TIME, Axis
from analytics_assets.dashboard.site import Site
from analytics_assets.dashboard.words import Language, period_text, word

_MOST_OPTIONS = 400
_MOST_CHECKED = 60


@dataclass(frozen=True)
class Option:
    """A choice of a field."""

    value: str
    text: str
    chosen: bool = False


@dataclass(frozen=True)
class Field:
    """A field of the form; ``group`` of a list: how the options are headed."""

    kind: Literal["select", "date", "checks", "search"]
    name: str
    label: str
    options: tuple[Option, ...] = ()
    value: str = ""
    least: str = ""
    most: str = ""
    values_at: str = ""


def fields(site: Site, chosen: Chosen, name: str, language: Language) -> list[Field]:
    """All fields of a table's page, in the order in which one decides."""
    number = chosen.number
    found = []
    if number is not None:
        found.append(_measures(site, chosen, language))
    kinds = charts(chosen.looks, number, site.maps(chosen.looks))
    options = tuple(Option(kind, word(kind, language), kind == chosen.chart) for kind in kinds)
    if len(options) > 1:
        found.append(Field("select", "chart", word("chart", language), options))
    found += _along(site, chosen, language)
    found += _times(chosen, language)
    found += [
        field for axis in chosen.looks.axes for field in _axis(site, chosen, axis, name, language)
    ]
    found += _ways(chosen, language)
    return found


def _measures(site: Site, chosen: Chosen, language: Language) -> Field:
    domain = chosen.looks.table.domain
    options = tuple(
        Option(one.name, site.label(domain, one.name, language), one == chosen.number)
        for one in chosen.looks.numbers
    )
    return Field("select", "measure", word("measure", language), options)


def _along(site: Site, chosen: Chosen, language: Language) -> Iterator[Field]:
    domain = chosen.looks.table.domain
    if chosen.number is None or chosen.chart not in ("line", "bars", "map"):
        return
    along = chosen.looks.shown_along(chosen.number)
    if chosen.chart == "map":
        along = tuple(axis for axis in along if axis.name in site.maps(chosen.looks))
    now = chosen.split if chosen.chart == "line" else chosen.by
    options = [Option(a.name, site.label(domain, a.name, language), a == now) for a in along]
    if not options:
        return
    if chosen.chart == "line":
        options.insert(0, Option("", word("none", language), now is None))
        yield Field("select", "split", word("split", language), tuple(options))
        return
    if chosen.chart == "bars":
        options.insert(0, Option(TIME, word("time", language), now is None))
    yield Field("select", "by", word("by", language), tuple(options))


def _times(chosen: Chosen, language: Language) -> Iterator[Field]:
    first, last, unit = chosen.extent.first, chosen.extent.last, chosen.looks.time_name
    if first is None or last is None:
        return
    if chosen.chart in ("bars", "map") and chosen.by is not None:
        adds = bool(chosen.number and chosen.number.adds_up)
        days = list(periods.between(first, last, unit)) if unit != "day" else []
        if not days or len(days) > _MOST_OPTIONS:
            value = chosen.at.isoformat() if chosen.at else ""
            limits = first.isoformat(), last.isoformat()
            yield Field("date", "at", word("at", language), (), value, *limits)
            return
        options = [
            Option(day.isoformat(), period_text(day, unit, language), day == chosen.at)
            for day in reversed(days)
        ]
        if adds:
            options.append(Option(ALL, word("all_periods", language), chosen.at is None))
        yield Field("select", "at", word("at", language), tuple(options))
        return
    for name, day in zip(("from", "to"), chosen.days, strict=True):
        value = day.isoformat() if day else ""
        limits = first.isoformat(), periods.last_day(last, unit).isoformat()
        yield Field("date", name, word(name, language), (), value, *limits)


def _axis(site: Site, chosen: Chosen, axis: Axis, name: str, language: Language) -> Iterator[Field]:
    if chosen.by == axis or not chosen.values.get(axis.column):
        return
    values, now = chosen.values[axis.column], chosen.fixed.get(axis.column, ())
    text = site.value_text(chosen.looks, chosen.fixed, language)
    label = site.label(chosen.looks.table.domain, axis.name, language)
    needed = chosen.number is not None and axis in chosen.looks.fixed(
        chosen.number, tuple(a.column for a in (chosen.by, chosen.split) if a)
    )
    if len(values) > _MOST_OPTIONS:
        shown = next((v.text for v in values if v.key in now), "")
        alike = sum(v.text == shown for v in values) > 1
        value = ", ".join(str(key) for key in now) if alike or len(now) > 1 else shown
        at = f"tables/{name}/values/{axis.name}"
        yield Field("search", axis.name, label, (), value, values_at=at)
        return
    options = [Option(str(v.key), text(axis.column, v.key, v.text), v.key in now) for v in values]
    if chosen.split == axis and len(values) <= _MOST_CHECKED:
        yield Field("checks", axis.name, label, tuple(options))
        return
    if not needed:
        options.insert(0, Option("", word("all", language), not now))
    yield Field("select", axis.name, label, tuple(options))


def _ways(chosen: Chosen, language: Language) -> Iterator[Field]:
    if chosen.chart != "line":
        return
    if chosen.looks.time_name == "day":
        options = (
            Option("", word("daily", language), not chosen.mean),
            Option(str(SEVEN), word("mean", language), chosen.mean),
        )
        yield Field("select", "mean", word("value", language), options)
    options = (
        Option("", word("absolute", language), not chosen.index),
        Option("1", word("index", language), chosen.index),
    )
    yield Field("select", "index", word("scale", language), options)

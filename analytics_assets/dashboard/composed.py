"""Composed pages: what a domain declares of them, read and drawn.

Belongs here: controls and parts -> what the page's template shows.
Does not belong here: the words of the declaration (``declared.py``), single views.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from analytics_assets.api.errors import Problem, bad_value
from analytics_assets.core.refusals import no_such
from analytics_assets.dashboard import periods
from analytics_assets.dashboard.asking import Extent
from analytics_assets.dashboard.choosing import Parameters, choose, meant
from analytics_assets.dashboard.controls import Field, Option
from analytics_assets.dashboard.declared import Asked, Cards, Chart, Choice, Found, Page, Part
from analytics_assets.dashboard.drawing import Drawn, draw
from analytics_assets.dashboard.looks import Looks, Number
from analytics_assets.dashboard.site import Site
from analytics_assets.dashboard.words import (
    Language,
    labelled,
    number,
    period_text,
    with_unit,
    word,
)


@dataclass(frozen=True)
class Card:
    """A number of a year: text, change to the year before as text, and which way it goes."""

    label: str
    value: str
    change: str
    way: str
    help: str


@dataclass(frozen=True)
class Shown:
    """A part of a page: one of cards, a view with the address of its own page, or a domain's."""

    title: str
    about: str = ""
    cards: tuple[Card, ...] = ()
    drawn: Drawn | None = None
    address: str = ""
    csv: str = ""
    found: Found | None = None
    wide: bool = False


@dataclass(frozen=True)
class Composed:
    """A page: its fields, its parts, and what was chosen, as an address has it."""

    fields: tuple[Field, ...]
    parts: tuple[Shown, ...]
    chosen: Mapping[str, str]


async def compose(
    site: Site, domain: str, page: Page, parameters: Parameters, language: Language
) -> Composed:
    """Read and draw a page; ``Problem`` (422) for a choice that there is not."""
    fields, chosen = await _controls(site, page, parameters, language)
    made = [_part(site, page, part, chosen, language) for part in page.parts]
    parts = [part for part in await asyncio.gather(*made) if part is not None]
    return Composed(tuple(fields), tuple(parts), chosen)


# ---- controls -----------------------------------------------------------------------------------


async def _controls(
    site: Site, page: Page, parameters: Parameters, language: Language
) -> tuple[list[Field], dict[str, str]]:
    known = {choice.name for choice in page.controls} | {"from", "to", *page.free}
    for name in parameters:
        if name not in known:
            raise bad_value(name[:100], no_such("choice", name[:100], sorted(known)))
    fields: list[Field] = []
    chosen: dict[str, str] = {}
    for choice in page.controls:
        field, value = await _control(site, choice, parameters, language)
        fields.append(field)
        chosen[choice.name] = value
    for name in page.free:
        chosen[name] = (list(parameters.get(name, ())) or [""])[-1]
    if page.dates and page.dates in site.by_key:
        extent = await site.asking.extent(site.looks[site.by_key[page.dates]])
        fields += _range(extent, parameters, chosen, language)
    return fields, chosen


async def _control(
    site: Site, choice: Choice, parameters: Parameters, language: Language
) -> tuple[Field, str]:
    options = [(value, text.to(language)) for value, text in choice.options.items()]
    if choice.of_table in site.by_key:
        options += await _of_table(site, choice, language)
    given = [text.strip() for text in parameters.get(choice.name, ()) if text.strip()]
    asked = given[-1] if given else ""
    values = [value for value, _ in options]
    if asked and asked not in values:
        near = [value for value, text in options if text.casefold() == asked.casefold()]
        if len(near) != 1:
            raise bad_value(choice.name, no_such("choice", asked[:100], values))
        asked = near[0]
    usual = choice.default if choice.default in values else values[0] if values else ""
    value = asked or usual
    made = tuple(Option(own, text, own == value) for own, text in options)
    return Field("select", choice.name, choice.label.to(language), made), value


async def _of_table(site: Site, choice: Choice, language: Language) -> list[tuple[str, str]]:
    """The values of an axis; of time, the years or months, the last one first."""
    looks = site.looks[site.by_key[choice.of_table]]
    extent = await site.asking.extent(looks)
    if choice.axis == looks.time_name:
        if extent.first is None or extent.last is None:
            return []
        days = list(periods.between(extent.first, extent.last, choice.axis))
        length = {"year": 4, "month": 7}.get(choice.axis, 10)
        return [
            (day.isoformat()[:length], period_text(day, choice.axis, language))
            for day in reversed(days)
        ]
    axis = looks.axis(choice.axis)
    if axis is None or not extent.version:
        return []
    text = site.value_text(looks, {}, language)
    kinds: dict[str, Any] = {}
    there = await site.asking.values(looks, extent, axis, kinds)
    return [(str(value.key), text(axis.column, value.key, value.text)) for value in there]


def _range(
    extent: Extent, parameters: Parameters, chosen: dict[str, str], language: Language
) -> list[Field]:
    """First and last day, by default the last four weeks of the table."""
    if extent.first is None or extent.last is None:
        return []
    found = []
    defaults = {"from": max(extent.first, extent.last - timedelta(days=27)), "to": extent.last}
    for name, default in defaults.items():
        given = [text for text in parameters.get(name, ()) if text.strip()]
        try:
            day = date.fromisoformat(given[-1]) if given else default
        except ValueError:
            raise bad_value(name, "should be a date as YYYY-MM-DD") from None
        chosen[name] = day.isoformat()
        limits = extent.first.isoformat(), extent.last.isoformat()
        found.append(Field("date", name, word(name, language), (), day.isoformat(), *limits))
    if chosen["to"] < chosen["from"]:
        raise bad_value("to", "is before from")
    return found


# ---- parts --------------------------------------------------------------------------------------


async def _part(
    site: Site, page: Page, part: Part, chosen: Mapping[str, str], language: Language
) -> Shown | None:
    title = part.title.to(language)
    if isinstance(part, Chart):
        return await _chart(site, part, chosen, language)
    if isinstance(part, Cards):
        return await _cards(site, part, chosen, language)
    tables = {looks.table.key: looks.table for looks in site.looks.values()}

    def link(path: str, **more: Any) -> str:
        return f"{path}?{urlencode({**more, 'lang': language})}"

    asked = Asked(chosen, language, site.asking.database, tables, link)
    try:
        found = await part.read(asked)
    except Problem as problem:
        if problem.code != "not_promoted":
            raise
        found = Found(empty=word("not_promoted", language))
    return Shown(title, found=found, wide=part.wide) if found else None


async def _chart(
    site: Site, part: Chart, chosen: Mapping[str, str], language: Language
) -> Shown | None:
    asked = part.ask(chosen)
    if asked is None:
        return None
    title, about = part.title.to(language), part.about.to(language) if part.about else ""
    wanted = {name: value for name, value in asked.items() if value not in ("", None)}
    name = site.by_key.get(wanted.pop("table"))
    if name is None:
        return Shown(title, about, drawn=_empty(title, "not_promoted", language))
    looks = site.looks[name]
    parameters = {
        key: list(map(str, value)) if isinstance(value, (list, tuple)) else [str(value)]
        for key, value in wanted.items()
    }
    try:
        view = await choose(site.asking, looks, parameters, site.maps(looks))
    except Problem as problem:
        # What is chosen of one table need not be in another: a place without births.
        if problem.code != "invalid_value":
            raise
        return Shown(
            title, about, drawn=Drawn(title, "", None, (), (), empty=word("empty_place", language))
        )
    asked_for = {*parameters, *(axis.column for axis in looks.axes if axis.name in parameters)}
    if view.number and any(
        axis.column not in asked_for
        for axis in looks.fixed(view.number, tuple(a.column for a in (view.by, view.split) if a))
    ):
        # A page that speaks of all places does not show the first of them instead.
        return Shown(title, about, drawn=_empty(title, "needs_one", language))
    drawn = await draw(site, view, language, title)
    return Shown(
        title,
        about,
        drawn=drawn,
        address=view.address(f"tables/{name}", lang=language),
        csv=view.address(f"tables/{name}.csv", lang=language),
        wide=part.wide,
    )


def _empty(title: str, why: str, language: Language) -> Drawn:
    return Drawn(title, "", None, (), (), empty=word(why, language))


async def _cards(
    site: Site, part: Cards, chosen: Mapping[str, str], language: Language
) -> Shown | None:
    asked = part.ask(chosen)
    if asked is None or not asked["year"]:
        return None
    year, places = int(asked["year"]), asked.get("is", {})
    yearly = site.by_key.get(asked["yearly"])
    daily = site.by_key.get(asked.get("daily", ""))
    title = part.title.to(language)
    if yearly is None:
        return Shown(title, drawn=_empty(title, "not_promoted", language))
    looks = site.looks[yearly]
    last = await _last_day(site, daily, year)
    whole = last is None or (last.month, last.day) == (12, 31)
    days = (date(year, 1, 1), date(year, 12, 31))
    if last and not whole and daily and not site.looks[daily].promoted.withholds:
        looks, days = site.looks[daily], (date(year, 1, 1), last)
    before = (periods.year_before(days[0]), periods.year_before(days[1]))
    numbers = [one for name in part.measures if (one := looks.number(name))]
    fixed = await _placed(site, looks, places)
    if fixed is None:
        return Shown(title, drawn=_empty(title, "empty_place", language))
    now = await site.asking.totals(looks, numbers, fixed, days)
    then = await site.asking.totals(looks, numbers, fixed, before)
    compares = whole or looks is not site.looks[yearly]
    if not whole and not compares:
        about = word("unfinished", language)
    elif whole:
        about = word("whole_year", language, year=year, before=year - 1)
    else:
        first, end = (period_text(day, "day", language) for day in days)
        about = word("same_days", language, first=first, last=end)
    cards = tuple(
        _card(
            site, looks, one, now.get(one.name), then.get(one.name) if compares else None, language
        )
        for one in numbers
    )
    if all(value is None for value in now.values()) and not looks.promoted.withholds:
        return Shown(title, about, drawn=_empty(title, "empty_place", language))
    return Shown(title, about, cards, wide=True)


async def _last_day(site: Site, daily: str | None, year: int) -> date | None:
    """The last day that a year has data of; ``None`` for a year that is over or not known."""
    if daily is None:
        return None
    extent = await site.asking.extent(site.looks[daily])
    return extent.last if extent.last and extent.last.year == year else None


async def _placed(
    site: Site, looks: Looks, places: Mapping[str, str]
) -> dict[str, tuple[Any, ...]] | None:
    """Column -> the value chosen of its axis; ``None`` where the table does not have it."""
    fixed: dict[str, tuple[Any, ...]] = {}
    extent = await site.asking.extent(looks)
    for name, text in places.items():
        axis = looks.axis(name)
        if not text or axis is None:
            continue
        there = await site.asking.values(looks, extent, axis, {})
        try:
            fixed[axis.column] = (meant(name, text, there),)
        except Problem:
            return None
    return fixed


def _card(
    site: Site,
    looks: Looks,
    one: Number,
    now: float | None,
    then: float | None,
    language: Language,
) -> Card:
    display = site.display(looks, one.name)
    label = site.label(looks.table.domain, one.name, language)
    described = site.description(looks, one, language)
    if now is None:
        hidden = word("withheld" if looks.promoted.withholds else "no_value", language)
        return Card(label, hidden, "", "", described)
    scaled = now * display.scale
    digits = (
        display.digits if display.digits is not None else 1 if display.unit == "percent" else None
    )
    says = labelled(label, display.unit, language) == label
    value = with_unit(scaled, "" if says else display.unit, language, digits)
    if then is None or (not then and display.unit != "percent"):
        return Card(label, value, word("no_before", language), "", described)
    if display.unit == "percent":
        change = scaled - then * display.scale
        text = f"{_signed(change, language)} {word('points', language)}"
    else:
        change = 100 * (now - then) / then
        text = f"{_signed(change, language)}%"
    way = "up" if change > 0.05 else "down" if change < -0.05 else "same"
    return Card(label, value, text, way, described)


def _signed(value: float, language: Language) -> str:
    sign = "+" if value >= 0.05 else "\N{MINUS SIGN}" if value <= -0.05 else "±"
    return f"{sign}{number(abs(value), language, 1)}"

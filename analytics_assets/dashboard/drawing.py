"""A view as a page shows it: figure, numbers in a table, and sentences beside them.

Belongs here: result -> picture and table, the same for derived and composed pages.
Does not belong here: HTML (``templates/``), traces (``figures.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from analytics_assets.dashboard import figures, shapes
from analytics_assets.dashboard.choosing import Chosen
from analytics_assets.dashboard.declared import Display, MapOf, Seats, Tiles
from analytics_assets.dashboard.figures import Figure
from analytics_assets.dashboard.results import Result, find
from analytics_assets.dashboard.site import Site
from analytics_assets.dashboard.words import (
    NOTHING,
    TO,
    Language,
    common_digits,
    labelled,
    number,
    period_text,
    plain,
    with_unit,
    word,
)

PAGE_ROWS = 100


@dataclass(frozen=True)
class Drawn:
    """A chart, its numbers as a table, and what has to be said; ``empty`` says why nothing is."""

    title: str
    summary: str
    figure: Figure | None
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    empty: str = ""
    more: tuple[str, str] = ("", "")


async def draw(site: Site, chosen: Chosen, language: Language, title: str = "") -> Drawn:
    """Ask production for a view, and draw it; raises ``Problem``."""
    looks, chosen_number = chosen.looks, chosen.number
    if not chosen.extent.version:
        return Drawn(title, "", None, (), (), empty=word("not_promoted", language))
    if chosen.chart == "rows" or chosen_number is None:
        return await _rows(site, chosen, language)
    display = site.display(looks, chosen_number.name)
    named = site.value_text(looks, chosen.fixed, language)
    order = site.value_order(looks, chosen.by.column, chosen.fixed) if chosen.by else None
    result = await find(site.asking, chosen, language, named, display, order)
    title = title or heading(site, chosen, language)
    if result.empty:
        return Drawn(title, "", None, (), (), empty=_why_empty(chosen, language))
    unit = "" if chosen.index else display.unit
    figure, notes = await _figure(site, chosen, result, title, unit, language)
    columns, rows = _numbers(site, chosen, result, display, language)
    notes += _notes(chosen, result, language)
    return Drawn(title, _summary(result, unit, language), figure, columns, rows, tuple(notes))


def heading(site: Site, chosen: Chosen, language: Language) -> str:
    """What a view shows, in a line: the measure, of what, by what."""
    domain = chosen.looks.table.domain
    assert chosen.number
    text = site.value_text(chosen.looks, chosen.fixed, language)
    parts = [site.label(domain, chosen.number.name, language)]
    if chosen.mean:
        parts.append(word("mean", language).lower())
    for column, keys in chosen.fixed.items():
        names = {value.key: value.text for value in chosen.values.get(column, ())}
        if len(keys) == 1:
            parts.append(text(column, keys[0], names.get(keys[0])))
    if chosen.by is not None:
        by = (
            f"{word('by', language).lower()} {site.label(domain, chosen.by.name, language).lower()}"
        )
        when = (
            period_text(chosen.at, chosen.looks.time_name, language)
            if chosen.at
            else word("all_periods", language).lower()
        )
        parts += [by, when]
    elif chosen.split is not None:
        axis = site.label(domain, chosen.split.name, language).lower()
        parts.append(f"{word('by', language).lower()} {axis}")
    return ", ".join(parts)


async def _figure(
    site: Site, chosen: Chosen, result: Result, title: str, unit: str, language: Language
) -> tuple[Figure, list[str]]:
    if chosen.chart == "map" and chosen.by is not None:
        drawn = site.maps(chosen.looks)[chosen.by.name]
        return await _map(site, drawn, chosen.by.name, result, title, unit, language)
    if chosen.chart == "seasons":
        return figures.seasons(result, title, unit, language), []
    time = chosen.looks.time_name
    if chosen.chart == "bars":
        if chosen.by is not None:
            return figures.bars(result, title, unit, language), []
        return figures.columns(result, title, unit, language, time), []
    return figures.line(result, title, unit, language, time), []


async def _map(
    site: Site,
    drawn: MapOf,
    axis: str,
    result: Result,
    title: str,
    unit: str,
    language: Language,
) -> tuple[Figure, list[str]]:
    path = shapes.kept(site.settings, axis) if drawn.shapes else None
    if path is not None:
        address = f"shapes/{axis}.geojson?v={int(path.stat().st_mtime)}"
        return figures.shapes(result, address, shapes.digits(path), title, unit, language), []
    if isinstance(drawn.drawn, Tiles):
        figure = figures.tiles(result, drawn.drawn, title, unit, language)
        known, said = drawn.drawn.places.keys(), word("tiles", language)
    else:
        places = await _places(site, drawn.drawn)
        figure = figures.seats(result, places, title, unit, language, unit != "percent")
        known, said = places.keys(), word("seats", language)
    (series,) = result.series
    apart = [
        f"{text} {with_unit(series.values[n], unit, language)}".strip()
        for n, (key, text) in enumerate(zip(result.keys, result.texts, strict=True))
        if str(key) not in known
    ]
    notes = [said]
    if apart:
        rest = f" … (+{len(apart) - 5})" if len(apart) > 5 else ""
        notes.append(word("places_apart", language, places="; ".join(apart[:5]) + rest))
    return figure, notes


async def _places(site: Site, drawn: Seats) -> Mapping[str, tuple[float, float]]:
    name = site.by_key.get(drawn.table)
    if name is None:
        return {}
    looks = site.looks[name]
    return await site.asking.seats(looks, (drawn.key, drawn.latitude, drawn.longitude))


def _numbers(
    site: Site, chosen: Chosen, result: Result, display: Display, language: Language
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The numbers of a figure as a table: a row a key, a column a series."""
    domain = chosen.looks.table.domain
    assert chosen.number
    along = chosen.by.name if chosen.by else chosen.looks.time_name or "time"
    unit = "" if chosen.index else display.unit
    head = site.label(domain, along, language)
    measure = site.label(domain, chosen.number.name, language)
    names = [series.name or measure for series in result.series]
    columns = (head, *(labelled(name, unit, language) for name in names))
    every = [value for series in result.series for value in series.values]
    digits = 1 if chosen.index else display.digits
    digits = common_digits(every) if digits is None else digits
    rows = []
    order: Sequence[int] = range(len(result.keys))
    if chosen.by is None and chosen.chart != "seasons":
        order = list(reversed(order))  # the latest first
    for n in order:
        cells = [
            _cell(series.values[n], n in series.withheld, digits, language)
            for series in result.series
        ]
        rows.append((result.texts[n], *cells))
    return columns, tuple(rows)


def _cell(value: float | None, withheld: bool, digits: int | None, language: Language) -> str:
    if value is None:
        return word("withheld", language) if withheld else NOTHING
    return number(value, language, digits)


def _notes(chosen: Chosen, result: Result, language: Language) -> list[str]:
    notes = []
    if any(series.withheld for series in result.series):
        notes.append(word("withheld_why", language))
    if chosen.chart in ("line", "seasons") and not figures.from_zero(result):
        notes.append(word("zero", language))
    if chosen.chart == "bars" and chosen.by and len(result.keys) > figures.MOST_BARS:
        shown = number(figures.MOST_BARS, language)
        total = number(len(result.keys), language)
        notes.append(word("only_first", language, shown=shown, total=total))
    elif chosen.chart == "line" and result.total > len(result.series):
        notes.append(
            word(
                "only_first",
                language,
                shown=len(result.series),
                total=number(result.total, language),
            )
        )
    return notes


def _summary(result: Result, unit: str, language: Language) -> str:
    """The figure in words, for those who do not see it."""
    said = []
    for series in result.series[:8]:
        known = [(n, value) for n, value in enumerate(series.values) if value is not None]
        if not known:
            continue
        low, high = min(known, key=lambda p: p[1]), max(known, key=lambda p: p[1])
        name = f"{series.name}: " if series.name else ""
        ends = [f"{with_unit(v, unit, language)} ({result.texts[n]})" for n, v in (low, high)]
        said.append(f"{name}{ends[0]} {TO} {ends[1]}")
    return "; ".join(said)


def _why_empty(chosen: Chosen, language: Language) -> str:
    first, last = chosen.extent.first, chosen.extent.last
    outside = first and last and any(day and (day > last or day < first) for day in chosen.days)
    if first and last and (outside or not chosen.fixed):
        unit = chosen.looks.time_name
        return word(
            "empty_range",
            language,
            first=period_text(first, unit, language),
            last=period_text(last, unit, language),
        )
    # Where small cells are withheld, a row whose total is small is not there at all.
    hidden = f" {word('withheld_why', language)}" if chosen.looks.promoted.withholds else ""
    return word("empty_place", language) + hidden


async def _rows(site: Site, chosen: Chosen, language: Language) -> Drawn:
    looks = chosen.looks
    total = await site.asking.count(looks, chosen.fixed, chosen.days)
    found = await site.asking.rows(looks, chosen.fixed, chosen.days, PAGE_ROWS, chosen.offset)
    domain = looks.table.domain
    columns = tuple(
        labelled(site.label(domain, column.name, language), column.unit, language)
        for column in looks.promoted.all_columns
    )
    hidden = [_hides(looks.promoted, column.name) for column in looks.promoted.all_columns]
    rows = tuple(
        tuple(
            word("withheld", language) if value is None and hides else _plain(value, language)
            for value, hides in zip(row, hidden, strict=True)
        )
        for row in found
    )
    notes = []
    if total > len(found):
        shown = f"{chosen.offset + 1}{TO}{chosen.offset + len(found)}"
        notes.append(word("first_rows", language, shown=shown, total=number(total, language)))
    before = str(max(0, chosen.offset - PAGE_ROWS)) if chosen.offset else ""
    after = str(chosen.offset + PAGE_ROWS) if chosen.offset + len(found) < total else ""
    empty = "" if found else _why_empty(chosen, language)
    title = word("rows", language)
    return Drawn(title, "", None, columns, rows, tuple(notes), empty, (before, after))


def _hides(table: Any, name: str) -> bool:
    return bool(
        table.withholds
        and table.measures
        and name in {measure.name for measure in table.measures.measures}
    )


def _plain(value: Any, language: Language) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10_000:
        return number(value, language)
    return value.isoformat() if type(value) is date else plain(value, language)

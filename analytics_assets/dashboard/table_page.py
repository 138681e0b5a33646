"""The page of one promoted table, from its declaration.

Belongs here: parameters -> controls, chart, numbers; and the same numbers for CSV.
Does not belong here: HTML, the parts of a view.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from analytics_assets.api.errors import bad_value
from analytics_assets.core.refusals import no_such
from analytics_assets.dashboard.choosing import Chosen, Parameters, choose
from analytics_assets.dashboard.controls import Field, fields
from analytics_assets.dashboard.drawing import Drawn, draw
from analytics_assets.dashboard.looks import RESERVED, Looks
from analytics_assets.dashboard.results import find
from analytics_assets.dashboard.site import Site
from analytics_assets.dashboard.words import Language, unit_text, word

MOST_CSV_ROWS = 100_000


@dataclass(frozen=True)
class Shown:
    """What the page shows: the view, its controls, and what was drawn of it."""

    chosen: Chosen
    fields: tuple[Field, ...]
    drawn: Drawn
    description: str


async def shown(
    site: Site, name: str, looks: Looks, parameters: Parameters, language: Language
) -> Shown:
    """The page as these parameters have it; ``Problem`` (422) names a wrong one."""
    chosen = await _chosen(site, looks, parameters)
    drawn = await draw(site, chosen, language)
    described = ""
    if chosen.number and chosen.chart != "rows":
        described = site.description(looks, chosen.number, language)
        if not chosen.number.adds_up and looks.axes:
            described += " " + word("needs_one", language)
    return Shown(chosen, tuple(fields(site, chosen, name, language)), drawn, described)


async def _chosen(site: Site, looks: Looks, parameters: Parameters) -> Chosen:
    known = [
        *(axis.name for axis in looks.axes),
        *sorted(RESERVED - {"lang"}),
    ]
    columns = [axis.column for axis in looks.axes]
    for name in parameters:
        if name not in known and name not in columns:
            raise bad_value(name, no_such("choice", name, known))
    renamed = {
        axis.name: [*parameters.get(axis.name, ()), *parameters.get(axis.column, ())]
        for axis in looks.axes
        if axis.name != axis.column
    }
    return await choose(site.asking, looks, {**parameters, **renamed}, site.maps(looks))


async def csv_of(
    site: Site, looks: Looks, parameters: Parameters, language: Language
) -> tuple[list[str], Iterator[Sequence[Any]]]:
    """Columns and rows of a view as plain numbers; what is withheld says so."""
    chosen = await _chosen(site, looks, parameters)
    if chosen.chart == "rows" or chosen.number is None:
        columns = [column.name for column in looks.promoted.all_columns]
        rows = (
            await site.asking.rows(looks, chosen.fixed, chosen.days, MOST_CSV_ROWS, chosen.offset)
            if chosen.extent.version
            else []
        )
        return columns, (tuple(_safe(value) for value in row) for row in rows)
    display = site.display(looks, chosen.number.name)
    named = site.value_text(looks, chosen.fixed, language)
    order = site.value_order(looks, chosen.by.column, chosen.fixed) if chosen.by else None
    result = await find(site.asking, chosen, language, named, display, order)
    unit = "" if chosen.index else unit_text(display.unit, language)
    label = f"{chosen.number.name} [{unit}]" if unit else chosen.number.name
    along = chosen.by.name if chosen.by else looks.time_name or "time"
    hidden = word("withheld", language)
    columns = [along, *(["name"] if chosen.by else [])]
    columns += [_safe(series.name) or label for series in result.series]

    def lines() -> Iterator[Sequence[Any]]:
        for n, key in enumerate(result.keys):
            values = [
                hidden if n in series.withheld else series.values[n] for series in result.series
            ]
            yield [_safe(key), *([_safe(result.texts[n])] if chosen.by else []), *values]

    return columns, lines()


def _safe(value: Any) -> Any:
    """A text that no spreadsheet takes for a formula."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value

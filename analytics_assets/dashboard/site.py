"""What the pages are made of: the promoted tables, what domains declare of them, and words.

Belongs here: finding a table, a page, a label, a name of a value, a map.
Does not belong here: answering a request (``app.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from analytics_assets.api.errors import Problem
from analytics_assets.api.lists import named, table_name
from analytics_assets.core.declaration import Table
from analytics_assets.dashboard import operations
from analytics_assets.dashboard.asking import Asking
from analytics_assets.dashboard.declared import Display, DomainPages, MapOf, Page
from analytics_assets.dashboard.looks import ROWS, TIME, Looks, Number
from analytics_assets.dashboard.words import NOTHING, Language, Text, humanized, plain, word
from analytics_assets.settings import Settings


@dataclass(frozen=True)
class Site:
    """The promoted tables, and what each domain declares beside them."""

    tables: Sequence[Table]
    declared: Mapping[str, DomainPages]
    asking: Asking
    settings: Settings

    @cached_property
    def looks(self) -> dict[str, Looks]:
        """``domain.table`` -> the ways to look at it."""
        return {name: Looks(table) for name, table in named(self.tables).items()}

    @cached_property
    def by_key(self) -> dict[str, str]:
        """A table's key, and that of the table whose public rows it has -> ``domain.table``."""
        tables = {name: looks.table for name, looks in self.looks.items()}
        published = {f"{t.domain}/{t.published_name}": name for name, t in tables.items()}
        return published | {table.key: name for name, table in tables.items()}

    @cached_property
    def pages(self) -> dict[str, tuple[str, Page]]:
        """Name of a composed page -> its domain and itself; that of operations is of none."""
        found = {
            page.name: (domain, page) for domain, own in self.declared.items() for page in own.pages
        }
        return found | {operations.PAGE.name: ("", operations.PAGE)}

    def find(self, name: str) -> Looks:
        """The table of that name, with or without schema; ``Problem`` (404) for none."""
        return self.looks[table_name(self.tables, name)]

    def page(self, name: str) -> tuple[str, Page]:
        """The composed page of that name; ``Problem`` (404) for none."""
        if name not in self.pages:
            listed = ", ".join(sorted(self.pages)) or "none"
            raise Problem(404, "not_found", f"There is no such page. There are: {listed}.")
        return self.pages[name]

    def own(self, domain: str) -> DomainPages:
        """What a domain declares; nothing for one that declares nothing."""
        return self.declared.get(domain, DomainPages())

    def maps(self, looks: Looks) -> Mapping[str, MapOf]:
        """Axis -> how its places lie."""
        return self.own(looks.table.domain).maps

    def display(self, looks: Looks, name: str) -> Display:
        """How a number of a table is shown: as declared, in its own unit otherwise."""
        own = self.own(looks.table.domain).display.get(looks.table.key, {})
        number = looks.number(name)
        return own.get(name) or Display(unit=number.unit if number else "")

    def label(self, domain: str, name: str, language: Language) -> str:
        """A column, measure or axis in words."""
        if name == TIME:
            return word("time", language)
        if name == ROWS:
            return word("number_rows", language)
        found = self.own(domain).labels.get(name)
        if isinstance(found, Text):
            return found.to(language)
        return found if found and language == "pt" else humanized(name)

    def description(self, looks: Looks, number: Number, language: Language) -> str:
        """What a number is; in English where no other words are declared."""
        found = self.own(looks.table.domain).descriptions if language == "pt" else {}
        return found.get(number.name, number.description)

    def value_order(
        self, looks: Looks, column: str, fixed: Mapping[str, Any]
    ) -> Callable[[Any], int] | None:
        """The declared place of a value of an axis, if there is one."""
        own = self.own(looks.table.domain).order.get(column)
        kinds = {name: str(chosen[0]) for name, chosen in fixed.items() if chosen}
        return (lambda value: own(str(value), kinds)) if own else None

    def value_text(self, looks: Looks, fixed: Mapping[str, Any], language: Language) -> Any:
        """A function of a column, its value and the name that production has: what is read."""
        own = self.own(looks.table.domain).values
        kinds = {column: str(chosen[0]) for column, chosen in fixed.items() if chosen}

        def text(column: str, value: Any, name: str | None) -> str:
            if column in own:
                return own[column](str(value), kinds, language)
            return name if isinstance(name, str) and name else plain(value, language) or NOTHING

        return text

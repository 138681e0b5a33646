"""The domains: every folder below ``domains``, and which of them this installation has.

Belongs here: finding domains, and asking the chosen ones for what they bring.
Does not belong here: the name of any domain, or anything that one is made of.
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg

from analytics_assets import domains
from analytics_assets.core.declaration import Table
from analytics_assets.core.domain import Domain
from analytics_assets.core.refusals import DeclarationError, explained
from analytics_assets.core.source import OutspokenSource, SourceError


@cache
def found() -> tuple[str, ...]:
    """The names of all domains, in the order of the alphabet."""
    return tuple(sorted(one.name for one in pkgutil.iter_modules(domains.__path__) if one.ispkg))


def chosen() -> tuple[str, ...]:
    """The domains of ``ANALYTICS_DOMAINS``, names by commas; all of them where it is not set.

    Raises ``SourceError`` naming what is no domain.
    """
    named = [name.strip() for name in os.environ.get("ANALYTICS_DOMAINS", "").split(",")]
    wanted = {name for name in named if name}
    if unknown := sorted(wanted.difference(found())):
        raise SourceError(
            f"no domain is called {', '.join(unknown)}",
            where="ANALYTICS_DOMAINS",
            to_do=f"There are {', '.join(found())}.",
        )
    return tuple(name for name in found() if name in wanted) if wanted else found()


@cache
def domain(name: str) -> Domain:
    """The object of a domain; ``DeclarationError`` where its folder does not give one."""
    where = f"{domains.__name__}.{name}.domain"
    if find_spec(where) is None:
        raise DeclarationError(
            f"domains/{name} has no domain.py. It has to give DOMAIN = Domain(...)."
        )
    given = getattr(_imported(name, where), "DOMAIN", None)
    if not isinstance(given, Domain):
        raise DeclarationError(f"domains/{name}/domain.py gives no DOMAIN that is a Domain.")
    for table in given.tables:
        if table.domain != name:
            raise table.refused(
                f"it is listed by the domain {name}; call it {name}/{table.name}, or list it there"
            )
    return given


def _imported(name: str, module: str) -> ModuleType:
    """A module of a domain; whatever stops it is one sentence with the line that it is of."""
    try:
        return import_module(module)
    except (DeclarationError, SourceError):
        raise
    except Exception as error:
        folders = [Path(folder) / name for folder in domains.__path__]
        folder = next((folder for folder in folders if folder.is_dir()), folders[0])
        raise explained(f"domains/{name}", error, folder) from error


def asked() -> Iterator[Domain]:
    """The chosen domains; only these are imported."""
    return map(domain, chosen())


def tables() -> tuple[Table, ...]:
    """All tables of the chosen domains."""
    return tuple(table for one in asked() for table in one.tables)


def definitions(names: Collection[str]) -> list[dg.Definitions]:
    """What these domains have in Dagster beside what derives from their tables."""
    given = [domain(name).definitions for name in found() if name in names]
    return [one for one in given if one]


def made_up() -> list[str]:
    """The chosen domains whose input is a generated sample."""
    return [name for name in chosen() if domain(name).is_made_up]


def last_jobs() -> list[str]:
    """Jobs of the chosen domains that are due when everything else is done."""
    return [one.last_job for one in asked() if one.last_job]


def routers() -> list[Any]:
    """``router`` of each chosen domain that has routes of its own."""
    modules = [f"{domains.__name__}.{name}.api" for name in chosen()]
    return [import_module(name).router for name in modules if find_spec(name)]


def pages() -> dict[str, Any]:
    """``PAGES`` of each chosen domain that says something of its pages in the dashboard."""
    modules = {name: f"{domains.__name__}.{name}.pages" for name in chosen()}
    return {
        name: import_module(module).PAGES for name, module in modules.items() if find_spec(module)
    }


def prepare() -> None:
    """The sample of each chosen domain whose setting names no source of its own."""
    for one in asked():
        for sample in one.samples:
            sample()


def problems(tables: Sequence[Table]) -> list[str]:
    """What is wrong with the input of these tables, a sentence each, none twice."""
    found: dict[str, None] = {}
    for table in tables:
        if isinstance(table.source, OutspokenSource):
            try:
                found |= dict.fromkeys(table.source.problems())
            except SourceError as error:
                found[str(error)] = None
    return list(found)

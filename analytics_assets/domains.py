"""The domains, and which of them this installation has.

Belongs here: the names of the domains, and asking each chosen one for what it brings.
Does not belong here: anything that a domain is made of.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from importlib import import_module

import dagster as dg

from analytics_assets.core.declaration import Table
from analytics_assets.core.source import SourceError

DOMAINS = ("births", "ad_metrics", "bank_kpis", "clinic", "behavior")
# The module of a domain that has Dagster objects beside those that derive from its tables.
_BESIDE = {"bank_kpis": "assets", "behavior": "monitoring"}
# The job of a domain that is due whenever everything else is done.
_LAST = {"bank_kpis": "bank_kpis_migration"}


def chosen() -> tuple[str, ...]:
    """The domains of ``ANALYTICS_DOMAINS``, names by commas; all of them where it is not set.

    Raises ``SourceError`` naming what is no domain.
    """
    named = [name.strip() for name in os.environ.get("ANALYTICS_DOMAINS", "").split(",")]
    wanted = {name for name in named if name}
    if unknown := sorted(wanted.difference(DOMAINS)):
        raise SourceError(
            f"no domain is called {', '.join(unknown)}",
            where="ANALYTICS_DOMAINS",
            to_do=f"There are {', '.join(DOMAINS)}.",
        )
    return tuple(name for name in DOMAINS if name in wanted) if wanted else DOMAINS


def tables() -> tuple[Table, ...]:
    """All tables of the chosen domains; only these are imported."""
    return tuple(table for name in chosen() for table in _module(name, "tables").TABLES)


def definitions(names: Collection[str]) -> list[dg.Definitions]:
    """What these domains have in Dagster beside what derives from their tables."""
    return [_module(name, _BESIDE[name]).DEFINITIONS for name in _BESIDE if name in names]


def last_jobs() -> list[str]:
    """Jobs of the chosen domains that are due when everything else is done."""
    return [_LAST[name] for name in _LAST if name in chosen()]


def prepare_landing() -> None:
    """The generated sample of each chosen domain whose setting names no source of its own; what
    of a source is refused is said on stderr."""
    for name in chosen():
        _module(name, "sources").prepare_landing()


def _module(domain: str, name: str):
    return import_module(f"analytics_assets.{domain}.{name}")

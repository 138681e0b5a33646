"""Which tables and partitions somebody means who writes their names.

Belongs here: reading names, and saying which is right where one is wrong.
Does not belong here: what is done with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets.core.refusals import nearest_word
from analytics_assets.core.source import SourceError

_RANGE, _A_DAY = "..", date(2024, 1, 1)


def named(tables: Sequence[Table], name: str) -> list[Table]:
    """The tables of ``*``, of a domain, or the one that is called so, in any of its spellings.

    Raises ``SourceError`` with the nearest right name.
    """
    exact = [t for t in tables if name in ("*", t.domain, t.key, t.sql_name)]
    found = exact or [t for t in tables if name in (t.name, t.published_name)]
    if not found or (not exact and len(found) > 1):
        known = [*(table.key for table in found or tables), *{t.domain for t in tables}]
        near = nearest_word(name, known)
        to_do = f"Did you mean {near!r}?" if near else "Write <domain>/<table>, or a domain."
        what = f"{len(found)} tables are" if found else f"no table or domain {name!r} is"
        raise SourceError(f"{what} called so", name, to_do)
    return found


def partitions(table: Table, written: Iterable[str]) -> list[str]:
    """The keys of ``2024-01`` and of ``2024-01..2024-03``; ``SourceError`` for what is none."""
    keys: dict[str, None] = {}
    for text in written:
        first, _, last = text.partition(_RANGE)
        try:
            start, end = table.period.window(first)[0], table.period.window(last or first)[1]
            if start >= end:
                raise ValueError("it ends before it begins")
        except ValueError as error:
            example = "all" if table.period is UNPARTITIONED else table.period.key(_A_DAY)
            raise SourceError(
                f"{text!r} is no partition of it",
                table.key,
                f"Write them as {example}, or {example}{_RANGE}{example} for a range.",
            ) from error
        keys |= dict.fromkeys(table.period.keys_between(start, end))
    return list(keys)

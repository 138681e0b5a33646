"""Declarations of what is promoted, without what builds it, from one process to another.

Belongs here: stripping a declaration, and bytes of it.
Does not belong here: the processes (``showing.py`` beside this package).
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import PERIODS, Period

# What a table is built and judged by, and what it is without.
_BUILDING: Mapping[str, Any] = {
    **dict.fromkeys(
        ("source", "sql", "compute", "rollup_of", "measured_from", "parts_of", "place")
    ),
    **dict.fromkeys(("reads", "checks", "proven_by"), ()),
    "reach": {},
    "decides": {},
}


def bare(table: Table) -> Table:
    """A table as production has it, without what builds it."""
    promoted = table.promoted
    assert promoted.publish
    # It is promoted already: asked again, it is itself.
    publish = replace(promoted.publish, measures=(), personal="promoted")
    kept = {field.name: getattr(promoted, field.name) for field in fields(Table)}
    found = object.__new__(Table)
    for name, value in {**kept, **_BUILDING, "publish": publish}.items():
        # A declaration without an origin would be refused, and this one is no new one.
        object.__setattr__(found, name, value)
    return found


class _Packer(pickle.Pickler):
    def persistent_id(self, value: Any) -> str | None:
        # There is one object of each period, which is compared as itself.
        return value.name if isinstance(value, Period) else None


class _Unpacker(pickle.Unpickler):
    def persistent_load(self, name: Any) -> Period:
        return next(period for period in PERIODS if period.name == name)


def packed(tables: Sequence[Table]) -> bytes:
    """Tables as bytes for a process of the same version."""
    into = io.BytesIO()
    _Packer(into).dump(list(tables))
    return into.getvalue()


def unpacked(given: bytes) -> list[Table]:
    """The tables again."""
    return list(_Unpacker(io.BytesIO(given)).load())

"""What the rows of a table mean, and by what they are judged: named parts, each with a digest.

Belongs here: which parts of a declaration can change rows (its meaning), which say whether rows are
good (its contract), and the words for how two of either differ.
Does not belong here: what is done about a difference (``warehouse/builds.py``).

What people alone read (descriptions, comments, layout) is in neither.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from analytics_assets.core.configured import Configured
from analytics_assets.core.contracts import rules
from analytics_assets.core.declaration import Table
from analytics_assets.core.rollups import build_sql
from analytics_assets.core.source import ConfiguredSource
from analytics_assets.core.sql_text import essential
from analytics_assets.core.used_code import used_code

Parts = dict[str, str]
_NAMED = 3


@dataclass(frozen=True)
class Meaning:
    """The parts of a declaration: ``rows`` can change rows, ``contract`` judges them."""

    rows: Parts
    contract: Parts

    @cached_property
    def code_version(self) -> str:
        """One word for what gives the rows."""
        return _digest(sorted(self.rows.items()))

    @cached_property
    def contract_version(self) -> str:
        """One word for what judges them."""
        return _digest(sorted(self.contract.items()))

    @cached_property
    def text(self) -> str:
        """As the build ledger keeps it."""
        return json.dumps([self.rows, self.contract], sort_keys=True)

    def changed_rows(self, before: str) -> str:
        """What of the rows' meaning differs from the text that was kept, in words."""
        was = _read(before)[0]
        changed = _listed(name for name, _ in _changes(was, self.rows))
        return f"its {changed} changed" if was and changed else "its declaration changed"

    def has_columns_of(self, before: str) -> bool:
        """Whether rows of the text that was kept have the same columns, and of the same types."""
        was = _read(before)[0]
        return not was or was.get("columns") == self.rows.get("columns")

    def changed_contract(self, before: str) -> str:
        """What of the contract differs from the text that was kept, in words."""
        was = _read(before)[1]
        changes = [f"its {name} {change}" for name, change in _changes(was, self.contract)]
        return "; ".join(_first(changes)) if was and changes else "its contract changed"


def meaning_of(table: Table) -> Meaning:
    """What the table's rows mean and are judged by, as declared now."""
    rows = {name: _digest(part) for name, part in _rows(table) if part}
    return Meaning(rows | _code(table), {name: _digest(p) for name, p in _contract(table) if p})


# ---- the parts ----------------------------------------------------------------------------------


def _rows(table: Table) -> Iterator[tuple[str, Any]]:
    yield "columns", [(column.name, column.type) for column in table.stored_columns]
    if table.measures:
        yield "measures", [(m.name, essential(m.sql), m.type) for m in table.measures.measures]
    yield "time axis", _time_axis(table)
    yield "partitions", table.period.name
    if table.slice_sql:
        yield "slices", [essential(table.slice_sql), table.slice_period and table.slice_period.name]
    yield "reach", sorted(table.reach.items())
    yield "reading of its own rows", table.reads_itself
    if table.source is None:
        yield "derived SQL" if table.rollup_of else "SQL", essential(build_sql(table))


def _time_axis(table: Table) -> list[Any]:
    axes = [dimension for dimension in table.grain if dimension.date_sql]
    # Only a rollup derives the columns of its axis; where SQL is written they stand in it.
    derived = [sorted(axis.from_date.items()) for axis in axes] if table.rollup_of else []
    return [table.time, *derived] if table.time else []


def _code(table: Table) -> Parts:
    """The code of the domain that gives the rows, definition by definition, and its settings."""
    made = Configured()
    if table.source is not None:
        whose, what = "source's code", "source's settings"
        made.add_source(table.source)
        if isinstance(table.source, ConfiguredSource):
            made.values += [f"{k}: {v}" for k, v in sorted(table.source.settings().items())]
    elif table.compute is not None:
        whose, what = "function", "function's settings"
        made.add(table.compute)
    else:
        return {}
    code = used_code(made.code, table.domain)
    parts = {f"{whose} ({place})": digest for place, digest in code.items()}
    return parts | {what: _digest(made.values)}


def _contract(table: Table) -> Iterator[tuple[str, Any]]:
    for rule in rules(table):
        yield f"rule {rule.name}", rule.broken_sql
    yield "unique key", table.unique_columns
    yield "rule one row for each row read", table.keeps_rows
    finer = table.rollup_of or table.measured_from
    if finer or table.parts_of:
        yield "reconciliation", _reconciliation(table, finer)
    yield "proof", table.proven_by
    for check in table.checks:
        at_fault = essential(check.at_fault)
        judged = (essential(check.sql), check.blocking, at_fault, check.told)
        # Most have no such column, as before there was any.
        yield f"check {check.name}", (*judged, check.warns) if check.warns else judged


def _reconciliation(table: Table, finer: Table | None) -> list[Any]:
    compared = table.measures.measures if finer and table.measures else ()
    return [
        finer and finer.key,
        table.each,
        essential(table.measured_where),
        table.parts_of and table.parts_of.key,
        # A sum is named by nothing, as before there was anything else.
        [(m.name, essential(m.sql), *([] if m.adds_up else [m.function])) for m in compared],
    ]


# ---- how two differ -----------------------------------------------------------------------------


def _read(text: str) -> tuple[Parts, Parts]:
    """Parts that were kept; none of an entry that a release without them wrote."""
    rows, contract = json.loads(text) if text else ({}, {})
    return rows, contract


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            yield name, "is new"
        elif name not in after:
            yield name, "is gone"
        elif before[name] != after[name]:
            yield name, "changed"


def _listed(names: Iterable[str]) -> str:
    """Names as people say them: places in the code are put together."""
    places: dict[str, list[str]] = {}
    for name in names:
        whose, _, place = name.removesuffix(")").partition(" (")
        places.setdefault(whose, []).extend([place] if place else [])
    said = [f"{whose} ({', '.join(_first(p))})" if p else whose for whose, p in places.items()]
    *others, last = said or [""]
    return f"{', '.join(others)} and {last}" if others else last


def _first(names: list[str]) -> list[str]:
    more = len(names) - _NAMED
    return [*names[:_NAMED], f"{more} more"] if more > 0 else names


def _digest(part: Any) -> str:
    return hashlib.sha256(repr(part).encode()).hexdigest()[:12]

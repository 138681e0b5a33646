"""What a promotion would change in production, and whether it may.

Belongs here: the difference between incoming and present rows, the gate, and versions on hold.
Does not belong here: moving rows (``promotion.py``).

A version on hold is not promoted until it is confirmed, or until the warehouse has another one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets.core.telling import number
from analytics_assets.production import encoding, records, schema
from analytics_assets.settings import user

_BOTH = ("before", "after")
_TOO_FEW = 30


def _said(total: int) -> str:
    shown = number(total, is_total=True)
    return shown if isinstance(shown, str) else f"{shown:,}"


@dataclass(frozen=True)
class Change:
    """How a partition in production changes: rows, and (before, after) of each total that does."""

    partition: str
    added: int
    removed: int
    changed: int
    totals: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def largest(self, table: Table) -> tuple[float, str]:
        """The greatest change of a total, as a share of the larger value, and its name.

        A measure is judged relative to the number of all that is counted, where the table has it:
        twice the births are expected to bring twice the twins. A dimension may grow. Small numbers
        come and go by chance; only a table that is left without a row counts however few they were.
        """
        measures = table.measures.measures if table.measures else ()
        late = {measure.name for measure in measures if measure.late}
        total = _total_of(table)
        whole = self.totals.get(total, (0, 0))
        growth = whole[1] / whole[0] if min(whole) > 0 else 1
        found = (0.0, "rows")
        for name, (before, after) in self.totals.items():
            if name in late or (table.layer == "dimensions" and after > before):
                continue
            expected = before if name in ("rows", total) else before * growth
            emptied = table.period is UNPARTITIONED and name == "rows" and not after
            if abs(after - expected) >= _TOO_FEW or emptied:
                share = abs(after - expected) / max(abs(expected), abs(after))
                found = max(found, (share, name), key=lambda pair: pair[0])
        return found

    def told(self, table: Table, name: str) -> str:
        """How a total would change, and what it is judged by."""
        total = _total_of(table)
        names = [name] if name in ("rows", total) or total not in self.totals else [name, total]
        said = [
            f"{each} {'would go ' if each == name else ''}from {_said(before)} to {_said(after)}"
            for each in names
            for before, after in [self.totals[each]]
        ]
        return ", with ".join(said)

    def as_row(self) -> dict[str, Any]:
        """For a table that people read, and for the ledger."""
        shown = dict(list(self.totals.items())[:6])
        return {
            "partition": self.partition,
            "rows added": self.added,
            "rows removed": self.removed,
            "rows changed": self.changed,
            **{
                name: f"{_said(before)} -> {_said(after)}"
                for name, (before, after) in shown.items()
            },
        }


def changes(
    connection: sa.Connection, table: Table, partitions: Collection[str], incoming: str | None
) -> list[Change]:
    """What replacing these partitions by the incoming rows (or by nothing) would change.

    Reads both sides of the partitions at hand only.
    """
    if not partitions:
        return []
    within = table.within_sql(partitions)
    view = schema.view_name(table)
    columns = ", ".join(quoted(column.name) for column in table.stored_columns)
    before = f"select {columns} from {view}"
    after = encoding.declared_sql(table, incoming) if incoming else f"{before} limit 0"
    day = table.period.first_day_sql(table.time or "")
    sides = (
        f"with before as (select *, {day} as _day from ({before}) as rows where {within}),"
        f" after as (select *, {day} as _day from ({after}) as rows where {within})"
    )
    before_totals, after_totals = (_totals(connection, table, sides, side) for side in _BOTH)
    moved = _moved_rows(connection, table, sides)
    found = []
    for key in sorted(partitions):
        old, new = before_totals.get(key, {}), after_totals.get(key, {})
        pairs = {name: (old.get(name, 0), new.get(name, 0)) for name in _total_names(table)}
        differing = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
        found.append(Change(key, *moved.get(key, (0, 0, 0)), differing))
    return found


def _total_of(table: Table) -> str:
    """The measure that counts all rows; empty: there is none."""
    return table.measures.total.name if table.measures and table.measures.total else ""


def _total_names(table: Table) -> list[str]:
    additive = table.measures.additive if table.measures else ()
    # What is withheld is no change that anybody has to confirm, and maxima have no total.
    return ["rows", *(measure.name for measure in additive if not measure.withheld)]


def _totals(
    connection: sa.Connection, table: Table, sides: str, side: str
) -> dict[str, dict[str, int]]:
    names = _total_names(table)
    sums = "".join(f", sum({quoted(name)})" for name in names[1:])
    rows = connection.execute(
        sa.text(f"{sides} select _day, count(*){sums} from {side} group by 1")
    )
    return {
        _partition(table, row[0]): {
            name: int(value or 0) for name, value in zip(names, row[1:], strict=True)
        }
        for row in rows
    }


def _moved_rows(
    connection: sa.Connection, table: Table, sides: str
) -> dict[str, tuple[int, int, int]]:
    """Partition -> rows added, removed and changed, by the table's key."""
    keys = table.unique_columns
    if not keys:
        return {}
    same = " and ".join(f"before.{quoted(key)} = after.{quoted(key)}" for key in keys)
    first = quoted(keys[0])
    row = {
        side: ", ".join(f"{side}.{quoted(column.name)}" for column in table.stored_columns)
        for side in _BOTH
    }
    rows = connection.execute(
        sa.text(
            f"{sides} select coalesce(after._day, before._day),"
            f" count(*) filter (where before.{first} is null),"
            f" count(*) filter (where after.{first} is null),"
            f" count(*) filter (where before.{first} is not null and after.{first} is not null"
            f" and row({row['before']}) is distinct from row({row['after']}))"
            f" from before full join after on {same} group by 1"
        )
    )
    return {_partition(table, day): (new, gone, other) for day, new, gone, other in rows}


def _partition(table: Table, first_day: Any) -> str:
    return table.period.key(first_day or date.min)


# ---- versions on hold ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Hold:
    """A version of a partition that may not be promoted until it is confirmed, and why."""

    fingerprint: str
    why: str
    confirmed: bool


def holds(connection: sa.Connection) -> dict[tuple[str, str], Hold]:
    """(table, partition) -> what is on hold, of all tables."""
    if not sa.inspect(connection).has_table("hold", schema=records.SCHEMA):
        return {}
    on_hold = records.hold.c
    # By name: what an earlier release made has fewer columns.
    wanted = (on_hold.table_name, on_hold.partition)
    kept = (on_hold.fingerprint, on_hold.why, on_hold.confirmed)
    return {
        (name, partition): Hold(*hold)
        for name, partition, *hold in connection.execute(sa.select(*wanted, *kept))
    }


def put_on_hold(
    connection: sa.Connection,
    table: Table,
    why: Mapping[str, tuple[str, str]],
    run_id: str,
    decision: str,
) -> None:
    """Partition -> (fingerprint, why): these versions are not promoted until confirmed.

    All that have one ``decision`` are confirmed together, of whatever table they are.
    """
    if not why:
        return
    insert = postgresql.insert(records.hold)
    names = ("fingerprint", "why", "run_id", "decision")
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=["table_name", "partition"],
            set_={
                **{name: insert.excluded[name] for name in names},
                "confirmed": False,
                "confirmed_by": None,
                "confirmed_at": None,
                "since": sa.func.clock_timestamp(),
            },
        ),
        [
            {
                "table_name": table.key,
                "partition": partition,
                "fingerprint": fingerprint,
                "why": reason,
                "run_id": run_id,
                "decision": decision,
            }
            for partition, (fingerprint, reason) in why.items()
        ],
    )


def confirm(
    connection: sa.Connection, table: Table, partitions: Collection[str] | None = None
) -> dict[str, list[str]]:
    """Let versions on hold be promoted, and what was put on hold with them, in this user's name.

    Returns table -> partitions.
    """
    if not records.there(connection):
        return {}
    records.complete(connection)
    on_hold = records.hold.c
    meant = [on_hold.table_name == table.key, sa.not_(on_hold.confirmed)]
    if partitions is not None:
        meant.append(on_hold.partition.in_(list(partitions)))
    decisions = sa.select(on_hold.decision).where(*meant, on_hold.decision.is_not(None))
    confirmed = (
        sa.update(records.hold)
        .where(sa.not_(on_hold.confirmed), sa.or_(sa.and_(*meant), on_hold.decision.in_(decisions)))
        .values(confirmed=True, confirmed_by=user(), confirmed_at=sa.func.clock_timestamp())
        .returning(on_hold.table_name, on_hold.partition)
    )
    found: dict[str, list[str]] = {}
    for name, partition in sorted(map(tuple, connection.execute(confirmed))):
        found.setdefault(name, []).append(partition)
    return found


def release_holds(connection: sa.Connection, table: Table, partitions: Collection[str]) -> None:
    """Forget the holds of partitions whose hold is obsolete."""
    on_hold = records.hold.c
    connection.execute(
        sa.delete(records.hold).where(
            on_hold.table_name == table.key, on_hold.partition.in_(list(partitions))
        )
    )

"""How each table stands in production: what its ledger says, and whether that can be believed.

Belongs here: looking at PostgreSQL's own catalogue beside the ledger, at a cost that does not grow
with the rows.
Does not belong here: comparing rows (``parity.py``), mending anything (``release.py``).

A ledger that says "there" is not the table. So the relations are looked up, their shape is compared
with the declared one, PostgreSQL's own numbers of them with those of the last release, and a
trigger tells who wrote beside the releases.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from analytics_assets.core.declaration import Table
from analytics_assets.production import records
from analytics_assets.production.encoding import dictionaries, stored_name
from analytics_assets.production.schema import Shape, shape, view_name

# missing: no row can be read as declared; doubted: rows may not be those of the ledger.
Rows = Literal["missing", "doubted", "sound"]


@dataclass(frozen=True)
class Promoted:
    """What production holds of a partition: fingerprint, rows, and its version in the lake."""

    fingerprint: str
    rows: int
    version: int


@dataclass(frozen=True)
class Standing:
    """What the ledger says that production has of a table, and what PostgreSQL says of that.

    ``why`` is empty where both agree. ``shown``: whether the view and its indexes are as declared.
    ``gone``: nothing of it is there. ``beside``: somebody did it beside the releases, and not a
    changed declaration. ``published``: the name that its rows were last seen under,
    where it is not the declared one.
    """

    promoted: Mapping[str, Promoted] = field(default_factory=dict)
    rows: Rows = "missing"
    why: str = ""
    since: datetime | None = None
    shown: bool = False
    gone: bool = False
    beside: bool = False
    published: str = ""

    @property
    def present(self) -> Mapping[str, Promoted]:
        """The partitions whose rows are there, as far as the ledger knows."""
        return {} if self.rows == "missing" else self.promoted


def latest(
    condition: sa.ColumnElement[bool], columns: Sequence[sa.Column] = tuple(records.ledger.c)
) -> sa.Select:
    """The last ledger entry of each partition."""
    entries = records.ledger.c
    return (
        sa.select(*columns)
        .where(condition)
        .distinct(entries.table_name, entries.partition)
        .order_by(entries.table_name, entries.partition, entries.id.desc())
    )


def promoted(
    connection: sa.Connection, table: Table, moment: datetime | None = None
) -> dict[str, Promoted]:
    """Partition -> what the ledger says of it, now or at a moment; removed ones are left out."""
    condition = records.ledger.c.table_name == table.key
    if moment is not None:
        condition = sa.and_(condition, records.ledger.c.promoted_at <= moment)
    return _by_partition(connection.execute(latest(condition))).get(table.key, {})


def _by_partition(rows: Iterable[sa.Row]) -> dict[str, dict[str, Promoted]]:
    """Table -> partition -> entry."""
    found: dict[str, dict[str, Promoted]] = {}
    for row in rows:
        if row.fingerprint:
            entry = Promoted(row.fingerprint, row.rows, row.delta_version)
            found.setdefault(row.table_name, {})[row.partition] = entry
    return found


def _numbers(rows: Iterable[sa.Row]) -> dict[str, str]:
    """Table -> how many last entries it has, and the sum of their numbers: a loss shows."""
    ids: dict[str, list[int]] = {}
    for row in rows:
        ids.setdefault(row.table_name, []).append(row.id)
    return {name: f"{len(own)} {sum(own)}" for name, own in ids.items()}


def look(connection: sa.Connection, tables: Sequence[Table]) -> dict[str, Standing]:
    """Table -> how it stands; of the published ones."""
    published = [table.promoted for table in tables if table.publish]
    rows, known, written = _recorded(connection, [table.key for table in published])
    entered, numbers = _by_partition(rows), _numbers(rows)
    found = _relations(connection, published)
    return {
        table.key: _judged(
            table,
            entered.get(table.key, {}),
            numbers.get(table.key, ""),
            found[table.key],
            known.get(table.key),
            written,
        )
        for table in published
    }


def _recorded(
    connection: sa.Connection, keys: Sequence[str]
) -> tuple[Sequence[sa.Row], dict[str, sa.Row], dict[str, sa.Row]]:
    """The ledger's last entries, known relations and foreign writes, as far as there are any."""
    if not records.there(connection):
        return [], {}, {}
    mine = records.ledger.c.table_name.in_(keys)
    if not records.up_to_date(connection):
        columns = [c for c in records.ledger.c if c not in records.LATER]
        return connection.execute(latest(mine, columns)).all(), {}, {}
    return (
        connection.execute(latest(mine)).all(),
        {row.table_name: row for row in connection.execute(sa.select(records.relation))},
        {row.relation: row for row in connection.execute(sa.select(records.written))},
    )


@dataclass(frozen=True)
class _Relations:
    """A table's relations as PostgreSQL has them; ``None`` for what is not whole."""

    there: bool
    comment: str | None
    store: str | None
    view: str | None


def _relations(connection: sa.Connection, tables: Sequence[Table]) -> dict[str, _Relations]:
    """Numbers that only PostgreSQL gives: another table of the same name has others.

    The store's are its own, its dictionaries', and how many of their triggers are at work. The
    view's change with each definition.
    """
    asked = [
        {
            "name": table.key,
            "store": stored_name(table),
            "view": view_name(table),
            "parts": [dictionary.sql_name for dictionary in dictionaries(table)],
        }
        for table in tables
    ]
    if not asked:
        return {}
    rows = connection.execute(
        sa.text(
            "with asked as (select * from jsonb_to_recordset(cast(:asked as jsonb))"
            " as a (name text, store text, view text, parts jsonb)),"
            " found as (select name, to_regclass(store) as store, to_regclass(view) as view,"
            " array(select to_regclass(part) from jsonb_array_elements_text(parts)"
            " with ordinality as p (part, place) order by place) as parts from asked)"
            " select name, obj_description(found.store, 'pg_class') as comment,"
            " case when array_position(parts, null) is null then concat("
            "array_to_string(cast(found.store || parts as oid[]), ' '), ' ',"
            " (select count(*) from pg_trigger as t where t.tgname = :trigger"
            " and t.tgenabled in ('O', 'A') and t.tgrelid = any(found.store || parts)), 't') end"
            " as store,"
            " (select concat_ws(' ', w.ev_class, w.xmin) from pg_rewrite as w"
            " where w.ev_class = found.view and w.rulename = '_RETURN') as view,"
            " found.store is not null as is_there from found"
        ),
        {"asked": json.dumps(asked), "trigger": records.TRIGGER},
    )
    return {
        row.name: _Relations(
            row.is_there, row.comment, row.store if row.is_there else None, row.view
        )
        for row in rows
    }


def _judged(
    table: Table,
    own: Mapping[str, Promoted],
    entries: str,
    found: _Relations,
    known: sa.Row | None,
    written: Mapping[str, sa.Row],
) -> Standing:
    moved = known.published if known and known.published != table.published_name else ""
    there = Shape.parse(found.comment)
    declared = shape(table)
    if not found.there or (there is not None and there.key != table.key):
        why = "its table is gone from production" if own and not moved else ""
        return Standing(own, "missing", why, gone=True, beside=bool(why), published=moved)
    if found.store is None or there is None or there.rows != declared.rows:
        return Standing(own, "missing", "its rows are stored in another way than declared")
    shown = there.surface == declared.surface and found.view == (known.view if known else None)
    why = "" if shown else _unshown(found, there, declared)
    touched = [written[name] for name in _watched(table) if name in written]
    if touched:
        first = min(touched, key=lambda row: row.since)
        said = f"{first.by_role} wrote to it beside the releases ({first.how})"
        return Standing(own, "doubted", said, first.since, shown, beside=True)
    if known is None or known.entries != entries:
        why = "the ledger of its releases is lost, or part of it"
        # An earlier release knew no relations: that is nobody's doing.
        beside = known is not None or not entries
        return Standing(own, "doubted", why, shown=shown, beside=beside)
    if known.store != found.store:
        why = "its table was made anew, or a trigger of it switched off, beside the releases"
        return Standing(own, "doubted", why, shown=shown, beside=True)
    beside = not shown and there.surface == declared.surface
    return Standing(own, "sound", why, shown=shown, beside=beside)


def _unshown(found: _Relations, there: Shape, declared: Shape) -> str:
    if found.view is None:
        return "its view is gone from production"
    if there.surface != declared.surface:
        return "its view, indexes or descriptions are declared otherwise"
    return "its view was changed beside the releases"


def _watched(table: Table) -> list[str]:
    """The relations that a table lies in, each with a trigger."""
    return [stored_name(table), *(dictionary.sql_name for dictionary in dictionaries(table))]


def remember(connection: sa.Connection, tables: Iterable[Table]) -> None:
    """Note the relations of these tables as they are now: ours, and as they should be."""
    own = list(tables)
    found = _relations(connection, own)
    keys = records.ledger.c.table_name.in_([table.key for table in own])
    entries = _numbers(connection.execute(latest(keys)))
    rows = [
        {
            "table_name": table.key,
            "published": table.published_name,
            "store": found[table.key].store or "",
            "view": found[table.key].view or "",
            "entries": entries.get(table.key, ""),
        }
        for table in own
    ]
    if rows:
        insert = postgresql.insert(records.relation)
        names = ("published", "store", "view", "entries")
        changed = {name: insert.excluded[name] for name in names}
        connection.execute(
            insert.on_conflict_do_update(index_elements=["table_name"], set_=changed), rows
        )


def accept_view(connection: sa.Connection, table: Table) -> None:
    """Note the view as it is now: who changed it did so as part of the product."""
    if records.up_to_date(connection):
        found = _relations(connection, [table])[table.key].view or ""
        mine = records.relation.c.table_name == table.key
        connection.execute(sa.update(records.relation).where(mine).values(view=found))


def trust(connection: sa.Connection, tables: Iterable[Table]) -> None:
    """Forget what others wrote to these tables: they were compared, and mended where needed."""
    names = {name for table in tables for name in _watched(table)}
    connection.execute(sa.delete(records.written).where(records.written.c.relation.in_(names)))

"""Why a number is what it is, as far as production knows: version, run, release, and what it is
computed from.

Belongs here: one cell of a promoted table -> its entry in the ledger, and those above it.
Does not belong here: the files that it comes from, which the warehouse knows (``provenance.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, Field

from analytics_assets.api.database import Database
from analytics_assets.api.errors import Problem, bad_value
from analytics_assets.api.listing import view_of
from analytics_assets.api.lists import named, table_name
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Table, in_dependency_order
from analytics_assets.core.partitions import UNPARTITIONED, overlapping
from analytics_assets.core.question import QuestionError, read_parts
from analytics_assets.core.refusals import no_such
from analytics_assets.core.resolver import typed
from analytics_assets.production.records import SCHEMA

_ENTRIES = f"""
select l.table_name, l.partition, l.delta_version, l.fingerprint, l.rows, l.run_id, l.promoted_at,
    l.release_id, r.kind, r.why
from (
    select distinct on (table_name, partition) * from {SCHEMA}.ledger
    where table_name = any(%(tables)s) order by table_name, partition, id desc
) as l left join {SCHEMA}.release as r on r.id = l.release_id
where l.fingerprint <> '' order by l.table_name, l.partition"""


class Entry(BaseModel):
    """What was promoted of a partition: the version of the warehouse's table, and the run."""

    partition: str
    version: int = Field(description="Of the table in the warehouse.")
    fingerprint: str = Field(description="Equal for equal rows.")
    rows: int
    run_id: str = Field(description="The run in Dagster's UI that promoted it.")
    promoted_at: datetime
    release: int | None
    kind: str | None = Field(description="promotion, rollback or restore, as the release says.")
    why: str | None


class Source(BaseModel):
    """A table that the number is computed from."""

    table: str
    description: str
    computed_from: list[str]
    promoted: list[Entry] = Field(description="Of the same time; none of what is not promoted.")


class Origin(BaseModel):
    """A number and where it comes from."""

    table: str
    measure: str
    key: dict[str, Any]
    value: Any = Field(description="null where it is unknown, or withheld because it is small.")
    unit: str
    formula: str
    partition: str
    chain: list[Source] = Field(description="The table itself, then what it is computed from.")


async def read_origin(
    tables: Sequence[Table], database: Database, name: str, measure: str, where: str
) -> Origin:
    """The origin of a cell; ``where`` pins its key: ``year = 2024 and state_code = 12``. Raises
    ``Problem`` with a sentence."""
    table = named(tables)[table_name(tables, name)]
    columns = {column.name: column for column in table.promoted.all_columns}
    if measure not in columns:
        raise bad_value("measure", no_such("column", measure[:100], list(columns)))
    key = _key(table, where)
    conditions = " and ".join(f"{quoted(name)} = %({place})s" for place, name in key[0].items())
    day = table.time or "null"
    sql = (
        f"select {quoted(measure)} as value, cast({day} as date) as day from {view_of(table)}"
        f" where {conditions or 'true'} limit 2"
    )
    rows = await database.read(sql, key[1])
    if len(rows) != 1:
        raise Problem(404, "not_found", "There is no such row, or it is withheld.")
    partition = _partition(table, rows[0].day)
    return Origin(
        table=f"{table.domain}.{table.published_name}",
        measure=measure,
        key={name: key[1][place] for place, name in key[0].items()},
        value=rows[0].value,
        unit=columns[measure].unit,
        formula=_formula(table, measure),
        partition=partition,
        chain=await _chain(database, table, partition),
    )


def _key(table: Table, where: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Name of a parameter -> column of the key, and -> value."""
    try:
        asked = read_parts({"measures": "x", "where": where}).where
        if any(condition.sign != "=" for condition in asked):
            raise QuestionError("where: say which row with = alone")
        columns = {column.name: column for column in table.stored_columns}
        given = {}
        for condition in asked:
            if condition.word not in table.unique_columns:
                known = table.unique_columns
                raise QuestionError(f"where: {no_such('column of the key', condition.word, known)}")
            column = columns[condition.word]
            given[condition.word] = typed(condition.word, column, condition.values[0])
    except QuestionError as error:
        raise Problem(422, "invalid_value", str(error)) from None
    if missing := [name for name in table.unique_columns if name not in given]:
        raise bad_value("where", f"say {', '.join(missing)}, too: a number is of one row")
    places = {f"k{place}": name for place, name in enumerate(given)}
    return places, {place: given[name] for place, name in places.items()}


def _partition(table: Table, day: date | None) -> str:
    if table.period is UNPARTITIONED or day is None:
        return UNPARTITIONED.only_key
    return table.period.key(day)


def _formula(table: Table, name: str) -> str:
    """As it is declared: SQL over the rows that are counted, or of two measures."""
    measures = table.measures
    for measure in measures.measures if measures else ():
        if measure.name == name:
            return " ".join(measure.sql.split())
    for ratio in measures.ratios if measures else ():
        if ratio.name == name:
            return f"{ratio.scale} * {ratio.numerator} / {ratio.denominator}"
    return ""


def upstream_chain(table: Table) -> list[Table]:
    """The table and all that it is computed from, each before what it reads."""
    found: dict[str, Table] = {}
    ahead = [table]
    while ahead:
        own = ahead.pop()
        if own.key not in found:
            found[own.key] = own
            ahead += own.upstream
    return list(reversed(in_dependency_order(list(found.values()))))


async def _chain(database: Database, table: Table, partition: str) -> list[Source]:
    chain = upstream_chain(table)
    rows = await database.read(_ENTRIES, {"tables": [own.key for own in chain]})
    entries: dict[str, list[Any]] = {}
    for row in rows:
        entries.setdefault(row.table_name, []).append(row)
    return [
        Source(
            table=own.sql_name,
            description=own.description,
            computed_from=[upstream.sql_name for upstream in own.upstream],
            promoted=_of_the_time(table, partition, own, entries.get(own.key, [])),
        )
        for own in chain
    ]


def _of_the_time(table: Table, partition: str, own: Table, rows: Sequence[Any]) -> list[Entry]:
    same = overlapping(table.period, [partition], own.period, [row.partition for row in rows])
    return [
        Entry(
            partition=row.partition,
            version=row.delta_version,
            fingerprint=row.fingerprint,
            rows=row.rows,
            run_id=row.run_id,
            promoted_at=row.promoted_at,
            release=row.release_id,
            kind=row.kind,
            why=row.why,
        )
        for row in rows
        if row.partition in same
    ]

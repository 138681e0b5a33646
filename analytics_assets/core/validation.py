"""What can be refused by looking at the declaration of one table alone.

Belongs here: the words that a declaration may use, and how its parts contradict each other.
Does not belong here: the parts of a row (``columns.py``), and what only SQL tells
(``warehouse/binding.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from analytics_assets.core.columns import check_name
from analytics_assets.core.partitions import PERIODS, UNPARTITIONED, Period
from analytics_assets.core.refusals import no_such

if TYPE_CHECKING:
    from analytics_assets.core.declaration import Publish, Table

Personal = Literal["refused", "left out", "promoted"]
Layer = Literal["sources", "staging", "facts", "dimensions", "marts", "aggregates"]
Compression = Literal["zstd", "snappy"]

# What people read. Marts may hold single records: what names a person is a pseudonym there.
READABLE: tuple[Layer, ...] = ("dimensions", "marts", "aggregates")


def check_table(table: Table) -> None:
    """``DeclarationError`` for a table that contradicts itself."""
    _check_key(table)
    _check_words(table)
    _check_origin(table)
    _check_columns(table)
    _check_proof(table)
    if table.publish:
        _check_publishable(table, table.publish)


def _check_key(table: Table) -> None:
    if str(table.key).count("/") != 1:
        raise table.refused("a key is <domain>/<table>")
    for part in table.key.split("/"):
        check_name(part, "table")


def _check_words(table: Table) -> None:
    words: tuple[tuple[str, Any, Any], ...] = (
        ("layer", table.layer, Layer),
        ("compression", table.compression, Compression),
    )
    if table.publish:
        words += (("rule for personal columns", table.publish.personal, Personal),)
    for what, given, known in words:
        if given not in get_args(known):
            raise table.refused(no_such(what, given, get_args(known)))
    for period in (table.period, table.slice_period or UNPARTITIONED):
        if not isinstance(period, Period) or period not in PERIODS:
            names = [known.name.upper() for known in PERIODS]
            raise table.refused(no_such("period", getattr(period, "name", period), names))


def _check_origin(table: Table) -> None:
    if [table.source, table.sql, table.rollup_of].count(None) != 2:
        raise table.refused("give exactly one of source, sql, rollup_of")
    if table.reads_itself and table.sql is None:
        raise table.refused("only a table of SQL can read itself")
    if table.compute and table.sql is None:
        raise table.refused("compute takes the rows that an sql selects")
    if table.expected_every and not table.source:
        raise table.refused("expected_every is of a table that has a source")
    if (table.slice_period is None) != (table.slice_sql is None):
        raise table.refused("slice_period and slice_sql go together; give both or neither")
    keys = [upstream.key for upstream in table.upstream]
    _known(table, "table that it reads, for reach,", table.reach, keys)
    names = [upstream.name for upstream in table.upstream]
    _known(table, "table that it reads, for goes_without,", table.goes_without, names)


def _check_columns(table: Table) -> None:
    if not table.stored_columns:
        raise table.refused("it has no columns")
    aliases = table.publish.aliases if table.publish else ()
    names = [*(column.name for column in table.all_columns), *aliases]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise table.refused(f"columns declared twice: {', '.join(doubled)}")
    _known(table, "column, for unique,", table.unique_columns, names)
    _known(table, "column, for indexed,", _indexed(table.indexed), names)
    if table.source is None:
        assert table.partition_sql


def _check_proof(table: Table) -> None:
    """Measures that nothing proves are published when they are wrong."""
    counted = table.measured_from
    if counted:
        _known(
            table,
            "table that it reads, for measured_from,",
            [counted.key],
            [upstream.key for upstream in table.upstream],
        )
        own = table.measures.measures if table.measures else ()
        if counted.measures and not set(own) <= set(counted.measures.measures):
            raise table.refused(
                f"its measures are not those of {counted.key}, which measured_from names"
            )
    columns = [column.name for column in table.stored_columns]
    _known(table, "column, for each,", table.each, columns)
    if (table.each or table.measured_where) and not counted:
        raise table.refused("each and measured_where say how measured_from counts; give that, too")
    if table.decides and not table.each:
        raise table.refused("decides says what the categories of each decide; give each, too")
    measures = [m.name for m in table.measures.measures] if table.measures else []
    decided = [name for names in table.decides.values() for name in names]
    _known(table, "measure, for decides,", decided, measures)
    blocking = [check.name for check in table.checks if check.blocking]
    _known(table, "blocking check of its own, for proven_by,", table.proven_by, blocking)
    if table.measures and not (table.rollup_of or counted or table.proven_by):
        raise table.refused(
            "nothing proves its measures; give measured_from, the table whose rows they count, or"
            " rollup_of, or name in proven_by the checks that hold back what is counted wrongly"
        )


def _check_publishable(table: Table, publish: Publish) -> None:
    if table.layer not in READABLE:
        raise table.refused(
            f"{table.layer} hold single records and cannot be published;"
            " publish an aggregate of it, or a mart"
        )
    personal = [column.name for column in table.all_columns if column.personal]
    if personal and publish.personal == "refused":
        raise table.refused(f"personal columns cannot be published: {', '.join(personal)}")
    columns = [column.name for column in table.stored_columns]
    _known(table, "column, for aliases,", publish.aliases.values(), columns)
    _known(table, "column, for an index,", _indexed(publish.indexes), columns)
    _check_promoted_measures(table, publish.measures)
    check_name(table.published_name, "name in production")
    if publish.threshold < 0 or publish.threshold == 1:
        raise table.refused(
            f"no count is below a threshold of {publish.threshold}; give 2 or more, or 0 for none"
        )


def _check_promoted_measures(table: Table, names: Collection[str]) -> None:
    measures = {m.name: m for m in (table.measures.measures if table.measures else ())}
    _known(table, "measure, for publish,", names, measures)
    for name in names:
        usual = measures[name].usually
        if usual in measures and usual not in names:
            raise table.refused(f"{name} usually equals {usual}; promote that measure, too")


def _indexed(indexes: Sequence[str]) -> list[str]:
    return [name.strip() for index in indexes for name in index.split(",")]


def _known(table: Table, what: str, given: Iterable[str], known: Collection[str]) -> None:
    for name in given:
        if name not in known:
            raise table.refused(no_such(what, name, known))

"""How a table is declared, once.

Belongs here: what a table is: where it comes from, its parts, who may read it.
Does not belong here: the parts of a row (``columns.py``), what is refused (``validation.py``);
reading, computing or storing anything, and any word of a domain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from analytics_assets.core.columns import Column, Dimension, MeasureList, Strata
from analytics_assets.core.partitions import UNPARTITIONED, Period
from analytics_assets.core.refusals import DeclarationError, Place, declared_at, refusal
from analytics_assets.core.source import Source
from analytics_assets.core.validation import Compression, Layer, Personal, check_table

if TYPE_CHECKING:
    from analytics_assets.core.meaning import Meaning


@dataclass(frozen=True)
class Publish:
    """That a table is promoted to production. ``indexes`` are column lists beside the grain's.

    ``threshold``: counts from 1 to below it are withheld from readers, and what would give them
    away (``small_cells.py``); 0: nothing is. ``name``: in production, if not the table's own.
    ``personal``: what becomes of personal columns; by default their table cannot be published.
    ``aliases``: second names, for readers who know a column by another one.
    ``measures``: those that are promoted, with the ratios of two of them; by default all.
    """

    indexes: tuple[str, ...] = ()
    threshold: int = 0
    name: str = ""
    personal: Personal = "refused"
    aliases: Mapping[str, str] = field(default_factory=dict, hash=False)
    measures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """A check of a staged partition: ``sql`` selects the rows that break it.

    The table under test stands in ``sql`` under its own name, its upstream tables under theirs; as
    ``_sent`` and ``_live`` the same table and, of another input, the live rows that it replaces.
    ``at_fault`` (SQL over ``_broken``, a row of ``sql``, and ``_row``, one of the table) says which
    rows go into quarantine; by default those with the unique columns of ``_broken``. ``told`` is a
    column of ``sql`` that is told in messages: a sentence that holds no value of a row, or, where
    ``words`` are given, values, of which these words are told, and of others only what
    ``telling.word`` lets pass; ``times``: a column that says of how many rows. ``shows``: columns
    of ``sql`` that are none of the table, and whose text is ours.
    ``warns``: a column of the SQL of a blocking check that is true where a row only warns.
    ``confirmable``: somebody may let what it holds back be built, with a warning.
    """

    name: str
    description: str
    sql: str
    advice: str
    blocking: bool = True
    at_fault: str = ""
    told: str = ""
    words: tuple[str, ...] | None = None
    times: str = ""
    shows: tuple[str, ...] = ()
    warns: str = ""
    confirmable: bool = False


# A pandas frame of what the SQL selects, and the report -> a frame or Arrow table of the columns.
Compute = Callable[[Any, dict[str, Any]], Any]


@dataclass(frozen=True)
class Table:
    """One table; its asset, contract, checks, storage, DDL, lineage and promotion derive from it.

    Exactly one origin: ``source``, ``sql`` or ``rollup_of`` (with ``grain``).
    ``compute`` makes the rows of a table out of those that its ``sql`` selects, where SQL cannot: a
    function of a pandas frame, in any order and of any partitions that are built together, and of
    the report, to which it adds what people should see. Equal frames must give equal rows.
    ``period`` is the partitioning in Dagster. ``slice_sql`` (an expression that gives a key of
    ``slice_period``, or NULL) lets late data touch less than a partition: slices are stored and
    compared one by one, and a table partitioned by ``slice_period`` depends on its own slice only;
    so a table without partitions is computed whole, and only slices that differ touch its readers.
    ``reach``: upstream key -> days around a partition that it is computed from, as in (0, 60).
    ``time_column`` (date) or an axis of time in the grain decides the partition of a row.
    ``keeps_rows``: one row for each row that it reads. ``measured_from``: the table whose rows the
    measures count (only those that are ``measured_where``), all of them for each value of the
    columns ``each``. ``decides``: value of these (joined by /) -> measures that are counted by the
    column of its categories, so that the rows of a category are parts of them, too.
    ``proven_by``: the own checks that hold a partition back whose measures are wrong, where they
    are no sums over one table. ``parts_of``: the aggregate to whose rows these add up, where that
    does not follow from ``rollup_of``.
    ``reads_itself``: the SQL also reads, under the table's own name, the live rows of the
    partitions that it builds, and ``getvariable('run_id')`` and ``getvariable('run_time')``. It
    must give the same rows again where nothing else that it reads has changed.
    ``alike_in``: SQL over its columns of what partitions have to have in common to be compared with
    each other (volume, drift), such as the states whose files were sent; a rollup has that of the
    next finer table that says it.
    ``strata``: what shares can be standardised by where somebody asks for it.
    ``goes_without``: names of upstream tables whose refused partitions it does not wait for: its
    rows then lack only what comes from there. Without partitions it never waits for refused ones.
    ``failures_csv``: all rows that hold a partition back are also written as CSV, which the error
    names. ``indexed``: column lists; where given, ``warehouse.duckdb`` holds the rows themselves
    with these indexes, not a view over the files: faster to read, rewritten whole at each change.
    The table is stale when a partition is behind its input for longer than ``fresh_within``, or
    when its source has brought nothing new for longer than ``expected_every``; ``None``: never.
    """

    key: str
    layer: Layer
    description: str
    period: Period = UNPARTITIONED
    columns: tuple[Column, ...] = ()
    grain: tuple[Dimension, ...] = ()
    measures: MeasureList | None = None
    source: Source | None = None
    sql: str | None = None
    compute: Compute | None = None
    rollup_of: Table | None = None
    reads: tuple[Table, ...] = ()
    unique: tuple[str, ...] = ()
    time_column: str | None = None
    slice_period: Period | None = None
    slice_sql: str | None = None
    reach: Mapping[str, tuple[int, int]] = field(default_factory=dict, hash=False)
    checks: tuple[Check, ...] = ()
    publish: Publish | None = None
    keeps_rows: bool = False
    reads_itself: bool = False
    measured_from: Table | None = None
    measured_where: str = ""
    each: tuple[str, ...] = ()
    decides: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    proven_by: tuple[str, ...] = ()
    parts_of: Table | None = None
    alike_in: str = ""
    strata: tuple[Strata, ...] = field(default=(), compare=False, repr=False)
    goes_without: tuple[str, ...] = ()
    compression: Compression = "zstd"
    failures_csv: bool = False
    indexed: tuple[str, ...] = ()
    owner: str = "team:data"
    # A file that comes just after the nightly look at the sources waits a day for the next one.
    fresh_within: timedelta | None = timedelta(hours=30)
    expected_every: timedelta | None = None
    # Where it is declared, for those who have to mend it; kept where ``replace`` derives a table.
    place: Place | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.place is None:
            object.__setattr__(self, "place", declared_at(self.key))
        check_table(self)

    def refused(self, why: str) -> DeclarationError:
        """The error that says why this table cannot be as it is declared."""
        return refusal(self.key, why, self.place)

    @property
    def domain(self) -> str:
        return self.key.split("/")[0]

    @property
    def name(self) -> str:
        return self.key.split("/")[1]

    @property
    def published_name(self) -> str:
        """The name in production, without its schema."""
        return (self.publish.name if self.publish else "") or self.name

    @property
    def withholds(self) -> bool:
        """Whether it is what readers get of another table: some of its cells are withheld."""
        return any(
            measure.withheld for measure in (self.measures.measures if self.measures else ())
        )

    @property
    def sql_name(self) -> str:
        """``domain.table``: the name in SQL, the same in warehouse and production."""
        return f"{self.domain}.{self.name}"

    @cached_property
    def stored_columns(self) -> tuple[Column, ...]:
        """Columns as stored: grain and measures of an aggregate, else ``columns``."""
        grain = tuple(column for dimension in self.grain for column in dimension.columns)
        measures = tuple(m.column() for m in self.measures.measures) if self.measures else ()
        return grain + self.columns + measures

    @cached_property
    def all_columns(self) -> tuple[Column, ...]:
        """Columns as read: the stored ones and the ratios."""
        ratios = tuple(ratio.column() for ratio in self.measures.ratios) if self.measures else ()
        return self.stored_columns + ratios

    @property
    def unique_columns(self) -> tuple[str, ...]:
        """The columns that identify a row; empty where rows have no key."""
        if self.unique:
            return self.unique
        return tuple(name for dimension in self.grain for name in dimension.key_names)

    @property
    def upstream(self) -> tuple[Table, ...]:
        """The tables that this one is computed from."""
        return (self.rollup_of,) if self.rollup_of else self.reads

    def reach_of(self, upstream: Table) -> tuple[int, int]:
        """Days around a partition, first and last, of ``upstream`` that it is computed from."""
        return self.reach.get(upstream.key, (0, 0))

    def spreads(self, upstream: Table) -> bool:
        """Whether a change of one partition of ``upstream`` may touch others than that one."""
        return (
            upstream.period is not self.period and UNPARTITIONED in (upstream.period, self.period)
        ) or self.reach_of(upstream) != (0, 0)

    @cached_property
    def promoted(self) -> Table:
        """The table as production holds it: without the personal columns that are left out, and
        with the measures that are promoted."""
        if not self.publish:
            return self
        measures = self.measures
        if measures and self.publish.measures:
            measures = measures.only(self.publish.measures)
        if self.publish.personal != "left out":
            return self if measures is self.measures else replace(self, measures=measures)
        kept = tuple(column for column in self.columns if not column.personal)
        aliases = {
            alias: name
            for alias, name in self.publish.aliases.items()
            if name not in {column.name for column in self.columns} - {c.name for c in kept}
        }
        publish = replace(self.publish, aliases=aliases)
        return replace(self, columns=kept, measures=measures, publish=publish)

    @property
    def partition_sql(self) -> str:
        """SQL that gives a row's partition key, over the table's own columns."""
        if self.period is UNPARTITIONED:
            return f"'{UNPARTITIONED.only_key}'"
        if self.time is None:
            raise self.refused("nothing tells the partition of a row; give time_column")
        return self.period.key_sql(self.time)

    @property
    def time(self) -> str | None:
        """SQL of the date that a row belongs to; the same text in DuckDB and PostgreSQL."""
        dates = [dimension.date_sql for dimension in self.grain if dimension.date_sql]
        return self.time_column or (dates[0] if dates else None)

    def within_sql(self, partitions: Iterable[str]) -> str:
        """Condition that a row is in one of these, the same text in DuckDB and PostgreSQL.

        No index knows a date that is computed from several columns, so the first of them is
        bounded, too: it never falls as time goes on.
        """
        keys = sorted(partitions)
        condition = self.period.within_sql(self.time or "", keys)
        axis = next((dimension for dimension in self.grain if dimension.date_sql), None)
        if not keys or self.period is UNPARTITIONED or axis is None or self.time != axis.date_sql:
            return condition
        first = axis.columns[0].name
        if first == axis.date_sql:
            return condition
        lowest, highest = (
            axis.from_date[first].format(date=f"date '{day}'")
            for day in (
                self.period.window(keys[0])[0],
                self.period.window(keys[-1])[1] - timedelta(days=1),
            )
        )
        return f"{first} between {lowest} and {highest} and ({condition})"

    @cached_property
    def meaning(self) -> Meaning:
        """What its rows are made by and judged by, part by part."""
        from analytics_assets.core.meaning import meaning_of  # which reads declarations

        return meaning_of(self)

    @property
    def code_version(self) -> str:
        """Changes when a rebuild may give other rows."""
        return self.meaning.code_version

    @property
    def contract_version(self) -> str:
        """Changes when rows may be judged in another way."""
        return self.meaning.contract_version


def in_dependency_order(tables: Sequence[Table]) -> list[Table]:
    """The tables, each after everything that it is computed from."""
    done: dict[str, Table] = {}
    wanted = {table.key for table in tables}

    def visit(table: Table, path: tuple[str, ...]) -> None:
        if table.key in path:
            circle = (*path[path.index(table.key) :], table.key)
            raise table.refused(f"tables depend on each other: {' <- '.join(circle)}")
        if table.key in done:
            return
        for upstream in table.upstream:
            visit(upstream, (*path, table.key))
        done[table.key] = table

    for table in tables:
        visit(table, ())
    return [table for key, table in done.items() if key in wanted]

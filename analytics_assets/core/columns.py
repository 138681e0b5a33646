"""What a row is made of: columns, measures, ratios, and the axes that a table is counted along.

Belongs here: the words for parts of a row, and what can be refused by looking at one of them.
Does not belong here: tables (``declaration.py``), and any word of a domain.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from analytics_assets.core.refusals import DeclarationError, declared_at, no_such, refusal
from analytics_assets.core.rolling_up import RollsUp, rolls_up_by

Type = Literal[
    "text",
    "integer",
    "bigint",
    "boolean",
    "date",
    "datetime",
    "timestamp",
    "decimal",
    "decimal6",
    "money",
    "percent",
]

_NUMBERS: tuple[Type, ...] = ("integer", "bigint", "decimal", "decimal6", "money", "percent")

# Of a text of so many characters PostgreSQL can make a key in any script: an entry of an
# index has at most 2,704 bytes.
KEY_LENGTH = 500
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,58}")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def check_name(name: str, what: str) -> None:
    # Names are spliced into SQL as identifiers, so nothing but plain words may become one.
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _refused(what, name, "use letters, digits and underscores, at most 59")


def _refused(what: str, name: object, why: str) -> DeclarationError:
    return refusal(f"{what} {name!r}", why, declared_at(str(name)))


def _check_type(what: str, name: str, given: str) -> None:
    if given not in get_args(Type):
        raise _refused(what, name, no_such("type", given, get_args(Type)))


@dataclass(frozen=True)
class Column:
    """A column: its type, unit and the values that it may hold.

    ``minimum`` and ``maximum`` are inclusive; ``values`` lists all allowed values; ``pattern`` is a
    regular expression (RE2) that a whole text has to match. ``max_length`` is that of a text in
    characters; one that is part of a key has one in any case. ``personal`` columns identify a
    person: they are shown in no log, preview or finding, and are promoted only where ``Publish``
    says so. ``told``: its text is a word of a code book, a pseudonym or the name of a file, which
    messages and previews may show; of other text they show the shape (``telling.py``).
    """

    name: str
    type: Type
    description: str
    unit: str = ""
    nullable: bool = True
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] = ()
    pattern: str = ""
    max_length: int | None = None
    personal: bool = False
    # What people alone read: a column that differs in it has the same rows.
    told: bool = field(default=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        check_name(self.name, "column")
        _check_type("column", self.name, self.type)
        limits = (self.minimum, self.maximum)
        if None not in limits and self.minimum > self.maximum:  # type: ignore[operator]
            why = f"no value is from {self.minimum:g} to {self.maximum:g}; exchange the limits"
            raise _refused("column", self.name, why)


def text(
    name: str,
    description: str,
    nullable: bool = True,
    values: tuple[str, ...] = (),
    max_length: int | None = None,
    told: bool = False,
) -> Column:
    """A column of text."""
    return Column(
        name,
        "text",
        description,
        nullable=nullable,
        values=values,
        max_length=max_length,
        told=told,
    )


@dataclass(frozen=True)
class Measure:
    """A number of an aggregate that ``sql`` computes from the rows of the fact.

    A coarser table holds the sum, the greatest or the least of the finer values: ``rolls_up``,
    which is read from ``sql`` where that is clear, as of ``count(*)`` or ``max(level_cm)``.
    ``usually`` (SQL: a number or an earlier measure) is its most frequent value, which production
    stores for free. ``minimum`` is None where it may be negative. A maximum or minimum is NULL
    where there is no value. ``withheld``: NULL where readers may not see it (``small_cells.py``).
    ``late``: it goes on changing long after its day, so that no change of it puts a promotion on
    hold.
    What follows from one measure for another, where small cells are withheld: ``part_of``: earlier
    ones that count all the rows that it counts, beside those that a ratio divides it by;
    ``apart_from``: earlier ones that count none of these; ``same_as``: the first one that is
    always the same number; ``elsewhere``: it counts the rows that other tables of the same keys
    count by another value, so that what it leaves is the same number in all of them.
    """

    name: str
    sql: str
    description: str
    unit: str
    type: Type = "integer"
    usually: str | None = None
    minimum: float | None = 0
    withheld: bool = False
    late: bool = False
    rolls_up: RollsUp | None = None
    part_of: tuple[str, ...] = ()
    apart_from: tuple[str, ...] = ()
    same_as: str = ""
    elsewhere: bool = False
    # What it counts once in a row, such as users: a question adds no rows of it up.
    distinct: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        check_name(self.name, "measure")
        _check_type("measure", self.name, self.type)
        if self.type not in _NUMBERS:
            why = f"it is a number, and {self.type} is none; give {', '.join(_NUMBERS)}"
            raise _refused("measure", self.name, why)
        if self.rolls_up not in (None, *get_args(RollsUp)):
            why = no_such("way to roll up", self.rolls_up, get_args(RollsUp))
            raise _refused("measure", self.name, why)
        try:
            function = self.function
        except ValueError as error:
            raise _refused("measure", self.name, str(error)) from None
        if function != "sum" and self.usually is not None:
            why = f"its NULL says that there is no {function}, and cannot stand for a usual value"
            raise _refused("measure", self.name, f"{why}; leave out usually")

    @property
    def function(self) -> RollsUp:
        """The SQL function that makes its value out of finer ones."""
        return rolls_up_by(self.sql, self.rolls_up)

    @property
    def adds_up(self) -> bool:
        """Whether its value is the sum of finer ones."""
        return self.function == "sum"

    def column(self) -> Column:
        """The stored column: NULL where it is withheld, or is the greatest of no values."""
        nullable = self.withheld or not self.adds_up
        return Column(
            self.name, self.type, self.description, self.unit, nullable, minimum=self.minimum
        )


@dataclass(frozen=True)
class Ratio:
    """``scale * numerator / denominator`` of two measures; NULL where the denominator is 0.

    Never stored: views compute it where it is read, so it cannot be summed or averaged.
    """

    name: str
    numerator: str
    denominator: str
    description: str
    unit: str
    scale: int = 1

    def __post_init__(self) -> None:
        check_name(self.name, "ratio")

    def sql(self) -> str:
        """The expression, the same text in DuckDB and PostgreSQL, rounded to 4 decimals."""
        return f"cast(round({self.exact_sql()}, 4) as decimal(18, 4))"

    def exact_sql(self) -> str:
        """The same before it is rounded."""
        numerator = f"cast({self.scale} * {self.numerator} as decimal(38, 10))"
        return f"{numerator} / nullif({self.denominator}, 0)"

    def column(self) -> Column:
        """The column that readers see."""
        return Column(self.name, "decimal", self.description, self.unit)


@dataclass(frozen=True)
class MeasureList:
    """The measures and ratios that all aggregates of one fact share; one at least adds up.

    ``asked``: ratios that are no columns of a table, and are computed where somebody asks.
    """

    measures: tuple[Measure, ...]
    ratios: tuple[Ratio, ...] = ()
    asked: tuple[Ratio, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if self.measures and not self.additive:
            # A row that is lost and holds no extreme changes none of them.
            why = "nothing would show that rows are lost; add one that adds up, such as count(*)"
            raise _refused("measure", self.measures[0].name, why)
        names: list[str] = []
        for measure in self.measures:
            usual = measure.usually
            if usual is not None and usual not in names and not _NUMBER.fullmatch(usual):
                why = no_such("number or earlier measure", usual, names)
                raise _refused("measure", measure.name, f"of its usual value, {why}")
            for name in (*measure.part_of, *measure.apart_from, *filter(None, [measure.same_as])):
                if name not in names:
                    raise _refused("measure", measure.name, no_such("earlier measure", name, names))
            names.append(measure.name)
        for ratio in self.all_ratios:
            for name in (ratio.numerator, ratio.denominator):
                if name not in names:
                    raise _refused("ratio", ratio.name, no_such("measure", name, names))

    def only(self, names: Collection[str]) -> MeasureList:
        """These measures alone, and the ratios of two of them."""
        return MeasureList(
            tuple(measure for measure in self.measures if measure.name in names),
            tuple(r for r in self.ratios if {r.numerator, r.denominator} <= set(names)),
            tuple(r for r in self.asked if {r.numerator, r.denominator} <= set(names)),
        )

    @property
    def all_ratios(self) -> tuple[Ratio, ...]:
        """Those that are columns, and those that are only asked for."""
        return self.ratios + self.asked

    @property
    def additive(self) -> tuple[Measure, ...]:
        """The measures whose sum means something: counts and sums, in their order."""
        return tuple(measure for measure in self.measures if measure.adds_up)

    @property
    def total(self) -> Measure | None:
        """The measure that counts all rows, if there is one."""
        return next((m for m in self.measures if m.sql.strip().lower() == "count(*)"), None)

    @property
    def additive_ratios(self) -> tuple[Ratio, ...]:
        """The ratios of two such measures, which are shares and means over any rows."""
        names = {measure.name for measure in self.additive}
        return tuple(r for r in self.ratios if {r.numerator, r.denominator} <= names)


@dataclass(frozen=True)
class Bins:
    """What the axis of a histogram cuts: whole numbers ``of`` something, such as birth_weight, in
    ``width`` of its ``unit``. Its key column is the least number of a bin, ``count`` the measure
    that counts what is in it; medians and percentiles are computed from that.
    """

    of: str
    width: int
    unit: str
    count: str

    def __post_init__(self) -> None:
        check_name(self.of, "histogram")
        if self.width < 1:
            raise _refused("histogram", self.of, f"no bin is {self.width} wide; give 1 or more")

    def from_sql(self, column: str) -> str:
        """SQL of the least number of the bin that a value is in."""
        return f"cast(floor({column} / {self.width}.0) * {self.width} as integer)"

    @property
    def bound(self) -> float:
        """How far a percentile, the middle of its bin, may be from that of the single values."""
        return (self.width - 1) / 2


@dataclass(frozen=True)
class Strata:
    """What shares can be standardised by, such as age: the values of ``column``, but ``unknown``,
    in the rows whose ``pinned`` column has this value."""

    name: str
    column: str
    pinned: tuple[str, str] | None = None
    unknown: str = "unknown"


@dataclass(frozen=True)
class Dimension:
    """One axis of a grain: ``keys`` key columns first, then the attributes that they decide.

    For questions: ``each``: its column each of whose values holds all rows, as what rows are broken
    down by: no sum goes over several; ``role``: which of several places, or other things, of a row
    it is of, such as residence; its columns are asked for as ``residence.state_code``; ``bins``: it
    is the axis of a histogram.

    An axis of time says how its first day reads from its columns (``date_sql``) and how its
    columns read from a ``{date}`` (``from_date``), so that a coarser time can be derived: the same
    text in DuckDB and PostgreSQL, and the first column never falls as time goes on.
    """

    name: str
    columns: tuple[Column, ...]
    keys: int = 1
    date_sql: str | None = None
    from_date: Mapping[str, str] = field(default_factory=dict, hash=False)
    each: str = field(default="", compare=False, repr=False)
    role: str = field(default="", compare=False, repr=False)
    bins: Bins | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        check_name(self.name, "axis")
        names = [column.name for column in self.columns]
        if self.each and self.each not in names:
            raise _refused("axis", self.name, f"of each, {no_such('column', self.each, names)}")
        if not 1 <= self.keys <= len(names):
            why = f"{self.keys} of its {len(names)} columns cannot be keys; give 1 to {len(names)}"
            raise _refused("axis", self.name, why)

    @property
    def key_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns[: self.keys])

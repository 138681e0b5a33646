"""What can be asked: the metrics and words that the promoted tables offer, by what they count.

Belongs here: declarations -> subjects, each with its metrics, and what each table offers of them.
Does not belong here: reading a question (``question.py``), choosing a table (``resolver.py``).

A *subject* is what tables count together: the rows of one fact. A measure's name means one number
in all tables of a subject, whatever they count it by; so any of them may answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from analytics_assets.core.columns import Bins, Column, Dimension, Measure, Ratio, Strata
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Table
from analytics_assets.core.times import TIMES

_PERCENTILE = re.compile(r"(?:median|p([1-9]\d?))_(\w+)")
_COUNTED = ("integer", "bigint")


@dataclass(frozen=True)
class Metric:
    """What can be asked for by name. ``needs``: the measures that it is computed from."""

    name: str
    kind: Literal["measure", "ratio", "percentile"]
    unit: str
    description: str
    formula: str
    needs: tuple[str, ...]
    ratio: Ratio | None = None
    measure: Measure | None = None
    percent: int = 0
    of: str = ""

    @property
    def is_share(self) -> bool:
        """Whether it is a part of a count, so that chance says how far it may be off."""
        return self.kind == "ratio" and self.unit == "percent"


@dataclass(frozen=True)
class Word:
    """A word of ``by`` and ``where`` as a table has it: SQL over its view, and the column that it
    gives. ``time``: the word of time that it is."""

    name: str
    sql: str
    column: Column


@dataclass(frozen=True)
class Offer:
    """A promoted table as questions see it."""

    table: Table
    promoted: Table = field(repr=False)

    @staticmethod
    def of(table: Table) -> Offer:
        return Offer(table, table.promoted)

    @property
    def name(self) -> str:
        """``domain.table``, as production has it."""
        return f"{self.table.domain}.{self.table.published_name}"

    @property
    def view(self) -> str:
        """The view that readers see, in SQL."""
        return f"{quoted(self.table.domain)}.{quoted(self.table.published_name)}"

    @cached_property
    def measures(self) -> dict[str, Measure]:
        """Its measures that are promoted."""
        own = self.promoted.measures
        return {m.name: m for m in own.measures} if own else {}

    @cached_property
    def ratios(self) -> dict[str, Ratio]:
        """The ratios of two of these."""
        own = self.promoted.measures
        return {r.name: r for r in own.all_ratios} if own else {}

    @cached_property
    def axis(self) -> Dimension | None:
        """Its axis of time."""
        return next((d for d in self.table.grain if d.date_sql and d.name in TIMES), None)

    @cached_property
    def words(self) -> dict[str, Word]:
        """What it can be asked by: its columns but time, by their roles, and times."""
        found = {}
        for dimension in self.table.grain:
            if not dimension.date_sql:
                for column in dimension.columns:
                    name = _named(dimension, column)
                    found[name] = Word(name, quoted(column.name), column)
        if self.axis:
            for time in TIMES.values():
                if self.axis.name in time.axes:
                    sql = time.first.format(date=f"({self.axis.date_sql})")
                    found[time.name] = Word(time.name, sql, time.column())
        return found

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The words that tell its rows of one time apart."""
        return tuple(
            _named(dimension, column)
            for dimension in self.table.grain
            if not dimension.date_sql
            for column in dimension.columns[: dimension.keys]
        )

    @cached_property
    def each(self) -> tuple[str, ...]:
        """Words each value of which holds all rows."""
        own = {dimension.each for dimension in self.table.grain} | set(self.table.each)
        return tuple(
            _named(dimension, column)
            for dimension in self.table.grain
            for column in dimension.columns
            if column.name in own
        )

    @cached_property
    def bins(self) -> Bins | None:
        """The bins of a histogram."""
        return next((d.bins for d in self.table.grain if d.bins), None)

    @cached_property
    def bin_column(self) -> str:
        """The column of its bins, in SQL."""
        return next(quoted(d.columns[0].name) for d in self.table.grain if d.bins)

    @property
    def strata(self) -> dict[str, Strata]:
        """What shares can be standardised by here."""
        return {strata.name: strata for strata in self.table.strata}

    def metric(self, name: str) -> Metric | None:
        """What a name means here, if anything."""
        if name in self.measures:
            measure = self.measures[name]
            return Metric(name, "measure", measure.unit, measure.description,
                          _formula(measure), (name,), measure=measure)  # fmt: skip
        if name in self.ratios:
            ratio = self.ratios[name]
            scale = f"{ratio.scale} * " if ratio.scale != 1 else ""
            return Metric(name, "ratio", ratio.unit, ratio.description,
                          f"{scale}{ratio.numerator} / {ratio.denominator}, of sums",
                          (ratio.numerator, ratio.denominator), ratio)  # fmt: skip
        found = _PERCENTILE.fullmatch(name)
        bins = self.bins
        if found and bins and found[2] == bins.of and bins.count in self.measures:
            return _percentile(name, int(found[1] or 50), bins)
        return None

    def stored_only(self) -> dict[str, Column]:
        """Numbers that stand in its rows and of which nothing can be made for other rows."""
        known = {*self.measures, *self.ratios}
        return {
            column.name: column
            for column in self.promoted.columns
            if column.type not in ("text", "date", "boolean", "datetime", "timestamp")
            and column.name not in known
        }


def _named(dimension: Dimension, column: Column) -> str:
    return f"{dimension.role}.{column.name}" if dimension.role else column.name


def _formula(measure: Measure) -> str:
    how = {"sum": "sum", "max": "greatest", "min": "least"}[measure.function]
    return f"{how} of {' '.join(measure.sql.split())}"


def _percentile(name: str, percent: int, bins: Bins) -> Metric:
    least = "half" if percent == 50 else f"{percent} %"
    return Metric(
        name,
        "percentile",
        bins.unit,
        f"Least {bins.of.replace('_', ' ')} that at least {least} do not exceed.",
        "the middle of the bin of the histogram in which the running sum of"
        f" {bins.count} reaches {percent} %; off by at most half a bin",
        (bins.count,),
        percent=percent,
        of=bins.of,
    )


@dataclass(frozen=True)
class Subject:
    """Tables that count the rows of one fact."""

    domain: str
    name: str
    offers: tuple[Offer, ...]

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """All that can be asked for, in the order of the declarations; of percentiles a few."""
        found: dict[str, Metric] = {}
        for offer in self.offers:
            names = [*offer.measures, *offer.ratios]
            if bins := offer.bins:
                names += [f"{which}_{bins.of}" for which in ("median", "p10", "p90")]
            for name in names:
                metric = offer.metric(name)
                if metric and name not in found:
                    found[name] = metric
        return found

    @cached_property
    def words(self) -> dict[str, Word]:
        """All that it can be asked by."""
        return {name: word for offer in self.offers for name, word in offer.words.items()}

    @cached_property
    def decided_by(self) -> dict[str, frozenset[str]]:
        """Attribute -> the keys each of which decides it, as a state's code does its name."""
        found: dict[str, set[str]] = {}
        for offer in self.offers:
            for dimension in offer.table.grain:
                if dimension.keys == 1 and not dimension.date_sql:
                    key, *attributes = (_named(dimension, column) for column in dimension.columns)
                    for attribute in attributes:
                        found.setdefault(attribute, set()).add(key)
        return {name: frozenset(keys) for name, keys in found.items()}

    def metric(self, name: str) -> Metric | None:
        """What a name means in any of its tables."""
        return next((m for offer in self.offers if (m := offer.metric(name))), None)

    def stored_only(self, name: str) -> Offer | None:
        """A table in whose rows alone the name stands."""
        return next((offer for offer in self.offers if name in offer.stored_only()), None)


class Catalogue:
    """All subjects of the tables that are promoted."""

    def __init__(self, tables: Sequence[Table]) -> None:
        by_subject: dict[tuple[str, str], list[Offer]] = {}
        for table in tables:
            if table.publish and table.grain and (table.measures or table.columns):
                by_subject.setdefault((table.domain, _counts(table).name), []).append(
                    Offer.of(table)
                )
        self.subjects = tuple(
            Subject(domain, name, tuple(offers)) for (domain, name), offers in by_subject.items()
        )

    def of(self, name: str) -> tuple[Subject, ...]:
        """Those of a domain, or of a table of facts; all of them for an empty name."""
        return tuple(
            subject
            for subject in self.subjects
            if name in ("", subject.domain, f"{subject.domain}.{subject.name}")
        )

    def names(self) -> Iterator[str]:
        """What ``of`` may be."""
        for subject in self.subjects:
            yield from (subject.domain, f"{subject.domain}.{subject.name}")


def _counts(table: Table) -> Table:
    """The table whose rows are counted; where that is none, the aggregate that others are of."""
    if table.withholds:
        return _counts(table.reads[0])
    if table.rollup_of:
        return _counts(table.rollup_of)
    if table.measured_from:
        return _counts(table.measured_from) if table.measured_from.measures else table.measured_from
    return table


def is_count(measure: Measure) -> bool:
    """Whether it counts things, so that chance says how far it may be off."""
    return measure.adds_up and measure.type in _COUNTED and measure.sql.lower().startswith("count")

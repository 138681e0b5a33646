"""A question that a table can answer, as one SQL statement.

Belongs here: plan -> SQL with parameters, and the columns that it gives. The same text answers in
DuckDB and PostgreSQL; names come from declarations, values are parameters.
Does not belong here: which table answers (``resolver.py``), the formulas of rates (``rates.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any

from analytics_assets.core import rates
from analytics_assets.core.catalogue import Metric, Offer, Word, is_count
from analytics_assets.core.columns import Column, Strata
from analytics_assets.core.contracts import quoted
from analytics_assets.core.question import Question
from analytics_assets.core.times import TIMES, Time, one_time

_BEFORE = {"previous": "previous", "year_before": "year_before"}


@dataclass(frozen=True)
class Plan:
    """Who answers a question, and how.

    ``conditions`` and ``values``: SQL over the view with ``%(name)s``, and what these are;
    ``over``: the range that is asked, whole periods of the table; ``hidden``: keys that rows are
    told apart by without being shown; ``attributes``: words that others in ``by`` decide.
    """

    offer: Offer
    question: Question
    metrics: tuple[Metric, ...]
    conditions: tuple[str, ...]
    values: Mapping[str, Any]
    over: tuple[date, date] | None = None
    base: date | None = None
    hidden: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    strata: Strata | None = None
    notes: tuple[str, ...] = ()

    @cached_property
    def words(self) -> list[Word]:
        """What rows are told apart by, as asked."""
        return [self.offer.words[name] for name in self.question.by]

    @cached_property
    def time(self) -> Time | None:
        """The word of time by which rows are compared."""
        return one_time(self.question.by)

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """The measures that are read."""
        return tuple(dict.fromkeys(name for metric in self.metrics for name in metric.needs))

    # ---- columns --------------------------------------------------------------------------------

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the answer, in order."""
        return (
            *(replaced(word.column, word.name) for word in self.words),
            *(column for column, _ in self._values()),
        )

    def _values(self) -> Iterator[tuple[Column, str]]:
        """What is computed of each row, and its SQL over ``cells`` and, compared, ``before``."""
        for metric in self.metrics:
            column = self._column(metric)
            yield column, _shown(metric, f"cells.{quoted(metric.name)}")
            yield from self._bounds(metric)
            for asked in self.question.compare:
                yield from self._compared(asked, metric, column)

    def _column(self, metric: Metric) -> Column:
        if metric.measure:
            whole = metric.measure.type in ("integer", "bigint")
            type_ = "bigint" if whole else metric.measure.type
            return Column(metric.name, type_, metric.description, metric.unit)
        return Column(metric.name, "decimal", metric.description, metric.unit)

    def _bounds(self, metric: Metric) -> Iterator[tuple[Column, str]]:
        if metric.kind == "percentile" and self.offer.bins:
            bound = self.offer.bins.bound
            yield (
                Column(f"{metric.name}_bound", "decimal", "How far it may be off.", metric.unit),
                f"cast({bound} as decimal(18, 4))",
            )
        if not (metric.ratio and self._chance(metric)):
            return
        part, whole = (f"cells.{quoted(name)}" for name in metric.needs)
        if "interval" in self.question.rates:
            for which, sql in rates.wilson(part, whole, metric.ratio.scale):
                about = f"{which.capitalize()} end of the 95 % interval (Wilson)."
                yield Column(f"{metric.name}_{which}", "decimal", about, metric.unit), sql
        if "smoothed" in self.question.rates:
            peers = self._partition(word.name for word in self.words if word.name in TIMES)
            sql = rates.smoothed(part, whole, metric.ratio.scale, peers)
            about = "Drawn to the mean of all rows of the period (empirical Bayes)."
            yield Column(f"{metric.name}_smoothed", "decimal", about, metric.unit), sql
        if self.strata:
            about = f"Standardised by {self.strata.name}."
            name = f"{metric.name}_standardised"
            yield Column(name, "decimal", about, metric.unit), f"cells.{quoted(name)}"

    def _chance(self, metric: Metric) -> bool:
        """Whether chance can be told: counts, and shares of counts."""
        return (metric.is_share or metric.kind == "measure") and all(
            is_count(self.offer.measures[name]) for name in metric.needs
        )

    def _compared(self, asked: str, metric: Metric, column: Column) -> Iterator[tuple[Column, str]]:
        name, now = metric.name, f"cells.{quoted(metric.name)}"
        if asked in _BEFORE:
            was = f"{asked}.{quoted(name)}"
            about = "a year before" if asked == "year_before" else "the period before"
            yield replaced(column, f"{name}_{asked}", f"The same of {about}."), _shown(metric, was)
            change = Column(f"{name}_{asked}_change_pct", "decimal", "Change to that.", "percent")
            yield change, _percent(f"({now} - {was})", was)
            if self._chance(metric):
                said = Column(
                    f"{name}_{asked}_significance", "text", "rise or fall; or within chance (95 %)."
                )
                before = [f"{asked}.{quoted(n)}" for n in metric.needs]
                yield said, rates.significance([f"cells.{quoted(n)}" for n in metric.needs], before)
        elif asked == "share" and metric.measure:
            others = self._partition(w.name for w in self.words if w.name != self._child)
            share = Column(f"{name}_share_pct", "decimal", self._share_of, "percent")
            yield share, _percent(now, f"sum({now}) over ({others})")
        elif asked == "index":
            keys = self._partition(w.name for w in self.words if w.name not in TIMES)
            base = (
                f"max({now}) filter (where cells._time = (select _first from base)) over ({keys})"
            )
            about = "100 in the base period."
            yield Column(f"{name}_index", "decimal", about), _percent(now, base)

    @cached_property
    def _child(self) -> str:
        """The word whose values are shares of a whole: the last that is no time."""
        return [name for name in self.question.by if name not in TIMES][-1]

    @property
    def _share_of(self) -> str:
        others = [name for name in self.question.by if name != self._child]
        return f"Share of all rows of the same {' and '.join(others)}." if others else "Share."

    def _partition(self, names: Any) -> str:
        keys = [f"cells.{self._alias(name)}" for name in names]
        return f"partition by {', '.join(keys)}" if keys else ""

    def _alias(self, name: str) -> str:
        return f"_k{self.question.by.index(name)}"

    # ---- the statement --------------------------------------------------------------------------

    def sql(self, beside: str = "") -> str:
        """The statement: names and ``%(name)s`` only, ``limit`` among these; ``beside``: SQL of
        what each row begins with."""
        steps = {"fine": self._fine(), **self._folded()}
        joins = "".join(
            f" left join cells as {name} on {self._same_but_time(name)}"
            for name in self.question.compare
            if name in _BEFORE
        )
        if "index" in self.question.compare:
            first = "%(base)s::date" if self.base else f"(select min(_time) from cells{self._seen})"
            steps["base"] = f"select {first} as _first"
        shown = [f"{self._label(word)} as {quoted(word.name)}" for word in self.words] + [
            f"{sql} as {quoted(column.name)}" for column, sql in self._values()
        ]
        keys = [f"cells.{self._alias(word.name)}" for word in self.words]
        steps["answer"] = (
            f"select {', '.join([*shown, *(f'{key} as _o{n}' for n, key in enumerate(keys))])}"
            f" from cells{joins}{self._seen}"
        )
        listed = ", ".join(f"{name} as ({sql})" for name, sql in steps.items())
        names = ", ".join(quoted(column.name) for column in self.columns)
        order = f"{self._order(len(keys))} limit %(limit)s"
        return f"with {listed} select {beside}{names} from answer{order}"

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """Name -> value of all of its parameters."""
        found = {**self.values, "limit": self.question.limit}
        if self.over:
            found["first"], found["last"] = self._reads_from, self.over[1]
            found["shown"] = self.over[0]
        if self.base:
            found["base"] = self.base
        return found

    @property
    def _seen(self) -> str:
        """What is read only to be compared with is not shown."""
        if self.over and self.time and self._reads_from < self.over[0]:
            return " where cells._time >= %(shown)s"
        return ""

    @cached_property
    def _reads_from(self) -> date:
        assert self.over
        first, time = self.over[0], self.time
        found = [first]
        if time and "previous" in self.question.compare:
            found.append(time.floor(first - timedelta(days=1)))
        if time and "year_before" in self.question.compare:
            found.append(first - timedelta(days=364 if time.days == 7 else 366))
        return min(found)

    def _fine(self) -> str:
        """Sums by what is asked, and by the bins or strata that something is computed from."""
        offer = self.offer
        grouped, selected = [], []
        for word in self.words:
            sql = word.sql
            if word.name in self.attributes:
                sql = f"max({sql})"
            else:
                grouped.append(sql)
            selected.append(f"{sql} as {self._alias(word.name)}")
        if self.time:
            selected.append(f"{offer.words[self.time.name].sql} as _time")
        for name in self.hidden:
            grouped.append(offer.words[name].sql)
            selected.append(f"{offer.words[name].sql} as _h{self.hidden.index(name)}")
        if self._part:
            grouped.append(self._part)
            selected.append(f"{self._part} as _part")
        selected += [f"{self._summed(name, name)} as {quoted(name)}" for name in self.needs]
        where = " and ".join([*self.conditions, *self._within()]) or "true"
        by = f" group by {', '.join(dict.fromkeys(grouped))}" if grouped else " having count(*) > 0"
        return f"select {', '.join(selected)} from {offer.view} where {where}{by}"

    def _within(self) -> Iterator[str]:
        axis = self.offer.axis
        if self.over and axis:
            yield f"{axis.date_sql} >= %(first)s and {axis.date_sql} <= %(last)s"
            first = axis.columns[0].name
            if first == "year":  # the date is computed, and no index knows it
                yield (f"{quoted(first)} between {self._reads_from.year} and {self.over[1].year}")
        if "year_to_date" in self.question.by and axis:
            month = "extract(month from {})"
            upto = f" where {axis.date_sql} <= %(last)s" if self.over else ""
            yield (
                f"{month.format(axis.date_sql)} <= (select {month.format(f'max({axis.date_sql})')}"
                f" from {self.offer.view}{upto})"
            )

    def _summed(self, name: str, sql: str) -> str:
        measure = self.offer.measures[name]
        found = f"{measure.function}({quoted(sql)})"
        if measure.type in ("integer", "bigint"):
            found = f"cast({found} as bigint)"
        if self.offer.table.withholds:
            # A sum of what is not all there would be another number.
            found = f"case when count(*) = count({quoted(sql)}) then {found} end"
        return found

    @cached_property
    def _part(self) -> str:
        if self.strata:
            return quoted(self.strata.column)
        return self.offer.bin_column if self._percentiles else ""

    @cached_property
    def _percentiles(self) -> list[Metric]:
        return [metric for metric in self.metrics if metric.kind == "percentile"]

    def _folded(self) -> dict[str, str]:
        """``cells``: a row of the answer each, with what is computed of its parts."""
        keys = [self._alias(word.name) for word in self.words]
        keys += ["_time"] if self.time else []
        inner = ", ".join([*keys, *(quoted(name) for name in self.needs)])
        ratios = "".join(
            f", {metric.ratio.exact_sql()} as {quoted(metric.name)}"
            for metric in self.metrics
            if metric.ratio
        )
        if not self._part:
            return {"cells": f"select {inner}{ratios} from fine"}
        summed = [f"{self._summed(name, name)} as {quoted(name)}" for name in self.needs]
        by = f" group by {', '.join(keys)}" if keys else " having count(*) > 0"
        if self.strata:
            made = {
                f"{m.name}_standardised": rates.standardised(m.ratio, "fine", "standard")
                for m in self.metrics
                if m.ratio and self._chance(m)
            }
            fine, steps = "fine left join standard using (_part)", self._standard()
        else:
            count = quoted(self._percentiles[0].needs[0])
            over = f"partition by {', '.join(keys)}" if keys else ""
            steps = {
                "ranked": f"select *, sum({count}) over ({over} order by _part) as _upto,"
                f" sum({count}) over ({over}) as _all from fine"
            }
            assert self.offer.bins
            made = {
                m.name: f"cast(min(_part) filter (where _upto * 100 >= {m.percent} * _all"
                f" and _all > 0) + {self.offer.bins.bound} as decimal(18, 4))"
                for m in self._percentiles
            }
            fine = "ranked"
        more = [f"{sql} as {quoted(name)}" for name, sql in made.items()]
        folded = f"select {', '.join([*keys, *summed, *more])} from {fine}{by}"
        return {
            **steps,
            "folded": folded,
            "cells": f"select *{ratios} from folded",
        }

    def _standard(self) -> dict[str, str]:
        """How many of each stratum there are in all rows of the table, wherever and whenever."""
        assert self.strata
        whole = next(m.needs[1] for m in self.metrics if m.ratio and self._chance(m))
        pinned = f" and {quoted(self.strata.pinned[0])} = %(pinned)s" if self.strata.pinned else ""
        return {
            "standard": f"select {quoted(self.strata.column)} as _part,"
            f" cast(sum({quoted(whole)}) as double precision) as _weight from {self.offer.view}"
            f" where {quoted(self.strata.column)} <> %(unknown)s{pinned} group by 1"
        }

    def _same_but_time(self, name: str) -> str:
        assert self.time
        back = self.time.step if name == "previous" else self.time.year
        same = [f"{name}._time = cast(cells._time - {back} as date)"]
        same += [
            f"{name}.{self._alias(w.name)} = cells.{self._alias(w.name)}"
            for w in self.words
            if w.name not in TIMES
        ]
        return " and ".join(same)

    def _label(self, word: Word) -> str:
        sql = f"cells.{self._alias(word.name)}"
        return TIMES[word.name].label.format(first=sql) if word.name in TIMES else sql

    def _order(self, keys: int) -> str:
        asked = []
        for name in self.question.order:
            own, _, direction = _direction(name)
            asked.append(f"{quoted(own)} {direction} nulls last")
        ties = [f"_o{n}" for n in range(keys)]
        return f" order by {', '.join([*asked, *ties])}" if asked or ties else ""


def _direction(name: str) -> tuple[str, bool, str]:
    falls = name.startswith("-")
    return name.removeprefix("-"), falls, "desc" if falls else "asc"


def _shown(metric: Metric, sql: str) -> str:
    """A ratio is rounded where it leaves the statement, after it was compared."""
    return f"cast(round({sql}, 4) as decimal(18, 4))" if metric.ratio else sql


def _percent(part: str, whole: str) -> str:
    return (
        f"cast(round(cast(100 * {part} as decimal(38, 10)) / nullif({whole}, 0), 4)"
        " as decimal(18, 4))"
    )


def replaced(column: Column, name: str, description: str = "") -> Column:
    """The column under another name; one of an answer may have a dot."""
    made = Column("x", column.type, description or column.description, column.unit, column.nullable)
    object.__setattr__(made, "name", name)
    return made

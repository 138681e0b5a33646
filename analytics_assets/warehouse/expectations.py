"""What a partition is usually like: volume (its rows) and drift (its ratios), and what is unusual.

Belongs here: what is unusual, and what is said of it. Nothing here blocks: the unusual may be true.
Does not belong here: which partitions one is compared with (``comparable.py``), what is usual
beside given numbers (``core/usual.py``), judging rows (``audit.py``).

Records are counted (volume) where they are first computed: what adds them up provably holds as
many. Ratios are judged (drift) in totals of all places. Partitions are compared only with those of
the same places (``Table.alike_in``) and, of a ratio, with those where it is known as often.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np

from analytics_assets.core.columns import Ratio
from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets.core.rollups import totals_sql
from analytics_assets.core.usual import FEWEST, Matrix, usual_count, usual_ratio
from analytics_assets.warehouse.audit import SHOWN_ROWS, Finding
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.comparable import Comparable, Grid
from analytics_assets.warehouse.session import expose

VOLUME, DRIFT = "volume", "drift"
TOO_FEW = "too few partitions to compare with"
# How often a sound partition is unusual by chance alone. Ratios of real series have heavier tails
# than chance, and many are judged at once: docs/checks.md says what that comes to.
_BY_CHANCE = 1e-5
# A ratio known in fewer cases says little of all; it is known as often where the odds are alike.
_KNOWN, _KNOWN_ODDS = 0.5, 2.0
_ADVICE = {
    VOLUME: "Look at its source: a file may be short, doubled or of another period. If the number"
    " is right, there is nothing to do.",
    DRIFT: "Look at its source: codes or units may have changed, or a column be empty. If the"
    " values are right, there is nothing to do.",
}


@dataclass
class Expected:
    """What is unusual, and for each check and partition what it was compared with."""

    findings: list[Finding] = field(default_factory=list)
    compared: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def expectation_names(table: Table) -> list[str]:
    """The checks of a table that are made here."""
    if table.period is UNPARTITIONED:
        return []
    names = []
    if table.layer in ("staging", "facts", "marts") and not _copies(table):
        names.append(VOLUME)
    if table.measures and table.measures.additive_ratios and _is_total(table):
        names.append(DRIFT)
    return names


def _copies(table: Table) -> bool:
    """Whether it has a row for each of another computed table, where they are counted already."""
    return table.keeps_rows and not any(upstream.source for upstream in table.upstream)


def _is_total(table: Table) -> bool:
    """Whether a partition is one row of all places; the exact one, where cells are withheld."""
    (axis, *others) = table.grain or (None,)
    own = axis and axis.date_sql and table.period.unit == axis.name
    return bool(own and not others and not table.withholds)


def expect(
    session: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    table: Table,
    partitions: Sequence[str],
    tested: Collection[str] = (),
) -> Expected:
    """Compare live partitions with others: never with themselves.

    Those of one run are ``tested`` together, and do not vouch for what is usual as a whole.
    """
    found = Expected()
    if not expectation_names(table) or not partitions:
        return found
    others = Comparable(session, snapshot, table, set(tested))
    for name in expectation_names(table):
        judge = _Volume(others) if name == VOLUME else _Drift(others)
        for partition in partitions:
            said = judge.judged(partition)
            found.compared.setdefault(name, []).append({"partition": partition, **said.compared})
            if said.summary:
                found.findings.append(
                    Finding(name, partition, said.summary, said.rows, False, _ADVICE[name])
                )
    return found


@dataclass
class Judgement:
    """What is said of a partition: what is unusual (or nothing), by which rows, and beside what."""

    summary: str
    rows: list[dict[str, Any]]
    compared: dict[str, Any]


class _Volume:
    """Judges the number of rows."""

    def __init__(self, others: Comparable) -> None:
        self._others = others
        self._rows = {key: sum(file.rows for file in f) for key, f in others.files.items()}

    def judged(self, partition: str) -> Judgement:
        """Its rows beside those of its neighbours, and of them beside other seasons."""
        grid, whole = self._others.grid(partition), self._others.is_complete(partition)
        count = self._rows.get(partition, 0)
        row: dict[str, Any] = {"rows": count}
        vouching = self._others.vouching(grid)
        matrix = _matrix(grid, {**self._rows, partition: count})
        ranges = usual_count(matrix, self._others.centre, _BY_CHANCE, vouching)
        summary = ""
        if lacking := self._others.lacking(partition):
            summary = f"no rows of {lacking}, which its neighbours have"
        for found in ranges:
            low, high = f"{found.low:,.0f}", f"{found.high:,.0f}"
            row |= {"usually": f"{low} to {high}" if whole else f"up to {high}, being incomplete"}
            if found.value > found.high or (whole and found.value < found.low):
                what = f"{count:,} rows" if not found.of_season else _near(found.value, "rows")
                summary = f"{what}, usually {low} to {high}"
                break
        row["compared with"] = _compared(self._others, grid, self._rows) if ranges else TOO_FEW
        return Judgement(summary, [row] if summary else [], row)


class _Drift:
    """Judges the ratios."""

    def __init__(self, others: Comparable) -> None:
        assert others.table.measures
        self._others = others
        self._measures = others.table.measures
        self._total = self._measures.total
        # Of ratios of one number, such as a share of the known and one of all, the first says it.
        by_number = {ratio.numerator: ratio for ratio in reversed(self._measures.additive_ratios)}
        self._ratios = list(reversed(by_number.values()))
        self._totals: dict[str, dict[str, Any]] = {}

    def judged(self, partition: str) -> Judgement:
        """Each ratio beside its neighbours and other seasons, and whether one is gone."""
        grid = self._others.grid(partition)
        self._read({key for season in grid for key in season if key})
        rows = [row for ratio in self._ratios for row in self._unusual(ratio, grid)][:1000]
        compared = {
            "ratios": len(self._ratios),
            "unusual": len(rows),
            "compared with": _compared(self._others, grid),
        }
        if not rows:
            return Judgement("", [], compared)
        first = rows[0]
        more = f"; and {len(rows) - 1} more" if len(rows) > 1 else ""
        summary = f"{first['ratio']} is {first['value']}, usually {first['usually']}{more}"
        return Judgement(summary, rows[:SHOWN_ROWS], compared)

    def _read(self, partitions: Collection[str]) -> None:
        """Add the total of every measure in these partitions, which are read but once."""
        wanted = sorted(set(partitions) - self._totals.keys())
        uris = [file.uri for key in wanted for file in self._others.files.get(key, ())]
        if not uris:
            return
        table, session = self._others.table, self._others.session
        expose(session, table, uris)
        result = session.execute(totals_sql(table, table.partition_sql))
        names = [column[0] for column in result.description or ()]
        for row in result.fetchall():
            totals = dict(zip(names, row, strict=True))
            self._totals[totals["_partition"]] = totals

    def _of(self, measure: str, grid: Grid) -> Matrix:
        return _matrix(grid, {key: totals[measure] for key, totals in self._totals.items()})

    def _unusual(self, ratio: Ratio, grid: Grid) -> list[dict[str, Any]]:
        centre = self._others.centre
        numerators, cases = (self._of(name, grid) for name in (ratio.numerator, ratio.denominator))
        known = self._known(ratio, cases, grid)
        if _is_gone(known, centre):
            return [
                {
                    "ratio": ratio.name,
                    "value": f"unknown in every row ({self._column(ratio)} is empty throughout)",
                    "usually": f"known in {100 * np.nanmedian(known):.0f} percent",
                }
            ]
        with np.errstate(divide="ignore", invalid="ignore"):
            odds = known / (1 - known)
            alike = (odds <= _KNOWN_ODDS * odds[0, centre]) & (
                odds >= odds[0, centre] / _KNOWN_ODDS
            )
        alike |= (known == 1) & (known[0, centre] == 1)
        cases = np.where(alike & (known[0, centre] >= _KNOWN), cases, np.nan)
        by_chance = _BY_CHANCE / len(self._ratios)
        for found in usual_ratio(
            numerators, cases, ratio.scale, centre, by_chance, self._others.vouching(grid)
        ):
            if not found.holds:
                value = f"{found.value:,.2f} {ratio.unit}"
                return [
                    {
                        "ratio": ratio.name,
                        "value": _near(value) if found.of_season else value,
                        "usually": f"{found.low:,.2f} to {found.high:,.2f}",
                    }
                ]
        return []

    def _known(self, ratio: Ratio, cases: Matrix, grid: Grid) -> Matrix:
        """In which share of all cases the ratio is known; in all where nothing tells."""
        everything = np.where(np.isnan(cases), np.nan, 1.0)
        if not self._total:
            return everything
        total = self._of(self._total.name, grid)
        if (cases > total).any():
            return everything
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(total > 0, cases / total, np.nan)

    def _column(self, ratio: Ratio) -> str:
        """What the number of known cases is read from."""
        (measure,) = (m for m in self._measures.measures if m.name == ratio.denominator)
        table = self._others.table
        while table.rollup_of:
            table = table.rollup_of
        fact = table.measured_from
        columns = {column.name for column in fact.stored_columns} if fact else set()
        read = [word for word in re.findall(r"\w+", measure.sql) if word in columns]
        return ", ".join(dict.fromkeys(read)) or ratio.denominator


def _is_gone(known: Matrix, centre: int) -> bool:
    """Whether the ratio is known nowhere here, and in half of the cases everywhere else."""
    others = np.delete(known.ravel(), centre)
    others = others[~np.isnan(others)]
    return bool(known[0, centre] == 0 and len(others) >= FEWEST and (others >= _KNOWN).all())


def _matrix(grid: Grid, values: Mapping[str, Any]) -> Matrix:
    named = [[key or "" for key in season] for season in grid]
    return np.array(
        [[float(values[key]) if key in values else np.nan for key in season] for season in named]
    )


def _near(value: Any, what: str = "") -> str:
    shown = f"{value:,.0f} {what}" if what else value
    return f"{shown} in the midst of it and its neighbours"


def _compared(others: Comparable, grid: Grid, rows: Mapping[str, int] | None = None) -> str:
    """The same places of other seasons by name, and how many neighbours."""
    neighbours = sum(1 for key in grid[0] if key) - 1
    told = [neighbours >= FEWEST or vouches for vouches in others.vouching(grid)]
    centres = [season[others.centre] for season, one in zip(grid[1:], told[1:], strict=True) if one]
    seasons = sorted(filter(None, centres))
    if len(seasons) < FEWEST and neighbours < FEWEST:
        return TOO_FEW
    named = ", ".join(f"{key}: {rows[key]:,}" if rows else str(key) for key in seasons)
    beside = f"{neighbours} neighbour{'s' * (neighbours > 1)}" if neighbours else ""
    return "; ".join(filter(None, [named, beside]))

"""What a partition is usually like, learnt from partitions of the same season.

Belongs here: which partitions one is compared with, the usual range of its row count (volume) and
of its ratios (drift), and what is outside. Nothing here blocks: the unusual may be true.
Does not belong here: judging rows (``audit.py``).

The usual range is the median plus or minus 3.5 robust standard deviations (1.4826 times the median
absolute deviation): the modified z-score of Iglewicz and Hoaglin, "How to Detect and Handle
Outliers", 1993. Half of the references may be wrong before the range follows them, and growth at
any steady rate stays within it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from heapq import merge
from statistics import median
from typing import Any

import duckdb

from analytics_assets.core.columns import Ratio
from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import UNPARTITIONED, Period
from analytics_assets.core.rollups import totals_sql
from analytics_assets.warehouse.audit import SHOWN_ROWS, Finding
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import StoredFile, key_period, partition_of
from analytics_assets.warehouse.session import expose

VOLUME, DRIFT = "volume", "drift"
FEWEST, MOST = 3, 8  # references
TOO_FEW = "too few partitions to compare with"
_DEVIATIONS = 3.5
_PER_MAD = 1.4826
# However alike the references are, this much is not unusual.
_ROWS_SHARE, _ROWS, _RATIO_SHARE = 0.25, 10, 0.1
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
    # What is withheld would look unusual; the exact rows are judged where they are.
    if table.period is UNPARTITIONED or table.source is not None or table.withholds:
        return []
    return [VOLUME, DRIFT] if _has_drift(table) else [VOLUME]


def _has_drift(table: Table) -> bool:
    """Totals of all places: there a ratio moves little, and it is one row or a month of rows."""
    only_time = all(dimension.date_sql for dimension in table.grain)
    # What is usual depends on the number of cases, and of a ratio to a maximum there is none.
    return bool(table.grain and only_time and table.measures and table.measures.additive_ratios)


def expect(
    session: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    table: Table,
    partitions: Sequence[str],
    tested: Collection[str] = (),
) -> Expected:
    """Compare live partitions with others: never with themselves, nor with any of ``tested``.

    Those of one run are ``tested`` together: what one bad file holds must not vouch for itself.
    """
    found = Expected()
    names = expectation_names(table)
    if not names or not partitions:
        return found
    files: dict[str, list[StoredFile]] = {}
    for file in snapshot.lake.files(table):
        files.setdefault(partition_of(table, file.key), []).append(file)
    references = _References(snapshot, table, files.keys() - set(tested))
    chosen = {partition: references.of(partition) for partition in partitions}
    for partition, others in chosen.items():
        rows = {key: sum(f.rows for f in files.get(key, ())) for key in (partition, *others)}
        _judge_volume(found, references, partition, rows)
    if DRIFT in names:
        enough = {key: others for key, others in chosen.items() if others}
        totals = _totals(session, table, files, {*enough, *(o for v in enough.values() for o in v)})
        for partition, others in chosen.items():
            _judge_drift(found, table, partition, others, totals)
    return found


class _References:
    """Finds the partitions that one is compared with: of the same season, the nearest in time."""

    def __init__(self, snapshot: Snapshot, table: Table, known: Collection[str]) -> None:
        self._snapshot = snapshot
        self._table = table
        self._covered = _covered(snapshot, table.upstream)
        self._by_season: dict[int, list[date]] = {}
        self._days = sorted(table.period.window(key)[0] for key in known if self._is_good(key))
        for day in self._days:
            self._by_season.setdefault(_season(table.period, day), []).append(day)

    def of(self, partition: str) -> list[str]:
        """Keys, the nearest first; none where there are too few."""
        period = self._table.period
        day = period.window(partition)[0]
        found = self._nearest(self._by_season.get(_season(period, day), []), day)
        if len(found) < FEWEST and period.unit == "week":
            found = self._nearest(self._days, day)
        return found if len(found) >= FEWEST else []

    def _nearest(self, days: Sequence[date], day: date) -> list[str]:
        found: list[str] = []
        for other in _by_distance(days, day):
            key = self._table.period.key(other)
            if other != day and self.is_complete(key):
                found.append(key)
                if len(found) == MOST:
                    break
        return found

    def _is_good(self, partition: str) -> bool:
        """Whether the live rows are of the last build: one that was held back proves nothing."""
        build = self._snapshot.build_of(self._table, partition)
        return build is not None and not build.refused and not build.fails

    def is_complete(self, partition: str) -> bool:
        """Whether its input reaches to both of its ends: a year to date is no measure of years."""
        start, end = self._table.period.window(partition)
        return self._covered[0] <= start and end <= self._covered[1]


def _covered(snapshot: Snapshot, tables: Iterable[Table]) -> tuple[date, date]:
    """From the first to the last day that all of these tables, and what they read, reach."""
    start, end = date.min, date.max
    for table in tables:
        if table.period is UNPARTITIONED:
            continue
        files = snapshot.files(table)
        if not files:
            return date.max, date.min
        before = _covered(snapshot, table.upstream)
        first, last = (
            key_period(table, file.key).window(file.key) for file in (files[0], files[-1])
        )
        start, end = max(start, before[0], first[0]), min(end, before[1], last[1])
    return start, end


def _season(period: Period, day: date) -> int:
    """What comparable partitions share: the month, the week of the year or the weekday."""
    if period.unit == "month":
        return day.month
    if period.unit == "week":
        return day.isocalendar()[1]
    return day.weekday() if period.unit == "day" else 0


def _by_distance(days: Sequence[date], day: date) -> Iterator[date]:
    at = bisect_left(days, day)
    return merge(reversed(days[:at]), days[at:], key=lambda other: abs(other - day))


def _margin(values: Sequence[float], middle: float) -> float:
    return _DEVIATIONS * _PER_MAD * median(abs(value - middle) for value in values)


def usual_rows(rows: Sequence[int]) -> tuple[int, int]:
    """Fewest and most rows that are usual beside these counts, all of them above 0."""
    # In logarithms steady growth is a straight line, and its ends are as near as those of a level.
    logs = [math.log(count) for count in rows]
    middle = median(logs)
    margin = max(_margin(logs, middle), math.log(1 + _ROWS_SHARE))
    # A count of n cases varies by its square root.
    noise = max(_DEVIATIONS * math.sqrt(math.exp(middle)), _ROWS)
    low = min(math.exp(middle - margin), math.exp(middle) - noise)
    high = max(math.exp(middle + margin), math.exp(middle) + noise)
    return max(0, math.floor(low)), math.ceil(high)


def usual_ratio(ratio: Ratio, values: Sequence[float], denominator: float) -> tuple[float, float]:
    """Least and greatest value that is usual beside these, of so many cases."""
    middle = median(values)
    # A rate of few cases is not unusual at once: it varies as the number of its cases does.
    noise = math.sqrt(max(abs(middle) * denominator / ratio.scale, 1)) * ratio.scale / denominator
    margin = max(_margin(values, middle), _RATIO_SHARE * abs(middle), _DEVIATIONS * noise)
    return middle - margin, middle + margin


def _judge_volume(
    found: Expected, references: _References, partition: str, rows: Mapping[str, int]
) -> None:
    count = rows[partition]
    others = {key: value for key, value in rows.items() if key != partition}
    row: dict[str, Any] = {"rows": count}
    if others:
        low, high = usual_rows(list(others.values()))
        whole = references.is_complete(partition)
        row |= {"usually": f"{low:,} to {high:,}" if whole else f"up to {high:,}, being incomplete"}
        row |= {"compared with": _listed({key: f"{value:,}" for key, value in others.items()})}
        if count > high or (whole and count < low):
            summary = f"{count:,} rows, usually {low:,} to {high:,}"
            found.findings.append(
                Finding(VOLUME, partition, summary, [row], False, _ADVICE[VOLUME])
            )
    else:
        row["compared with"] = TOO_FEW
    found.compared.setdefault(VOLUME, []).append({"partition": partition, **row})


def _judge_drift(
    found: Expected,
    table: Table,
    partition: str,
    others: Sequence[str],
    totals: Mapping[str, Mapping[str, Any]],
) -> None:
    assert table.measures
    unusual = []
    for ratio in table.measures.additive_ratios if partition in totals else ():
        row = _compared_ratio(ratio, partition, others, totals)
        if row:
            unusual.append(row)
    if unusual:
        more = f"; and {len(unusual) - 1} more ratios" if len(unusual) > 1 else ""
        first = unusual[0]
        summary = f"{first['ratio']} is {first['value']}, usually {first['usually']}{more}"
        rows = unusual[:SHOWN_ROWS]
        found.findings.append(Finding(DRIFT, partition, summary, rows, False, _ADVICE[DRIFT]))
    found.compared.setdefault(DRIFT, []).append(
        {
            "partition": partition,
            "ratios": len(table.measures.additive_ratios),
            "unusual": len(unusual),
            "compared with": ", ".join(others) or TOO_FEW,
        }
    )


def _compared_ratio(
    ratio: Ratio, partition: str, others: Sequence[str], totals: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any] | None:
    """The ratio, its value and range if it is unusual."""
    values = {key: _value(ratio, totals[key]) for key in (partition, *others) if key in totals}
    value = values.pop(partition)
    known = {key: other for key, other in values.items() if other is not None}
    if len(known) < FEWEST:
        return None
    # Cases are those of the references where the partition has none.
    cases = totals[partition][ratio.denominator] or median(
        totals[key][ratio.denominator] for key in known
    )
    low, high = usual_ratio(ratio, list(known.values()), float(cases))
    vanished = value is None and len(known) == len(values)
    if not vanished and (value is None or low <= value <= high):
        return None
    return {
        "ratio": ratio.name,
        "value": f"{value:,.2f} {ratio.unit}" if value is not None else "unknown in every row",
        "usually": f"{low:,.2f} to {high:,.2f}",
        "compared with": _listed({key: f"{other:,.2f}" for key, other in known.items()}),
    }


def _value(ratio: Ratio, totals: Mapping[str, Any]) -> float | None:
    denominator = totals[ratio.denominator]
    return (
        ratio.scale * float(totals[ratio.numerator]) / float(denominator) if denominator else None
    )


def _totals(
    session: duckdb.DuckDBPyConnection,
    table: Table,
    files: Mapping[str, Sequence[StoredFile]],
    partitions: Collection[str],
) -> dict[str, dict[str, Any]]:
    """Partition -> total of every measure, reading these partitions only."""
    uris = [file.uri for key in sorted(partitions) for file in files.get(key, ())]
    if not uris:
        return {}
    expose(session, table, uris)
    result = session.execute(totals_sql(table, table.partition_sql))
    names = [column[0] for column in result.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    return {row["_partition"]: row for row in rows}


def _listed(values: Mapping[str, str]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in sorted(values.items()))

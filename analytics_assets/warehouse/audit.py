"""Judging staged files before anyone can see them.

Belongs here: the contract, uniqueness, totals and the table's own checks, all run on staged
files, and the rows that break them.
Does not belong here: what happens to a partition that fails (``build.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb

from analytics_assets.core import telling
from analytics_assets.core.columns import Column
from analytics_assets.core.contracts import Rule, failure_cases, quoted, rules
from analytics_assets.core.declaration import Check, Table
from analytics_assets.core.rollups import totals_sql
from analytics_assets.warehouse.lake import partition_of
from analytics_assets.warehouse.session import expose, expose_live, expose_tallies

CONTRACT, RECONCILES = "contract", "reconciles"
DOUBLED = "stands more than once"
SHOWN_ROWS = 20
_RUNS = 12
_ADVICE = {
    CONTRACT: "Mend the rows at their source and run again.",
    RECONCILES: "The SQL loses, doubles or moves rows: compare it with its upstream table.",
}


@dataclass(frozen=True)
class Finding:
    """A check that a partition fails: how often, by which rules, and some of the rows."""

    check: str
    partition: str
    summary: str
    rows: Sequence[dict[str, Any]] = field(default_factory=list, hash=False)
    blocking: bool = True
    advice: str = ""

    @property
    def message(self) -> str:
        """Where, what, and what to do."""
        return f"{self.partition}: {self.check}: {self.summary}. {self.advice}".strip()


def told(table: Table, findings: Sequence[Finding]) -> list[str]:
    """A sentence for each finding, and one for those that differ in their partition alone."""
    alike: dict[Finding, list[str]] = {}
    for finding in findings:
        alike.setdefault(replace(finding, partition="", rows=()), []).append(finding.partition)
    said = []
    for finding, partitions in alike.items():
        spans = table.period.spans(set(partitions)) if len(partitions) > 1 else []
        runs = [first if first == last else f"{first} to {last}" for first, last in spans]
        where = ", ".join(runs[:_RUNS]) + (f" and {len(runs) - _RUNS} more" * (len(runs) > _RUNS))
        said.append(replace(finding, partition=where or partitions[0]).message)
    return said


@dataclass(frozen=True)
class Audit:
    """Row count and fingerprint of each staged storage key, and what was found."""

    rows: dict[str, int]
    fingerprints: dict[str, str]
    findings: list[Finding]

    def failed(self) -> set[str]:
        """Partitions that must not be published."""
        return {finding.partition for finding in self.findings if finding.blocking}


def audit_names(table: Table) -> list[str]:
    """The checks of a table that are made here, in their order."""
    names = [CONTRACT]
    if reconciled_with(table) or table.keeps_rows:
        names.append(RECONCILES)
    return names + [check.name for check in table.checks]


def reconciled_with(table: Table) -> Table | None:
    """The finer table whose totals this one must have."""
    return table.rollup_of or table.measured_from


def audit(
    session: duckdb.DuckDBPyConnection,
    table: Table,
    partitions: Sequence[str],
    rows_read: dict[str, int] | None,
    whole: Sequence[str] = (),
    live: Sequence[str] = (),
) -> Audit:
    """Judge the staged partitions of ``table``, which the session reads under the table's name.

    ``rows_read`` is the number of upstream rows of each partition, where one row gives one row.
    ``whole``: the files of all slices, where only those that changed are staged. The table's own
    checks judge them all, and the session reads them afterwards. ``live``: the files that those of
    ``table`` would replace.
    """
    measured = _measure(session, table)
    findings = _contract(session, table, measured.broken)
    if table.unique_columns:
        findings += _doubled(session, table)
    if table.keeps_rows and rows_read is not None:
        findings += _row_counts(table, measured.rows, rows_read)
    finer = reconciled_with(table)
    if finer:
        findings += reconciled(session, table, finer, partitions)
    if whole:
        expose(session, table, whole)
    expose_tallies(session, table, partitions)
    expose_live(session, table, live)
    for check in table.checks:
        # Where nothing is live, a check that compares with it has nothing to find.
        if live or "_live" not in check.sql:
            findings += _own_check(session, table, check)
    return Audit(measured.rows, measured.fingerprints, findings)


@dataclass(frozen=True)
class _Measured:
    rows: dict[str, int]
    fingerprints: dict[str, str]
    broken: dict[str, dict[str, int]]


def _measure(session: duckdb.DuckDBPyConnection, table: Table) -> _Measured:
    """Rows, fingerprint and broken rules of each storage key, in one scan."""
    judged = rules(table)
    # One condition for all rules; which of them it was is asked only where a partition breaks one.
    any_rule = " or ".join(rule.broken_sql for rule in judged) or "false"
    result = session.execute(
        f"select _partition, count(*), {row_hashes_sql(table)}, count(*) filter (where {any_rule})"
        f" from {table.sql_name} group by _partition"
    ).fetchall()
    return _Measured(
        rows={key: count for key, count, _, _ in result},
        fingerprints={key: fingerprint(count, total) for key, count, total, _ in result},
        broken={key: _broken(session, table, judged, key) for key, *_, n in result if n},
    )


def row_hashes_sql(table: Table) -> str:
    """The sum of one hash per row of the stored columns, as ``fingerprint`` wants it."""
    columns = ", ".join(quoted(column.name) for column in table.stored_columns)
    return f"sum(hash({columns}))"


def fingerprint(rows: int, row_hashes: int) -> str:
    """Tells whether rows differ: it does not depend on their order, and doubled rows count twice.

    That of two sets of rows together is that of their added counts and hashes.
    """
    return f"{rows:x}-{int(row_hashes) % 2**64:016x}"


def rows_of(fingerprint: str) -> int:
    """How many rows a fingerprint is of."""
    return int(fingerprint.partition("-")[0], 16)


def _broken(
    session: duckdb.DuckDBPyConnection, table: Table, judged: list[Rule], key: str
) -> dict[str, int]:
    counted = ", ".join(f"count(*) filter (where {rule.broken_sql})" for rule in judged)
    (counts,) = session.execute(
        f"select {counted} from {table.sql_name} where _partition = ?", [key]
    ).fetchall()
    return {rule.name: n for rule, n in zip(judged, counts, strict=True) if n}


def _contract(
    session: duckdb.DuckDBPyConnection, table: Table, broken: dict[str, dict[str, int]]
) -> list[Finding]:
    findings = []
    for key, counts in broken.items():
        if not counts:
            continue
        predicate = " or ".join(rule.broken_sql for rule in rules(table) if rule.name in counts)
        frame = session.execute(
            f"select * from {table.sql_name} where _partition = ? and ({predicate}) limit ?",
            [key, SHOWN_ROWS],
        ).df()
        cases = failure_cases(table, frame.drop(columns="_partition"))
        summary = "; ".join(f"{name}: {count:,} rows" for name, count in list(counts.items())[:4])
        summary += f"; and {len(counts) - 4} more rules" if len(counts) > 4 else ""
        rows = [
            {**_shown(table, row), **_named(table, case, row)}
            for case in cases
            if case["index"].isdigit()
            for row in (frame.iloc[int(case["index"])].to_dict(),)
        ]
        findings.append(
            Finding(
                CONTRACT,
                partition_of(table, key),
                summary,
                rows[:SHOWN_ROWS],
                advice=_ADVICE[CONTRACT],
            )
        )
    return findings


def _named(table: Table, case: dict[str, str], row: Mapping[Any, Any]) -> dict[str, Any]:
    name = case["column"]
    return {
        "failed column": name,
        "failed check": case["check"],
        "value": telling.cell(row.get(name), _columns(table).get(name)),
    }


def _shown(table: Table, row: Mapping[Any, Any]) -> dict[str, Any]:
    # The unique and the first columns say which row it is; a wide fact would hide that.
    told = telling.row(row, _columns(table))
    names = [name for name in table.unique_columns if name in told]
    return {name: told[name] for name in list(dict.fromkeys([*names, *told]))[:6]}


def _doubled(session: duckdb.DuckDBPyConnection, table: Table) -> list[Finding]:
    keys = ", ".join(quoted(name) for name in table.unique_columns)
    rows = _dicts(session.execute(f"{doubled_sql(table)} order by all"))
    return [
        Finding(
            CONTRACT,
            partition,
            f"{len(own):,} values of ({keys}) stand more than once",
            [telling.row(row, _columns(table)) for row in own[:SHOWN_ROWS]],
            advice=_ADVICE[CONTRACT],
        )
        for partition, own in _by_partition(table, rows).items()
    ]


def doubled_sql(table: Table) -> str:
    """SELECT of the values of the unique columns that more than one row of a storage key has."""
    keys = ", ".join(quoted(name) for name in table.unique_columns)
    return (
        f"select _partition, {keys}, count(*) as times from {table.sql_name}"
        " group by all having count(*) > 1"
    )


def _row_counts(table: Table, rows: dict[str, int], rows_read: dict[str, int]) -> list[Finding]:
    written: dict[str, int] = {}
    for key, count in rows.items():
        written[partition_of(table, key)] = written.get(partition_of(table, key), 0) + count
    return [
        Finding(
            RECONCILES,
            partition,
            f"{read:,} rows read, {written.get(partition, 0):,} written",
            advice=_ADVICE[RECONCILES],
        )
        for partition, read in rows_read.items()
        if read != written.get(partition, 0)
    ]


def reconciled(
    session: duckdb.DuckDBPyConnection,
    table: Table,
    finer: Table,
    partitions: Sequence[str],
    counted_as: Table | None = None,
) -> list[Finding]:
    """Where the totals of ``table`` are not those of ``finer``, both as the session reads them.

    ``counted_as``: whose measures and condition count rows of ``finer``, if not those of ``table``.
    """
    assert finer.time is not None
    key = table.period.key_sql(finer.time)
    own = _dicts(session.execute(totals_sql(table, table.partition_sql)))
    theirs = {
        row["_partition"]: row
        for row in _dicts(session.execute(totals_sql(counted_as or table, key, finer)))
    }
    findings = []
    for row in own:
        expected = theirs.get(row["_partition"], {})
        wrong = [
            {
                **{name: row[name] for name in table.each},
                "measure": name,
                "here": value,
                finer.key: expected.get(name),
            }
            for name, value in row.items()
            if name != "_partition" and name not in table.each and value != expected.get(name)
        ]
        if wrong:
            first = wrong[0]
            more = f"; {len(wrong) - 1} more totals differ" if len(wrong) > 1 else ""
            findings.append(
                Finding(
                    RECONCILES,
                    row["_partition"],
                    f"{first['measure']} is {_total(first['here'])}, but"
                    f" {_total(first[finer.key])} in {finer.key}{more}",
                    [_told_totals(table, one) for one in wrong[:SHOWN_ROWS]],
                    advice=_ADVICE[RECONCILES],
                )
            )
    lost = {key for key in theirs if key in set(partitions)} - {row["_partition"] for row in own}
    return findings + [
        Finding(RECONCILES, key, f"no rows, but {finer.key} has some", advice=_ADVICE[RECONCILES])
        for key in sorted(lost)
    ]


def _total(value: Any) -> Any:
    return value if value is None else telling.number(value, is_total=True)


def _told_totals(table: Table, wrong: Mapping[str, Any]) -> dict[str, Any]:
    each = telling.row({name: wrong[name] for name in table.each}, _columns(table))
    others = {name: value for name, value in wrong.items() if name not in each}
    return each | {n: v if n == "measure" else _total(v) for n, v in others.items()}


def _own_check(session: duckdb.DuckDBPyConnection, table: Table, check: Check) -> list[Finding]:
    rows = _dicts(session.execute(check.sql))
    return [
        Finding(
            check.name,
            partition,
            f"{check.description}: {len(alike):,} found{_told(check, alike)}",
            [_told_row(table, check, row) for row in alike[:SHOWN_ROWS]],
            blocking,
            check.advice,
        )
        for partition, own in _by_partition(table, rows).items()
        for blocking, alike in _by_severity(check, own).items()
    ]


def _by_severity(check: Check, rows: list[dict[str, Any]]) -> dict[bool, list[dict[str, Any]]]:
    """Whether they hold the partition back -> the rows."""
    found: dict[bool, list[dict[str, Any]]] = {}
    for row in rows:
        warns = bool(row.pop(check.warns)) if check.warns else False
        found.setdefault(check.blocking and not warns, []).append(row)
    return found


def _told_row(table: Table, check: Check, row: Mapping[str, Any]) -> dict[str, Any]:
    said = telling.row(row, _columns(table), check.shows)
    return said | ({check.told: _said(check, row)} if check.told else {})


def _told(check: Check, rows: Sequence[Mapping[str, Any]]) -> str:
    if not check.told:
        return ""
    # Values that are told by their shape may be many of one.
    counted: Counter[str] = Counter()
    for row in rows:
        counted[_said(check, row)] += row[check.times] if check.times else 1
    values = [f"{v}: {n}" for v, n in counted.items()] if check.times else sorted(counted)
    more = f" and {len(values) - 5} more" if len(values) > 5 else ""
    return f" ({', '.join(values[:5])}{more})" if values else ""


def _said(check: Check, row: Mapping[str, Any]) -> str:
    value = row[check.told]
    if check.words is None:
        return str(value)
    return telling.word(value, check.words) if isinstance(value, str) else str(telling.cell(value))


def _dicts(result: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    assert result.description
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _by_partition(table: Table, rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The rows of each partition."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        key = partition_of(table, row["_partition"])
        found.setdefault(key, []).append(
            {name: value for name, value in row.items() if name != "_partition"}
        )
    return found


def _columns(table: Table) -> dict[str, Column]:
    return {column.name: column for column in table.stored_columns}

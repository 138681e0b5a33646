"""The metrics: a row of ``reference/metrics.csv`` each, from which everything about it derives.

Belongs here: reading and judging that file, and the SQL of a metric's value.
Does not belong here: the tables that hold metrics (``tables.py``).
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import sqlglot
from sqlglot import exp

from analytics_assets.core.columns import Column, DeclarationError

REFERENCE = Path(__file__).parent / "reference"
METRICS_FILE = REFERENCE / "metrics.csv"
TYPES = ("ratio", "currency", "count")


@dataclass(frozen=True)
class Metric:
    """One metric: ``formula`` is SQL over the columns of ``bank_months``.

    A ratio is stored as 0 to 1; ``unit`` and ``precision`` (digits) say how to show it.
    """

    metric_id: int
    metric_code: str
    metric_name: str
    metric_type: str
    unit: str
    precision: int
    is_active: bool
    formula: str
    description: str

    @cached_property
    def _tree(self) -> exp.Expr:
        try:
            return sqlglot.parse_one(self.formula, dialect="duckdb")
        except sqlglot.errors.ParseError as error:
            raise DeclarationError(
                f"metric {self.metric_code}: {self.formula!r}: {error}"
            ) from error

    @property
    def reads(self) -> set[str]:
        """The columns that the formula names."""
        return {column.name for column in self._tree.find_all(exp.Column)}

    @property
    def sql(self) -> str:
        """The value, NULL where something is divided by 0."""
        tree = self._tree.copy()
        for division in list(tree.find_all(exp.Div)):
            division.set(
                "expression", exp.func("nullif", division.expression, exp.Literal.number(0))
            )
        return f"cast({tree.sql(dialect='duckdb')} as decimal(18, 6))"

    def column(self) -> Column:
        """The metric as a column of the wide table."""
        unit = "ratio" if self.metric_type == "ratio" else self.unit
        return Column(self.metric_code, "decimal6", self.description, unit)


def read_metrics(file: Path = METRICS_FILE) -> tuple[Metric, ...]:
    """The metrics of a file, in order of their number; ``DeclarationError`` for a bad row."""
    with file.open(encoding="utf-8", newline="") as rows:
        metrics = [_metric(row) for row in csv.DictReader(rows)]
    for name in ("metric_id", "metric_code"):
        values = [getattr(metric, name) for metric in metrics]
        doubled = sorted({str(value) for value in values if values.count(value) > 1})
        if doubled:
            raise DeclarationError(f"{file.name}: {name} given twice: {', '.join(doubled)}")
    return tuple(sorted(metrics, key=lambda metric: metric.metric_id))


def _metric(row: dict[str, str]) -> Metric:
    return Metric(
        metric_id=int(row["metric_id"]),
        metric_code=row["metric_code"],
        metric_name=row["metric_name"],
        metric_type=row["metric_type"],
        unit=row["unit"],
        precision=int(row["precision"]),
        is_active=row["is_active"] == "true",
        formula=row["formula"],
        description=row["description"],
    )


def judge(metrics: Sequence[Metric], known: Collection[str]) -> None:
    """``DeclarationError`` for a metric that reads a column which is not there."""
    for metric in metrics:
        unknown = sorted(metric.reads - set(known))
        if unknown:
            raise DeclarationError(
                f"metric {metric.metric_code}: no column {', '.join(unknown)} in bank_months"
            )
        if metric.metric_type not in TYPES:
            raise DeclarationError(
                f"metric {metric.metric_code}: its type is one of {', '.join(TYPES)}"
            )

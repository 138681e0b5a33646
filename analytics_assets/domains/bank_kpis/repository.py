"""Reading metrics from production: evolution, comparison, ranking.

Belongs here: the questions that an API or a dashboard asks, and their answers as values.
Does not belong here: how metrics are computed (``tables.py``) or shown.

Where the answers come from follows the phase of the migration: the wide table, the view of the
same columns, or the star. They are the same answers.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from analytics_assets.domains.bank_kpis.phases import PHASES

_READ = "bank_kpis"
_WIDE = {"dual_write": "monthly_kpis", "view": "v_monthly_kpis"}


@dataclass(frozen=True)
class MetricValue:
    """A value of a metric; ratios are 0 to 1, amounts in the metric's unit.

    ``date`` is the first day of the month.
    """

    bank_code: str
    metric_code: str
    date: date
    value: Decimal


@dataclass(frozen=True)
class BankInfo:
    """A bank (``individual``), or a group, a consolidated bank or the system (``aggregate``)."""

    bank_code: str
    bank_name: str
    bank_type: str
    level: str
    institution_code: str
    is_active: bool


@dataclass(frozen=True)
class MetricInfo:
    """What a metric is, and how to show it."""

    metric_code: str
    metric_name: str
    metric_type: str
    unit: str | None
    precision: int
    formula: str
    description: str
    is_active: bool


class UnknownCode(LookupError):
    """A code that no bank or metric has; ``nearest`` are the ones that look like it."""

    def __init__(self, what: str, code: str, nearest: Sequence[str]) -> None:
        self.what, self.code, self.nearest = what, code, tuple(nearest)
        hint = f" Did you mean {' or '.join(self.nearest)}?" if nearest else ""
        super().__init__(f"There is no {what} {code!r}.{hint}")


class UnknownBank(UnknownCode):
    """No bank has this code."""


class UnknownMetric(UnknownCode):
    """No metric has this code."""


def reading_engine(url: str, **options: Any) -> AsyncEngine:
    """An async engine for a PostgreSQL URL of any driver; sessions can only read."""
    return create_async_engine(
        sa.make_url(url).set(drivername="postgresql+psycopg"),
        connect_args={"options": "-c default_transaction_read_only=on -c timezone=UTC"},
        # A read is one statement: without BEGIN and ROLLBACK it is one round trip, not three.
        isolation_level="AUTOCOMMIT",
        **options,
    )


class MetricRepository:
    """Metrics in production.

    A bank goes by its short name (``INVEX``) or the regulator's code (``040059``). Without
    ``phase`` the one that is in force is asked for once.
    """

    def __init__(self, engine: AsyncEngine, phase: str | None = None) -> None:
        if phase is not None and phase not in PHASES:
            raise ValueError(f"there is no phase {phase!r}: use one of {', '.join(PHASES)}")
        self._engine = engine
        self._phase = phase

    async def get_evolution(
        self, bank_code: str, metric_code: str, date_start: date, date_end: date
    ) -> list[MetricValue]:
        """A bank's values of the months from ``date_start`` to ``date_end``, oldest first.

        Months without a value are left out. Raises ``UnknownBank``, ``UnknownMetric``, and
        ``ValueError`` if the dates are the wrong way round.
        """
        if date_end < date_start:
            raise ValueError(f"date_start {date_start} is after date_end {date_end}")
        wide = await self._wide()
        values: dict[str, Any] = {"banks": [bank_code], "metric": metric_code}
        if wide:
            column = await self._wide_column(metric_code)
            sql = _wide_sql(wide, column, "w.fecha between :first and :last", "w.fecha")
            values |= {"first": date_start.replace(day=1), "last": date_end}
        else:
            sql = _EVOLUTION
            values |= {"first": _date_id(date_start), "last": _date_id(date_end)}
        found = await self._values(sql, values)
        if not found:
            await self._check([bank_code], metric_code)
        return found

    async def get_comparison(
        self, bank_codes: Sequence[str], metric_code: str, date: date
    ) -> list[MetricValue]:
        """The banks' values of one month, in the order asked for; without a value, left out.

        Raises ``UnknownBank`` and ``UnknownMetric``.
        """
        wanted = list(dict.fromkeys(bank_codes))
        if not wanted:
            return []
        wide = await self._wide()
        values: dict[str, Any] = {"banks": wanted, "metric": metric_code}
        if wide:
            column = await self._wide_column(metric_code)
            sql = _wide_sql(wide, column, "w.fecha = :first", "banks.place")
            values |= {"first": date.replace(day=1)}
        else:
            sql = _COMPARISON
            values |= {"first": _date_id(date)}
        found = await self._values(sql, values)
        if len(found) < len(wanted):
            await self._check(wanted, metric_code)
        return found

    async def get_ranking(
        self, metric_code: str, date: date, limit: int = 10, descending: bool = True
    ) -> list[MetricValue]:
        """The banks with the greatest (or least) values of one month; no groups, no system.

        Equal values are in order of bank code. Raises ``UnknownMetric``, and ``ValueError`` for a
        ``limit`` below 1.
        """
        if limit < 1:
            raise ValueError(f"limit is {limit}; it has to be at least 1")
        order = "desc" if descending else "asc"
        wide = await self._wide()
        values: dict[str, Any] = {"metric": metric_code, "limit": limit}
        if wide:
            column = await self._wide_column(metric_code)
            sql = _RANKING_WIDE.format(relation=wide, column=column, order=order)
            values |= {"first": date.replace(day=1)}
        else:
            sql = _RANKING.format(order=order)
            values |= {"first": _date_id(date)}
        found = await self._values(sql, values)
        if not found:
            await self._check([], metric_code)
        return found

    async def list_metrics(self) -> list[MetricInfo]:
        """All metrics, in order of their number."""
        rows = await self._rows(
            "select metric_code, metric_name, metric_type, unit, precision, formula, description,"
            f" is_active from {_READ}.dim_metric order by metric_id"
        )
        return [MetricInfo(*row) for row in rows]

    async def list_banks(self) -> list[BankInfo]:
        """All banks and aggregates, in order of their code."""
        rows = await self._rows(
            "select bank_code, bank_name, bank_type, level, institution_code, is_active"
            f" from {_READ}.dim_bank order by bank_code"
        )
        return [BankInfo(*row) for row in rows]

    async def _wide(self) -> str | None:
        """The wide relation that is read in this phase; ``None`` if it is the star."""
        if self._phase is None:
            rows = await self._rows(
                f"select phase from {_READ}.migration_log order by id desc limit 1"
            )
            self._phase = rows[0].phase if rows else PHASES[0]
        return _WIDE.get(self._phase)

    async def _wide_column(self, metric_code: str) -> str:
        """The metric's column; only what dim_metric has gets into SQL."""
        rows = await self._rows(
            f"select metric_code from {_READ}.dim_metric where metric_code = :metric",
            {"metric": metric_code},
        )
        if not rows:
            await self._check([], metric_code)
        return '"' + str(rows[0].metric_code).replace('"', '""') + '"'

    async def _values(self, sql: str, values: dict[str, Any]) -> list[MetricValue]:
        metric = str(values["metric"])
        return [
            MetricValue(row.bank_code, metric, _month(row.month), row.value)
            for row in await self._rows(sql, values)
        ]

    async def _rows(self, sql: str, values: dict[str, Any] | None = None) -> Sequence[Any]:
        async with self._engine.connect() as connection:
            return (await connection.execute(sa.text(sql), values or {})).all()

    async def _check(self, bank_codes: Sequence[str], metric_code: str) -> None:
        """Raise if there is no such bank or metric; asked only where an answer has gaps."""
        metrics = [metric.metric_code for metric in await self.list_metrics()]
        if metric_code not in metrics:
            raise UnknownMetric("metric", metric_code, _nearest(metric_code, metrics))
        if not bank_codes:
            return
        banks = await self.list_banks()
        known = {code for bank in banks for code in (bank.bank_code, bank.institution_code)}
        for code in bank_codes:
            if code not in known:
                named = [bank.bank_code for bank in banks]
                raise UnknownBank("bank", code, _nearest(code, named) or _nearest(code, known))


def _nearest(code: str, known: Sequence[str] | set[str]) -> list[str]:
    plain = {name.lower(): name for name in sorted(known)}
    close = difflib.get_close_matches(code.lower().strip(), plain, n=2, cutoff=0.6)
    return [plain[name] for name in close]


def _date_id(day: date) -> int:
    return day.year * 100 + day.month


def _month(value: Any) -> date:
    return value if isinstance(value, date) else date(value // 100, value % 100, 1)


_BANKS = (
    f"(select b.bank_id, b.bank_code, min(asked.place) as place from {_READ}.dim_bank as b"
    " join unnest(cast(:banks as text[])) with ordinality as asked (code, place)"
    " on asked.code = b.bank_code or asked.code = b.institution_code"
    " group by b.bank_id, b.bank_code) as banks"
)
_METRIC = f"(select metric_id from {_READ}.dim_metric where metric_code = :metric)"
# LIMIT tells the planner that it is one bank, of which the fact is then read along its key.
_EVOLUTION = (
    "select b.bank_code, f.date_id as month, f.value from (select bank_id, bank_code"
    f" from {_READ}.dim_bank where bank_code = any(:banks) or institution_code = any(:banks)"
    f" limit 1) as b join {_READ}.fact_monthly_kpi as f on f.bank_id = b.bank_id"
    f" where f.metric_id = {_METRIC} and f.date_id between :first and :last order by f.date_id"
)
_COMPARISON = (
    f"select banks.bank_code, f.date_id as month, f.value from {_BANKS}"
    f" join {_READ}.fact_monthly_kpi as f on f.bank_id = banks.bank_id"
    f" and f.metric_id = {_METRIC} and f.date_id = :first order by banks.place"
)
_RANKING = (
    f"select b.bank_code, f.date_id as month, f.value from {_READ}.fact_monthly_kpi as f"
    f" join {_READ}.dim_bank as b on b.bank_id = f.bank_id and b.bank_type = 'individual'"
    f" where f.metric_id = {_METRIC} and f.date_id = :first"
    " order by f.value {order}, b.bank_code limit :limit"
)
_RANKING_WIDE = (
    f"select w.banco_norm as bank_code, w.fecha as month, w.{{column}} as value"
    f" from {_READ}.{{relation}} as w"
    f" join {_READ}.dim_bank as b on b.bank_code = w.banco_norm and b.bank_type = 'individual'"
    " where w.fecha = :first and w.{column} is not null"
    " order by w.{column} {order}, w.banco_norm limit :limit"
)


def _wide_sql(relation: str, column: str, when: str, order: str) -> str:
    return (
        f"select w.banco_norm as bank_code, w.fecha as month, w.{column} as value from {_BANKS}"
        f" join {_READ}.{relation} as w on w.banco_norm = banks.bank_code"
        f" where {when} and w.{column} is not null order by {order}"
    )

"""The wide table's columns over the star: the view ``v_monthly_kpis``.

Belongs here: its SQL, and where it and the stored wide table differ.
Does not belong here: which of the two people read (``migration.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Table
from analytics_assets.domains.bank_kpis.metrics import Metric

OLD, NEW = "monthly_kpis", "v_monthly_kpis"
READ, STORE = "bank_kpis", "bank_kpis_store"
_SHOWN = 20


@dataclass(frozen=True)
class Cell:
    """A value on which wide table and view differ; ``None`` where one has no value or row."""

    bank_code: str
    month: str
    column: str
    wide: str | None
    view: str | None

    def __str__(self) -> str:
        where = f"{self.bank_code} {self.month}" if self.bank_code else "the declaration"
        return f"{self.column} of {where}: {self.wide} and {self.view}"


def star_sql(metrics: Sequence[Metric]) -> str:
    """The wide table's columns, over the star."""
    columns = ",\n    ".join(
        f"cast(max(fact.value) filter (where fact.metric_id = {metric.metric_id})"
        f" as numeric(18, 6)) as {quoted(metric.metric_code)}"
        for metric in metrics
    )
    return (
        f"select dates.full_date as fecha, banks.bank_code as banco_norm,\n    {columns}\n"
        f"from {READ}.fact_monthly_kpi as fact\n"
        f"join {READ}.dim_bank as banks using (bank_id)\n"
        f"join {READ}.dim_date as dates using (date_id)\n"
        "group by dates.full_date, banks.bank_code"
    )


def differences(connection: sa.Connection, wide: Table) -> list[Cell]:
    """Cells on which the stored wide table and ``v_monthly_kpis`` differ, and columns."""
    old, new = _columns(connection, f"{STORE}.{OLD}"), _columns(connection, f"{READ}.{NEW}")
    names = [column.name for column in wide.stored_columns]
    found = [
        Cell("", "", name, old.get(name), new.get(name))
        for name in dict.fromkeys([*names, *new])
        if old.get(name) != new.get(name)
    ]
    if found:
        return found
    listed = ", ".join(map(quoted, names))
    values = ", ".join(f"('{name}', w.{quoted(name)}, v.{quoted(name)})" for name in names[2:])
    rows = connection.execute(
        sa.text(
            f"with w as (select {listed} from {STORE}.{OLD}),"
            f" v as (select {listed} from {READ}.{NEW})"
            " select coalesce(w.banco_norm, v.banco_norm) as bank_code,"
            " cast(coalesce(w.fecha, v.fecha) as text) as month, cells.name,"
            " cast(cells.wide as text) as wide, cast(cells.star as text) as star"
            " from w full join v on v.banco_norm = w.banco_norm and v.fecha = w.fecha"
            f" cross join lateral (values {values}) as cells (name, wide, star)"
            " where cells.wide is distinct from cells.star order by 2, 1, 3 limit :shown"
        ),
        {"shown": _SHOWN},
    )
    return [Cell(*row) for row in rows]


def _columns(connection: sa.Connection, relation: str) -> dict[str, str]:
    """Column -> type of a relation; stored integers and texts are as declared."""
    rows = connection.execute(
        sa.text(
            "select attname, format_type(atttypid, atttypmod) as type from pg_attribute"
            " where attrelid = to_regclass(:name) and attnum > 0 and not attisdropped"
            " order by attnum"
        ),
        {"name": relation},
    )
    return {row.attname: row.type for row in rows}

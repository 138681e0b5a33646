"""Production filled by hand: the real schema and encoding, rows of a test's own, no warehouse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import product
from typing import Any

import sqlalchemy as sa

from analytics_assets import registry
from analytics_assets.core.columns import Column, Dimension
from analytics_assets.core.declaration import Table
from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets.production import encoding, records, schema
from analytics_assets.production.promotion import delete
from analytics_assets.production.standing import promoted, remember

Row = Mapping[str, Any]
TABLES = registry.tables()
_INCOMING = "incoming"
PLACES = {
    "region": [("1", "Norte"), ("3", "Sudeste")],
    "state": [("12", "AC", "Acre", "1", "Norte"), ("35", "SP", "São Paulo", "3", "Sudeste")],
    "municipality": [
        ("1200401", "Rio Branco", "12", "AC", "Acre", "1", "Norte"),
        ("3534708", "Ouro d'Oeste", "35", "SP", "São Paulo", "3", "Sudeste"),
        ("3550308", "São Paulo", "35", "SP", "São Paulo", "3", "Sudeste"),
    ],
    "facility": [("0000000", "none"), ("2701006", "100% Mãe_Bebê")],
    "occupation": [("000000", "unknown"), ("621005", "Agricultora")],
    "breakdown": [("sex", "1"), ("sex", "2")],
    "maternal_age_group": [("25-29",), ("unknown",)],
    "maternal_age": [(25,), (99,)],
    "birth_weight_bin_50": [(3000,), (3050,)],
    "birth_weight_bin_10": [(3000,), (3010,), (3190,)],
    "gestational_weeks_bin_1": [(39,), (40,)],
    "maternal_age_bin_1": [(24,), (25,)],
}
_DAYS = [date(2023, 12, 28) + timedelta(days=n) for n in range(16)]
TIMES: dict[str, list[tuple[Any, ...]]] = {
    "year": [(year,) for year in (2021, 2022, 2023, 2024)],
    "month": [(year, month) for year in (2022, 2023, 2024) for month in (1, 2, 12)],
    "week": [(date(2024, 1, 1),), (date(2024, 1, 8),)],
    "day": [(day,) for day in _DAYS],
}


def rows_of(table: Table, change: int = 0) -> list[dict[str, Any]]:
    """A row for each combination of the axes' values; ``change`` gives other measures."""
    axes = [_values(axis) for axis in table.grain]
    names = [column.name for axis in table.grain for column in axis.columns]
    found = []
    for position, values in enumerate(product(*axes)):
        row = dict(zip(names, (value for axis in values for value in axis), strict=True))
        total = 10 + (position * 7 + change) % 23
        for measure in table.measures.measures if table.measures else ():
            row[measure.name] = total // 2 if measure.name.endswith("_count") else total
        found.append(row)
    return found


def _values(axis: Dimension) -> Sequence[tuple[Any, ...]]:
    return TIMES[axis.name] if axis.date_sql else PLACES[axis.name]


def clinic_rows() -> dict[str, list[dict[str, Any]]]:
    """Rows of the clinic's marts by table; patients are pseudonyms, names have wildcards."""
    sources, devices = ("Direct", "Meta Ads", None), ("iOS 17.1", "Android 100%_x", "", "ANDROID")
    patients = [f"{number:032x}" for number in range(24)]
    profiles = [
        {
            "patient_id": patient,
            "traffic_source": sources[n % 3],
            "device": devices[n % 4],
            "os": None,
            "os_version": None,
        }
        for n, patient in enumerate(patients)
    ]
    seen = {"traffic_source": "Direct", "known_patient": True}
    visits = [
        {
            "appointment_id": f"{n:032x}",
            "patient_id": patients[n % 24],
            "age": None if n % 5 == 0 else 20 + n,
            "gender": "Female",
            "doctor_name": "Dr. O'Neill" if n % 2 else "Dr. David",
            "appointment_reason": "Check-up",
            "appointment_date": date(2024, 3, 1) + timedelta(days=n % 10),
            "appointment_status": "Attended" if n % 3 else "Not Attended",
            **seen,
        }
        for n in range(40)
    ]
    events = [
        {
            "event_id": f"{n:032x}",
            "patient_id": patients[n % 24],
            "group": "Test" if n % 2 else "Control",
            "event_name": "reminder_sent",
            "event_date": date(2024, 3, 1 + n % 3),
            "event_datetime": datetime(2024, 3, 1 + n % 3, 9, n, 30),
            **seen,
        }
        for n in range(30)
    ]
    return {
        "clinic/dim_patient_from_app_profiles": profiles,
        "clinic/fct_appointments": visits,
        "clinic/fct_ab_events": events,
    }


def made_up(table: Table) -> list[dict[str, Any]]:
    """A few rows of any table; what may be unknown is, in one of them."""
    key = table.unique_columns
    return [
        {
            column.name: None
            if column.nullable and column.name not in key and position == 3
            else _value(column, position)
            for column in table.promoted.stored_columns
        }
        for position in range(7)
    ]


def _value(column: Column, position: int) -> Any:
    if column.values:
        return column.values[position % len(column.values)]
    if column.type == "date":
        return date(2024, 1, 1) + timedelta(days=position)
    if column.type in ("datetime", "timestamp"):
        return datetime(2024, 1, 1 + position, 12)
    if column.type == "text":
        return f"{column.name} {position}"
    if column.type == "boolean":
        return bool(position % 2)
    # A month that is written as a number, or any number.
    return (202301 if column.name == "date_id" else max(1, int(column.minimum or 0))) + position


def promote(connection: sa.Connection, table: Table, rows: Iterable[Row], key: str = "") -> None:
    """Put rows in the place of a partition's, as a promotion does; all of them without a key."""
    table = table.promoted
    records.begin_writing(connection, table.domain)
    there = promoted(connection, table)
    if schema.present_shape(connection, table) != schema.shape(table):
        schema.create(connection, table)
        there = {}
    names = [column.name for column in table.stored_columns]
    given = [{name: row[name] for name in names} for row in rows]
    if key in there:
        delete(connection, table, [key])
    elif not key:
        connection.execute(sa.text(f"delete from {encoding.stored_name(table)}"))
    connection.execute(sa.text(f"drop table if exists {_INCOMING}"))
    incoming = schema.incoming_table(table, _INCOMING)
    incoming.create(connection)
    usual = encoding.measure_defaults(table)
    for row in given:
        for name, value in usual.items():
            same = row.get(value, value)
            row[name] = None if str(row[name]) == str(same) else row[name]
    if given:
        connection.execute(sa.insert(incoming), given)
    for statement in encoding.dictionary_sql(table, _INCOMING):
        connection.execute(sa.text(statement))
    connection.execute(sa.text(encoding.insert_sql(table, _INCOMING)))
    entered(connection, table, key or _key(table), len(given))


def entered(connection: sa.Connection, table: Table, partition: str, rows: int) -> None:
    """Put a partition into the ledger, as a release does."""
    entry = {"delta_version": 1, "fingerprint": "f", "checksum": "c", "run_id": "r"}
    place = {"table_name": table.key, "partition": partition, "rows": rows}
    connection.execute(sa.insert(records.ledger), place | entry)
    remember(connection, [table])


def promote_days(connection: sa.Connection, table: Table, rows: Iterable[Row]) -> None:
    """Put rows there, each day as a partition of its own."""
    days: dict[str, list[Row]] = {}
    for row in rows:
        days.setdefault(table.period.key(row[str(table.time)]), []).append(row)
    for key, own in days.items():
        promote(connection, table, own, key)


def _key(table: Table) -> str:
    """One partition that stands for all rows; its place in time does not matter to a reader."""
    if table.period is UNPARTITIONED:
        return UNPARTITIONED.only_key
    return table.period.key(date(2024, 1, 1))

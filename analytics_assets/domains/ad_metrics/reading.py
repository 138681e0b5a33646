"""SELECTs over the vendors' files: lines, arrays and CSV as text, under names of ours.

Belongs here: the formats, places of fields in JSON, and errors that show nothing of a file.
Does not belong here: which fields there are and what is refused (``sources.py``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb

from analytics_assets.core.source import SourceError
from analytics_assets.domains.ad_metrics.landing import DayFile
from analytics_assets.warehouse.session import literal


@contextmanager
def reading(session: Any, table: str, files: Sequence[Any]) -> Iterator[None]:
    """Damaged input as ``SourceError``, without the vendor's values in it; drops ``table``."""
    try:
        yield
    except (duckdb.InvalidInputException, duckdb.IOException, duckdb.ConversionException) as error:
        names = ", ".join(str(getattr(file, "path", file)) for file in files)
        raise SourceError(
            "it cannot be read: it is damaged, or not UTF-8, or not of its format",
            names,
            "Export it again",
        ) from _without_values(error)
    finally:
        session.execute(f"drop table if exists {table}")


def _without_values(error: Exception) -> Exception:
    # What DuckDB says of a line may quote it, and a line holds user ids.
    return ValueError(type(error).__name__)


def csv_lines_sql(path: str) -> str:
    """SELECT of a file's lines; JSON has no control characters, so one can delimit nothing."""
    if os.path.getsize(path) == 0:
        return "select '' as line limit 0"
    return (
        f"select line from read_csv({literal(path)}, columns = {{'line': 'varchar'}},"
        " header = false, delim = '\x01', quote = '', escape = '', auto_detect = false,"
        " max_line_size = 4194304) where trim(line) <> ''"
    )


def lines_sql(file: DayFile) -> str:
    """SELECT of a file's lines with the first and last day that its name says."""
    lines = csv_lines_sql(str(file.path))
    return (
        f"select line, date '{file.first}' as first_day, date '{file.last}' as last_day"
        f" from ({lines})"
    )


def csv_sql(path: str) -> str:
    """A CSV with a header as a table of text."""
    return f"read_csv({literal(path)}, header = true, all_varchar = true, delim = ',')"


def insights_sql(number: int, file: DayFile) -> str:
    """Rows of an Insights file: JSON lines, an array, or the API's answer with ``data``."""
    path = str(file.path)
    if os.path.getsize(path) == 0:
        return "select 0 as number, '' as line limit 0"
    return (
        f"select {number} as number, cast(unnest(case when json_exists(json, '$.data')"
        " then json_extract(json, '$.data[*]') else [json] end) as varchar) as line"
        f" from read_json_objects({literal(path)}, maximum_object_size = 268435456)"
    )


def _paths(fields: Mapping[str, Sequence[str]], nests: Sequence[str]) -> list[tuple[str, str]]:
    """(our name, JSON path) of every place where a field may stand."""
    return [
        (name, f'$."{nest}"."{theirs}"' if nest else f'$."{theirs}"')
        for name, own in fields.items()
        for theirs in own
        for nest in (*nests, "")
    ]


def extract_sql(json: str, fields: Mapping[str, Sequence[str]], nests: Sequence[str]) -> str:
    """All places of all fields as one list: the text is parsed once."""
    listed = ", ".join(literal(path) for _, path in _paths(fields, nests))
    return f"json_extract_string({json}, [{listed}])"


def fields_sql(listed: str, fields: Mapping[str, Sequence[str]], nests: Sequence[str]) -> str:
    """Select list: of each field the first place that holds something."""
    places = [name for name, _ in _paths(fields, nests)]
    return ", ".join(
        "coalesce("
        + ", ".join(
            f"nullif(trim({listed}[{number + 1}]), '')"
            for number, place in enumerate(places)
            if place == name
        )
        + f") as {name}"
        for name in fields
    )


def rest_sql(json: str, fields: Mapping[str, Sequence[str]], nests: Sequence[str]) -> str:
    """The fields that have no name of ours, as JSON: a merge patch takes the named ones away."""
    names = [theirs for own in fields.values() for theirs in own if theirs]
    nulls = ", ".join(f'"{name}": null' for name in (*names, *nests))
    patch = literal("{" + nulls + "}")
    parts = [json, *(f"coalesce(json_extract({json}, '$.\"{nest}\"'), '{{}}')" for nest in nests)]
    merged = f"json_merge_patch({', '.join([*parts, patch])})"
    return f"case when json_valid({json}) then cast({merged} as varchar) end"


def epoch_ms_sql(text: str) -> str:
    """Milliseconds since 1970 of a time given in seconds or milliseconds."""
    number = f"try_cast({text} as double)"
    return (
        f"cast(case when {number} between 0 and 1e11 then {number} * 1000"
        f" when {number} between 1e11 and 1e14 then {number} end as bigint)"
    )

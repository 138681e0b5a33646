"""Where columns come from, as it was worked out before.

Belongs here: remembering the lineage of tables whose SQL and inputs have not changed. To read it
from the SQL of all domains takes a second, which a night with nothing new need not pay.
Does not belong here: reading it from SQL (``core/lineage.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any

import dagster as dg
import sqlglot

from analytics_assets import settings
from analytics_assets.core.declaration import Table
from analytics_assets.core.lineage import column_lineage
from analytics_assets.warehouse.notes import note, noted

_NOTE = "column_lineage"


def known_lineage(tables: Sequence[Table]) -> dict[str, dg.TableColumnLineage | None]:
    """Table -> upstream columns of its stored columns; ``None`` where it comes from a source."""
    known = noted(_NOTE)
    kept: dict[str, Any] = {}
    for table in tables:
        word, entry = _word(table), known.get(table.key)
        kept[table.key] = entry if entry and entry[0] == word else [word, _worked_out(table)]
    changed = any(entry is not known.get(key) for key, entry in kept.items())
    # Whoever only loads the code has no home, and gets none by it.
    if changed and settings.load().home.exists():
        # On a disk that is read-only it is worked out again.
        with suppress(OSError):
            note(_NOTE, known | kept)
    return {key: _lineage(columns) for key, (_, columns) in kept.items()}


def _worked_out(table: Table) -> dict[str, list[list[Any]]] | None:
    found = column_lineage(table)
    if found is None:
        return None
    return {
        name: [[list(dep.asset_key.path), dep.column_name] for dep in deps]
        for name, deps in found.deps_by_column.items()
    }


def _lineage(columns: dict[str, list[list[Any]]] | None) -> dg.TableColumnLineage | None:
    if columns is None:
        return None
    return dg.TableColumnLineage(
        {
            name: [dg.TableColumnDep(dg.AssetKey(path), column) for path, column in deps]
            for name, deps in columns.items()
        }
    )


def _word(table: Table) -> str:
    """Changes with all that decides the lineage."""
    read = [(upstream.key, upstream.meaning.rows["columns"]) for upstream in table.upstream]
    return sha256(repr((table.code_version, read, sqlglot.__version__)).encode()).hexdigest()

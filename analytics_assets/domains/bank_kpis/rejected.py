"""What of the regulator's workbooks is in no table.

Belongs here: the source of ``rejected_record``.
Does not belong here: why a row is rejected (``workbooks.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow

from analytics_assets.core.partitions import UNPARTITIONED
from analytics_assets.core.source import Landing, place
from analytics_assets.domains.bank_kpis.layouts import FILES, INSTITUTIONS
from analytics_assets.domains.bank_kpis.sources import (
    WorkbookSource,
    digest,
    listed,
)

_STRANGE = (
    "it is no Excel workbook whose name begins with CNBV_Cartera, ICAP, TDA, CASTIGOS or"
    " Instituciones"
)
_SCHEMA = pyarrow.schema(
    [
        ("feed", pyarrow.string()),
        ("file", pyarrow.string()),
        ("file_rows", pyarrow.int64()),
        ("file_row", pyarrow.int64()),
        ("reason", pyarrow.string()),
        ("record", pyarrow.string()),
    ]
)


class RejectedSource:
    """What of the workbooks is in no table: rows, whole workbooks, and files that are none."""

    def _rows(self) -> dict[str, list[dict[str, Any]]]:
        """File -> a row for each."""
        found: dict[str, list[dict[str, Any]]] = {}
        for name in FILES:
            books, refused = WorkbookSource(name).workbooks()
            for path, book in books.items():
                found[path.name] = [
                    {
                        "feed": name,
                        "file": path.name,
                        "file_rows": book.offered,
                        "file_row": row.row,
                        "reason": f"{row.reason} (sheet {row.sheet})",
                        "record": row.record,
                    }
                    for row in (*book.rejected, *book.left_out)
                ]
            for path, why in refused.items():
                found[path.name] = [{"feed": name, "file": path.name, "reason": why}]
        for path in _strange():
            found[path.name] = [{"feed": "", "file": path.name, "reason": _STRANGE}]
        return {name: rows for name, rows in found.items() if rows}

    def problems(self) -> list[str]:
        """Files that are no workbook of the regulator by their names."""
        return [f"{place(path)}: {_STRANGE}" for path in _strange()]

    def inputs(self) -> dict[str, dict[str, str]]:
        """File -> fingerprint of what cannot be landed from it."""
        if not listed():
            return {}
        return {UNPARTITIONED.only_key: {n: digest(rows) for n, rows in self._rows().items()}}

    @contextmanager
    def land(self, landing: Landing) -> Iterator[list[str]]:
        """A row each, as ``landing.rejected`` declares them."""
        rows = [row for own in self._rows().values() for row in own]
        landing.session.register("rejected_landed", pyarrow.Table.from_pylist(rows, _SCHEMA))
        try:
            yield ["select * from rejected_landed"]
        finally:
            landing.session.unregister("rejected_landed")


def _strange() -> list[Path]:
    patterns = (*FILES.values(), INSTITUTIONS)
    return [path for path in listed() if not any(p.fullmatch(path.name) for p in patterns)]

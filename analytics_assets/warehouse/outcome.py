"""What came of building a table, for whoever tells people.

Belongs here: the outcome, and the findings that no audit makes.
Does not belong here: building (``build.py``), or telling (``table_assets.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from analytics_assets.core import telling
from analytics_assets.core.declaration import Table
from analytics_assets.core.source import SourceError, SourceUnavailable
from analytics_assets.warehouse.audit import CONTRACT, Finding
from analytics_assets.warehouse.staging import Reports

_TYPE = "Mend the value at its source, or the SQL that gives the column, and run again."


@dataclass
class Outcome:
    """What came of building a table: rows by partition, what failed, and what to tell people."""

    table: Table
    rows: dict[str, int] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    reports: Reports = field(default_factory=dict)
    # Without input; of these ``absent`` were never built and ask for nothing.
    missing: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    # Whose refused input is not offered any more.
    withdrawn: list[str] = field(default_factory=list)
    # Partitions of which only the live rows were judged, by a contract that is newer than they are.
    judged: set[str] = field(default_factory=set)
    unavailable: tuple[str, SourceUnavailable] | None = None
    untried: list[str] = field(default_factory=list)
    # Partition -> how many rows hold it back; check -> what partitions were compared with.
    quarantined: dict[str, int] = field(default_factory=dict)
    failure_files: dict[str, str] = field(default_factory=dict)
    released: bool = False
    compared: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    version: int | None = None

    def failed(self) -> set[str]:
        """Partitions that were not published."""
        return {f.partition for f in self.findings if f.blocking} | set(self.untried)


def refused(partition: str, error: Exception) -> Finding:
    """A partition that cannot be built from what there is."""
    if isinstance(error, SourceError):
        return Finding(CONTRACT, partition, str(error))
    what = f"a value is not of its column's type: {telling.foreign(error)}"
    return Finding(CONTRACT, partition, what, advice=_TYPE)


def unavailable(partition: str, error: SourceUnavailable, untried: int) -> Finding:
    """A partition whose source is away, and with it these many others."""
    also = f" {untried:,} more partitions wait for it" if untried else ""
    return Finding(CONTRACT, partition, f"{error}{also}")

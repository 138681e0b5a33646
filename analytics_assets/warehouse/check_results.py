"""The checks of a table as Dagster shows them: what each is, and what a build found by it.

Belongs here: specs and results of checks, with offending rows and the partitions that fail.
Does not belong here: judging (``audit.py``, ``expectations.py``), or assets (``table_assets.py``).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from analytics_assets.core.contracts import asset_key
from analytics_assets.core.declaration import Table
from analytics_assets.core.display import rows_as_markdown
from analytics_assets.warehouse.audit import CONTRACT, RECONCILES, told
from analytics_assets.warehouse.build import check_names
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.expectations import DRIFT, VOLUME
from analytics_assets.warehouse.outcome import Outcome
from analytics_assets.warehouse.pictures import PREVIEW_ROWS

# Dagster calls these checks non-blocking, as they stop no run: what is built of other partitions
# goes on. So they say what becomes of the one that fails.
_HOLDS_BACK = "What fails keeps the rows it had; other partitions go on."
_WARNS = "A warning: what fails goes on, too."
# Metadata of a check that fails: an evaluation says which partitions it is about in no other way.
FAILING, MOST_FAILING = "failing partitions", 1000
# Of a few rows that break a check, what tells them from others.
KEYS, _MOST_KEYS = "keys", 5


def check_specs(table: Table) -> list[dg.AssetCheckSpec]:
    """The checks of a table as Dagster lists them, each with what becomes of what fails."""
    described = {
        CONTRACT: f"Types, missing values, ranges, code lists and unique rows. {_HOLDS_BACK}",
        RECONCILES: "Equal to what it was computed from: rows, or the sum of every measure."
        f" {_HOLDS_BACK}",
        VOLUME: "As many rows as partitions of the same season have, the tested one and those built"
        f" with it left out. {_WARNS}",
        DRIFT: "Each ratio within the range of partitions of the same season, the tested one and"
        f" those built with it left out. {_WARNS}",
    }
    for check in table.checks:
        became = _HOLDS_BACK if check.blocking else _WARNS
        described[check.name] = f"{check.description.rstrip('.')}. {became}"
    return [
        dg.AssetCheckSpec(name, asset=asset_key(table), description=described[name])
        for name in check_names(table)
    ]


def check_results(
    outcome: Outcome, snapshot: Snapshot, built: list[str]
) -> Iterator[dg.AssetCheckResult]:
    """One result for each check: what this run found, and what is held back since earlier ones."""
    for name in check_names(outcome.table):
        findings = [finding for finding in outcome.findings if finding.check == name]
        earlier = set(snapshot.blocked_by(outcome.table, name)) - set(built)
        blocking = any(finding.blocking for finding in findings) or bool(earlier)
        metadata: dict[str, Any] = {"partitions that fail": len({f.partition for f in findings})}
        if earlier:
            metadata["held back since an earlier run"] = ", ".join(sorted(earlier))
        if outcome.compared.get(name):
            shown = outcome.compared[name][-PREVIEW_ROWS:]
            metadata["compared"] = dg.MetadataValue.md(rows_as_markdown(shown))
        if findings:
            rows = [{"partition": f.partition, **row} for f in findings for row in f.rows]
            metadata["what"] = dg.MetadataValue.md(
                "\n".join(f"- {line}" for line in told(outcome.table, findings))
            )
            metadata["offending rows"] = dg.MetadataValue.md(rows_as_markdown(rows[:50]))
            metadata[KEYS] = dg.MetadataValue.json(_keys(outcome.table, rows))
        if failing := sorted({finding.partition for finding in findings} | earlier):
            metadata[FAILING] = dg.MetadataValue.json(failing[:MOST_FAILING])
        if blocking and outcome.failure_files:
            metadata["failure cases"] = "\n".join(
                f"{file}: {outcome.quarantined[key]:,} rows fail"
                for key, file in sorted(outcome.failure_files.items())
            )
        yield dg.AssetCheckResult(
            asset_key=asset_key(outcome.table),
            check_name=name,
            passed=not findings and not earlier,
            severity=dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN,
            metadata=metadata,
        )


def _keys(table: Table, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The first rows by their unique columns, of which personal ones are not among what is told."""
    found: dict[str, None] = {}
    for row in rows:
        named = [f"{name} {row[name]}" for name in table.unique_columns if name in row]
        found[f"{row['partition']}: {', '.join(named)}" if named else str(row["partition"])] = None
    return list(found)[:_MOST_KEYS]

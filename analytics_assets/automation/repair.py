"""What `analytics-assets repair` does.

Belongs here: putting the warehouse's logs and production's backup of the build ledger together.
Does not belong here: how a log is made readable (``warehouse/log_repair.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analytics_assets.core.declaration import Table
from analytics_assets.production.backup import BackupError, backups, restore_builds
from analytics_assets.settings import Settings
from analytics_assets.warehouse import log_repair
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.ledger import BuildLedger


def repair(settings: Settings, tables: Sequence[Table]) -> Iterator[str]:
    """Make every log readable; a build ledger of which nothing is left comes from a backup."""
    lake = Lake(settings.lake)
    yield from log_repair.repair(lake, tables)
    if BuildLedger(lake).read():
        return
    for backup in sorted(backups(settings.backup_folder), key=lambda one: one.name, reverse=True):
        try:
            restored = restore_builds(settings, tables, backup)
        except (BackupError, OSError):
            continue
        if restored:
            count = len(restored)
            yield f"{BuildLedger.NAME}: put back from backup {backup.name} for {count} tables."
            return

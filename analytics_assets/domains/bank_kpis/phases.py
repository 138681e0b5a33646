"""The phases of the migration, and which of them is wanted.

Belongs here: their names and the setting.
Does not belong here: what a phase does to production (``migration.py``).
"""

from __future__ import annotations

import os

from analytics_assets.core.source import SourceError

PHASES = ("dual_write", "view", "direct", "retired")


def wanted_phase() -> str:
    """``BANK_KPIS_PHASE``; ``SourceError`` for one that is unknown."""
    phase = os.environ.get("BANK_KPIS_PHASE") or PHASES[0]
    if phase not in PHASES:
        raise SourceError(
            f"there is no phase {phase!r}", "BANK_KPIS_PHASE", f"Use one of {', '.join(PHASES)}"
        )
    return phase

"""Settings, read from the environment.

Belongs here: the settings that all domains share, and their defaults.
Does not belong here: settings of one domain (its ``sources.py`` has them).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Where things are kept and how much of the machine may be used.

    ``lake`` is a folder or URL; ``production_url`` and ``dagster_pg_url`` are PostgreSQL URLs or
    ``None`` for the embedded server; ``memory_limit`` is DuckDB's, for example ``1200MB``.
    """

    home: Path
    lake: str
    production_url: str | None
    dagster_pg_url: str | None
    memory_limit: str
    threads: int
    production_budget_mb: float

    @property
    def catalogue(self) -> Path:
        """The DuckDB file of views over the warehouse."""
        return self.home / "warehouse.duckdb"

    @property
    def dagster_home(self) -> Path:
        return self.home / "dagster"

    @property
    def scratch(self) -> Path:
        """Where DuckDB spills and archives are unpacked."""
        return self.home / "scratch"


def load() -> Settings:
    """The settings as the environment has them now."""
    home = Path(os.environ.get("ANALYTICS_HOME") or Path.home() / ".analytics_assets").absolute()
    return Settings(
        home=home,
        lake=(os.environ.get("ANALYTICS_LAKE") or str(home / "lake")).rstrip("/"),
        production_url=os.environ.get("PRODUCTION_URL") or None,
        dagster_pg_url=os.environ.get("DAGSTER_PG_URL") or None,
        memory_limit=os.environ.get("ANALYTICS_MEMORY_LIMIT") or "1200MB",
        threads=int(os.environ.get("ANALYTICS_THREADS") or os.cpu_count() or 2),
        production_budget_mb=float(os.environ.get("PRODUCTION_BUDGET_MB") or 350),
    )

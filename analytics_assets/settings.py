"""Settings, read from the environment.

Belongs here: the settings that all domains share, and their defaults.
Does not belong here: settings of one domain (its ``sources.py`` has them).
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Where things are kept and how much of the machine may be used.

    ``lake`` is a folder or URL; ``production_url`` and ``dagster_pg_url`` are PostgreSQL URLs or
    ``None`` for the embedded server; ``memory_limit`` is DuckDB's, for example ``1200MB``.
    ``ui_url`` is where people reach the UI; ``alert_webhook_url`` is a secret.
    The API reads production as ``production_reader_url``, by default as whoever promotes.
    What a file of a landing folder may take: columns, MB that it unpacks to, memory and time of its
    reader.
    Backups are verified in the database of ``restore_url``, ``None`` for the embedded server's.
    """

    home: Path
    lake: str
    production_url: str | None = field(repr=False)
    production_reader_url: str | None = field(repr=False)
    dagster_pg_url: str | None = field(repr=False)
    memory_limit: str
    threads: int
    production_budget_mb: float
    promotion_gate_percent: float
    ui_url: str
    alert_webhook_url: str | None = field(repr=False)
    alert_repeat: timedelta
    backup_folder: Path
    backups_kept: int
    backup_passphrase: str | None = field(repr=False)
    restore_url: str | None = field(repr=False)
    lake_retention: timedelta
    lake_older_mb: float
    history_retention: timedelta
    lake_verify_percent: float
    scrub_share_percent: float
    landing_max_columns: int
    landing_unpacked_mb: float
    landing_reader_mb: float
    landing_reader_seconds: float

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


def user() -> str:
    """Who does what is done: ``ANALYTICS_USER``, else who used sudo, else the process's user."""
    named = os.environ.get("ANALYTICS_USER") or os.environ.get("SUDO_USER")
    if named:
        return named
    number = os.geteuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # a container may run as a number that has no name
        return str(number)


def load() -> Settings:
    """The settings as the environment has them now."""
    home = Path(os.environ.get("ANALYTICS_HOME") or Path.home() / ".analytics_assets").absolute()
    return Settings(
        home=home,
        lake=(os.environ.get("ANALYTICS_LAKE") or str(home / "lake")).rstrip("/"),
        production_url=os.environ.get("PRODUCTION_URL") or None,
        production_reader_url=os.environ.get("PRODUCTION_READER_URL") or None,
        dagster_pg_url=os.environ.get("DAGSTER_PG_URL") or None,
        memory_limit=os.environ.get("ANALYTICS_MEMORY_LIMIT") or "1200MB",
        threads=int(os.environ.get("ANALYTICS_THREADS") or os.cpu_count() or 2),
        production_budget_mb=float(os.environ.get("PRODUCTION_BUDGET_MB") or 350),
        ui_url=(
            os.environ.get("ANALYTICS_URL")
            or f"http://127.0.0.1:{os.environ.get('ANALYTICS_PORT') or 3000}"
        ).rstrip("/"),
        alert_webhook_url=os.environ.get("ALERT_WEBHOOK_URL") or None,
        alert_repeat=timedelta(hours=float(os.environ.get("ALERT_REPEAT_HOURS") or 24)),
        promotion_gate_percent=float(os.environ.get("PROMOTION_GATE_PERCENT") or 80),
        backup_folder=Path(os.environ.get("BACKUP_FOLDER") or home / "backups").absolute(),
        backups_kept=int(os.environ.get("BACKUPS_KEPT") or 7),
        backup_passphrase=os.environ.get("BACKUP_PASSPHRASE") or None,
        restore_url=os.environ.get("RESTORE_URL") or None,
        lake_retention=timedelta(days=float(os.environ.get("LAKE_RETENTION_DAYS") or 30)),
        lake_older_mb=float(os.environ.get("LAKE_OLDER_MB") or 1_000_000),
        history_retention=timedelta(days=float(os.environ.get("HISTORY_DAYS") or 90)),
        lake_verify_percent=float(os.environ.get("LAKE_VERIFY_PERCENT") or 100),
        scrub_share_percent=float(os.environ.get("SCRUB_SHARE_PERCENT") or 7.5),
        landing_max_columns=int(os.environ.get("LANDING_MAX_COLUMNS") or 2000),
        landing_unpacked_mb=float(os.environ.get("LANDING_UNPACKED_MB") or 1500),
        landing_reader_mb=float(os.environ.get("LANDING_READER_MB") or 1500),
        landing_reader_seconds=float(os.environ.get("LANDING_READER_SECONDS") or 600),
    )

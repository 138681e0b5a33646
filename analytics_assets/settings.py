"""Settings, read from the environment.

Belongs here: the settings that all domains share, and their defaults.
Does not belong here: settings of one domain (its ``sources.py`` has them).
"""

from __future__ import annotations

import math
import os
import pwd
import re
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from analytics_assets.core.source import SourceError

_MEMORY = re.compile(r"\d+(\.\d+)?\s*([KMGT]i?)?B", re.IGNORECASE)


@dataclass(frozen=True)
class Settings:
    """Where things are kept and how much of the machine may be used.

    ``lake`` is a folder or the URL of an object store, of which up to ``copies_mb`` are kept here;
    ``production_url`` and ``dagster_pg_url`` are PostgreSQL URLs or ``None`` for the embedded
    server; ``memory_limit`` is DuckDB's, for example ``1200MB``.
    The queue starts ``runs_at_once``, of a domain ``domain_runs`` (0: as many), each of at most
    ``run_partitions`` neighbouring partitions (0: all that are behind); ``broker_url``, a secret,
    is of the Redis that hands them to workers, and ``None`` where the daemon's machine runs them.
    ``changes_seconds``: how often the sensor looks whether something follows.
    ``ui_url`` is where people reach the UI, ``dashboard_url`` the dashboard;
    ``alert_webhook_url`` is a secret.
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
    runs_at_once: int
    domain_runs: int
    run_partitions: int
    changes_seconds: int
    broker_url: str | None = field(repr=False)
    production_budget_mb: float
    promotion_gate_percent: float
    ui_url: str
    dashboard_url: str
    alert_webhook_url: str | None = field(repr=False)
    alert_repeat: timedelta
    backup_folder: Path
    backups_kept: int
    backup_passphrase: str | None = field(repr=False)
    restore_url: str | None = field(repr=False)
    copies_mb: float
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
        memory_limit=_memory("ANALYTICS_MEMORY_LIMIT", "1200MB"),
        threads=_number("ANALYTICS_THREADS", os.cpu_count() or 2, int, 1),
        runs_at_once=_number("ANALYTICS_RUNS", 1, int, 1),
        domain_runs=_number("ANALYTICS_DOMAIN_RUNS", 0, int),
        run_partitions=_number("ANALYTICS_RUN_PARTITIONS", 0, int),
        changes_seconds=_number("ANALYTICS_CHANGES_SECONDS", 30, int, 1),
        broker_url=os.environ.get("ANALYTICS_BROKER_URL") or None,
        production_budget_mb=_number("PRODUCTION_BUDGET_MB", 350),
        ui_url=(
            os.environ.get("ANALYTICS_URL")
            or f"http://127.0.0.1:{os.environ.get('ANALYTICS_PORT') or 3000}"
        ).rstrip("/"),
        dashboard_url=(
            os.environ.get("DASHBOARD_URL")
            or f"http://127.0.0.1:{os.environ.get('DASHBOARD_PORT') or 8050}"
        ).rstrip("/"),
        alert_webhook_url=os.environ.get("ALERT_WEBHOOK_URL") or None,
        alert_repeat=timedelta(hours=_number("ALERT_REPEAT_HOURS", 24)),
        promotion_gate_percent=_number("PROMOTION_GATE_PERCENT", 80),
        backup_folder=_folder("BACKUP_FOLDER", home / "backups"),
        backups_kept=_number("BACKUPS_KEPT", 7, int),
        backup_passphrase=os.environ.get("BACKUP_PASSPHRASE") or None,
        restore_url=os.environ.get("RESTORE_URL") or None,
        copies_mb=_number("ANALYTICS_COPIES_MB", 20_000, least=1),
        lake_retention=timedelta(days=_number("LAKE_RETENTION_DAYS", 30)),
        lake_older_mb=_number("LAKE_OLDER_MB", 1_000_000),
        history_retention=timedelta(days=_number("HISTORY_DAYS", 90)),
        lake_verify_percent=_number("LAKE_VERIFY_PERCENT", 100),
        scrub_share_percent=_number("SCRUB_SHARE_PERCENT", 7.5),
        landing_max_columns=_number("LANDING_MAX_COLUMNS", 2000, int),
        landing_unpacked_mb=_number("LANDING_UNPACKED_MB", 1500),
        landing_reader_mb=_number("LANDING_READER_MB", 1500),
        landing_reader_seconds=_number("LANDING_READER_SECONDS", 600),
    )


def _number(variable: str, default: float, kind: type = float, least: float = 0) -> Any:
    """A setting that is a number; ``SourceError`` that names it if it is none from ``least``."""
    text = os.environ.get(variable) or str(default)
    try:
        value = kind(text)
        if not least <= value < math.inf:
            raise ValueError
    except ValueError:
        whole = "whole " if kind is int else ""
        raise SourceError(
            f"{text!r} is not allowed",
            variable,
            f"Give a {whole}number from {least:g}, such as {default}",
        ) from None
    return value


def _folder(variable: str, default: Path) -> Path:
    named = os.environ.get(variable) or ""
    if "://" in named:
        # As a path it would be a folder here, of which nobody would expect to be the only copy.
        raise SourceError(
            "a URL is no folder of this machine",
            variable,
            "Give a folder, and have it copied to where the URL leads",
        )
    return Path(named or default).absolute()


def _memory(variable: str, default: str) -> str:
    text = os.environ.get(variable) or default
    if not _MEMORY.fullmatch(text):
        raise SourceError(f"{text!r} is no size", variable, f"Give one such as {default} or 4GB")
    return text

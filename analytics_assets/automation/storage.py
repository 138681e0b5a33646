"""Dagster's storage on PostgreSQL, with connections kept open.

Belongs here: that one difference from ``dagster_postgres.DagsterPostgresStorage``.
Does not belong here: anything about our own tables.
"""

from collections.abc import Mapping
from typing import Any

from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import pg_url_from_config

_RECYCLE_SECONDS = 3600
_MOST_CONNECTIONS = 20


class PooledPostgresStorage(DagsterPostgresStorage):
    """Each event is written over a connection that stays open.

    dagster-postgres connects anew for each statement, so that idle processes hold no connection.
    A backfill writes an event for each partition and asset: of 60 s that building the sample took,
    15 s were 4,000 connects.
    """

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
    ) -> None:
        super().__init__(postgres_url, should_autocreate_tables, inst_data)
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            # What the webserver does for itself; 0 is no statement timeout, as without it.
            storage.optimize_for_webserver(0, _RECYCLE_SECONDS, _MOST_CONNECTIONS)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "PooledPostgresStorage":
        """As Dagster makes it from ``dagster.yaml``."""
        return cls(
            pg_url_from_config(config_value),
            config_value.get("should_autocreate_tables", True),
            inst_data,
        )

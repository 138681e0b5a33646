"""Dagster's storage on PostgreSQL, with fewer connections and statements for the same rows.

Belongs here: how ``dagster_postgres`` is made to write what it writes at less cost.
Does not belong here: anything about our own tables, or what Dagster's rows say.

It overrides what Dagster keeps private. So Dagster's version is pinned, and a test compares what
this storage answers with what dagster-postgres does.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from dagster import AssetKey, DagsterEventType
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationPlanned,
)
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log import SqlEventLogStorage, SqlEventLogStorageTable
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._serdes import ConfigurableClassData, serialize_value
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage
from dagster_postgres.utils import pg_url_from_config

_RECYCLE_SECONDS = 3600
_MOST_CONNECTIONS = 20
_PLANNED = {
    DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
}


class BatchingEventLogStorage(PostgresEventLogStorage):
    """Planned events are written a batch at a time, and what the schema has is asked once.

    Materialisations of an asset each have a millisecond of their own, in the order in which they
    come: the UI tells them apart by it, and shows one of those that share it. A run of thousands
    of partitions makes several in each, so that the last may be dated some seconds ahead.

    Before a run starts, an event plans each partition of each asset. Dagster hands these over in
    batches of ``DAGSTER_EVENT_BATCH_SIZE``, but dagster-postgres stores them one by one, in three
    statements each: 7 s for 60 assets of 120 partitions, where this takes 1 s.
    """

    def __init__(self, postgres_url: str, should_autocreate_tables: bool = True) -> None:
        self._present: set[tuple[str, str]] = set()
        self._last: dict[AssetKey, int] = {}
        super().__init__(postgres_url, should_autocreate_tables)

    def store_event(self, event: EventLogEntry) -> None:
        """As any SQL storage does: without dagster-postgres's NOTIFY, to which nothing listens."""
        SqlEventLogStorage.store_event(self, self._apart(event))

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Planned events in one INSERT, as dagster-postgres does for materialisations.

        An asset's own row says what its last event says, so it is written once a batch. If this
        fails, Dagster stores the events one by one. They may then be in the log twice, which
        changes no status; rows of checks, which must not be, come last in one transaction.
        """
        if not events or {event.dagster_event_type for event in events} - _PLANNED:
            super().store_event_batch([self._apart(event) for event in events])
            return
        insert = self.prepare_insert_event_batch(events).returning(SqlEventLogStorageTable.c.id)
        with self._connect() as connection:
            stored = list(zip(events, connection.execute(insert).scalars(), strict=True))
        # Dagster sorts a batch by asset, so two runs lock the rows of assets in the same order.
        # Events of checks have no asset of their own: None, which has no row to write.
        last = {event.get_dagster_event().asset_key: (event, id_) for event, id_ in stored}
        with self.index_transaction() as connection:
            for event, event_id in last.values():
                self._store_asset_event(connection, event, event_id)
            if checks := [row for event, id_ in stored for row in self._planned_checks(event, id_)]:
                connection.execute(AssetCheckExecutionsTable.insert(), checks)

    def _apart(self, event: EventLogEntry) -> EventLogEntry:
        if event.dagster_event_type != DagsterEventType.ASSET_MATERIALIZATION:
            return event
        key = event.get_dagster_event().asset_key
        assert key is not None
        self._last[key] = max(int(event.timestamp * 1000), self._last.get(key, 0) + 1)
        # In the middle of it, where no rounding of a float moves it into the next one.
        return event._replace(timestamp=(self._last[key] + 0.5) / 1000)

    def prepare_insert_event_batch(self, events: Sequence[EventLogEntry]) -> sa.Insert:
        """The rows as one array a column, which ``unnest`` gives back in order.

        With seven parameters a row SQLAlchemy compiles the statement anew each time, for 70 us a
        row: more than PostgreSQL takes to store it.
        """
        rows = [self._event_to_row(event) for event in events]
        columns = [SqlEventLogStorageTable.c[name] for name in rows[0]]
        arrays = [sa.cast([row[c.name] for row in rows], sa.ARRAY(c.type)) for c in columns]
        values = sa.func.unnest(*arrays).table_valued(*(c.name for c in columns)).render_derived()
        return SqlEventLogStorageTable.insert().from_select(columns, sa.select(values))

    def _planned_checks(self, event: EventLogEntry, event_id: int) -> Iterator[dict[str, Any]]:
        # The rows that Dagster writes, but it serialises the event anew for each partition.
        planned = event.get_dagster_event().event_specific_data
        if isinstance(planned, AssetCheckEvaluationPlanned):
            subset = planned.partitions_subset
            row = {
                "asset_key": planned.asset_key.to_string(),
                "check_name": planned.check_name,
                "run_id": event.run_id,
                "execution_status": AssetCheckExecutionRecordStatus.PLANNED.value,
                "evaluation_event": serialize_value(event),
                "evaluation_event_timestamp": self._event_insert_timestamp(event),
                "evaluation_event_storage_id": event_id,
            }
            for partition in subset.get_partition_keys() if subset else (None,):
                yield {**row, "partition": partition}

    def has_table(self, table_name: str) -> bool:
        """Whether the table exists; each event of an asset or a check asks."""
        return self._once_present(super().has_table, table_name)

    def has_asset_key_col(self, column_name: str) -> bool:
        """Whether the table of assets has the column; each read of an asset's record asks."""
        return self._once_present(super().has_asset_key_col, column_name)

    def _once_present(self, ask: Callable[[str], bool], name: str) -> bool:
        # Dagster's migrations add and never drop, so only a "no" is asked again.
        question = (ask.__name__, name)
        if question not in self._present and ask(name):
            self._present.add(question)
        return question in self._present


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
        self._event_log_storage = BatchingEventLogStorage(postgres_url, should_autocreate_tables)
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

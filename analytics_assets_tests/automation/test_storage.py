"""Dagster's storage answers as dagster-postgres's own does, with fewer statements.

Belongs here: the same runs in both, and what they cost.
Does not belong here: what our own assets do in a run.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID, uuid4

import dagster as dg
import psycopg2
import pytest
import sqlalchemy as sa
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.events import DagsterEventType
from dagster._core.execution.api import create_execution_plan
from sqlalchemy.engine import Engine

from analytics_assets.automation.storage import BatchingEventLogStorage
from analytics_assets.warehouse.table_assets import warehouse_assets
from analytics_assets_tests.toy import Memory, toy_tables
from analytics_assets_tests.workspace import Workspace

OURS = """{module: analytics_assets.automation.storage, class: PooledPostgresStorage,
           config: {postgres_url: "%s"}}"""
PARTITIONS = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-03-01")
KEYS = PARTITIONS.get_partition_keys()
GOOD, BAD, AFTER, WHOLE = (dg.AssetKey(["shop", name]) for name in ("a", "b", "c", "whole"))
CHECKS = [dg.AssetCheckKey(key, name) for key in (GOOD, BAD, WHOLE) for name in ("passes", "fails")]


@pytest.fixture
def plain(tmp_path: Path, postgres: str) -> Iterator[dg.DagsterInstance]:
    """An instance on dagster-postgres as it is."""
    with instance(tmp_path / "plain", postgres, 'postgres: {postgres_url: "%s"}') as made:
        yield made


@pytest.fixture
def ours(tmp_path: Path, postgres: str) -> Iterator[dg.DagsterInstance]:
    """An instance on our storage, as ``dagster.yaml`` names it."""
    with instance(tmp_path / "ours", postgres, f"custom: {OURS}") as made:
        yield made


@contextmanager
def instance(home: Path, postgres: str, storage: str) -> Iterator[dg.DagsterInstance]:
    """A new instance with a database of its own."""
    database = f"dagster_{uuid4().hex}"
    url = f"postgresql+psycopg2://dagster@/{database}?host={postgres}"
    home.mkdir()
    settings = f"telemetry: {{enabled: false}}\nstorage:\n  {storage % url}\n"
    (home / "dagster.yaml").write_text(settings)
    admin = psycopg2.connect(host=postgres, user="postgres", dbname="postgres")
    admin.autocommit = True
    with closing(admin), admin.cursor() as cursor:
        cursor.execute(f"create database {database} owner dagster")
        with dg.DagsterInstance.from_config(str(home)) as made:
            yield made
        cursor.execute(f"drop database {database} with (force)")


def shop(job: str, broken: bool = False) -> dg.JobDefinition:
    """a, b that may fail, c behind b, and one without partitions; each has two checks but c.

    Of a run in which all have partitions Dagster knows these, and plans each check for each.
    """
    return dg.Definitions(
        assets=[
            asset(GOOD, [], PARTITIONS),
            asset(BAD, [], PARTITIONS, broken),
            asset(AFTER, [BAD], PARTITIONS, checks=()),
            asset(WHOLE, [GOOD]),
        ],
        jobs=[
            dg.define_asset_job("everything", "*", partitions_def=PARTITIONS),
            dg.define_asset_job("partitioned", [GOOD, BAD, AFTER], partitions_def=PARTITIONS),
        ],
    ).resolve_job_def(job)


def asset(
    key: dg.AssetKey,
    deps: list[dg.AssetKey],
    partitions: dg.PartitionsDefinition | None = None,
    broken: bool = False,
    checks: Sequence[str] = ("passes", "fails"),
) -> dg.AssetsDefinition:
    """An asset; the check that fails has its partitions, the other has none."""
    by_name = {"passes": None, "fails": partitions}

    @dg.asset(
        key=key,
        deps=deps,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run() if partitions else None,
        check_specs=[
            dg.AssetCheckSpec(name, asset=key, partitions_def=by_name[name]) for name in checks
        ],
    )
    def made() -> dg.MaterializeResult:
        if broken:
            raise dg.Failure("broken")
        results = [dg.AssetCheckResult(check_name=name, passed=name == "passes") for name in checks]
        return dg.MaterializeResult(metadata={"rows": 1}, check_results=results)

    return made


def run_id(number: int) -> str:
    """The same in both instances, so that answers can be compared as they are."""
    return str(UUID(int=number))


def between(first: str, last: str) -> dict[str, str]:
    """Tags of a run of a range of partitions."""
    return {
        "dagster/asset_partition_range_start": first,
        "dagster/asset_partition_range_end": last,
    }


def plan(instance: dg.DagsterInstance, number: int, partitions: int) -> None:
    """Create a run of the first partitions, and leave it there."""
    job = shop("everything")
    instance.create_run_for_job(
        job,
        execution_plan=create_execution_plan(job),
        run_id=run_id(number),
        tags=between(KEYS[0], KEYS[partitions - 1]),
        asset_selection={GOOD, BAD, AFTER, WHOLE},
    )


def history(instance: dg.DagsterInstance) -> None:
    """A range in which an asset fails, a partition that mends it, and a run not yet started."""
    failed = shop("partitioned", broken=True).execute_in_process(
        instance=instance,
        run_id=run_id(1),
        tags=between(KEYS[0], KEYS[5]),
        raise_on_error=False,
    )
    assert not failed.success
    shop("everything").execute_in_process(
        instance=instance, run_id=run_id(2), partition_key=KEYS[1]
    )
    plan(instance, 3, 3)


def answers(instance: dg.DagsterInstance) -> dict[str, Any]:
    """What the UI asks, without moments."""
    storage = instance.event_log_storage
    found: dict[str, Any] = {}
    for number in (1, 2, 3):
        records = instance.get_records_for_run(run_id(number)).records
        found[f"events of run {number}"] = [
            (
                record.storage_id,
                record.event_log_entry.step_key,
                event.event_type_value,
                event.asset_key,
                event.partition,
            )
            for record in records
            if (event := record.event_log_entry.dagster_event)
        ]
    # Their ids differ: PostgreSQL draws a number for each attempt to insert an asset again.
    records = sorted(instance.get_asset_records(), key=lambda record: record.storage_id)
    found["assets, oldest first"] = [record.asset_entry.asset_key for record in records]
    for key in (GOOD, BAD, AFTER, WHOLE):
        (record,) = instance.get_asset_records([key])
        entry = record.asset_entry
        latest = instance.get_latest_materialization_event(key)
        found[f"asset {key}"] = (
            entry.last_run_id,
            entry.last_materialization_storage_id,
            latest and (latest.run_id, latest.get_dagster_event().partition),
            storage.get_latest_planned_materialization_info(key),
            storage.get_materialized_partitions(key),
        )
    for key in (GOOD, BAD, AFTER):
        found[f"partitions of {key}"] = (
            instance.get_status_by_partition(key, KEYS, PARTITIONS),
            [storage.get_latest_planned_materialization_info(key, part) for part in KEYS[:7]],
            storage.get_latest_asset_partition_materialization_attempts_without_materializations(
                key
            ),
            storage.get_latest_tags_by_partition(
                key, DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG]
            ),
        )
    for check in CHECKS:
        found[f"check {check}"] = [
            (
                record.id,
                record.run_id,
                record.status,
                record.partition,
                record.event and record.event.get_dagster_event().event_type_value,
                record.event and record.event.run_id,
            )
            for record in storage.get_asset_check_execution_history(check, limit=100)
        ]
        summary = storage.get_asset_check_summary_records([check])[check]
        completed = summary.last_completed_check_execution_record
        found[f"summary {check}"] = (summary.last_run_id, completed and completed.id)
        found[f"partitions of {check}"] = storage.get_asset_check_partition_info([check])
    return found


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements that are sent meanwhile."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    sa.event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.parametrize("batch", [4, 1000])
def test_answers_are_those_of_dagster_postgres(
    plain: dg.DagsterInstance,
    ours: dg.DagsterInstance,
    batch: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", str(batch))
    history(plain)
    history(ours)
    assert isinstance(ours.event_log_storage, BatchingEventLogStorage)
    expected, found = answers(plain), answers(ours)
    for question, answer in expected.items():
        assert found[question] == answer, question


def test_a_plan_costs_no_statement_a_partition(
    ours: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
    plan(ours, 1, 2)
    with counted() as few:
        plan(ours, 2, 2)
    with counted() as many:
        plan(ours, 3, 60)
    assert len(many) == len(few)


def test_each_partition_has_a_millisecond_of_its_own(
    ours: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a batch, from one to the next, and of those that are stored one by one."""
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "200")
    many = dg.DailyPartitionsDefinition("2020-01-01", end_date="2021-05-15")
    keys = many.get_partition_keys()
    assert len(keys) == 500
    job = dg.Definitions(
        assets=[asset(GOOD, [], many, checks=())], jobs=[dg.define_asset_job("everything", "*")]
    ).resolve_job_def("everything")
    assert job.execute_in_process(instance=ours, tags=between(keys[0], keys[-1])).success
    for key in keys[:2]:
        ours.report_runless_asset_event(dg.AssetMaterialization(GOOD, partition=key))
    records = ours.fetch_materializations(GOOD, limit=1000, ascending=True).records
    assert [record.partition_key for record in records] == keys + keys[:2]
    moments = [int(record.timestamp * 1000) for record in records]
    assert moments == sorted(set(moments))


def test_a_batch_that_fails_half_way_is_stored_all_the_same(
    plain: dg.DagsterInstance, ours: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
    plan(plain, 3, 3)
    store, failed = BatchingEventLogStorage._store_asset_event, []

    def fail_once(self: BatchingEventLogStorage, *arguments: Any) -> None:
        if failed:
            store(self, *arguments)
        else:
            failed.append(True)
            raise RuntimeError("the connection is gone")

    monkeypatch.setattr(BatchingEventLogStorage, "_store_asset_event", fail_once)
    plan(ours, 3, 3)
    for key in (GOOD, BAD, AFTER):
        expected = plain.get_status_by_partition(key, KEYS, PARTITIONS)
        assert ours.get_status_by_partition(key, KEYS, PARTITIONS) == expected
    for check in CHECKS:
        records = ours.event_log_storage.get_asset_check_execution_history(check, limit=100)
        places = [record.partition for record in records]
        assert len(places) == len(set(places)), check


def test_an_asset_is_as_recent_as_its_last_planned_partition(
    ours: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
    plan(ours, 3, 60)
    latest = {
        entry.get_dagster_event().asset_key: entry.timestamp
        for entry in ours.all_logs(
            run_id(3), of_type=DagsterEventType.ASSET_MATERIALIZATION_PLANNED
        )
    }
    with ours.event_log_storage.index_connection() as connection:
        rows = connection.execute(
            sa.text(
                "select asset_key, extract(epoch from last_materialization_timestamp)"
                " from asset_keys"
            )
        )
        found = {dg.AssetKey.from_db_string(key): float(moment) for key, moment in rows}
    assert found == pytest.approx(latest, abs=1e-5)


def test_a_table_that_is_not_there_is_asked_for_again(ours: dg.DagsterInstance) -> None:
    storage = ours.event_log_storage
    assert not storage.has_table("later")
    with storage.index_connection() as connection:
        connection.execute(sa.text("create table later (one integer)"))
    assert storage.has_table("later")
    assert not storage.has_asset_key_col("later")
    assert storage.has_asset_key_col("cached_status_data")


def test_runs_of_some_tables_wait_for_each_other_where_a_limit_is_set(
    workspace: Workspace, ours: dg.DagsterInstance
) -> None:
    """Even those of partitions that have nothing to do with each other."""
    memory = Memory()
    memory.months = {"2024-01": [(date(2024, 1, 5), "a", 500)]}
    (step,) = warehouse_assets([toy_tables(memory)[0]])
    pool = step.op.name
    slots = ours.event_log_storage
    slots.set_concurrency_slots(pool, 1)
    assert slots.claim_concurrency_slot(pool, "another run", "step").is_claimed
    ended = list[bool]()

    def build() -> None:
        ended.append(dg.materialize([step], partition_key="2024-01", instance=ours).success)

    at_work = Thread(target=build)
    at_work.start()
    at_work.join(3)
    assert not ended
    slots.free_concurrency_slots_for_run("another run")
    at_work.join(60)
    assert ended == [True]

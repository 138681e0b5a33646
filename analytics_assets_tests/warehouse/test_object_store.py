"""A lake in an object store is what one in a folder is: built, read, mended, archived, cleaned."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from uuid import uuid4

import duckdb
import fsspec
import pytest

from analytics_assets import settings
from analytics_assets.automation.disk import LIVE, of_lake
from analytics_assets.core.source import SourceError, SourceUnavailable
from analytics_assets.warehouse.archive import archive, archive_of, restore
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.catalogue import mend_catalogue, open_catalogue
from analytics_assets.warehouse.copies import Copies
from analytics_assets.warehouse.delta_log import DamagedLog
from analytics_assets.warehouse.integrity import ASIDE
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.ledger import now
from analytics_assets.warehouse.log_repair import repair
from analytics_assets.warehouse.quarantine import Quarantine
from analytics_assets.warehouse.retention import vacuum
from analytics_assets.warehouse.scrub import scrub
from analytics_assets.warehouse.storage import open_storage
from analytics_assets_tests.scale.object_store import BUCKET, object_store
from analytics_assets_tests.scale.proxy import network
from analytics_assets_tests.toy import Memory, rows, settle, toy_tables

SALES = {
    "2024-01": [(date(2024, 1, 5), "a", 500), (date(2024, 1, 9), "b", 2000)],
    "2024-02": [(date(2024, 2, 5), "c", 1500)],
}


@pytest.fixture(scope="module")
def store() -> Iterator[None]:
    with object_store():
        yield


class Worker:
    """A home of its own over a lake of several."""

    def __init__(self, root: str, home: Path, memory: Memory, patch: pytest.MonkeyPatch) -> None:
        self.root, self.home, self.patch = root, home, patch
        self.tables = toy_tables(memory)
        self.enter()
        self.lake = Lake(root, type(open_storage(root))(root))

    def enter(self) -> None:
        self.patch.setenv("ANALYTICS_HOME", str(self.home))
        self.patch.setenv("ANALYTICS_LAKE", self.root)

    def settle(self) -> list[str]:
        self.enter()
        return [finding.message for finding in settle(self.tables, self.lake)]

    def behind(self) -> list[str]:
        snapshot = Snapshot(self.lake)
        return [b.why for table in self.tables for b in snapshot.behind(table)]

    def rows(self) -> list[list[tuple[object, ...]]]:
        self.enter()
        return [rows(self.lake, table) for table in self.tables]


@pytest.fixture
def memory() -> Memory:
    source = Memory()
    source.months = {month: list(sold) for month, sold in SALES.items()}
    return source


@pytest.fixture
def worker(store: None, memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    root = f"s3://{BUCKET}/{uuid4().hex}"
    return Worker(root, tmp_path / "one", memory, monkeypatch)


def test_two_workers_build_what_one_does_in_a_folder(
    worker: Worker, memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.lake.storage.reach()
    assert worker.settle() == []
    other = Worker(worker.root, tmp_path / "other", memory, monkeypatch)
    memory.months["2024-03"] = [(date(2024, 3, 1), "a", 700)]
    assert other.settle() == []
    assert worker.behind() == [], "each sees what the other has built"
    local = Worker(str(tmp_path / "folder"), tmp_path / "local", memory, monkeypatch)
    local.settle()
    assert worker.rows() == other.rows() == local.rows()
    for table in local.tables:
        assert worker.lake.fingerprints(table) == local.lake.fingerprints(table)
    assert list((tmp_path / "other" / "copies").rglob("*.parquet"))
    assert not list(tmp_path.rglob("drafts-*/**/*.parquet")), "drafts become copies"


@pytest.mark.slow
def test_the_catalogue_is_written_where_somebody_asks(worker: Worker) -> None:
    worker.settle()
    current, snapshot = settings.load(), Snapshot(worker.lake)
    mend_catalogue(current, snapshot, worker.tables)
    assert not current.catalogue.exists()
    mend_catalogue(current, snapshot, worker.tables, asked=True)
    with open_catalogue(current) as catalogue:
        assert catalogue.execute("select sum(cents) from toy.agg_yearly").fetchall() == [(4000,)]


@pytest.mark.slow
def test_what_is_held_back_is_in_quarantine_and_leaves_it(worker: Worker, memory: Memory) -> None:
    memory.months["2024-01"] = [(date(2024, 1, 5), "z", 500)]
    assert worker.settle()
    quarantine = Quarantine(worker.lake, worker.tables[0])
    assert list(quarantine.files()) == ["2024-01"]
    with duckdb.connect() as connection:
        worker.lake.storage.register(connection)
        selected = f"select shop, row_partition is null from ({quarantine.select_sql()})"
        try:
            found = connection.execute(selected).fetchall()
        except duckdb.BinderException:
            found = connection.execute(f"select shop from ({quarantine.select_sql()})").fetchall()
        assert found[0][0] == "z"
    memory.months["2024-01"] = SALES["2024-01"]
    assert worker.settle() == []
    assert quarantine.files() == {}


@pytest.mark.slow
def test_damage_in_the_store_is_found_and_mended(worker: Worker) -> None:
    worker.settle()
    before, fact = worker.rows(), worker.tables[1]
    remote = fsspec.filesystem("s3", use_listings_cache=False)
    first, second, *_ = worker.lake.files(fact)
    data = bytearray(remote.cat_file(first.uri))
    data[20] ^= 1
    remote.pipe_file(first.uri, bytes(data))
    remote.rm_file(second.uri)
    worker.lake.verified.clear()
    found = scrub(worker.lake, worker.tables, 100, now())
    assert len(found.damaged) == 2, found.damaged
    assert remote.find(f"{worker.root}/{ASIDE}")
    assert worker.settle() == []
    assert (worker.rows(), worker.behind()) == (before, [])
    assert scrub(worker.lake, worker.tables, 100, now()).damaged == []


@pytest.mark.slow
def test_partitions_are_archived_and_come_back(worker: Worker) -> None:
    worker.settle()
    before, fact = worker.rows(), worker.tables[1]
    place = archive_of(settings.load())
    assert place.root == f"{worker.root}/_archive"
    done = archive(worker.lake, worker.tables, fact, "2024-02-01", place, "run", now())
    assert worker.rows() != before
    restore(worker.lake, fact, [one.partition for one in done], place, "run")
    assert (worker.rows(), worker.behind()) == (before, [])


@pytest.mark.slow
def test_older_versions_and_damaged_logs_are_cleared(worker: Worker, memory: Memory) -> None:
    worker.settle()
    memory.months["2024-01"] = [(date(2024, 1, 9), "b", 1)]
    worker.settle()
    before = worker.rows()
    cleaned = list(vacuum(worker.lake, worker.tables, timedelta(0), now() + timedelta(minutes=1)))
    assert sum(one.files for one in cleaned) > 0
    assert of_lake(worker.lake, worker.tables)[LIVE] > 0
    assert worker.rows() == before
    remote = fsspec.filesystem("s3", use_listings_cache=False)
    raw = worker.tables[0]
    memory.months["2024-01"] = [(date(2024, 1, 9), "b", 2)]
    worker.settle()
    newest = max(remote.glob(f"{worker.root}/{raw.key}/_delta_log/0*.json"))
    remote.pipe_file(newest, b"no json")
    anew = Lake(worker.root)
    with pytest.raises(DamagedLog):
        anew.files(raw)
    assert [said.split(":")[0] for said in repair(Lake(worker.root), worker.tables)] == [raw.key]


@pytest.mark.slow
def test_copies_stay_within_their_size(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYTICS_COPIES_MB", "1")
    worker.settle()
    copies = list((worker.home / "copies").rglob("*.parquet"))
    storage = type(worker.lake.storage)(worker.root)
    storage._copies._most = sum(path.stat().st_size for path in copies) / 2
    storage._copies._trim(storage._copies._most)
    left = list((worker.home / "copies").rglob("*.parquet"))
    assert 0 < len(left) < len(copies)
    assert len(worker.rows()) == len(worker.tables), "what is asked for is fetched again"


def test_a_disk_full_of_copies_has_room_for_another(tmp_path: Path) -> None:
    def fetch(name: str, target: Path) -> None:
        target.write_text(name)
        if len(list(tmp_path.glob("*.parquet"))) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")

    copies = Copies(tmp_path, 1e9, fetch)
    for name in ("a.parquet", "b.parquet", "c.parquet"):
        assert Path(copies.get(name)).read_text() == name
    assert [path.name for path in tmp_path.iterdir()] == ["c.parquet"]


def test_a_store_that_cannot_be_a_lake_is_refused_by_name(
    store: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SourceError, match="s3://nowhere/x: it cannot be written"):
        open_storage("s3://nowhere/x").reach()
    with pytest.raises(SourceError, match=r"ftp:// is no store .* s3://, gs://, abfs://"):
        open_storage("ftp://server/x")
    with pytest.raises(SourceError, match=r"needs gcsfs, .*analytics-assets.scale., or gcsfs"):
        open_storage("gs://bucket/x")
    plain = open_storage(f"s3://{BUCKET}/{uuid4().hex}")
    put = plain._remote.pipe_file  # type: ignore[attr-defined]
    monkeypatch.setattr(plain._remote, "pipe_file", lambda name, data, mode: put(name, data))  # type: ignore[attr-defined]
    with pytest.raises(SourceError, match=f"{plain.root}: it has no conditional put"):
        plain.reach()


@pytest.mark.slow
def test_a_store_that_is_away_is_told_and_holds_nothing_back(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with object_store():
        worker = Worker(f"s3://{BUCKET}/x", tmp_path, memory, monkeypatch)
        worker.settle()
        monkeypatch.setattr(worker.lake.storage._remote, "retries", 1)  # type: ignore[attr-defined]
        address = settings.os.environ["AWS_ENDPOINT_URL"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    (fact,) = (table for table in worker.tables if table.name == "fact_sales")
    with pytest.raises(SourceUnavailable, match="the object store does not answer"):
        worker.lake.storage.infos([f"{worker.root}/{fact.key}/x"])


def test_keys_that_expire_are_told_and_hold_nothing_back(
    store: None, memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with network(os.environ["AWS_ENDPOINT_URL"].removeprefix("http://"), seed=1) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL", between.url)
        worker = Worker(f"s3://{BUCKET}/{uuid4().hex}", tmp_path, memory, monkeypatch)
        worker.settle()
        memory.months["2024-09"] = [(date(2024, 9, 1), "a", 700)]
        between.faults = {"403": 1.0}
        with pytest.raises(SourceUnavailable, match="the object store refuses its user"):
            worker.behind()
        # Not a damaged log, which somebody would repair.
        between.faults = {"403": 0.3}
        for _ in range(3):
            with suppress(SourceUnavailable):
                worker.settle()
        between.faults = {}
        assert worker.settle() == []
        assert worker.behind() == []


@pytest.mark.slow
def test_threads_that_read_one_file_at_once_read_what_is_there(worker: Worker) -> None:
    storage, folder = worker.lake.storage, worker.lake.drafts("toy")
    draft = f"{folder}/drawn.parquet"
    drawn = "select i, md5(i::text) as name from range(1500000) t(i)"
    asked = "select sum(i), sum(hash(name)) from"
    with duckdb.connect(config={"threads": 4}) as connection:
        connection.execute(f"copy ({drawn}) to '{draft}' (compression zstd)")
        wanted = connection.execute(f"{asked} '{draft}'").fetchall()
        uri = storage.put_in_place(draft, f"{folder}/put.parquet")
        storage.register(connection)
        for _ in range(3):
            assert connection.execute(f"{asked} read_parquet('{uri}')").fetchall() == wanted

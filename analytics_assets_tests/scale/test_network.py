"""An object store that is slow, answers with errors or is cut off costs time, and no row."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from uuid import uuid4

import pytest

from analytics_assets.core.source import SourceUnavailable
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.storage import open_storage
from analytics_assets_tests.scale.object_store import BUCKET, object_store
from analytics_assets_tests.scale.proxy import Network, network
from analytics_assets_tests.toy import Memory, rows, settle, toy_tables

pytestmark = [pytest.mark.scale, pytest.mark.timeout(1200)]
SEED = int(os.environ.get("SEED") or 1)
SALES = {
    "2024-01": [(date(2024, 1, 5), "a", 500), (date(2024, 1, 9), "b", 2000)],
    "2024-02": [(date(2024, 2, 5), "c", 1500)],
}
FAULTS = {
    "slow": {"slow": 0.1},
    "errors 500 and 503": {"500": 0.05, "503": 0.05},
    "answers that are lost": {"lost": 0.05},
    "bodies that end early": {"cut": 0.05},
    "all of it": {"slow": 0.02, "500": 0.02, "503": 0.02, "lost": 0.02, "cut": 0.02},
}


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with object_store() as given:
        yield given["AWS_ENDPOINT_URL"].removeprefix("http://")


@pytest.fixture
def between(store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    with network(store, SEED) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


@pytest.mark.parametrize("faults", FAULTS)
def test_a_bad_network_loses_nothing(
    faults: str, between: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory()
    memory.months = dict(SALES)
    tables = toy_tables(memory)
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path / "local"))
    local = Lake(str(tmp_path / "lake"))
    settle(tables, local)
    root = f"s3://{BUCKET}/{uuid4().hex}"
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path / "worker"))
    monkeypatch.setenv("ANALYTICS_LAKE", root)
    between.faults = FAULTS[faults]
    told = 0
    lake = Lake(root)
    for _ in range(40):
        try:
            assert settle(tables, lake) == []
            break
        except (SourceUnavailable, OSError) as error:
            told += 1
            print(f"{faults}: told: {str(error)[:160]}")
    between.faults = {}
    settle(tables, lake)
    snapshot = Snapshot(Lake(root))
    assert [b.why for table in tables for b in snapshot.behind(table)] == []
    for table in tables:
        assert lake.fingerprints(table) == local.fingerprints(table)
        files = [file.uri for file in lake.files(table)]
        assert len(files) == len(set(files))
        assert len(rows(lake, table)) == len(rows(local, table))
    print(f"{faults}: {dict(between.done)}, told {told} times")


def test_a_store_that_never_answers_well_is_refused_in_one_sentence(
    between: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(f"s3://{BUCKET}/{uuid4().hex}")
    between.faults = {"503": 1.0}
    with pytest.raises(SourceUnavailable, match="the object store does not answer"):
        storage.reach()

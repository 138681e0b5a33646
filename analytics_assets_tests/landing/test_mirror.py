"""A landing folder in an object store is what one of this machine is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from analytics_assets.core.source import SourceUnavailable
from analytics_assets.domains.births.sources import SinascSource
from analytics_assets.landing.mirror import mirror_of
from analytics_assets_tests.landing.probe import FOLDER, declare, query, settle
from analytics_assets_tests.scale.object_store import BUCKET, object_store

HEADER = "station,time,level_cm"
LEVELS = f"{HEADER}\na,2024-01-01 10:00:00,5\n"


@pytest.fixture(scope="module")
def store() -> Iterator[None]:
    with object_store():
        yield


class Drop:
    """A landing folder in a bucket."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.remote = fsspec.filesystem("s3", skip_instance_cache=True)

    def put(self, name: str, text: str) -> None:
        self.remote.pipe_file(f"{self.url}/{name}", text.encode())

    def take(self, name: str) -> None:
        self.remote.rm_file(f"{self.url}/{name}")


@pytest.fixture
def drop(store: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drop:
    url = f"s3://{BUCKET}/{uuid4().hex}/drop"
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PROBE_SOURCE", f"{url}/")
    monkeypatch.setenv("SINASC_SOURCE", url)
    return Drop(url)


def names() -> list[str]:
    return [path.name for path in FOLDER.files()]


def test_files_land_change_and_go_as_in_a_folder(drop: Drop) -> None:
    landed, rejected = declare()
    counted = "select count(*), sum(level_cm) from probe.readings"
    drop.put("levels.csv", LEVELS)
    settle(landed, rejected)
    assert query(counted, landed) == [(1, 5)]
    drop.put("levels 2.csv", LEVELS.replace("a,", "b,").replace(",5", ",7"))
    settle(landed)
    assert query(counted, landed) == [(2, 12)]
    # Of the same size, and within the second.
    drop.put("levels 2.csv", LEVELS.replace("a,", "b,").replace(",5", ",9"))
    settle(landed)
    assert query(counted, landed) == [(2, 14)]
    drop.take("levels 2.csv")
    settle(landed)
    assert query(counted, landed) == [(1, 5)]


def test_every_machine_sees_the_same_states(
    drop: Drop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop.put("levels.csv", LEVELS)
    drop.put("DNAC2024.csv", "DTNASC\n")
    states: list[object] = []
    for machine in ("first", "second"):
        monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path / machine))
        states.append([(p.stat().st_size, p.stat().st_mtime_ns) for p in FOLDER.files()])
        states.append(SinascSource().inputs())
    assert states[:2] == states[2:]
    assert "2024" in str(states[1])


def test_a_file_that_has_not_changed_is_fetched_once(drop: Drop) -> None:
    drop.put("levels.csv", LEVELS)
    (path,) = FOLDER.files()
    before = path.stat().st_ino
    FOLDER.files()
    assert path.stat().st_ino == before
    path.write_text(LEVELS.replace(",5", ",6"))
    FOLDER.files()
    assert path.read_text() == LEVELS


def test_people_are_told_the_url(drop: Drop) -> None:
    landed, _ = declare()
    drop.put("levels.csv", "neither,of,them\n1,2,3\n")
    drop.put("DNXX2024.csv", "DTNASC\n")
    (problem,) = landed.source.problems()  # type: ignore[union-attr]
    assert problem.startswith(f"{drop.url}/levels.csv: ")
    assert f"{drop.url}/DNXX2024.csv: XX is not a state" in "".join(SinascSource().problems())


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("níveis d'água [1] + 100%?*.csv", "níveis d'água [1] + 100%?*.csv"),
        ("../../levels.csv", None),
        ("..", "%.."),
        (".being-sent.csv", None),
        ("a" * 300 + ".csv", "%" + "a" * 60),
        ("deep/er/levels.csv", None),
        ("below/levels.csv", "below"),
    ],
)
def test_names_that_no_file_can_have_stay_in_the_folder(
    name: str, seen: str | None, drop: Drop, tmp_path: Path
) -> None:
    drop.put("levels.csv", LEVELS)
    drop.put(name, LEVELS)
    assert names() == sorted(filter(None, ["levels.csv", seen]))
    outside = [p for p in tmp_path.rglob("*.csv") if mirror_of(drop.url) not in p.parents]
    assert outside == []


def test_a_name_that_is_a_folder_too_is_both(drop: Drop) -> None:
    drop.put("levels.csv", LEVELS)
    assert names() == ["levels.csv"]
    drop.put("levels.csv/part.csv", LEVELS)
    assert names() == ["%levels.csv", "levels.csv"]


def test_a_store_that_cannot_be_read_takes_nothing_away(
    drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    landed, _ = declare()
    drop.put("levels.csv", LEVELS)
    settle(landed)
    (path,) = FOLDER.files()
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        patch.setenv("PROBE_SOURCE", f"{drop.url}/away")
        with pytest.raises(SourceUnavailable, match=f"^{drop.url}/away: .*not answer"):
            FOLDER.files()
    for url in (f"s3://{uuid4().hex}/drop", f"s3://{BUCKET}/nothing-here"):
        monkeypatch.setenv("PROBE_SOURCE", url)
        with pytest.raises(SourceUnavailable, match=f"^{url}: .*set PROBE_SOURCE"):
            FOLDER.files()
    monkeypatch.setenv("PROBE_SOURCE", drop.url)
    drop.take("levels.csv")
    with pytest.raises(SourceUnavailable, match="there is no file in the landing folder"):
        landed.source.inputs()  # type: ignore[union-attr]
    assert path.exists()
    assert query("select count(*) from probe.readings", landed) == [(1,)]

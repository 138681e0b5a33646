"""Taking a bad file out of a folder ends what it did, whatever was there before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from analytics_assets import settings
from analytics_assets.landing.sources import FileSource
from analytics_assets.landing.upserts import UpsertSource
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake
from analytics_assets_tests.landing.probe import declare, new_folder, query, send, settle

NEVER = [(station, "2024-01-01 06:00", "??") for station in "abcd"]
GOOD = [("a", "2024-01-01 06:00", "1"), ("b", "2024-01-01 07:00", "2")]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with new_folder(tmp_path) as found:
        yield found


def damaged(folder: Path, name: str) -> Path:
    return send(folder, name, NEVER)


def cut_off(folder: Path, name: str) -> Path:
    path = send(folder, name, GOOD)
    path.write_bytes(b"PK\x03\x04" + path.read_bytes())
    return path


@pytest.mark.parametrize("source", [FileSource, UpsertSource])
@pytest.mark.parametrize("bad", [damaged, cut_off])
@pytest.mark.parametrize("before", ["nothing", "another", "itself"])
def test_the_next_run_is_as_before_the_bad_file(
    folder: Path, source: type[FileSource], bad: Callable[[Path, str], Path], before: str
) -> None:
    table, _ = declare(source=source)
    name = "levels.csv" if before == "itself" else "levels_bad.csv"
    if before != "nothing":
        send(folder, "levels.csv", GOOD)
    assert not settle(table)
    rows = query("select * from probe.readings", table)
    path = bad(folder, name)
    settle(table)
    path.unlink()
    assert not settle(table)
    snapshot = Snapshot(Lake(settings.load().lake))
    assert snapshot.behind(table) == []
    for check in ("contract", "rejected_share", "rows_still_landed"):
        assert snapshot.blocked_by(table, check) == []
    assert query("select * from probe.readings", table) == rows

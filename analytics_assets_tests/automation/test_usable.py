"""A landing folder in which nothing can be landed is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analytics_assets import settings
from analytics_assets.automation.staleness import stale
from analytics_assets.automation.usable import unusable
from analytics_assets.landing.rejected import RejectedSource
from analytics_assets.landing.sources import FileSource
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.ledger import now
from analytics_assets_tests.landing.probe import READINGS, declare, new_folder, send


@pytest.mark.parametrize("files", ["none", "strange", "refused", "of a folder"])
def test_a_folder_without_anything_usable_is_stale_until_a_file_comes(
    tmp_path: Path, files: str
) -> None:
    with new_folder(tmp_path) as folder:
        tables = declare()
        if files == "strange":
            (folder / "notes.txt").write_text("hello")
        elif files == "refused":
            send(folder, "levels.csv", [("Chur",)], header=("place",))
        elif files == "of a folder":
            send(folder, "2024/levels.csv", [("Chur", "2024-01-01", "7")])
        (said,) = unusable(tables).values()
        assert said.startswith(f"{folder}: nothing in the landing folder can be landed.")
        snapshot = Snapshot(Lake(settings.load().lake))
        (found,) = stale([], tables, snapshot, now())
        assert (found.asset, found.what) == ("probe/readings", f"{said}.")
        send(folder, "levels_2.csv", [("Chur", "2024-01-01", "7")])
        assert unusable(tables) == {}


def test_what_no_source_takes_is_named_in_any_folder(tmp_path: Path) -> None:
    feed = replace(READINGS, files="levels/*{days}")
    with new_folder(tmp_path) as folder:
        row = [("Chur", "2024-01-01", "7")]
        for name in ("levels/2024-01-01.csv", "levels/old/2024-01-01.csv", "levels_2024-01-01.csv"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            send(folder, name, row)
        (folder / "more").mkdir()
        said = RejectedSource((feed,)).problems()
        assert [line.split(":")[0] for line in said] == [
            str(folder / name) for name in ("levels/old", "levels_2024-01-01.csv", "more")
        ]
        assert "it is a folder" in said[0]
        assert "call it levels/*{days}" in said[1]
        assert FileSource(feed).inputs().keys() == {"2024-01-01"}

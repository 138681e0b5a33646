"""What defects are planted in: a sound lake, and what a planted defect is.

Belongs here: what the planted defects of all domains share.
Does not belong here: the defects (``test_planted_defects.py``, and ``planted.py`` of a domain).
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timezone
from itertools import count
from pathlib import Path

import dagster as dg
import pytest

from analytics_assets import settings
from analytics_assets.core.declaration import Table
from analytics_assets.definitions import build as definitions_of
from analytics_assets.warehouse.build import Builder
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.outcome import Outcome
from analytics_assets.warehouse.quarantine import Quarantine
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.conftest import make_workspace
from analytics_assets_tests.toy import Memory, Sale, settle, toy_tables
from analytics_assets_tests.workspace import Workspace

YEARS = range(2016, 2021)


def month(year: int, cents: int = 500) -> list[Sale]:
    """A small and a big sale on each day of May, each in its own shop."""
    return [
        (date(year, 5, day), shop, price)
        for day in range(1, 32)
        for shop, price in (("a", cents), ("b", cents + 1000))
    ]


class DatedMemory(Memory):
    """Sales of whose arrival the source knows."""

    def arrived(self, key: str, names: Sequence[str]) -> datetime | None:
        return datetime(2020, 6, 1, tzinfo=timezone.utc)


def memory() -> DatedMemory:
    source = DatedMemory()
    source.months = {f"{year}-05": month(year) for year in YEARS}
    return source


def declared(source: Memory) -> dict[str, Table]:
    """The toy tables by name, with all that a contract can say."""
    raw, fact, daily, *others = toy_tables(source)
    sold_on, shop, cents = fact.columns
    columns = (sold_on, shop, replace(cents, maximum=100_000))
    raw = replace(raw, columns=(*columns, *raw.columns[3:]), unique=("sold_on", "shop"))
    fact = replace(fact, columns=columns)
    return {table.name: table for table in (raw, fact, daily, *others)}


class Site:
    """Where defects are planted: a lake with May of five years, copied for each of them."""

    def __init__(self, folder: Path, postgres: str) -> None:
        self.folder, self.postgres = folder, postgres
        self._said: dict[str, str] = {}
        self._numbers = count()
        with self.home("sound"):
            assert settle(list(declared(memory()).values()), Lake(settings.load().lake)) == []

    def message(self, defect: Defect) -> str:
        """What the check said when the defect was planted, which is done once."""
        if defect.what not in self._said:
            self._said[defect.what] = defect.plant(self, defect)
        return self._said[defect.what]

    def new_folder(self) -> Path:
        """Where there is nothing yet."""
        return self.folder / f"planted-{next(self._numbers)}"

    @contextmanager
    def home(self, name: str) -> Iterator[Path]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ANALYTICS_HOME", str(self.folder / name))
            yield self.folder / name

    @contextmanager
    def lake(self) -> Iterator[Lake]:
        """A copy of the sound lake."""
        folder = self.new_folder()
        shutil.copytree(self.folder / "sound", folder)
        with self.home(folder.name):
            yield Lake(settings.load().lake)

    @contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """The sound lake, and a production database to which it was not promoted yet."""
        folder = self.new_folder()
        folder.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            for workspace in make_workspace(folder, self.postgres, patch):
                shutil.copytree(self.folder / "sound", settings.load().home)
                yield workspace


@dataclass(frozen=True)
class Defect:
    """A check, what is wrong, words that the message must have, and how it is planted."""

    check: str
    what: str
    said: tuple[str, ...]
    plant: Callable[[Site, Defect], str]
    blocks: bool = True
    quarantined: int = 0


def build(lake: Lake, table: Table, partitions: Sequence[str]) -> Outcome:
    log = logging.getLogger("planted")
    log.setLevel(logging.CRITICAL)
    with open_session(settings.load()) as session:
        return Builder(session, Snapshot(lake), "test", log).build(table, partitions)


def judged(lake: Lake, table: Table, partition: str, defect: Defect) -> str:
    """Build a partition: this check alone fails, and nothing is published if it blocks."""
    live = lake.files(table)
    outcome = build(lake, table, [partition])
    (finding,) = outcome.findings
    assert finding.check == defect.check
    assert finding.blocking == defect.blocks
    assert outcome.failed() == ({partition} if defect.blocks else set())
    assert (lake.files(table) == live) == defect.blocks
    assert outcome.quarantined.get(partition, 0) == defect.quarantined
    assert list(Quarantine(lake, table).files()) == ([partition] if defect.quarantined else [])
    return finding.message


def evaluated(workspace: Workspace, tables: Sequence[Table], job: dg.Definitions) -> str:
    """What the one check of the job ``planted`` says, which fails."""
    definitions = dg.Definitions.merge(definitions_of(tables), job)
    result = definitions.resolve_job_def("planted").execute_in_process(instance=workspace.instance)
    (found,) = result.get_asset_check_evaluations()
    assert not found.passed
    texts = [found.description or "", *(str(m.value) for m in found.metadata.values())]
    return " ".join(text for text in texts if text)


def only(*checks: dg.AssetCheckKey) -> dg.Definitions:
    selection = dg.AssetSelection.checks(*checks)
    return dg.Definitions(jobs=[dg.define_asset_job("planted", selection=selection)])

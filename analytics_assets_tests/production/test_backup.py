"""Backups: only proven ones are seen, and what is restored is what was there; on real servers."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from analytics_assets import settings
from analytics_assets.core.declaration import Table
from analytics_assets.production import backup as module
from analytics_assets.production import server
from analytics_assets.production.backup import (
    Backup,
    BackupError,
    back_up,
    backups,
    restore,
    restore_builds,
)
from analytics_assets.production.dump import DumpError, programs
from analytics_assets.production.promotion import production_engine
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import open_lake
from analytics_assets.warehouse.ledger import BuildLedger
from analytics_assets_tests.production.test_promotion import send
from analytics_assets_tests.toy import Memory, settle, toy_tables
from analytics_assets_tests.workspace import Workspace

LOG = logging.getLogger("test_backup")
NIGHT = datetime(2024, 3, 1, 5, tzinfo=timezone.utc)
MONTHS = {
    "2024-01": [(date(2024, 1, 5), "a", 500), (date(2024, 1, 9), "b", 2000)],
    "2024-02": [(date(2024, 2, 5), "c", 1500)],
}


class Toy:
    """The toy domain, promoted as a run would."""

    def __init__(self, workspace: Workspace, engine: sa.Engine) -> None:
        self.workspace, self.engine, self.memory = workspace, engine, Memory()
        self.tables = toy_tables(self.memory)

    def load(self, months: dict[str, Any]) -> None:
        self.memory.months = months
        settle(self.tables, self.workspace.lake)
        for table in self.published:
            live = {file.key for file in Snapshot(self.workspace.lake).files(table)}
            send(self.engine, self.workspace, table, sorted(live))

    @property
    def published(self) -> list[Table]:
        return [table for table in self.tables if table.publish]

    def back_up(self, as_of: datetime = NIGHT) -> tuple[Backup | None, list[str]]:
        return back_up(settings.load(), self.tables, as_of, LOG)

    def restore(self, name: str = "latest", database: str = "", confirm: str = "") -> Backup:
        return restore(settings.load(), name, database, confirm, LOG)

    def seen(self, url: str | None = None) -> dict[str, list[tuple[Any, ...]]]:
        """What readers see, ledger included."""
        with production_engine(url or server.urls(settings.load()).promoter) as engine:
            return contents(engine, [t.sql_name for t in self.published] + ["promotion.ledger"])


def contents(engine: sa.Engine, names: list[str]) -> dict[str, list[tuple[Any, ...]]]:
    with engine.connect() as connection:
        return {
            name: [
                tuple(r) for r in connection.exec_driver_sql(f"select * from {name} order by 1, 2")
            ]
            for name in names
        }


@pytest.fixture
def engine(module_workspace: Workspace) -> Iterator[sa.Engine]:
    with production_engine(server.urls(settings.load()).promoter) as engine:
        yield engine


@pytest.fixture
def toy(
    module_workspace: Workspace,
    engine: sa.Engine,
    postgres: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Toy:
    """Promoted anew, with a home of its own."""
    url = f"postgresql://promoter@/analytics_restore?host={postgres}"
    monkeypatch.setenv("RESTORE_URL", url)
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path / "home"))
    with production_engine(server.restore_url(settings.load())) as there:
        for each in (engine, there):
            drop(each)
    toy = Toy(module_workspace, engine)
    toy.load(MONTHS)
    return toy


def drop(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("drop schema if exists toy, toy_store, promotion, mine cascade")


def database(engine: sa.Engine) -> str:
    assert engine.url.database
    return engine.url.database


def folder() -> Path:
    return settings.load().backup_folder


def restored_tables() -> int:
    with production_engine(server.restore_url(settings.load())) as engine, engine.connect() as here:
        return here.exec_driver_sql(
            "select count(*) from pg_class where relnamespace::regnamespace::text like 'toy%%'"
        ).scalar_one()


def test_a_backup_restored_elsewhere_is_equal(toy: Toy) -> None:
    before = toy.seen()
    made, _ = toy.back_up()
    assert made is not None
    assert made.totals["toy.agg_shop_monthly"].rows == 3
    assert made.totals["promotion.ledger"].rows == len(toy.workspace.ledger())
    assert not restored_tables(), "a verified copy was left in the database"
    assert os.stat(made.folder).st_mode & 0o777 == 0o700
    toy.load(MONTHS | {"2024-01": [(date(2024, 1, 5), "a", 1)]})
    toy.restore(made.name)
    assert toy.seen(server.restore_url(settings.load())) == before
    assert toy.seen() != before, "production itself was restored"


def test_production_comes_back_with_its_ledger_and_is_promoted_again(
    toy: Toy, engine: sa.Engine
) -> None:
    before = toy.seen()
    toy.back_up()
    toy.load(MONTHS | {"2024-01": [(date(2024, 1, 5), "a", 1)]})
    after = {name: rows for name, rows in toy.seen().items() if name != "promotion.ledger"}
    with engine.begin() as connection:
        connection.exec_driver_sql("drop view toy.agg_weekly")
    toy.restore(database=database(engine), confirm=database(engine))
    assert toy.seen() == before
    assert toy.workspace.production("select sum(cents) from agg_shop_monthly") == [(4000,)]
    toy.load(toy.memory.months)
    promoted = toy.seen()
    assert {name: promoted[name] for name in after} == after
    url = engine.url.set(username="dashboard_reader").render_as_string()
    with production_engine(url) as reader, reader.connect() as connection:
        assert connection.exec_driver_sql("select count(*) from agg_weekly").scalar_one() == 3


def test_tables_promoted_since_go_and_what_others_made_stays(toy: Toy, engine: sa.Engine) -> None:
    toy.back_up()
    with engine.begin() as connection:
        connection.exec_driver_sql("create table toy_store.later (x int)")
        connection.exec_driver_sql("create view toy.later as select * from toy_store.later")
    toy.restore(database=database(engine), confirm=database(engine))
    with engine.begin() as connection:
        assert connection.exec_driver_sql("select to_regclass('toy.later')").scalar() is None
        connection.exec_driver_sql("create schema mine")
        connection.exec_driver_sql("create view mine.v as select * from toy.agg_yearly")
    before = toy.seen()
    with pytest.raises(BackupError, match=r"view mine\.v depends on view agg_yearly"):
        toy.restore(database=database(engine), confirm=database(engine))
    assert toy.seen() == before


def test_readers_see_the_old_or_the_new(toy: Toy, engine: sa.Engine) -> None:
    toy.back_up()
    toy.load(MONTHS | {"2024-01": [(date(2024, 1, 5), "a", 1)]})
    seen: set[int] = set()
    begun, stop = threading.Event(), threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.add(toy.workspace.production("select sum(cents) from toy.agg_shop_daily")[0][0])
            begun.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert begun.wait(30)
    for _ in range(3):
        toy.restore(database=database(engine), confirm=database(engine))
    stop.set()
    reader.join()
    assert seen == {1501, 4000}


def test_production_is_restored_only_if_its_name_is_repeated(toy: Toy, engine: sa.Engine) -> None:
    toy.back_up()
    with pytest.raises(BackupError, match="Set confirm to its name"):
        toy.restore(database=database(engine), confirm="yes")
    with pytest.raises(BackupError, match=r"no backup 'x' .* there are: 2024-03-01T05-00-00Z"):
        toy.restore("x")


def test_production_is_never_the_place_for_trials(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESTORE_URL", os.environ["PRODUCTION_URL"])
    before = toy.seen()
    with pytest.raises(BackupError, match="RESTORE_URL is production itself"):
        toy.back_up()
    assert toy.seen() == before
    assert not backups(folder())


def test_a_backup_that_does_not_come_back_equal_is_never_seen(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.totals

    def short(connection, schemas):
        found = real(connection, schemas)
        if connection.engine.url.database == "analytics_restore":
            found.pop("toy.agg_yearly")
        return found

    monkeypatch.setattr(module, "totals", short)
    with pytest.raises(BackupError, match=r"1 relations came back differently.*toy\.agg_yearly"):
        toy.back_up()
    assert sorted(path.name for path in folder().iterdir()) == [".lock"]


def test_changes_while_it_is_made_are_in_all_of_it_or_none(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dump and checksums are of one moment."""
    before, real = toy.seen(), module.dump

    def later(*arguments):
        toy.load(MONTHS | {"2024-01": [(date(2024, 1, 5), "a", 1)]})
        real(*arguments)

    monkeypatch.setattr(module, "dump", later)
    toy.back_up()
    toy.restore()
    assert toy.seen(server.restore_url(settings.load())) == before


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process may outgrow ``size``: a full disk, for one process."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_told_and_loses_nothing(toy: Toy) -> None:
    kept, _ = toy.back_up()
    with largest_file(4096), pytest.raises(BackupError, match="Make room there"):
        toy.back_up(NIGHT + timedelta(days=1))
    assert kept
    assert sorted(path.name for path in folder().iterdir()) == [".lock", kept.name]
    assert toy.back_up(NIGHT + timedelta(days=1))[0] is not None


def test_a_damaged_backup_is_not_restored(toy: Toy, engine: sa.Engine) -> None:
    made, _ = toy.back_up()
    assert made
    dump = made.folder / "production.dump"
    dump.write_bytes(dump.read_bytes()[:-100])
    before = toy.seen()
    with pytest.raises(BackupError, match=r"production\.dump is damaged"):
        toy.restore(database=database(engine), confirm=database(engine))
    # And if nobody had noticed: the script ends early, and nothing of it is kept.
    manifest = json.loads((made.folder / "manifest.json").read_text())
    manifest["files"]["production.dump"]["sha256"] = module.checksum(dump)
    (made.folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BackupError, match=r"pg_restore: error: .* Nothing was changed"):
        toy.restore(database=database(engine), confirm=database(engine))
    assert toy.seen() == before


def test_a_killed_backup_leaves_nothing_and_the_next_completes(toy: Toy) -> None:
    code = (
        "import logging, sys; from datetime import datetime, timezone\n"
        "from analytics_assets import settings\n"
        "from analytics_assets.production import backup\n"
        "from analytics_assets_tests.toy import Memory, toy_tables\n"
        "def stop(*a):\n    print('here', flush=True)\n    sys.stdin.read()\n"
        "setattr(backup, sys.argv[1], stop)\n"
        "backup.back_up(settings.load(), toy_tables(Memory()),"
        " datetime(2024, 3, 1, tzinfo=timezone.utc), logging.getLogger())\n"
    )
    # While the dump is there and unverified; while a restored copy stands in the database.
    for moment in ("_verify", "_compare"):
        child = subprocess.Popen(
            [sys.executable, "-c", code, moment], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdout
        assert child.stdout.readline() == b"here\n"
        assert list(folder().glob(".draft-*/manifest.json")), "it is killed too early"
        with pytest.raises(BackupError, match="is under way"):
            toy.back_up()
        child.kill()
        child.wait()
        assert not backups(folder())
        deadline = time.monotonic() + 10
        while restored_tables() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not restored_tables()
    assert toy.back_up()[0] is not None
    assert len(list(folder().iterdir())) == 2, "a draft was left"


def test_the_newest_are_kept_and_the_last_of_each_month(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = toy.back_up(datetime(2022, 1, 1, tzinfo=timezone.utc))
    assert made
    names = [f"2022-{month:02}-{day:02}T00-00-00Z" for month in range(1, 13) for day in (3, 28)]
    names += [f"2023-01-{day:02}T00-00-00Z" for day in range(1, 6)]
    for name in names:
        (folder() / name).mkdir()
        (folder() / name / "manifest.json").write_text("{}")
    monkeypatch.setenv("BACKUPS_KEPT", "3")
    with monkeypatch.context() as patched:
        patched.setattr(module, "_verify", _fail)
        with pytest.raises(BackupError):
            toy.back_up(datetime(2023, 1, 6, tzinfo=timezone.utc))
    assert len(backups(folder())) == len(names) + 1, "deleted without a newer one"
    _, deleted = toy.back_up(datetime(2023, 1, 6, tzinfo=timezone.utc))
    assert [backup.name[:10] for backup in backups(folder())] == [
        *(f"2022-{month:02}-28" for month in range(2, 13)),
        "2023-01-04",
        "2023-01-05",
        "2023-01-06",
    ]
    assert len(deleted) == len(names) + 2 - 14


def _fail(*_: Any) -> None:
    raise BackupError("not equal")


def test_nothing_promoted_is_nothing_to_back_up(toy: Toy, engine: sa.Engine) -> None:
    drop(engine)
    assert toy.back_up() == (None, [])
    toy.load(MONTHS)
    assert toy.back_up()[0] is not None
    drop(engine)
    with pytest.raises(BackupError, match="Production is empty, and there are backups"):
        toy.back_up(NIGHT + timedelta(days=1))


def test_a_lost_build_ledger_comes_back_where_it_still_holds(toy: Toy) -> None:
    made, _ = toy.back_up()
    assert made
    entries = BuildLedger(toy.workspace.lake).read()
    toy.load(MONTHS | {"2024-02": [(date(2024, 2, 5), "c", 1501)]})
    toy.load(MONTHS | {"2024-03": [(date(2024, 3, 5), "c", 1501)]})
    subprocess.run(["rm", "-r", f"{settings.load().lake}/_builds"], check=True)
    open_lake.cache_clear()
    assert restore_builds(settings.load(), toy.tables, made) == []
    toy.back_up(NIGHT + timedelta(days=1))
    settle(toy.tables, toy.workspace.lake)
    made, _ = toy.back_up(NIGHT + timedelta(days=2))
    assert made
    entries = BuildLedger(toy.workspace.lake).read()
    subprocess.run(["rm", "-r", f"{settings.load().lake}/_builds"], check=True)
    open_lake.cache_clear()
    assert restore_builds(settings.load(), toy.tables, made) == sorted(t.key for t in toy.tables)
    assert BuildLedger(toy.workspace.lake).read() == entries
    assert not any(Snapshot(toy.workspace.lake).behind(table) for table in toy.tables)


def test_a_server_that_no_program_fits_is_told(tmp_path: Path) -> None:
    with pytest.raises(DumpError, match="PostgreSQL 99 needs its own pg_dump"):
        programs(99)

"""The lake is verified: what is damaged is found, never used, and mended."""

from __future__ import annotations

import logging
import os
import random
import shutil
import tempfile
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from analytics_assets import settings
from analytics_assets.automation.repair import repair
from analytics_assets.core.source import SourceError
from analytics_assets.warehouse import durable, staging
from analytics_assets.warehouse.archive import archive, archive_of, restore
from analytics_assets.warehouse.audit import Finding
from analytics_assets.warehouse.build import Builder
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.integrity import ASIDE, DamagedFiles, damaged, is_whole, seal
from analytics_assets.warehouse.lake import Lake, StoredFile
from analytics_assets.warehouse.ledger import BuildLedger, now
from analytics_assets.warehouse.notes import note, noted
from analytics_assets.warehouse.rollback_table import RollbackError, roll_back
from analytics_assets.warehouse.scrub import scrub
from analytics_assets.warehouse.session import open_session
from analytics_assets.warehouse.soundness import judge
from analytics_assets_tests.damage import FIRST, Home, flip, some_sales

NAMES = ("raw_sales", "fact_sales", "agg_shop_daily", "agg_yearly")
LATE = (FIRST + timedelta(days=20), "a", 5)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with everything built, which tests copy."""
    folder = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("ANALYTICS_HOME", str(folder))
        home = Home()
        home.sell(*some_sales(1, 12))
        assert home.refresh() == []
    return folder


@pytest.fixture
def home(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    shutil.copytree(built, tmp_path / "home")
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path / "home"))
    home = Home()
    home.sell(*some_sales(1, 12))
    return home


def flipped(path: Path) -> Path:
    """One bit in the middle, and the time of change as it was, as a disk does it."""
    before = path.stat()
    flip(path, random.Random(path.stat().st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return path


def mended(home: Home) -> bool:
    return home.content() == home.wanted() and home.behind() == {}


# ---- data files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_what_is_gone_or_cut_off_is_behind_and_mended(home: Home, name: str) -> None:
    (first, *_), table = home.files(name), f"toy/{name}"
    first.unlink()
    assert "a file of it is missing" in [home.behind()[k] for k in home.behind() if table in k]
    assert home.refresh() == []
    assert mended(home)
    (first, *_) = home.files(name)
    first.write_bytes(first.read_bytes()[:20])
    assert "a file of it is damaged" in [home.behind()[k] for k in home.behind() if table in k]
    assert home.refresh() == []
    assert mended(home)


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_bit_is_never_computed_with(home: Home, name: str) -> None:
    paths = [flipped(path) for path in home.files(name)]
    home.sell(LATE)
    told = home.refresh()
    home.sell(*((day, "b", 1) for day, _, _ in some_sales(1, 12)))
    told += home.refresh()
    assert mended(home)
    for message in told:
        assert any(str(path) in message for path in paths) or "a file of it" in message
    kept = {path.name for path in (Path(home.root) / ASIDE).rglob("*.parquet")}
    assert kept
    assert kept <= {path.name for path in paths}


def test_promotion_and_rollback_refuse_what_is_damaged(home: Home) -> None:
    table = home.table("agg_shop_monthly")
    (first, *_) = home.files(table.name)
    version = home.lake.version(table)
    home.sell(LATE)
    assert home.refresh() == []
    path = flipped(first)
    with pytest.raises(RollbackError, match=str(path)):
        roll_back(home.lake, [table], version or 0, "test")
    path = flipped(home.files(table.name)[0])
    with pytest.raises(DamagedFiles, match=f"{table.key} .*{path}.*is damaged"):
        Snapshot(home.lake).verify(table, ["2024-01", "2024-02"])


def test_a_source_that_has_nothing_left_is_said_and_a_copy_is_enough(home: Home) -> None:
    """Files of the same rows mend: put aside and whole, of an older version, of the archive."""
    (first, *_) = home.files("raw_sales")
    kept = first.read_bytes()
    first.unlink()
    month = first.parent.name.removeprefix("_partition=")[:7]
    del home.source.months[month]
    (told,) = {message for message in home.refresh() if "source does not offer" in message}
    assert told.startswith(f"{month}: contract: a file of it is missing, its source does not")
    copy = first.with_name("older.parquet")
    copy.write_bytes(kept)
    assert [m for m in home.refresh() if "source does not offer" in m] == []
    home.source.months[month] = [sale for sale in home.sales if f"{sale[0]:%Y-%m}" == month]
    assert home.content() == home.wanted()


def test_a_source_that_gives_other_rows_than_were_published_is_said(home: Home) -> None:
    """Under the same inputs: what it gives now is live, and nothing is held back."""

    class Short(dict):
        def get(self, key, default=None):
            return super().get(key, default)[1:]

    raw, months = home.table("raw_sales"), sorted(home.source.months)
    month = months[0]

    def built() -> list[Finding]:
        next(p for p in home.files("raw_sales") if f"={month}" in str(p)).unlink()
        with open_session(settings.load()) as session:
            builder = Builder(session, Snapshot(home.lake), "test", logging.getLogger("toy"))
            outcome = builder.build(raw, months)
        assert [finding for finding in outcome.findings if finding.blocking] == []
        return [f for f in outcome.findings if "no longer give" in f.message]

    assert built() == []
    count = len(home.source.months[month])
    home.source.months = Short(home.source.months)
    (told,) = built()
    assert told.partition == month, "other months were not damaged"
    assert f"no longer give the {count:,} rows that were published" in told.message
    assert sum(file.rows for file in home.lake.files(raw) if file.key[:7] == month) == count - 1


def test_an_archived_copy_mends(home: Home) -> None:
    fact, folder = home.table("fact_sales"), archive_of(settings.load())
    before = "2024-02-01"
    done = archive(home.lake, home.tables[:2], fact, before, folder, "test", now())
    restore(home.lake, fact, [one.partition for one in done], folder, "test")
    assert mended(home)
    key = done[0].partition
    shutil.rmtree(Path(home.root, fact.key, f"_partition={key}"))
    assert home.behind() == {f"toy/fact_sales {key}": "a file of it is missing"}
    assert home.refresh() == []
    assert mended(home)


def test_files_of_an_earlier_release_are_known_by_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path))
    monkeypatch.setattr(staging, "seal", lambda lake, file: file)
    home = Home()
    home.sell(*some_sales(1, 12))
    assert home.refresh() == []
    table = home.table("agg_shop_daily")
    assert damaged(home.lake, home.lake.files(table)) == []
    (first, *_) = home.files(table.name)
    data = bytearray(first.read_bytes())
    data[10:50] = bytes(40)
    first.write_bytes(data)
    assert [d.file.uri for d in damaged(home.lake, home.lake.files(table))] == [str(first)]
    monkeypatch.undo()
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path))
    assert home.refresh() == []
    assert mended(home)


def test_a_process_reads_a_file_once_and_the_share_that_is_set(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    checksum = durable.checksum
    monkeypatch.setattr(
        durable, "checksum", lambda path: (read.append(str(path)), checksum(path))[1]
    )
    lake = home.lake
    files = lake.files(home.table("fact_sales"))
    for _ in range(3):
        assert damaged(lake, files) == []
    assert sorted(read) == sorted(file.uri for file in files)
    monkeypatch.setenv("LAKE_VERIFY_PERCENT", "0")
    read.clear()
    assert damaged(home.lake, files) == []
    assert read == []


@examples(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=2000), st.integers(0), st.integers(0, 7))
def test_no_bit_can_change_unseen(data: bytes, place: int, bit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.parquet")
        path.write_bytes(data)
        lake = Lake(folder)
        sealed = seal(lake, StoredFile("all", str(path), 1, len(data), ""))
        assert is_whole(lake, sealed.uri)
        changed = bytearray(data)
        changed[place % len(data)] ^= 1 << bit
        Path(sealed.uri).write_bytes(changed)
        assert not is_whole(lake, sealed.uri)


# ---- logs and the ledger ------------------------------------------------------------------------


def test_a_log_that_lost_its_newest_entry_is_noticed(home: Home) -> None:
    home.sell(LATE)
    assert home.refresh() == []
    home.log("agg_yearly")[-1].unlink()
    why = "the table's log has lost what the build ledger says was published"
    assert home.behind() == {"toy/agg_yearly 2024": why}
    assert home.refresh() == []
    assert mended(home)


@pytest.mark.parametrize("name", ["agg_shop_daily", "_builds"])
def test_a_damaged_log_is_one_sentence_and_repaired(home: Home, name: str) -> None:
    path = home.log(name)[-1]
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(SourceError) as error:
        home.behind()
    assert str(error.value) == (
        f"{path}: the table's log cannot be read: it is damaged. Run `analytics-assets repair`,"
        " which falls back to what can be read"
    )
    (said,) = repair(settings.load(), home.tables)
    assert said.startswith(f"{'' if name == '_builds' else 'toy/'}{name}: {path.name} of its log")
    assert list(repair(settings.load(), home.tables)) == []
    assert home.refresh() == []
    assert mended(home)


@pytest.mark.parametrize("all_of_it", [False, True])
def test_without_the_ledger_all_is_built_and_nothing_published(home: Home, all_of_it: bool) -> None:
    before = {table.key: home.lake.files(table) for table in home.tables}
    if all_of_it:
        shutil.rmtree(Path(home.root, "_builds"))
    else:
        for path in Path(home.root, "_builds").glob("*/*.parquet"):
            path.unlink()
        with pytest.raises(SourceError, match=r"_builds.*Run `analytics-assets repair`"):
            home.behind()
        (said,) = repair(settings.load(), home.tables)
        assert said.startswith("_builds: ")
    assert home.refresh() == []
    assert mended(home)
    assert {table.key: home.lake.files(table) for table in home.tables} == before


def test_a_removal_that_a_log_forgot_is_noticed(home: Home) -> None:
    """The old file beside the new one would count every sale twice."""
    home.sell((FIRST, "a", 5))
    assert home.refresh() == []
    log = home.log("raw_sales")[-1]
    removal = b'"remove":{"path":"'
    assert removal in log.read_bytes()
    log.write_bytes(log.read_bytes().replace(removal, removal + b"x"))
    why = "the table's log holds files of it that do not belong together"
    assert home.behind()["toy/raw_sales 2024-01"] == why
    home.sell((FIRST, "a", 6))
    assert home.refresh() == []
    assert mended(home)


def test_no_bit_of_a_commit_gives_other_files_unseen(home: Home) -> None:
    """Its log is refused, or something is behind, or the very files are read."""
    home.sell((FIRST, "a", 5))
    assert home.refresh() == []
    table, log = home.table("raw_sales"), home.log("raw_sales")[-1]
    before, data = home.lake.files(table), log.read_bytes()
    removed = data.index(b'"remove":{"path":"')
    seen = set()
    for place in (*range(0, removed, 45), *range(removed, removed + 120, 8)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 7
        log.write_bytes(changed)
        try:
            if home.behind():
                seen.add("behind")
            else:
                seen.add("harmless")
                assert home.lake.files(table) == before, (place, bytes(changed[place - 20 :][:40]))
        except SourceError:
            seen.add("refused")
    assert seen == {"behind", "harmless", "refused"}


def test_an_entry_of_the_ledger_that_changed_is_not_believed(home: Home) -> None:
    ledger = BuildLedger(home.lake)
    entry = ledger.read()["toy/agg_yearly"]["2024"]
    assert ledger.damaged() == 0
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("analytics_assets.warehouse.ledger._checksum", lambda row: "0")
        ledger.record([entry])
    assert "toy/agg_yearly" not in BuildLedger(home.lake).read()
    assert BuildLedger(home.lake).damaged() == 1
    assert home.behind() == {"toy/agg_yearly 2024": "never built"}
    assert home.refresh() == []
    assert mended(home)


def test_a_log_is_ahead_of_the_ledger_only_if_it_is_younger(home: Home) -> None:
    """It is written first, so equally old it is of the very build, and has lost something since."""
    table = home.table("agg_yearly")
    files = home.lake.files(table)
    entry = BuildLedger(home.lake).read()[table.key]["2024"]
    published = datetime.fromtimestamp(files[0].published / 1000, timezone.utc)
    for earlier, ahead in ((0, False), (1, True)):
        built_at = published - timedelta(milliseconds=earlier)
        other = replace(entry, published="other", built_at=built_at)
        found = judge(home.lake, table, files, {"2024": other})
        assert ("2024" in found.unended, "2024" in found.broken) == (ahead, not ahead)


# ---- the scrub ----------------------------------------------------------------------------------


def test_a_scrub_finds_what_no_one_reads(home: Home) -> None:
    paths = [flipped(home.files(name)[0]) for name in NAMES]
    count = sum(len(home.lake.files(table)) for table in home.tables if table.name != "agg_weekly")
    home.log("agg_weekly")[0].write_bytes(b"")
    done = scrub(home.lake, home.tables, 100, now())
    assert done.files == count
    for path in (*paths, home.log("agg_weekly")[0]):
        assert any(str(path) in sentence for sentence in done.damaged)
    list(repair(settings.load(), home.tables))
    assert home.refresh() == []
    assert mended(home)
    assert scrub(home.lake, home.tables, 100, now()).damaged == []


@pytest.mark.parametrize("percent", [100, 34, 7.5])
def test_night_by_night_a_scrub_reads_each_file_once(home: Home, percent: float) -> None:
    start = datetime(2024, 5, 1, 2, tzinfo=timezone.utc)
    nights = [start + timedelta(days=n) for n in range(-(-100 // percent).__trunc__())]
    done = [scrub(home.lake, home.tables, percent, night) for night in nights]
    everything = [file for table in home.tables for file in home.lake.files(table)]
    assert sum(one.files for one in done) == len(everything)
    assert sum(one.bytes for one in done) == sum(file.bytes for file in everything)


def test_a_damaged_note_is_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path))
    note("files", {"a.csv": ["state", "0123"]})
    assert noted("files") == {"a.csv": ["state", "0123"]}
    (path,) = (tmp_path / "fingerprints").iterdir()
    path.write_bytes(path.read_bytes().replace(b"0123", b"0133"))
    assert noted("files") == noted("never") == {}


# ---- what is made from the lake -----------------------------------------------------------------


def test_a_damaged_catalogue_is_written_anew(home: Home) -> None:
    catalogue = settings.load().catalogue
    catalogue.write_bytes(b"x" * 5000)
    assert home.refresh() == []
    assert home.catalogue() == home.wanted()

"""One file stops neither a domain nor the process: it is refused by name, and the others land."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest

from analytics_assets import registry, settings
from analytics_assets.core import troubles
from analytics_assets.core.source import SourceError
from analytics_assets.landing import formats, known
from analytics_assets.landing.confined import confined
from analytics_assets.landing.feed import Feed
from analytics_assets.landing.files import files_of
from analytics_assets.landing.known import contents
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.landing import hostile
from analytics_assets_tests.landing.probe import READINGS, declare, new_folder, query, send, settle

BOMB = "it unpacks to more than 25 MB"
HIGHER = "If it is what it should be, set {} higher"


def feeds_of(name: str) -> list[Feed]:
    tables = registry.domain(name).tables
    return list({t.source.feed: None for t in tables if hasattr(t.source, "feed")})


WITH_FEEDS = [name for name in registry.found() if feeds_of(name)]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with new_folder(tmp_path) as drop:
        yield drop


def plant(feed: Feed) -> dict[str, str]:
    """Beside the files of a feed one of each hostile kind that it may be taken for -> what is said
    of it."""
    first, second, third = feed.formats[:3]
    stem = str(feed.folder.path / feed.files.replace("*", "x").replace("{days}", "2024-01-01"))
    zipped = partial(hostile.zip_bomb, inner=f"a{first}", tens_of_mb=3)
    kinds: dict[str, tuple[Callable[[Path], None], str]] = {
        second: (hostile.pipe, "it is a named pipe, not a file"),
        f"{second}.gz": (hostile.loop, "it is a link that leads to itself, not a file"),
        f"{second}.zip": (hostile.endless, "it is a device, not a file"),
        f"{first}.gz": (partial(hostile.gzip_bomb, tens_of_mb=3), BOMB),
        ".zip": (zipped, BOMB),
    }
    if third == ".txt":
        kinds[third] = (hostile.wide_csv, "it has 100,000 columns, more than 2,000")
    if ".xlsx" in feed.formats:
        kinds[".xlsx"] = (hostile.far_excel, "reading it takes more than 1,500 MB of memory")
    for suffix, (make, _) in kinds.items():
        make(Path(stem + suffix))
    return {stem + suffix: said for suffix, (_, said) in kinds.items()}


@pytest.mark.parametrize("name", WITH_FEEDS)
def test_every_feed_refuses_them_and_reads_the_others(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path))
    for setting in registry.domain(name).settings:
        monkeypatch.delenv(setting.variable, raising=False)
    for sample in registry.domain(name).samples:
        sample()
    good, bad = set(), {}
    for feed in feeds_of(name):
        *others, last = files_of(feed)
        for file in others:
            file.path.unlink()
        good.add(str(last.path))
        bad |= plant(feed)
    found = hostile.measured(name, LANDING_UNPACKED_MB="25")
    assert {path for path, rows in found["rows"].items() if rows} == good
    assert found["refused"].keys() == bad.keys()
    for path, said in bad.items():
        assert said in found["refused"][path], path
        assert "Traceback" not in found["refused"][path]
    assert max(found["mb"]) < 700
    assert found["seconds"] < 120


def test_the_good_day_lands_and_each_other_file_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANDING_UNPACKED_MB", "25")
    feed = replace(READINGS, files="levels*{days}*")
    send(folder, "levels 2024-01-02.csv", [("Chur", "2024-01-02 06:00:00", "7")])
    bad = plant(feed)
    (folder / "levels 2024-01-03.dbf").write_bytes(b"\x03" + os.urandom(5000))
    landed, rejected = declare(feed)
    started = time.monotonic()
    findings = settle(landed, rejected)
    assert time.monotonic() - started < 60
    assert query("select station, level_cm from probe.readings", landed) == [("Chur", 7)]
    told = dict(query("select file, reason from probe.rejected_record", rejected))
    assert told.keys() == {*(Path(path).name for path in bad), "levels 2024-01-03.dbf"}
    for path, said in bad.items():
        assert said in told[Path(path).name]
    assert {f.partition for f in findings if f.blocking} == {"2024-01-01", "2024-01-03"}


def test_by_default_what_unpacks_to_two_gigabytes_is_refused(folder: Path) -> None:
    good = send(folder, "levels.csv", [("Chur", "2024-01-02 06:00:00", "7")])
    bomb = folder / "levels 2.csv.gz"
    hostile.gzip_bomb(bomb, 200)
    assert bomb.stat().st_size < 10_000_000
    found = hostile.measured("probe")
    assert found["rows"] == {str(good): 1}
    higher = HIGHER.format("LANDING_UNPACKED_MB")
    said = f"{bomb}: it unpacks to more than 1,500 MB. {higher}"
    assert found["refused"] == {str(bomb): said}
    assert max(found["mb"]) < 500
    assert found["seconds"] < 60


@pytest.mark.parametrize(("most", "lands"), [("3", True), ("2", False)])
def test_the_limits_are_settings(
    most: str, lands: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANDING_MAX_COLUMNS", most)
    file = send(folder, "levels.csv", [("Chur", "2024-01-02 06:00:00", "7")])
    (found,) = contents(READINGS, files_of(READINGS)).values()
    said = f"{file}: it has 3 columns, more than 2. {HIGHER.format('LANDING_MAX_COLUMNS')}"
    assert (found.rows, found.said) == ((1, "") if lands else (0, said))


@pytest.mark.parametrize(
    ("reader", "said", "variable"),
    [
        (hostile.sleeps, "reading it takes more than 2 seconds", "SECONDS"),
        (hostile.dies, "reading it takes more than 500 MB of memory, or breaks its reader", "MB"),
        (hostile.takes_memory, "reading it takes more than 500 MB of memory, or breaks", "MB"),
    ],
)
def test_a_reader_beyond_its_limits_refuses_its_file(
    reader: Callable[..., Any],
    said: str,
    variable: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LANDING_READER_SECONDS", "2")
    monkeypatch.setenv("LANDING_READER_MB", "500")
    higher = re.escape(HIGHER.format(f"LANDING_READER_{variable}"))
    with pytest.raises(SourceError, match=f"^{tmp_path / 'it'}: {said}.*{higher}$"):
        confined(reader, tmp_path / "it")


def test_what_a_reader_writes_is_limited_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANDING_UNPACKED_MB", "25")
    with pytest.raises(SourceError, match=f"{tmp_path / 'it'}: {BOMB}"):
        confined(hostile.writes_much, tmp_path / "it", tmp_path / "target")
    assert (tmp_path / "target").stat().st_size <= 25_000_000


def test_a_reader_knows_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRODUCTION_URL", "postgresql://u:secret@host/db")
    assert not [n for n in confined(hostile.tells_surroundings, tmp_path) if "URL" in n]


def test_what_a_limit_refused_is_tried_again_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the next look, though nobody sent it again; what is damaged waits until it changes."""
    monkeypatch.setattr(known, "_AGAIN_AFTER", 0.0)
    monkeypatch.setenv("LANDING_MAX_COLUMNS", "2")
    send(folder, "levels 2024-01-02.csv", [("Chur", "2024-01-02 06:00:00", "7")])
    landed, rejected = declare(replace(READINGS, files="levels*{days}*"))
    (finding, *_) = settle(landed, rejected)
    assert "more than 2" in finding.summary
    assert not query("select * from probe.readings", landed)
    monkeypatch.delenv("LANDING_MAX_COLUMNS")
    settle(landed, rejected)
    assert query("select station, level_cm from probe.readings", landed) == [("Chur", 7)]


def test_a_file_that_may_not_be_read_for_a_moment_is_tried_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "_AGAIN_AFTER", 0.0)
    send(folder, "levels 2024-01-02.csv", [("Chur", "2024-01-02 06:00:00", "7")])
    landed, rejected = declare(replace(READINGS, files="levels*{days}*"))
    with monkeypatch.context() as patch:

        def fails(*_: Any) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        patch.setattr(formats.csv_text, "look_at", fails)
        (finding, *_) = settle(landed, rejected)
        assert "it cannot be read (Input/output error)" in finding.summary
    settle(landed, rejected)
    assert query("select station, level_cm from probe.readings", landed) == [("Chur", 7)]


def test_a_full_disk_is_no_fault_of_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = send(folder, "levels 2024-01-02.csv", [("Chur", "2024-01-02 06:00:00", "7")])
    full = duckdb.IOException("IO Error: Could not write to file: No space left on device")
    with (
        open_session(settings.load()) as session,
        pytest.raises(OSError, match="No space left") as caught,
        formats.opened(session, path, folder),
    ):
        raise full
    assert caught.value.errno == errno.ENOSPC
    assert troubles.said(caught.value).startswith(f"{folder}: the disk is full. ")

"""Files that are looked into together hold what each holds alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from analytics_assets import settings
from analytics_assets.landing.feed import Feed, Layout
from analytics_assets.landing.files import files_of
from analytics_assets.landing.formats import OF_FILE
from analytics_assets.landing.known import contents
from analytics_assets.landing.looking import look_into
from analytics_assets.landing.reading import kept_rows
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.landing.probe import HEADER, READINGS, came, new_folder

_LINES = st.sampled_from(
    [
        "Chur,2024-01-01 06:00:00,7",
        "Chur,2024-01-01 06:00:00,8",
        "Åre,2024-01-02 06:00:00,",
        '"a,b",2024-01-02,7',
        'a lost " quote,2024-01-02,7',
        '"a lost quote,2024-01-02,7',
        "too,2024-01-02,many,columns",
        "too few",
        ",,",
        "Chur,yesterday,7",
        "Chur,2024-01-03,high",
        "NUL\0,2024-01-03,7",
        "",
    ]
)
_HEADERS = st.sampled_from(
    [
        ",".join(HEADER),
        "level_cm,Station,TIME",
        "station,level_cm",
        "station,time,level_cm,file_day",
    ]
)
_ENDS = st.sampled_from(["\n", "\r\n"])


@st.composite
def _text(draw: st.DrawFn) -> bytes:
    """A CSV file as somebody may send it."""
    lines = [draw(_HEADERS), *draw(st.lists(_LINES, max_size=6))]
    text = draw(_ENDS).join(lines) + draw(st.sampled_from(["", "\n"]))
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "latin-1"])))


@st.composite
def _documents(draw: st.DrawFn) -> bytes:
    """Lines of JSON, of which some are none."""
    rows = draw(st.lists(_LINES, max_size=6))
    lines = [json.dumps(dict(zip(HEADER, row.split(","), strict=False))) for row in rows]
    broken = draw(st.lists(st.sampled_from(['{"station": ', "7", "null", "[]"]), max_size=2))
    return "\n".join([*lines, *broken, ""]).encode()


_SWALLOWED = b'station,time,level_cm\nChur,2024-01-01,7\n"a,2024-01-01,7\nb",2024-01-01,8\n'
_FILES = st.lists(
    st.tuples(st.just("csv"), st.just(_SWALLOWED))
    | st.tuples(st.just("csv"), _text())
    | st.tuples(st.just("jsonl"), _documents())
    | st.tuples(st.just("csv"), st.binary(max_size=40)),
    min_size=2,
    max_size=6,
)
_LAYOUT = Layout(
    "points", ("station", "level_cm"), {"measured_at": "at"}, ", (values (1)) as p(at)"
)
_FEEDS = st.sampled_from(
    [
        READINGS,
        replace(READINGS, key=()),
        replace(READINGS, files="levels_{days}*", moves="level_cm = 7"),
        replace(READINGS, rest="station"),
        replace(READINGS, refuses={"it is seven": "level_cm = 7"}, most_rejected=0.1),
        replace(READINGS, layouts=(_LAYOUT,)),
    ]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with new_folder(tmp_path_factory.mktemp("looks")) as drop:
        settings.load().scratch.mkdir(parents=True, exist_ok=True)
        yield drop


@hypothesis_settings(max_examples=40, deadline=None)
@given(sent=_FILES, feed=_FEEDS)
def test_together_they_hold_what_each_holds_alone(
    folder: Path, sent: list[tuple[str, bytes]], feed: Feed
) -> None:
    for path in folder.iterdir():
        path.unlink()
    for number, (kind, content) in enumerate(sent, start=1):
        path = folder / f"levels_2024-01-{number:02}.{kind}"
        path.write_bytes(content)
        came(path)
    files = files_of(feed)
    assert len(files) == len(sent)
    with open_session(settings.load()) as session:
        together = look_into(session, feed, files)
        kept = {file: _kept(session, feed, file) for file in files}
        for file in files:
            kept_rows(feed, file).unlink(missing_ok=True)
            assert together[file] == look_into(session, feed, [file])[file]
            assert kept[file] == _kept(session, feed, file)


def _kept(session: duckdb.DuckDBPyConnection, feed: Feed, file: object) -> list[tuple]:
    """The rows that wait for the landing; nothing of a file that cannot be read."""
    path = kept_rows(feed, file)
    if not path.exists():
        return []
    sql = f"select * exclude file_number from read_parquet('{path}') order by all"
    return session.execute(sql).fetchall()


@pytest.mark.parametrize("name", [*OF_FILE, "day", "rejected", "record", "row_name", "copies"])
def test_a_column_may_be_called_like_what_we_add_to_a_row(folder: Path, name: str) -> None:
    for path in folder.iterdir():
        path.unlink()
    for day in ("2024-01-01", "2024-01-02"):
        path = folder / f"levels_{day}.csv"
        path.write_text(f"station,time,level_cm,{name}\nChur,{day},7,99\n")
    found = contents(READINGS, files_of(READINGS))
    assert [content.offered for content in found.values()] == [{"2024-01-01": 1}, {"2024-01-02": 1}]
    assert {content.said for content in found.values()} == {""}

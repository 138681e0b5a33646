"""Any text of any file: read, or refused in one sentence, and never lost without a word."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from unicodedata import category

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from analytics_assets import settings
from analytics_assets.core.columns import Column, text
from analytics_assets.core.partitions import DAILY
from analytics_assets.core.source import Landing, SourceError
from analytics_assets.landing.feed import MISSING, Feed
from analytics_assets.landing.sources import FileSource
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.landing.probe import FOLDER, came, new_folder

NOTES = Feed(
    "notes",
    FOLDER,
    "notes*",
    columns=(
        text("id", "Which.", nullable=False),
        text("country", "Where."),
        text("note", "What."),
        Column("share", "percent", "How much.", "percent"),
    ),
    words={"country": ("NA",)},
    key=("id",),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with new_folder(tmp_path_factory.mktemp("texts")) as drop:
        yield drop


def land(folder: Path, name: str, content: bytes, feed: Feed = NOTES) -> tuple[list[tuple], dict]:
    """The rows of a folder with one file, and what is reported; ``SourceError``."""
    for path in folder.iterdir():
        path.unlink()
    (folder / name).write_bytes(content)
    came(folder / name)
    source, report = FileSource(feed), {}
    names = ", ".join(column.name for column in feed.landed_columns)
    with open_session(settings.load()) as session:
        found = []
        for key in sorted(source.inputs()):
            with source.land(Landing(session, key, report, lambda sql: {})) as selects:
                for select in selects:
                    found += session.execute(
                        f"select {names} from ({select}) order by 1"
                    ).fetchall()
    report["rejected"] = sum(c.rejected_rows for c in source.look().contents.values())
    return found, report


def refusal(folder: Path, name: str, content: bytes, feed: Feed = NOTES) -> str:
    with pytest.raises(SourceError) as refused:
        land(folder, name, content, feed)
    said = str(refused.value)
    assert "\n" not in said
    return said


# ---- files that end too early -------------------------------------------------------------------

_CSV = b"id,country,note\n1,PT,a\n2,PT,b"
CUT = {
    "a last line with fewer columns": ("notes.csv", _CSV + b"\n3,P", "inside line 4"),
    "an open quote": ("notes.csv", _CSV + b'\n3,PT,"begun', "inside line 4"),
    "an open quote over lines": ("notes.csv", _CSV + b'\n3,PT,"begun\nand', "inside line 5"),
    "a line of JSON": ("notes.jsonl", b'{"id": 1}\n{"id": 2, "no', "inside line 2"),
    "an object in one": ("notes.jsonl", b'{"id": 1}\n{"id": 2, "x": {"y": 1}', "inside line 2"),
    "an array of JSON": ("notes.json", b'[{"id": 1},\n {"id": 2},', "inside line 2"),
    "an array after a whole object": ("notes.json", b'[{"id": 1},\n {"id": 2}', "inside line 2"),
    "an answer": ("notes.json", b'{"data": [{"id": 1}, {"id": 2}', "inside line 1"),
    "a gzip file": ("notes.csv.gz", gzip.compress(_CSV * 50)[:-12], "damaged"),
    "what was in a gzip file": ("notes.csv.gz", gzip.compress(_CSV + b"\n3"), "inside line 4"),
}


@pytest.mark.parametrize(("name", "content", "said"), CUT.values(), ids=CUT)
def test_a_file_that_is_cut_off_is_refused(
    folder: Path, name: str, content: bytes, said: str
) -> None:
    message = refusal(folder, name, content)
    assert message.startswith(str(folder / name))
    assert said in message
    assert "Fetch it again" in message


WHOLE = {
    "no last line end": ("notes.csv", _CSV),
    "a last value over lines": ("notes.csv", b'id,country,note\n1,PT,a\n2,PT,"b\nb"'),
    "a line of JSON without end": ("notes.jsonl", b'{"id": 1}\n{"id": 2}'),
    "an array a line": ("notes.jsonl", b'[{"id": 1}]\n[{"id": 2}]\n'),
    "an array": ("notes.json", b'[{"id": 1},\n {"id": 2}]\n'),
    "lines that end in two ways": ("notes.jsonl", b'{"id": 1}\r\n{"id": 2}\n{"id": 1}\r\n'),
    "lines of CSV that end in two ways": ("notes.csv", b"id,note\r\n1,a\n2,b\r\n"),
    "semicolons": ("notes.csv", b"id;note\n1;a\n2;b\n"),
    "a last comma in each line": ("notes.csv", b"id,note,\n1,a,\n2,b,\n"),
    "a last comma in each line but the header": ("notes.csv", b"id,note\n1,a,\n2,b,\n"),
}


@pytest.mark.parametrize(("name", "content"), WHOLE.values(), ids=WHOLE)
def test_a_whole_file_is_read(folder: Path, name: str, content: bytes) -> None:
    rows, report = land(folder, name, content)
    assert [row[0] for row in rows] == ["1", "2"]
    assert report["rejected"] == 0


@pytest.mark.parametrize("end", [b"", b"\n"])
@given(rows=st.integers(1, 5), at=st.integers(0, 200))
@hypothesis_settings(max_examples=10, deadline=None)
def test_wherever_lines_are_cut_no_row_is_lost(
    tmp_path_factory: pytest.TempPathFactory, end: bytes, rows: int, at: int
) -> None:
    """All rows, or those before the cut if it is between two of them, or a refusal."""
    lines = [json.dumps({"id": str(n), "note": "é" * n}, ensure_ascii=False) for n in range(rows)]
    whole = "\n".join(lines).encode() + end
    cut = whole[: at % (len(whole) + 1)]
    with new_folder(tmp_path_factory.mktemp("cut")) as drop:
        try:
            found, report = land(drop, "notes.jsonl", cut)
        except SourceError as error:
            said = str(error)
        else:
            said = "inside line"
            assert len(found) == sum(bool(line.strip()) for line in cut.split(b"\n"))
            assert report["rejected"] == 0
    assert "inside line" in said


def test_lines_that_are_no_record_are_rejected_each_with_its_reason(folder: Path) -> None:
    lines = [b'{"id": 1}', b"terminated early", b'"id"', b'{"error": "rate limit"}', b"7"]
    rows, report = land(folder, "notes.jsonl", b"\n".join(lines) + b"\n")
    assert (len(rows), report["rejected"]) == (1, 4)


def test_a_file_without_a_header_is_refused(folder: Path) -> None:
    assert "its header lacks id" in refusal(folder, "notes.csv", b"1,PT,a\n2,PT,b\n")


# ---- words for nothing --------------------------------------------------------------------------


def test_words_for_nothing_are_missing_in_every_text_but_where_they_are_values(
    folder: Path,
) -> None:
    words = ["", *MISSING]
    lines = [f"{n},{word},{word},{word}" for n, word in enumerate(words)]
    rows, _ = land(folder, "notes.csv", "\n".join(["id,country,note,share", *lines, ""]).encode())
    assert [row[2:] for row in rows] == [(None, None)] * len(words)
    assert {row[1] for row in rows} == {None, "NA"}
    documents = [{"id": n, "note": word, "country": word} for n, word in enumerate(words)]
    rows, _ = land(folder, "notes.json", json.dumps(documents).encode())
    assert [row[2] for row in rows] == [None] * len(words)


def test_parquet_of_any_number_is_text_as_a_csv_file_has_it(folder: Path) -> None:
    table = pyarrow.table(
        {
            "id": pyarrow.array([Decimal("1.00"), Decimal("10.00")], pyarrow.decimal128(10, 2)),
            "note": pyarrow.array([float("nan"), 2.0]),
            "share": pyarrow.array([Decimal("12.50"), None], pyarrow.decimal128(10, 2)),
        }
    )
    pyarrow.parquet.write_table(table, folder / "notes.parquet")
    content = (folder / "notes.parquet").read_bytes()
    rows, _ = land(folder, "notes.parquet", content)
    assert rows == [("1", None, None, Decimal("12.5")), ("10", None, "2", None)]


def test_a_percent_sign_is_read_where_percents_are_wanted(folder: Path) -> None:
    rows, _ = land(folder, "notes.csv", b"id,share\n1,12.5%\n2,7 %\n3,8\n")
    assert [row[3] for row in rows] == [Decimal("12.5"), 7, 8]


# ---- bytes --------------------------------------------------------------------------------------


def test_a_byte_of_latin_1_in_utf_8_is_read_and_told(folder: Path) -> None:
    good = "id,note\n1,Cesáreo\n2,Psicóloga\n3,Ação\n".encode()
    rows, report = land(folder, "notes.csv", good + "4,Mãe é médica".encode() + b" em S\xe3o\n")
    notes = [row[2] for row in rows]
    assert notes == ["Cesáreo", "Psicóloga", "Ação", "Mãe é médica em São"]
    assert report["mended"] == "notes.csv: bytes of Latin-1 in text of UTF-8, read as such"
    rows, _ = land(folder, "notes.csv", good.decode().encode("latin-1"))
    assert [row[2] for row in rows] == notes[:3]


def test_r_writes_its_row_names_with_and_without_a_header(folder: Path) -> None:
    for header in (b'"","id","note"', b'"id","note"'):
        rows, report = land(folder, "notes.csv", header + b'\n"1","7","a"\n"2","8",NA\n')
        assert [(row[0], row[2]) for row in rows] == [("7", "a"), ("8", None)]
        assert report["columns left out"] == "column 1, which has no name"


_TEXTS = st.one_of(
    st.text(max_size=20),
    st.text(st.characters(categories=["Cs", "Cc", "Mn", "Lo"]), max_size=20),
    st.sampled_from(
        ["Ana \ud83d", "\ude00 Ana", "a\0b", "\0", "\\u0000", '"', "\u202eabc", "e\u0301", "\x85"]
    ),
    st.integers(100_000, 120_000).map(lambda n: "x" * n),
)


def _wanted(note: str) -> str | None:
    """What is landed of a text: halves of a character are replaced, NUL is taken out."""
    clean = note.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "")
    clean = clean.strip("".join(chr(n) for n in range(0x3001) if category(chr(n)) == "Zs"))
    return None if clean in ("", *MISSING) else clean


@hypothesis_settings(max_examples=12, deadline=None)
@given(notes=st.lists(_TEXTS, min_size=1, max_size=4))
def test_any_text_of_a_document_is_landed(folder_of_texts: Path, notes: list[str]) -> None:
    lines = [json.dumps({"id": str(n), "note": note}) for n, note in enumerate(notes)]
    rows, report = land(folder_of_texts, "notes.jsonl", "\n".join(lines).encode())
    assert [row[2] for row in rows] == [_wanted(note) for note in notes]
    assert report["rejected"] == 0
    for (found,) in [(row[2],) for row in rows if row[2]]:
        found.encode()


@hypothesis_settings(max_examples=12, deadline=None)
@given(notes=st.lists(_TEXTS, min_size=1, max_size=4))
def test_any_text_of_a_csv_file_is_landed(folder_of_texts: Path, notes: list[str]) -> None:
    """Line breaks in a value become blanks; what has no character of UTF-8 cannot be in a file."""
    kept = [n.encode("utf-8", "replace").decode().replace("\r", " ") for n in notes]
    kept = [" ".join(note.split("\n")) for note in kept]
    lines = [f'{n},"{note.replace(chr(34), chr(34) * 2)}"' for n, note in enumerate(kept)]
    rows, report = land(folder_of_texts, "notes.csv", "\n".join(["id,note", *lines, ""]).encode())
    assert [row[2] for row in rows] == [_wanted(note) for note in kept]
    assert report["rejected"] == 0


@pytest.fixture(scope="module")
def folder_of_texts(folder: Path) -> Path:
    return folder


# ---- files of nothing ---------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["empty", "full"])
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_an_empty_file_beside_another_takes_nothing_away(
    folder: Path, first: str, ending: str
) -> None:
    daily = replace(
        NOTES, files="notes*_{days}", key=("id",), day="file_day", period=DAILY, words={}
    )
    for path in folder.iterdir():
        path.unlink()
    full = b"id,note\n1,a\n" if ending == "csv" else b'{"id": 1}\n'
    names = {"empty": ("a", "b"), "full": ("b", "a")}[first]
    (folder / f"notes{names[0]}_2024-01-01.{ending}").touch()
    (folder / f"notes{names[1]}_2024-01-01.{ending}").write_bytes(full)
    source = FileSource(daily)
    assert list(source.inputs()) == ["2024-01-01"]
    with (
        open_session(settings.load()) as session,
        source.land(Landing(session, "2024-01-01", {}, lambda sql: {})) as (select,),
    ):
        assert session.execute(f"select count(*) from ({select})").fetchall() == [(1,)]


def test_an_empty_list_of_users_beside_another_takes_no_user_away(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    (folder / "notes_2.jsonl").touch()
    rows, _ = land_beside(folder, "notes_1.jsonl", b'{"id": 1}\n')
    assert len(rows) == 1


def land_beside(folder: Path, name: str, content: bytes) -> tuple[list[tuple], dict]:
    (folder / name).write_bytes(content)
    source: FileSource = FileSource(NOTES)
    report: dict = {}
    with (
        open_session(settings.load()) as session,
        source.land(Landing(session, "all", report, lambda sql: {})) as (select,),
    ):
        return session.execute(f"select * from ({select})").fetchall(), report

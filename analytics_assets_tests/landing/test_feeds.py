"""What holds for every feed: any format, any order, and no row that vanishes uncounted."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pyogrio
import pytest
import xlsxwriter
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from analytics_assets import settings
from analytics_assets.core.columns import text
from analytics_assets.core.partitions import MONTHLY
from analytics_assets.core.refusals import DeclarationError
from analytics_assets.core.source import Landing, SourceError
from analytics_assets.landing import sources
from analytics_assets.landing.feed import Feed
from analytics_assets.landing.files import LandedFile, files_of
from analytics_assets.landing.reading import parsed
from analytics_assets.landing.rejected import RejectedSource
from analytics_assets.landing.sources import FileSource
from analytics_assets.landing.upserts import UpsertSource
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.landing.probe import HEADER, READINGS, send

ROWS = [("Chur", "2024-01-01 06:00:00", "7"), ("Åre", "2024-01-02 06:00:00", "-12")]
WANTED = {"2024-01-01": [("Chur", 7)], "2024-01-02": [("Åre", -12)]}
Row = Sequence[str]
NOTHING = (
    "select '' as station, timestamp '2024-01-01' as measured_at, 1 as level_cm,"
    " date '2024-01-01' as day limit 0"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty landing folder, and a home for what is known of its files."""
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PROBE_SOURCE", str(tmp_path / "drop"))
    (tmp_path / "drop").mkdir()
    return tmp_path / "drop"


def landed(source: FileSource, key: str, live: str = "", built: Any = None) -> list[tuple]:
    return land(source, key, live, built)[0]


def land(source: FileSource, key: str, live: str = "", built: Any = None) -> tuple[list, dict]:
    """Rows of a partition, and what is reported of it."""
    report: dict[str, Any] = {}
    with open_session(settings.load()) as session:
        landing = Landing(session, key, report, lambda sql: {}, live, built or {})
        with source.land(landing) as selects:
            (select,) = selects
            rows = session.execute(f"select station, level_cm from ({select}) order by all")
            return rows.fetchall(), report


def everything(source: FileSource) -> dict[str, list[tuple]]:
    return {key: landed(source, key) for key in sorted(source.inputs())}


def rejected(feed: Feed) -> list[tuple]:
    """File, reason and record of what is in no table."""
    source = RejectedSource((feed,))
    with open_session(settings.load()) as session:
        if not source.inputs():
            return []
        with source.land(Landing(session, "all", {}, lambda sql: {})) as selects:
            union = " union all ".join(selects)
            asked = f"select file, reason, record from ({union}) order by all"
            return session.execute(asked).fetchall() if selects else []


# ---- formats ------------------------------------------------------------------------------------


def _as_csv(path: Path, delimiter: str = ",", encoding: str = "utf-8") -> None:
    lines = [delimiter.join(row) for row in (HEADER, *ROWS)]
    path.write_bytes("\r\n".join(lines).encode(encoding))


def _documents() -> list[dict[str, str]]:
    return [dict(zip(HEADER, row, strict=True)) for row in ROWS]


def _as_excel(path: Path) -> None:
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate((HEADER, *ROWS)):
            sheet.write_row(number, 0, row)


def _as_table() -> pyarrow.Table:
    return pyarrow.Table.from_pylist(_documents())


def _as_dbf(path: Path) -> None:
    latin = _as_table().rename_columns(["STATION", "TIME", "LEVEL_CM"])
    pyogrio.write_arrow(latin, path, driver="ESRI Shapefile", geometry_type=None, encoding="latin1")
    path.with_suffix(".cpg").unlink()


FORMATS = {
    "levels.csv": _as_csv,
    "LEVELS.CSV": _as_csv,
    "levels_semicolon.csv": lambda path: _as_csv(path, ";"),
    "levels.tsv": lambda path: _as_csv(path, "\t"),
    "levels_pipe.txt": lambda path: _as_csv(path, "|"),
    "levels_latin.csv": lambda path: _as_csv(path, encoding="latin-1"),
    "levels_bom.csv": lambda path: _as_csv(path, encoding="utf-8-sig"),
    "levels.csv.gz": lambda path: path.write_bytes(gzip.compress(_csv_bytes())),
    "levels.zip": lambda path: _zipped(path, "inside.csv", _csv_bytes()),
    "levels.csv.zip": lambda path: _zipped(path, "inside.csv", _csv_bytes()),
    "levels.jsonl": lambda path: path.write_text("\n".join(map(json.dumps, _documents()))),
    "levels.jsonl.gz": lambda path: path.write_bytes(
        gzip.compress("\n".join(map(json.dumps, _documents())).encode())
    ),
    "levels.json": lambda path: path.write_text(json.dumps(_documents(), indent=1)),
    "levels_answer.json": lambda path: path.write_text(json.dumps({"data": _documents()})),
    "levels.xlsx": _as_excel,
    "levels.parquet": lambda path: pyarrow.parquet.write_table(_as_table(), path),
    "levels.dbf": _as_dbf,
}


def _csv_bytes() -> bytes:
    return "\n".join(",".join(row) for row in (HEADER, *ROWS)).encode()


def _zipped(path: Path, name: str, content: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_of_any_format_gives_the_same_rows(folder: Path, name: str) -> None:
    FORMATS[name](folder / name)
    assert everything(FileSource(READINGS)) == WANTED
    assert rejected(READINGS) == []


@pytest.mark.parametrize("name", ["levels.xlsx", "levels.parquet", "levels.dbf", "levels.csv.gz"])
def test_a_damaged_file_is_one_sentence_without_its_values(folder: Path, name: str) -> None:
    FORMATS[name](folder / name)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    (problem,) = FileSource(READINGS).problems()
    assert problem.startswith(str(folder / name))
    assert "\n" not in problem
    assert "Chur" not in problem


# ---- laws ---------------------------------------------------------------------------------------

_STATIONS = st.sampled_from(["Chur", "Åre", "", "a,b", 'say "hi"'])
_MOMENTS = st.sampled_from(
    ["2024-01-01 06:00:00", "2024-01-01 07:00:00", "2024-01-02", "1999-12-31", "yesterday", ""]
)
_LEVELS = st.sampled_from(["7", "-12", "8.0", "8.5", "", "high"])
_ROW = st.tuples(_STATIONS, _MOMENTS, _LEVELS)
_ROWS = st.lists(_ROW, max_size=12)
# A line with a lost quote: it cannot be split, and the records around it can.
_NO_RECORD = ('"lost', "2024-01-01", "high")
_GENTLE = hypothesis_settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def quoted(row: Row) -> list[str]:
    return ['"' + value.replace('"', '""') + '"' for value in row]


def is_good(row: Row) -> bool:
    whole = row[2] in ("", "7", "-12", "8.0")
    return bool(row[0]) and row[1].startswith("2024") and whole


@_GENTLE
@given(
    files=st.lists(st.lists(_ROW | st.just(_NO_RECORD), max_size=12), min_size=1, max_size=3),
    feed=st.sampled_from([READINGS, replace(READINGS, key=())]),
)
def test_offered_is_landed_and_rejected_and_repeated(
    folder: Path, files: list[list[Row]], feed: Feed
) -> None:
    for path in folder.iterdir():
        path.unlink()
    for number, rows in enumerate(files):
        lines = [row if row is _NO_RECORD else quoted(row) for row in rows]
        send(folder, f"levels_{number}.csv", lines)
    source = FileSource(replace(feed, most_rejected=1))
    counted: Counter[str] = Counter()
    for key in source.inputs():
        rows, report = land(source, key)
        assert len(rows) == report["rows landed"]
        counted.update({name: report[f"rows {name}"] for name in ("landed", "offered", "repeated")})
    bad = rejected(source.feed)
    offered = [row for rows in files for row in rows]
    good = [row for row in offered if is_good(row)]
    assert len(bad) == len(offered) - len(good)
    assert counted["offered"] == len(good)
    assert counted["landed"] + counted["repeated"] == counted["offered"]
    if feed.key:
        assert counted["landed"] == len({(row[0], row[1]) for row in good})
    elif len(files) == 1:
        assert counted["landed"] == len(good)


@_GENTLE
@given(rows=_ROWS, seed=st.randoms(use_true_random=False))
def test_the_order_of_lines_is_no_content(folder: Path, rows: list[Row], seed: Any) -> None:
    for path in folder.iterdir():
        path.unlink()
    once = list({row[:2]: row for row in rows}.values())
    source = FileSource(replace(READINGS, most_rejected=1))
    path = send(folder, "levels.csv", [quoted(row) for row in once])
    before = source.inputs()
    seed.shuffle(once)
    send(folder, path.name, [quoted(row) for row in once])
    assert source.inputs() == before


# ---- which row counts ---------------------------------------------------------------------------


def test_the_file_that_came_last_counts_and_may_take_a_correction_back(folder: Path) -> None:
    source = FileSource(READINGS)
    first = [("Chur", "2024-01-01", "7")]
    send(folder, "levels_a.csv", first)
    send(folder, "levels_b.csv", [("Chur", "2024-01-01", "8")])
    assert landed(source, "2024-01-01") == [("Chur", 8)]
    before = source.inputs()
    send(folder, "levels_c.csv", first)
    assert source.inputs() != before
    assert landed(source, "2024-01-01") == [("Chur", 7)]


def test_a_corrected_day_is_the_only_one_with_news(folder: Path) -> None:
    source = FileSource(READINGS)
    send(folder, "levels.csv", ROWS)
    before = source.inputs()
    send(folder, "levels.csv", [ROWS[0], (*ROWS[1][:2], "-13")])
    after = source.inputs()
    assert [key for key in after if after[key] != before[key]] == ["2024-01-02"]


def test_what_came_in_no_file_any_more_stays_where_files_are_put_over_it(folder: Path) -> None:
    send(folder, "levels.csv", [("Chur", "2024-01-01", "8")])
    live = (
        "select 'Åre' as station, timestamp '2024-01-01' as measured_at, 1 as level_cm,"
        " date '2024-01-01' as day union all"
        " select 'Chur', timestamp '2024-01-01', 7, date '2024-01-01'"
    )
    assert landed(UpsertSource(READINGS), "2024-01-01", live) == [("Chur", 8), ("Åre", 1)]
    assert landed(FileSource(READINGS), "2024-01-01", live) == [("Chur", 8)]


def test_a_row_of_a_later_day_waits_for_it(folder: Path) -> None:
    later = date.today() + timedelta(days=2)
    send(folder, "levels.csv", [ROWS[0], ("Chur", later.isoformat(), "7")])
    assert list(FileSource(READINGS).inputs()) == ["2024-01-01"]
    ((_, reason, _),) = rejected(READINGS)
    assert reason == "the day has not come yet"


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("", "2024-01-01", "7"), "station is missing"),
        (("Chur", "", "7"), "measured_at is missing"),
        (("Chur", "01/31/2024", "7"), "measured_at is no datetime without a time zone"),
        (("Chur", "2024-01-01 06:00+02:00", "7"), "measured_at is no datetime without a time zone"),
        (("Chur", "2024-01-01T06:00:00Z", "7"), "measured_at is no datetime without a time zone"),
        (("Chur", "2024-01-01", "12.5"), "level_cm is no integer"),
        (("Chur", "2024-01-01", "1,5"), "the line cannot be split into the columns of the header"),
        (("Chur", "1999-12-31", "7"), "measured_at is before 2000-01-01"),
    ],
)
def test_a_bad_row_is_put_aside_with_its_reason(folder: Path, row: Row, reason: str) -> None:
    send(folder, "levels.csv", [*ROWS, row])
    assert everything(FileSource(READINGS)) == WANTED
    ((file, why, record),) = rejected(READINGS)
    assert (file, why) == ("levels.csv", reason)
    assert all(value in record for value in row)


def test_a_file_of_which_no_row_says_its_period_is_refused(folder: Path) -> None:
    send(folder, "levels_a.csv", ROWS)
    send(folder, "levels_b.csv", [("Chur", "02/13/2024", "7")] * 40)
    source = FileSource(READINGS)
    with pytest.raises(SourceError, match=r"none of its 40 rows can be landed, most as measured_"):
        land(source, "2024-01-01")
    assert "Chur" not in source.problems()[0]
    found = rejected(READINGS)
    assert Counter(file for file, _, _ in found) == {"levels_b.csv": 41}
    assert len(landed(UpsertSource(READINGS), "2024-01-01", NOTHING)) == 1


def test_a_row_of_another_month_than_the_name_says_is_put_aside(folder: Path) -> None:
    monthly = replace(READINGS, files="levels_{month}", period=MONTHLY)
    send(folder, "levels_2024-01.csv", [*ROWS, ("Chur", "2024-02-01", "7")])
    assert list(FileSource(monthly).inputs()) == ["2024-01"]
    ((_, reason, _),) = rejected(monthly)
    assert reason == "it is of another day than the name of the file says"


def test_a_file_of_no_feed_is_named_and_how_to_call_it(folder: Path) -> None:
    send(folder, "water.csv", ROWS)
    (folder / "levels.pdf").write_bytes(b"%PDF")
    (folder / ".hidden").write_text("a download under way")
    assert FileSource(READINGS).inputs() == {}
    assert [(file, why.split(";")[1]) for file, why, _ in rejected(READINGS)] == [
        ("levels.pdf", " call it levels*"),
        ("water.csv", " call it levels*"),
    ]


def test_an_impossible_day_in_a_name_is_none(folder: Path) -> None:
    daily = replace(READINGS, files="{days}")
    for name in ("2024-02-30.csv", "1999-01-01.csv", "2024-01-02_2024-01-01.csv"):
        send(folder, name, ROWS)
    assert FileSource(daily).inputs() == {}
    assert len(rejected(daily)) == 3


def test_a_missing_period_is_told_as_a_range(folder: Path) -> None:
    days = {"2024-01-01", "2024-01-02", "2024-01-03", "2024-01-05"}
    daily = replace(READINGS, files="{days}", expected=lambda: days)
    send(folder, "2024-01-01.csv", ROWS[:1])
    source = FileSource(daily)
    (problem,) = source.problems()
    assert problem.endswith("no file of 2024-01-02 to 2024-01-03, 2024-01-05")
    with pytest.raises(SourceError, match="there is no file of 2024-01-05"):
        land(source, "2024-01-05")


def test_a_file_without_rows_is_a_period_without_rows(folder: Path) -> None:
    daily = replace(READINGS, files="{days}")
    (folder / "2024-01-05.jsonl").touch()
    assert everything(FileSource(daily)) == {"2024-01-05": []}


def test_a_header_that_lacks_a_column_is_told_without_what_stands_there(folder: Path) -> None:
    send(folder, "levels.csv", ROWS, header=("Jane Doe", "time", "level_cm"))
    (problem,) = FileSource(READINGS).problems()
    assert "its header lacks station" in problem
    assert "Jane" not in problem


def test_columns_without_a_name_of_ours_are_told_or_kept(folder: Path) -> None:
    send(folder, "levels.csv", [(*ROWS[0], "sunny")], header=(*HEADER, "Mood"))
    _, report = land(FileSource(READINGS), "2024-01-01")
    assert report["columns left out"] == "mood"
    rest = replace(READINGS, columns=(*READINGS.columns, text("other", "Rest.")), rest="other")
    _, report = land(FileSource(rest), "2024-01-01")
    assert report["other fields, kept as JSON"] == "mood: 1"


_KEYS = st.sampled_from(["station", "estación", "time", "level_cm", "other", "wind", "properties"])
_PROPERTIES = st.dictionaries(_KEYS, st.sampled_from(["7", 7, None, "", [1], {"a": 1}]))


@_GENTLE
@given(document=_PROPERTIES, nested=st.none() | st.just("7") | _PROPERTIES)
def test_fields_of_a_document_without_a_name_of_ours_are_kept(
    folder: Path, document: dict[str, Any], nested: Any
) -> None:
    for path in folder.iterdir():
        path.unlink()
    kept = text("other", "Rest.")
    columns = (*(replace(column, nullable=True) for column in READINGS.columns[:2]), kept)
    feed = replace(
        READINGS, columns=columns, rest="other", nests=("properties",), key=(), most_rejected=1
    )
    sent = {**document, "properties": nested}
    own = nested if isinstance(nested, dict) else {}
    path = folder / "levels.jsonl"
    path.write_text(json.dumps(sent) + "\n", encoding="utf-8")
    ours = {"station", "estación", "time", "measured_at", "other"}
    if nested != "7":
        # It is a nest, and so no field; one that is called so in it is.
        del sent["properties"]
    wanted = {name: value for name, value in _merged(sent, own).items() if name not in ours}
    with (
        open_session(settings.load()) as session,
        parsed(session, feed, files_of(feed)[0]) as rows,
    ):
        ((rest,),) = session.execute(f"select other from {rows}").fetchall()
    assert json.loads(rest or "{}") == wanted


def _merged(document: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """RFC 7396."""
    found = dict(document)
    for name, value in patch.items():
        if isinstance(value, dict):
            before = found.get(name)
            found[name] = _merged(before if isinstance(before, dict) else {}, value)
        elif value is None:
            found.pop(name, None)
        else:
            found[name] = value
    return found


def test_a_note_that_is_lost_is_written_anew(folder: Path, tmp_path: Path) -> None:
    send(folder, "levels.csv", ROWS)
    before = FileSource(READINGS).inputs()
    for path in (tmp_path / "home" / "fingerprints").iterdir():
        path.write_text("damaged")
    assert FileSource(READINGS).inputs() == before


def test_a_file_that_changes_after_the_look_is_looked_at_again(folder: Path) -> None:
    source = FileSource(READINGS)
    send(folder, "levels.csv", ROWS)
    source.inputs()
    send(folder, "levels.csv", [(*ROWS[0][:2], "9")])
    assert landed(source, "2024-01-01") == [("Chur", 9)]


# ---- declarations -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"day": ""}, "day and period belong together"),
        ({"spellings": {"levle": ("level",)}}, "no column is called levle"),
        ({"rest": "other"}, "no column is called other"),
    ],
)
def test_a_wrong_feed_is_one_sentence(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        replace(READINGS, **change)


@pytest.mark.parametrize("kind", [FileSource, UpsertSource])
def test_the_folder_is_looked_at_as_often_for_many_partitions_as_for_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: type[FileSource]
) -> None:
    looks: list[Feed] = []

    def counted(feed: Feed) -> list[LandedFile]:
        looks.append(feed)
        return files_of(feed)

    monkeypatch.setattr(sources, "files_of", counted)
    taken = []
    for days in (1, 9):
        for n in range(1, days + 1):
            bad = ("Chur", f"2024-01-0{n} 07:00:00", "deep")
            send(folder, f"levels_{n}.csv", [("Chur", f"2024-01-0{n} 06:00:00", "7"), bad])
        source, looks[:] = kind(READINGS), []
        keys = source.inputs()
        assert len(keys) == days
        for key, words in keys.items():
            assert landed(source, key, NOTHING) == [("Chur", 7)]
            assert [tally.rejected for tally in source.tallies(key)] == [1]
            assert source.arrived(key, words)
        taken.append(len(looks))
    assert taken[0] == taken[1]


def test_what_is_told_of_a_partition_is_of_the_files_that_it_was_landed_from(folder: Path) -> None:
    bad = ("Chur", "2024-01-01 07:00:00", "deep")
    send(folder, "levels_1.csv", [("Chur", "2024-01-01 06:00:00", "7"), bad])
    source = FileSource(READINGS)
    source.inputs()
    assert landed(source, "2024-01-01") == [("Chur", 7)]
    send(folder, "levels_2.csv", [bad, ("Chur", "2024-01-01 08:00:00", "deep")])
    assert [tally.file for tally in source.tallies("2024-01-01")] == ["levels_1.csv"]
    source.inputs()
    assert len(list(source.tallies("2024-01-01"))) == 2

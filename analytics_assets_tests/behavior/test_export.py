"""An exported day is the database as it was at one moment, whatever happens meanwhile."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from datetime import date
from pathlib import Path
from threading import Event, Thread

import duckdb
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_assets.domains.behavior import sources
from analytics_assets.domains.behavior.tables import behavioral_events
from analytics_assets_tests.behavior.database import LIKE, Database, behind, build, exported, lake

DAY, OTHER, THIRD = "2024-01-05", "2024-01-06", "2024-01-07"
NEW_ID = "c" + "0" * 24


def test_each_day_is_what_the_database_holds(database: Database) -> None:
    outcome = build()
    assert outcome.findings == []
    assert sorted(outcome.rows) == database.days()
    for day in database.days():
        assert exported(day) == database.rows(day)
    assert behind() == []


def test_it_is_snappy_parquet(database: Database) -> None:
    build(days=[DAY])
    (file,) = lake().files(behavioral_events)
    column = pyarrow.parquet.ParquetFile(file.uri).metadata.row_group(0).column(0)
    assert column.compression == "SNAPPY"


def test_days_are_those_of_utc(database: Database) -> None:
    database.run(
        'update behavioral_events set "timestamp" = %s, "dayOfWeek" = 4, "timeOfDay" = 23'
        ' where id = (select min(id) from behavioral_events where "dayOfWeek" = 4)',
        ["2024-01-05T23:59:59.999+00"],
    )
    database.run(
        f"alter database {database.url.split('/')[3].split('?')[0]} set timezone = 'Asia/Tokyo'"
    )
    assert build(days=[DAY]).findings == []
    assert any("2024-01-05 23:59:59.999" in row for row in exported(DAY))


def test_a_column_without_time_zone_is_utc(database: Database) -> None:
    build(days=[DAY])
    before = exported()
    database.run(
        'alter table behavioral_events alter "timestamp" type timestamp(3)'
        " using \"timestamp\" at time zone 'UTC'"
    )
    assert build(days=[DAY]).findings == []
    assert exported() == before


def test_nothing_is_lost_or_doubled_while_rows_are_written(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer changes every row of a day and adds one, in each of its transactions.

    At any moment all rows of the day have the number of the last transaction, and so many were
    added. An export that saw two moments would have rows of two numbers.
    """
    ((before,),) = database.run(
        'update behavioral_events set "randomizationSeed" = 0 where "dayOfWeek" = 4;'
        " select count(*) from behavioral_events"
        " where (\"timestamp\" at time zone 'UTC')::date = %s",
        [DAY],
    )
    stop = Event()
    written = 0

    def write() -> None:
        nonlocal written
        with closing(database.connect()) as connection:
            while not stop.is_set():
                with connection, connection.cursor() as cursor:
                    cursor.execute(LIKE, [f"c{written:024}", DAY])
                    cursor.execute(
                        'update behavioral_events set "randomizationSeed" = %s where'
                        " (\"timestamp\" at time zone 'UTC')::date = %s",
                        [written + 1, DAY],
                    )
                written += 1

    writer = Thread(target=write)
    writer.start()
    seen = set()
    try:
        for _ in range(15):
            assert build(days=[DAY]).findings == []
            rows = exported(DAY)
            ids = [row[0] for row in rows]
            numbers = {row[13] for row in rows}
            assert len(set(ids)) == len(ids)
            (number,) = numbers
            assert len(rows) == before + number
            seen.add(number)
    finally:
        stop.set()
        writer.join()
    assert len(seen) > 3, "the writer was at work between exports"
    while behind():
        build()
    assert exported() == database.rows()


def test_late_rows_export_exactly_their_day_again(database: Database) -> None:
    build()
    files = {file.key: file.uri for file in lake().files(behavioral_events)}
    database.insert_like(DAY, NEW_ID)
    database.run(
        'update behavioral_events set "sessionPerformanceScore" = 1 where id ='
        " (select min(id) from behavioral_events where"
        " (\"timestamp\" at time zone 'UTC')::date = %s)",
        [OTHER],
    )
    database.run(
        "delete from behavioral_events where id = (select min(id) from behavioral_events where"
        " (\"timestamp\" at time zone 'UTC')::date = %s)",
        [THIRD],
    )
    assert behind() == [DAY, OTHER, THIRD]
    outcome = build()
    assert outcome.changed == [DAY, OTHER, THIRD]
    after = {file.key: file.uri for file in lake().files(behavioral_events)}
    assert {key for key in files if files[key] != after[key]} == {DAY, OTHER, THIRD}
    assert exported() == database.rows()


def test_rows_written_anew_as_they_were_make_no_version(database: Database) -> None:
    build()
    database.run('update behavioral_events set "timeOfDay" = "timeOfDay" where "dayOfWeek" = 0')
    outcome = build()
    assert sorted(outcome.rows) == ["2024-01-01", "2024-01-08"]
    assert outcome.changed == []
    assert behind() == []


def test_an_update_that_is_committed_after_a_newer_one_is_seen(database: Database) -> None:
    """Neither the number of rows nor the newest transaction of the day tells of it."""
    first, last = (
        database.run(
            f"select {which}(id) from behavioral_events"
            " where (\"timestamp\" at time zone 'UTC')::date = %s",
            [DAY],
        )[0][0]
        for which in ("min", "max")
    )
    change = 'update behavioral_events set "sessionPerformanceScore" = %s where id = %s'
    with closing(database.connect()) as slow, slow.cursor() as cursor:
        cursor.execute(change, [7, first])
        database.run(change, [8, last])
        build()
        assert behind() == []
        slow.commit()
    assert behind() == [DAY]
    build()
    assert exported() == database.rows()


def test_changes_between_look_and_export_are_exported_and_looked_at_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fingerprint that is kept is older than the rows, never newer."""
    original = sources._layout
    late = iter([lambda: None, lambda: database.insert_like(DAY, NEW_ID)])

    def layout(cursor):
        next(late, lambda: None)()
        return original(cursor)

    monkeypatch.setattr(sources, "_layout", layout)
    build(days=[DAY])
    assert NEW_ID in [row[0] for row in exported(DAY)]
    assert DAY in behind()
    assert build(days=[DAY]).changed == []
    assert DAY not in behind()


_TEXT = st.text(st.characters(blacklist_characters="\x00", codec="utf-8"), max_size=30)


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(st.none() | _TEXT, st.none() | _TEXT | st.dictionaries(_TEXT, _TEXT, max_size=3)),
        min_size=15,
        max_size=15,
    )
)
def test_any_text_arrives_as_it_is(
    database: Database, texts: list[tuple[str | None, str | dict | None]]
) -> None:
    """Quotes, line breaks, separators, empty text beside NULL."""
    rows = database.rows(DAY)
    with closing(database.connect()) as connection, connection, connection.cursor() as cursor:
        for (name, *_), (content, data) in zip(rows, texts, strict=False):
            written = None if data is None else json.dumps(data, indent=1, ensure_ascii=False)
            cursor.execute(
                'update behavioral_events set "contentType" = %s, "eventData" = %s where id = %s',
                [content, written, name],
            )
    assert build(days=[DAY]).findings == []
    assert exported(DAY) == database.rows(DAY)


def test_progress_is_told(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sources, "BATCH_ROWS", 10)
    told: list[str] = []
    monkeypatch.setattr(
        logging.Logger, "info", lambda self, text, *values: told.append(text % values)
    )
    outcome = build(days=[DAY])
    assert f"{DAY}: 20 of {outcome.rows[DAY]} rows" in told
    assert outcome.reports[DAY]["rows exported"] == outcome.rows[DAY]
    assert outcome.reports[DAY][sources.EXPORT_SECONDS] > 0


def test_it_leaves_no_file_behind(database: Database, tmp_path: Path) -> None:
    build()
    assert not [path for path in (tmp_path / "home" / "scratch").rglob("*") if path.is_file()]


def test_today_is_exported_and_again_when_it_grows(database: Database) -> None:
    source = sources.BehavioralEventsSource(today=lambda: date(2024, 1, 5))
    found = source.inputs()
    assert max(found) == DAY, "what is later is judged with the last day, and breaks its contract"
    database.insert_like(DAY, NEW_ID)
    assert source.inputs()[DAY] != found[DAY]


def test_the_latest_version_and_any_older_one_can_be_read(database: Database) -> None:
    """What a file named after its moment and a pointer to the latest one would give."""
    build(days=[DAY])
    first = lake().version(behavioral_events)
    before = exported(DAY)
    database.insert_like(DAY, NEW_ID)
    build()
    (old,) = lake().files(behavioral_events, first)
    with duckdb.connect() as session:
        ((count,),) = session.execute("select count(*) from read_parquet(?)", [old.uri]).fetchall()
    assert count == len(before) == len(exported(DAY)) - 1

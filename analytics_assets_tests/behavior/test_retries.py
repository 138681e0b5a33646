"""Errors of the database that can pass are tried again, all others are not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from analytics_assets.core.source import SourceError, SourceUnavailable
from analytics_assets.domains.behavior import postgres, sources
from analytics_assets.domains.behavior.tables import behavioral_events
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets_tests.behavior.database import (
    Database,
    behind,
    build,
    exported,
    lake,
)
from analytics_assets_tests.conftest import as_admin

DAYS = ["2024-01-05", "2024-01-06", "2024-01-07"]
DAY = DAYS[1]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it waited between its tries; nobody waits here."""
    waited: list[float] = []
    monkeypatch.setattr(postgres.time, "sleep", waited.append)
    return waited


@contextmanager
def dropped(database: Database, day: str, times: int) -> Iterator[None]:
    """The server ends the connection in the middle of the COPY of a day, ``times`` times."""
    left = times
    # More than waits in the buffers of a socket.
    database.run(
        'update behavioral_events set "eventData" = to_json(repeat(id, 20000)) where'
        " (\"timestamp\" at time zone 'UTC')::date = %s",
        [day],
    )
    write = sources._Counted.write

    def broken(self: sources._Counted, row: bytes) -> int:
        nonlocal left
        if self._day == day and self.rows == 5 and left:
            left -= 1
            database.run(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname ="
                " current_database() and application_name = 'analytics_assets export'"
            )
        return write(self, row)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources._Counted, "write", broken)
        yield


def test_a_connection_that_drops_in_the_middle_is_tried_again(
    database: Database, pauses: list[float]
) -> None:
    with dropped(database, DAY, times=3):
        outcome = build(days=DAYS)
    assert outcome.findings == []
    assert outcome.reports[DAY]["tries"] == 4
    assert pauses == [1, 2, 4]
    for day in DAYS:
        assert exported(day) == database.rows(day)


def test_then_it_fails_clearly_and_nothing_is_half_written(
    database: Database, pauses: list[float], tmp_path
) -> None:
    with dropped(database, DAY, times=99):
        outcome = build(days=DAYS)
    assert pauses == [1, 2, 4]
    (finding,) = outcome.findings
    assert "asked 4 times" in finding.message
    assert "1 more partitions wait for it" in finding.message
    assert outcome.failed() == set(DAYS[1:])
    assert exported(DAYS[0]) == database.rows(DAYS[0]), "it was exported before"
    assert [file.key for file in lake().files(behavioral_events)] == DAYS[:1]
    assert not [path for path in (tmp_path / "home" / "scratch").rglob("*") if path.is_file()]
    # Nothing is held against the days: the next run asks for them as if nothing had been.
    assert not set(Snapshot(lake()).blocked_by(behavioral_events, "contract"))
    assert set(DAYS[1:]) <= set(behind())
    assert DAYS[0] not in behind()
    assert build(days=DAYS[1:]).findings == []
    assert exported(DAY) == database.rows(DAY)


def test_too_many_connections_pass(
    database: Database, pauses: list[float], postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = database.url.split("/")[3].split("?")[0]
    as_admin(postgres, f"alter database {name} connection limit 0")

    def freed(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            as_admin(postgres, f"alter database {name} connection limit -1")

    monkeypatch.setattr("analytics_assets.domains.behavior.postgres.time.sleep", freed)
    assert sources.BehavioralEventsSource().inputs()
    assert pauses == [1, 2]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://promoter@/nowhere?host={host}", 'database "nowhere" does not exist'),
        ("postgresql://nobody@/postgres?host={host}", 'role "nobody" does not exist'),
    ],
)
def test_what_cannot_pass_fails_at_once(
    url: str, said: str, pauses: list[float], postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEHAVIOR_SOURCE_URL", url.format(host=postgres))
    with pytest.raises(SourceError, match=said) as error:
        sources.BehavioralEventsSource().inputs()
    assert not isinstance(error.value, SourceUnavailable)
    assert pauses == []


def test_a_server_that_is_away_may_come_back(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEHAVIOR_SOURCE_URL", "postgresql://me:secret@127.0.0.1:1/events")
    with pytest.raises(SourceUnavailable, match="asked 4 times") as error:
        sources.BehavioralEventsSource().inputs()
    assert pauses == [1, 2, 4]
    assert "secret" not in str(error.value)


def test_an_address_that_cannot_be_read_is_told_without_its_password(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEHAVIOR_SOURCE_URL", "postgresql://me:sec@ret@host/events")
    with pytest.raises(SourceError, match="BEHAVIOR_SOURCE_URL") as error:
        sources.BehavioralEventsSource().inputs()
    assert "ret@host" not in str(error.value)
    assert pauses == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('alter table behavioral_events drop "timeOfDay"', "no columns timeOfDay"),
        ('alter table behavioral_events alter "dayOfWeek" type text', "dayOfWeek is text"),
        ('alter table behavioral_events alter "timestamp" type text', "timestamp is text"),
        ("drop table behavioral_events", "no such table"),
    ],
)
def test_a_table_that_does_not_fit_is_named(
    database: Database, change: str, said: str, pauses: list[float]
) -> None:
    database.run(change)
    with pytest.raises(SourceError, match=said):
        sources.BehavioralEventsSource().inputs()
    assert pauses == []

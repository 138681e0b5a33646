"""One bad row, and nothing of its day is published; all others of it are told, the others go on."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

import pytest

from analytics_assets.core.contracts import pandera_schema
from analytics_assets.domains.behavior.columns import EVENT_COLUMNS
from analytics_assets.domains.behavior.tables import TABLES, behavioral_events
from analytics_assets_tests.behavior.database import (
    Database,
    behind,
    build,
    exported,
    lake,
)
from analytics_assets_tests.workspace import Workspace, failures

DAY, NEXT = "2024-01-05", "2024-01-06"
_OF_DAY = f"(\"timestamp\" at time zone 'UTC')::date = '{DAY}'"
_ONE = f"id = (select min(id) from behavioral_events where {_OF_DAY})"
BAD = {
    "id": ("\"id\" = 'x' || substr(id, 2)", "id not like ^c[a-z0-9]{24}$"),
    "longer id": ("\"id\" = id || 'x'", "id not like ^c[a-z0-9]{24}$"),
    "user": ('"userId" = upper("userId")', "userId not like ^c[a-z0-9]{24}$"),
    "type": ("\"eventType\" = 'CARD_VIEWED'", "eventType not in its code list"),
    "quality": ("\"completionQuality\" = 'SLOW'", "completionQuality not in its code list"),
    "engagement": ("\"engagementLevel\" = 'high'", "engagementLevel not in its code list"),
    "phase": ("\"experimentPhase\" = 'baseline_3'", "experimentPhase not in its code list"),
    "weekday": ('"dayOfWeek" = 7', "dayOfWeek > 6"),
    "Sunday is 0": ('"dayOfWeek" = 5', "dayOfWeek and timeOfDay are those of the timestamp"),
    "hour": ('"timeOfDay" = -1', "timeOfDay < 0"),
    "local hour": (
        '"timeOfDay" = ("timeOfDay" + 1) % 24',
        "dayOfWeek and timeOfDay are those of the timestamp",
    ),
    "score": ('"sessionPerformanceScore" = 101', "sessionPerformanceScore > 100"),
    "context": ('"contextMetadataId" = null', "An experimentPhase has a contextMetadataId"),
}


def cases(file: str) -> list[dict[str, str]]:
    with Path(file).open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.mark.parametrize("what", BAD)
def test_one_bad_row_holds_back_its_day_alone(database: Database, what: str) -> None:
    change, reason = BAD[what]
    database.run(f"update behavioral_events set {change} where {_ONE}")
    outcome = build(days=[DAY, NEXT])
    assert outcome.failed() == {DAY}
    assert reason in " ".join(finding.message for finding in outcome.findings)
    assert exported(DAY) == []
    assert exported(NEXT) == database.rows(NEXT)
    (case,) = cases(outcome.failure_files[DAY])
    assert reason in case["reason"]
    assert case["partition"] == DAY


def test_every_row_that_fails_is_in_the_file_once(database: Database) -> None:
    database.run(
        'update behavioral_events set "timeOfDay" = 99, "dayOfWeek" = 9, "contextMetadataId" = null'
        f" where {_OF_DAY}"
    )
    database.run(f"update behavioral_events set \"eventType\" = 'NONE' where {_ONE}")
    outcome = build(days=[DAY])
    found = cases(outcome.failure_files[DAY])
    assert len(found) == outcome.quarantined[DAY] == len(database.rows(DAY))
    assert {case["id"] for case in found} == {row[0] for row in database.rows(DAY)}
    worst = [case for case in found if "eventType" in case["reason"]]
    assert len(worst) == 1
    assert all(
        "timeOfDay > 23" in case["reason"] and "dayOfWeek > 6" in case["reason"] for case in found
    )


def test_an_id_that_stands_twice(database: Database) -> None:
    database.run("alter table behavioral_events drop constraint behavioral_events_pkey")
    ((first,),) = database.run(f"select id from behavioral_events where {_ONE}")
    database.insert_like(DAY, first)
    outcome = build(days=[DAY])
    assert outcome.failed() == {DAY}
    assert [case["id"] for case in cases(outcome.failure_files[DAY])] == [first, first]


@pytest.mark.parametrize(
    ("moment", "day", "reason"),
    [
        (None, "2000-01-01", "timestamp is missing"),
        ("1999-12-31T23:00Z", "2000-01-01", "within the day of its partition"),
        ("2199-01-01T00:00Z", "", "within the day of its partition"),
    ],
)
def test_an_event_outside_of_all_days_does_not_pass_unseen(
    database: Database, moment: str | None, day: str, reason: str
) -> None:
    database.run('alter table behavioral_events alter "timestamp" drop not null')
    database.run(
        'update behavioral_events set "timestamp" = %s, "dayOfWeek" = null, "timeOfDay" = null'
        f" where {_ONE}",
        [moment],
    )
    (odd,) = set(behind()) - set(database.days()) | ({behind()[-1]} if not day else set())
    assert day in ("", odd)
    outcome = build(days=[odd, NEXT])
    assert outcome.failed() == {odd}
    assert reason in " ".join(finding.message for finding in outcome.findings)
    assert exported(NEXT) == database.rows(NEXT)


def test_what_was_live_stays_until_the_day_is_mended(database: Database) -> None:
    build(days=[DAY])
    before = exported(DAY)
    database.run(f'update behavioral_events set "dayOfWeek" = 8 where {_ONE}')
    outcome = build(days=[DAY])
    assert exported(DAY) == before
    assert DAY not in behind(), "the same rows would fail again"
    database.run(f'update behavioral_events set "dayOfWeek" = 4 where {_ONE}')
    assert DAY in behind()
    assert build(days=[DAY]).findings == []
    assert exported(DAY) == database.rows(DAY)
    assert not Path(outcome.failure_files[DAY]).exists()


def test_the_error_and_the_metadata_name_the_file(
    database: Database, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a run tells it; and nothing of it names a user."""
    monkeypatch.setenv("BEHAVIOR_SOURCE_URL", database.url)
    database.run(
        'update behavioral_events set "dayOfWeek" = 8, "userId" = upper("userId") where'
        f" {_OF_DAY} and \"eventType\" = 'CARD_REVIEWED'"
    )
    logged: list[str] = []
    monkeypatch.setattr(
        logging.Handler, "handle", lambda _, record: logged.append(record.getMessage())
    )
    ran = workspace.refresh(tables=TABLES)
    (message,) = failures(ran)
    file = f"{lake().root}/_quarantine/behavior/behavioral_events/{DAY}.csv"
    found = cases(file)
    assert f"{DAY}: {len(found)} rows" in message
    assert file in message
    told = [
        evaluation.metadata["failure cases"].value
        for _, result in ran
        for evaluation in result.get_asset_check_evaluations()
        if (evaluation.asset_key.path[-1], evaluation.check_name)
        == ("behavioral_events", "contract")
    ]
    assert told == [f"{file}: {len(found)} rows fail"]
    users = {
        user.lower() for (user,) in database.run('select distinct "userId" from behavioral_events')
    }
    events = [str(event) for _, result in ran for event in result.all_events]
    everything = " ".join([*logged, *events]).lower()
    assert not [user for user in users if user in everything]


def test_pandera_judges_alike(database: Database) -> None:
    """The contract is one: a notebook that checks a frame finds what the export finds."""
    import pandas as pd
    import pandera.pandas as pa

    database.run(f"update behavioral_events set \"userId\" = 'c1' where {_ONE}")
    rows = database.run("select * from behavioral_events where " + _OF_DAY)
    names = [column.name for column in EVENT_COLUMNS]
    frame = pd.DataFrame(rows, columns=names)
    with pytest.raises(pa.errors.SchemaErrors) as found:
        pandera_schema(behavioral_events).validate(frame, lazy=True)
    assert set(found.value.failure_cases["column"]) == {"userId"}

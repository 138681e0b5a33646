"""Values and dates of the clinic that were readable, and cannot be read in a later file."""

from __future__ import annotations

import pytest

from analytics_assets.warehouse.builds import Snapshot
from analytics_assets_tests.clinic.landed import (
    EVENT,
    PROFILE,
    TABLE,
    VISIT,
    Folder,
    Row,
    behind,
    event,
    lake,
    profile,
    query,
    settle,
    visit,
)

CASES = [
    (VISIT, "appointment", visit(1), visit(1, age="forty"), "age: 1, such as aaaaa"),
    (VISIT, "appointment", visit(1), visit(1, status="Showed"), "appointment_status: 1"),
    (PROFILE, "app_profile", profile(1), profile(1, "Dirct"), "traffic_source: 1"),
    (EVENT, "ab_event", event(1), event(1, group="Tset"), "group: 1, such as aaaa"),
]


def held(sources: str) -> list[str]:
    """What holds the table back, of all that is behind."""
    _, findings = settle({sources})
    return [f.summary for f in findings if f.blocking and f.check == "values_still_readable"]


@pytest.mark.parametrize(
    ("feed", "table", "good", "bad", "said"), CASES, ids=lambda c: str(c)[-30:]
)
def test_a_value_that_was_readable_stays_until_the_file_is_taken_out(
    drop: Folder, feed: str, table: str, good: Row, bad: Row, said: str
) -> None:
    others = [(str(n), *good[1:]) for n in range(100, 140)]
    drop.send(feed, [good, *others])
    assert held(table) == []
    rows = query(f"select * from clinic.{table} order by all")
    path = drop.send(feed, [bad], "_again")
    (summary,) = held(table)
    assert said in summary
    assert query(f"select * from clinic.{table} order by all") == rows
    path.unlink()
    assert held(table) == []
    assert not [name for name, _ in behind() if name == table]
    assert not Snapshot(lake()).blocked_by(TABLE[table], "values_still_readable")
    assert query(f"select * from clinic.{table} order by all") == rows


def test_a_date_that_cannot_be_read_takes_no_appointment_away(drop: Folder) -> None:
    drop.send(VISIT, [visit(n) for n in range(40)])
    settle({"appointment", "rejected_record"})
    drop.send(VISIT, [visit(1, "the 4th of March"), visit(2, status="Not Attended")], "_again")
    settle({"appointment", "rejected_record"})
    assert query("select count(*) from clinic.appointment") == [(40,)]
    ((reason,),) = query("select reason from clinic.rejected_record")
    assert reason == "appointment_date is no date"

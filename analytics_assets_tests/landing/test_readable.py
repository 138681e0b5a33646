"""A value that was readable and is not any more holds its partition back; one left empty does not.

The law for any feed, whose files are put over each other or are the period; that each domain keeps
it is tested with the domain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from analytics_assets import settings
from analytics_assets.core.columns import text
from analytics_assets.core.declaration import Table
from analytics_assets.landing.sources import FileSource
from analytics_assets.landing.upserts import UpsertSource
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.confirming import confirm
from analytics_assets.warehouse.lake import Lake
from analytics_assets_tests.landing.probe import READINGS, declare, new_folder, query, send, settle

LEVELS = replace(
    READINGS,
    columns=(*READINGS.columns[:2], text("level_cm", "As landed."), text("depth", "As landed.")),
    reads={name: f"try_cast({name} as double)" for name in ("level_cm", "depth")},
    most_rejected=0.9,
)
KEYLESS = replace(LEVELS, key=())
HEADER = ("station", "time", "level_cm", "depth")
READABLE, UNREADABLE, EMPTY = ("1", "2.5", "-3e2"), ("3,2 kg", "1.234,56", "??"), ("", "NA")
CELLS = st.sampled_from([*READABLE, *UNREADABLE, *EMPTY])
# Station -> its two cells.
ROWS = st.dictionaries(st.sampled_from("abcdef"), st.tuples(CELLS, CELLS), min_size=1)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with new_folder(tmp_path) as found:
        yield found


def sent(folder: Path, rows: dict[str, tuple[str, str]], name: str = "levels.csv") -> None:
    quoted = [
        (key, "2024-01-01 06:00", *(f'"{cell}"' for cell in own)) for key, own in rows.items()
    ]
    send(folder, name, quoted, HEADER)


def held(table: Table) -> list[str]:
    """Names of the checks that held the day back, in a build of all that is behind."""
    return sorted({finding.check for finding in settle(table) if finding.blocking})


def live(table: Table) -> dict[str, tuple[str | None, ...]]:
    rows = query("select station, level_cm, depth from probe.readings", table)
    return {station: tuple(cells) for station, *cells in rows}


@pytest.mark.parametrize("source", [FileSource, UpsertSource])
@hypothesis_settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(before=ROWS, after=ROWS)
def test_a_day_is_held_back_exactly_where_a_readable_value_is_unreadable(
    tmp_path: Path,
    source: type[FileSource],
    before: dict[str, tuple[str, str]],
    after: dict[str, tuple[str, str]],
) -> None:
    with new_folder(tmp_path) as folder:
        table, _ = declare(LEVELS, source)
        sent(folder, before)
        assert held(table) == []  # nothing was readable before
        was = live(table)
        sent(folder, after)
        lost = any(
            old in READABLE and new in UNREADABLE
            for key in before.keys() & after.keys()
            for old, new in zip(before[key], after[key], strict=True)
        )
        assert held(table) == ["values_still_readable"] * lost
        kept = was if lost else {} if source is FileSource else was
        expected = kept if lost else kept | {k: tuple(map(_cell, v)) for k, v in after.items()}
        assert live(table) == expected


def _cell(value: str) -> str | None:
    return None if value in EMPTY else value


def test_it_says_column_and_count_and_what_the_text_is_like(folder: Path) -> None:
    table, _ = declare(LEVELS)
    sent(folder, {"a": ("1", "1"), "b": ("2", "1"), "c": ("3", "1")})
    settle(table)
    sent(folder, {"a": ("3,2 kg", "1"), "b": ("4,5 kg", "1"), "c": ("3", "Maria")})
    (finding,) = settle(table)
    assert finding.blocking
    assert "depth: 1, such as aaaaa" in finding.message
    assert "level_cm: 2, such as 9,9 aa" in finding.message
    assert "Maria" not in str(finding)


def test_mending_emptying_or_confirming_ends_it(folder: Path) -> None:
    table, _ = declare(LEVELS)
    good = {"a": ("1", "1"), "b": ("2", "1")}
    for end in (("1", "1"), ("", "1")):
        sent(folder, good)
        assert held(table) == []
        sent(folder, good | {"a": ("?", "1")})
        assert held(table) == ["values_still_readable"]
        sent(folder, good | {"a": end})
        assert held(table) == []
    sent(folder, good)
    assert held(table) == []
    sent(folder, good | {"a": ("?", "1")})
    assert held(table) == ["values_still_readable"]
    lake = Lake(settings.load().lake)
    assert not [b for b in Snapshot(lake).behind(table) if not b.refused]
    assert confirm(Snapshot(lake), table) == ["2024-01-01"]
    (warned,) = settle(table)
    assert not warned.blocking
    assert live(table)["a"] == ("?", "1")
    assert confirm(Snapshot(lake), table) == []


def test_a_confirmation_is_of_what_was_seen(folder: Path) -> None:
    table, _ = declare(LEVELS)
    sent(folder, {"a": ("1", "1"), "b": ("2", "1")})
    settle(table)
    sent(folder, {"a": ("?", "1"), "b": ("2", "1")})
    assert held(table) == ["values_still_readable"]
    confirm(Snapshot(Lake(settings.load().lake)), table, ["2024-01-01"])
    sent(folder, {"a": ("?", "1"), "b": ("?", "1")})
    assert held(table) == ["values_still_readable"]


@pytest.mark.parametrize(("after", "lost"), [("?", True), ("", False), ("7", False)])
def test_values_are_counted_where_rows_have_no_key(folder: Path, after: str, lost: bool) -> None:
    table, _ = declare(KEYLESS)
    sent(folder, {"a": ("1", "1"), "b": ("?", "1")})
    assert held(table) == []
    sent(folder, {"x": (after, "1"), "a": ("?", "1")})
    assert held(table) == ["values_still_readable"] * lost


@pytest.mark.parametrize("source", [FileSource, UpsertSource])
def test_a_row_that_can_be_landed_no_more_is_not_taken_away(
    folder: Path, source: type[FileSource]
) -> None:
    typed = replace(READINGS, most_rejected=0.9)
    table, _ = declare(typed, source)
    rows = [(s, "2024-01-01 06:00", "1") for s in "abcde"]
    send(folder, "levels.csv", [*rows, ("f", "2024-01-01 06:00", "?")])
    assert held(table) == []
    # What was rejected before is no news, and a row that the source takes back is gone.
    send(folder, "levels.csv", [*rows[1:], ("f", "2024-01-01 06:00", "?")])
    assert held(table) == []
    send(folder, "levels.csv", [*rows[2:], ("b", "2024-01-01 06:00", "3,2"), ("f", "?", "?")])
    assert held(table) == (["rows_still_landed"] if source is FileSource else [])
    stations = query("select station from probe.readings order by 1", table)
    assert ("b",) in stations

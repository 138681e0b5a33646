"""Rows offered are landed, rejected or repeated; a partition of too many rejected ones waits."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from analytics_assets.core.declaration import Check
from analytics_assets.core.partitions import MONTHLY
from analytics_assets.core.refusals import DeclarationError
from analytics_assets.landing.shares import FEW, rejected_share
from analytics_assets_tests.landing.probe import (
    READINGS,
    declare,
    new_folder,
    query,
    send,
    settle,
)

MONTHS = replace(READINGS, files="levels_{month}*", period=MONTHLY)
# Good rows, rows that cannot be landed, rows that say the same again.
_FILE = st.tuples(st.integers(0, 90), st.integers(0, 8), st.integers(0, 3))


def _lines(month: str, file: int, good: int, bad: int, again: int) -> list[tuple[str, str, str]]:
    rows = [(f"s{file}", f"{month}-03 00:{n:02}:01", "7") for n in range(min(good, 60))]
    rows += [(f"s{file}", f"{month}-04 00:{n:02}:01", "7") for n in range(good - len(rows))]
    return [(f"s{file}", f"{month}-03", "high")] * bad + rows + rows[: min(again, good)]


@hypothesis_settings(max_examples=8, deadline=None)
@given(st.lists(_FILE, min_size=1, max_size=3))
def test_what_is_offered_is_counted_and_too_many_rejected_rows_hold_the_partition_back(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[int, int, int]]
) -> None:
    with new_folder(tmp_path_factory.mktemp("law")) as folder:
        offered = 0
        for number, counts in enumerate(files):
            lines = _lines("2024-01", number, *counts)
            offered += len(lines)
            send(folder, f"levels_2024-01_{number}.csv", lines)
        landed, rejected = declare(MONTHS)
        findings = settle(landed, rejected)
        rows = query("select count(*) from probe.readings", landed)[0][0]
        bad = query("select file, count(*) from probe.rejected_record group by 1", rejected)
    # What is landed is either all of the good rows or none.
    held = any(
        wrong and wrong > 0.05 * (good + wrong + min(again, good)) and (wrong > FEW or not good)
        for good, wrong, again in files
    )
    good = sum(file[0] for file in files)
    assert rows == (0 if held else good)
    assert dict(bad) == {
        f"levels_2024-01_{number}.csv": wrong for number, (_, wrong, _) in enumerate(files) if wrong
    }
    repeated = sum(min(again, good) for good, _, again in files)
    assert offered == good + sum(dict(bad).values()) + repeated
    told = Counter(f.blocking for f in findings if f.check == "rejected_share")
    assert bool(told[True]) == held
    if not held:
        assert bool(told[False]) == any(
            wrong > 0.005 * (good + wrong + min(again, good)) for good, wrong, again in files
        )


def test_the_message_names_file_count_reason_and_row_and_mending_ends_it(tmp_path: Path) -> None:
    with new_folder(tmp_path) as folder:
        landed, rejected = declare(MONTHS)
        good = _lines("2024-01", 0, 60, 0, 0)
        bad = [("Jane Doe", "2024-01-05", "12.5")] * 10
        send(folder, "levels_2024-01.csv", good)
        settle(landed, rejected)
        send(folder, "levels_2024-01.csv", [*good[:40], *bad, *good[40:]])
        (held,) = settle(landed)
        assert (held.check, held.partition, held.blocking) == ("rejected_share", "2024-01", True)
        assert (
            "(levels_2024-01.csv: 10 of 70 rows, most as level_cm is no integer, first row 41)"
            in held.message
        )
        assert "Jane" not in held.message
        assert settle(landed) == [], "it is asked for again though nothing changed"
        assert query("select count(*) from probe.readings", landed) == [(60,)]
        # The same good rows as are live: only what was rejected is another.
        send(folder, "levels_2024-01.csv", [*good, *bad[:1]])
        (told,) = settle(landed)
        assert (told.check, told.blocking) == ("rejected_share", False)
        send(folder, "levels_2024-01.csv", good)
        assert settle(landed, rejected) == []


def test_one_bad_month_of_a_file_holds_back_that_month_alone(tmp_path: Path) -> None:
    feed = replace(READINGS, period=MONTHLY)
    with new_folder(tmp_path) as folder:
        landed, _ = declare(feed)
        rows = [line for n in range(1, 13) for line in _lines(f"2024-{n:02}", n, 20, 0, 0)]
        send(folder, "levels.csv", [*rows, *_lines("2024-05", 0, 0, 8, 0)])
        held = [f.partition for f in settle(landed) if f.blocking]
        assert held == ["2024-05"]


def test_shares_are_declared_for_each_feed(tmp_path: Path) -> None:
    with new_folder(tmp_path) as folder:
        send(folder, "levels_2024-01.csv", _lines("2024-01", 0, 20, 10, 0))
        landed, _ = declare(replace(MONTHS, told_rejected=0.4, most_rejected=0.5))
        assert settle(landed) == []
    with pytest.raises(DeclarationError, match=r"0 <= 0.5 <= 0.1 <= 1 does not hold"):
        rejected_share(0.5, 0.1)


def test_a_source_that_is_no_feed_gives_its_counts_as_sql() -> None:
    check = rejected_share(counts="select * from births.counts")
    assert isinstance(check, Check)
    assert "from (select * from births.counts)" in check.sql

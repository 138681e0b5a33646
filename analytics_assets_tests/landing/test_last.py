"""Of each key the table has what arrived last, whatever came before: the law of an upsert."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import Phase, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from analytics_assets.core.partitions import MONTHLY
from analytics_assets.landing.upserts import UpsertSource
from analytics_assets_tests.landing.probe import READINGS, declare, new_folder, query, send, settle

_VALUES = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["03", "04"]), st.sampled_from("12")),
    min_size=1,
    max_size=3,
)
# Rows, the name of the file (a new one, or one that is written over), and whether it may wait.
_DELIVERIES = st.lists(
    st.tuples(_VALUES, st.sampled_from(["new", "new", "x", "y"]), st.booleans()),
    min_size=2,
    max_size=7,
)


# A smaller example would take minutes to find.
@hypothesis_settings(max_examples=5, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(_DELIVERIES)
# What comes back in a file that had what came between.
@example(
    [([("a", "04", "2")], "new", True), ([("a", "04", "1")], "x", False)]
    + [([("a", "04", "2")], "x", True)]
)
# What came last in a file that has something else now.
@example(
    [([("b", "04", "2")], "new", True), ([("b", "04", "1")], "new", True)]
    + [([("b", "04", "2")], "x", False), ([("a", "04", "2")], "x", True)]
)
# What comes back after what no file has any more.
@example(
    [([("a", "04", "2")], "new", False), ([("a", "04", "1")], "x", False)]
    + [([("b", "03", "1")], "x", False), ([("a", "04", "2")], "new", False)]
)
def test_the_table_equals_the_last_arrival_of_each_key(
    tmp_path_factory: pytest.TempPathFactory,
    deliveries: Sequence[tuple[Sequence[tuple[str, str, str]], str, bool]],
) -> None:
    expected: dict[tuple[str, int], int] = {}
    with new_folder(tmp_path_factory.mktemp("last")) as folder:
        table, _ = declare(replace(READINGS, period=MONTHLY), UpsertSource)
        for number, (rows, name, waits) in enumerate(deliveries):
            expected |= {(station, int(day)): int(value) for station, day, value in rows}
            lines = [(station, f"2024-01-{day}", value) for station, day, value in rows]
            send(folder, f"levels_{name if name != 'new' else number}.csv", lines)
            # What is written over before it was landed never arrived.
            if name != "new" or not waits:
                settle(table)
        settle(table)
        found = query("select station, day(day), level_cm from probe.readings", table)
    assert {(station, day): value for station, day, value in found} == expected


_MOVES = st.lists(
    st.tuples(
        st.dictionaries(
            st.sampled_from("abc"),
            st.tuples(st.sampled_from(["2024-01-03", "2024-01-04", "2024-02-01"]), st.just("1")),
            min_size=1,
            max_size=2,
        ),
        st.sampled_from(["new", "x"]),
    ),
    min_size=2,
    max_size=6,
)


# A smaller example would take minutes to find.
@hypothesis_settings(max_examples=5, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(_MOVES)
@example(
    [
        ({"a": ("2024-01-04", "1")}, "new"),
        ({"a": ("2024-01-03", "1")}, "x"),
        ({"b": ("2024-01-03", "1")}, "x"),
    ]
)
def test_a_row_that_moves_to_another_day_or_partition_is_there_once(
    tmp_path_factory: pytest.TempPathFactory,
    deliveries: Sequence[tuple[dict[str, tuple[str, str]], str]],
) -> None:
    expected: dict[str, str] = {}
    feed = replace(READINGS, period=MONTHLY, key=("station",), moves="true")
    with new_folder(tmp_path_factory.mktemp("moves")) as folder:
        table, _ = declare(feed, UpsertSource)
        for number, (rows, name) in enumerate(deliveries):
            expected |= {station: day for station, (day, _) in rows.items()}
            lines = [(station, *values) for station, values in rows.items()]
            send(folder, f"levels_{name if name != 'new' else number}.csv", lines)
            settle(table)
        found = query("select station, cast(day as varchar) from probe.readings", table)
    assert sorted(found) == sorted(expected.items())

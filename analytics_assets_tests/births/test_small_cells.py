"""With a publication threshold, what readers see gives no small cell away: an attack finds none."""

from __future__ import annotations

import os
import runpy
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from analytics_assets import settings
from analytics_assets.core.columns import DeclarationError
from analytics_assets.core.counted import measures_counted
from analytics_assets.core.declaration import Table
from analytics_assets.definitions import build
from analytics_assets.domains.births import tables
from analytics_assets.domains.births.measures import BIRTH_MEASURES, FLAGS
from analytics_assets.domains.births.sample import generate
from analytics_assets_tests.births.knowledge import APART, BIRTHS, GROUPS, SAME, WITHIN
from analytics_assets_tests.built import Built, held
from analytics_assets_tests.reader import Attack, Published
from analytics_assets_tests.workspace import Workspace, failures

K = 5


def tables_with(threshold: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Table, ...]:
    """The tables as they are declared where this threshold is set."""
    monkeypatch.setenv("BIRTHS_PUBLICATION_THRESHOLD", threshold)
    return tuple(runpy.run_path(tables.__file__)["TABLES"])


def attack(
    seen: Published,
    truth: Published,
    years: Sequence[int],
    groups: Sequence[Sequence[str]] = GROUPS,
) -> None:
    """Nothing small follows, by any group of measures in any year; and what is shown is so."""
    for name, values in seen.cells.items():
        shown = ~np.isnan(values)
        assert np.array_equal(values[shown], truth.cells[name][shown]), name
    everything = truth.with_every_category()
    for year in years:
        for number, measures in enumerate(groups, 1):
            assert not Attack(seen, everything, [year], K, measures).recovered(), (year, measures)
            print(f"{year}, {number} of {len(groups)}: nothing follows", flush=True)


@pytest.fixture
def switched_on(monkeypatch: pytest.MonkeyPatch) -> tuple[Table, ...]:
    return tables_with(str(K), monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_readers_of_the_sample_can_compute_no_small_cell(
    workspace: Workspace, switched_on: tuple[Table, ...]
) -> None:
    generate(workspace.source, births=6_000, first_year=2024, years=1, dbf_years=0)
    ran = workspace.refresh(build(switched_on), switched_on)
    assert not failures(ran)
    truth, seen = (Published(BIRTHS, rows) for rows in (workspace.warehouse, workspace.production))
    attack(seen, truth, [2024])
    assert 0.2 < seen.withheld(truth) < 0.97

    # The attack is worth something: it recovers what is withheld for being small alone.
    for values in (only_small := Published(BIRTHS, workspace.warehouse)).cells.values():
        values[(values > 0) & (values < K)] = np.nan
    few = Attack(only_small, truth.with_every_category(), [2024], K, GROUPS[0]).recovered()
    assert len(few) > 50

    reported = {
        "/".join(entry.asset_key.path): entry.metadata["cells withheld, %"].value
        for _, result in ran
        for event in result.all_events
        if event.event_type_value == "ASSET_MATERIALIZATION"
        for entry in [event.step_materialization_data.materialization]
        if "cells withheld, %" in entry.metadata
    }
    assert len(reported) == len(BIRTHS.tables)
    assert reported["production/births/agg_municipality_weekly_public"] > 50
    # Nothing is derived for readers from what they do not get.
    assert workspace.production("select max(total_births) from births.dim_health_facility")
    assert not workspace.production(
        f"select * from births.dim_health_facility where total_births < {K}"
    )
    two_releases(switched_on, 2024, "month(DTNASC) = 6", GROUPS[:3])


def two_releases(
    declared: Sequence[Table], year: int, late: str, groups: Sequence[Sequence[str]]
) -> None:
    """Of a year, without some births of a month that come later, and with them."""
    given = ("fact_births", "raw_health_facilities", "dim_municipality", "dim_state", "dim_region",
             "dim_occupation")  # fmt: skip
    wanted = [t for t in declared if t.name in given or (t.layer == "aggregates" and t.grain)]
    wanted = [t for t in declared if t in wanted or t.reads_itself]
    built = Built(wanted, given)
    built.session.execute(f"attach '{settings.load().catalogue}' as lake (read_only)")
    for name in given[1:]:
        built.session.execute(f"insert into births.{name} by name select * from lake.births.{name}")
    births = "insert into births.fact_births by name select * from lake.births.fact_births"
    built.session.execute(
        f"{births} where year(DTNASC) = {year} and not ({late} and hash(birth_id) % 20 = 0)"
    )
    built.build()
    before = built.public(BIRTHS)
    built.session.execute("delete from births.fact_births")
    built.session.execute(f"{births} where year(DTNASC) = {year}")
    built.build()
    after = built.public(BIRTHS)
    for name, values in before.cells.items():
        if name in after.cells:
            assert np.all(np.isnan(after.cells[name][np.isnan(values)])), name
    # A twentieth of a month changes many counts by a few, so the release waits: readers keep one.
    assert held(BIRTHS, before, after, K)
    attack(after, built.exact(BIRTHS), [year], groups)


def test_off_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [table.key for table in tables_with("", monkeypatch)] == [t.key for t in tables.TABLES]
    assert not any("withheld" in table.key for table in tables.TABLES)


@pytest.mark.parametrize("threshold", ["five", "1"])
def test_a_threshold_that_is_none_is_refused(
    threshold: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DeclarationError, match=r"give (a whole number|2 or more)"):
        tables_with(threshold, monkeypatch)


def test_the_declarations_know_what_a_reader_knows() -> None:
    """Flag by flag: equal numbers, parts and what is apart, as typed by hand from their meaning."""
    counted = measures_counted(BIRTH_MEASURES, "births")
    same = {frozenset(c.names) for c in counted if len(c.names) > 1}
    assert same == {frozenset((name, *others)) for name, others in SAME.items()}
    rests = {rest for c in counted for name in c.names for rest in c.rests}
    first = {name: c.name for c in counted for name in c.names}
    for part, whole in WITHIN:
        if first[part] != first[whole]:
            assert f"{first[whole]} - {first[part]}" in rests, (part, whole)
    for one, other, whole in APART:
        assert f"{first[whole]} - {other} - {one}" in rests


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_flags_of_one_number_say_how_they_stand_to_each_other(flag) -> None:
    """A new flag of a column that has some must be within one, hold one or be apart from it."""
    for other in FLAGS:
        if other != flag and other.reads == flag.reads and len(flag.reads) == 1:
            assert (
                _is_within(flag, other.name)
                or _is_within(other, flag.name)
                or _apart(flag, other)
                or _apart(other, flag)
            ), other.name


def _is_within(flag, name: str) -> bool:
    above = {f.name: f.within for f in FLAGS}
    at = flag.within
    while at:
        if at == name:
            return True
        at = above[at]
    return False


def _apart(flag, other) -> bool:
    """What is apart from a flag is so from all that is within it."""
    return bool(flag.apart_from) and (
        flag.apart_from == other.name or _is_within(other, flag.apart_from)
    )


@pytest.mark.slow
@pytest.mark.timeout(8 * 3600)
def test_readers_of_the_published_files_can_compute_no_small_cell(
    workspace: Workspace, real_data: Path, switched_on: tuple[Table, ...]
) -> None:
    """All measures of one state; YEARS=2001,2002 or all (hours), else one year."""
    for path in sorted((real_data / "sinasc").glob("DNAC*")):
        shutil.copy(path, workspace.source)
    assert not failures(workspace.refresh(build(switched_on), switched_on))
    truth, seen = (Published(BIRTHS, rows) for rows in (workspace.warehouse, workspace.production))
    share = seen.withheld(truth)
    print(f"withheld: {share:.1%}")
    asked = os.environ.get("YEARS") or "2018"
    years = truth.years() if asked == "all" else [int(year) for year in asked.split(",")]
    attack(seen, truth, years)
    assert 0.2 < share < 0.95
    two_releases(switched_on, 2018, "month(DTNASC) = 6", GROUPS[:1])

"""With a publication threshold, what readers see gives no small cell away: an attack finds none."""

from __future__ import annotations

import runpy
import shutil
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analytics_assets.core.columns import DeclarationError
from analytics_assets.core.declaration import Table
from analytics_assets.definitions import build
from analytics_assets.domains.births import tables
from analytics_assets.domains.births.measures import BIRTH_MEASURES
from analytics_assets.domains.births.sample import generate
from analytics_assets_tests.subtraction import Sums, limits
from analytics_assets_tests.workspace import Workspace, failures

K = 5
MEASURES = [measure.name for measure in BIRTH_MEASURES.measures]
SOME_MEASURES = (
    "total_births",
    "cesarean_count",
    "cesarean_known",
    "low_birth_weight_count",
    "congenital_anomaly_count",
    "birth_weight_sum",
)
PARTS = [
    *((name, name.replace("_count", "_known")) for name in MEASURES if name.endswith("_count")),
    *((name, "total_births") for name in MEASURES if name.endswith("_known")),
]
# table -> what its rows are of, the columns that name one, and the time of a row
PUBLISHED = {
    "agg_daily": ("nation", (), "day"),
    "agg_region_daily": ("region", ("region_code",), "day"),
    "agg_state_daily": ("state", ("state_code",), "day"),
    "agg_municipality_weekly": ("municipality", ("municipality_code",), "week"),
    "agg_monthly": ("nation", (), "month"),
    "agg_region_monthly": ("region", ("region_code",), "month"),
    "agg_state_monthly": ("state", ("state_code",), "month"),
    "agg_municipality_monthly": ("municipality", ("municipality_code",), "month"),
    "agg_yearly": ("nation", (), "year"),
    "agg_region_yearly": ("region", ("region_code",), "year"),
    "agg_state_yearly": ("state", ("state_code",), "year"),
    "agg_municipality_yearly": ("municipality", ("municipality_code",), "year"),
    "agg_cnes_monthly": ("facility", ("cnes_code",), "month"),
    "agg_cnes_yearly": ("facility", ("cnes_code",), "year"),
    "agg_occupation_yearly": ("occupation", ("occupation_code",), "year"),
    "agg_demographic_yearly": ("category", ("state_code", "breakdown", "category"), "year"),
    "agg_residence_municipality_monthly": ("home", ("municipality_code",), "month"),
    "agg_residence_municipality_yearly": ("home", ("municipality_code",), "year"),
    "agg_residence_state_monthly": ("home state", ("state_code",), "month"),
    "agg_residence_state_yearly": ("home state", ("state_code",), "year"),
}
TIME = {"day": "date", "week": "week_start", "month": "make_date(year, month, 1)", "year": "year"}
Name = tuple[str, tuple[str, ...], str, Any]
Rows = Callable[[str], list[tuple[Any, ...]]]


class Seen:
    """What somebody who reads all published tables has: cells, and the sums among them."""

    def __init__(self, rows: Rows, truth: Seen | None = None) -> None:
        """``truth`` adds the names of rows that are left out: more than an attacker knows."""
        self.sums = Sums()
        self._values: list[tuple[Any, ...]] = []
        self._parents: dict[tuple[str, tuple[str, ...]], tuple[str, tuple[str, ...]]] = {}
        measures = ", ".join(MEASURES)
        for table, (kind, keys, time) in PUBLISHED.items():
            above = {"municipality": "state_code", "state": "region_code", "home": "state_code"}
            up = above.get(kind, "''")
            listed = "".join(f"{key}, " for key in keys)
            query = f"select {listed}{up}, {TIME[time]}, {measures} from births.{table}"
            for row in rows(query):
                place = row[: len(keys)]
                self.sums.cell((kind, place, time, row[len(keys) + 1]))
                self._values.append(row[len(keys) + 2 :])
                self._parents[kind, place] = self._parent(kind, place, row[len(keys)])
        if truth:
            for name in truth.names:
                if name not in self.sums.position:
                    self.sums.cell(name)
                    self._values.append((None,) * len(MEASURES))
            self._parents |= truth._parents
        self.names: list[Name] = list(self.sums.position)
        self._add_sums()

    @staticmethod
    def _parent(kind: str, place: tuple[str, ...], up: str) -> tuple[str, tuple[str, ...]]:
        if kind == "category":
            return "state", place[:1]
        larger = {"municipality": "state", "state": "region", "home": "home state"}
        return (larger[kind], (up,)) if kind in larger else ("nation", ())

    def _add_sums(self) -> None:
        by_place: dict[Hashable, list[Name]] = defaultdict(list)
        by_month: dict[Hashable, list[Name]] = defaultdict(list)
        by_year: dict[Hashable, list[Name]] = defaultdict(list)
        for name in self.names:
            kind, place, time, when = name
            parent = (*self._parents[kind, place], time, when)
            if parent in self.sums.position and kind != "nation":
                breakdown = place[1] if kind == "category" else ""
                by_place[kind, breakdown, parent].append(name)
            if time == "day":
                by_month[kind, place, "month", when.replace(day=1)].append(name)
            if time == "month":
                by_year[kind, place, "year", when.year].append(name)
        for (_, _, parent), parts in by_place.items():
            self.sums.add(parts, [parent])
        for sums in (by_month, by_year):
            for whole, parts in sums.items():
                self.sums.add(parts, [whole])
        self._add_weeks()

    def _add_weeks(self) -> None:
        """Weeks and months of a place share parts; those of a state's places are its days."""
        of_state: dict[Hashable, list[Name]] = defaultdict(list)
        of_month: dict[Name, list[Name]] = defaultdict(list)
        for kind, place, time, monday in self.names:
            if time != "week":
                continue
            firsts = {(monday + timedelta(n)).replace(day=1) for n in range(7)}
            parts = []
            for first in firsts:
                month: Name = (kind, place, "month", first)
                if month in self.sums.position:
                    part: Name = (kind, place, "part", (monday, first))
                    parts.append(part)
                    of_month[month].append(part)
                    of_state[self._parents[kind, place], monday, first].append(part)
            self.sums.add(parts, [(kind, place, "week", monday)])
        for month, parts in of_month.items():
            self.sums.add(parts, [month])
        for (state, monday, first), parts in of_state.items():
            days = [monday + timedelta(n) for n in range(7)]
            names = [(*state, "day", day) for day in days if day.replace(day=1) == first]
            self.sums.add(parts, [name for name in names if name in self.sums.position])

    def computed(self, measure: str) -> dict[Name, float]:
        """The withheld cells of a measure that can be computed, and their values."""
        extra = len(self.sums.position) - len(self.names)
        values = {
            name: np.array(
                [np.nan if row[n] is None else float(row[n]) for row in self._values]
                + [np.nan] * extra
            )
            for n, name in enumerate(MEASURES)
            if name == measure or any({name, measure} == set(pair) for pair in PARTS)
        }
        least, most = limits(values, measure, PARTS)
        found = self.sums.attack(values[measure], least, most)
        return {self.names[p]: value for p, value in found.items() if p < len(self.names)}

    def shown(self, measure: str) -> dict[Name, int]:
        """The cells of a measure that are not withheld."""
        n = MEASURES.index(measure)
        values = zip(self.names, self._values, strict=True)
        return {name: row[n] for name, row in values if row[n] is not None}

    def with_only_small_withheld(self) -> Seen:
        """The same, seen without the cells that are withheld to cover small ones."""
        hidden = [small(self, measure) for measure in MEASURES]
        self._values = [
            tuple(None if name in names else v for names, v in zip(hidden, row, strict=True))
            for name, row in zip(self.names, self._values, strict=True)
        ]
        return self

    def withheld(self) -> float:
        """Share of the cells that are withheld."""
        return float(np.mean([[value is None for value in row] for row in self._values]))


def small(truth: Seen, measure: str) -> set[Name]:
    """Names of the cells that are small, or leave a small rest."""
    values = np.array(truth._values, dtype=float)
    own = values[:, MEASURES.index(measure)]
    wanted = np.zeros(len(own), dtype=bool)
    if not measure.endswith("_sum"):
        wanted |= (own > 0) & (own < K)
    if measure.endswith("_count"):
        rest = values[:, MEASURES.index(dict(PARTS)[measure])] - own
        wanted |= (own > 0) & (rest > 0) & (rest < K)
    return {truth.names[n] for n in np.flatnonzero(wanted)}


def tables_with(threshold: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Table, ...]:
    """The tables as they are declared where this threshold is set."""
    monkeypatch.setenv("BIRTHS_PUBLICATION_THRESHOLD", threshold)
    return tuple(runpy.run_path(tables.__file__)["TABLES"])


def attack(workspace: Workspace, measures: Sequence[str]) -> tuple[Seen, Seen]:
    """What readers see and what is so, after the attack found nothing small."""
    truth = Seen(workspace.warehouse)
    seen = Seen(workspace.production, truth)
    assert set(seen.names) == set(truth.names)
    for measure in measures:
        secret, shown = small(truth, measure), seen.shown(measure)
        assert not secret & seen.computed(measure).keys(), measure
        assert not secret & shown.keys(), measure
        assert shown.items() <= truth.shown(measure).items(), measure
    return seen, truth


@pytest.fixture
def switched_on(monkeypatch: pytest.MonkeyPatch) -> tuple[Table, ...]:
    return tables_with(str(K), monkeypatch)


@pytest.mark.slow
def test_readers_of_the_sample_can_compute_no_small_cell(
    workspace: Workspace, switched_on: tuple[Table, ...]
) -> None:
    generate(workspace.source, births=6_000, first_year=2024, years=1, dbf_years=0)
    ran = workspace.refresh(build(switched_on), switched_on)
    assert not failures(ran)
    seen, truth = attack(workspace, SOME_MEASURES)
    assert 0.2 < seen.withheld() < 0.95

    # The attack is worth something: it recovers what is withheld for being small alone.
    uncovered = Seen(workspace.warehouse).with_only_small_withheld()
    for measure in ("total_births", "cesarean_count"):
        assert len(small(truth, measure) & uncovered.computed(measure).keys()) > 50

    reported = {
        "/".join(entry.asset_key.path): entry.metadata["cells withheld, %"].value
        for _, result in ran
        for event in result.all_events
        if event.event_type_value == "ASSET_MATERIALIZATION"
        for entry in [event.step_materialization_data.materialization]
        if "cells withheld, %" in entry.metadata
    }
    assert len(reported) == len(PUBLISHED)
    assert reported["production/births/agg_municipality_weekly_public"] > 50
    assert reported["production/births/agg_yearly_public"] < 5
    # Nothing is derived for readers from what they do not get.
    assert workspace.production("select max(total_births) from births.dim_health_facility")
    assert not workspace.production(
        f"select * from births.dim_health_facility where total_births < {K}"
    )


def test_off_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [table.key for table in tables_with("", monkeypatch)] == [t.key for t in tables.TABLES]
    assert not any("withheld" in table.key for table in tables.TABLES)


@pytest.mark.parametrize("threshold", ["five", "1"])
def test_a_threshold_that_is_none_is_refused(
    threshold: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DeclarationError, match=r"give (a whole number|2 or more)"):
        tables_with(threshold, monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_readers_of_the_published_files_can_compute_no_small_cell(
    workspace: Workspace, real_data: Path, switched_on: tuple[Table, ...]
) -> None:
    """All measures, all years of one state; weeks link the years."""
    for path in sorted((real_data / "sinasc").glob("DNAC*")):
        shutil.copy(path, workspace.source)
    assert not failures(workspace.refresh(build(switched_on), switched_on))
    seen, _ = attack(workspace, MEASURES)
    assert 0.2 < seen.withheld() < 0.95

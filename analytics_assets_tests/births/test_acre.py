"""All thirteen published years of one state, end to end: published numbers, grains, the brief.

Takes two minutes, so it is not part of the fast suite.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics_assets.domains.births.measures import BIRTH_MEASURES
from analytics_assets.domains.births.tables import TABLES
from analytics_assets_tests.conftest import make_workspace
from analytics_assets_tests.workspace import Workspace, failures

pytestmark = pytest.mark.slow

# Observatorio Obstetrico Brasileiro and DATASUS, births by state of residence.
BIRTHS = {
    2000: 15228, 2001: 14899, 2002: 15841, 2003: 15986, 2004: 16584, 2005: 17482, 2007: 16183,
    2008: 17994, 2010: 16495, 2011: 17817, 2014: 17139, 2015: 16980, 2018: 16543,
}  # fmt: skip
CAESAREANS_LOW_WEIGHT_PRETERM = {
    2014: (6500, 1302, 2137),
    2015: (6631, 1296, 2151),
    2018: (6856, 1261, 2320),
}
AGGREGATES = [table for table in TABLES if table.measures]


@pytest.fixture(scope="module")
def acre(
    tmp_path_factory: pytest.TempPathFactory, postgres: str, real_data: Path
) -> Iterator[Workspace]:
    """Built and promoted from the published files."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        folder = tmp_path_factory.mktemp("acre")
        for workspace in make_workspace(folder, postgres, monkeypatch):
            for path in sorted((real_data / "sinasc").glob("DN*")):
                shutil.copy(path, workspace.source)
            shutil.copy(real_data / "geo" / "CNESDO18.DBF", workspace.source)
            ran = workspace.refresh()
            assert not failures(ran)
            yield workspace


def test_published_numbers(acre: Workspace) -> None:
    rows = acre.production(
        "select year, total_births, cesarean_count, low_birth_weight_count, preterm_count"
        " from agg_residence_state_yearly where state_abbreviation = 'AC' order by year"
    )
    assert {row[0]: row[1] for row in rows} == BIRTHS
    assert {
        row[0]: row[2:] for row in rows if row[0] in CAESAREANS_LOW_WEIGHT_PRETERM
    } == CAESAREANS_LOW_WEIGHT_PRETERM


def test_raw_is_fact_and_rejected(acre: Workspace) -> None:
    rows = acre.warehouse(
        "select year, raw, fact, rejected from"
        " (select source_year as year, count(*) as raw from births.raw_births group by 1)"
        " left join (select year(DTNASC) as year, count(*) as fact from births.fact_births"
        " group by 1) using (year)"
        " left join (select source_year as year, count(*) as rejected"
        " from births.rejected_births group by 1) using (year)"
    )
    assert len(rows) == len(BIRTHS)
    assert all(raw == fact + (rejected or 0) for _, raw, fact, rejected in rows)


def _totals(acre: Workspace, table) -> list[tuple]:
    sums = ", ".join(f"sum({measure.name})" for measure in BIRTH_MEASURES.measures)
    year = "year({})".format("week_start" if "weekly" in table.name else "date")
    if "year" in {column.name for column in table.stored_columns}:
        year = "year"
    each = "where breakdown = 'race'" if table.each else ""
    return acre.warehouse(
        f"select {year}, {sums} from {table.sql_name} {each} group by 1 order by 1"
    )


def test_every_pair_of_grains_reconciles(acre: Workspace) -> None:
    """Every measure of every year; weeks cross the turn of a year, so they have all years' sums."""
    by_year = {
        table.name: _totals(acre, table) for table in AGGREGATES if "weekly" not in table.name
    }
    assert len(by_year) >= 20
    assert all(len(rows) == len(BIRTHS) for rows in by_year.values())
    for (one, left), (other, right) in itertools.combinations(by_year.items(), 2):
        assert left == right, (one, other)
    weekly = next(table for table in AGGREGATES if "weekly" in table.name)
    all_weeks = [sum(column) for column in zip(*_totals(acre, weekly), strict=True)][1:]
    assert all_weeks == [sum(column) for column in zip(*by_year["agg_yearly"], strict=True)][1:]


def test_production_is_the_warehouse(acre: Workspace) -> None:
    for table in (table for table in TABLES if table.publish):
        columns = ", ".join(column.name for column in table.all_columns)
        keys = ", ".join(table.unique_columns)
        query = f"select {columns} from {table.sql_name} order by {keys} "
        # The two sort accents differently, so rows are compared without their order.
        assert set(acre.production(query)) == set(acre.warehouse(query)), table.name


def test_facilities_have_their_names(acre: Workspace) -> None:
    """The list of names is of 2018; files before 2006 have other codes, or none."""
    ((name,),) = acre.production(
        "select facility_name from dim_health_facility where cnes_code <> '0000000'"
        " and last_year = 2018 order by total_births desc limit 1"
    )
    assert name not in ("Not in the code list", "None or unknown")

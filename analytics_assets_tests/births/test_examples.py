"""The SQL examples of the brief, word for word, on production; and what must not be there."""

from __future__ import annotations

import pytest

from analytics_assets.domains.births.sample import generate
from analytics_assets.domains.births.tables import TABLES
from analytics_assets_tests.bench.queries import QUERIES
from analytics_assets_tests.workspace import Workspace, failures, with_upstream


@pytest.fixture(scope="module")
def built(module_workspace: Workspace) -> Workspace:
    """One year of two states, Sao Paulo among them."""
    generate(
        module_workspace.source,
        births=4000,
        states=("AC", "SP"),
        first_year=2024,
        years=1,
        dbf_years=0,
    )
    asked = [t for t in TABLES if t.publish and any(t.name in sql for sql in QUERIES.values())]
    assert not failures(module_workspace.refresh(tables=with_upstream(*asked)))
    return module_workspace


@pytest.mark.parametrize("name", list(QUERIES))
def test_examples_run_word_for_word(built: Workspace, name: str) -> None:
    rows = built.production(QUERIES[name].replace("%", "%%"))
    assert rows
    assert all(row[0] is not None for row in rows)


def test_examples_agree_with_the_births_themselves(built: Workspace) -> None:
    municipality = list(QUERIES)[-1]
    rows = built.production(QUERIES[municipality].replace("%", "%%"))
    expected = built.warehouse(
        "select year(DTNASC), month(DTNASC), count(*), count_if(PARTO = '2')"
        " from births.fact_births where birth_municipality_code = '3550308' group by all order by 2"
    )
    assert [row[:4] for row in rows] == expected


def test_births_themselves_are_not_in_production(built: Workspace) -> None:
    names = {name for (name,) in built.production("select relname from pg_class")}
    assert "agg_municipality_monthly" in names
    assert not names & {"fact_births", "raw_births", "rejected_births", "agg_municipality_daily"}

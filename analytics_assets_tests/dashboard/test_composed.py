"""Composed pages: what the briefs' readers look at, equal to what production says."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import httpx
import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from analytics_assets import registry
from analytics_assets.dashboard.looks import ROWS, Looks
from analytics_assets.domains.ad_metrics.pages import tone
from analytics_assets.domains.behavior.analysis import interrupted_time_series
from analytics_assets.domains.behavior.analysis.rows import _level_before
from analytics_assets.domains.behavior.pages import segments
from analytics_assets.domains.births.pages import PAGES as BIRTHS
from analytics_assets.production import records
from analytics_assets.production.freshness import Failing, tell_readers
from analytics_assets.warehouse.ledger import now
from analytics_assets_tests.api.conftest import Production
from analytics_assets_tests.api.filled import TABLES, promote, rows_of
from analytics_assets_tests.dashboard.conftest import figures, page, shown, value_of

CARD = re.compile(
    r"<h3>([^<]*)</h3>\s*<p class=\"value\">([^<]*)</p>\s*<p class=\"change\">(.*?)</p>", re.S
)


def cards(text: str) -> dict[str, tuple[str, str]]:
    """Label -> value and change, as they are read."""
    return {
        label: (value, " ".join(re.sub("<[^>]*>", "", change).split()))
        for label, value, change in CARD.findall(text)
    }


def test_every_page_is_there_in_both_languages(dashboard: httpx.Client) -> None:
    names = {p.name for own in registry.pages().values() for p in own.pages} | {"operations"}
    assert names == {"ads", "banks", "births", "clinic", "experiments", "operations"}
    for name in names:
        for language in ("en", "pt"):
            text = page(dashboard, f"/pages/{name}", lang=language)
            assert 'aria-current="page"' in text
            assert ">None<" not in text


@pytest.mark.parametrize(("state", "table"), [("", "agg_yearly"), ("12", "agg_state_yearly")])
def test_the_cards_of_a_year_are_what_production_says(
    dashboard: httpx.Client, production: Production, state: str, table: str
) -> None:
    found = cards(page(dashboard, "/pages/births", year="2023", state=state))
    where = f" and state_code = '{state}'" if state else ""

    def said(column: str, year: int) -> float:
        sql = f"select {column} from births.{table} where year = {year}{where}"
        return float(value_of(production, sql))

    births, before = said("total_births", 2023), said("total_births", 2022)
    value, change = found["Births"]
    assert value == f"{births:,.0f}"
    assert change.startswith(("▲", "▼"))
    assert f"{abs(100 * (births - before) / before):,.1f}%" in change
    for label, column in (
        ("Caesarean rate", "cesarean_rate"),
        ("Preterm rate", "preterm_rate"),
        ("Low birth weight", "low_birth_weight_rate"),
    ):
        now, then = said(column, 2023), said(column, 2022)
        assert found[label][0] == f"{now:,.1f}%"
        assert f"{abs(now - then):,.1f} points" in found[label][1]


def test_a_year_to_date_is_compared_with_the_same_days(
    dashboard: httpx.Client, production: Production
) -> None:
    text = page(dashboard, "/pages/births", year="2024")
    last = value_of(production, "select max(date) from births.agg_daily")
    days = f"date between '2024-01-01' and '{last}'"
    sql = f"select sum(total_births) from births.agg_daily where {days}"
    births = float(value_of(production, sql))
    assert cards(text)["Births"] == (f"{births:,.0f}", "no year before")
    assert f"2024-01-01 to {last}; compared with the same days" in text


def test_where_cells_are_withheld_a_page_shows_the_public_tables(
    own_production: Production, writer: sa.Engine
) -> None:
    yearly = next(t for t in TABLES if t.key == "births/agg_yearly")
    assert yearly.publish
    public = replace(
        yearly, key="births/public_agg_yearly", publish=replace(yearly.publish, name="agg_yearly")
    )
    with writer.begin() as connection:
        promote(connection, public, rows_of(public))
    with shown(own_production, tables=[public]) as client:
        births = next(r["total_births"] for r in rows_of(public) if r["year"] == 2023)
        assert cards(page(client, "/pages/births", year="2023"))["Births"][0] == f"{births:,}"


def test_residence_and_places_without_births(dashboard: httpx.Client) -> None:
    text = page(dashboard, "/pages/births", base="residence", state="12", year="2023")
    assert "agg_residence_state_yearly" in text
    assert "agg_residence_municipality_yearly" in text
    answer = dashboard.get("/pages/births", params={"state": "99"})
    assert answer.status_code == 422


def test_every_tile_is_a_state_and_every_label_a_measure() -> None:
    drawn = BIRTHS.maps["state"].drawn
    places = {column: row for column, row, _ in drawn.places.values()}  # type: ignore[union-attr]
    assert len(drawn.places) == 27  # type: ignore[union-attr]
    assert len({(c, r) for c, r, _ in drawn.places.values()}) == 27  # type: ignore[union-attr]
    assert places
    yearly = next(t for t in TABLES if t.key == "births/agg_yearly")
    assert yearly.measures
    names = {n.name for n in (*yearly.measures.measures, *yearly.measures.ratios)}
    assert names - BIRTHS.labels.keys() == set()


def test_every_number_of_the_births_is_described_in_portuguese(dashboard: httpx.Client) -> None:
    numbers = {
        n.name for t in TABLES if t.domain == "births" and t.publish for n in Looks(t).numbers
    }
    assert len(numbers) > 90
    assert numbers - BIRTHS.descriptions.keys() - {ROWS} == set()
    for language, said in (("pt", "subestimada pelos ignorados"), ("en", "biased low by unknowns")):
        asked = {"measure": "cesarean_pct", "lang": language}
        assert said in page(dashboard, "/tables/births.agg_yearly", **asked)


def test_what_is_described_in_portuguese_is_a_number_of_its_domain() -> None:
    for domain, own in registry.pages().items():
        looks = [Looks(table) for table in TABLES if table.domain == domain and table.publish]
        numbers = {number.name for one in looks for number in one.numbers}
        assert own.descriptions.keys() - numbers == set(), domain


def test_ads_are_named_go_down_and_have_their_course(
    dashboard: httpx.Client, production: Production
) -> None:
    text = page(dashboard, "/pages/ads")
    spend = value_of(
        production,
        "select sum(meta_spend) from ad_metrics.daily_mixpanel_metrics"
        " where entity_type = 'campaign' and date > (select max(date) - 28 from"
        " ad_metrics.daily_mixpanel_metrics)",
    )
    assert f"{float(spend):,.2f}" in text
    link = re.search(r'href="\.\./(pages/ads\?level=adset[^"]+)"', text)
    assert link
    below = page(dashboard, "/" + link[1].replace("&amp;", "&"))
    assert "level=ad&amp;within=" in below
    assert '<svg class="spark' in below


@pytest.mark.parametrize(
    ("roas", "conversions", "expected"),
    [(None, 99, "few"), (9, 4, "few"), (0.99, 5, "bad"), (1, 5, "even"), (1.5, 5, "good")],
)
def test_the_colour_of_a_return(roas: float | None, conversions: float, expected: str) -> None:
    assert tone(roas, conversions) == expected


def test_banks_are_in_order_and_ratios_are_percentages(
    dashboard: httpx.Client, production: Production
) -> None:
    text = page(dashboard, "/pages/banks", metric="imor")
    ranking = figures(text)[-1]["data"][0]
    assert ranking["x"] == sorted(ranking["x"], reverse=True)
    sql = (
        "select max(imor) * 100 from bank_kpis.monthly_kpis as k join bank_kpis.dim_bank as b"
        " on b.bank_code = k.banco_norm where bank_type = 'individual' and fecha ="
        " (select max(fecha) from bank_kpis.monthly_kpis)"
    )
    assert ranking["x"][0] == pytest.approx(float(value_of(production, sql)))


def test_the_funnel_states_its_bias(dashboard: httpx.Client) -> None:
    assert "Biased: of Control only attendance is logged" in page(dashboard, "/pages/clinic")


@pytest.mark.parametrize("counts", [False, True])
def test_the_lines_of_an_experiment_are_those_of_the_analysis(counts: bool) -> None:
    random = np.random.default_rng(7)
    since = np.arange(-14, 14)
    rate = 3 + 0.05 * since + (since >= 0) * (0.6 + 0.03 * since)
    observed = random.poisson(np.exp(rate / 2)) if counts else 10 * rate + random.normal(size=28)
    frame = pd.DataFrame({"since": since, "outcome": observed})
    found = interrupted_time_series(
        frame, time="since", outcome="outcome", intervention=0, counts=counts
    )
    assert found.slope_change
    row = SimpleNamespace(
        slope_before=found.slope_before.value,
        level_change=found.level_change.value,
        slope_change=found.slope_change.value,
        level_before=_level_before(found),
    )
    points = dict(zip(since.tolist(), map(float, observed), strict=True))
    lines = segments(points, row, counts)
    after = found.series[found.series["time"] >= 0]
    assert [v for _, v in lines["fitted"]] == pytest.approx(
        found.series["fitted"].tolist(), rel=1e-5
    )
    assert [v for _, v in lines["counterfactual"]] == pytest.approx(
        after["counterfactual"].tolist(), rel=1e-5
    )


def test_operations_name_releases_holds_and_sizes(
    dashboard: httpx.Client, production: Production
) -> None:
    text = page(dashboard, "/pages/operations")
    number = value_of(production, "select max(id) from promotion.release")
    assert f" {number}</th>" in text or number is None
    for domain in {table.domain for table in TABLES if table.publish}:
        assert f">{domain}<" in text
    assert "quarantine" in text
    assert "No check fails." in text


def test_operations_show_failing_checks_with_keys_and_no_markup_of_theirs(
    own_production: Production, writer: sa.Engine
) -> None:
    keys = ["2024-01: shop <b>a</b>", "2024-02: shop b"]
    failing = Failing("births/fact_births", "contract", True, 2, "- 2024-01: bad.", keys, now())
    with writer.begin() as connection:
        records.prepare(connection, "births")
        tell_readers(connection, [], now(), [failing])
    with shown(own_production) as client:
        text = page(client, "/pages/operations", lang="en")
        for said in ("births/fact_births", "contract", "holds back", "- 2024-01: bad."):
            assert said in text
        assert "2024-01: shop &lt;b&gt;a&lt;/b&gt;\n2024-02: shop b</td>" in text
        with writer.begin() as connection:
            tell_readers(connection, [], now())
        assert "No check fails." in page(client, "/pages/operations", lang="en")
        with writer.begin() as connection:
            connection.exec_driver_sql("drop table promotion.failing")
        assert "may not see this" in page(client, "/pages/operations", lang="en")

"""Every promoted table has a page, from its declaration alone."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from datetime import date, timedelta
from html import unescape

import httpx
import pytest
import sqlalchemy as sa

from analytics_assets.core import calendar
from analytics_assets.core.columns import MeasureList
from analytics_assets.core.declaration import Publish, Table
from analytics_assets.domains.births.grains import REGION
from analytics_assets.domains.births.tables import agg_municipality_weekly, tables
from analytics_assets_tests.api.conftest import Production
from analytics_assets_tests.api.filled import TABLES, promote, rows_of
from analytics_assets_tests.dashboard.conftest import figures, page, shown, value_of

PROMOTED = [table for table in TABLES if table.publish]
YEARLY = next(table for table in TABLES if table.key == "births/agg_state_yearly")


def rows_as_csv(client: httpx.Client, path: str, **asked: object) -> list[dict[str, str]]:
    answer = client.get(path, params=asked or None)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    assert "attachment" in answer.headers["content-disposition"]
    return list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))


def test_every_promoted_table_has_its_page_and_its_numbers(dashboard: httpx.Client) -> None:
    home = page(dashboard, "/")
    for table in PROMOTED:
        name = f"{table.domain}.{table.published_name}"
        assert f"tables/{name}?" in home
        text = page(dashboard, f"/tables/{name}", lang="pt")
        assert table.description in unescape(text)
        assert "<td" in text, name
        assert ">None<" not in text
        assert rows_as_csv(dashboard, f"/tables/{name}.csv"), name


def test_a_new_aggregate_has_page_chart_map_and_download(
    own_production: Production, writer: sa.Engine
) -> None:
    own = tables.copy()
    new = own.rollup(
        "agg_region_weekly",
        agg_municipality_weekly,
        calendar.week("week_start", "Monday of the week of birth."),
        REGION,
        publish=Publish(),
    )
    with writer.begin() as connection:
        promote(connection, new, rows_of(new))
    with shown(own_production, tables=(*own.all, new)) as client:
        text = page(client, "/tables/agg_region_weekly", split="region")
        (figure,) = figures(text)
        total = "total_births"
        expected = {
            row["region_name"]: [
                r[total] for r in rows_of(new) if r["region_name"] == row["region_name"]
            ]
            for row in rows_of(new)
        }
        assert {trace["name"]: trace["y"] for trace in figure["data"]} == expected
        names = {
            row["name"]
            for row in rows_as_csv(
                client, "/tables/agg_region_weekly.csv", chart="bars", by="region"
            )
        }
        assert names == set(expected)
        assert "agg_region_weekly" in page(client, "/")


def test_measures_over_axes_are_sums_and_ratios_of_sums(
    dashboard: httpx.Client, production: Production
) -> None:
    asked = {"measure": "cesarean_rate", "chart": "bars", "by": "region", "at": "2023"}
    found = rows_as_csv(dashboard, "/tables/births.agg_state_yearly.csv", **asked)
    for row in found:
        sql = (
            "select 100.0 * sum(cesarean_count) / sum(cesarean_known) from births.agg_state_yearly"
            f" where year = 2023 and region_code = '{row['region']}'"
        )
        assert float(row["cesarean_rate [%]"]) == pytest.approx(float(value_of(production, sql)))
    assert len(found) == 2


def test_a_link_reproduces_the_view(dashboard: httpx.Client) -> None:
    first = page(
        dashboard, "/tables/births.agg_state_monthly", split="state", state=["12", "SÃO PAULO"]
    )
    link = re.search(r'<a href="\.\./([^"]+)">Link to this view', first)
    assert link
    again = page(dashboard, "/" + unescape(link[1]))
    assert figures(first) == figures(again)
    assert "state=12" in link[1]
    assert "state=35" in link[1]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"measure": "total_birth"}, "did you mean"),
        ({"state": "Acra"}, "did you mean Acre?"),
        ({"chart": "pie"}, "chart:"),
        ({"by": "weather"}, "by:"),
        ({"from": "yesterday"}, "from: should be a date"),
        ({"from": "2024", "to": "2023"}, "to: is before from"),
        ({"offset": "-1"}, "offset:"),
        ({"colour": "red"}, "colour:"),
        ({"lang": "de"}, "lang:"),
        ({"state": "x" * 600}, "too long"),
    ],
)
def test_a_wrong_choice_is_one_sentence(
    dashboard: httpx.Client, asked: dict[str, str], said: str
) -> None:
    answer = dashboard.get("/tables/births.agg_state_yearly", params=asked)
    assert answer.status_code == 422
    assert said in unescape(answer.text)
    assert "<nav" in answer.text


def test_what_is_not_there_says_what_is(dashboard: httpx.Client) -> None:
    answer = dashboard.get("/tables/births.agg_stat_yearly")
    assert answer.status_code == 404
    assert "did you mean births.agg_state_yearly?" in unescape(answer.text)
    assert dashboard.get("/pages/x").status_code == 404
    assert dashboard.get("/etc/passwd").status_code == 404
    assert dashboard.get("/assets/1/..%2f..%2fapp.py").status_code == 404
    assert dashboard.get("/shapes/..%2fstate.geojson").status_code == 404


def test_an_empty_view_says_why(dashboard: httpx.Client) -> None:
    text = page(dashboard, "/tables/births.agg_state_yearly", **{"from": "1990", "to": "1991"})
    assert "the table has 2021 to 2024" in text
    assert not figures(text)


def test_a_table_that_nobody_promoted_says_so(own_production: Production) -> None:
    with shown(own_production) as client:
        for path in ("/", "/pages/births", "/pages/ads", "/pages/operations", "/tables/agg_yearly"):
            answer = client.get(path)
            assert answer.status_code == 200, (path, answer.text)
        assert "Nothing of this table is promoted yet" in page(client, "/tables/agg_yearly")


def test_a_table_that_is_promoted_while_it_is_looked_at(
    own_production: Production, writer: sa.Engine
) -> None:
    with shown(own_production, tables=[YEARLY], pages={}) as client:
        for change in (0, 5):
            with writer.begin() as connection:
                promote(connection, YEARLY, rows_of(YEARLY, change))
            expected = sum(r["total_births"] for r in rows_of(YEARLY, change) if r["year"] == 2023)
            found = rows_as_csv(client, "/tables/agg_state_yearly.csv", chart="bars", by="region")
            assert found
            text = rows_as_csv(
                client, "/tables/agg_state_yearly.csv", **{"from": "2023", "to": "2023"}
            )
            assert [float(row["total_births [births]"]) for row in text] == [expected]


def test_a_map_of_places_whose_seats_are_not_promoted_yet(
    own_production: Production, writer: sa.Engine
) -> None:
    table = next(t for t in TABLES if t.key == "births/agg_municipality_yearly")
    with writer.begin() as connection:
        promote(connection, table, rows_of(table))
    with shown(own_production) as client:
        text = page(client, "/tables/agg_municipality_yearly", chart="map", by="municipality")
        assert "Not on the map: " in text
        assert "Ouro d" in text


def withheld() -> Table:
    """The table as readers have it where small cells are withheld."""
    measures = YEARLY.measures
    assert measures
    hiding = tuple(replace(m, withheld=True, usually=None) for m in measures.measures)
    return replace(YEARLY, measures=MeasureList(hiding, measures.ratios))


def test_withheld_cells_are_shown_as_withheld_and_never_added_up(
    own_production: Production, writer: sa.Engine
) -> None:
    table = withheld()
    rows = rows_of(table)
    for row in rows:
        if row["state_code"] == "12" and row["year"] == 2023:
            row["cesarean_count"] = None
    with writer.begin() as connection:
        promote(connection, table, rows)
    with shown(own_production, tables=[table], pages={}) as client:
        path = "/tables/agg_state_yearly"
        for measure in ("cesarean_count", "cesarean_rate"):
            text = page(client, path, measure=measure, state="12")
            assert '<td class="withheld">withheld</td>' in text
            assert "They are not 0" in text
            values = rows_as_csv(client, f"{path}.csv", measure=measure, state="12")
            (column,) = [name for name in values[0] if name.startswith(measure)]
            assert {row["year"][:4]: row[column] == "withheld" for row in values}["2023"]
            bars = rows_as_csv(
                client, f"{path}.csv", measure=measure, chart="bars", by="state", at="2023"
            )
            assert [row[column] for row in bars if row["state"] == "12"] == ["withheld"]
        # One state, not their sum, where none is chosen.
        (figure,) = figures(page(client, path, measure="total_births"))
        own = [row["total_births"] for row in rows if row["state_code"] == "12"]
        assert figure["data"][0]["y"] == own
        for asked in (
            {"chart": "bars", "by": "region"},
            {"chart": "bars", "by": "state", "at": "all"},
            {"state": ["12", "35"], "chart": "bars", "by": "time"},
        ):
            assert client.get(path, params=asked).status_code == 422


def test_seven_days_are_a_mean_and_no_day_without_a_row_is_lost(
    own_production: Production, writer: sa.Engine
) -> None:
    table = next(t for t in TABLES if t.key == "births/agg_daily")
    first, gone = date(2024, 2, 1), {date(2024, 2, 9)}
    days = [first + timedelta(days=n) for n in range(20)]
    (model, *_) = rows_of(table)
    rows = [
        {**model, "date": day, "total_births": 10 + n}
        for n, day in enumerate(days)
        if day not in gone
    ]
    with writer.begin() as connection:
        promote(connection, table, rows)
    totals = {row["date"]: row["total_births"] for row in rows}
    with shown(own_production, tables=[table], pages={}) as client:
        asked = {"mean": "7", "from": "2024-02-10", "to": "2024-02-12"}
        found = rows_as_csv(client, "/tables/agg_daily.csv", **asked)
        for row in found:
            day = date.fromisoformat(row["day"])
            week = [totals.get(day - timedelta(days=back), 0) for back in range(7)]
            assert float(row["total_births [births]"]) == pytest.approx(sum(week) / 7)
        assert len(found) == 3
        daily = rows_as_csv(
            client, "/tables/agg_daily.csv", **{"from": "2024-02-09", "to": "2024-02-09"}
        )
        assert [float(row["total_births [births]"]) for row in daily] == [0]


def test_a_year_that_was_never_landed_is_a_gap_and_no_year_of_nothing(
    own_production: Production, writer: sa.Engine
) -> None:
    gone = {(2022, "12"), (2022, "35"), (2023, "35")}
    rows = [row for row in rows_of(YEARLY) if (row["year"], row["state_code"]) not in gone]
    with writer.begin() as connection:
        promote(connection, YEARLY, rows)
    with shown(own_production, tables=[YEARLY], pages={}) as client:
        found = rows_as_csv(client, "/tables/agg_state_yearly.csv", split="state")
    values = {row["year"][:4]: row["São Paulo"] for row in found}
    assert (values["2022"], float(values["2023"])) == ("", 0)
    assert float(values["2021"])


def test_an_index_begins_at_100(dashboard: httpx.Client) -> None:
    found = rows_as_csv(dashboard, "/tables/births.agg_state_yearly.csv", split="state", index="1")
    assert {float(value) for name, value in found[0].items() if name != "year"} == {100}


def test_no_text_of_a_table_is_markup_or_a_formula(
    own_production: Production, writer: sa.Engine
) -> None:
    table = next(t for t in TABLES if t.key == "births/agg_cnes_yearly")
    rows = rows_of(table)
    evil = "=1+1</script><script>alert(1)</script>"
    for row in rows:
        row["facility_name"] = evil
    with writer.begin() as connection:
        promote(connection, table, rows)
    with shown(own_production, tables=[table], pages={}) as client:
        path = "/tables/agg_cnes_yearly"
        text = page(client, path, chart="bars", by="cnes")
        assert "<script>alert" not in text
        assert figures(text)
        names = rows_as_csv(client, f"{path}.csv", chart="bars", by="cnes")
        assert {row["name"] for row in names} == {f"'{evil}"}

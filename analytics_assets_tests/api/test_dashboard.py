"""The dashboard's routes, key by key as the brief has them, and against the stored rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from jsonschema import validate

from analytics_assets.domains.ad_metrics.sample import FIRST_DAY
from analytics_assets_tests.api.conftest import LOST_DAY, Production

DASHBOARD = "/api/dashboard"
DAYS = 8
LAST_DAY = FIRST_DAY + timedelta(days=DAYS - 1)
RANGE = {"start_date": FIRST_DAY.isoformat(), "end_date": LAST_DAY.isoformat()}
NUMBER, TEXT = {"type": "number"}, {"type": "string"}


def exactly(**properties: Any) -> dict[str, Any]:
    """An object with these keys and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def having(**properties: Any) -> dict[str, Any]:
    """An object with these keys at least."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def listed(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


SUCCESS = {"const": True}
ERROR = exactly(success={"const": False}, error=TEXT, error_code=TEXT)
# As in the brief; a row may have more, as it had ("all existing fields").
ROW = having(
    id=TEXT,
    campaign_name=TEXT,
    spend=NUMBER,
    mixpanel_trials_started={"type": "integer"},
    estimated_revenue_adjusted=NUMBER,
    profit=NUMBER,
    trial_accuracy_ratio=NUMBER,
    purchase_accuracy_ratio=NUMBER,
)
DATA = exactly(success=SUCCESS, data=listed(ROW), metadata={"type": "object"})
BROKEN_DOWN = exactly(
    success=SUCCESS,
    data=listed(ROW),
    breakdown_data={
        "type": "object",
        "additionalProperties": having(spend=NUMBER, trials=NUMBER, revenue=NUMBER),
    },
    metadata={"type": "object"},
)
CHART = having(
    success=SUCCESS,
    chart_data=exactly(
        dates=listed({"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}),
        spend=listed(NUMBER),
        revenue=listed(NUMBER),
        roas=listed(NUMBER),
        trials=listed({"type": "integer"}),
        purchases=listed({"type": "integer"}),
    ),
)
CONFIGURATIONS = exactly(
    success=SUCCESS, configurations=listed(exactly(key=TEXT, name=TEXT, description=TEXT))
)


@pytest.fixture(scope="module")
def stored(production: Production) -> Iterator[Any]:
    """Rows of a query on production."""
    engine = sa.create_engine(production.reader)

    def rows(sql: str, **values: Any) -> list[Any]:
        with engine.connect() as connection:
            return list(connection.execute(sa.text(sql), values).mappings())

    yield rows
    engine.dispose()


def post(client: httpx.Client, **asked: Any) -> dict[str, Any]:
    answer = client.post(f"{DASHBOARD}/analytics/data", json={**RANGE, **asked})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("group_by", ["campaign", "adset", "ad"])
def test_the_shape_of_the_data(client: httpx.Client, group_by: str) -> None:
    found = post(client, group_by=group_by)
    validate(found, DATA)
    assert len(found["data"]) == found["metadata"]["total"] > 0
    spend = [row["spend"] for row in found["data"]]
    assert spend == sorted(spend, reverse=True)


@pytest.mark.parametrize("breakdown", ["country", "region", "device"])
def test_a_breakdown_adds_up_to_the_rows(client: httpx.Client, breakdown: str) -> None:
    found = post(client, breakdown=breakdown)
    validate(found, BROKEN_DOWN)
    parts = found["breakdown_data"].values()
    assert len(parts) > 1
    for part, whole in (("spend", "spend"), ("trials", "mixpanel_trials_started")):
        expected = sum(row[whole] for row in found["data"])
        assert sum(value[part] for value in parts) == pytest.approx(expected, abs=0.001) != 0


def test_of_one_day_every_metric_is_the_stored_one(client: httpx.Client, stored: Any) -> None:
    """So the ratios are the domain's, also where it divides by nothing."""
    names = {
        "estimated_revenue_adjusted": "adjusted_estimated_revenue_usd",
        "profit": "profit_usd",
        "spend": "meta_spend",
        "mixpanel_trials_started": "mixpanel_trial_count",
    }
    compared = 0
    for back in range(DAYS):
        day = (FIRST_DAY + timedelta(days=back)).isoformat()
        found = post(client, start_date=day, end_date=day, group_by="ad")["data"]
        sql = "select * from daily_mixpanel_metrics where entity_type = 'ad' and date = :day"
        rows = {row["entity_id"]: row for row in stored(sql, day=day)}
        assert {row["id"] for row in found} == rows.keys()
        for row in found:
            for name, value in row.items():
                column = names.get(name, name)
                if column in rows[row["id"]]:
                    assert value == pytest.approx(float(rows[row["id"]][column]), abs=0.0051), name
                    compared += 1
    assert compared > 100


def test_over_a_range_ratios_are_of_sums(client: httpx.Client, stored: Any) -> None:
    sql = (
        "select entity_id as id, sum(meta_spend) as spend, sum(mixpanel_trial_count) as trials,"
        " sum(meta_trial_count) as meta, sum(adjusted_estimated_revenue_usd) as adjusted"
        " from daily_mixpanel_metrics where entity_type = 'campaign' group by 1"
    )
    expected = {row["id"]: row for row in stored(sql)}
    for row in post(client)["data"]:
        sums = expected[row["id"]]
        assert row["spend"] == float(sums["spend"])
        assert row["mixpanel_trials_started"] == sums["trials"]
        if sums["meta"]:
            ratio = 100 * float(sums["trials"]) / float(sums["meta"])
            assert row["trial_accuracy_ratio"] == pytest.approx(ratio, abs=1e-4)
        if sums["spend"] > 0:
            roas = float(sums["adjusted"] / sums["spend"])
            assert row["estimated_roas"] == pytest.approx(roas, abs=1e-4)


def test_pages_of_entities(client: httpx.Client) -> None:
    whole = post(client, group_by="ad")["data"]
    by_page = [
        row
        for offset in range(len(whole) + 1)
        for row in post(client, group_by="ad", limit=1, offset=offset)["data"]
    ]
    assert by_page == whole


def test_a_chart_has_every_day_and_says_which_are_missing(
    client: httpx.Client, stored: Any
) -> None:
    first, last = FIRST_DAY - timedelta(days=3), LAST_DAY
    asked = {"start_date": first.isoformat(), "end_date": last.isoformat()}
    found = client.get(f"{DASHBOARD}/analytics/chart-data", params=asked).json()
    validate(found, CHART)
    series = found["chart_data"]
    assert {len(values) for values in series.values()} == {DAYS + 3}
    missing = [first + timedelta(days=n) for n in range(3)] + [LOST_DAY]
    assert found["metadata"]["missing_dates"] == [day.isoformat() for day in missing]
    for day in missing:
        place = series["dates"].index(day.isoformat())
        assert [values[place] for name, values in series.items() if name != "dates"] == [0] * 5
    sql = (
        "select date, sum(meta_spend) as spend from daily_mixpanel_metrics"
        " where entity_type = 'campaign' group by 1 order by 1"
    )
    spent = {row["date"].isoformat(): float(row["spend"]) for row in stored(sql)}
    assert {d: s for d, s in zip(series["dates"], series["spend"], strict=True) if s} == {
        day: spend for day, spend in spent.items() if spend
    }


def test_a_chart_of_one_entity(client: httpx.Client) -> None:
    (ad, *_) = post(client, group_by="ad")["data"]
    asked = {**RANGE, "entity_type": "ad", "entity_id": ad["id"]}
    found = client.get(f"{DASHBOARD}/analytics/chart-data", params=asked).json()
    assert sum(found["chart_data"]["spend"]) == pytest.approx(ad["spend"])
    nobody = client.get(
        f"{DASHBOARD}/analytics/chart-data", params={**asked, "entity_id": "' or 1=1 --"}
    )
    assert set(nobody.json()["chart_data"]["spend"]) == {0}


def test_configurations_dates_coverage_and_health(client: httpx.Client) -> None:
    found = client.get(f"{DASHBOARD}/configurations").json()
    validate(found, CONFIGURATIONS)
    assert found["configurations"][0] == {
        "key": "basic_ad_data",
        "name": "Basic Ad Performance",
        "description": "Standard campaign metrics",
    }
    dates = {"earliest_date": FIRST_DAY.isoformat(), "latest_date": LAST_DAY.isoformat()}
    assert client.get(f"{DASHBOARD}/analytics/date-range").json() == {"success": True, **dates}
    assert client.get(f"{DASHBOARD}/coverage").json() == {
        "success": True,
        **dates,
        "days": DAYS - 1,
        "missing_dates": [LOST_DAY.isoformat()],
    }
    health = client.get(f"{DASHBOARD}/health").json()
    assert health["success"]
    assert {table["name"] for table in health["tables"]} >= {"ad_metrics.daily_mixpanel_metrics"}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"start_date": "yesterday"}, "start_date"),
        ({"start_date": 1704067200}, "start_date"),
        ({"end_date": "2024-02-30"}, "end_date"),
        ({"end_date": date.min.isoformat()}, "end_date"),
        ({"breakdown": "gender"}, "breakdown"),
        ({"group_by": "user"}, "group_by"),
        ({"offset": False}, "offset"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_an_error_has_the_briefs_shape_and_names_the_field(
    client: httpx.Client, changed: dict[str, Any], named: str
) -> None:
    answer = client.post(f"{DASHBOARD}/analytics/data", json={**RANGE, **changed})
    assert answer.status_code == 422
    validate(answer.json(), ERROR)
    assert answer.json()["error"].startswith(f"{named}: ")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"null", b'{"start_date": "\\ud800"}'])
def test_a_body_that_is_none_is_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.post(
        f"{DASHBOARD}/analytics/data", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    validate(answer.json(), ERROR)


def test_a_large_body_is_refused(client: httpx.Client) -> None:
    answer = client.post(f"{DASHBOARD}/analytics/data", content=b" " * 100_000)
    assert answer.status_code == 413
    validate(answer.json(), ERROR)


def test_no_user_id_is_in_any_answer_or_description(client: httpx.Client) -> None:
    text = client.get("/openapi.json").text + str(post(client, group_by="ad", breakdown="country"))
    assert "user_ids" not in text
    assert "distinct_id" not in text

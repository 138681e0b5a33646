"""Lists of promoted tables: pages, cursors, order, filters, ETags."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_assets import registry
from analytics_assets.api.app import create_app
from analytics_assets.core.small_cells import protect
from analytics_assets_tests.api.conftest import PATIENT, Production, client_of, served
from analytics_assets_tests.api.filled import TABLES, TIMES, promote, rows_of

BIRTHS = "/api/v1/births"
DAILY = next(table for table in TABLES if table.key == "births/agg_state_daily")
MONTHLY = next(table for table in TABLES if table.key == "births/agg_municipality_monthly")
YEARLY = next(table for table in TABLES if table.key == "births/agg_state_yearly")


def pages(client: httpx.Client, path: str, **asked: Any) -> list[dict[str, Any]]:
    """All pages of a list, by the cursor."""
    found = [client.get(path, params=asked).raise_for_status().json()]
    while found[-1]["next_cursor"]:
        asked["cursor"] = found[-1]["next_cursor"]
        found.append(client.get(path, params=asked).raise_for_status().json())
    return found


def all_rows(client: httpx.Client, path: str, **asked: Any) -> list[dict[str, Any]]:
    return [row for page in pages(client, path, **asked) for row in page["data"]]


@pytest.mark.parametrize("sort", [None, "total_births", "-cesarean_rate", "-state_name", "month"])
def test_the_cursor_and_the_offset_give_the_same_rows_in_the_same_order(
    client: httpx.Client, sort: str | None
) -> None:
    asked = {"sort": sort} if sort else {}
    path = f"{BIRTHS}/municipality/monthly"
    whole = client.get(path, params={"limit": 1000, **asked}).json()
    assert whole["total"] == len(whole["data"]) == 27
    assert whole["next_cursor"] is None
    for limit in (1, 4, 27):
        assert all_rows(client, path, limit=limit, **asked) == whole["data"]
    by_offset = [
        row
        for offset in range(0, 30, 4)
        for row in client.get(path, params={"limit": 4, "offset": offset, **asked}).json()["data"]
    ]
    assert by_offset == whole["data"]


def test_rows_are_in_the_order_that_was_asked_for(client: httpx.Client) -> None:
    path = f"{BIRTHS}/municipality/monthly"
    keys = [(r["year"], r["month"], r["municipality_code"]) for r in all_rows(client, path)]
    assert keys == sorted(keys)
    rows = all_rows(client, path, sort="-total_births")
    order = [(-r["total_births"], r["year"], r["month"], r["municipality_code"]) for r in rows]
    assert order == sorted(order)


def test_values_are_those_of_the_view(client: httpx.Client, production: Production) -> None:
    (shown, *_) = all_rows(client, f"{BIRTHS}/state/yearly", state_abbreviation="SP", year=2023)
    engine = sa.create_engine(production.reader)
    with engine.connect() as connection:
        sql = "select * from births.agg_state_yearly where state_code = '35' and year = 2023"
        row = connection.execute(sa.text(sql)).mappings().one()
    engine.dispose()
    assert {name: shown[name] for name in row} == {
        name: float(value) if name.endswith(("rate", "pct")) or name.startswith("mean") else value
        for name, value in row.items()
    }


def test_the_briefs_change_to_the_year_before(client: httpx.Client, production: Production) -> None:
    engine = sa.create_engine(production.reader)
    with engine.connect() as connection:
        lag = "lag(total_births) over (partition by state_name order by year)"
        sql = (
            f"select state_name, year, {lag} as prev_year,"
            f" round(100.0 * (total_births - {lag}) / {lag}, 2) as yoy_change_pct"
            " from agg_state_yearly order by year, state_code"
        )
        expected = [tuple(row) for row in connection.execute(sa.text(sql))]
    engine.dispose()
    names = ("state_name", "year", "prev_year", "yoy_change_pct")
    rows = all_rows(client, f"{BIRTHS}/state/yearly")
    assert [tuple(row[name] for name in names) for row in rows] == [
        (*row[:3], None if row[3] is None else float(row[3])) for row in expected
    ]
    assert any(row["prev_year"] for row in rows)


def test_the_briefs_mean_of_seven_days(client: httpx.Client, production: Production) -> None:
    engine = sa.create_engine(production.reader)
    with engine.connect() as connection:
        sql = (
            "select region_name, date, avg(total_births) over (partition by region_name"
            " order by date rows between 6 preceding and current row) as ma_7day"
            " from agg_region_daily order by date, region_code"
        )
        expected = [tuple(row) for row in connection.execute(sa.text(sql))]
    engine.dispose()
    # Also where the page begins in the middle.
    rows = all_rows(client, f"{BIRTHS}/region/daily", date_from="2024-01-05")
    assert [(r["region_name"], r["date"], r["ma_7day"]) for r in rows] == [
        (name, day.isoformat(), round(float(mean), 2))
        for name, day, mean in expected
        if day.isoformat() >= "2024-01-05"
    ]


def test_what_is_withheld_is_null(own_production: Production, writer: sa.Engine) -> None:
    """And so is every mean and change that it would take part in; rows may be left out, too."""
    births = [table for table in TABLES if table.domain == "births"]
    withholding = protect(
        [
            t
            if not t.publish or not t.measures
            # Histograms are not promoted then.
            else replace(t, publish=replace(t.publish, threshold=5) if t.measures.total else None)
            for t in births
        ]
    )
    published = {(t.domain, t.published_name): t for t in withholding if t.publish}
    daily, yearly = published["births", DAILY.name], published["births", YEARLY.name]
    assert daily.withholds
    gone, hidden = TIMES["day"][9][0], TIMES["year"][1][0]
    with writer.begin() as connection:
        promote(connection, daily, [row for row in rows_of(daily) if row["date"] != gone])
        withheld = dict.fromkeys(m.name for m in yearly.measures.measures)  # type: ignore[union-attr]
        promote(
            connection,
            yearly,
            [r | withheld if r["year"] == hidden else r for r in rows_of(yearly)],
        )
    app = create_app(withholding, registry.routers(), own_production.reader, PATIENT)
    with served(app) as url, httpx.Client(base_url=url) as client:
        years = all_rows(client, f"{BIRTHS}/state/yearly", state_code="12")
        assert [row["total_births"] is None for row in years] == [False, True, False, False]
        assert [row["yoy_change_pct"] is None for row in years] == [True, True, True, False]
        assert years[1]["cesarean_rate"] is None
        derived = all_rows(client, "/api/v1/tables/agg_state_yearly/rows", state_code="12")
        assert derived == [{name: row[name] for name in derived[0]} for row in years]
        days = all_rows(client, f"{BIRTHS}/state/daily", state_code="12")
        unknown = [row["date"] for row in days if row["ma_7day"] is None]
        assert unknown == [(gone + timedelta(days=n)).isoformat() for n in range(1, 7)]


def test_a_day_without_births_counts_in_the_mean(
    own_production: Production, writer: sa.Engine
) -> None:
    rows = [
        row
        for row in rows_of(DAILY)
        if row["state_code"] == "12" or row["date"] not in {d for (d,) in TIMES["day"][3:6]}
    ]
    with writer.begin() as connection:
        promote(connection, DAILY, rows)
    with client_of(own_production, domain="births") as client:
        shown = all_rows(client, f"{BIRTHS}/state/daily", state_code="35")
    counted = {
        row["date"].isoformat(): row["total_births"] for row in rows if row["state_code"] == "35"
    }
    last = [day.isoformat() for (day,) in TIMES["day"]][1:8]
    seventh = next(row for row in shown if row["date"] == last[-1])
    assert seventh["ma_7day"] == round(sum(counted.get(day, 0) for day in last) / 7, 2)


@pytest.mark.parametrize(
    ("path", "asked", "kept"),
    [
        ("state/yearly", {"date_from": "2023-05-17"}, {2023, 2024}),
        ("state/yearly", {"date_to": "2022-05-17"}, {2021, 2022}),
        ("state/yearly", {"date_from": "2024-01-01", "date_to": "2023-01-01"}, set()),
        (
            "municipality/monthly",
            {"date_from": "2023-12-31", "date_to": "2024-01-01"},
            {2023, 2024},
        ),
        ("municipality/monthly", {"year": 2023, "month": 2}, {2023}),
    ],
)
def test_dates_filter_periods_that_have_a_day_between_them(
    client: httpx.Client, path: str, asked: dict[str, Any], kept: set[int]
) -> None:
    found = pages(client, f"{BIRTHS}/{path}", limit=2, **asked)
    assert {row["year"] for page in found for row in page["data"]} == kept
    assert {page["total"] for page in found} == {sum(len(page["data"]) for page in found)}


def test_an_etag_holds_until_the_next_promotion(
    own_production: Production, writer: sa.Engine
) -> None:
    path = f"{BIRTHS}/state/yearly"
    with writer.begin() as connection:
        promote(connection, YEARLY, rows_of(YEARLY))
        promote(connection, DAILY, rows_of(DAILY))
    with client_of(own_production, domain="births") as client:
        first = client.get(path)
        again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        other = client.get(
            path, params={"limit": 3}, headers={"If-None-Match": again.headers["etag"]}
        )
        assert other.status_code == 200
        mine = first.headers["etag"]
        for tags in (f'"x.1", W/{mine} , "y"', f'"x",{mine}', "*"):
            known = client.get(path, headers={"If-None-Match": tags})
            assert (known.status_code, known.headers["etag"]) == (304, mine), tags
        for tags in ('"x.1", "y"', mine.strip('"'), mine.replace(".", ".1"), '"*"', ""):
            assert client.get(path, headers={"If-None-Match": tags}).status_code == 200, tags
        with writer.begin() as connection:
            promote(connection, DAILY, rows_of(DAILY, change=1))
        tag = {"If-None-Match": first.headers["etag"]}
        assert client.get(path, headers=tag).status_code == 304
        with writer.begin() as connection:
            promote(connection, YEARLY, rows_of(YEARLY, change=1)[:-1])
        changed = client.get(path, headers=tag)
        assert changed.status_code == 200
        assert changed.json()["total"] == first.json()["total"] - 1
        assert changed.headers["etag"] != first.headers["etag"]


def test_paging_by_cursor_while_partitions_are_replaced_loses_and_doubles_no_row(
    own_production: Production, writer: sa.Engine
) -> None:
    """Months are replaced all the time; in one of them a place comes and goes."""
    rows = rows_of(MONTHLY)
    passing = rows[len(rows) // 2]
    key = ("year", "month", "municipality_code")

    def replace(turn: int) -> None:
        changed = rows_of(MONTHLY, change=turn)
        if turn % 2:
            changed = [r for r in changed if [r[n] for n in key] != [passing[n] for n in key]]
        with writer.begin() as connection:
            for year, month in TIMES["month"]:
                own = [r for r in changed if (r["year"], r["month"]) == (year, month)]
                promote(connection, MONTHLY, own, f"{year}-{month:02}")

    replace(0)
    stop, turns = threading.Event(), [0]

    def keep_replacing() -> None:
        while not stop.is_set():
            turns[0] += 1
            replace(turns[0])

    steady = {tuple(r[n] for n in key) for r in rows} - {tuple(passing[n] for n in key)}
    thread = threading.Thread(target=keep_replacing)
    with client_of(own_production, domain="births") as client:
        thread.start()
        try:
            read, before = 0, turns[0]
            while read < 4 or turns[0] < before + 5:
                found = all_rows(client, f"{BIRTHS}/municipality/monthly", limit=2)
                keys = [tuple(r[n] for n in key) for r in found]
                assert len(keys) == len(set(keys))
                assert set(keys) >= steady
                read += 1
        finally:
            stop.set()
            thread.join()


def test_a_page_never_sees_half_a_promotion(own_production: Production, writer: sa.Engine) -> None:
    """Total and rows of a page are of one moment, also while the view itself is replaced."""
    stop = threading.Event()

    def change() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            with writer.begin() as connection:
                if turn % 3 == 0:
                    connection.exec_driver_sql(
                        "comment on table births_store.agg_state_yearly is 'another shape'"
                    )
                promote(connection, YEARLY, rows_of(YEARLY)[: 4 + turn % 5])

    with writer.begin() as connection:
        promote(connection, YEARLY, rows_of(YEARLY))
    thread = threading.Thread(target=change)
    with client_of(own_production, domain="births") as client:
        thread.start()
        try:
            for _ in range(40):
                page = client.get(f"{BIRTHS}/state/yearly").raise_for_status().json()
                assert page["total"] == len(page["data"]) >= 4
        finally:
            stop.set()
            thread.join()


def test_a_cursor_belongs_to_its_list_filters_and_order(client: httpx.Client) -> None:
    path = f"{BIRTHS}/municipality/monthly"
    cursor = client.get(path, params={"limit": 2, "sort": "month"}).json()["next_cursor"]
    for asked in (
        {},
        {"sort": "-month"},
        {"sort": "month", "state_code": "12"},
        {"sort": "month", "offset": 3},
    ):
        answer = client.get(path, params={"cursor": cursor, **asked})
        assert answer.status_code == 422, asked
        assert answer.json()["error"].startswith(("cursor: ", "offset: "))
    other = client.get(f"{BIRTHS}/state/monthly", params={"cursor": cursor, "sort": "month"})
    assert other.status_code == 422


HOSTILE = st.one_of(
    st.sampled_from(
        [
            "'",
            "' or 1=1 --",
            '"; drop table x; --',
            "%",
            "_",
            "%%",
            "\\",
            "a\\'b",
            "%(key)s",
            "{value}",
        ]
    ),
    st.text(max_size=60),
    st.integers().map(str),
    st.floats().map(str),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(
        [
            "state_name",
            "municipality_code",
            "year",
            "month",
            "date_from",
            "limit",
            "offset",
            "cursor",
        ]
        + ["sort", "unknown"]
    ),
    value=HOSTILE,
)
def test_no_parameter_injects_or_breaks_anything(
    client: httpx.Client, name: str, value: str
) -> None:
    answer = client.get(f"{BIRTHS}/municipality/monthly", params={name: value})
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 422:
        assert answer.json()["error"].startswith(f"{name}: ")
        assert answer.json().keys() == {"success", "error", "error_code"}
    elif name in ("state_name", "municipality_code"):
        assert answer.json()["total"] == 0


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(cursor=st.binary(max_size=60))
def test_a_forged_cursor_is_refused(client: httpx.Client, cursor: bytes) -> None:
    text = base64.urlsafe_b64encode(cursor).decode()
    answer = client.get(f"{BIRTHS}/state/yearly", params={"cursor": text})
    assert answer.status_code in ((200,) if not text else (422,))


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"offset": -1}, "offset"),
        ({"offset": 10**30}, "offset"),
        ({"year": 10**12}, "year"),
        ({"date_from": "2024-02-30"}, "date_from"),
        ({"date_to": "1704067200"}, "date_to"),
        ({"sort": "patient_id"}, "sort"),
        ({"colour": "red"}, "colour"),
        ({"state_code": "\x00"}, "state_code"),
    ],
)
def test_a_bad_parameter_is_named(client: httpx.Client, asked: dict[str, Any], named: str) -> None:
    answer = client.get(f"{BIRTHS}/state/yearly", params=asked)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(f"{named}: ")


def test_names_with_quotes_and_wildcards_are_found_as_they_are(client: httpx.Client) -> None:
    path = f"{BIRTHS}/municipality/yearly"
    assert {
        r["municipality_code"] for r in all_rows(client, path, municipality_name="Ouro d'Oeste")
    } == {"3534708"}
    facilities = f"{BIRTHS}/cnes/yearly"
    assert all_rows(client, facilities, facility_name="100% Mãe_Bebê")
    assert not all_rows(client, facilities, facility_name="100% Mãe%")


def test_every_promoted_aggregate_is_served(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    served = {path for path in paths if path.startswith(BIRTHS) and "{" not in path}
    aggregates = {t for t in TABLES if t.publish and t.domain == "births" and t.measures}
    assert len(served) == len(aggregates)
    for path in served:
        page = client.get(path, params={"limit": 1}).raise_for_status().json()
        assert page["total"] > 0
    missing = client.get(f"{BIRTHS}/planet/yearly")
    assert missing.status_code == 404
    assert "/nation/yearly" in missing.json()["error"]


def test_a_cursor_without_a_key_is_refused(client: httpx.Client) -> None:
    """Each place of a cursor in turn holds no value; only the sorted column may have none."""
    for sort, nullable in ((None, 0), ("cesarean_rate", 1)):
        asked = {"limit": 1} | ({"sort": sort} if sort else {})
        given = client.get(f"{BIRTHS}/state/yearly", params=asked).json()["next_cursor"]
        bound, *places = json.loads(base64.urlsafe_b64decode(given + "=="))
        for place in range(len(places)):
            holed = [bound, *(None if n == place else v for n, v in enumerate(places))]
            cursor = base64.urlsafe_b64encode(json.dumps(holed).encode()).decode().rstrip("=")
            answer = client.get(f"{BIRTHS}/state/yearly", params={**asked, "cursor": cursor})
            assert answer.status_code == (200 if place < nullable else 422)


@pytest.mark.parametrize("path", ["/healthz", f"{BIRTHS}/state/yearly", "/docs", "/nothing"])
def test_head_is_get_without_the_body(client: httpx.Client, path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert head.content == b""
    assert head.status_code == get.status_code
    for name in ("content-length", "content-type", "etag"):
        assert head.headers.get(name) == get.headers.get(name)
    assert client.head("/api/dashboard/analytics/data").status_code == 405

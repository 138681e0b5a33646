"""Every promoted table of every domain as a list, by its declaration alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_assets.api.app import create_app
from analytics_assets.api.filters import PAGING
from analytics_assets.core import calendar
from analytics_assets.core.columns import Column, Dimension, Measure, MeasureList
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Check, Publish, Table
from analytics_assets_tests.api.conftest import PATIENT, Production, served
from analytics_assets_tests.api.filled import TABLES, promote
from analytics_assets_tests.api.test_lists import YEARLY, all_rows, pages

V1 = "/api/v1"
PROMOTED = {f"{t.domain}.{t.published_name}": t for t in TABLES if t.publish}
DATES = ("date_from", "date_to")
every_table = pytest.mark.parametrize("name", PROMOTED)
Rows = list[dict[str, Any]]
Query = Callable[[str], list[Any]]


def path_of(name: str) -> str:
    return f"{V1}/tables/{name}/rows"


def sent(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.fixture(scope="session")
def whole(client: httpx.Client) -> Callable[[str], Rows]:
    """All rows of a table's list, in the order of its key."""
    known: dict[str, Rows] = {}

    def rows(name: str) -> Rows:
        if name not in known:
            known[name] = all_rows(client, path_of(name), limit=1000)
        return known[name]

    return rows


@pytest.fixture(scope="session")
def query(production: Production) -> Iterator[Query]:
    """Rows of a query on production, as its reader."""
    engine = sa.create_engine(production.reader)

    def rows(sql: str) -> list[Any]:
        with engine.connect() as connection:
            return list(connection.execute(sa.text(sql)))

    yield rows
    engine.dispose()


@pytest.fixture(scope="session")
def parameters(client: httpx.Client) -> Callable[[str], set[str]]:
    """What the documentation says a list can be asked by, beside its pages and its time."""
    paths = client.get("/openapi.json").json()["paths"]
    return lambda name: (
        {p["name"] for p in paths[path_of(name)]["get"]["parameters"]} - {*PAGING, *DATES}
    )


@every_table
def test_pages_give_each_row_once(
    client: httpx.Client, whole: Callable[[str], Rows], query: Query, name: str
) -> None:
    """And every readable column of it, but none that is left out of production."""
    rows, table = whole(name), PROMOTED[name]
    ((count,),) = query(f"select count(*) from {table.domain}.{quoted(table.published_name)}")
    limit = max(1, count // 4)
    found = pages(client, path_of(name), limit=limit)
    assert len(found) > 1
    assert {page["total"] for page in found} == {count}
    assert [row for page in found for row in page["data"]] == rows
    keys = {tuple(row[column] for column in table.unique_columns) for row in rows}
    assert len(keys) == len(rows) == count > 1
    assert list(rows[0]) == [column.name for column in table.promoted.all_columns]
    left_out = table.publish and table.publish.personal == "left out"
    assert not left_out or not {c.name for c in table.columns if c.personal} & rows[0].keys()


@every_table
def test_each_filter_keeps_the_rows_with_that_value(
    client: httpx.Client,
    whole: Callable[[str], Rows],
    parameters: Callable[[str], set[str]],
    name: str,
) -> None:
    rows, table = whole(name), PROMOTED[name]
    axes = {column.name for axis in table.grain for column in axis.columns}
    assert parameters(name) >= {*table.unique_columns, *axes}
    for column in sorted(parameters(name)):
        value = next(row[column] for row in rows[len(rows) // 2 :] if row[column] is not None)
        expected = [row for row in rows if row[column] == value]
        page = client.get(path_of(name), params={column: sent(value), "limit": 1000}).json()
        assert page["total"] == len(expected), column
        assert page["data"] == expected[:1000]


@every_table
def test_a_range_of_days_keeps_the_periods_that_have_one(
    client: httpx.Client, whole: Callable[[str], Rows], query: Query, name: str
) -> None:
    table = PROMOTED[name]
    if table.time is None:
        refused = client.get(path_of(name), params={"date_from": "2024-01-01"})
        assert refused.status_code == 422
        assert refused.json()["error"].startswith("date_from: ")
        return
    key = ", ".join(map(quoted, table.unique_columns))
    view = f"{table.domain}.{quoted(table.published_name)}"
    firsts = [row[0] for row in query(f"select {table.time} from {view} order by {key}")]
    middle = sorted(firsts)[len(firsts) // 2]
    day = last_day(table, middle)
    for asked, kept in (
        ({"date_from": day}, lambda first: first >= middle),
        ({"date_to": day}, lambda first: first <= middle),
        ({"date_from": day, "date_to": day}, lambda first: first == middle),
    ):
        expected = [row for row, first in zip(whole(name), firsts, strict=True) if kept(first)]
        assert all_rows(client, path_of(name), limit=1000, **asked) == expected


def last_day(table: Table, first: date) -> date:
    """The last day of the year, month or week that begins so; of a row with a date, that day."""
    axis = next((axis.name for axis in table.grain if axis.date_sql), "day")
    return following(axis, first) - timedelta(days=1)


def following(axis: str, first: date) -> date:
    """The first day of the next one."""
    months = {"year": 12, "quarter": 3, "month": 1}
    if axis in months:
        later = first.month - 1 + months[axis]
        return date(first.year + later // 12, later % 12 + 1, 1)
    return first + timedelta(days=7 if axis == "week" else 1)


@every_table
def test_columns_are_chosen_and_rows_sorted_by_any(
    client: httpx.Client, whole: Callable[[str], Rows], name: str
) -> None:
    """Also where the cursor goes by others than those that are shown."""
    rows = whole(name)
    columns = list(rows[0])
    one, other = columns[-1], columns[len(columns) // 2]
    limit = max(1, len(rows) // 3)
    for sort, chosen in ((one, [other]), (f"-{other}", [one, columns[0]])):
        found = all_rows(client, path_of(name), limit=limit, sort=sort, columns=",".join(chosen))
        column = sort.removeprefix("-")
        in_order = sorted(
            (row for row in rows if row[column] is not None),
            key=lambda row: row[column],
            reverse=sort.startswith("-"),
        )
        in_order += [row for row in rows if row[column] is None]
        assert [list(row) for row in found] == [list(dict.fromkeys(chosen))] * len(rows)
        if sort == one and isinstance(rows[0][one], str):
            continue  # the order of texts is the database's
        assert sorted(map(str, found)) == sorted(
            str({name: row[name] for name in chosen}) for row in in_order
        )
        if column in chosen:
            assert [row[column] for row in found] == [row[column] for row in in_order]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("total_brths", "name 1 is no column here; did you mean total_births?"),
        ("year,zzz", "name 2 is no column here; there are year, state_code, "),
        ("year, state_code", "name 2 is no column here; did you mean state_code?"),
        ("", "name 1 is no column here; "),
        ("prev_year", "name 1 is no column here; "),
    ],
)
def test_a_column_that_is_none_is_told_with_the_nearest(
    client: httpx.Client, columns: str, told: str
) -> None:
    answer = client.get(path_of("births.agg_state_yearly"), params={"columns": columns})
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(f"columns: {told}")
    assert "zzz" not in answer.text, "what was sent may be somebody's data"


def test_what_a_brief_computes_beside_is_chosen_like_a_column(client: httpx.Client) -> None:
    path = f"{V1}/births/state/yearly"
    rows = all_rows(client, path)
    for chosen in (["yoy_change_pct"], ["year", "prev_year"], ["total_births"]):
        found = all_rows(client, path, columns=",".join(chosen), limit=3)
        assert found == [{name: row[name] for name in chosen} for row in rows]


def test_an_etag_is_of_the_columns_that_were_asked_for(client: httpx.Client) -> None:
    path = path_of("births.agg_state_yearly")
    whole = client.get(path)
    tag = {"If-None-Match": whole.headers["etag"]}
    assert client.get(path, headers=tag).status_code == 304
    assert client.get(path, headers=tag, params={"columns": "year"}).status_code == 200


def test_a_table_is_found_with_and_without_its_schema(client: httpx.Client) -> None:
    asked = {"year": 2023, "columns": "year,total_births", "limit": 2}
    for end in ("", "/schema", "/rows"):
        params = asked if end == "/rows" else {}
        with_it, without = (
            client.get(f"{V1}/tables/{name}{end}", params=params).raise_for_status()
            for name in ("births.agg_state_yearly", "agg_state_yearly")
        )
        assert with_it.json() == without.json()
        assert with_it.headers.get("etag") == without.headers.get("etag")
    refused = client.get(f"{V1}/tables/agg_state_yearly/rows", params={"colour": "red"})
    assert (refused.status_code, refused.json()["error"]) == (
        422,
        "colour: there is no such parameter",
    )


def test_a_wrong_word_is_told_its_nearest(client: httpx.Client) -> None:
    """Of a hundred columns to sort by nobody reads the list."""
    answer = client.get(path_of("births.agg_state_yearly"), params={"sort": "totl_births"})
    told = "sort: there is no value 'totl_births'; did you mean 'total_births'?"
    assert (answer.status_code, answer.json()["error"]) == (422, told)


@pytest.mark.parametrize("body", [b"[1", b"\xff\xfe"])
def test_what_is_no_json_is_said_so(client: httpx.Client, body: bytes) -> None:
    json = {"Content-Type": "application/json"}
    answer = client.post("/api/dashboard/analytics/data", content=body, headers=json)
    assert (answer.status_code, answer.json()["error"]) == (422, "body: cannot be read as JSON")


@pytest.mark.parametrize("end", ["", "/schema", "/rows"])
def test_a_table_that_is_none_is_told_with_those_that_are(client: httpx.Client, end: str) -> None:
    answer = client.get(f"{V1}/tables/births.agg_state_year{end}")
    assert answer.status_code == 404
    told = answer.json()["error"]
    assert told.startswith("There is no such table; did you mean births.agg_state_yearly? There ")
    assert all(name in told for name in PROMOTED)


def test_a_name_of_two_tables_is_told_with_both(production: Production) -> None:
    twin = replace(YEARLY, publish=Publish(name="dim_bank"))
    tables = [twin if table is YEARLY else table for table in TABLES]
    app = create_app(tables, (), production.reader, PATIENT)
    with served(app) as url, httpx.Client(base_url=url) as client:
        for end in ("", "/schema", "/rows"):
            answer = client.get(f"{V1}/tables/dim_bank{end}")
            assert answer.status_code == 404
            error = answer.json()["error"]
            assert error == "There are bank_kpis.dim_bank and births.dim_bank: say which."
        assert client.get(path_of("bank_kpis.dim_bank")).json()["total"] > 0


def test_every_row_has_a_name_of_its_own_in_the_documentation(client: httpx.Client) -> None:
    """A client that is generated from it has readable classes."""
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert "BirthsAggStateYearly" in schemas
    assert "BirthsAggStateYearlyWithPrevYearYoyChangePct" in schemas
    assert not [name for name in schemas if "__" in name]


COUNTED = MeasureList((Measure("births", "count(*)", "Births.", "births"),))
AXES = (calendar.day(), calendar.week(), calendar.month(), calendar.quarter(), calendar.year())
FIRST, DAYS = date(2022, 12, 20), 800


def toy(name: str, **declared: Any) -> Table:
    return Table(
        f"toys/{name}",
        layer="aggregates",
        description="A toy.",
        sql="select 1",
        publish=Publish(),
        checks=(Check("counted", "Counted.", "select 1 where false", "Count again."),),
        proven_by=("counted",) if "measures" in declared else (),
        **declared,
    )


def periods(axis: Dimension) -> dict[date, dict[str, Any]]:
    """First day -> columns, of all days of a stretch of time."""
    found: dict[date, dict[str, Any]] = {}
    for day in (FIRST + timedelta(days=n) for n in range(DAYS)):
        quarter = (day.month - 1) // 3
        first = {
            "day": day,
            "week": day - timedelta(days=day.weekday()),
            "month": day.replace(day=1),
            "quarter": date(day.year, quarter * 3 + 1, 1),
            "year": date(day.year, 1, 1),
        }[axis.name]
        parts = {"year": day.year, "month": day.month, "quarter": quarter + 1}
        found[first] = {c.name: parts.get(c.name, first) for c in axis.columns}
        if axis.name in ("day", "week"):
            found[first] = {axis.columns[0].name: first}
    return found


@pytest.fixture(scope="module")
def toys(postgres: str) -> Iterator[httpx.Client]:
    """A table of each axis of time, one without a key, and one with columns of unlucky names."""
    from analytics_assets.production.promotion import production_engine
    from analytics_assets_tests.api.conftest import empty_production

    unlucky = Dimension(
        "place",
        tuple(Column(n, "text", "A word.", nullable=False) for n in ("sort", "columns", "group")),
        keys=3,
    )
    by_time = [toy(f"by_{axis.name}", grain=(axis,), measures=COUNTED) for axis in AXES]
    named = toy("named", grain=(unlucky,), measures=COUNTED)
    number = Column("number", "integer", "A number.")
    keyless = replace(toy("keyless", columns=(number,)), layer="dimensions")
    with empty_production(postgres) as found:
        with production_engine(found.promoter) as engine, engine.begin() as connection:
            for axis, table in zip(AXES, by_time, strict=True):
                rows = [{**columns, "births": 1} for columns in periods(axis).values()]
                promote(connection, table, rows)
            rows = [{"sort": "a", "columns": c, "group": "g", "births": 1} for c in "xyz"]
            promote(connection, named, rows)
            promote(connection, keyless, [{"number": n} for n in (2, 2, None, 1)])
        app = create_app([*by_time, named, keyless], (), found.reader, PATIENT)
        with served(app) as url, httpx.Client(base_url=url, timeout=30) as client:
            yield client


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    axis=st.sampled_from(AXES),
    first=st.integers(-400, DAYS + 400),
    length=st.integers(-3, 400),
)
def test_a_period_counts_if_it_has_a_day_in_the_range(
    toys: httpx.Client, axis: Dimension, first: int, length: int
) -> None:
    begin, end = FIRST + timedelta(days=first), FIRST + timedelta(days=first + length)
    expected = [
        columns
        for start, columns in sorted(periods(axis).items())
        if start <= end and following(axis.name, start) > begin
    ]
    if end < begin:
        # Nothing but the period that holds both has no day between them.
        expected = []
    asked = {"date_from": begin, "date_to": end, "limit": 1000}
    found = all_rows(toys, path_of(f"toys.by_{axis.name}"), **asked)
    shown = [{n: v for n, v in row.items() if n != "births"} for row in found]
    if end < begin:
        assert len(shown) <= 1
    else:
        assert shown == [{n: sent_json(v) for n, v in row.items()} for row in expected]


def sent_json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
@pytest.mark.parametrize("axis", [axis.name for axis in AXES])
def test_the_ends_of_time_are_days(toys: httpx.Client, axis: str, day: str) -> None:
    for name in DATES:
        answer = toys.get(path_of(f"toys.by_{axis}"), params={name: day})
        everything = (name == "date_from") == (day < "2000")
        assert (answer.json()["total"] > 0) is everything


def test_a_column_that_is_called_as_a_parameter_is_asked_for_by_another_name(
    toys: httpx.Client,
) -> None:
    path = path_of("toys.named")
    asked = {"columns_is": "y", "sort_is": "a", "group": "g", "columns": "columns"}
    assert all_rows(toys, path, **asked) == [{"columns": "y"}]
    assert len(all_rows(toys, path, sort="-columns", limit=1)) == 3


def test_rows_without_a_key_are_read_by_their_place(toys: httpx.Client) -> None:
    path = path_of("toys.keyless")
    found = [toys.get(path, params={"limit": 1, "offset": n}).json() for n in range(4)]
    assert [row["number"] for page in found for row in page["data"]] == [1, 2, 2, None]
    assert {page["next_cursor"] for page in found} == {None}
    refused = toys.get(path, params={"cursor": "x"})
    assert refused.json()["error"] == "cursor: there is no such parameter"

"""Questions over HTTP: answers, refusals, formats; equal to what the single births say."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import date
from typing import Any

import httpx
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings

from analytics_assets.api.formats import MEDIA_TYPES
from analytics_assets.core.question import Question
from analytics_assets.production.promotion import production_engine
from analytics_assets_tests import asking
from analytics_assets_tests.api.conftest import Production, client_of, empty_production
from analytics_assets_tests.api.filled import promote
from analytics_assets_tests.asking import holds, in_duckdb, questions
from analytics_assets_tests.births.asked import CATALOGUE, FACTS, METRICS, built_births

ASK = "/api/v1/ask"
OFFERS = [offer for subject in CATALOGUE.subjects for offer in subject.offers]


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    """700 births, and their aggregates."""
    with closing(built_births(700)) as found:
        yield found


@pytest.fixture(scope="module")
def asked(postgres: str, session: Any) -> Iterator[httpx.Client]:
    """A client of the API over a production that holds these aggregates."""
    with empty_production(postgres) as found:
        fill(found, session)
        with client_of(found, domain="births") as client:
            yield client


def fill(found: Production, session: Any) -> None:
    with production_engine(found.promoter) as engine, engine.begin() as connection:
        for offer in OFFERS:
            rows = session.execute(f"select * from {offer.table.sql_name}")
            names = [column[0] for column in rows.description]
            listed = [dict(zip(names, row, strict=True)) for row in rows.fetchall()]
            promote(connection, offer.table, listed)


def test_an_answer_is_what_the_births_say(asked: httpx.Client, session: Any) -> None:
    """Production's statement, its names, its choice: all as a client has them."""
    standing = asking.counted(session, CATALOGUE)
    seen: Counter[str] = Counter()

    def over_http(sql: str, values: Mapping[str, Any]) -> list[tuple]:
        page = asked.get(ASK, params={"q": current[-1]}).raise_for_status().json()
        seen[page["table"]] += 1
        names = [column["name"] for column in page["columns"]]
        types = {column["name"]: column["type"] for column in page["columns"]}
        return [tuple(_value(row[name], types[name]) for name in names) for row in page["data"]]

    current: list[str] = []

    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
    @given(question=questions(FACTS, METRICS))
    def law(question: Question) -> None:
        current.append(str(question))
        rows = in_duckdb(session)
        table = holds(FACTS, CATALOGUE, question, standing, lambda sql: rows(sql, {}), over_http)
        if not table:
            refusal = asked.get(ASK, params={"q": str(question)})
            assert refusal.status_code == 422
            assert refusal.json()["error_code"] in ("cannot_answer", "invalid_value")

    law()
    assert len(seen) > 3, seen  # by chance: of 120 questions they were six once


def _value(value: Any, type_: str) -> Any:
    return date.fromisoformat(value) if type_ == "date" and value else value


def test_an_answer_says_who_gave_it(asked: httpx.Client) -> None:
    page = asked.get(ASK, params={"q": "total_births, cesarean_rate by quarter over 2023"}).json()
    assert page["table"] == "births.agg_monthly"
    assert page["question"] == "total_births, cesarean_rate by quarter over 2023"
    assert page["state"] == "unknown"  # nobody looks what is behind here
    assert page["as_of"]
    assert page["version"]
    assert [row["quarter"] for row in page["data"]] == [f"2023-Q{n}" for n in (1, 2, 3, 4)]
    rate = next(column for column in page["columns"] if column["name"] == "cesarean_rate")
    assert rate["formula"] == "100 * cesarean_count / cesarean_known, of sums"
    assert rate["unit"] == "percent"
    # The parts of a question are the question, as parameters or as a body.
    parts = {"measures": "total_births, cesarean_rate", "by": "quarter", "over": "2023"}
    assert asked.get(ASK, params=parts).json() == page
    assert asked.post(ASK, json=parts).json() == page
    # Who has this version has this answer.
    tag = asked.get(ASK, params=parts).headers["etag"]
    assert asked.get(ASK, params=parts, headers={"If-None-Match": tag}).status_code == 304
    # Of no rows, the version is told, too.
    none = asked.get(ASK, params={"q": "total_births where state_code = 99"}).json()
    assert none["data"] == []
    assert none["version"]


@pytest.mark.parametrize(
    ("parameters", "code", "said"),
    [
        ({"q": "total_births by week, cnes_code"}, "cannot_answer", "One that can be answered:"),
        ({"q": "total_birth by week"}, "invalid_value", "did you mean 'total_births'?"),
        ({"q": "total_births", "by": "week"}, "invalid_value", "not both"),
        ({}, "invalid_value", "say what is asked for"),
        ({"q": "total_births", "what": "1"}, "invalid_value", "what: there is no such parameter"),
        ({"measures": "total_births", "limit": "0"}, "invalid_value", "limit"),
        ({"q": "total_births where state_code = 'x'; drop"}, "invalid_value", "question"),
    ],
)
def test_a_refusal_is_one_sentence(
    asked: httpx.Client, parameters: dict[str, str], code: str, said: str
) -> None:
    refusal = asked.get(ASK, params=parameters)
    assert refusal.status_code == 422
    assert refusal.json()["error_code"] == code
    assert said in refusal.json()["error"]


def test_nothing_from_a_question_is_spliced(asked: httpx.Client) -> None:
    """What is no name of a declaration is a value, whatever stands in it."""
    for value in ("x' or '1' = '1", "%(limit)s", "%s", '";drop table x--', "Rio %' _ $1"):
        told = value.replace("'", "''")
        page = asked.get(ASK, params={"q": f"total_births where state_code = '{told}'"})
        assert page.status_code == 200, page.text
        assert page.json()["data"] == []


LIST = "/api/v1/tables/births.agg_state_monthly/rows"


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        (ASK, {"q": "total_births, cesarean_rate by day, state_name order -cesarean_rate"}),
        (
            LIST,
            {"sort": "-cesarean_rate", "columns": "state_code,total_births,cesarean_rate,month"},
        ),
    ],
)
def test_every_format_has_the_same_rows(
    asked: httpx.Client, path: str, parameters: dict[str, str]
) -> None:
    """And all of them, where no limit is given."""
    more = {"limit": "1000"} if path == LIST else {}
    page = asked.get(path, params={**parameters, **more}).json()
    rows, names = page["data"], list(page["data"][0])
    found = {
        name: asked.get(path, params={**parameters, "format": name}).raise_for_status()
        for name in MEDIA_TYPES
    }
    for name, answer in found.items():
        assert answer.headers["content-type"].split(";")[0] == MEDIA_TYPES[name]
        assert answer.headers["content-disposition"].endswith(f'.{name}"')
        assert answer.headers["etag"]
    read = {
        "parquet": pyarrow.parquet.read_table(io.BytesIO(found["parquet"].content)),
        "arrow": pyarrow.ipc.open_stream(found["arrow"].content).read_all(),
    }
    for table in read.values():
        assert table.column_names == names
        assert [
            {n: v.isoformat() if hasattr(v, "isoformat") else v for n, v in row.items()}
            for row in table.to_pylist()
        ] == rows
    told = list(csv.DictReader(io.StringIO(found["csv"].text)))
    assert [
        {name: "" if value is None else str(value) for name, value in row.items()} for row in rows
    ] == told
    assert (
        len(asked.get(path, params={**parameters, "format": "csv", "limit": "3"}).text.split()) > 3
    )


def test_a_file_of_nothing_has_its_columns(asked: httpx.Client) -> None:
    nothing = {"q": "total_births by state_code where state_code = 99", "format": "parquet"}
    answer = asked.get(ASK, params=nothing)
    assert answer.status_code == 200, answer.text
    table = pyarrow.parquet.read_table(io.BytesIO(answer.content))
    assert (table.column_names, table.num_rows) == (["state_code", "total_births"], 0)
    listed = asked.get(LIST, params={"state_code": "99", "format": "csv"})
    assert listed.text.startswith("year,month,state_code")
    assert len(listed.text.splitlines()) == 1


def test_metrics_say_what_can_be_asked(asked: httpx.Client) -> None:
    page = asked.get("/api/v1/metrics").json()
    known = {metric["name"]: metric for metric in page["data"]}
    assert known["cesarean_rate"]["formula"] == "100 * cesarean_count / cesarean_known, of sums"
    assert known["total_births"]["formula"] == "sum of count(*)"
    assert "residence.state_code" in known["total_births"]["by"]
    assert "births.agg_cnes_yearly" in known["total_births"]["tables"]
    (one,) = asked.get("/api/v1/metrics/cesarean_rate").json()
    assert one == known["cesarean_rate"]
    none = asked.get("/api/v1/metrics/cesarian_rate")
    assert none.status_code == 404
    assert "did you mean 'cesarean_rate'?" in none.json()["error"]
    assert "Wilson" in asked.get("/api/v1/rates").json()["interval"]

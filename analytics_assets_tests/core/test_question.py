"""The words of a question: read, refused in a sentence, and written as they were read."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_assets.core.catalogue import Catalogue
from analytics_assets.core.question import Condition, Question, QuestionError, read, read_parts
from analytics_assets.core.resolver import CannotAnswer, Standing, resolve
from analytics_assets.core.times import TIMES, period, span
from analytics_assets_tests.toy import Memory, toy_tables

TOY = Catalogue(toy_tables(Memory()))
ROWS = {
    "toy/agg_shop_daily": Standing(900), "toy/agg_shop_monthly": Standing(90),
    "toy/agg_weekly": Standing(50), "toy/agg_yearly": Standing(2),
}  # fmt: skip


def refused(text: str, standing: dict[str, Standing] = ROWS) -> str:
    with pytest.raises((QuestionError, CannotAnswer)) as refusal:
        resolve(TOY, read(text), standing)
    return str(refusal.value)


def asked(text: str, standing: dict[str, Standing] = ROWS) -> str:
    return resolve(TOY, read(text), standing).offer.name


def test_all_parts_of_a_question_are_read() -> None:
    text = (
        "births, rate by state_abbreviation, quarter where name = Rio Branco and year >= 2020"
        " and code in (1, 'a, b') over 2019..2023-06 compare year_before, index to 2020-Q1"
        " with interval, standardised by age order by -rate limit 10 of births"
    )
    question = read(text)
    assert question == Question(
        ("births", "rate"),
        ("state_abbreviation", "quarter"),
        (
            Condition("name", "=", ("Rio Branco",)),
            Condition("year", ">=", ("2020",)),
            Condition("code", "in", ("1", "a, b")),
        ),
        "2019..2023-06",
        ("year_before", "index"),
        "2020-Q1",
        ("interval", "standardised"),
        "age",
        ("-rate",),
        10,
        "births",
    )
    assert read(str(question)) == question
    parts = {"measures": "births, rate", "where": "name = 'Rio Branco'", "limit": "10"}
    assert read_parts(parts) == read("births, rate where name = Rio Branco limit 10")


_names = st.from_regex(r"[a-z]{1,6}_[a-z]{1,6}(\.[a-z]{1,6}_)?", fullmatch=True)
_values = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=12)


@settings(max_examples=40)
@given(
    st.builds(
        Question,
        st.lists(_names, min_size=1, max_size=3, unique=True).map(tuple),
        st.lists(_names, max_size=3, unique=True).map(tuple),
        st.lists(
            st.one_of(
                st.builds(
                    Condition, _names, st.sampled_from(("=", "!=", ">=")), st.tuples(_values)
                ),
                st.builds(
                    Condition,
                    _names,
                    st.just("in"),
                    st.lists(_values, min_size=1, max_size=3).map(tuple),
                ),
            ),
            max_size=3,
        ).map(tuple),
        st.sampled_from(("", "2020", "2020..2021-05")),
        st.sampled_from(((), ("share",), ("previous", "year_before"))),
        limit=st.one_of(st.none(), st.integers(1, 999)),
        of=st.sampled_from(("", "births")),
    )
)
def test_a_question_is_written_as_it_was_read(question: Question) -> None:
    assert read(str(question)) == question


@given(st.text(max_size=60))
def test_any_text_is_a_question_or_a_sentence(text: str) -> None:
    with suppress(QuestionError, CannotAnswer):
        resolve(TOY, read(text), ROWS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "say what is asked for"),
        ("sales by", "by: nothing follows it"),
        ("sales by shop by day", "by stands twice"),
        ("sales, by shop", "measures: nothing follows the last comma"),
        ("sales where shop", "write conditions as"),
        ("sales where shop = a and", "nothing follows the last and"),
        ("sales where shop in (a,", "write conditions as"),
        ("sales limit many", "limit: give a whole number"),
        ("sales over yesterday", "write a time as 2024"),
        ("sales over 2024-02-30", "there is no such day"),
        ("sales over 2024..2023", "the range ends before it begins"),
        ("sales where day = soon", "where day: write a time"),
        ("sales by shop compare everything", "there is no comparison 'everything'"),
        ("sales by shop compare share, previous", "give one word of time in by"),
        ("sales by day compare share", "by something beside time"),
        ("sales by month where year = 2023 compare previous", "say the time as a range"),
        ("cents by shop with interval", "ask for a share, such as big_share"),
        ("sails by shop", "did you mean 'sales'?"),
        ("sales by shops", "did you mean 'shop'?"),
        ("sales by shop order cents", "order: there is no column 'cents'"),
        ("sales of toys", "did you mean 'toy'?"),
        ("sales; drop table x", "cannot be read|give names"),
    ],
)
def test_what_is_wrong_is_one_sentence(text: str, said: str) -> None:
    told = refused(text)
    assert any(part in told for part in said.split("|")), told
    assert "\n" not in told


def test_the_smallest_table_that_is_fresh_answers() -> None:
    assert asked("sales by year") == "toy.agg_yearly"
    assert asked("sales") == "toy.agg_yearly"
    assert asked("sales by quarter, shop") == "toy.agg_shop_monthly"
    assert asked("sales by week") == "toy.agg_weekly"
    assert asked("sales by week, shop") == "toy.agg_shop_daily"
    assert asked("sales by season over 2023-01-05..2023-02-07") == "toy.agg_shop_daily"
    # Before all a table is fresh; and one that is not there is not asked.
    stale = {**ROWS, "toy/agg_yearly": Standing(2, "stale")}
    assert asked("sales by year", stale) == "toy.agg_shop_monthly"
    gone = {key: own for key, own in ROWS.items() if key != "toy/agg_yearly"}
    assert asked("sales", gone) == "toy.agg_weekly"
    assert "not promoted" in refused("sales", {}) or "promoted yet" in refused("sales", {})


def test_a_refusal_says_what_is_missing_and_what_can_be_answered() -> None:
    few = {"toy/agg_weekly": Standing(50), "toy/agg_yearly": Standing(2)}
    told = refused("sales, big_share by shop, month over 2023", few)
    assert "is not kept by" in told
    nearest = told.partition("One that can be answered: ")[2]
    assert asked(nearest, few)
    told = refused("sales over 2023-01-05..2023-02-07", few)
    assert "toy.agg_weekly is kept by week, and the range cuts one" in told
    assert asked("sales over 2023-01-02..2023-02-12", few) == "toy.agg_weekly"


def test_a_year_to_date_begins_with_a_year() -> None:
    """Of a range that begins later, the year before would be compared from its own beginning."""
    told = refused("sales by year_to_date over 2024-02 compare previous")
    assert "begins with a year and ends with a month" in told
    nearest = told.partition("One that can be answered: ")[2]
    assert "over 2024-01-01..2024-02-29" in nearest
    assert asked(nearest)


def test_ranges_are_of_whole_periods() -> None:
    assert period("2024") == (date(2024, 1, 1), date(2024, 12, 31))
    assert period("2024-DJF") == (date(2023, 12, 1), date(2024, 2, 29))
    assert period("2024-SON") == (date(2024, 9, 1), date(2024, 11, 30))
    assert period("2024-Q3") == (date(2024, 7, 1), date(2024, 9, 30))
    assert span("2023-12..2024-02-03") == (date(2023, 12, 1), date(2024, 2, 3))


@given(st.sampled_from(list(TIMES.values())), st.dates(date(1990, 1, 1), date(2090, 1, 1)))
def test_each_day_is_in_one_period(time, day: date) -> None:
    first = time.floor(day)
    after = time.following(first)
    assert first <= day < after
    assert time.floor(after) == after
    assert time.floor(after - timedelta(days=1)) == first

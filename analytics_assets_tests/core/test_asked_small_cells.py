"""Where small cells are withheld, no answer gives one away, and none is a sum of what is left."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_assets.core.catalogue import Catalogue
from analytics_assets.core.plan import Plan
from analytics_assets.core.question import Question, read
from analytics_assets.core.resolver import CannotAnswer, Standing, resolve
from analytics_assets_tests.asking import LABELS, answer, in_duckdb, resolved
from analytics_assets_tests.core.test_small_cells import (
    JANUARY,
    K,
    Sale,
    built,
    public,
    recovered,
    sales,
    truth,
    with_threshold,
)
from analytics_assets_tests.reader import Attack
from analytics_assets_tests.toy import Memory, toy_tables

TABLES = with_threshold(toy_tables(Memory()))
CATALOGUE = Catalogue(TABLES)
SMALLEST = ("yearly", "weekly", "shop_monthly", "shop_daily")
STANDING = {
    f"toy/agg_{name}_public": Standing(10 * place) for place, name in enumerate(SMALLEST, 1)
}
MEASURES = ("sales", "big_sales", "cents")
questions = st.builds(
    Question,
    measures=st.lists(st.sampled_from(MEASURES), min_size=1, unique=True).map(tuple),
    by=st.lists(st.sampled_from(["shop", "shop", *LABELS]), max_size=2, unique=True).map(tuple),
    where=st.sampled_from([(), (), read("sales where shop = a").where]),
    over=st.sampled_from(["", "", "2023-12", "2024", "2023-12-20..2024-01-10", "2024-01"]),
)


def label(time: str, day: date) -> Any:
    """As an answer has it, by hand."""
    quarter = f"{day.year}-Q{(day.month + 2) // 3}"
    season = f"{day.year + (day.month == 12)}-DJF"
    return {
        "day": day, "week": day - timedelta(day.weekday()), "month": f"{day:%Y-%m}",
        "quarter": quarter, "season": season, "year": day.year, "year_to_date": day.year,
    }[time]  # fmt: skip


def asked_of(session: Any, plan: Plan) -> dict[tuple, dict[str, Any]]:
    """The answer from what readers get: in the lake it has another name than in production."""

    def rows(sql: str, values: Mapping[str, Any]) -> list[tuple]:
        return in_duckdb(session)(re.sub(r'"toy"\."(\w+)"', r'"toy"."\1_public"', sql), values)

    return answer(plan, rows)


def sold_in(sales: list[Sale], plan: Plan, key: tuple) -> list[tuple[str, date]]:
    """The shops and days that a row of an answer is of, among all there can be."""
    first, last = plan.over or (date.min, date.max)
    only = plan.question.where[0].values if plan.question.where else tuple("abc")
    latest = max((day for day, _, _ in sales if first <= day <= last), default=date.min)
    found = []
    for shop in only:
        for day in (date(2023, 12, 1) + timedelta(n) for n in range(62)):
            values = [shop if word == "shop" else label(word, day) for word in plan.question.by]
            late = "year_to_date" in plan.question.by and day.month > latest.month
            if tuple(values) == key and first <= day <= last and not late:
                found.append((shop, day))
    return found


def exactly(sales: list[Sale], cells: list[tuple[str, date]], measure: str) -> int:
    own = [cents for day, shop, cents in sales if (shop, day) in cells]
    return {"sales": len(own), "big_sales": sum(c > 1000 for c in own), "cents": sum(own)}[measure]


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(sales, st.lists(questions, min_size=25, max_size=40))
def test_no_small_cell_follows_from_answers(sales: list[Sale], asked: list[Question]) -> None:
    with built(TABLES, sales) as session:
        attack = Attack(public(session), truth(session), [2023, 2024], K)
        for question in asked:
            plan = resolved(CATALOGUE, question, STANDING)
            if not isinstance(plan, Plan):
                continue
            for key, values in asked_of(session, plan).items():
                cells = sold_in(sales, plan, key)
                for measure, value in values.items():
                    if value is None:
                        continue
                    # What is told is the whole, never what is left of it.
                    assert value == exactly(sales, cells, measure), (str(question), key)
                    know(attack, cells, measure, value)
        assert not attack.recovered()


def know(attack: Attack, cells: list[tuple[str, date]], measure: str, value: int) -> None:
    """Add what an answer says to what the attacker knows."""
    told = attack.numbers.more(1)
    attack.numbers.values[told] = value
    rows = [attack.at["shop", (shop,), "day", day] for shop, day in cells]
    attack._add_up(told, [attack._cells([row], measure) for row in rows])


def test_the_attack_finds_what_an_exact_answer_would_give_away() -> None:
    """It is worth something: one sum of what is withheld, and a small cell is known."""
    with built(TABLES, JANUARY) as session:
        attack = Attack(public(session), truth(session), [2023, 2024], K)
        cells = [("a", date(2024, 1, 3))]
        know(attack, cells, "sales", exactly(JANUARY, cells, "sales"))
        assert attack.recovered()
        assert not recovered(session, public(session))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("sales by day", "its places cannot be added up; ask by shop"),
        ("sales where shop = a", "years cannot be added up"),
        ("sales by week, shop", "years cannot be added up"),
        ("sales by shop, month compare share", "there is no whole to compare with"),
        ("big_share by shop, month with smoothed", "there is no whole to compare with"),
    ],
)
def test_what_withheld_cells_forbid_is_refused_with_what_can_be_asked(
    asked: str, said: str
) -> None:
    standing = {key: own for key, own in STANDING.items() if "shop" in key}
    with pytest.raises(CannotAnswer) as refusal:
        resolve(CATALOGUE, read(asked), standing)
    assert said in str(refusal.value)
    assert refusal.value.nearest
    assert resolve(CATALOGUE, read(refusal.value.nearest), standing)


def test_answers_say_that_cells_are_withheld() -> None:
    with built(TABLES, JANUARY) as session:
        plan = resolve(CATALOGUE, read("sales by quarter, shop over 2024"), STANDING)
        assert "withheld" in plan.notes[0]
        told = asked_of(session, plan)
        counts = Counter(shop for _, shop, _ in JANUARY)
        assert {key[1]: row["sales"] for key, row in told.items()} == counts
        daily = resolve(CATALOGUE, read("big_sales by day, shop over 2024"), STANDING)
        values = [row["big_sales"] for row in asked_of(session, daily).values()]
        assert not any(value in (1, 2) for value in values)

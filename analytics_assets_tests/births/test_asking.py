"""Whatever is asked of births: the answer is what the births say, or a refusal that is right."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_assets.core.plan import Plan
from analytics_assets.core.question import Question, read
from analytics_assets.core.resolver import resolve
from analytics_assets_tests.asking import (
    LABELS,
    answer,
    counted,
    holds,
    in_duckdb,
    questions,
    resolved,
)
from analytics_assets_tests.births.asked import CATALOGUE, FACTS, METRICS, built_births


@pytest.fixture(scope="module")
def births() -> Any:
    return built_births(3000)


def test_an_answer_is_what_the_births_say_by_the_smallest_table_that_can(births: Any) -> None:
    standing = counted(births, CATALOGUE)
    seen: Counter[str] = Counter()

    @settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
    @given(question=questions(FACTS, METRICS))
    def law(question: Question) -> None:
        rows = in_duckdb(births)
        seen[holds(FACTS, CATALOGUE, question, standing, lambda sql: rows(sql, {}), rows)] += 1

    law()
    # Many kinds of tables are tried, as chance has it, and refusals are.
    assert len(seen) > 5, seen
    assert seen[""] > 20


READ = {"birth_weight": "PESO", "gestational_weeks": "SEMAGESTAC", "maternal_age": "IDADEMAE"}


def test_percentiles_are_within_their_bound(births: Any) -> None:
    """Of the births themselves, sorted: the value that so many per cent do not exceed."""
    rows = in_duckdb(births)
    standing = counted(births, CATALOGUE)
    words = ["year", "state_code", "region_name", "maternal_age_group", "maternal_age"]
    tried: Counter[str] = Counter()

    @settings(max_examples=60, deadline=None)
    @given(
        of=st.sampled_from(sorted(READ)),
        percent=st.one_of(st.just(50), st.integers(1, 99)),
        by=st.lists(st.sampled_from(words), max_size=2, unique=True),
        only=st.sampled_from(["", "", " where year = 2023"]),
    )
    def law(of: str, percent: int, by: list[str], only: str) -> None:
        name = f"median_{of}" if percent == 50 else f"p{percent}_{of}"
        asked = f"{name}, {of}_known" + (f" by {', '.join(by)}" if by else "") + only
        plan = resolved(CATALOGUE, read(asked), standing)
        if not isinstance(plan, Plan):
            tried["refused"] += 1
            assert of != "birth_weight" or {"maternal_age"} & set(by), asked
            return
        tried[plan.offer.name] += 1
        labels = [LABELS[word][0].format(d="DTNASC") if word in LABELS else FACTS.words[word]
                  for word in by]  # fmt: skip
        listed = ", ".join([*labels, f"list_sort(list({READ[of]}))"])
        grouped = f" group by {', '.join(labels)}" if by else ""
        year = " and year(DTNASC) = 2023" if only else ""
        sql = f"select {listed} from ({FACTS.source}) where {READ[of]} is not null{year}{grouped}"
        right = {row[: len(by)]: row[len(by)] for row in rows(sql, {})}
        told = answer(plan, rows)
        assert set(told) == set(right)
        for key, values in right.items():
            exact = values[-(-len(values) * percent // 100) - 1]
            bound = float(told[key][f"{name}_bound"])
            assert abs(float(told[key][name]) - exact) <= bound, (asked, key)
            assert told[key][f"{of}_known"] == len(values)
            assert bound == {50: 24.5, 10: 4.5, 1: 0}[plan.offer.bins.width]

    law()
    assert len(tried) > 3, tried


def test_the_median_weight_of_babies_of_mothers_of_25_is_answered_with_its_bound(
    births: Any,
) -> None:
    asked = "median_birth_weight where maternal_age = 25"
    plan = resolve(CATALOGUE, read(asked), counted(births, CATALOGUE))
    assert plan.offer.name == "births.agg_birth_weight_by_age_yearly"
    (note,) = plan.notes
    assert note == (
        "median_birth_weight is the middle of a bin of 10 grams, and off by at most 4.5 grams."
    )
    ((told,),) = [row[:1] for row in in_duckdb(births)(plan.sql(), plan.parameters)]
    exact = births.execute(
        "select quantile_disc(PESO, 0.5) from births.fact_births where IDADEMAE = 25"
    ).fetchone()[0]
    assert abs(float(told) - exact) <= 4.5

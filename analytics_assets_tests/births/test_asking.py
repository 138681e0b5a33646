"""Whatever is asked of births: the answer is what the births say, or a refusal that is right."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from analytics_assets.core.question import Question
from analytics_assets_tests.asking import counted, holds, in_duckdb, questions
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
    # Most kinds of tables are tried, and refusals are.
    assert len(seen) > 8, seen
    assert seen[""] > 20

"""A thousand questions to what a new user has: answers as the facts say, or right refusals."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings

from analytics_assets import registry
from analytics_assets import settings as environment
from analytics_assets.core.catalogue import Catalogue
from analytics_assets.core.question import Question
from analytics_assets.core.resolver import Standing
from analytics_assets.production import server
from analytics_assets.production.promotion import production_engine
from analytics_assets_tests.ad_metrics import asked as ads
from analytics_assets_tests.asking import Facts, Rows, holds, questions
from analytics_assets_tests.births import asked as births
from analytics_assets_tests.samples import built_sample

QUESTIONS = int(os.environ.get("QUESTIONS") or 500)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("name", "facts", "metrics"),
    [("births", births.FACTS, births.METRICS), ("ad_metrics", ads.FACTS, ads.METRICS)],
)
def test_answers_over_a_sample_are_what_its_facts_say(
    postgres: str, name: str, facts: Facts, metrics: tuple[str, ...]
) -> None:
    seen: Counter[str] = Counter()
    for workspace in built_sample(name, postgres):
        with production_engine(server.urls(environment.load()).reader, read_only=True) as engine:
            seen = ask_at_random(name, facts, metrics, workspace.warehouse, engine)
    print(f"\n{name}: {seen.total()} questions: {dict(seen)}")
    assert seen[""] < 0.8 * seen.total()


def ask_at_random(
    name: str, facts: Facts, metrics: Sequence[str], warehouse: Rows, engine: sa.Engine
) -> Counter[str]:
    """Table -> how many questions it answered; the refusals under an empty name."""
    catalogue = Catalogue([t for t in registry.domain(name).tables if t.publish and t.grain])
    seen: Counter[str] = Counter()

    def production(sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(sql, dict(values))]

    standing = {
        offer.table.key: Standing(production(f"select count(*) from {offer.view}", {})[0][0])
        for subject in catalogue.subjects
        for offer in subject.offers
    }

    @settings(
        max_examples=QUESTIONS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(question=questions(facts, metrics))
    def law(question: Question) -> None:
        seen[holds(facts, catalogue, question, standing, warehouse, production)] += 1

    law()
    return seen

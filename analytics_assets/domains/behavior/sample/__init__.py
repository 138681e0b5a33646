"""Seeded, made-up behavioural events in an operational table, for tests, demos and benchmarks.

Belongs here: drawing users, experiments and events with known effects, and writing them into
PostgreSQL as an application would have.
Does not belong here: reading or judging events. The pipeline must not import this module, so that a
mistake here cannot hide a mistake there.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
import psycopg2

from analytics_assets.domains.behavior.sample.series import (
    PHASES,
    Effects,
    draw_scores,
    draw_starts,
    phase_numbers,
)

FIRST_DAY = date(2024, 1, 1)
TABLE_SQL = """
create table if not exists behavioral_events (
    "id" text primary key,
    "userId" text not null,
    "eventType" text not null,
    "eventData" json,
    "timestamp" timestamptz(3) not null,
    "completionQuality" text,
    "contentType" text,
    "dayOfWeek" integer,
    "difficultyLevel" text,
    "engagementLevel" text,
    "sessionPerformanceScore" integer,
    "timeOfDay" integer,
    "experimentPhase" text,
    "randomizationSeed" integer,
    "contextMetadataId" text
);
create index if not exists behavioral_events_moment on behavioral_events ("timestamp", "id");
create index if not exists behavioral_events_user on behavioral_events ("userId", "timestamp");
"""
_TYPES = {
    "CARD_REVIEWED": 0.36,
    "SESSION_STARTED": 0.11,
    "SESSION_ENDED": 0.11,
    "VALIDATION_COMPLETED": 0.08,
    "MISSION_STARTED": 0.07,
    "MISSION_COMPLETED": 0.06,
    "SEARCH_PERFORMED": 0.06,
    "GRAPH_VIEWED": 0.04,
    "RECOMMENDATION_VIEWED": 0.05,
    "RECOMMENDATION_CLICKED": 0.03,
    "RECOMMENDATION_DISMISSED": 0.015,
    "RECOMMENDATION_RATED": 0.01,
    "LECTURE_UPLOADED": 0.005,
}
_LETTERS = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz0123456789", dtype="S1")
_CHUNK = 100_000
PLANTED = Effects()


def generate(
    url: str,
    *,
    users: int = 24,
    days: int = 56,
    events_a_day: float = 6.0,
    fewest: int = 8,
    effects: Effects = PLANTED,
    seed: int = 2024,
) -> int:
    """Make the table at ``url`` and fill it; returns how many events it holds.

    Every user takes part in an experiment whose four phases last at least ``fewest`` days each, and
    has Poisson(``events_a_day``) events a day. All of it is there at once or not at all. The same
    arguments give the same rows.
    """
    rows = 0
    connection = psycopg2.connect(url.replace("postgresql+psycopg2://", "postgresql://", 1))
    with closing(connection), connection, connection.cursor() as cursor:
        cursor.execute(TABLE_SQL)
        for frame in _frames(users, days, events_a_day, fewest, effects, seed):
            cursor.copy_expert(
                "copy behavioral_events from stdin (format csv)",
                io.StringIO(frame.to_csv(index=False, header=False)),
            )
            rows += len(frame)
        cursor.execute("analyze behavioral_events")
    return rows


@dataclass(frozen=True)
class _User:
    id: str
    seed: int
    scores: np.ndarray
    phases: np.ndarray
    counts: np.ndarray


def _frames(
    users: int, days: int, events_a_day: float, fewest: int, effects: Effects, seed: int
) -> Iterator[pd.DataFrame]:
    rng = np.random.default_rng([seed, 1])
    waiting: list[pd.DataFrame] = []
    size = 0
    for user in _users(users, days, events_a_day, fewest, effects, seed):
        waiting.append(_events(rng, user))
        size += len(waiting[-1])
        if size >= _CHUNK:
            yield pd.concat(waiting)
            waiting, size = [], 0
    if waiting:
        yield pd.concat(waiting)


def _users(
    users: int, days: int, events_a_day: float, fewest: int, effects: Effects, seed: int
) -> Iterator[_User]:
    rng = np.random.default_rng([seed, 0])
    ids = _cuids(rng, users)
    for name in ids:
        own = int(rng.integers(2**31))
        draw = np.random.default_rng(own)
        starts = draw_starts(draw, days, fewest)
        phases = phase_numbers(starts, days)
        scores = draw_scores(draw, starts, days, effects, mean=draw.normal(62, 6))
        rate = events_a_day * np.where(phases % 2 == 1, effects.activity, 1.0)
        yield _User(name, own, scores, phases, draw.poisson(rate))


def _events(rng: np.random.Generator, user: _User) -> pd.DataFrame:
    day = np.repeat(np.arange(len(user.counts)), user.counts)
    n = len(day)
    hour = rng.choice(24, n, p=_HOURS)
    moment = np.datetime64(FIRST_DAY, "ms") + day * np.timedelta64(86_400_000, "ms")
    moment = moment + (hour * 3_600_000 + rng.integers(3_600_000, size=n)) * np.timedelta64(1, "ms")
    kind = rng.choice(list(_TYPES), n, p=list(_TYPES.values()))
    score = np.rint(user.scores[day] + rng.normal(0, 8, n)).clip(0, 100)
    quality = rng.choice(["RUSHED", "NORMAL", "THOROUGH"], n, p=[0.2, 0.6, 0.2])
    return pd.DataFrame(
        {
            "id": _cuids(rng, n),
            "userId": user.id,
            "eventType": kind,
            "eventData": [f'{{"item": {item}}}' for item in rng.integers(10_000, size=n)],
            "timestamp": pd.Series(moment).dt.strftime("%Y-%m-%d %H:%M:%S.%f+00"),
            "completionQuality": pd.Series(quality).where(kind == "MISSION_COMPLETED"),
            "contentType": rng.choice(["video", "text", "quiz", "flashcard"], n),
            "dayOfWeek": (day + FIRST_DAY.weekday()) % 7,
            "difficultyLevel": rng.choice(["EASY", "MEDIUM", "HARD"], n),
            "engagementLevel": rng.choice(["LOW", "MEDIUM", "HIGH"], n, p=[0.25, 0.5, 0.25]),
            "sessionPerformanceScore": pd.array(
                np.where(rng.random(n) < 0.03, np.nan, score), dtype="Int64"
            ),
            "timeOfDay": hour,
            "experimentPhase": np.array(PHASES)[user.phases[day]],
            "randomizationSeed": user.seed,
            "contextMetadataId": f"context-{user.seed}",
        }
    )


def _cuids(rng: np.random.Generator, n: int) -> np.ndarray:
    """Random identifiers as Prisma makes them: c and 24 letters or digits."""
    letters = _LETTERS[rng.integers(len(_LETTERS), size=(n, 25))]
    letters[:, 0] = b"c"
    return np.ascontiguousarray(letters).view("S25").ravel().astype(str)


_HOURS = np.array([1, 1, 1, 1, 1, 2, 4, 7, 9, 9, 8, 7, 6, 7, 8, 9, 9, 8, 7, 7, 6, 5, 3, 2], float)
_HOURS /= _HOURS.sum()

"""Laws of what lands, over generated exports: nothing vanishes, and the latest word counts."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from analytics_assets import settings
from analytics_assets.core.source import Landing, SourceError
from analytics_assets.domains.ad_metrics.days import day_sql
from analytics_assets.domains.ad_metrics.landing import AD_PERFORMANCE
from analytics_assets.domains.ad_metrics.sample import write
from analytics_assets.domains.ad_metrics.sample.world import Sent, World
from analytics_assets.domains.ad_metrics.sources import InsightsSource
from analytics_assets.domains.ad_metrics.tables import user_identities
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.ad_metrics.landed import (
    differences,
    fields,
    metrics_of_sql,
    point_at,
    small_world,
)
from analytics_assets_tests.ad_metrics.reference import Reference, comparable
from analytics_assets_tests.ad_metrics.test_cases import Folders, insight

SESSION = duckdb.connect()

# ---- dates --------------------------------------------------------------------------------------

WRITTEN = (
    "%Y-%m-%d",
    "%Y-%m-%dT00:00:00.000000Z",
    "%Y-%m-%d 23:59:59-0800",
    "%Y/%m/%d",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d.%m.%Y 00:00",
    "%Y%m%d",
    "%b %d, %Y",
    "%d %B %Y",
    "%s",
    "%s000",
)
DAYS = st.dates(date(2024, 1, 1), date(2026, 12, 31))


def written(day: date, how: str) -> str:
    moment = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
    return moment.strftime(how.replace("%s", str(int(moment.timestamp()))))


def read(text: str, window: tuple[date, date] | None) -> date | None:
    first, end = window or (None, None)
    sql = f"select {day_sql('t')} from (select ? as t, ?::date as file_day, ?::date as file_end)"
    found = SESSION.execute(sql, [text, first, end]).fetchone()
    assert found
    return found[0]


@hypothesis_settings(max_examples=60, deadline=None)
@given(DAYS, st.sampled_from(WRITTEN))
def test_a_day_is_read_however_it_is_written(day: date, how: str) -> None:
    """The name of its file says which of two orders it is."""
    assert read(written(day, how), (day, day + timedelta(days=1))) == day


@hypothesis_settings(max_examples=40, deadline=None)
@given(DAYS, st.sampled_from(WRITTEN), st.integers(1, 400))
@example(date(2025, 1, 2), "%m/%d/%Y", 60)
def test_a_day_of_a_longer_file_is_read_or_none_but_never_another(
    day: date, how: str, length: int
) -> None:
    window = (day - timedelta(days=length // 2), day + timedelta(days=length))
    found = read(written(day, how), window)
    assert found == day or (found is None and how in ("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y 00:00"))


@pytest.mark.parametrize(
    "text", ["", "soon", "2025-02-30", "13/14/2025", "01/02/25", "1", "9" * 30]
)
def test_what_is_no_day_is_none(text: str) -> None:
    assert read(text, None) is None


# ---- rows of one ad -----------------------------------------------------------------------------

DAY = "2025-01-01"
BREAKDOWNS = st.sampled_from(
    (
        {},
        {},
        {"age": "18-24"},
        {"age": "25-34"},
        {"age": "18-24", "gender": "male"},
        {"hourly_stats_aggregated_by_advertiser_time_zone": "00:00:00 - 00:59:59"},
        {"date_start": f"{DAY}T05:00:00"},
        {"date_start": f"{DAY}T06:00:00"},
    )
)
ROWS = st.tuples(
    st.sampled_from("ab"), st.sampled_from(("US", "us", "DE")), BREAKDOWNS, st.integers(1, 3)
)
FILES = st.lists(st.lists(ROWS, max_size=5), min_size=1, max_size=3)


def expected(files: list[list[tuple]]) -> dict[str, int] | None:
    """Spend by country, as it was said last; ``None``: rows exclude each other."""
    found: dict[str, int] = {}
    rows = [(n, row) for n, file in enumerate(files) for row in file]
    for entity in {(ad, where.lower()) for _, (ad, where, _, _) in rows}:
        own = [(n, r) for n, r in rows if (r[0], r[1].lower()) == entity]
        last = max(n for n, _ in own)
        said = {(r[1], frozenset(r[2])) for n, r in own if n == last}
        if len({where for where, _ in said}) < len(said):
            return None
        kept = [(n, r) for n, r in own if (r[1], frozenset(r[2])) in said]
        for part in {(r[1], tuple(r[2].items())) for _, r in kept}:
            same = [(n, r[3]) for n, r in kept if (r[1], tuple(r[2].items())) == part]
            spends = {spend for n, spend in same if n == max(n for n, _ in same)}
            if len(spends) > 1:
                return None
            found[entity[1]] = found.get(entity[1], 0) + spends.pop()
    return found


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Iterator[int]]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        point_at(monkeypatch, tmp_path_factory.mktemp("laws"))
        yield count()


AGE_18, AGE_25 = {"age": "18-24"}, {"age": "25-34"}


@hypothesis_settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(FILES)
# Parts are summed; restated in whole, and in parts again; not told apart.
@example([[("a", "US", AGE_18, 1), ("a", "US", AGE_25, 3)]])
@example([[("a", "US", AGE_18, 1), ("a", "US", AGE_25, 3)], [("a", "us", {}, 2)]])
@example([[("a", "US", {}, 3)], [("a", "US", AGE_18, 1), ("a", "US", AGE_25, 1)]])
@example([[("a", "US", {}, 1), ("a", "US", {}, 2)]])
@example([[("a", "US", {}, 1), ("a", "US", AGE_18, 2)]])
def test_parts_are_summed_and_the_latest_word_counts(
    numbers: Iterator[int], files: list[list[tuple]]
) -> None:
    home = settings.load().home.parent
    with pytest.MonkeyPatch.context() as monkeypatch:
        folders = Folders(home / f"{next(numbers)}", monkeypatch)
        monkeypatch.setenv("ANALYTICS_HOME", str(home / "home"))
        for number, rows in enumerate(files):
            lines = [
                insight(DAY, str(spend), **{"ad_id": ad, "country": where, **further})
                for ad, where, further, spend in rows
            ]
            folders.ads("country", f"{number} {DAY}", *lines)
        found = landed_spend()
    assert found == expected(files)


def landed_spend() -> dict[str, int] | None:
    with open_session(settings.load()) as session:
        source = InsightsSource(AD_PERFORMANCE["country"])
        landing = Landing(session, DAY, {}, lambda sql: {})
        try:
            with source.land(landing) as selects:
                rows = session.execute(
                    f"select lower(breakdown_value), sum(spend::int) from ({selects[0]}) group by 1"
                ).fetchall()
        except SourceError as error:
            return None if "are of one ad and differ in" in str(error) else {"another": 0}
    return dict(rows)


def test_what_excludes_each_other_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = Folders(tmp_path, monkeypatch)
    lines = [
        insight(DAY, spend, placement=where) for spend, where in (("4", "feed"), ("3", "story"))
    ]
    folders.ads("country", DAY, insight(DAY, "1", ad_id="other"), *lines)
    with (
        open_session(settings.load()) as session,
        pytest.raises(
            SourceError, match=r"its rows 2 and 3 are .* differ in spend, placement: "
        ) as refused,
        InsightsSource(AD_PERFORMANCE["country"]).land(Landing(session, DAY, {}, lambda sql: {})),
    ):
        pass
    assert "feed" not in str(refused.value)


# ---- users --------------------------------------------------------------------------------------

IDS = st.sampled_from("abcdef")


@hypothesis_settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(IDS, IDS), max_size=10))
@example([("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")])
def test_an_id_is_the_last_that_it_became(became: list[tuple[str, str]]) -> None:
    """Whatever chains and circles of ids there are; of what one id became the newest counts."""
    newest = {before: after for before, after in became if before != after}
    right = {}
    for one in newest:
        path = [one]
        while (after := newest.get(path[-1])) and after not in path:
            path.append(after)
        right[one] = min(path[path.index(after) :]) if after else path[-1]
    SESSION.execute(
        "create schema if not exists ad_metrics; create or replace table ad_metrics.mixpanel_events"
        " (before_identity text, distinct_id text, time_ms bigint, arrival_ms bigint,"
        " event text default 'Any', event_date date default '2025-01-01')"
    )
    for moment, (before, after) in enumerate(became):
        SESSION.execute(
            "insert into ad_metrics.mixpanel_events values (?, ?, ?, ?, 'Any', '2025-01-01')",
            [before, after, moment, moment],
        )
    found = SESSION.execute(f"select distinct_id, user_id from ({user_identities.sql})").fetchall()
    assert dict(found) == {a: b for a, b in right.items() if a != b}


def renamed(world: World, seed: int) -> World:
    """The same users, many of whom had one or two other ids before; some events came under both."""
    rng = random.Random(seed)
    by_user: dict[str, list[Sent]] = {}
    for sent in world.sent:
        by_user.setdefault(fields(sent.line)["distinct_id"], []).append(sent)
    other = World(world.first, world.last, [], [], world.reports)
    moved: dict[str, str] = {}
    for user, own in by_user.items():
        own.sort(key=lambda sent: fields(sent.line)["time"])
        since = rng.randint(1, len(own))
        chain = [f"{user}-{n}" for n in range(rng.choice((0, 1, 2)))] if since < len(own) else []
        for number, sent in enumerate(own):
            if not chain or number >= since:
                before = {"$distinct_id_before_identity": chain[-1]} if chain else {}
                other.sent.append(_as(sent, user, before))
                continue
            name = rng.choice(chain)
            then = {"$distinct_id_before_identity": chain[0]} if name != chain[0] else {}
            other.sent.append(_as(sent, name, then))
            if rng.random() < 0.3:
                other.sent.append(_as(sent, user, {"$distinct_id_before_identity": name}))
        if len(chain) == 2:
            # One step of the chain is told by an event that no metric knows.
            step = {"$distinct_id_before_identity": chain[0], "$insert_id": f"{user} step"}
            other.sent.append(_as(own[0], chain[1], step, "App opened"))
        if chain and rng.random() < 0.5:
            moved[user] = rng.choice(chain)
    for one in world.profiles:
        user = one.line["$distinct_id"]
        line = {**one.line, "$distinct_id": moved.get(user, user)}
        other.profiles.append(type(one)(one.since, line))
    return other


def _as(sent: Sent, user: str, more: dict[str, Any], event: str = "") -> Sent:
    own = {**fields(sent.line), "distinct_id": user, **more}
    if "properties" in sent.line:
        return Sent(
            sent.day, sent.arrived, {"event": event or sent.line["event"], "properties": own}
        )
    return Sent(sent.day, sent.arrived, own | ({"event_name": event} if event else {}))


def test_metrics_do_not_know_what_a_user_was_called_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = small_world(7, 12, ads=2, users=6)
    mixpanel, meta = point_at(monkeypatch, tmp_path)
    other = renamed(world, 7)
    ids = {fields(sent.line)["distinct_id"] for sent in other.sent}
    assert len(ids) > 1.2 * len({fields(sent.line)["distinct_id"] for sent in world.sent})
    write(other, mixpanel, meta)
    with tempfile.TemporaryDirectory() as folder:
        write(world, Path(folder) / "mixpanel", None)
        right = Reference(Path(folder) / "mixpanel", meta).rows
    found, wanted = (
        {key: {name: comparable(value) for name, value in row.items()} for key, row in all.items()}
        for all in (metrics_of_sql(), right)
    )
    assert differences(found, wanted) == []

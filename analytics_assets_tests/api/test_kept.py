"""Kept answers: sent again only while production says that their table is as it was."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets.api.kept import Kept
from analytics_assets.api.settings import ApiSettings, ApiSettingsError, load
from analytics_assets_tests.api.conftest import PATIENT, Production, client_of
from analytics_assets_tests.api.filled import TABLES, promote, rows_of

YEARLY = next(table for table in TABLES if table.key == "births/agg_state_yearly")
PATH = "/api/v1/births/state/yearly"


class Tables:
    """Versions that change; how often they were looked at, and for what."""

    def __init__(self) -> None:
        self.versions = {"a": "1", "b": "1"}
        self.looks: list[Sequence[str]] = []

    async def look(self, keys: Sequence[str]) -> Mapping[str, str]:
        self.looks.append(keys)
        seen = {key: self.versions[key] for key in keys if self.versions[key]}
        await asyncio.sleep(0)
        return seen


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ask", "release", "doubt"]),
            st.sampled_from("ab"),
            st.integers(0, 4),
        ),
        max_size=40,
    ),
    st.sampled_from([0, 1_500, 100_000]),
)
def test_an_answer_is_of_the_version_that_the_table_has(
    steps: list[tuple[str, str, int]], most: int
) -> None:
    async def run() -> None:
        tables = Tables()
        kept = Kept(tables.look, most)
        for number, (what, key, page) in enumerate(steps):
            if what == "release":
                tables.versions[key] = str(number)
            elif what == "doubt":
                tables.versions[key] = ""
            else:
                now, asked = tables.versions[key], f"{key}{page}"
                body = f"{asked} {now}".encode()
                found = await kept.standing(key, asked)
                assert found is None or (found.body, found.version) == (body, now)
                if not found:
                    kept.keep(asked, now, body * 10)
                    kept.keep(asked, now, body)
            assert kept._bytes <= most

    asyncio.run(run())


def test_one_look_is_for_all_who_asked_before_it() -> None:
    async def run() -> None:
        tables = Tables()
        kept = Kept(tables.look, 100_000)
        for key in "ab":
            kept.keep(key, "1", key.encode())
        found = await asyncio.gather(*(kept.standing(key, key) for key in "ab" * 50))
        assert [answer and answer.body for answer in found] == [b"a", b"b"] * 50
        assert tables.looks == [["a", "b"]]
        # Who asks while a look is under way does not get what it saw.
        first = asyncio.create_task(kept.standing("a", "a"))
        while len(tables.looks) < 2:
            await asyncio.sleep(0)
        tables.versions["a"] = "2"
        second = asyncio.create_task(kept.standing("a", "a"))
        assert await second is None
        await first

    asyncio.run(run())


def test_who_goes_away_takes_nothing_from_the_others_and_a_failure_is_over() -> None:
    async def run() -> None:
        tables, failing = Tables(), True

        async def look(keys: Sequence[str]) -> Mapping[str, str]:
            seen = await tables.look(keys)
            if failing:
                raise OSError("gone")
            return seen

        kept = Kept(look, 100_000)
        kept.keep("a", "1", b"a")
        with pytest.raises(OSError, match="gone"):
            await kept.standing("a", "a")
        failing = False
        gone = asyncio.create_task(kept.standing("a", "a"))
        stays = asyncio.create_task(kept.standing("a", "a"))
        await asyncio.sleep(0)
        gone.cancel()
        answer = await stays
        assert answer
        assert answer.body == b"a"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("done", "status"),
    [
        (f"update births_store.{YEARLY.name} set total_births = 4711", 200),
        ("drop view births.agg_state_yearly", 503),
        ("revoke select on births.agg_state_yearly from dashboard_reader", 503),
        ("delete from promotion.ledger", 200),
    ],
)
def test_what_somebody_does_to_production_is_seen_at_once(
    own_production: Production, writer: sa.Engine, done: str, status: int
) -> None:
    with writer.begin() as connection:
        promote(connection, YEARLY, rows_of(YEARLY))
    plain = ApiSettings(health_per_minute=1_000_000, kept_mb=0)
    with (
        client_of(own_production, domain="births") as client,
        client_of(own_production, plain, domain="births") as other,
    ):
        first = client.get(PATH)
        assert first.content == client.get(PATH).content == other.get(PATH).content
        with writer.begin() as connection:
            connection.exec_driver_sql(done)
        seen, anew = client.get(PATH), other.get(PATH)
        assert (seen.status_code, seen.content) == (anew.status_code, anew.content)
        assert seen.status_code == status


def test_pages_are_made_once_and_again_after_a_release(
    own_production: Production, writer: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    keep = Kept.keep
    monkeypatch.setattr(Kept, "keep", lambda *given: (made.append(given[1]), keep(*given)))
    with writer.begin() as connection:
        promote(connection, YEARLY, rows_of(YEARLY))
    with client_of(own_production, PATIENT, domain="births") as client:
        asked = [{}, {"limit": "2"}, {"columns": "year,total_births"}]
        first = [client.get(PATH, params=one).json() for one in asked]
        assert [client.get(PATH, params=one).json() for one in asked] == first
        assert len(made) == len(set(made)) == 3
        with writer.begin() as connection:
            promote(connection, YEARLY, rows_of(YEARLY, change=1))
        again = [client.get(PATH, params=one).json() for one in asked]
        assert len(made) == 6
        assert all(one != other for one, other in zip(first, again, strict=True))


@pytest.mark.parametrize(("given_mb", "most"), [("0", 0), ("1.5", 1.5), ("", 64)])
def test_how_much_is_kept(monkeypatch: pytest.MonkeyPatch, given_mb: str, most: float) -> None:
    monkeypatch.setenv("API_KEPT_MB", given_mb)
    assert load().kept_mb == most
    for wrong in ("-1", "much", "inf"):
        monkeypatch.setenv("API_KEPT_MB", wrong)
        with pytest.raises(ApiSettingsError, match="API_KEPT_MB is"):
            load()

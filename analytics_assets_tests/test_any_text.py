"""Any text in any column of text of any domain: landed, promoted and answered as it came."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unicodedata import normalize

import httpx
import psycopg2
import pytest

from analytics_assets import registry, settings
from analytics_assets.core.columns import KEY_LENGTH
from analytics_assets.core.contracts import quoted
from analytics_assets.core.declaration import Table, in_dependency_order
from analytics_assets.domains.ad_metrics.sample import write as write_ads
from analytics_assets.domains.bank_kpis.sample import generate as write_banks
from analytics_assets.domains.bank_kpis.sample import write_workbook
from analytics_assets.domains.behavior.columns import EVENT_COLUMNS
from analytics_assets.domains.behavior.sample import generate as write_events
from analytics_assets.domains.births.columns import SOURCE_COLUMNS
from analytics_assets.domains.clinic.sample import generate as write_clinic
from analytics_assets.landing.formats import CSV
from analytics_assets.production.promotion import production_engine
from analytics_assets.production.release import release
from analytics_assets.warehouse.audit import Finding
from analytics_assets.warehouse.build import Builder
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import open_lake
from analytics_assets.warehouse.session import expose, open_session
from analytics_assets_tests.ad_metrics.landed import point_at, small_world
from analytics_assets_tests.any_text import LONG, ODD, Spoilt, left_of, spoil
from analytics_assets_tests.api.conftest import Production, client_of, empty_production
from analytics_assets_tests.api.test_lists import all_rows
from analytics_assets_tests.bank_kpis.conftest import BANKS
from analytics_assets_tests.births.files import dbf_bytes
from analytics_assets_tests.births.landed import record, records, write_csv

# Text in which a number, a day, a code of a list or JSON has to stand: what breaks that holds its
# day back by a check of its own.
READ = {
    "ad_performance_daily": (
        *("currency", "spend", "impressions", "clicks", "actions", "date_start", "date_stop"),
    ),
    "mixpanel_events": ("revenue", "revenue_usd"),
    "currency_fx": ("usd_rate",),
    "appointment": ("appointment_date", "booked_at", "age"),
    "ab_event": ("event_datetime",),
}
# Of an event, the last one as JSON.
DATA = quoted("eventData")
FREE = [
    *(
        column.name
        for column in EVENT_COLUMNS
        if column.type == "text" and not (column.values or column.pattern)
        if quoted(column.name) != DATA
    ),
    "eventData",
]
# Where readers get the texts.
SHOWN = {
    "ad_metrics": {
        "id_name_mapping": ("entity_id", "canonical_name"),
        "id_hierarchy_mapping": ("ad_id", "adset_id", "campaign_id"),
        "daily_mixpanel_metrics": ("entity_id",),
    },
    "bank_kpis": {"dim_bank": ("bank_name",)},
    "behavior": {},
    "births": {"agg_cnes_yearly": ("facility_name",)},
    "clinic": {
        "dim_patient_from_app_profiles": ("device",),
        "fct_appointments": ("gender", "doctor_name", "appointment_reason"),
        "agg_appointments_monthly": ("doctor_name", "appointment_reason"),
    },
}


@dataclass
class Built:
    """All tables of a domain, built and promoted of folders with odd texts in all columns."""

    name: str
    production: Production
    spoilt: list[Spoilt]
    findings: list[Finding] = field(default_factory=list)

    @property
    def tables(self) -> Sequence[Table]:
        return registry.domain(self.name).tables

    def build(self) -> None:
        log = logging.getLogger("any_text")
        log.setLevel(logging.CRITICAL)
        with open_session(settings.load()) as session:
            snapshot = Snapshot(open_lake(settings.load().lake))
            builder = Builder(session, snapshot, "test", log)
            for table in in_dependency_order(self.tables):
                keys = [b.partition for b in snapshot.behind(table) if not b.refused]
                if keys:
                    self.findings += builder.build(table, keys).findings
            with production_engine(self.production.promoter) as engine:
                release(engine, session, snapshot, self.tables, "test")

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        lake = open_lake(settings.load().lake)
        with open_session(settings.load()) as session:
            for table in self.tables:
                expose(session, table, [file.uri for file in lake.files(table)])
            return session.execute(sql).fetchall()


def _spoil_feeds(name: str) -> list[Spoilt]:
    tables = registry.domain(name).tables
    feeds = {t.source.feed.name: t.source.feed for t in tables if hasattr(t.source, "feed")}
    return [
        spoil(feed, next((c for n, c in READ.items() if feed.name.startswith(n)), ()))
        for feed in feeds.values()
    ]


def _ads(folder: Path, patch: pytest.MonkeyPatch, production: Production) -> list[Spoilt]:
    write_ads(small_world(3, 1, ads=2, users=3), *point_at(patch, folder))
    return _spoil_feeds("ad_metrics")


def _clinic(folder: Path, patch: pytest.MonkeyPatch, production: Production) -> list[Spoilt]:
    patch.setenv("CLINIC_SOURCE", str(folder))
    write_clinic(folder, days=28, patients=600, defects=False)
    return _spoil_feeds("clinic")


def _births(folder: Path, patch: pytest.MonkeyPatch, production: Production) -> list[Spoilt]:
    patch.setenv("SINASC_SOURCE", str(folder))
    free = [c.name for c in SOURCE_COLUMNS if c.kind not in ("date", "number")]
    blank = dict.fromkeys(c.name for c in SOURCE_COLUMNS)
    rows = [blank | row for row in records(600)]
    for number, text in enumerate((*ODD.values(), LONG[:10_000])):
        odd = dict.fromkeys(free, text.encode("utf-8", "replace").decode())
        rows.append(blank | record(DTNASC="03022024", HORANASC="2359", CODESTAB="1") | odd)
        rows[number]["CODESTAB"] = f"{number + 1:07}"
    write_csv(folder / "SINASC_AC_2024.csv", rows)
    facilities = [
        {"CODESTAB": f"{number:07}", "DESCESTAB": _in_a_dbf(text)}
        for number, text in enumerate(ODD.values(), start=1)
    ]
    (folder / "CNESDO24.DBF").write_bytes(dbf_bytes(facilities, 250))
    return []


def _banks(folder: Path, patch: pytest.MonkeyPatch, production: Production) -> list[Spoilt]:
    patch.setenv("CNBV_SOURCE", str(folder))
    write_banks(folder, months=1, banks=BANKS)
    # As long as a cell of Excel may be.
    texts = [text.encode("utf-8", "replace").decode() for text in (*ODD.values(), LONG[:32_000])]
    listed = [[f"04{900 + n}", text] for n, text in enumerate(texts)]
    write_workbook(folder / "Instituciones.xlsx", {"Sheet1": listed})
    return []


def _behavior(folder: Path, patch: pytest.MonkeyPatch, production: Production) -> list[Spoilt]:
    url = production.promoter.replace("+psycopg2", "")
    patch.setenv("BEHAVIOR_SOURCE_URL", url)
    write_events(url, users=6, days=12, fewest=3)
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("select id from behavioral_events order by id limit %s", [len(ODD) + 1])
        for (event,), text in zip(cursor.fetchall(), (*ODD.values(), LONG), strict=True):
            values = [left_of(text)] * (len(FREE) - 1) + [json.dumps({"query": left_of(text)})]
            names = ", ".join(f"{quoted(name)} = %s" for name in FREE)
            cursor.execute(f"update behavioral_events set {names} where id = %s", [*values, event])
    return []


SETUPS: dict[str, Callable[[Path, pytest.MonkeyPatch, Production], list[Spoilt]]] = {
    "ad_metrics": _ads,
    "bank_kpis": _banks,
    "behavior": _behavior,
    "births": _births,
    "clinic": _clinic,
}


# Their builds take longest, and are of feeds and files as the others are.
_SLOW = ("ad_metrics", "births")


@pytest.fixture(
    scope="module",
    params=[pytest.param(n, marks=[pytest.mark.slow] if n in _SLOW else []) for n in SETUPS],
)
def built(
    request: pytest.FixtureRequest, postgres: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("texts")
    with pytest.MonkeyPatch.context() as patch, empty_production(postgres) as production:
        patch.setenv("ANALYTICS_HOME", str(folder / "home"))
        patch.setenv("PRODUCTION_URL", production.promoter)
        patch.setenv("DAGSTER_PG_URL", production.promoter)
        landing = folder / "landing"
        landing.mkdir()
        spoilt = SETUPS[request.param](landing, patch, production)
        found = Built(request.param, production, spoilt)
        found.build()
        yield found


def test_every_domain_is_tried() -> None:
    assert set(SETUPS) == set(SHOWN) == set(registry.found())


def test_nothing_stops_a_day(built: Built) -> None:
    assert [found.summary for found in built.findings if found.blocking] == []


def test_every_row_is_landed_rejected_or_repeated_and_every_text_is_there(built: Built) -> None:
    sources = {getattr(table.source, "feed", None): table for table in built.tables}
    for spoilt in built.spoilt:
        feed, table = spoilt.feed, sources[spoilt.feed]
        files = {file.path.name: content for file, content in table.source.look().contents.items()}
        assert max(content.rows for content in files.values()) == spoilt.rows
        rejected = built.ask(
            f"select reason from {built.name}.rejected_record where feed = '{feed.name}'"
        )
        ((landed,),) = built.ask(f"select count(*) from {table.sql_name}")
        offered = sum(content.rows for content in files.values())
        repeated = sum(content.repeated for content in files.values())
        assert offered == landed + len(rejected) + repeated, feed.name
        for name in spoilt.columns:
            known = _alike if name in feed.casts else str
            values = built.ask(f"select distinct {quoted(name)} from {table.sql_name}")
            found = {known(text) for (text,) in values if text is not None}
            mark = "?" if feed.formats == CSV else "\ufffd"
            assert {known(left_of(text, mark)) for text in ODD.values()} <= found, name
            too_long = f"{name} has more than {KEY_LENGTH} characters"
            assert (known(LONG) in found) != ((too_long,) in rejected), name


def _alike(text: str) -> str:
    return normalize("NFC", text).lower()


def test_readers_are_answered_what_was_built(built: Built) -> None:
    with client_of(built.production, domain=built.name) as client:
        for table in (table.promoted for table in built.tables if table.publish):
            path = f"/api/v1/tables/{built.name}.{table.published_name}/rows"
            answered = all_rows(client, path, limit=1000)
            texts = [column.name for column in table.stored_columns if column.type == "text"]
            listed = ", ".join(map(quoted, texts))
            if texts:
                rows = built.ask(f"select {listed} from {table.sql_name}")
                own = [tuple(row[name] for name in texts) for row in answered]
                assert sorted(own, key=repr) == sorted(rows, key=repr), table.key
            for name in SHOWN[built.name].get(table.name, ()):
                _is_found(client, path, name, {row[name] for row in answered})


def _is_found(client: httpx.Client, path: str, name: str, values: set[str]) -> None:
    """Each text is among the values and, where it is a filter, finds its rows."""
    filters = client.get(path, params={"limit": 0, name: "x"}).json()["error"]
    for text in ODD.values():
        found = {left_of(text), left_of(text, "?"), _in_a_dbf(text)} & values
        assert found, (path, name, text)
        if name not in filters:
            asked = {name: found.pop(), "limit": 1}
            assert client.get(path, params=asked).raise_for_status().json()["total"], (name, text)


def _in_a_dbf(text: str) -> str:
    """A name of a facility, which has characters of Latin-1, 200 at most, and no NUL."""
    return left_of(text).encode("latin-1", "replace").decode("latin-1")[:200].strip()


@pytest.mark.parametrize("built", ["behavior"], indirect=True)
def test_the_export_is_what_the_database_has(built: Built) -> None:
    names = ", ".join(quoted(name) for name in ("id", *FREE))
    rows = built.ask(f"select {names} from behavior.behavioral_events")
    url = built.production.promoter.replace("+psycopg2", "")
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"select {names.replace(DATA, DATA + '::text')} from behavioral_events")
        theirs = cursor.fetchall()
    assert sorted(rows, key=repr) == sorted(theirs, key=repr)
    for place, name in enumerate(FREE, start=1):
        found = {row[place] for row in rows}
        for text in (*ODD.values(), LONG):
            assert any(left_of(text) in (value or "") for value in found) or name == "eventData"

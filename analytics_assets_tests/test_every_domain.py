"""What holds for every domain that there is, whatever it is about."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from analytics_assets import registry, settings
from analytics_assets.api.app import create_app
from analytics_assets.api.lists import named
from analytics_assets.api.settings import ApiSettings
from analytics_assets.automation.jobs import present
from analytics_assets.automation.staleness import staleness
from analytics_assets.definitions import build
from analytics_assets.dictionary import overview
from analytics_assets.production import server
from analytics_assets.production.reporting import production_key
from analytics_assets_tests.api.conftest import served
from analytics_assets_tests.workspace import Workspace

ALL = registry.found()
PAGE = Path(__file__).parents[1] / "docs" / "domains.md"


@pytest.mark.parametrize("name", ALL)
def test_it_is_in_jobs_schedules_and_checks(name: str) -> None:
    domain = registry.domain(name)
    definitions = build(domain.tables)
    graph = definitions.resolve_asset_graph()
    keys = {"/".join(key.path) for key in graph.get_all_asset_keys()}
    assert {table.key for table in domain.tables} <= keys
    assert {"/".join(production_key(t).path) for t in domain.tables if t.publish} <= keys
    assert any(name in schedule.name for schedule in definitions.schedules or ())
    checked = {"/".join(key.asset_key.path) for key in graph.asset_check_keys}
    assert {table.key for table in domain.tables} <= checked


@pytest.mark.parametrize("name", ALL)
def test_what_it_reads_from_the_environment_is_declared(name: str) -> None:
    domain = registry.domain(name)
    folders = {
        table.source.feed.folder.variable
        for table in domain.tables
        if hasattr(table.source, "feed")
    }
    assert folders <= {setting.variable for setting in domain.settings}
    assert all(setting.description for setting in domain.settings)


def test_the_page_of_domains_is_what_they_declare() -> None:
    page = "# Domains\nWritten by a test from the declarations, as they are without a setting.\n\n"
    page += overview([(name, registry.domain(name)) for name in ALL])
    if not PAGE.exists() or PAGE.read_text() != page:
        PAGE.write_text(page)
        pytest.fail(f"{PAGE.name} was not as the domains are. It is now: look at it")


@pytest.mark.slow
@pytest.mark.parametrize("sample", ALL, indirect=True)
class TestSample:
    """Its sample, as a new user has it."""

    def test_all_of_it_can_be_landed(self, sample: Workspace) -> None:
        assert registry.problems(registry.tables()) == []

    def test_nothing_is_behind(self, sample: Workspace) -> None:
        with present() as (snapshot, engine):
            lags = staleness(registry.tables(), snapshot, engine)
        assert [(lag.table.key, lag.partitions, lag.why) for lag in lags] == []

    def test_what_is_published_is_what_was_built(self, sample: Workspace) -> None:
        for table in (table for table in registry.tables() if table.publish):
            count = f"select count(*) from {table.domain}.{{}}"
            built = sample.warehouse(count.format(table.name))
            assert sample.production(count.format(table.published_name)) == built, table.key

    def test_the_api_lists_what_is_published(self, sample: Workspace) -> None:
        published = named([table for table in registry.tables() if table.publish])
        reader = server.urls(settings.load()).reader
        app = create_app(registry.tables(), registry.routers(), reader, ApiSettings())
        with served(app) as url, httpx.Client(base_url=url, timeout=30) as client:
            for name in published:
                answer = client.get(f"/api/v1/tables/{name}/rows", params={"limit": 1})
                total = answer.raise_for_status().json()["total"]
                assert sample.production(f"select count(*) from {name}") == [(total,)], name

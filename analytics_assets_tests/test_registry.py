"""The choice of domains."""

from __future__ import annotations

import pytest

from analytics_assets import cli, registry
from analytics_assets.core.source import SourceError
from analytics_assets.definitions import defs


def test_all_of_them_where_nothing_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANALYTICS_DOMAINS", raising=False)
    assert {table.domain for table in registry.tables()} == set(registry.found())


def test_assets_jobs_and_schedules_of_the_chosen_ones_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANALYTICS_DOMAINS", " clinic,bank_kpis ")
    assert registry.chosen() == ("bank_kpis", "clinic")
    loaded = defs()
    prefixes = {key.path[0] for key in loaded.resolve_asset_graph().get_all_asset_keys()}
    assert {"bank_kpis", "clinic"} <= prefixes
    assert not prefixes & {"births", "ad_metrics", "behavior"}
    names = [schedule.name for schedule in loaded.schedules or ()]
    assert any("clinic" in name for name in names)
    assert not any("births" in name for name in names)


def test_the_jobs_that_end_a_refresh_are_those_of_the_chosen_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ANALYTICS_DOMAINS", raising=False)
    known = {job.name for job in defs().resolve_all_job_defs()}
    assert registry.last_jobs()
    assert set(registry.last_jobs()) <= known
    monkeypatch.setenv("ANALYTICS_DOMAINS", "births")
    assert registry.last_jobs() == []


def test_a_name_that_is_none_is_told_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANALYTICS_DOMAINS", "births,birth")
    with pytest.raises(SourceError, match=r"no domain is called birth\. There are ad_metrics, b"):
        registry.chosen()
    assert cli.main(["tables"]) == 1
    assert "ANALYTICS_DOMAINS" in capsys.readouterr().err

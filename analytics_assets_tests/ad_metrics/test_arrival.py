"""What arrives late, twice, in another order or not at all."""

from __future__ import annotations

import json
import os
import random
import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest

from analytics_assets import registry, settings
from analytics_assets.core.source import Landing, SourceError
from analytics_assets.domains.ad_metrics.sample import write
from analytics_assets.domains.ad_metrics.source_tables import mixpanel_events, rejected_record
from analytics_assets.domains.ad_metrics.tables import (
    TABLES,
    daily_mixpanel_metrics,
    user_product_lifecycles,
)
from analytics_assets.warehouse.builds import Snapshot
from analytics_assets.warehouse.lake import Lake
from analytics_assets.warehouse.session import open_session
from analytics_assets_tests.ad_metrics.landed import (
    differences,
    edit,
    fields,
    metrics,
    metrics_of_sql,
    pay_in_francs,
    point_at,
    rows,
    settle,
    small_world,
)

SEED, DAYS = 4, 12


@pytest.fixture(scope="module")
def _settled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("settled")
    with pytest.MonkeyPatch.context() as monkeypatch:
        mixpanel, meta = point_at(monkeypatch, folder)
        write(small_world(SEED, DAYS), mixpanel, meta)
        assert settle(Lake(settings.load().lake))[1] == []
    return folder


@pytest.fixture
def settled(_settled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two landing folders of 12 days and the lake that was built from them."""
    shutil.copytree(_settled, tmp_path, dirs_exist_ok=True)
    point_at(monkeypatch, tmp_path)
    return tmp_path


def lake() -> Lake:
    return Lake(settings.load().lake)


def last_day() -> date:
    return small_world(SEED, DAYS).last


def test_partitions_give_what_all_at_once_gives(settled: Path) -> None:
    assert differences(metrics(lake()), metrics_of_sql()) == []


def test_arrival_order_and_files_do_not_matter(
    settled: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {table.key: lake().fingerprints(table) for table in TABLES}
    other = tmp_path_factory.mktemp("other")
    mixpanel, meta = point_at(monkeypatch, other)
    shutil.copytree(settled / "meta_ads", meta)
    shutil.copytree(settled / "mixpanel", mixpanel)
    rng = random.Random(1)
    files = sorted((mixpanel / "events").glob("*.jsonl"))
    for path in files[:-3]:
        lines = path.read_text().splitlines(keepends=True)
        rng.shuffle(lines)
        half = len(lines) // 2
        # The later file by name has the earlier lines; half of them came twice.
        path.write_text("".join(lines[half:]))
        path.with_name(f"again {path.name}").write_text("".join(lines[: half + half // 2]))
    joined = [line for path in files[-3:] for line in path.read_text().splitlines(keepends=True)]
    for path in files[-3:]:
        path.unlink()
    rng.shuffle(joined)
    name = f"export_{files[-3].stem}_{files[-1].stem}.jsonl"
    (mixpanel / "events" / name).write_text("".join(joined))
    assert settle(lake())[1] == []
    assert {table.key: lake().fingerprints(table) for table in TABLES} == wanted


def test_a_touched_file_rebuilds_nothing(settled: Path) -> None:
    for path in settled.rglob("*.jsonl"):
        path.touch()
    assert settle(lake()) == ({}, [])


def test_a_file_restated_without_another_time_is_seen_within_the_lookback(settled: Path) -> None:
    path = settled / "meta_ads" / "ad_performance_daily" / "2025-01-10.jsonl"
    status = path.stat()
    text = path.read_text()
    row = json.loads(text.splitlines()[0])
    clicks = row["clicks"]
    other = clicks[:-1] + ("1" if clicks[-1] != "1" else "2")
    path.write_text(text.replace(f'"clicks": "{clicks}"', f'"clicks": "{other}"', 1))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    changed, findings = settle(lake())
    assert findings == []
    assert changed == {
        name: ["2025-01-10"]
        for name in (
            "ad_performance_daily",
            "ad_performance",
            "daily_mixpanel_metrics",
            "daily_mixpanel_metrics_breakdown",
            "daily_mixpanel_metrics_overview",
        )
    }


def test_a_late_refund_changes_the_day_of_its_trial_only(settled: Path) -> None:
    """A conversion on day 10, of a trial of day 3, is given back on day 12."""
    found = next(
        row
        for row in rows(lake(), user_product_lifecycles)
        if row["invalid_reason"] is None
        and row["converted_date"]
        and row["has_abi_attribution"]
        and not row["trial_refunded_date"]
        and row["converted_date"] <= last_day() - timedelta(days=2)
    )
    arrives = found["converted_date"] + timedelta(days=1)
    path = settled / "mixpanel" / "events" / f"{arrives}.jsonl"

    def refund(lines: list[dict]) -> None:
        paid = next(json.loads(json.dumps(line)) for line in lines)
        own = fields(paid)
        own |= {
            "distinct_id": found["distinct_id"],
            "product_id": found["product_id"],
            "$insert_id": "late",
            "revenue": -1.5,
            "currency": "USD",
            "time": int(fields(lines[0])["time"]) // 86400 * 86400 + 86399,
        }
        paid["event" if "event" in paid else "event_name"] = "RC Cancellation"
        lines.append(paid)

    edit(path, refund)
    changed, findings = settle(lake())
    assert findings == []
    credited = [found["credited_date"].isoformat()]
    assert changed == {
        "mixpanel_events": [arrives.isoformat()],
        "user_product_events": [arrives.isoformat()],
        "user_product_lifecycles": credited,
        "user_product_metrics": credited,
        "daily_mixpanel_metrics": credited,
        "daily_mixpanel_metrics_breakdown": credited,
        "daily_mixpanel_metrics_overview": credited,
    }


@pytest.mark.slow
def test_a_new_night_touches_what_the_horizon_touches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no late event and no restatement: the new day, and days that cross an age."""
    mixpanel, meta = point_at(monkeypatch, tmp_path)
    world = small_world(5, 40, ads=2, users=5)
    write(world, mixpanel, meta)
    for path in [*mixpanel.rglob(f"{world.last}*"), *meta.rglob(f"{world.last}*")]:
        path.rename(tmp_path / f"{path.parent.name} {path.name}")
    assert settle(lake())[1] == []
    for path in tmp_path.glob(f"* {world.last}*"):
        folder = path.name.split(" ")[0]
        root = meta if folder.startswith("ad_") else mixpanel
        path.rename(root / folder / path.name.split(" ")[1])
    changed, findings = settle(lake())
    assert findings == []
    new = world.last.isoformat()
    crossed = {(world.last - timedelta(days=age)).isoformat() for age in (7, 8, 31, 38)}
    assert changed["mixpanel_events"] == [new]
    assert changed["ad_performance_daily"] == [new]
    # Users with an event on the new day, and the days that come of age; no others.
    told = {
        (row["distinct_id"], row["product_id"])
        for row in rows(lake(), mixpanel_events)
        if row["event_date"] == world.last
    }
    touched = {
        row["credited_date"].isoformat()
        for row in rows(lake(), user_product_lifecycles)
        if (row["distinct_id"], row["product_id"]) in told
    }
    allowed = touched | crossed | {new}
    assert set(changed["user_product_metrics"]) <= allowed
    assert set(changed["daily_mixpanel_metrics"]) <= allowed
    post_trial = {
        row["credited_date"].isoformat()
        for row in rows(lake(), user_product_lifecycles)
        if row["trial_started"]
        and not row["invalid_reason"]
        and row["credited_date"] == world.last - timedelta(days=7)
    }
    assert post_trial
    assert post_trial <= set(changed["user_product_metrics"])


# ---- what is refused ----------------------------------------------------------------------------


def test_a_missing_meta_day_fails_by_name(settled: Path) -> None:
    gone = settled / "meta_ads" / "ad_performance_daily_country" / "2025-01-07.jsonl"
    gone.unlink()
    changed, findings = settle(lake())
    assert changed == {}
    (finding,) = findings
    assert "there is no file of 2025-01-07" in finding.summary
    assert "ad_performance_daily_country" in finding.summary


def test_a_missing_day_of_events_holds_back_what_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixpanel, meta = point_at(monkeypatch, tmp_path)
    write(small_world(SEED, 6), mixpanel, meta)
    (mixpanel / "events" / "2025-01-04.jsonl").unlink()
    changed, findings = settle(lake())
    assert [finding.partition for finding in findings] == ["2025-01-04"]
    assert "no file of 2025-01-04" in findings[0].summary
    assert "daily_mixpanel_metrics" not in changed


def test_meta_without_the_newest_day_fails_by_name(settled: Path) -> None:
    newer = last_day() + timedelta(days=1)
    (settled / "mixpanel" / "events" / f"{newer}.jsonl").write_text("")
    _, findings = settle(lake())
    assert len(findings) == 4
    assert all(f"there is no file of {newer}" in finding.summary for finding in findings)


@pytest.mark.parametrize("folder", ["", "ad_performance_daily_device"])
def test_a_missing_meta_folder_fails_by_name(settled: Path, folder: str) -> None:
    shutil.rmtree(settled / "meta_ads" / folder)
    with pytest.raises(SourceError, match=r"meta_ads.*(META_ADS_SOURCE|mapping)"):
        settle(lake())


def test_a_currency_without_a_rate_is_refused(settled: Path) -> None:
    path = settled / "mixpanel" / "events" / "2025-01-10.jsonl"
    before = lake().fingerprints(daily_mixpanel_metrics)
    edit(path, pay_in_francs)
    _, findings = settle(lake())
    (finding,) = findings
    assert (finding.check, finding.partition) == ("currency_has_rate", "2025-01-10")
    assert "has a rate on its day: 1 found (CHF). Add the currency" in finding.message
    assert finding.rows == [{"currency": "CHF", "amounts": 1}]
    assert lake().fingerprints(daily_mixpanel_metrics) == before


def test_unknown_events_and_fields_are_counted_and_kept(settled: Path) -> None:
    path = settled / "mixpanel" / "events" / "2025-01-10.jsonl"

    def add(lines: list[dict]) -> None:
        fields(lines[0])["mood"] = "sunny"
        odd = json.loads(json.dumps(lines[0]))
        odd["event" if "event" in odd else "event_name"] = "RC Odd"
        lines.append(odd)

    edit(path, add)
    with path.open("a") as file:
        file.write("{this is no event\n")
    report: dict = {}
    with open_session(settings.load()) as session:
        landing = Landing(session, "2025-01-10", report, lambda sql: {})
        assert mixpanel_events.source is not None
        with mixpanel_events.source.land(landing) as selects:
            found = session.execute(f"select * from ({selects[0]})").df()
    # What an event is called may be somebody's, where columns are shifted.
    assert "aa aaa: 1" in report["other events, kept and not counted"]
    assert "mood: 2" in report["other fields, kept as JSON"]
    assert (found.event == "RC Odd").sum() == 1
    assert found.other_fields.str.contains("sunny").sum() == 2
    assert settle(lake())[1] == []
    ((record, reason),) = [(row["record"], row["reason"]) for row in rows(lake(), rejected_record)]
    assert record == "{this is no event"
    assert "is no JSON object" in reason


def test_events_of_another_day_than_the_name_says_are_refused(settled: Path) -> None:
    folder = settled / "mixpanel" / "events"
    (folder / "2025-01-10.jsonl").write_text((folder / "2025-01-11.jsonl").read_text())
    _, findings = settle(lake())
    finding, also = findings
    assert (finding.check, also.check) == ("rejected_share", "rows_still_landed")
    assert "rows, most as it is of another day than the name of the file says" in finding.message


def test_no_user_id_is_said(settled: Path) -> None:
    """Whatever is refused, the words of the refusal hold no id."""
    folder = settled / "mixpanel"
    edit(folder / "events" / "2025-01-10.jsonl", lambda lines: fields(lines[0]).update(time=1))
    (folder / "users" / "more.jsonl").write_text('{"$distinct_id": "$device:secret"\n')
    (folder / "events" / "2025-01-12.jsonl").write_bytes(b'{"distinct_id": "$device:\xff"}\n')
    _, findings = settle(lake())
    assert findings
    reasons = [(row["feed"], row["reason"]) for row in rows(lake(), rejected_record)]
    assert {feed for feed, _ in reasons} == {"mixpanel_events", "mixpanel_users"}
    said = repr((findings, reasons, registry.problems(TABLES)))
    assert "$device" not in said
    for finding in findings:
        assert finding.summary
    snapshot = Snapshot(lake())
    assert "$device" not in repr([snapshot.build_of(t, "2025-01-10") for t in TABLES])
